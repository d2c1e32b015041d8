"""A page as one HTML file that asks no host for anything: style, script and pictures are in it.

All text goes through Jinja's autoescape; only SVGs, which are drawn here, go in as they are. A
content security policy lets no other script run and nothing be fetched, whatever a name holds.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from reports.blocks import Bar, Grid, Mark, Picture, Section
from reports.figures.select import Missing
from reports.page import markdown

RELOAD_SECONDS = 10
MOST_BYTES = 5_000_000
LARGEST_DATA = 1_000
"""Cells of a plot's data that are a table; more of them are shown as its Markdown."""
MANY_COLUMNS, MANY_LETTERS = 7, 14
"""A table of more columns has no room for names of more letters on a line."""
_MISSING = {each.value for each in Missing}
_FIGURE = r"(?:< )?[+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?"
_SEEDS = r" \(\d+ of \d+ seeds; [^()]+\)"
_COUNT = rf"{_SEEDS}| of [\d,]+ \([\d.]+ %\)"
_FIGURES = re.compile(
    rf"{_FIGURE}(?: to {_FIGURE}| ± {_FIGURE}| \[{_FIGURE}, {_FIGURE}\])?(?: %)?(?:{_COUNT})?"
)
"""A figure as tables write them, perhaps with its spread or its count, or an interval."""
_OF_SEEDS = re.compile(rf"(.+?)({_SEEDS})")
_SAME = Mark()


def page(
    sections: Sequence[Section],
    made: datetime | None,
    state: str = "",
    reloads: bool = False,
    files: Sequence[str] = (),
    again: str = "",
) -> str:
    """`sections`: the page's own first. `made`: when, in UTC, if that is to be said; it stands on a
    line of its own, and all else depends on the other arguments only. `state`: of the run, if that
    is to be said. A page that `reloads` does so every RELOAD_SECONDS, and ever more seldom where
    nothing new is written. `files`: those that lie beside it. `again`: the command that makes it.
    One of more than MOST_BYTES leaves out what its cells rest on, then names its pictures only."""
    first, *others = sections
    script = _source("page.js")
    known = {
        "first": first,
        "parts": _parts(others),
        "made": made.strftime("%Y-%m-%dT%H:%MZ") if made else "",
        "made_said": made.strftime("%Y-%m-%d %H:%M UTC") if made else "",
        "state": state,
        "reloads": RELOAD_SECONDS if reloads else None,
        "files": files,
        "again": again,
        "style": Markup(_source("page.css")),  # noqa: S704 - files of this package
        "script": Markup(script),  # noqa: S704
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    written = ""
    for sources, pictures in ((True, True), (False, True), (False, False)):
        written = _template().render(known, shows_sources=sources, shows_pictures=pictures)
        if len(written.encode()) <= MOST_BYTES:
            break
    return written


@dataclass(frozen=True)
class _Part:
    """A section with its id, and the deeper ones that follow it."""

    id: str
    section: Section
    inner: tuple[_Part, ...] = ()


def _parts(sections: Sequence[Section]) -> list[_Part]:
    parts: list[_Part] = []
    for section in sections:
        part = _Part(section.key or _slug(section.heading), section)
        if section.level > 2 and parts:
            last = parts.pop()
            part = _Part(last.id, last.section, (*last.inner, part))
        parts.append(part)
    return parts


def _slug(heading: str) -> str:
    return "-".join(re.findall(r"\w+", heading.lower()))


@dataclass(frozen=True)
class _Cell:
    text: str
    seeds: str
    """How many of its seeds there are, where some are missing: below the figure."""
    word: str | None
    rest: str
    """What stands behind the verdict's word, where the text begins with it."""
    mark: Mark
    classes: str


def _rows(grid: Grid) -> list[list[_Cell]]:
    numeric = _numeric(grid)
    return [
        [_cell(grid, r, c, c in numeric) for c in range(len(grid.header))]
        for r in range(len(grid.rows))
    ]


def _numeric(grid: Grid) -> set[int]:
    """The columns of figures, but for the first, which names the rows."""
    columns = enumerate(zip(*grid.rows, strict=True))
    return {c for c, of in columns if c and set(of) - _MISSING - {""} and all(map(_is_figure, of))}


def _name_length(grid: Grid) -> int:
    """Letters of the longest line in the first column, which is as wide where there is room."""
    longest = max((len(line) for row in grid.rows for line in row[0].split("<br>")), default=0)
    return min(longest, MANY_LETTERS if _is_wide(grid) else longest)


def _is_wide(grid: Grid) -> bool:
    return len(grid.header) > MANY_COLUMNS


def _is_figure(text: str) -> bool:
    return not text or text in _MISSING or _FIGURES.fullmatch(text) is not None


def _cell(grid: Grid, r: int, c: int, is_numeric: bool) -> _Cell:
    text, mark = grid.rows[r][c], grid.marks.get((r, c), _SAME)
    is_verdict = mark.word is not None and text.startswith(mark.word)
    classes = {
        "t": not is_numeric and bool(c),
        "verdict": is_verdict,
        "gap": text in _MISSING,
        "strong": mark.is_strong or (r, c) in grid.strong,
    }
    counted = None if is_verdict else _OF_SEEDS.fullmatch(text)
    figure, seeds = counted.groups() if counted else (text, "")
    return _Cell(
        text="" if is_verdict else figure,
        seeds=seeds.strip(),
        word=mark.word,
        rest=text.removeprefix(mark.word or "") if is_verdict else "",
        mark=mark,
        classes=" ".join(name for name, is_so in classes.items() if is_so),
    )


def _places(bar: Bar) -> Markup:
    """Of a bar in percent of its width: where it begins, how wide it is, the same of the inner
    interval, where its figure is, and half of what does not matter."""

    def at(figure: float) -> float:
        return 50 + 50 * max(-1.0, min(1.0, figure / bar.extent))

    low, high = at(bar.low), at(bar.high)
    inner, end = map(at, bar.inner)
    written = f"--l:{low:.3g};--w:{high - low:.3g};--i:{inner:.3g};--j:{end - inner:.3g}"
    written += f";--p:{at(bar.at):.3g}"
    if bar.margin:
        written += f";--m:{at(bar.margin) - 50:.3g}"
    return Markup(written)  # noqa: S704 - figures only


def _prose(text: str) -> Markup:
    """With what stands in backticks as code, and the changelog's line breaks."""
    shown = str(escape(text)).replace("&lt;br&gt;", "<br>")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", shown))  # noqa: S704 - escaped above


def _data_uri(picture: Picture) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture.content or b"").decode()


@cache
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "prose": _prose,
        "kind": lambda block: type(block).__name__,
        "numeric": _numeric,
        "name_length": _name_length,
        "is_wide": _is_wide,
        "is_large": lambda grid: len(grid.header) * len(grid.rows) > LARGEST_DATA,
        "rows": _rows,
        "markdown": markdown.grid,
        "places": _places,
        "data_uri": _data_uri,
    }
    return made


@cache
def _template() -> Any:
    return _environment().get_template("page.html")
