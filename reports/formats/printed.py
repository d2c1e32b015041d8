"""A table as its matrix's form has it, with its best figures and its verdicts: what every format
makes its text from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from classifier.basics.names import counted
from reports.blocks import Grid
from reports.figures.select import Cell
from reports.figures.tables import bare
from reports.page.sections import measured
from reports.statistics.answers import Answer, Judged
from reports.statistics.verdicts import Word
from reports.words.phrases import compared_with
from reports.words.verdict_notes import BOLD

MARKS = {Word.BETTER: "†", Word.WORSE: "‡", Word.SAME: "≈", Word.CANT_TELL: "?"}
"""No arrows: of a loss less is better."""
SAID = {
    Word.BETTER: "better",
    Word.WORSE: "worse",
    Word.SAME: "the same, within the margin",
    Word.CANT_TELL: "can't tell",
}


@dataclass(frozen=True)
class Printed:
    name: str
    title: str
    """Of its matrix."""
    grid: Grid
    """Strong is what can't be told from the best of its column, where others can."""
    verdicts: Mapping[tuple[int, int], Word] = field(default_factory=dict)
    """By row and column of the grid; empty where no marks are wanted."""
    legend: Sequence[str] = ()
    """What the marks say, a sentence each."""

    @property
    def caption(self) -> str:
        return f"{self.title}: {self.name}"


def printed(answer: Answer, title: str, marks: bool) -> Printed:
    """`title`: the matrix's. `marks`: whether it shows verdicts."""
    shown = cells(answer)
    best = (place for place, each in shown.items() if each.stands_out)
    strong = frozenset(place for place in best if not shown[place].cell.shows_difference)
    plain = measured(answer)
    grid = Grid(plain.header, plain.rows, strong)
    if not marks:
        return Printed(answer.table.name, title, grid)
    judged = {place: each for place, each in shown.items() if each.verdict and _is_there(each.cell)}
    verdicts = {place: each.verdict.word for place, each in judged.items() if each.verdict}
    legend = _legend(answer, list(judged.values()), bool(strong))
    return Printed(answer.table.name, title, grid, verdicts, legend)


def cells(answer: Answer) -> dict[tuple[int, int], Judged]:
    """The cells that are not hidden, by their places in the grid, whose first column is names."""
    every = [each for row in answer.cells for each in row]
    count = len(answer.cells[0])
    numbers = [[str(r * count + c) for c in range(count)] for r in range(len(answer.cells))]
    rows = bare(answer.table, numbers).rows
    return {
        (r, c): every[int(number)]
        for r, row in enumerate(rows)
        for c, number in enumerate(row)
        if c > 0
    }


def _is_there(cell: Cell) -> bool:
    """Whether it has a figure: some of its seeds may have been compared without one."""
    base = cell.baseline if cell.shows_difference else None
    return cell.missing is None and (base is None or base.missing is None)


def _legend(answer: Answer, compared: Sequence[Judged], is_bold: bool) -> tuple[str, ...]:
    words = {each.verdict.word for each in compared if each.verdict}
    bold = (BOLD,) if is_bold else ()
    if not words:
        return bold
    told = ", ".join(f"{MARKS[word]} {SAID[word]}" for word in Word if word in words)
    pairs = ", ".join(f"“{name}” with “{base}”" for name, base in compared_with(compared))
    family = counted(answer.family, "comparison")
    return (
        f"{told}.",
        f"Compared: {pairs}; at 5 %, Holm's correction over {family}.",
        *bold,
    )
