"""What would turn each `can't tell` into a verdict, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from classifier.basics.progress import duration
from classifier.records.record import Cost
from experiments.matrix.schema import Column
from reports.blocks import Grid
from reports.statistics.answers import Answer, Judged
from reports.statistics.intervals import Comparison, Scope
from reports.statistics.verdicts import Needed, Verdict, Word, to_see, to_show_same
from reports.words.phrases import kind_of_row, line_name

ROUGH = (
    "Four times of five, if things are as these few seeds and images suggest: orders of magnitude."
)
ENOUGH = "no more than there are, four times of five; but the difference measured is too large"
"""Of `same`, for which the spread is small enough: only where the interval lies is in the way."""


def rough(answer: Answer) -> str:
    """What must be known to read what would tell."""
    has_sample = any(line.comparison.scope is Scope.POPULATION for line in answer.lines)
    only = f" Of {kind_of_row(answer)}s like these only more rows tell." if has_sample else ""
    return f"{ROUGH}{only}"


def would_tell(answer: Answer, costs: Mapping[str, Cost]) -> Grid | None:
    """What would turn each `can't tell` into a verdict, with what it would cost."""
    open_: list[tuple[str, Column, Comparison, Sequence[Judged]]] = []
    for each in answer.compared:
        if each.comparison and _is_open(each.verdict) and not each.doubts:
            open_.append((each.cell.row, each.cell.column, each.comparison, [each]))
    for line in answer.lines:
        doubtful = any(each.doubts for each in line.rows)
        is_sample = line.comparison.scope is Scope.POPULATION  # only more rows would tell
        if _is_open(line.verdict) and not doubtful and not is_sample:
            name = line_name(answer, line)
            open_.append((name, line.column, line.comparison, line.rows))
    if not open_:
        return None
    rows = []
    for name, column, comparison, judged in open_:
        cost, margin = _cost_of_a_seed(judged, costs), judged[0].cell.margin
        see = _needed(to_see(comparison, answer.family), comparison, cost)
        see = see if comparison.difference else "none was seen"
        same = "no margin"
        if margin is not None:
            same = _needed(to_show_same(comparison, margin), comparison, cost)
        rows.append((name, column.header, see, same))
    return Grid(
        (
            answer.table.row_header,
            "column",
            "to confirm the difference measured (estimated)",
            "to show `same`, if there is none (estimated)",
        ),
        rows,
    )


def _is_open(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.word is Word.CANT_TELL


def _needed(needed: Needed, comparison: Comparison, cost: float | None) -> str:
    if comparison.scope is Scope.PROCESS:
        return "measure longer: benchmark.seconds"
    if needed.seeds == comparison.seeds or needed.images == comparison.images:
        return ENOUGH
    ways = []
    if needed.seeds is not None:
        more = needed.seeds - comparison.seeds
        price = f", ~{duration(more * cost)} of job time" if cost is not None else ""
        ways.append(f"{needed.seeds} seeds ({more} more{price})")
    if needed.images is not None:
        ways.append(f"{needed.images:,} images (there are {comparison.images:,})")
    unknown = comparison.seeds == 1
    if not ways and unknown:
        return "not by more images alone"
    if not ways:
        return "not by more seeds alone, nor by more images alone"
    return " or ".join(ways) + ("; of seeds one can't say" if unknown else "")


def _cost_of_a_seed(judged: Sequence[Judged], costs: Mapping[str, Cost]) -> float | None:
    """Seconds that one more seed of both arms would take, as those took that are there."""
    needed: dict[str, None] = {}
    seeds = 1
    for each in judged:
        for cell in (each.cell, each.cell.baseline):
            for record in cell.records if cell else ():
                needed |= dict.fromkeys((record.spec.run.signature, record.signature))
            seeds = max(seeds, len(cell.there) if cell else 0)
    known = [costs[signature].seconds for signature in needed if signature in costs]
    return sum(known) / seeds if known else None
