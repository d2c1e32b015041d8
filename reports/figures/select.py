"""What a matrix's report is made from: the records that its cells ask for, each looked up once.

No other module here sees a store's results, or is told on which device speeds are wanted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from classifier.config.spec import MetricSpec, TrainSpec, settings_in_order
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec, titles
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)
from experiments.matrix.arms import Arm
from experiments.matrix.model import Form, Matrix, Request, Table
from experiments.matrix.schema import Column
from experiments.plan.jobs import Job, unique
from experiments.store.store import Results
from reports.figures import scores
from reports.figures.folds import Folded, OfFold, single

Key = tuple[str, str | None]
"""A record's signature and unit; None for a speed, which has a unit for each device."""
Records = Mapping[Key, Record | None]


class Missing(Enum):
    """Why there is no record, in the words that stand in its place."""

    FAILED = "failed"
    TODO = "to do"
    NO_PREDICTIONS = "no predictions"
    NOT_RECORDED = "not recorded"
    """By a job that was done before its figure was kept: running again mends nothing."""
    UNDEFINED = "undefined"
    """Kappa where all is one class: nor does it here."""
    NOT_FINITE = "not finite"
    """Some logits are infinite or no numbers: nor here."""


@dataclass(frozen=True)
class Cell:
    row: str
    column: Column
    seeds: tuple[Record | Folded | Missing, ...]
    """A record for each seed, or those of its folds; of a speed one, which the seeds share."""
    figures: tuple[float | Missing, ...]
    """What each says of the column's metric."""
    published: float | None
    form: Form
    margin: float | None = None
    baseline: Cell | None = None
    """The cell that it is compared with."""
    data: DataSpec | None = None
    """Whose images its figure is of; None of a speed."""

    @property
    def there(self) -> list[Record | Folded]:
        """The seeds that are."""
        return [seed for seed in self.seeds if not isinstance(seed, Missing)]

    @property
    def records(self) -> list[Record]:
        """All that they are made of."""
        return single(self.there)

    @property
    def missing(self) -> Missing | None:
        """Why it has no figure; None if all its seeds have one."""
        return next((why for why in Missing if why in self.figures), None)

    @property
    def shows_difference(self) -> bool:
        return self.form.is_difference and self.baseline is not None

    @property
    def is_compared(self) -> bool:
        """Whether it is to get a verdict: what a model costs has a difference only."""
        return self.baseline is not None and not self.column.is_cost


@dataclass(frozen=True)
class SelectedTable:
    name: str
    row_header: str
    is_published: bool
    """Whether any of its figures is, be it one that the command line took out."""
    cells: tuple[tuple[Cell, ...], ...]
    """By row, then column."""
    records: tuple[Record, ...]
    """Of the cells, each once, row by row; those of what models cost are among `trainings`, and of
    a user's metric it is the evaluation."""
    trainings: tuple[TrainRecord, ...]
    """Those that its accuracies rest on, or whose cost it shows, each once."""
    timed: tuple[tuple[TrainRecord, ...], ...]
    """What was trained whose seconds or memory it shows, each with all records that come of it."""

    @property
    def titles(self) -> dict[DataSpec, str]:
        """What the data of its cells are called, where they are several."""
        data = dict.fromkeys(cell.data for row in self.cells for cell in row if cell.data)
        return titles(data) if len(data) > 1 else {}

    @property
    def is_whole(self) -> bool:
        """Whether every figure is there that a run can give."""
        settled = (None, Missing.NOT_RECORDED, Missing.UNDEFINED, Missing.NOT_FINITE)
        return all(cell.missing in settled for row in self.cells for cell in row)

    @property
    def accuracies(self) -> list[TrainRecord | EvaluateRecord]:
        kinds = TrainRecord | EvaluateRecord
        return [record for record in self.records if isinstance(record, kinds)]

    @property
    def speeds(self) -> list[BenchmarkRecord]:
        return [record for record in self.records if isinstance(record, BenchmarkRecord)]


@dataclass(frozen=True)
class Used:
    """A record that the matrix's numbers rest on."""

    record: Record
    cost: Cost | None
    served: tuple[Mapping[str, Any], ...]
    """The axis values of each request that it answers, or whose answer rests on it."""


