"""Names in Markdown, as a reference implementation reads them."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from classifier.basics.names import printable
from reports.blocks import Bullets, Grid, Section
from reports.page.markdown import grid, item, page

NAMES = st.text(
    st.sampled_from("ab 1_*|\\<>&;#[]()!~+-.:=/\"'$^{}@%,?é\n\r\t\x1b\u2028") | st.characters(),
    min_size=1,
    max_size=12,
).map(lambda name: re.sub("`|<br>| +$|^ +", "", name) or "a")
"""Without backticks, which sentences have on purpose, and without spaces that Markdown drops."""
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(markdown: str, tag: str) -> list[str]:
    """What the elements of that name hold, as a reader of the page sees it."""
    found = re.findall(f"<{tag}(?: [^>]*)?>(.*?)</{tag}>", READER.render(markdown), re.DOTALL)
    assert not any("<" in each for each in found), found
    return [unescape(each) for each in found]


@given(NAMES)
def test_a_cell_shows_its_name(name: str) -> None:
    written = grid(Grid(("a", name), [(name, "1"), ("2", name)]))
    assert shown(written, "th") == ["a", printable(name)]
    assert shown(written, "td") == [printable(name), "1", "2", printable(name)]


@given(NAMES)
def test_a_heading_a_list_and_a_paragraph_show_their_names(name: str) -> None:
    assert shown(item(name), "li") == [printable(name)]
    written = page([Section(1, f"x {name}", (Bullets([f"x {name}"]), f"x {name}"))])
    assert shown(written, "h1") == [f"x {printable(name)}"]
    assert shown(written, "p") == [f"x {printable(name)}"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script>"),
        ("two\nlines", r"two\nlines"),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ("p < 0.0001", "p < 0.0001"),
        ("teacher->r<br>MGD", "teacher->r<br>MGD"),  # the changelog's own
        ("0.5 [0.4, 0.6]", "0.5 [0.4, 0.6]"),
    ],
)
def test_only_what_must_be_is_escaped(name: str, expected: str) -> None:
    assert grid(Grid(("a",), [(name,)])).splitlines()[2] == f"| {expected} |"
