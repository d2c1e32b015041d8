"""The figures of a table's cells, in their column's unit (shares of 1, batches or images a
second, what a training cost), and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from experiments.matrix.schema import DIGITS, Column
from reports.blocks import Grid
from reports.select import Cell, Missing, SelectedTable


def bare(table: SelectedTable, texts: Sequence[Sequence[str]]) -> Grid:
    """The table alone, as the changelog has it. `texts`: by row, then column."""
    header = [table.row_header, *(cell.column.header for cell in table.cells[0])]
    return Grid(header, [[row[0].row, *of] for row, of in zip(table.cells, texts, strict=True)])


def mean(cell: Cell) -> float | Missing:
    """Over all seeds; where one has no record, why."""
    return cell.missing or fmean(figures(cell))


def deviation(cell: Cell) -> float | None:
    """The standard deviation (n - 1) over the seeds, if these are several and all have a record."""
    each = figures(cell)
    return stdev(each) if len(each) > 1 and cell.missing is None else None


def minus(cell: Cell, other: Cell | float | None) -> float | None:
    """The mean minus another cell's, or minus a figure; None where one of the two is not there."""
    figure, base = mean(cell), mean(other) if isinstance(other, Cell) else other
    return figure - base if isinstance(figure, float) and isinstance(base, float) else None


def text(column: Column, figure: float | Missing | None, sign: str = "") -> str:
    """With its metric's decimals; nothing for None. `sign`: "+" for a difference."""
    if figure is None:
        return ""
    if isinstance(figure, Missing):
        return figure.value
    return rounded(figure, DIGITS.get(column.metric, 5), sign)


def interval(low: float, high: float) -> str:
    """Of a difference of shares."""
    return f"{rounded(low, 5, '+')} to {rounded(high, 5, '+')}"


def rounded(figure: float, digits: int, sign: str = "") -> str:
    """Without a minus before what rounds to 0."""
    return f"{round(figure, digits) + 0.0:{sign}.{digits}f}"


def figures(cell: Cell) -> list[float]:
    return [figure for figure in cell.figures if not isinstance(figure, Missing)]
