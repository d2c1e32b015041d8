"""What each table answers: its cells against their baselines, and the trick over the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

import numpy as np

from classifier.config.spec import TrainSpec
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)
from experiments.matrix.model import share_images
from experiments.matrix.schema import Column
from reports.figures import scores
from reports.figures.folds import Folded, single
from reports.figures.guessing import guess
from reports.figures.metrics import WITHOUT_INTERVAL, not_once
from reports.figures.scores import NoPredictionsError, Scored
from reports.figures.select import Cell, Missing, SelectedTable, Selection
from reports.figures.tables import figures
from reports.statistics.intervals import (
    LEAST_PASSES,
    Comparison,
    Estimate,
    Floats,
    Line,
    Pair,
    Scores,
    compare,
    compare_speeds,
    compare_unpaired,
    estimate,
    estimate_from_shares,
    over_rows,
)
from reports.statistics.limits import UNBOUNDED
from reports.statistics.verdicts import MANY_ROWS, Verdict, best, holm, verdict

Seed = Record | Folded
"""What a seed has of a cell."""


@dataclass(frozen=True)
class Judged:
    """A cell."""

    cell: Cell
    estimate: Estimate | None
    """Its figure with its interval; None for a speed or a cost, or where nothing is there."""
    comparison: Comparison | None = None
    """With its baseline, over the seeds that both have."""
    pair: Pair | None = None
    """What was compared, if it was paired."""
    adjusted: float | None = None
    """Holm's p value among the table's family."""
    verdict: Verdict | None = None
    doubts: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """What must be known of the comparison."""
    is_best: bool = False
    """Of its column, or can't be told from the best."""
    stands_out: bool = False
    """It is best, and some row of its column is not: where none is told apart, none stands out."""


@dataclass(frozen=True)
class JudgedLine:
    """A column against its baseline, over the rows."""

    column: Column
    baseline: Column
    rows: tuple[Judged, ...]
    comparison: Comparison
    adjusted: float
    verdict: Verdict


@dataclass(frozen=True)
class Answer:
    table: SelectedTable
    cells: tuple[tuple[Judged, ...], ...]
    lines: tuple[JudgedLine, ...]
    family: int
    """How many comparisons Holm's correction is over."""
    no_lines: tuple[str, ...]
    """The columns that have baselines and no line, and why."""
    is_judged: bool = True
    """Whether its cells have been looked at: not where so many are compared with nothing."""

    @property
    def compared(self) -> list[Judged]:
        return [each for row in self.cells for each in row if each.cell.is_compared]


def answers(selection: Selection) -> list[Answer]:
    """Of its tables. What is missing or damaged is no error: its row says so."""
    judging = _Judging(selection)
    return [_answer(judging, table) for table in selection.tables]


def _answer(judging: _Judging, table: SelectedTable) -> Answer:
    compares = any(cell.is_compared for row in table.cells for cell in row)
    if not compares and len(table.cells) > MANY_ROWS:  # nobody looks for the best of so many
        plain = tuple(tuple(map(judging.alone, row)) for row in table.cells)
        return Answer(table, plain, (), 0, (), is_judged=False)
    cells = [[judging.judge(cell) for cell in row] for row in table.cells]
    over = [_over_rows(column) for column in zip(*cells, strict=True)]
    lines = [
        (position, *each)
        for position, line in enumerate(over)
        if isinstance(line, Line)
        for each in ((line.these, True), (line.like_these, line.is_sample))
    ]
    found = [(_compares(e), e.comparison.p) for row in cells for e in row if e.comparison]
    for position, line, _ in lines:
        rows = [_compares(row[position]) for row in cells if row[position].comparison]
        found.append(((*rows, line.scope), line.p))
    family = len(dict(found))  # a column that is shown twice, in two forms, is one
    of_each = dict(zip(dict(found), holm(list(dict(found).values())), strict=True))
    adjusted = iter([of_each[what] for what, _ in found])
    judged = [[_with_verdict(each, adjusted, family) for each in row] for row in cells]
    columns = [list(column) for column in zip(*judged, strict=True)]
    return Answer(
        table=table,
        cells=tuple(zip(*(judging.mark_best(column) for column in columns), strict=True)),
        lines=tuple(
            _line(table, columns[position], line, is_sample, next(adjusted), family)
            for position, line, is_sample in lines
        ),
        family=family,
        no_lines=tuple(line for line in over if isinstance(line, str)),
    )


