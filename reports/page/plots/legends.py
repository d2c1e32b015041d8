"""What the marks of a plot mean: a sample of each with its word, in lines that fit the width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.page.plots import letters, marks, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAMPLE, _SPACE, _APART = 22, 5, 14
"""Pixels: of a sample, from it to its word, and from a word to the next sample."""


@dataclass(frozen=True)
class Key:
    word: str
    look: Mapping[str, Any]
    """Of the sample: what matplotlib's Line2D takes. One without a line's style is a mark."""
    sample: str = ""
    """Text that stands for it instead."""


def height(keys: Sequence[Key], width: float = style.WIDTH) -> float:
    """Pixels."""
    lines = [line for line, *_ in _places(keys, width)]
    return style.LINE * (max(lines) + 1) if lines else 0.0


def draw(figure: Figure, top: float, keys: Sequence[Key], width: float = style.WIDTH) -> None:
    """The first line's upper edge is at `top`."""
    from matplotlib.lines import Line2D

    wide, high = 72 * figure.get_size_inches()
    for line, left, key, word in _places(keys, width):
        middle = top + (line + 0.6) * style.LINE
        marks.write(figure, left + _SAMPLE + _SPACE, middle, word, fontsize=style.SMALL)
        if key.sample:
            how = {"ha": "right", "weight": "bold", "fontsize": style.SMALL}
            marks.write(figure, left + _SAMPLE, middle, key.sample, **how)
            continue
        ends = (left, left + _SAMPLE) if _is_line(key) else (left + _SAMPLE / 2,)
        across = [at / wide for at in ends]
        figure.add_artist(Line2D(across, [1 - middle / high] * len(across), **key.look))


def _is_line(key: Key) -> bool:
    return key.look.get("linestyle") != "none"


def _places(keys: Sequence[Key], width: float) -> Iterator[tuple[int, float, Key, str]]:
    """The line that each key stands on, where it begins, and its word as it fits."""
    line, left = 0, 0.0
    words = letters.fitted_names([key.word for key in keys], width - _SAMPLE - _SPACE, style.SMALL)
    for key, word in zip(keys, words, strict=True):
        taken = _SAMPLE + _SPACE + letters.text_width(word, style.SMALL)
        if left and left + taken > width:
            line, left = line + 1, 0.0
        yield line, left, key, word
        left += taken + _APART
