"""The text of one table, or of all for scripts, in the format that is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from experiments.matrix.model import Matrix
from reports.figures.select import Selection
from reports.formats import FormatName, csv, html, json, latex, markdown
from reports.formats.printed import printed
from reports.statistics.answers import Answer

Found = Sequence[tuple[Selection, Sequence[Answer]]]
"""Each matrix with the answers of its tables."""
_TEXTS = {"latex": latex.text, "csv": csv.text, "html": html.text, "markdown": markdown.text}


def text(found: Found, name: FormatName, marks: bool = False) -> str:
    """Of a single table, but for JSON. `marks`: whether verdicts are shown, which JSON always has.
    Raises UserError for several."""
    if name == "json":
        return json.text(found)
    several = [_named(selection, a, found) for selection, answers in found for a in answers]
    if len(several) > 1:
        raise UserError(
            f"--format {name} prints one table; choose it with --table: {', '.join(several)}"
        )
    ((selection, (answer,)),) = found
    return _TEXTS[name](printed(answer, selection.matrix.title, marks))


def check_table(matrices: Sequence[Matrix], table: str | None) -> None:
    """Raises UserError where no table of these has that name."""
    names = list(dict.fromkeys(each.name for matrix in matrices for each in matrix.tables))
    if table is not None and table not in names:
        raise UserError(f"--table {table}: no such table{nearest(table, names)}")


def chosen(found: Found, table: str | None) -> Found:
    """All tables, or those of that name."""
    if table is None:
        return found
    kept = [(s, [a for a in answers if a.table.name == table]) for s, answers in found]
    return [(selection, answers) for selection, answers in kept if answers]


def _named(selection: Selection, answer: Answer, found: Found) -> str:
    of = f" (of {selection.matrix.source})" if len(found) > 1 else ""
    return f"{answer.table.name}{of}"
