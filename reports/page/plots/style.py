"""How all plots look: sizes, colours, letters. Sizes are in CSS pixels."""

from __future__ import annotations

from typing import Any

WIDTH = 440
"""Of every plot: on a phone of 360 px its letters keep three quarters of their size."""
LETTERS, SMALL = 12, 11
"""Sizes of the letters."""
BOLD = 1.12
"""How much wider bold letters are."""
LINE = 15
"""From a small line of text to the next."""
ROW = 18
"""From a row of marks to the next."""

PAD = 6
"""Between a row's name and its marks."""

Colour = str | tuple[str, float]
"""With how opaque it is, if it is not wholly."""
INK = "#010203"
"""Stands for `currentColor`, which matplotlib does not know: the colour of the text around."""
FAINT, THIN = (INK, 0.1), (INK, 0.35)
GREY = (INK, 0.6)
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
    "ytick.left": False,
    "ytick.major.pad": PAD,
}
