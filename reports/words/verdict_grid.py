"""Verdicts as a grid, and as marks of a table's cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.matrix.schema import Column
from reports.blocks import Bar, Grid, Mark
from reports.figures.select import Cell
from reports.figures.tables import deviation, figure, figures, mean, rounded, text
from reports.statistics.answers import Answer, Judged, JudgedLine
from reports.statistics.intervals import Comparison
from reports.statistics.verdicts import Verdict, Word
from reports.words.phrases import difference, interval_at, level_of, line_name, p_value, span

FEW_SEEDS = 5
"""Whose figures are told one by one."""


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
