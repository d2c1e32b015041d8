"""What stands on a terminal whose size changes while a picture is drawn on it again and again."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.live import Live
from rich.text import Text

from experiments.execution.view.screen import Screen

TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(.)", re.DOTALL)


class Terminal(io.StringIO):
    """One that folds its lines anew when it gets another width, as nearly all do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows = width, [""]
        self.goes_on = [False]
        """Of each row, whether the next is of the same line."""
        self.row, self.column = 0, 0
        """Where the cursor is."""

    def write(self, text: str) -> int:
        for number, command, letter in TOKEN.findall(text):
            if command == "A":
                self.row = max(self.row - int(number or 1), 0)
            elif command == "K":
                self.rows[self.row], self.goes_on[self.row] = "", False
            elif letter == "\r":
                self.column = 0
            elif letter == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.rows):
                    self.rows, self.goes_on = [*self.rows, ""], [*self.goes_on, False]
            elif letter:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + letter + row[self.column + 1 :]
                self.column += 1
                assert self.column <= self.width, "rich breaks lines by itself"
        return len(text)

    def resize(self, width: int) -> None:
        rows, goes_on = list[str](), list[bool]()
        line, before = "", 0
        for index, row in enumerate(self.rows):
            if index == self.row:
                before = len(line)
            line += row
            if index == self.row:  # it stays beside the same letter
                cursor = len(rows) + max(before + self.column - 1, 0) // width
                self.column = before + self.column - (cursor - len(rows)) * width
            if not self.goes_on[index]:
                parts = [line[at : at + width] for at in range(0, len(line) or 1, width)]
                rows += parts
                goes_on += [True] * (len(parts) - 1) + [False]
                line = ""
        self.width, self.rows, self.goes_on, self.row = width, rows, goes_on, cursor

    @property
    def shown(self) -> list[str]:
        return [row for row in self.rows if row]


def frame(width: int, number: int) -> list[str]:
    """Lines of about that width, which say which frame it is."""
    return [f"{number}{'=' * (width - 1)}", f"{number} short", f"{number}{'-' * (width - 4)}"]


def after(make: Callable[[Console, Callable[[], Text]], Live], widths: list[int]) -> list[str]:
    """What the terminal shows that had these widths, one after the other, a frame at each."""
    terminal = Terminal(widths[0])
    console = Console(file=terminal, force_terminal=True, width=widths[0], color_system=None)
    number = 0
    live = make(console, lambda: Text("\n".join(frame(console.width, number))))
    console.print("before")
    with live:
        for number, width in enumerate(widths):
            terminal.resize(width)
            console.width = width
            live.refresh()
            if number == 0:
                console.print("said")
        shown = terminal.shown
    assert terminal.shown == ["before", "said"], "it goes at the end"
    return shown


def screen(console: Console, draw: Callable[[], Text]) -> Live:
    return Screen(draw, console, refreshes=0.001, transient=True)


@pytest.mark.parametrize(
    "widths",
    [[80, 80], [80, 60, 40, 20], [80, 40, 80], [60, 79, 13, 100], [120, 7, 7, 8]],
    ids=lambda widths: " ".join(map(str, widths)),
)
def test_nothing_of_an_older_frame_stays(widths: list[int]) -> None:
    last = len(widths) - 1
    assert after(screen, widths) == ["before", "said", *frame(widths[-1], last)]


def test_rich_alone_leaves_some() -> None:
    """Once this fails, rich has mended it, and `Live` is enough."""

    def live(console: Console, draw: Callable[[], Text]) -> Live:
        return Live(get_renderable=draw, console=console, refresh_per_second=0.001, transient=True)

    with pytest.raises(AssertionError, match="it goes at the end"):
        after(live, [80, 60, 40])
