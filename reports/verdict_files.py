"""The figures of all verdicts for scripts: verdicts.csv, and verdicts.json with the same, typed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from classifier.basics.names import csv_text
from experiments.matrix.schema import Column
from reports.figures.tables import mean, minus
from reports.statistics.answers import Answer, Judged, JudgedLine
from reports.statistics.intervals import LEVEL, Comparison, Scope
from reports.statistics.verdicts import Verdict
from reports.words.phrases import kind_of_row, spoken_of

COLUMNS = (
    "table", "row", "column", "metric", "split", "figure", "low", "high", "best",
    "baseline_row", "baseline_column", "difference", "difference_low", "difference_high",
    "low_90", "high_90",
    "p", "holm_p", "family", "verdict", "remarks", "speaks_of", "paired", "seeds", "images",
    "margin",
)  # fmt: skip
"""An interval is of 95 %, but that which decides what is the same, of 90 %; of a speed a difference
is relative. A line over rows has no figure."""


Row = dict[str, Any]


def rows_of(answers: Sequence[Answer]) -> list[Row]:
    """Of every table its cells, then its lines, by the names of COLUMNS; without tables of more
    than 40 rows that compare nothing."""
    return [row for each in answers if each.is_judged for row in _rows(each)]


def as_csv(rows: Sequence[Row]) -> str:
    """What does not exist is empty; yes or no is 1 or 0."""
    return csv_text(COLUMNS, ({n: _plain(value) for n, value in row.items()} for row in rows))


def as_json(rows: Sequence[Row]) -> str:
    """`{"level", "verdicts": [...]}`, an object for each row of the CSV; what does not exist is
    null."""
    content = {"level": LEVEL, "verdicts": list(rows)}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return "; ".join(value)
    return int(value) if isinstance(value, bool) else value


def _rows(answer: Answer) -> Iterator[dict[str, Any]]:
    for judged in (each for row in answer.cells for each in row):
        yield of_cell(answer, judged)
    for line in answer.lines:
        yield of_line(answer, line)


def of_cell(answer: Answer, judged: Judged) -> Row:
    """A cell by the names of COLUMNS."""
    cell = judged.cell
    base = cell.baseline
    figure, alone = mean(cell), judged.estimate
    row = _row(answer, cell.row, cell.column)
    row |= {
        "figure": figure if isinstance(figure, float) else None,
        "low": alone.low if alone and not cell.missing else None,
        "high": alone.high if alone and not cell.missing else None,
        "best": judged.is_best,
        "baseline_row": base.row if base else None,
        "baseline_column": base.column.header if base else None,
        "remarks": list(judged.remarks),
        "margin": cell.margin,
    }
    if judged.comparison is None:
        row["remarks"] += judged.doubts
        row["difference"] = None if cell.column.is_speed else minus(cell, base)
        return row
    return row | _compared(judged.comparison, judged.adjusted, judged.verdict, row["remarks"])


def of_line(answer: Answer, line: JudgedLine) -> Row:
    """A line over the rows likewise."""
    row = _row(answer, None, line.column)
    row |= {"baseline_column": line.baseline.header, "margin": line.rows[0].cell.margin}
    row |= _compared(line.comparison, line.adjusted, line.verdict, [])
    return row | {"speaks_of": spoken_of(line.comparison, kind_of_row(answer))}


def _row(answer: Answer, name: str | None, column: Column) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {
        "table": answer.table.name,
        "row": name,
        "column": column.header,
        "metric": column.metric,
        "split": None if column.is_speed or column.is_cost else column.images,
        "family": answer.family,
    }


def _compared(
    comparison: Comparison, adjusted: float | None, verdict: Verdict | None, remarks: list[str]
) -> dict[str, Any]:
    return {
        "difference": comparison.difference,
        "difference_low": comparison.low,
        "difference_high": comparison.high,
        "low_90": comparison.at(0.90)[0],
        "high_90": comparison.at(0.90)[1],
        "p": comparison.p,
        "holm_p": adjusted,
        "verdict": verdict.word.value if verdict else None,
        "remarks": [*(verdict.remarks if verdict else ()), *remarks],
        "speaks_of": comparison.scope.value,
        "paired": comparison.paired,
        "seeds": comparison.seeds,
        "images": None if comparison.scope is Scope.PROCESS else comparison.images,
    }
