"""Verdicts in words and grids: no more than the intervals say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from classifier.basics.names import counted
from classifier.basics.progress import duration
from classifier.records.record import Cost
from experiments.matrix.schema import MARGIN, Column
from reports.blocks import Bar, Grid, Mark
from reports.figures.metrics import OF_THE_WHOLE
from reports.figures.select import Cell, Missing
from reports.figures.tables import (
    deviation,
    figure,
    figures,
    interval,
    mean,
    minus,
    rounded,
    text,
)
from reports.statistics.answers import (
    Answer,
    Judged,
    JudgedLine,
    Noise,
    estimate_from_records,
    noise,
)
from reports.statistics.intervals import (
    Comparison,
    Scope,
    compare_unpaired,
    estimate_from_shares,
)
from reports.statistics.verdicts import TWO_SEEDS, Needed, Verdict, Word, to_see, to_show_same
from reports.words.before import NOTHING, ONLY_COSTS
from reports.words.notes import emulated_on

FOLDS = (
    "The folds' trainings share most of their images, so how far chance moves figures of all folds "
    "together can't be estimated without bias (Bengio and Grandvalet 2004); these intervals take "
    "images as independent, and may be too narrow: docs/statistics.md."
)

LARGE_FAMILY = 20
FEW_SEEDS = 5
"""Whose figures are told one by one."""
SAVED, MOST_SAVED = 2.0, 100.0
"""From few seeds a ratio of variances below or above says nothing: differences that are equal by
chance make it as large as one likes."""
METHOD = (
    "A difference is the variant's figure minus its baseline's, over the seeds that both have. "
    "Where both arms' predictions are of the same images they are compared image by image and seed "
    "by seed (paired), else as two separate samples (labelled). One seed: the paired score "
    "interval (Tango 1998), for weighted scores a normal one with a floor; it speaks of these "
    "trainings, and another seed may give another answer. Several seeds: seeds and images as "
    "crossed random effects, Student's t for seeds; it speaks of this model, trained again on the "
    "same training images with other seeds, on other test images. Of folds, the test parts "
    "together: each image once. Metrics that are no mean over images: an image's part is its "
    "jackknife pseudo-value (Tukey 1958). Over the rows (models, data sets): of the mean of these; "
    "and of others like these, as if the rows were a sample of them. Speeds: from blocks of "
    "passes; they speak of this process on this device. p is the level at which the "
    "interval just touches 0. A difference is better or worse where Holm's p (1979), over all "
    "comparisons of its table, is at most 5 %; else it is the same where the 90 % interval lies "
    "inside the margin (each at 5 % on its own, not corrected); else these data can't tell. How "
    "well this holds, and the sources: docs/statistics.md."
)

ROUGH = (
    "Four times of five, if things are as these few seeds and images suggest: orders of magnitude."
)

ENOUGH = "no more than there are, four times of five; but the difference measured is too large"
"""Of `same`, for which the spread is small enough: only where the interval lies is in the way."""

BOLD = (
    "Bold: no other row of this column is shown to be better, and some row is shown to be worse "
    "(which says nothing of the baseline); where no row is shown to differ, nothing is bold."
)


def headline(answer: Answer) -> str:
    """The answer of a table in two sentences."""
    return f"{answer.table.name}: {_answered(answer)}"


def _answered(answer: Answer) -> str:
    groups = compared_columns(answer)
    if not groups:
        return f"{why_nothing(answer)}."
    chosen = preferred(groups)
    line = line_over(answer, chosen[0])
    if line is not None:
        return f"{_of_line(line, kind_of_row(answer))} Row by row: {row_by_row(answer)}."
    first = chosen[0][0]
    if len(chosen[0]) == 1 and first.comparison and first.verdict:
        more = f" Column by column: {row_by_row(answer)}." if len(groups) > 1 else ""
        return f"{_of_cell(first)}{more}"
    cells = [each for group in chosen for each in group]
    count = "1 compared cell" if len(cells) == 1 else f"{len(cells)} compared cells"
    return f"of {count} {_counts(chosen)}.{_most(chosen)}"


def why_nothing(answer: Answer) -> str:
    """Why nothing is compared."""
    has_costs = any(cell.baseline for row in answer.table.cells for cell in row)
    return ONLY_COSTS if has_costs else NOTHING


def line_over(answer: Answer, column: Sequence[Judged]) -> JudgedLine | None:
    """That of these rows."""
    lines = (line for line in answer.lines if line.rows[0].cell.column == column[0].cell.column)
    return next(lines, None)


def row_by_row(answer: Answer) -> str:
    """How often each verdict is said, with those of speeds."""
    groups = compared_columns(answer)
    chosen = preferred(groups)
    speeds = [group for group in groups if group[0].cell.column.is_speed and group not in chosen]
    told = _counts(chosen) + "".join(f"; {_by_column([group])}" for group in speeds)
    return told + (" (FP16 emulated by this CPU)" if speeds and emulated_on(answer.table) else "")


def _counts(groups: Sequence[Sequence[Judged]]) -> str:
    return counted_verdicts(groups) if len(groups) == 1 else _by_column(groups)


def _by_column(groups: Sequence[Sequence[Judged]]) -> str:
    return "; ".join(
        f"{group[0].cell.column.header}: {counted_verdicts([group])}" for group in groups
    )


def counted_verdicts(groups: Sequence[Sequence[Judged]]) -> str:
    """How often each verdict is said."""
    cells = [each for group in groups for each in group]
    counted = Counter(each.verdict.word for each in cells if each.verdict)
    told = [f"{counted[word]} {word.value}" for word in Word if counted[word]]
    others = Counter(_without(each) for each in cells if not each.verdict)
    return ", ".join([*told, *(f"{count} {why}" for why, count in others.items())])


def _without(judged: Judged) -> str:
    """Why a cell has no verdict, in the words of its table where a record is missing."""
    base = judged.cell.baseline
    missing = judged.cell.missing or (base and base.missing)
    is_open = missing in (Missing.FAILED, Missing.TODO)
    return missing.value if missing and is_open else "without an interval"


def _of_line(line: JudgedLine, kind: str) -> str:
    names = f"“{line.column.header}”", f"“{line.baseline.header}”"
    if line.column.header == line.baseline.header:
        names = names[0], "that of its baseline's row"
    over = f"on average over these {len(line.rows)} {kind}s"
    signs = Counter(np.sign(each.comparison.difference) for each in line.rows if each.comparison)
    rows = f"higher in {signs[1]}, equal in {signs[0]}, lower in {signs[-1]} rows"
    told = [*seeds_and_images(line.comparison), rows]
    said = _sentence(over, names, line.column, line.comparison, line.verdict, line.rows[0])
    return f"{said} ({'; '.join(told)}){''.join(f'; {each}' for each in line.verdict.remarks)}."


def _of_cell(judged: Judged) -> str:
    assert judged.comparison is not None and judged.verdict is not None
    column, comparison, verdict = judged.cell.column, judged.comparison, judged.verdict
    said = _sentence(*where_and_names(judged), column, comparison, verdict, judged)
    told = "; ".join(seeds_and_images(comparison))
    remarks = "".join(f"; {each}" for each in (*verdict.remarks, *judged.remarks))
    return f"{said}{f' ({told})' if told else ''}{remarks}."


def where_and_names(judged: Judged) -> tuple[str, tuple[str, str]]:
    """Of a compared cell: in what it is, and what the variant and its baseline are called."""
    cell, base = judged.cell, judged.cell.baseline
    assert base is not None
    if base.row != cell.row:
        return f"in “{cell.column.header}”", (f"“{cell.row}”", f"“{base.row}”")
    return f"in {cell.row}", (f"“{cell.column.header}”", f"“{base.column.header}”")


def _sentence(
    where: str,
    names: tuple[str, str],
    column: Column,
    comparison: Comparison,
    verdict: Verdict,
    judged: Judged,
) -> str:
    """`names`: the variant's and the baseline's; `judged` has the margin."""
    variant, base = names
    match verdict.word:
        case Word.BETTER | Word.WORSE:
            start = f"{where} {variant} is {verdict.word.value} than {base}"
        case Word.SAME:
            start = f"{where} {variant} differs from {base} by less than {_margin(judged)}"
        case _:
            start = f"it can't be told whether {where} {variant} differs from {base}"
    limits = interval_at(column, comparison, level_of(verdict))
    return f"{start}: {difference(column, comparison)}, {limits}"


def seeds_and_images(comparison: Comparison) -> list[str]:
    """What a comparison rests on; of speeds nothing."""
    if comparison.scope is Scope.PROCESS:
        return []
    one = comparison.seeds == 1
    seeds = "1 seed each, so of these trainings" if one else f"{comparison.seeds} seeds each"
    return [seeds, f"{comparison.images:,} images"]


def _margin(judged: Judged) -> str:
    return f"{judged.cell.margin:g}, the margin" if judged.cell.margin else ""


def _most(groups: Sequence[Sequence[Judged]]) -> str:
    """The rows that are told apart."""
    parts = []
    for word in (Word.BETTER, Word.WORSE):
        named = [
            f"{each.cell.row} ({each.cell.column.header}: "
            f"{difference(each.cell.column, each.comparison)})"
            for group in groups
            for each in group
            if each.comparison and each.verdict and each.verdict.word is word
        ]
        if named:
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            parts.append(f" {word.value.capitalize()}: {', '.join(named[:3])}{more}.")
    return "".join(parts)


def compared_columns(answer: Answer) -> list[list[Judged]]:
    """The compared cells, by column."""
    columns = zip(*answer.cells, strict=True)
    groups = ([each for each in column if each.cell.is_compared] for column in columns)
    return [group for group in groups if group]


def preferred(groups: list[list[Judged]]) -> list[list[Judged]]:
    """Those of test where there are any; else all that are no speeds; else the speeds."""
    shares = [group for group in groups if not group[0].cell.column.is_speed]
    test = [group for group in shares if group[0].cell.column.part == "test"]
    return test or shares or groups


def verdict_grid(answer: Answer) -> Grid | None:
    """A line for each cell that can have a verdict, then the lines over the rows; None where it
    would say no more than the table."""
    cells = [each for row in answer.cells for each in row if not each.cell.column.is_cost]
    several = any(deviation(each.cell) is not None for each in cells)
    header = [answer.table.row_header, "column", "figure"]
    header += ["deviation over seeds"] if several else []
    compares = bool(answer.compared)
    header += ["difference", "95 % interval", "p", "Holm's p", "verdict"] if compares else []
    extents = _extents(answer)
    rows = []
    marks: dict[tuple[int, int], Mark] = {}
    for each in cells:
        column = each.cell.column
        row = [each.cell.row, column.header, figure(each.cell)]
        row += [text(column, deviation(each.cell))] if several else []
        told = _told(column, each.comparison, each.adjusted, each.verdict, each)
        rows.append([*row, *(told if compares else ())])
        marks |= _marked(len(rows) - 1, header, each, extents)
    for line in answer.lines:
        row = [line_name(answer, line), line.column.header, "", *([""] if several else [])]
        rows.append([*row, *_told(line.column, line.comparison, line.adjusted, line.verdict)])
        marks |= _marked(len(rows) - 1, header, line, extents)
    if not (several or compares or any(each.stands_out for each in cells)):
        return None
    strong = frozenset((position, 2) for position, each in enumerate(cells) if each.stands_out)
    return Grid(header, rows, strong, marks)


def marks(answer: Answer) -> list[list[Mark]]:
    """Of its cells, by row, then column: verdict, interval, and all that is known in a line."""
    extents = _extents(answer)
    return [
        [
            Mark(
                word=each.verdict.word.value if each.verdict else None,
                bar=_bar(each.comparison, each.cell, extents),
                told=_in_a_line(each),
                is_strong=each.stands_out,
            )
            for each in row
        ]
        for row in answer.cells
    ]


def _in_a_line(judged: Judged) -> str:
    cell, column = judged.cell, judged.cell.column
    said = []
    if judged.estimate and not cell.missing:
        low, high = (text(column, limit) for limit in (judged.estimate.low, judged.estimate.high))
        said.append(f"{text(column, mean(cell))}, 95 % interval {low} to {high}")
    if 1 < len(each := figures(cell)) <= FEW_SEEDS:
        said.append(f"seeds {', '.join(text(column, figure) for figure in each)}")
    if cell.is_compared and cell.baseline:
        base = cell.baseline
        name = base.column.header if base.row == cell.row else base.row
        said.append(f"against “{name}” {_against(judged)}")
    return "; ".join(said)


def _against(judged: Judged) -> str:
    """The difference to its baseline, and what is made of it."""
    column, comparison, verdict = judged.cell.column, judged.comparison, judged.verdict
    if comparison is None or verdict is None or judged.adjusted is None:
        difference_alone, *_, remarks = _told(column, None, None, None, judged)
        return ": ".join(filter(None, [difference_alone, remarks]))
    ps = f"p {p_value(comparison.p)}, Holm's {p_value(judged.adjusted)}"
    said = "; ".join([verdict.word.value, *verdict.remarks, *judged.remarks])
    return f"{difference(column, comparison)}, {_intervals(column, comparison)}, {ps}: {said}"


def _intervals(column: Column, comparison: Comparison) -> str:
    """Both that a bar draws."""
    return f"{interval_at(column, comparison, 0.95)}, {interval_at(column, comparison, 0.90)}"


def interval_at(column: Column, comparison: Comparison, level: float) -> str:
    return f"{100 * level:.0f} % interval {span(column, *comparison.at(level))}"


def level_of(verdict: Verdict | None) -> float:
    """Of the interval that decides it: what is the same is so by that of 90 %."""
    return 0.90 if verdict is not None and verdict.word is Word.SAME else 0.95


Extents = Mapping[str, float]
"""By metric how far from 0 the intervals and the margins of a table reach."""


def _extents(answer: Answer) -> Extents:
    """The bars of one metric share an axis, so that their lengths can be compared."""
    reach: dict[str, float] = {}
    for column, comparison in (
        *((each.cell.column, each.comparison) for each in answer.compared),
        *((line.column, line.comparison) for line in answer.lines),
    ):
        if comparison is not None:
            ends = abs(comparison.low), abs(comparison.high), reach.get(column.metric, 0.0)
            reach[column.metric] = max(ends)
    for each in answer.compared:  # and somewhat beyond the margin, whose end is to be seen
        metric, margin = each.cell.column.metric, each.cell.margin
        if metric in reach and margin:
            reach[metric] = max(reach[metric], 1.15 * margin)
    return reach


def mark_of(answer: Answer, of: Judged | JudgedLine) -> Mark:
    """The verdict and the interval of a cell, or of a line over its rows."""
    cell = of.rows[0].cell if isinstance(of, JudgedLine) else of.cell
    word = of.verdict.word.value if of.verdict else None
    return Mark(word, _bar(of.comparison, cell, _extents(answer)))


def _bar(comparison: Comparison | None, cell: Cell, extents: Extents) -> Bar | None:
    if comparison is None or not np.isfinite([comparison.low, comparison.high]).all():
        return None
    return Bar(
        low=comparison.low,
        at=comparison.difference,
        high=comparison.high,
        inner=comparison.at(0.90),
        extent=extents[cell.column.metric] or 1.0,
        margin=cell.margin,
    )


def _marked(
    row: int, header: Sequence[str], of: Judged | JudgedLine, extents: Extents
) -> dict[tuple[int, int], Mark]:
    """The marks of a line of the grid of verdicts."""
    if of.comparison is None or of.verdict is None:
        return {}
    cell = of.rows[0].cell if isinstance(of, JudgedLine) else of.cell
    told = _intervals(cell.column, of.comparison)
    told += f"; margin {cell.margin:g}" if cell.margin else ""
    return {
        (row, header.index("95 % interval")): Mark(
            bar=_bar(of.comparison, cell, extents), told=told
        ),
        (row, header.index("verdict")): Mark(word=of.verdict.word.value),
    }


def _told(
    column: Column,
    comparison: Comparison | None,
    adjusted: float | None,
    verdict: Verdict | None,
    judged: Judged | None = None,
) -> list[str]:
    remarks = list(judged.remarks) if judged else []
    if comparison is None or adjusted is None or verdict is None:
        remarks += judged.doubts if judged else ()
        return [_alone(judged), "", "", "", "; ".join(remarks)]
    word = verdict.word.value
    if verdict.word is Word.SAME:
        word += f" ({interval_at(column, comparison, level_of(verdict))})"
    said = "; ".join([word, *verdict.remarks, *remarks])
    limits = span(column, comparison.low, comparison.high)
    figures = difference(column, comparison), limits, p_value(comparison.p), p_value(adjusted)
    return [*figures, said]


def _alone(judged: Judged | None) -> str:
    """A difference that has no interval."""
    if judged is None or judged.cell.baseline is None:
        return ""
    cell, base = mean(judged.cell), mean(judged.cell.baseline)
    if not isinstance(cell, float) or not isinstance(base, float):
        return ""
    if judged.cell.column.is_speed:
        return f"{100 * (cell / base - 1):+.1f} %"
    return rounded(cell - base, 5, "+")


def difference(column: Column, comparison: Comparison | None) -> str:
    """With its sign; of a speed in percent of the baseline's."""
    if comparison is None:
        return ""
    if column.is_speed:
        return f"{100 * comparison.difference:+.1f} %"
    return rounded(comparison.difference, 5, "+")


