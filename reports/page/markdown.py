"""A page as Markdown, its tables in the changelog's form to the byte."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from reports.blocks import Block, Bullets, Grid, Plot, Section


def page(sections: Iterable[Section]) -> str:
    parts = []
    for section in sections:
        parts.append(f"{'#' * section.level} {section.heading}")
        parts += [written.rstrip("\n") for written in map(_block, section.blocks) if written]
    return "\n\n".join(parts) + "\n"


def grid(of: Grid) -> str:
    """Lines with single spaces; every column is centred."""
    rows = [
        [f"**{text}**" if (r, c) in of.strong else text for c, text in enumerate(row)]
        for r, row in enumerate(of.rows)
    ]
    lines = [of.header, [":----:"] * len(of.header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def item(text: str) -> str:
    """Of a list."""
    return f"- {text}"


def _block(block: Block) -> str:
    match block:
        case Grid():
            return grid(block)
        case Bullets(items):
            return "\n".join(map(item, items))
        case Plot(name, title):
            return f"![{title}]({quote(name)}.svg)"
    return block
