"""What `--plan` shows: the jobs, what each would take, and the sum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.names import counted, listed
from classifier.basics.progress import duration
from classifier.config.spec import TrainSpec
from classifier.data import batches, datasets
from classifier.data.split import Part
from experiments.matrix.model import Matrix
from experiments.plan.bundles import bundles
from experiments.plan.costs import costs, seconds_of
from experiments.plan.families import apart
from experiments.plan.order import simulate
from experiments.plan.plan import Plan, in_order

_NOT_KNOWN = "not known yet: the data are not there"


@dataclass(frozen=True)
class Places:
    """Where the plan would run."""

    devices: tuple[str, ...]
    jobs: int
    """At a time on each."""

    @property
    def named(self) -> str:
        """`4 devices, 2 jobs at a time on each`."""
        if self.devices == ("cpu",):
            return f"the CPU, {counted(self.jobs, 'job')} at a time"
        each = f", {self.jobs} jobs at a time on each" if self.jobs > 1 else ""
        return counted(len(self.devices), "device") + each


def left_out(plan: Plan, data_root: Path) -> dict[str, str]:
    """By the title of the plan's data: how many of its files are taken for no image, if any are."""
    lines = {}
    for data, title in plan.titles.items():
        if counts := datasets.left_out(data, data_root):
            lines[title] = f"{title}: left out: {listed(counts)}"
    return lines


def remarks(plan: Plan) -> list[str]:
    """What must be said of how the plan's trainings put their images into batches, and of their
    warm-ups."""
    lines: dict[str, None] = {}
    trainings = [job.spec for job in plan.jobs if isinstance(job.spec, TrainSpec)]
    for training in (each for each in trainings if each.draws_each_once):
        parts = plan.data.get(training.data)
        said = "" if parts is None else batches.remark(parts["train"], training.batch_size)
        if said:
            lines[f"{plan.titles[training.data.whole]}: {said}"] = None
    warmups = (each.warmup.remark(each.epochs) for each in trainings if each.warmup)
    return [*lines, *dict.fromkeys(filter(None, warmups))]


def show(
    matrices: Sequence[Matrix],
    plan: Plan,
    data_root: Path,
    as_json: bool,
    places: Places | None = None,
) -> None:
    """Print the plan, as a table or as one JSON object. `places`: for which the time until the end
    is estimated."""
    if as_json:
        print(json.dumps(plan.as_json(), indent=1))
        return
    from tabulate import tabulate

    from reports.words.recipes import recipes

    names = {job.id: f"{job.spec.kind} {job.name}" for job in plan.jobs}
    rows = [
        (
            names[job.id],
            job.id,
            "to do" if job.state == "todo" else job.state,
            ", ".join(job.needs),
            _operations(job.estimate.gflop),
            _estimated(job.estimate.seconds),
            job.told,
        )
        for job in plan.jobs
    ]
    headers = ("job", "id", "state", "needs", "work (est.)", "time (est.)", "reason")
    right = ("left", "left", "left", "left", "right", "right", "left")
    print(tabulate(rows, headers, disable_numparse=True, colalign=right))
    print()
    for matrix in matrices:
        for name, value in matrix.overrides.items():
            print(f"{matrix.name}: {name} = {json.dumps(value)} (override)")
        for line in (*recipes(matrix.arms), *matrix.notes):
            print(f"{matrix.name}: {line}")
    others = left_out(plan, data_root)
    for data, title in plan.titles.items():
        print(f"{title}: {_images(plan.counts(data), data.source.to_get(data_root))}")
        if title in others:
            print(others[title])
    for name, count in plan.others.items():
        print(f"{name}: {_NOT_KNOWN if count is None else counted(count, 'image')}")
    for line in remarks(plan):
        print(line)
    trainings = (job.spec for job in plan.jobs if isinstance(job.spec, TrainSpec))
    for line in apart(trainings):
        print(line)
    _print_at_best(matrices, plan)
    _print_totals(plan)
    if places is not None:
        _print_until_the_end(plan, places)


def _print_at_best(matrices: Sequence[Matrix], plan: Plan) -> None:
    """So that nobody trains for an answer that can't come."""
    from reports.words.before import at_best

    others = {name: count for name, count in plan.others.items() if count is not None}
    images = {
        data: {**others, **{str(part): count for part, count in _together(folds).items()}}
        for data in plan.titles
        if (folds := plan.counts(data)) is not None
    }
    for matrix in matrices:
        for table in matrix.tables:
            lines = at_best(table, len(matrix.seeds), images)
            print("\n  ".join((f"table {table.name} of {matrix.name}: {lines[0]}", *lines[1:])))


def _print_totals(plan: Plan) -> None:
    totals = plan.totals()
    saved = plan.separate_trainings - totals["train"]
    metrics = f"{counted(totals['metric'], 'metric')}, " if "metric" in totals else ""
    instead = f" (one command for each arm would train {plan.separate_trainings} times)"
    print(
        f"{counted(totals['train'], 'training')}{instead if saved > 0 else ''}, "
        f"{counted(totals['evaluate'], 'evaluation')}, {metrics}"
        f"{counted(totals['benchmark'], 'benchmark')}; "
        f"{totals['todo']} to do"
    )
    todo = plan.todo
    gflop = sum(job.estimate.gflop or 0.0 for job in todo)
    by_records = [job for job in todo if job.estimate.basis == "records"]
    unknown = [job for job in todo if job.estimate.seconds is None]
    seconds = sum(job.estimate.seconds or 0.0 for job in todo)
    if gflop:
        print(f"estimated work to do: {_operations(gflop)}", end="")
        if by_records:
            least = "at least " if unknown else ""
            print(f", {least}{_estimated(seconds)} of job time by this store's records")
        else:
            print("; its time is known once jobs like these have records here")


def _print_until_the_end(plan: Plan, places: Places) -> None:
    """Nothing where the seconds of some jobs are not known."""
    todo, slots = plan.todo, len(places.devices) * places.jobs
    if todo and all(seconds_of(job) is not None for job in todo):
        until = simulate(in_order(bundles(todo), slots), costs(todo), slots)
        print(f"about {duration(until)} on {places.named} (estimated)")


def _operations(gflop: float | None) -> str:
    """`2.40 PFLOP`: floating-point operations, a thousand a step."""
    if not gflop:
        return ""
    for unit in ("GFLOP", "TFLOP", "PFLOP"):
        if gflop < 1000:
            return f"{gflop:.3g} {unit}"
        gflop /= 1000
    return f"{gflop:,.3g} EFLOP"


def _estimated(seconds: float | None) -> str:
    return "" if seconds is None else f"~{duration(seconds)}"


def _images(folds: Sequence[Mapping[Part, int]] | None, to_get: str) -> str:
    if folds is None:
        return f"not known yet: {to_get}" if to_get else _NOT_KNOWN
    parts = folds[0]
    said = f"{parts['train']:,} train / {parts['val']:,} val / {parts['test']:,} test images"
    if len(folds) > 1:
        every = f"{_together(folds)['test']:,} images, each once in test"
        said = f"{every}; the first fold has {said}"
    return f"{said} ({to_get})" if to_get else said


def _together(folds: Sequence[Mapping[Part, int]]) -> dict[Part, int]:
    """Each image is in one test part; in train and val it is in several folds."""
    return {**folds[0], "test": sum(parts["test"] for parts in folds)}