OpenState = Literal["failed", "blocked", "running", "to do"]
"""Blocked is what waits for a job that failed."""


@dataclass(frozen=True)
class OpenJob:
    """One that has no result, or not all that are asked for."""

    name: str
    state: OpenState
    waits_for: tuple[str, ...]
    """The names of those among them that come before; of one that is blocked of those that failed,
    however far before."""
    reason: str = ""
    """Why it failed."""
    log: Path | None = None
    """All that a job which failed has printed."""


@dataclass(frozen=True)
class Selection:
    matrix: Matrix
    settings: tuple[Mapping[str, Any], ...]
    """Of each of its arms all but the seed, by name, as JSON has them, for who reads them."""
    written: tuple[Mapping[str, Any], ...]
    """The same without what acts at a default: None is what is not written."""
    axes: tuple[str, ...]
    """Those that the requests name."""
    has_run: bool
    """Whether any of the matrix's jobs has, with or without success."""
    tables: tuple[SelectedTable, ...]
    used: tuple[Used, ...]
    """Each once: trainings, with a record for each track, then evaluations, then what the user's
    metrics say of these, then speeds."""
    names: Mapping[str, str]
    """What each training is called, by its signature, as its job is."""
    data: Mapping[str, DataSpec]
    """What each training is on, by its signature, as the matrix says it now: a record may know
    another line of the user's file."""
    folders: Mapping[tuple[str, str], Path]
    """Where a record lies with its files, by its signature and unit."""
    origins: Mapping[tuple[str, str], str]
    """Of its records that come from another runs folder: what the user calls that."""
    jobs: int
    """How many the matrix has."""
    open_jobs: tuple[OpenJob, ...]
    """In the order that they are done in."""

    @property
    def titles(self) -> dict[DataSpec, str]:
        """What all that its requests train on is called, all folds together."""
        return titles(data.whole for data in self.data.values())

    def from_others(self) -> dict[str, int]:
        """How many of its records come from each other runs folder."""
        keys = ((used.record.signature, used.record.unit) for used in self.used)
        return dict(Counter(self.origins[key] for key in keys if key in self.origins))

    def is_on(self, record: OfFold) -> DataSpec:
        """What the training that a record rests on is on."""
        return self.data[record.training.signature]

    @property
    def is_whole(self) -> bool:
        """Whether every figure is there that a run can give."""
        return all(table.is_whole for table in self.tables)


def select(matrix: Matrix, results: Results, benchmark_units: Sequence[str] = ()) -> Selection:
    """The matrix's tables with the records that are there. Of a speed that several devices
    measured, it is the first of `benchmark_units` that is there, else any."""
    served: dict[Key, list[Mapping[str, Any]]] = {}
    for request in matrix.requests():
        for key in _keys(request):
            served.setdefault(key, []).append(request.where)
    records = {key: _find(key, results, benchmark_units) for key in served}
    jobs = unique(matrix.requests())
    used = tuple(
        Used(record, results.costs.get((record.signature, record.unit)), tuple(served[key]))
        for kind in ("train", "evaluate", "metric", "benchmark")
        for key, record in records.items()
        if record is not None and record.kind == kind
    )
    return Selection(
        matrix=matrix,
        settings=_told(matrix.arms),
        written=_settings(matrix.arms, _written),
        axes=tuple(
            dict.fromkeys(axis for each in served.values() for where in each for axis in where)
        ),
        has_run=bool(used) or any(signature in results.failures for signature, _ in served),
        tables=tuple(_table(table, records, results) for table in matrix.tables),
        used=used,
        names={job.id: job.name for job in jobs if isinstance(job.spec, TrainSpec)},
        data={of.signature: of.data for request in matrix.requests() if (of := request.training)},
        folders=results.folders,
        origins=results.origins,
        jobs=len(jobs),
        open_jobs=_open(jobs, results),
    )