def span(column: Column, low: float, high: float) -> str:
    """An interval of a difference."""
    if column.is_speed:
        return f"{100 * low:+.1f} to {100 * high:+.1f} %"
    return interval(low, high)


def p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def verdict_notes(answer: Answer) -> Iterator[str]:
    """What must be known to read the verdicts."""
    compared = [each for each in answer.compared if each.comparison]
    if compared:
        yield from _on_comparisons(answer, compared)
    if any(each.stands_out for row in answer.cells for each in row):
        yield f"{BOLD} Columns without intervals have none."
    yield from _noise(noise(answer))


def _on_comparisons(answer: Answer, compared: Sequence[Judged]) -> Iterator[str]:
    listed = ", ".join(f"“{name}” with “{base}”" for name, base in compared_with(compared))
    yield f"Compared: {listed}."
    yield from _margins([each.cell for each in compared])
    yield f"Holm's p is over {counted(answer.family, 'comparison')}."
    if answer.family > LARGE_FAMILY:
        yield (
            f"With {answer.family} comparisons in one table, Holm's correction asks the first of "
            f"them for p below {0.05 / answer.family:.2g}; a table of fewer would show more."
        )
    if whole := sorted({each.cell.column.metric for each in compared} & set(OF_THE_WHOLE)):
        yield (
            f"No mean over images: {', '.join(whole)}. There an image's part is its jackknife "
            "pseudo-value (Tukey 1958): docs/statistics.md."
        )
    if any(each.comparison.seeds == 2 for each in compared if each.comparison):
        yield TWO_SEEDS
    if any(each.comparison.scope is Scope.TRAININGS for each in compared if each.comparison):
        yield (
            "Verdicts from one seed speak of these trainings: what another seed would give is not "
            "in them."
        )
    if any(
        each.cell.column.split == "val" or each.cell.column.stage == "train" for each in compared
    ):
        yield (
            "Columns of val: each training's best epoch was chosen on these images, so they "
            "flatter it, and their intervals and verdicts do not allow for that; test columns are "
            "free of it."
        )
    if any(each.cell.data and each.cell.data.folds and each.comparison for each in compared):
        yield FOLDS
    yield from answer.no_lines


