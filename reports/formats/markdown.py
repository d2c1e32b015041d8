"""A table as Markdown, in the changelog's form."""

from __future__ import annotations

from reports.blocks import Grid
from reports.formats.printed import MARKS, Printed
from reports.page import markdown


def text(printed: Printed) -> str:
    """To the byte as the report's own; with marks the best is bold, and a paragraph says what the
    marks mean."""
    grid = printed.grid
    if not printed.legend:
        return markdown.grid(Grid(grid.header, grid.rows))
    rows = [
        [
            said + MARKS[printed.verdicts[r, c]] if (r, c) in printed.verdicts else said
            for c, said in enumerate(row)
        ]
        for r, row in enumerate(grid.rows)
    ]
    return f"{markdown.grid(Grid(grid.header, rows, grid.strong))}\n{' '.join(printed.legend)}\n"
