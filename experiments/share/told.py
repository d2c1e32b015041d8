"""Whether two versions' reports of the same records tell the same.

Tables, CSVs and JSON are data: they must be the same word for word, and number for number within
`TOLERANCE`. In the pages, whose prose may be put otherwise, the numbers and verdicts in what a
reader sees must be, in their order. Plots are drawn otherwise by each version of what draws them.
"""

from __future__ import annotations

import html
import math
import re
from pathlib import Path, PurePath

from experiments.store.damage import TOLERANCE
from reports.report import INDEX, PAGE
from reports.statistics.verdicts import Word

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_ALL = re.compile(rf"{_NUMBER}|[^\d+-]+|[+-]")
_FIGURES = re.compile("|".join([_NUMBER, *(rf"\b{word.value}\b" for word in Word)]))
_UNSEEN = re.compile(r"<(svg|style|script)\b.*?</\1>|<[^>]*>", re.DOTALL)
"""Of a page of HTML all but its text."""


def not_compared(file: str) -> str:
    """What of a file is left out; nothing of one that is compared whole."""
    if file.endswith(".svg"):
        return "the plot"
    return {PAGE: "its words", INDEX: "its words, plots, script and what shows on hover"}.get(
        PurePath(file).name, ""
    )


def tell_the_same(then: Path, now: Path) -> bool:
    """But for what is `not_compared`."""
    if then.suffix == ".svg":
        return True
    told = _FIGURES if then.name in (PAGE, INDEX) else _ALL
    a, b = (told.findall(_text(file)) for file in (then, now))
    return len(a) == len(b) and all(map(_is_same, a, b))


def _text(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")
    return html.unescape(_UNSEEN.sub(" ", text)) if file.name == INDEX else text


def _is_same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=TOLERANCE)
    except ValueError:  # a word
        return False