def _open(jobs: Sequence[Job], results: Results) -> tuple[OpenJob, ...]:
    names = {job.id: job.name for job in jobs if not _is_done(job, results)}
    found = []
    blocked: dict[str, dict[str, None]] = {}
    """By job the failed ones that what needs it waits for."""
    for job in (job for job in jobs if job.id in names):
        waits_for = tuple(names[each] for each in job.needs if each in names)
        before = {name: None for each in job.needs for name in blocked.get(each, ())}
        failure = results.failures.get(job.id)
        if job.id in results.running:
            found.append(OpenJob(job.name, "running", waits_for))
        elif failure is not None:
            blocked[job.id] = {job.name: None}
            log = Path(failure.log)
            found.append(OpenJob(job.name, "failed", waits_for, failure.reason, log))
        elif before:
            blocked[job.id] = before
            found.append(OpenJob(job.name, "blocked", tuple(before)))
        else:
            found.append(OpenJob(job.name, "to do", waits_for))
    return tuple(found)


def _is_done(job: Job, results: Results) -> bool:
    if job.is_speed:
        return results.has(job.id)
    return all((job.id, unit) in results.records for unit in job.units)


def _keys(request: Request) -> list[Key]:
    """Of the training that a request's record rests on, or is, if any, and of the evaluation that
    one of a user's metric does; last of the record."""
    training = request.training
    behind = [] if training is None else [Request(training, request.track)]
    if isinstance(request.spec, MetricSpec):
        behind.append(Request(request.spec.evaluation, request.track))
    return [(each.spec.signature, each.unit) for each in (*behind, request)]


def _find(key: Key, results: Results, benchmark_units: Sequence[str]) -> Record | None:
    signature, unit = key
    if unit is not None:
        return results.records.get((signature, unit))
    speeds = {record.unit: record for record in results.benchmarks(signature)}
    return next((speeds[each] for each in (*benchmark_units, *speeds) if each in speeds), None)


def _table(table: Table, records: Records, results: Results) -> SelectedTable:
    def found(request: Request) -> Record | Missing:
        keys = _keys(request)
        failed = any(signature in results.failures for signature, _ in keys)
        return records[keys[-1]] or (Missing.FAILED if failed else Missing.TODO)

    def cell(r: int, c: int) -> Cell:
        name, column, form = table.rows[r], table.columns[c], table.forms[c]
        seeds = tuple(_by_seed(table.cells[r][c], found))
        return Cell(
            row=name,
            column=column,
            seeds=seeds,
            figures=tuple(_figure(column, each, results) for each in seeds),
            published=table.published.get((name, column.header)),
            form=replace(form, is_hidden=form.is_hidden or r in table.hidden_rows),
            margin=table.margins[c],
            data=table.cells[r][c][0].looked_at,
        )

    cells = [[cell(r, c) for c in range(len(table.columns))] for r in range(len(table.rows))]
    for (r, c), (base_r, base_c) in table.baseline.items():
        cells[r][c] = replace(cells[r][c], baseline=cells[base_r][base_c])
    asked = [
        (column, _keys(request))
        for row in table.cells
        for column, cell in zip(table.columns, row, strict=True)
        for request in cell
    ]
    judged = dict.fromkeys(of[1 if c.own else -1] for c, of in asked if not c.is_cost)
    own = (records[key] for key in judged)
    behind = (records[key] for key in dict.fromkeys(of[0] for _, of in asked))
    return SelectedTable(
        name=table.name,
        row_header=table.row_header,
        is_published=bool(table.published),
        cells=tuple(map(tuple, cells)),
        records=tuple(record for record in own if record is not None),
        trainings=tuple(record for record in behind if isinstance(record, TrainRecord)),
        timed=_timed(cells, results),
    )


def _by_seed(
    requests: Sequence[Request], found: Callable[[Request], Record | Missing]
) -> Iterator[Record | Folded | Missing]:
    """The folds of a seed together; where one has no record, why."""
    training = requests[0].training
    count = len(training.data.each_fold) if training else 1
    for first in range(0, len(requests), count):
        folds = [found(request) for request in requests[first : first + count]]
        missing = next((why for why in Missing if why in folds), None)
        if missing or count == 1:
            yield missing or folds[0]
        else:
            yield Folded(tuple(each for each in folds if isinstance(each, OfFold)))


