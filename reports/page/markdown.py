"""A page as Markdown, its tables in the changelog's form to the byte.

Names may hold anything. What Markdown would take for its own is escaped: `|` in a table, what
begins a tag or an entity, emphasis, links; line breaks and what can't be printed are shown as their
escapes. Backticks stay: sentences have them on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from classifier.basics.names import printable
from reports.blocks import Bullets, Grid, Plot, Section

_OWN = re.compile(
    r"""
    \\(?=[!-/:-@\[-`{-~])       # a backslash that would escape what follows
    | \*
    | (?<![^\W_])_ | _(?![^\W_])  # inside a word it is no emphasis
    | ~(?=~)
    | <(?!br>)(?=[a-zA-Z/!?])  # a tag, a comment; but a line break, which the changelog has
    | &(?=\#?\w+;)              # an entity
    | (?<=\])[(\[]              # a link
    | \#(?=\#*\Z)               # a heading's end
    """,
    re.VERBOSE,
)
_BEGINS = re.compile(r"^(\d*)(>|-(?=-)|#(?=#*(?:\s|$))|[+.)-](?=\s|$))")
"""What a line begins with that is to be a list, a heading or a quotation."""


def page(sections: Iterable[Section]) -> str:
    parts = []
    for section in sections:
        parts.append(f"{'#' * section.level} {escaped(section.heading)}")
        parts += [written.rstrip("\n") for written in map(_block, section.blocks) if written]
    return "\n\n".join(parts) + "\n"


def grid(of: Grid) -> str:
    """Lines with single spaces; every column is centred."""
    rows = [
        [f"**{_cell(text)}**" if (r, c) in of.strong else _cell(text) for c, text in enumerate(row)]
        for r, row in enumerate(of.rows)
    ]
    lines = [list(map(_cell, of.header)), [":----:"] * len(of.header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def item(text: str) -> str:
    """Of a list."""
    return "- " + _BEGINS.sub(r"\1\\\2", escaped(text))


def escaped(text: str) -> str:
    """Text that shows as it is."""
    return _OWN.sub(r"\\\g<0>", printable(text))


def _cell(text: str) -> str:
    return escaped(text).replace("|", r"\|")


def _block(block: object) -> str:
    match block:
        case Grid():
            return grid(block)
        case Bullets(items):
            return "\n".join(map(item, items))
        case Plot(name, title):
            image = f"![{escaped(title)}]({quote(name)}.svg)"
            return "\n\n".join([image, *filter(None, [escaped(block.caption)])])
        case str():
            return escaped(block)
    raise TypeError(f"Markdown has no {type(block).__name__}")