def _margins(compared: Sequence[Cell]) -> Iterator[str]:
    """Which they are, and which of them the matrix chose."""
    without = dict.fromkeys(cell.column.header for cell in compared if cell.margin is None)
    has_default = [cell for cell in compared if cell.column.is_share]
    is_default = any(cell.margin == MARGIN for cell in has_default)
    own = (cell for cell in compared if cell.margin != MARGIN or cell not in has_default)
    chosen = {cell.margin for cell in own if cell.margin}
    said = [f"{MARGIN:g}, the default"] if is_default else []
    if chosen:
        written = " and ".join(f"{margin:g}" for margin in sorted(chosen))
        default = f" (the default is {MARGIN:g})" if has_default and not is_default else ""
        said.append(f"{written}, set by this matrix{default}")
    if said:
        has = "has" if len(without) == 1 else "have"
        never = f"; never said of {', '.join(without)}, which {has} no margin" if without else ""
        yield f"Margin for `same`: {'; '.join(said)}{never}."


def compared_with(compared: Sequence[Judged]) -> list[tuple[str, str]]:
    """Columns with columns; where it is rows, rows with rows."""
    named: dict[tuple[str, str], None] = {}
    for each in compared:
        cell, base = each.cell, each.cell.baseline
        if base is not None:
            by_row = cell.column.header == base.column.header
            named[(cell.row, base.row) if by_row else (cell.column.header, base.column.header)] = (
                None
            )
    return list(named)


