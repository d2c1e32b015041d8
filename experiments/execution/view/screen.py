"""A terminal on which a picture is drawn again and again, whatever is done to its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment


class Screen(Live):
    """rich's Live, for a terminal that is made narrower too.

    Nearly all terminals then fold the lines that are too long now, so that the frame is higher than
    it was drawn, and Live would leave its top there. One that cuts them in place of it (xterm)
    loses so many lines above the frame. What was pushed out at the top, for the terminal got lower
    or the frame higher than it, is out of reach, and stays in what can be scrolled back to.
    """

    def __init__(
        self,
        draw: Callable[[], RenderableType],
        console: Console,
        refreshes: float,
        transient: bool = False,
    ) -> None:
        """`refreshes`: how often a second it is drawn. `transient`: it goes at the end."""
        self._drawn: list[int] = []
        """Cells of each line of the last frame."""
        super().__init__(
            get_renderable=lambda: _Measured(draw(), self._drawn),
            console=console,
            refresh_per_second=refreshes,
            transient=transient,
            vertical_overflow="crop",
        )

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Of what is printed, the frame last; the one before is wiped."""
        folds = sum((cells - 1) // self.console.width for cells in self._drawn if cells)
        wiped = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * folds
        begin = (ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
        wipe = [Control(*begin, *wiped)] if folds else []
        return [*wipe, *super().process_renderables(renderables)]


@dataclass(frozen=True)
class _Measured:
    """What is drawn, and how long its lines are then."""

    of: RenderableType
    cells: list[int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.of, options, pad=False)
        self.cells[:] = map(Segment.get_line_length, lines[: options.size.height])
        for line in lines:
            yield from line
            yield Segment.line()
