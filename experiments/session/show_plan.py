"""A plan as text: the jobs, what each would take, and the sum."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.names import counted, listed
from classifier.basics.progress import duration
from classifier.config.spec import TrainSpec
from classifier.data import batches, datasets
from classifier.data.split import Part
from experiments.matrix.model import Matrix, data_root_of
from experiments.plan.bundles import bundles
from experiments.plan.costs import costs, seconds_of
from experiments.plan.estimate import state_bytes
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


@dataclass(frozen=True, repr=False)
class Planned(Plan):
    """A plan that reads as `--plan` prints it."""

    matrices: tuple[Matrix, ...] = ()
    places: Places | None = None
    """For which the time until the end is estimated."""
    keeps_all: bool = False
    """Whether `--keep-states` is given."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__


def _lines(plan: Planned) -> Iterator[str]:
    from tabulate import tabulate

    from reports.words.recipes import recipes

    data_root = data_root_of(plan.matrices)
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
    yield tabulate(rows, headers, disable_numparse=True, colalign=right)
    yield ""
    for matrix in plan.matrices:
        for name, value in matrix.overrides.items():
            yield f"{matrix.name}: {name} = {json.dumps(value)} (override)"
        for line in (*recipes(matrix.arms), *matrix.notes):
            yield f"{matrix.name}: {line}"
    for lender, done in plan.from_others.items():
        yield f"from {lender}: {counted(done, 'job')}"
    others = left_out(plan, data_root)
    for data, title in plan.titles.items():
        yield f"{title}: {_images(plan.counts(data), data.source.to_get(data_root))}"
        if title in others:
            yield others[title]
    for name, count in plan.others.items():
        yield f"{name}: {_NOT_KNOWN if count is None else counted(count, 'image')}"
    yield from remarks(plan)
    trainings = (job.spec for job in plan.jobs if isinstance(job.spec, TrainSpec))
    yield from apart(trainings)
    yield from kept_states(plan)
    yield from _at_best(plan)
    yield from totals(plan)
    if plan.places is not None:
        yield from until_the_end(plan, plan.places)


def kept_states(plan: Planned) -> Iterator[str]:
    """What stays of trainings, so that longer ones go on from there."""
    trainings = [bundle.jobs for bundle in bundles(plan.todo) if bundle.is_one_training]
    keep = [jobs for jobs in trainings if plan.keeps_all or any(job.keeps_end for job in jobs)]
    if keep:
        sizes = [
            state_bytes(jobs[0].trained, len({track.key for job in jobs for track in job.tracks}))
            for jobs in keep
        ]
        known = sum(size for size in sizes if size is not None)
        size = f"about {known / 1e6:,.0f} MB" if None not in sizes else "--status tells their size"
        states = f"the last state of {counted(len(keep), 'training')}, {size}"
        yield f"kept for longer trainings to go on from: {states}"


def _at_best(plan: Planned) -> Iterator[str]:
    """So that nobody trains for an answer that can't come."""
    from reports.words.before import at_best

    others = {name: count for name, count in plan.others.items() if count is not None}
    images = {
        data: {**others, **{str(part): count for part, count in _together(folds).items()}}
        for data in plan.titles
        if (folds := plan.counts(data)) is not None
    }
    for matrix in plan.matrices:
        for table in matrix.tables:
            lines = at_best(table, len(matrix.seeds), images)
            yield "\n  ".join((f"table {table.name} of {matrix.name}: {lines[0]}", *lines[1:]))


def totals(plan: Plan) -> Iterator[str]:
    """How many jobs there are, and what those that are to do would take."""
    jobs = plan.totals()
    saved = plan.separate_trainings - jobs["train"]
    metrics = f"{counted(jobs['metric'], 'metric')}, " if "metric" in jobs else ""
    instead = f" (one command for each arm would train {plan.separate_trainings} times)"
    yield (
        f"{counted(jobs['train'], 'training')}{instead if saved > 0 else ''}, "
        f"{counted(jobs['evaluate'], 'evaluation')}, {metrics}"
        f"{counted(jobs['benchmark'], 'benchmark')}; "
        f"{jobs['todo']} to do"
    )
    todo = plan.todo
    gflop = sum(job.estimate.gflop or 0.0 for job in todo)
    by_records = [job for job in todo if job.estimate.basis == "records"]
    unknown = [job for job in todo if job.estimate.seconds is None]
    seconds = sum(job.estimate.seconds or 0.0 for job in todo)
    if gflop:
        least = "at least " if unknown else ""
        time = (
            f", {least}{_estimated(seconds)} of job time by this store's records"
            if by_records
            else "; its time is known once jobs like these have records here"
        )
        yield f"estimated work to do: {_operations(gflop)}{time}"


def until_the_end(plan: Plan, places: Places) -> Iterator[str]:
    """Nothing where the seconds of some jobs are not known."""
    todo, slots = plan.todo, len(places.devices) * places.jobs
    if todo and all(seconds_of(job) is not None for job in todo):
        until = simulate(in_order(bundles(todo), slots), costs(todo), slots)
        yield f"about {duration(until)} on {places.named} (estimated)"


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
