"""How all plots look: sizes, colours, letters. Sizes are in CSS pixels.

matplotlib is imported inside functions: a command that draws nothing does not wait for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from classifier.basics.names import printable
from experiments.matrix.schema import Column
from experiments.run.short_names import told_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis
    from matplotlib.figure import Figure

WIDTH = 440
"""Of every plot: on a phone of 360 px its letters keep three quarters of their size."""
LETTERS, SMALL = 12, 11
"""Sizes of the letters."""
LINE = 15
"""From a small line of text to the next."""
ROW = 18
"""From a row of marks to the next."""

PAD = 6
"""Between a row's name and its marks."""

INK = "#010203"
"""Stands for `currentColor`, which matplotlib does not know: the colour of the text around."""
FAINT, THIN = (INK, 0.1), (INK, 0.35)
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
"""Okabe and Ito (2008), told apart by colour-blind people, without yellow, which white swallows;
the first four keep a contrast of 3 on white and on black."""
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MATPLOTLIB: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib; wider than those above, so all fits
    "font.size": LETTERS,
    "text.parse_math": False,  # a name with a $ is a name
    "text.color": INK,
    "axes.edgecolor": THIN,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.labelpad": 3,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "figure.facecolor": "none",
    "lines.solid_capstyle": "butt",
    "lines.markeredgewidth": 1.2,
    "path.simplify": False,
    "xtick.color": THIN,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "xtick.major.size": 3,
    "ytick.color": THIN,
    "ytick.labelcolor": INK,
    "ytick.labelsize": LETTERS,
    "ytick.major.size": 0,
    "ytick.major.pad": PAD,
}


def axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """At so many pixels from the figure's upper left corner."""
    wide, high = 72 * figure.get_size_inches()
    box = (left / wide, 1 - (top + height) / high, width / wide, height / high)
    return figure.add_axes(box)


def write(figure: Figure, left: float, top: float, text: str, **how: Any) -> None:
    """A line of text whose middle lies at `top`."""
    wide, high = 72 * figure.get_size_inches()
    figure.text(left / wide, 1 - top / high, text, va="center", **how)


def write_lines(figure: Figure, top: float, lines: Sequence[str]) -> None:
    """Small lines, the first with its upper edge at `top`."""
    for number, line in enumerate(lines):
        write(figure, 0, top + (number + 0.5) * LINE, line, fontsize=SMALL)


def say_scale(axis: XAxis, column: Column, *, is_difference: bool = False) -> None:
    """What the axis of a metric shows, which way is better, and a few of its figures."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    sign = "+" if is_difference else ""
    in_percent = is_difference and column.is_speed

    def tick(figure: float, _: int) -> str:
        figure = round(100 * figure if in_percent else figure, 10)
        return f"{figure:{sign if figure else ''}g}{' %' if in_percent else ''}"

    axis.set_major_locator(MaxNLocator(4))
    axis.set_major_formatter(FuncFormatter(tick))
    what = f"difference in {column.metric}" if is_difference else column.metric
    better = {True: ", right is better →", False: ", ← left is better", None: ""}
    axis.set_label_text(what + better[column.more_is_better])


def wrapped(text: str, size: float = SMALL, width: float = WIDTH) -> list[str]:
    """Lines that fit the width; a word that is longer alone is cut."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fitted(word, width, size))
    return lines


def room_for(names: Sequence[str], most: float) -> float:
    """Pixels for names at the left of marks."""
    return min(most, PAD + max((text_width(printable(name), LETTERS) for name in names), default=0))


def fitted(name: str, width: float, size: float = LETTERS) -> str:
    """In at most so many pixels: of a longer one the middle goes, for names of a list often begin
    alike and end apart, or the other way round."""
    shown = name = printable(name)
    kept = len(name)
    while kept > 1 and text_width(shown, size) > width:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}"
    return shown


def fitted_names(names: Sequence[str], width: float, size: float = LETTERS) -> list[str]:
    """Each in at most so many pixels, no two alike that were not."""
    fit = {name: fitted(name, width, size) for name in names}
    if len(set(fit.values())) < len(fit):
        long = tuple(name for name in fit if fit[name] != printable(name))
        own = tuple(f"{place}" for place, name in enumerate(fit, start=1) if name in long)
        for room in range(int(2 * width / size), 0, -1):
            shown = told_apart(tuple(map(printable, long)), own, room)
            if max(text_width(name, size) for name in shown) <= width:
                break
        fit |= dict(zip(long, shown, strict=True))
    return [fit[name] for name in names]


@lru_cache(maxsize=10_000)
def text_width(text: str, size: float) -> float:
    """Pixels; of letters that matplotlib's font lacks as wide as a terminal counts them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=MATPLOTLIB["font.family"], size=size)
    with lacking_letters():
        measured, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return max(float(measured), cell_len(text) * size / 2)


@contextmanager
def lacking_letters() -> Iterator[None]:
    """Of which matplotlib need not warn: who looks has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