def _compares(judged: Judged) -> tuple[object, ...]:
    """What tells a comparison from others: the metric, and what both arms rest on."""
    cell, base = judged.cell, judged.cell.baseline
    return cell.column.metric, *((_arm(base), _arm(cell)) if base else ())


def _over_rows(column: Sequence[Judged]) -> Line | str | None:
    """The line over a column's rows, or why there is none where two or more are compared."""
    compared = [each for each in column if each.comparison is not None]
    of = column[0].cell.column
    if len(compared) < 2 or of.is_speed:
        return None
    bases = [each.cell.baseline for each in compared if each.cell.baseline]
    if len(set(map(_arm, bases))) < len(bases):
        why = "rows that share one baseline are different tricks"
    elif len({_arm(cell) for cell in (*bases, *(each.cell for each in compared))}) < 2 * len(bases):
        why = "an arm is in more than one of its comparisons"
    elif len({base.column.header for base in bases}) > 1:
        why = "its rows are compared with different columns"
    elif share_images(each.cell.data for each in compared if each.cell.data):
        why = (
            "rows that are draws of one data set share images and are no samples of their own "
            "(docs/statistics.md)"
        )
    elif not _can_be_averaged(compared):
        why = "rows of one network start from the same weights, but lack some seeds or their images"
    else:
        return over_rows([each.pair or each.comparison for each in compared if each.comparison])
    return f"{of.header}: {why}, so there is no line over the rows"


def _can_be_averaged(rows: Sequence[Judged]) -> bool:
    """Whether rows of one network are compared image by image, and with the same seeds: those are
    averaged seed by seed, for their trainings are not each row's own."""
    alike: dict[object, list[Pair | None]] = {}
    for row in rows:
        cell, base = row.cell, row.cell.baseline
        assert base is not None
        networks = _networks(base.there[0], cell.there[0])
        alike.setdefault((networks, cell.data), []).append(row.pair)
    return all(
        len({pair.draws if pair else None for pair in pairs}) == 1 and pairs[0] is not None
        for pairs in alike.values()
        if len(pairs) > 1
    )


def _networks(*arms: Seed) -> tuple[str, ...]:
    """By their names."""
    return tuple(spec.model for spec in _trainings(arms))


def _seeds(records: Sequence[Seed]) -> tuple[int, ...]:
    return tuple(spec.seed for spec in _trainings(records))


def _trainings(of: Sequence[Seed]) -> list[TrainSpec]:
    """What each was trained as; a speed was not."""
    specs = (each.training if isinstance(each, Folded) else each.spec.trained for each in of)
    return [spec for spec in specs if spec is not None]


def _arm(cell: Cell) -> tuple[tuple[str, str], ...]:
    """What a cell rests on, whatever its row is called."""
    return tuple((record.signature, record.unit) for record in cell.there)


def _with_verdict(judged: Judged, adjusted: Iterator[float], family: int) -> Judged:
    if judged.comparison is None:
        return judged
    p = next(adjusted)
    said = verdict(
        judged.comparison,
        p,
        family,
        more_is_better=_more_is_better(judged.cell.column),
        margin=judged.cell.margin,
        doubts=judged.doubts,
    )
    return replace(judged, adjusted=p, verdict=said)


def _more_is_better(column: Column) -> bool:
    """Of a column that gets verdicts, and so has a better side."""
    assert column.more_is_better is not None
    return column.more_is_better


def _line(
    table: SelectedTable,
    rows: Sequence[Judged],
    line: Comparison,
    is_sample: bool,
    adjusted: float,
    family: int,
) -> JudgedLine:
    compared = tuple(each for each in rows if each.comparison is not None)
    cell = compared[0].cell
    assert cell.baseline is not None
    doubtful = [each.cell.row for each in compared if each.doubts]
    doubts = [f"seeds that failed or only guess in {', '.join(doubtful)}"] if doubtful else []
    kind = "data sets" if table.row_header == "data" else "models"
    if not is_sample:
        draws = [each.pair.draws for each in compared if each.pair]
        of_one = len(set(draws)) < len(draws) and table.row_header != "data"
        doubts.append(
            "rows of one network, which are no sample"
            if of_one
            else f"rows that differ too little to show how {kind} do"
        )
    said = verdict(
        line,
        adjusted,
        family,
        more_is_better=_more_is_better(cell.column),
        margin=cell.margin,
        doubts=doubts,
    )
    return JudgedLine(cell.column, cell.baseline.column, compared, line, adjusted, said)


