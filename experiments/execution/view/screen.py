"""Where a picture is drawn again and again: a terminal, whatever is done to its size, or a cell of
a notebook."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment

_CELL_WIDTH, _CELL_HEIGHT = 110, 40
"""Of a picture in a notebook, in letters and lines: nobody says how wide a cell is shown."""
_CELL = '<pre style="font-family:monospace;line-height:normal;overflow-x:auto">{code}</pre>'


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


class Cell:
    """A picture below a notebook's cell, in the place of the one before. It goes at the end.

    rich draws in a notebook by ipywidgets; a display that is updated needs IPython alone.
    """

    def __init__(self, draw: Callable[[Console], RenderableType], seconds: float = 1.0) -> None:
        """It is drawn every so many seconds, if it has changed."""
        self._draw, self._seconds = draw, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cell", daemon=True)
        self._shown = ""
        self._display: Any = None

    def start(self) -> None:
        from IPython.display import HTML, display

        self._shown = self._html()
        self._display = display(HTML(self._shown), display_id=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._show("")

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._show(self._html())

    def _show(self, html: str) -> None:
        from IPython.display import HTML

        if html != self._shown and self._display is not None:
            self._shown = html
            self._display.update(HTML(html))

    def _html(self) -> str:
        console = Console(
            file=io.StringIO(),
            record=True,
            width=_CELL_WIDTH,
            height=_CELL_HEIGHT,
            force_jupyter=False,
            force_terminal=True,
            color_system="truecolor",
        )
        console.print(self._draw(console))
        return console.export_html(inline_styles=True, code_format=_CELL)
