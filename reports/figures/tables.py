"""The figures of a table's cells, in their column's unit (shares of 1, batches or images a
second, what a training cost), and how they are written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from experiments.matrix.model import Form
from experiments.matrix.schema import DIGITS, Column
from reports.blocks import Grid, Mark
from reports.figures.select import Cell, Missing, SelectedTable


def bare(
    table: SelectedTable, texts: Sequence[Sequence[str]], marks: Sequence[Sequence[Mark]] = ()
) -> Grid:
    """The table alone, without what is hidden; as the changelog has it, unless it says how else.
    `texts` and `marks`, if there are any: by row, then column."""
    columns = [c for c, cells in enumerate(zip(*table.cells, strict=True)) if _are_shown(cells)]
    rows = [r for r, cells in enumerate(table.cells) if _are_shown(cells)]
    return Grid(
        header=[table.row_header, *(table.cells[0][c].column.header for c in columns)],
        rows=[[table.cells[r][0].row, *(texts[r][c] for c in columns)] for r in rows],
        marks={
            (row, column): marks[r][c]
            for row, r in enumerate(rows)
            for column, c in enumerate(columns, start=1)
            if marks
        },
    )


def _are_shown(cells: Sequence[Cell]) -> bool:
    """Of a row or a column."""
    return not all(cell.form.is_hidden for cell in cells)


def shown(cell: Cell, limits: tuple[float, float] | None = None) -> str:
    """A cell in its form: its mean, or the difference to its baseline, with its spread if it has
    one; where seeds lack a figure the mean of the others, with their count and no spread. `limits`:
    the 95 % interval of what is shown."""
    base = cell.baseline if cell.shows_difference else None
    sign = "" if base is None else "+"
    missing = cell.missing or (base and base.missing)
    if missing:
        each = _by_seed(cell, base)
        there = [figure for figure in each if not isinstance(figure, Missing)]
        return (
            f"{in_form(cell.form, fmean(there), sign)} {_of_all(each)}" if there else missing.value
        )
    figure = fmean(figures(cell))
    if base is not None:
        figure -= fmean(figures(base))
    said = in_form(cell.form, figure, sign)
    if cell.form.spread == "deviation" and (moved := _deviation(cell, base)) is not None:
        return f"{said} ± {in_form(cell.form, moved)}"
    if cell.form.spread == "interval" and limits is not None:
        low, high = (in_form(cell.form, limit, sign) for limit in limits)
        return f"{said} [{low}, {high}]"
    return said


def figure(cell: Cell) -> str:
    """Its mean with its metric's decimals; where seeds lack a figure as `shown`."""
    there = figures(cell)
    if cell.missing is None or not there:
        return text(cell.column, mean(cell))
    return f"{text(cell.column, fmean(there))} {_of_all(cell.figures)}"


def _by_seed(cell: Cell, base: Cell | None) -> list[float | Missing]:
    """Its figures; with a baseline the differences to those of the same seeds."""
    if base is None:
        return list(cell.figures)
    return [
        one if isinstance(one, Missing) else other if isinstance(other, Missing) else one - other
        for one, other in zip(cell.figures, base.figures, strict=True)
    ]


def _of_all(each: Sequence[float | Missing]) -> str:
    """How many of the seeds have a figure, and why the others have none."""
    lacking = Counter(figure for figure in each if isinstance(figure, Missing))
    why = ", ".join(f"{lacking[one]} {one.value}" for one in Missing if lacking[one])
    return f"({len(each) - lacking.total()} of {len(each)} seeds; {why})"


def _deviation(cell: Cell, base: Cell | None) -> float | None:
    """Over the seeds, as `deviation`; of the difference to a baseline seed by seed."""
    each = figures(cell)
    if base is not None:
        each = [figure - other for figure, other in zip(each, figures(base), strict=True)]
    return stdev(each) if len(each) > 1 else None


def in_form(form: Form, figure: float, sign: str = "") -> str:
    """With its decimals, of 1 or in percent. `sign`: "+" for a difference."""
    return rounded(100 * figure if form.percent else figure, form.digits, sign)


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


def finite(content: Any) -> Any:
    """As JSON can have it: what is no finite number is None."""
    match content:
        case float():
            return content if math.isfinite(content) else None
        case dict():
            return {name: finite(value) for name, value in content.items()}
        case list() | tuple():
            return [finite(value) for value in content]
    return content
