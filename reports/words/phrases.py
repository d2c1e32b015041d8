"""The parts of what is said of a comparison: figures, intervals, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.matrix.schema import Column
from reports.figures.tables import interval, rounded
from reports.statistics.answers import Answer, Judged, JudgedLine
from reports.statistics.intervals import Comparison, Scope
from reports.statistics.verdicts import Verdict, Word


def as_sentence(said: str) -> str:
    """A remark that stands alone."""
    return f"{said[0].upper()}{said[1:]}."


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


def interval_at(column: Column, comparison: Comparison, level: float) -> str:
    return f"{100 * level:.0f} % interval {span(column, *comparison.at(level))}"


def level_of(verdict: Verdict | None) -> float:
    """Of the interval that decides it: what is the same is so by that of 90 %."""
    return 0.90 if verdict is not None and verdict.word is Word.SAME else 0.95


def seeds_and_images(comparison: Comparison) -> list[str]:
    """What a comparison rests on; of speeds nothing."""
    if comparison.scope is Scope.PROCESS:
        return []
    one = comparison.seeds == 1
    seeds = "1 seed each, so of these trainings" if one else f"{comparison.seeds} seeds each"
    return [seeds, f"{comparison.images:,} images"]


def where_and_names(judged: Judged) -> tuple[str, tuple[str, str]]:
    """Of a compared cell: in what it is, and what the variant and its baseline are called."""
    cell, base = judged.cell, judged.cell.baseline
    assert base is not None
    if base.row != cell.row:
        return f"in “{cell.column.header}”", (f"“{cell.row}”", f"“{base.row}”")
    return f"in {cell.row}", (f"“{cell.column.header}”", f"“{base.column.header}”")


def over_rows(answer: Answer, line: JudgedLine) -> str:
    """In what a line over the rows is, as `where_and_names` has it of a cell."""
    return f"on average over these {len(line.rows)} {kind_of_row(answer)}s"


def names_of(line: JudgedLine) -> tuple[str, str]:
    """What its variant and its baseline are called."""
    variant, base = line.column.header, line.baseline.header
    return f"“{variant}”", "that of its baseline's row" if variant == base else f"“{base}”"


def directions(line: JudgedLine) -> str:
    """In how many of its rows the figure is higher, equal, lower."""
    signs = Counter(np.sign(each.comparison.difference) for each in line.rows if each.comparison)
    return f"higher in {signs[1]}, equal in {signs[0]}, lower in {signs[-1]} rows"


def line_name(answer: Answer, line: JudgedLine) -> str:
    """What stands in place of a row's name."""
    return f"{len(line.rows)} rows: {spoken_of(line.comparison, kind_of_row(answer))}"


def spoken_of(comparison: Comparison, kind: str) -> str:
    """What it speaks of, with rows of that kind."""
    return comparison.scope.value.replace("model", kind)


def kind_of_row(answer: Answer) -> str:
    """What its rows are, as far as is known."""
    return {"model": "model", "data": "data set"}.get(answer.table.row_header, "row")


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