def _timed(
    cells: Sequence[Sequence[Cell]], results: Results
) -> tuple[tuple[TrainRecord, ...], ...]:
    timed = [cell for row in cells for cell in row if cell.column.is_of_all_tracks]
    shown = {(record.signature, record.unit) for cell in timed for record in cell.records}
    trainings = results.trainings() if shown else []
    return tuple(
        tuple(records)
        for records in trainings
        if any((each.signature, each.unit) in shown for each in records)
    )


def cost_of(metric: str, record: TrainRecord, cost: Cost | None) -> float | None:
    """What a metric that is a cost says of a training; None where it was not recorded."""
    match metric:
        case "train_seconds":
            return cost.seconds if cost else None
        case "peak_memory_mib":
            return cost.peak_memory_mib if cost else None
    figure: float | None = getattr(record, metric)
    return figure


def _figure(column: Column, record: Record | Folded | Missing, results: Results) -> float | Missing:
    if isinstance(record, Missing):
        return record
    if isinstance(record, Folded):
        return _of_folds(column, record, results)
    if isinstance(record, TrainRecord) and column.is_cost:
        figure = cost_of(column.metric, record, results.costs.get((record.signature, record.unit)))
        return Missing.NOT_RECORDED if figure is None else float(figure)
    if isinstance(record, MetricRecord):
        return Missing.UNDEFINED if record.value is None else record.value
    if column.is_recorded:
        return column.figure(record)
    return _predicted(column, [record], results)


def _of_folds(column: Column, seed: Folded, results: Results) -> float | Missing:
    """Of test parts, where each image is once, the figure of all images; else, and of what is no
    figure of answers, the mean over the folds."""
    if column.part == "test" and column.own is None and not column.is_cost:
        if column.metric == "accuracy":
            return seed.accuracy
        return _predicted(column, seed.folds, results)
    figures = [_figure(column, record, results) for record in seed.folds]
    there = [figure for figure in figures if not isinstance(figure, Missing)]
    if len(there) < len(figures):
        return next(figure for figure in figures if isinstance(figure, Missing))
    return fmean(there) if column.is_cost else seed.mean(there)


def _predicted(column: Column, records: Sequence[Record], results: Results) -> float | Missing:
    """What predictions tell, of several records together."""
    try:
        answers = scores.read_all(results.folders, records, column.metric)
    except scores.NoPredictionsError:
        return Missing.NO_PREDICTIONS
    if not answers.is_finite:
        return Missing.NOT_FINITE
    figure = answers.figure(column.metric)
    return figure if math.isfinite(figure) else Missing.UNDEFINED


def _told(arms: Sequence[Arm]) -> tuple[dict[str, Any], ...]:
    """What is off reads as a matrix writes it; what is not written has its default."""

    def told(arm: Arm, name: str, value: Any) -> Any:
        if value is None and name in TrainSpec.model_fields:
            value = getattr(arm.trainings[0], name)
        return False if value is None else value

    return tuple(
        {name: told(arm, name, value) for name, value in settings.items()}
        for arm, settings in zip(arms, _settings(arms, TrainSpec.told), strict=True)
    )


def _written(spec: TrainSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json")


def _settings(
    arms: Sequence[Arm], of: Callable[[TrainSpec], dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Of each arm. What is there where it is on only is None for the others."""
    each = [_of_arm(arm, of(arm.trainings[0])) for arm in arms]
    own = [trick.name for arm in arms for trick in arm.trainings[0].own_tricks]
    names = [*settings_in_order(), *dict.fromkeys(own), "ema"]
    names = [name for name in names if any(name in settings for settings in each)]
    return tuple({name: settings.get(name) for name in names} for settings in each)


def _of_arm(arm: Arm, settings: Mapping[str, Any]) -> dict[str, Any]:
    said = settings["data"].items()
    data = {name: value for name, value in said if value is not None and name != "fold"}
    if made := arm.trainings[0].data.own:
        data = made.written | {name: value for name, value in data.items() if name != "own"}
    ema = None if arm.track == RAW else arm.track.model_dump(mode="json")
    of_run = {n: v for n, v in settings.items() if n not in ("seed", "own_model", "own_tricks")}
    return {**of_run, "data": data, "ema": ema, **_own(arm.trainings[0])}


def _own(spec: TrainSpec) -> dict[str, Any]:
    """What is the user's, under the settings that name it."""
    return {each.under or each.name: each.written for each in spec.plugins}
