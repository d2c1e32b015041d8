"""Names of jobs side by side in a narrow column: what tells them apart stays, what they share goes.

mobilenetv2-s0 (augment AutoAugment) raw-val-fp32        mobilenetv2-s0…val…
mobilenetv2-s1 (augment AutoAugment) raw-test-fp32       mobilenetv2-s1…test…
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache, reduce

from rich.cells import cell_len

GONE = "…"
_WORDS = re.compile(r"[0-9.]+e-[0-9]+|[^\s(),-]+|[\s(),-]+")
"""`1e-4` is one word; what stands between words counts as one too."""

Words = list[str]


def least_room(names: Sequence[str]) -> int:
    """Cells that the longest name takes without all that the names share."""
    words, shared = _words_of(names)
    return max((cell_len(_without(of, shared, 0)) for of in words), default=0)


@lru_cache(maxsize=4)  # a view asks several times a second, and the answer is often the same
def told_apart(names: tuple[str, ...], own: tuple[str, ...], room: int) -> tuple[str, ...]:
    """The names, no two of them alike, in at most `room` cells each. `own`: something short that is
    each one's alone.

    What all names share gives way, except for as much of its beginning as leaves room. Where that
    is not enough they are cut, at one end or in the middle, if they still differ then; else what is
    each one's own stands for it.
    """
    words, shared = _words_of(names)

    def fit(shown: Sequence[str]) -> bool:
        return max(map(cell_len, shown), default=0) <= room and len(set(shown)) == len(names)

    if len(names) > 1:  # one alone shares all with itself
        for kept in range(len("".join(shared)), -1, -1):
            shown = tuple(_without(of, shared, kept) for of in words)
            if fit(shown):
                return shown
        names = shown
    for cut in (_cut_end, _cut_begin, _cut_middle):
        shown = tuple(name if cell_len(name) <= room else cut(name, room) for name in names)
        if fit(shown):
            return shown
    return tuple(_head(short, room) for short in own)


def _words_of(names: Sequence[str]) -> tuple[list[Words], Words]:
    """The words of each name, and those that all have in one order."""
    words = [_WORDS.findall(name) for name in names]
    return words, reduce(_in_both, words) if words else []


def _in_both(ours: Words, theirs: Words) -> Words:
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return [word for block in blocks for word in ours[block.a : block.a + block.size]]


def _without(words: Words, shared: Words, kept: int) -> str:
    """A name with `GONE` for each run of shared words, except for the first `kept` characters of
    these. A rest that is no longer than the sign for it stays: a hyphen."""
    text, run, met = "", "", 0
    for word in words:
        if met < len(shared) and word == shared[met]:
            met += 1
            if kept:
                text, kept, word = text + word[:kept], max(kept - len(word), 0), word[kept:]
            run += word
        else:
            text, run = text + _gone(run) + word, ""
    return text + _gone(run)


def _gone(run: str) -> str:
    return run if cell_len(run) <= 1 else GONE


def _cut_end(name: str, room: int) -> str:
    return _head(name, room - 1) + GONE


def _cut_begin(name: str, room: int) -> str:
    return GONE + _head(name[::-1], room - 1)[::-1]


def _cut_middle(name: str, room: int) -> str:
    head = _head(name, room // 2)
    return head + _cut_begin(name, room - cell_len(head))


def _head(name: str, room: int) -> str:
    """As many of the first characters as fit; some take two cells."""
    while cell_len(name) > max(room, 0):
        name = name[:-1]
    return name
