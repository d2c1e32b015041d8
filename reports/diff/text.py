"""A comparison of two reports in words and tables, or as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from classifier.basics.names import counted
from experiments.matrix.schema import DIGITS
from reports.diff.changes import Change, Diff, Moved
from reports.figures.tables import finite, rounded

FORMAT = 1
MOST_NAMED = 3
SAID = {True: "beyond what chance explains", False: "within what chance explains", None: ""}
"""Nothing where no interval is known: of a speed, of a cost, of what is missing."""


def as_text(diff: Diff, paths: Sequence[Path]) -> str:
    """`paths`: what A and B are."""
    parts = ["\n".join(_head(diff, paths))]
    for name in ("settings", "environment", "data", "columns"):
        changes: tuple[Change, ...] = getattr(diff, name)
        if changes:
            parts.append(f"{name}\n{_changes(changes)}")
    for side, names in (("A", diff.only_a), ("B", diff.only_b)):
        if names:
            parts.append("\n".join([f"only in {side}", *(f"  {name}" for name in names)]))
    parts.append("\n".join(_figures(diff)))
    if diff.verdicts:
        parts.append(f"verdicts\n{_changes(diff.verdicts)}")
    return "\n\n".join(parts) + "\n"


def as_json(diff: Diff) -> str:
    """`{"format", "is_same", ...}`: the fields of `Diff`, those of its changes and of what moved;
    `is_beyond_chance` is null where no interval is known."""
    content: dict[str, Any] = {"format": FORMAT, "is_same": diff.is_same, **asdict(diff)}
    content["moved"] = [
        asdict(each) | {"is_beyond_chance": each.is_beyond_chance} for each in diff.moved
    ]
    return json.dumps(finite(content), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _head(diff: Diff, paths: Sequence[Path]) -> Iterator[str]:
    for side, path, matrix in zip("AB", paths, diff.matrices, strict=True):
        yield f"{side}: {path} ({matrix})"
    if diff.matrices[0] != diff.matrices[1]:
        yield "two matrices: what has the same name is compared"
    a, b = diff.seeds
    if a == b:
        yield f"seeds: {_listed(a)} in both"
    else:
        shared = [seed for seed in a if seed in b]
        yield f"seeds: {_listed(a)} in A, {_listed(b)} in B; shared: {_listed(shared) or 'none'}"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _changes(changes: Sequence[Change]) -> str:
    rows = [(each.what, each.a, each.b, _of(each)) for each in changes]
    return tabulate(rows, ("", "A", "B", "of"), disable_numparse=True)


def _of(change: Change) -> str:
    if change.is_of_all:
        return "all"
    more = len(change.of) - MOST_NAMED
    return "; ".join(change.of[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _figures(diff: Diff) -> Iterator[str]:
    beyond = sum(each.is_beyond_chance is True for each in diff.moved)
    judged = sum(each.is_beyond_chance is not None for each in diff.moved)
    said = f"figures: {diff.same} the same, {len(diff.moved)} not"
    yield said + (f"; {beyond} of {judged} moved beyond what chance explains" if judged else "")
    if diff.moved:
        header = ("table", "row", "column", "A", "B", "B - A", "95 % interval", "Holm's p", "moved")
        yield tabulate([_row(each) for each in diff.moved], header, disable_numparse=True)
    if judged:
        yield (
            f"Intervals of two separate samples of images and seeds; Holm's p over "
            f"{counted(judged, 'figure')}. On the same images they are wider than need be."
        )
        if min(map(len, diff.seeds)) == 1:
            yield "From one seed: what another seed would give is not in them."


def _row(moved: Moved) -> tuple[str, ...]:
    digits = DIGITS.get(moved.metric, 5)
    figures = [f if isinstance(f, str) else rounded(f, digits) for f in (moved.a, moved.b)]
    difference = "" if moved.difference is None else rounded(moved.difference, digits, "+")
    interval = p = ""
    if moved.low is not None and moved.high is not None and moved.holm_p is not None:
        interval = f"{rounded(moved.low, digits, '+')} to {rounded(moved.high, digits, '+')}"
        p = "< 0.0001" if moved.holm_p < 0.0001 else f"{moved.holm_p:.4f}"
    said = SAID[moved.is_beyond_chance]
    return moved.table, moved.row, moved.column, *figures, difference, interval, p, said