class _Judging:
    """Compares cells of one selection; of each evaluation a metric's scores are read once."""

    def __init__(self, selection: Selection) -> None:
        self._folders, self._seeds = selection.folders, selection.matrix.seeds
        self._scored: dict[tuple[str, str, str], Scored | str] = {}
        self._trainings: Mapping[tuple[str, str], TrainRecord] = {
            (record.signature, record.track): record
            for record in (used.record for used in selection.used)
            if isinstance(record, TrainRecord)
        }

    def alone(self, cell: Cell) -> Judged:
        """Compared with nothing: its interval is looked at where its table shows it."""
        is_shown = cell.form.spread == "interval"
        return Judged(cell, self._estimate(cell, cell.there) if is_shown else None)

    def judge(self, cell: Cell) -> Judged:
        if cell.column.is_cost:
            return Judged(cell, None)
        records = {i: seed for i, seed in enumerate(cell.seeds) if not isinstance(seed, Missing)}
        judged = Judged(cell, self._estimate(cell, list(records.values())))
        if cell.baseline is None:
            return judged
        if records and _arm(cell) == _arm(cell.baseline):
            return replace(judged, remarks=("the same record as its baseline's",))
        others = cell.baseline.seeds
        both = [i for i in records if i < len(others) and not isinstance(others[i], Missing)]
        doubts, remarks = self._left_out(cell, cell.baseline)
        if not both:
            return replace(judged, doubts=doubts, remarks=remarks)
        variant = [records[i] for i in both]
        baseline = [r for r in (others[i] for i in both) if not isinstance(r, Missing)]
        doubts = (*doubts, *self._guessing(cell, cell.baseline, both))
        remarks = (*remarks, *self._mixed(variant, baseline))
        comparison, pair, why = self._compare(cell, baseline, variant)
        return replace(
            judged,
            comparison=comparison,
            pair=pair,
            doubts=doubts,
            remarks=(*remarks, *why),
        )

    def mark_best(self, column: Sequence[Judged]) -> list[Judged]:
        """Those that can't be told from the best, where there are several."""
        there = [each for each in column if each.cell.missing is None]
        if len(there) < 2 or there[0].cell.column.is_cost:
            return list(column)
        if len({each.cell.data for each in column}) > 1:
            return list(column)  # of other images: the easiest data set is no best row
        cells = [each.cell for each in there]
        is_any = False

        def compared(i: int, j: int) -> Comparison | None:
            nonlocal is_any
            comparison = self._compare(cells[j], cells[i].there, cells[j].there)[0]
            is_any = is_any or comparison is not None
            return comparison

        of = cells[0].column
        means = [fmean(figures(cell)) for cell in cells]
        marks = iter(best(means, compared, _more_is_better(of)))
        if not is_any:
            return list(column)  # without intervals nobody knows
        are_best = [each.cell.missing is None and next(marks) for each in column]
        told = sum(are_best) < len(there)
        return [
            replace(each, is_best=is_best, stands_out=is_best and told)
            for each, is_best in zip(column, are_best, strict=True)
        ]

    def _compare(
        self, cell: Cell, baseline: Sequence[Seed], variant: Sequence[Seed]
    ) -> tuple[Comparison | None, Pair | None, tuple[str, ...]]:
        """Records of the same seeds; and what must be known of how they were compared."""
        if cell.column.is_speed:
            return self._compare_speeds(cell.column, baseline[0], variant[0])
        metric = cell.column.metric
        if why := _without_interval(cell.column, (*baseline, *variant)):
            return None, None, (f"{metric} has no interval: {why}",)
        before, after = self._read(metric, baseline), self._read(metric, variant)
        if not isinstance(before, str) and not isinstance(after, str):
            if before[0].images == after[0].images:
                weights, bounds = before[0].weights, cell.column.bounds or UNBOUNDED
                draws = _networks(baseline[0], variant[0]), _seeds(variant)
                pair = Pair(_of(before), _of(after), before[0].images, weights, bounds, draws)
                found = compare(pair.baseline, pair.variant, weights, bounds=bounds)
                return found, pair, ()
            why = "not paired: other images"
        else:
            why = f"not paired: {before if isinstance(before, str) else after}"
        cells = self._estimate(cell, baseline), self._estimate(cell, variant)
        if cells[0] is None or cells[1] is None:
            return None, None, (f"{why}; {metric} has no interval without them",)
        return compare_unpaired(cells[0], cells[1]), None, (why,)

    def _compare_speeds(
        self, column: Column, *records: Seed
    ) -> tuple[Comparison | None, None, tuple[str, ...]]:
        """The baseline's and the variant's."""
        passes: list[tuple[float, ...]] = []
        for record in records:
            assert isinstance(record, BenchmarkRecord)
            per = record.spec.batch_size if column.metric == "images_per_second" else 1
            passes.append(tuple(seconds / per for seconds in record.seconds or ()))
        comparison = compare_speeds(passes[0], passes[1])
        if comparison is not None:
            return comparison, None, ()
        if not all(passes):
            return None, None, ("no interval: an older record, without its passes' seconds",)
        least = min(map(len, passes))
        why = f"{least} passes, below {LEAST_PASSES}" if least < LEAST_PASSES else "no spread"
        return None, None, (f"no interval: {why}",)

    def _estimate(self, cell: Cell, records: Sequence[Seed]) -> Estimate | None:
        """A cell alone."""
        metric = cell.column.metric
        if cell.column.is_speed or not records or _without_interval(cell.column, records):
            return None
        scored = self._read(metric, records)
        if not isinstance(scored, str):
            bounds = cell.column.bounds or UNBOUNDED
            return estimate(_of(scored), scored[0].weights, bounds=bounds)
        return estimate_from_records(records) if metric == "accuracy" else None

    def _read(self, metric: str, records: Sequence[Seed]) -> list[Scored] | str:
        """Of evaluations on the same images; else why there are none."""
        found = []
        for record in records:
            if isinstance(record, BenchmarkRecord) or record.kind == "train":
                return "a training keeps no predictions"
            key = record.signature, record.unit, metric
            if key not in self._scored:
                self._scored[key] = self._opened(record, metric)
            scored = self._scored[key]
            if isinstance(scored, str):
                return f"predictions of seed {record.training.seed} {scored}"
            found.append(scored)
        return found if len({each.images for each in found}) == 1 else "seeds have other images"

    def _opened(self, seed: Seed, metric: str) -> Scored | str:
        records = single([seed])
        own = [record for record in records if isinstance(record, MetricRecord)]
        try:
            if own:
                return scores.joined_scores([self._own_scores(record) for record in own])
            answers = scores.read_all(self._folders, records, metric)
        except NoPredictionsError as error:
            return f"are {error}"
        if not answers.is_finite and metric not in ("accuracy", "mpa"):  # of which records speak
            return "are not finite"
        scored = answers.scored(metric)
        return scored if np.isfinite(scored.scores).all() else f"have no {metric}"

    def _own_scores(self, record: MetricRecord) -> Scored:
        folder = self._folders.get((record.signature, record.unit))
        if folder is None:
            raise NoPredictionsError("missing")
        return scores.read_own(folder, record)

    def _left_out(self, cell: Cell, base: Cell) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Doubts and remarks on the seeds that only one of the two has."""
        doubts, remarks = [], []
        for seed, one, other in zip(self._seeds, cell.seeds, base.seeds, strict=False):
            missing = [each for each in (one, other) if isinstance(each, Missing)]
            if not missing:
                continue
            where = (
                "both arms"
                if len(missing) == 2
                else _name(cell if one in missing else base, cell, base)
            )
            said = f"seed {seed} {missing[0].value} in {where}"
            if Missing.FAILED in missing and len(missing) == 1:
                doubts.append(said)
            else:
                remarks.append(f"{said}, left out")
        return tuple(doubts), tuple(remarks)

    def _guessing(self, cell: Cell, base: Cell, both: Sequence[int]) -> Iterator[str]:
        for each in (cell, base):
            found = {self._seeds[i]: guess(each.seeds[i], self._folders) for i in both}
            guesses = {seed: of.why for seed, of in found.items() if of is not None}
            if guesses:
                said = "seed {} only guesses" if len(guesses) == 1 else "seeds {} only guess"
                why = "; ".join(dict.fromkeys(filter(None, guesses.values())))
                where = f"{_name(each, cell, base)}{f' ({why})' if why else ''}"
                yield f"{said.format(', '.join(map(str, guesses)))} in {where}"

    def _mixed(self, variant: Sequence[Seed], baseline: Sequence[Seed]) -> Iterator[str]:
        arms = single(baseline), single(variant)
        first, second = ({self._ran(record) for record in arm} for arm in arms)
        if first != second:
            yield "its arms ran on different devices, threads or versions"

    def _ran(self, record: Record) -> tuple[object, ...]:
        """Where the record and what it rests on came from."""
        behind: Record = record
        if isinstance(record, EvaluateRecord | MetricRecord):
            behind = self._trainings.get((record.training.signature, record.track), record)
        return tuple(
            (ran.platform, tuple(sorted(ran.versions.items())))
            for ran in (behind.environment, record.environment)
        )


def estimate_from_records(records: Sequence[Seed]) -> Estimate:
    """Of accuracies, where no predictions can be looked at."""
    kinds = TrainRecord | EvaluateRecord | Folded
    shares = [record for record in records if isinstance(record, kinds)]
    images = min(record.images for record in shares)
    return estimate_from_shares([record.accuracy for record in shares], images)


def _without_interval(column: Column, records: Sequence[Seed]) -> str | None:
    """Why a metric has none, if it has none."""
    if any(isinstance(e, MetricRecord) and e.scores is None for e in single(records)):
        return "it is one number for all images"
    if column.part != "test" and any(isinstance(each, Folded) for each in records):
        return not_once(column.part)
    return WITHOUT_INTERVAL.get(column.metric)


def _name(cell: Cell, one: Cell, other: Cell) -> str:
    """What tells a cell from the one that it is compared with."""
    return cell.column.header if one.row == other.row else cell.row


def _of(scored: Sequence[Scored]) -> Scores:
    return np.stack([each.scores for each in scored])


@dataclass(frozen=True)
class Noise:
    """How far the seeds of a table move its figures, and what pairing them saved."""

    between_seeds: Mapping[str, float]
    """By part of the data (of several sets, with its name), the root mean square difference of two
    seeds of one arm."""
    unpaired_trainings: tuple[tuple[str, float], ...]
    """By column, how many times the trainings two arms with seeds of their own would need."""


def noise(of: Answer) -> Noise:
    spreads: dict[str, list[float]] = {}
    names = of.table.titles
    for each in (each for row in of.cells for each in row):
        cell = each.cell
        if cell.column.metric == "accuracy" and len(of_seeds := figures(cell)) > 1:
            name = names.get(cell.data) if cell.data and not cell.column.data else None
            where = f"{cell.column.images} of {name}" if name else cell.column.images
            spreads.setdefault(where, []).append(variance(of_seeds))
    saved = []
    for column in zip(*of.cells, strict=True):
        arms = differences = 0.0
        factor = 1
        for each in column:
            pair = each.pair
            if pair is None or each.cell.baseline is None or each.doubts or len(pair.baseline) < 2:
                continue
            before, after = (_by_seed(arm, pair.weights) for arm in (pair.baseline, pair.variant))
            arms += variance(before) + variance(after)
            differences += variance([b - a for a, b in zip(before, after, strict=True)])
            factor = 2 if _share_training(each.cell, each.cell.baseline) else 1
        if differences:
            saved.append((column[0].cell.column.header, factor * arms / differences))
    between = {part: math.sqrt(2 * fmean(each)) for part, each in spreads.items()}
    return Noise(between, tuple(saved))


def _by_seed(arm: Scores, weights: Floats | None) -> list[float]:
    each: list[float] = (arm.mean(axis=1) if weights is None else arm @ weights).tolist()
    return each


def _share_training(cell: Cell, base: Cell) -> bool:
    """Whether both arms look at one training."""
    return [r.spec.run.signature for r in cell.records] == [
        r.spec.run.signature for r in base.records
    ]
