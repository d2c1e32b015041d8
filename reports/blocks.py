"""What a page is made of, as plain data that knows no markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Columns = Mapping[str, Callable[[T], str]]
"""By header how a column says what it says of the thing that has a row."""


@dataclass(frozen=True)
class Grid:
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Each as long as the header."""
    strong: frozenset[tuple[int, int]] = frozenset()
    """The cells that stand out, by row and column."""

    @staticmethod
    def of(things: Iterable[T], columns: Columns[T]) -> Grid:
        return Grid(list(columns), [[say(thing) for say in columns.values()] for thing in things])


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


Block = Grid | Bullets | Plot | str
"""Text is a paragraph."""


@dataclass(frozen=True)
class Section:
    level: int
    """1 is the page, 2 its parts, 3 theirs."""
    heading: str
    blocks: Sequence[Block] = ()
