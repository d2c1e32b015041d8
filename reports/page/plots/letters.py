"""Text that fits: how wide it is, where it is broken or cut. Sizes are in CSS pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from rich.cells import cell_len

from classifier.basics.names import printable
from experiments.execution.view.short_names import told_apart
from reports.page.plots.style import LETTERS, MATPLOTLIB, PAD, SMALL, WIDTH

LONGEST = 200
"""Characters that may fit anywhere."""


def _plain(name: str) -> str:
    """On one line: the changelog breaks names of rows."""
    return printable(name.replace("<br>", " "))


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
    return min(most, PAD + max((text_width(_plain(name), LETTERS) for name in names), default=0))


def fitted(name: str, width: float, size: float = LETTERS) -> str:
    """In at most so many pixels: of a longer one the middle goes, for names of a list often begin
    alike and end apart, or the other way round."""
    name = _plain(name)
    if len(name) <= LONGEST and text_width(name, size) <= width:
        return name
    for kept in range(min(len(name), LONGEST) - 1, 1, -1):
        shown = f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}"
        if text_width(shown, size) <= width:
            return shown
    return "…"


def fitted_names(names: Sequence[str], width: float, size: float = LETTERS) -> list[str]:
    """Each in at most so many pixels, no two alike that were not."""
    fit = {name: fitted(name, width, size) for name in names}
    if len(set(fit.values())) < len(fit):
        long = tuple(name for name in fit if fit[name] != _plain(name))
        own = tuple(f"{place}" for place, name in enumerate(fit, start=1) if name in long)
        for room in range(int(2 * width / size), 0, -1):
            shown = told_apart(tuple(map(_plain, long)), own, room)
            if max(text_width(name, size) for name in shown) <= width:
                break
        fit |= {
            name: _numbered(mark, name, width, size) if cut == mark else cut
            for name, cut, mark in zip(long, shown, own, strict=True)
        }
    return [fit[name] for name in names]


def _numbered(number: str, name: str, width: float, size: float) -> str:
    """A number that no other name has, and as much of the name as fits beside it."""
    room = width - text_width(f"{number} ", size)
    return f"{number} {fitted(name, room, size)}" if room > size else number


@lru_cache(maxsize=10_000)
def text_width(text: str, size: float) -> float:
    """Pixels; of letters that matplotlib's font lacks as wide as a terminal counts them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    # All that a font can be: what is not said would be as the user's matplotlibrc has it.
    font = FontProperties(
        family=MATPLOTLIB["font.family"],
        style="normal",
        variant="normal",
        weight="normal",
        stretch="normal",
        size=size,
    )
    with lacking_letters():
        measured, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return max(float(measured), cell_len(text) * size / 2)


@contextmanager
def lacking_letters() -> Iterator[None]:
    """Of which matplotlib need not warn: who looks has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from (current )?font")
        yield
