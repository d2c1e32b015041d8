"""Whether two versions' reports of the same records tell the same.

Tables, CSVs and JSON are data: they must be the same word for word, and number for number within
`TOLERANCE`. In the pages, whose prose may be put otherwise, the numbers and verdicts in what a
reader sees must be, in their order. Plots are drawn otherwise by each version of what draws them.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePath

from experiments.store.damage import TOLERANCE
from reports.report import INDEX, PAGE
from reports.statistics.verdicts import Word

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
_ALL = re.compile(rf"{_NUMBER}|[^0-9+-]+|[+-]")
_FIGURES = re.compile("|".join([_NUMBER, *(rf"\b{word.value}\b" for word in Word)]))
_TAG = re.compile(r"<([^<>]*)>")
_UNSEEN = ("svg", "style", "script")
"""Elements of a page of HTML that have no text."""


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
    try:
        a, b = (told.findall(_text(file)) for file in (then, now))
    except ValueError:  # a character's number has thousands of digits: nothing here writes one
        return False
    return len(a) == len(b) and all(map(_is_same, a, b))


def _text(file: Path) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.name not in (PAGE, INDEX):
        return text
    seen = html.unescape(" ".join(_seen(text))) if file.name == INDEX else text
    return re.sub(r"[^\x00-\x7f]", lambda found: _plain(found[0]), seen)


def _seen(page: str) -> Iterator[str]:
    """The texts between its tags. Python's own parser takes minutes for a page of open tags."""
    inside, at = "", 0
    for tag in _TAG.finditer(page):
        name = "".join(tag[1].split(maxsplit=1)[:1]).lower()
        if not inside:
            yield page[at : tag.start()]
            inside = name if name in _UNSEEN else ""
        elif name == f"/{inside}":
            inside = ""
        at = tag.end()
    if not inside:
        yield page[at:]


def _plain(character: str) -> str:
    """A digit or a sign of any form as the one that a reader takes it for."""
    if character == "\N{MINUS SIGN}" or unicodedata.category(character) == "Pd":
        return "-"
    return unicodedata.normalize("NFKC", character)


def _is_same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return math.isclose(float(a), float(b), rel_tol=TOLERANCE)
    except ValueError:  # a word
        return False
