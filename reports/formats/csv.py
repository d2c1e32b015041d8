"""A table as comma-separated values; names and figures as they are."""

from __future__ import annotations

import csv
import io

from reports.formats.printed import Printed


def text(printed: Printed) -> str:
    """With marks each column that has verdicts is followed by one of their words, so that figures
    stay numbers."""
    grid = printed.grid
    judged = {column for _, column in printed.verdicts}
    header: list[str] = []
    rows: list[list[str]] = [[] for _ in grid.rows]
    for column, name in enumerate(grid.header):
        header += [name, f"{name}: verdict"] if column in judged else [name]
        for row, cells in enumerate(grid.rows):
            rows[row].append(cells[column])
            if column in judged:
                word = printed.verdicts.get((row, column))
                rows[row].append(word.value if word else "")
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([header, *rows])
    return written.getvalue()
