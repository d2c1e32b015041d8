"""A matrix's tables as the live view has them: as its report's, with what a comparison says as soon
as it is whole, and how many seeds a cell that waits has."""

from __future__ import annotations

from experiments.execution.view.picture import Table
from reports.figures.select import Cell, Missing
from reports.figures.tables import figures
from reports.formats.printed import MARKS, SAID, cells
from reports.page.sections import measured
from reports.statistics.answers import Answer, Judged
from reports.statistics.verdicts import Word

COMPARED = "against the baseline:"
SEEDS = "(n/m) so many seeds are done"


def table(answer: Answer, name: str) -> Table:
    """`name`: what stands above it."""
    grid, judged = measured(answer), cells(answer)
    rows = [list(row) for row in grid.rows]
    words = {place: word for place, each in judged.items() if (word := _word(each))}
    seeds = {place: said for place, each in judged.items() if (said := _seeds(each.cell))}
    for (r, c), said in seeds.items():
        rows[r][c] = said
    marked = {c for _, c in words}
    for r, c in judged:
        if c in marked:  # figures stand below each other, with a mark or without
            rows[r][c] += f" {MARKS[words[r, c]]}" if (r, c) in words else "  "
    return Table(
        name,
        tuple(grid.header),
        tuple(map(tuple, rows)),
        legend=_legend(set(words.values()), bool(seeds)),
    )


def _word(judged: Judged) -> Word | None:
    """What its comparison says, if all seeds of both are there."""
    cell = judged.cell
    whole = cell.missing is None and cell.baseline is not None and cell.baseline.missing is None
    return judged.verdict.word if whole and judged.verdict else None


def _seeds(cell: Cell) -> str:
    """How many of its seeds are done, if only some are."""
    of = cell.baseline if cell.shows_difference and cell.missing is None else cell
    done = 0 if of is None or of.missing is not Missing.TODO else len(figures(of))
    return f"({done}/{len(of.figures)})" if of and done else ""


def _legend(words: set[Word], has_seeds: bool) -> tuple[str, ...]:
    told = [f"{MARKS[word]} {SAID[word]}" for word in Word if word in words]
    return (*([COMPARED] if told else []), *told, *([SEEDS] if has_seeds else []))