def _noise(of: Noise) -> Iterator[str]:
    if of.between_seeds:
        parts = ", ".join(f"{move:.5f} on {part}" for part, move in of.between_seeds.items())
        yield f"Changing only the seed moves a figure by {parts} (root mean square of two seeds)."
    for header, times in of.unpaired_trainings:
        if SAVED < times < MOST_SAVED:
            yield (
                f"{header}: that both arms have the same seeds saved trainings: with seeds of "
                f"their own they would have needed about {times:.0f} times as many (estimated from "
                "few seeds, so rough)."
            )


def rough(answer: Answer) -> str:
    """What must be known to read what would tell."""
    has_sample = any(line.comparison.scope is Scope.POPULATION for line in answer.lines)
    only = f" Of {kind_of_row(answer)}s like these only more rows tell." if has_sample else ""
    return f"{ROUGH}{only}"


def would_tell(answer: Answer, costs: Mapping[str, Cost]) -> Grid | None:
    """What would turn each `can't tell` into a verdict, with what it would cost."""
    open_: list[tuple[str, Column, Comparison, Sequence[Judged]]] = []
    for each in answer.compared:
        if each.comparison and _is_open(each.verdict) and not each.doubts:
            open_.append((each.cell.row, each.cell.column, each.comparison, [each]))
    for line in answer.lines:
        doubtful = any(each.doubts for each in line.rows)
        is_sample = line.comparison.scope is Scope.POPULATION  # only more rows would tell
        if _is_open(line.verdict) and not doubtful and not is_sample:
            name = line_name(answer, line)
            open_.append((name, line.column, line.comparison, line.rows))
    if not open_:
        return None
    rows = []
    for name, column, comparison, judged in open_:
        cost, margin = _cost_of_a_seed(judged, costs), judged[0].cell.margin
        see = _needed(to_see(comparison, answer.family), comparison, cost)
        see = see if comparison.difference else "none was seen"
        same = "no margin"
        if margin is not None:
            same = _needed(to_show_same(comparison, margin), comparison, cost)
        rows.append((name, column.header, see, same))
    return Grid(
        (
            answer.table.row_header,
            "column",
            "to confirm the difference measured (estimated)",
            "to show `same`, if there is none (estimated)",
        ),
        rows,
    )


