"""What a page is made of, as plain data that knows no markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Columns = Mapping[str, Callable[[T], str]]
"""By header how a column says what it says of the thing that has a row."""


@dataclass(frozen=True)
class Bar:
    """An interval to be drawn, on an axis from minus `extent` to `extent` that cells share."""

    low: float
    at: float
    high: float
    inner: tuple[float, float]
    """The limits of a second interval, of a lower level."""
    extent: float
    margin: float | None = None
    """Differences closer to 0 do not matter."""


@dataclass(frozen=True)
class Mark:
    """What a cell shows beside its text, in a markup that can: Markdown can't."""

    word: str | None = None
    """A verdict."""
    bar: Bar | None = None
    told: str = ""
    """The same in figures, in a line."""
    sources: Sequence[str] = ()
    """Where it comes from, a line for each seed."""
    is_strong: bool = False


@dataclass(frozen=True)
class Key:
    """What is drawn in a grid, each with a sample."""

    has_margin: bool
    has_strong: bool


@dataclass(frozen=True)
class Alarm:
    """What must not be missed."""

    text: str
    why: str
    to: str
    """The key of the section that says more."""


@dataclass(frozen=True)
class Grid:
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Each as long as the header."""
    strong: frozenset[tuple[int, int]] = frozenset()
    """The cells that stand out, by row and column."""
    marks: Mapping[tuple[int, int], Mark] = field(default_factory=dict)
    """By row and column."""
    caption: str = ""
    """What it shows, where the heading above it does not say so."""

    @staticmethod
    def of(things: Iterable[T], columns: Columns[T]) -> Grid:
        return Grid(list(columns), [[say(thing) for say in columns.values()] for thing in things])

    def in_order(self, columns: Sequence[int]) -> Grid:
        """With its columns in this order."""
        to = {column: at for at, column in enumerate(columns)}
        return replace(
            self,
            header=[self.header[column] for column in columns],
            rows=[[row[column] for column in columns] for row in self.rows],
            strong=frozenset((r, to[c]) for r, c in self.strong),
            marks={(r, to[c]): mark for (r, c), mark in self.marks.items()},
        )


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Plot:
    name: str
    """Of its file, without an ending; no other plot of the page has it."""
    title: str
    """What it shows: its heading, and what is read where it can't be seen."""
    svg: str
    """One <svg> element, with its text as text."""
    data: Grid
    """All that it shows."""
    caption: str = ""
    """How it is read, in a few sentences that stand below it."""
    wide: str = ""
    """Another <svg> of the same marks, for places with room for three panels side by side."""


@dataclass(frozen=True)
class Facts:
    """What a page is about, in a few words each."""

    items: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """A difference, or a figure, that stands for a table."""

    figure: str
    mark: Mark = field(default_factory=Mark)
    """Its verdict and its interval; what else is known of it is among `Finding.details`."""
    unit: str = ""
    """Bars of one unit share an axis."""
    of: str = ""
    """What it is of, where the finding has several."""


@dataclass(frozen=True)
class Finding:
    """What a table answers."""

    of: str
    """The table, whose section has the key `table-<name>`."""
    said: str
    """In a plain sentence."""
    outcomes: Sequence[Outcome] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often each verdict is said, where none stands for the table."""
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Findings:
    items: Sequence[Finding]
    scale: str = ""
    """What their bars, which share an axis, reach."""


@dataclass(frozen=True)
class Picture:
    name: str
    """Of the image's file."""
    title: str
    lines: Sequence[str]
    """What is said under it."""
    content: bytes | None = None
    """A JPEG; None where it is not to be shown, or not there."""


@dataclass(frozen=True)
class Pictures:
    title: str
    items: Sequence[Picture]


@dataclass(frozen=True)
class Log:
    """Lines as they were printed."""

    text: str


@dataclass(frozen=True)
class Details:
    """What is shown when it is asked for."""

    summary: str
    blocks: Sequence[Block]


Block: TypeAlias = (
    "Grid | Key | Alarm | Bullets | Plot | Facts | Findings | Pictures | Log | Details | str"
)
"""Text is a paragraph. Markdown has grids, bullets, plots and paragraphs only."""


@dataclass(frozen=True)
class Section:
    level: int
    """1 is the page, 2 its parts, 3 theirs."""
    heading: str
    blocks: Sequence[Block] = ()
    key: str = ""
    """By which others lead to it; no other section of the page has it. None: by its heading."""
