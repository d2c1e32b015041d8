"""What `--plan` shows: the jobs, what each would take, and the sum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from classifier.basics.names import counted, listed
from classifier.basics.progress import duration
from classifier.config.spec import TrainSpec
from classifier.data import batches, datasets
from classifier.data.split import Part
from experiments.matrix.model import Matrix
from experiments.plan.plan import Plan, title_of

_NOT_KNOWN = "not known yet: the data are not there"


def left_out(matrices: Sequence[Matrix], plan: Plan, data_root: Path) -> dict[str, str]:
    """By the title of the plan's data: how many of its files are taken for no image, if any are."""
    lines = {}
    for data in dict.fromkeys(matrix.data for matrix in matrices):
        title = title_of(data)
        if title in plan.data and (counts := datasets.left_out(data, data_root)):
            lines[title] = f"{title}: left out: {listed(counts)}"
    return lines


def odd_batches(plan: Plan) -> list[str]:
    """What must be said of how the plan's trainings put their images into batches."""
    lines: dict[str, None] = {}
    trainings = (job.spec for job in plan.jobs if isinstance(job.spec, TrainSpec))
    for training in (each for each in trainings if each.draws_each_once):
        title = title_of(training.data)
        parts = plan.data.get(title)
        said = "" if parts is None else batches.remark(parts["train"], training.batch_size)
        if said:
            lines[f"{title}: {said}"] = None
    return list(lines)


def show(matrices: Sequence[Matrix], plan: Plan, data_root: Path, as_json: bool) -> None:
    """Print the plan, as a table or as one JSON object."""
    if as_json:
        print(json.dumps(plan.as_json(), indent=1))
        return
    from tabulate import tabulate

    names = {job.id: f"{job.spec.kind} {job.name}" for job in plan.jobs}
    rows = [
        (
            names[job.id],
            job.id,
            "to do" if job.state == "todo" else job.state,
            ", ".join(job.needs),
            _operations(job.estimate.gflop),
            _estimated(job.estimate.seconds),
            job.reason,
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
        for recipe, settings in matrix.recipes.items():
            for name, value in settings.items():
                print(f"{matrix.name}: train.{name} = {json.dumps(value)} (recipe {recipe})")
        for note in matrix.notes:
            print(f"{matrix.name}: {note}")
    others = left_out(matrices, plan, data_root)
    for title, parts in plan.data.items():
        print(f"{title}: {_images(parts)}")
        if title in others:
            print(others[title])
    for name, count in plan.others.items():
        print(f"{name}: {_NOT_KNOWN if count is None else counted(count, 'image')}")
    for line in odd_batches(plan):
        print(line)
    _print_at_best(matrices, plan)
    _print_totals(plan)


def _print_at_best(matrices: Sequence[Matrix], plan: Plan) -> None:
    """So that nobody trains for an answer that can't come."""
    from reports.words.before import at_best

    for matrix in matrices:
        parts = plan.data.get(title_of(matrix.data))
        images: dict[str, int] | None = None
        if parts is not None:
            others = {name: count for name, count in plan.others.items() if count is not None}
            images = {**others, **{str(part): count for part, count in parts.items()}}
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


def _images(parts: Mapping[Part, int] | None) -> str:
    if parts is None:
        return _NOT_KNOWN
    return f"{parts['train']:,} train / {parts['val']:,} val / {parts['test']:,} test images"