def _is_open(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.word is Word.CANT_TELL


def line_name(answer: Answer, line: JudgedLine) -> str:
    """What stands in place of a row's name."""
    return f"{len(line.rows)} rows: {spoken_of(line.comparison, kind_of_row(answer))}"


def spoken_of(comparison: Comparison, kind: str) -> str:
    """What it speaks of, with rows of that kind."""
    return comparison.scope.value.replace("model", kind)


def kind_of_row(answer: Answer) -> str:
    """What its rows are, as far as is known."""
    return {"model": "model", "data": "data set"}.get(answer.table.row_header, "row")


def _needed(needed: Needed, comparison: Comparison, cost: float | None) -> str:
    if comparison.scope is Scope.PROCESS:
        return "measure longer: benchmark.seconds"
    if needed.seeds == comparison.seeds or needed.images == comparison.images:
        return ENOUGH
    ways = []
    if needed.seeds is not None:
        more = needed.seeds - comparison.seeds
        price = f", ~{duration(more * cost)} of job time" if cost is not None else ""
        ways.append(f"{needed.seeds} seeds ({more} more{price})")
    if needed.images is not None:
        ways.append(f"{needed.images:,} images (there are {comparison.images:,})")
    unknown = comparison.seeds == 1
    if not ways and unknown:
        return "not by more images alone"
    if not ways:
        return "not by more seeds alone, nor by more images alone"
    return " or ".join(ways) + ("; of seeds one can't say" if unknown else "")


def _cost_of_a_seed(judged: Sequence[Judged], costs: Mapping[str, Cost]) -> float | None:
    """Seconds that one more seed of both arms would take, as those took that are there."""
    needed: dict[str, None] = {}
    seeds = 1
    for each in judged:
        for cell in (each.cell, each.cell.baseline):
            for record in cell.records if cell else ():
                needed |= dict.fromkeys((record.spec.run.signature, record.signature))
            seeds = max(seeds, len(cell.there) if cell else 0)
    known = [costs[signature].seconds for signature in needed if signature in costs]
    return sum(known) / seeds if known else None


def published_grid(answer: Answer) -> Grid:
    """Published figures beside the measured ones, and whether chance alone can be why they differ:
    whether it is within what both samples of images allow."""
    header = (
        answer.table.row_header,
        "column",
        "measured",
        "published",
        "minus published",
        "within what chance allows",
    )
    rows = []
    for each in (each for row in answer.cells for each in row):
        cell, column = each.cell, each.cell.column
        if cell.published is None:
            continue
        difference = text(column, minus(cell, cell.published), "+")
        measured = (figure(cell), text(column, cell.published), difference)
        rows.append((cell.row, column.header, *measured, _within(each)))
    return Grid(header, rows)


def _within(judged: Judged) -> str:
    """Binomial of both, unpaired; of accuracies only."""
    cell, published = judged.cell, judged.cell.published
    if published is None or cell.missing or cell.column.metric != "accuracy":
        return ""
    measured = estimate_from_records(cell.there)
    found = compare_unpaired(estimate_from_shares([published], measured.images), measured)
    return "yes" if found.low <= 0 <= found.high else "no"
