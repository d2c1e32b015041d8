"""A table as a bare fragment of HTML, without styles."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from classifier.basics.names import printable
from reports.formats.printed import MARKS, Printed


def text(printed: Printed) -> str:
    grid = printed.grid
    header = "".join(f'<th scope="col">{_escaped(name)}</th>' for name in grid.header)
    lines = ["<table>", f"<caption>{_escaped(printed.caption)}</caption>"]
    lines += ["<thead>", f"<tr>{header}</tr>", "</thead>", "<tbody>"]
    lines += [f"<tr>{''.join(_cells(printed, row))}</tr>" for row in range(len(grid.rows))]
    lines += ["</tbody>"]
    if printed.legend:
        said = _escaped(" ".join(printed.legend))
        legend = f'<tr><td colspan="{len(grid.header)}">{said}</td></tr>'
        lines += ["<tfoot>", legend, "</tfoot>"]
    return "\n".join([*lines, "</table>", ""])


def _cells(printed: Printed, row: int) -> Iterator[str]:
    for column, said in enumerate(printed.grid.rows[row]):
        place, figure = (row, column), _escaped(said)
        if column == 0:
            yield f'<th scope="row">{figure}</th>'
            continue
        figure = f"<strong>{figure}</strong>" if place in printed.grid.strong else figure
        word = printed.verdicts.get(place)
        mark = f'<sup title="{_escaped(word.value)}">{MARKS[word]}</sup>' if word else ""
        yield f"<td>{figure}{mark}</td>"


def _escaped(name: str) -> str:
    return escape(printable(name))
