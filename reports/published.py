"""What published figures alone can say, without a run and without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from classifier.data.split import Part
from experiments.matrix.model import Table
from experiments.matrix.schema import Column
from reports.before import NOTHING
from reports.blocks import Bullets, Grid, Section
from reports.limits import Score
from reports.statistics import Comparison, Scope, compare_unpaired, estimate_from_shares
from reports.tables import interval, rounded, text
from reports.verdicts import holm, verdict

ONLY_ACCURACY = {
    "mpa": "mean per-class accuracy gets no verdict: its error is that of each class, and how many "
    "of each class's images were right was not published",
    "speed": "speeds get no verdict: their passes were not published",
}


@dataclass(frozen=True)
class _Row:
    name: str
    column: Column
    base: str
    comparison: Comparison
    narrowest: tuple[float, float]
    """The interval if the arms' mistakes overlapped as much as they can."""


def sections(table: Table, images: Mapping[Part, int] | None) -> list[Section]:
    """The table as published, and its verdicts; `images`: how many each part has."""
    found = _compared(table, images) if images else []
    adjusted = holm([row.comparison.p for row in found])
    rows = []
    for row, p in zip(found, adjusted, strict=True):
        said = verdict(
            row.comparison,
            p,
            len(found),
            more_is_better=row.column.more_is_better,
            margin=table.margins[table.columns.index(row.column)],
        )
        compared = row.comparison
        rows.append(
            (
                row.name,
                row.column.header,
                row.base,
                rounded(compared.difference, 5, "+"),
                interval(compared.low, compared.high),
                interval(*row.narrowest),
                f"{compared.p:.4f}",
                f"{p:.4f}",
                "; ".join((said.word.value, *said.remarks)),
            )
        )
    header = (
        table.row_header,
        "column",
        "against",
        "difference",
        "95 % interval, unpaired",
        "narrowest if paired",
        "p",
        "Holm's p",
        "verdict",
    )
    judged = [Grid(header, rows)] if rows else []
    return [
        Section(2, f"{table.name}, as published", (_bare(table),)),
        Section(3, f"{table.name}: verdicts", (*judged, Bullets(_notes(table, images, len(rows))))),
    ]


def _bare(table: Table) -> Grid:
    rows = [
        [
            row,
            *(text(column, table.published.get((row, column.header))) for column in table.columns),
        ]
        for row in table.rows
    ]
    return Grid([table.row_header, *(column.header for column in table.columns)], rows)


def _compared(table: Table, images: Mapping[Part, int]) -> list[_Row]:
    rows = []
    for (r, c), (base_r, base_c) in sorted(table.baseline.items()):
        column, base = table.columns[c], table.columns[base_c]
        after = table.published.get((table.rows[r], column.header))
        before = table.published.get((table.rows[base_r], base.header))
        if column.metric != "accuracy" or column.data or after is None or before is None:
            continue
        count = images[column.part]
        comparison = compare_unpaired(
            estimate_from_shares([before], count), estimate_from_shares([after], count)
        )
        difference = after - before
        paired = Score(max(difference, 0.0) * count, max(-difference, 0.0) * count, count)
        narrowest = Comparison(paired, 1, count, Scope.TRAININGS)
        name = base.header if r == base_r else table.rows[base_r]
        limits = (narrowest.low, narrowest.high)
        rows.append(_Row(table.rows[r], column, name, comparison, limits))
    return rows


def _notes(table: Table, images: Mapping[Part, int] | None, compared: int) -> list[str]:
    if images is None:
        return ["How many images the data have is not known here, so nothing can be said."]
    notes = []
    if compared:
        counted = {column.part for column in table.columns if not column.is_speed}
        of = " and ".join(f"{images[part]:,} {part}" for part in ("val", "test") if part in counted)
        notes.append(
            f"On {of} images, one training each. The verdict is the unpaired interval's (Newcombe "
            f"1998), Holm over {compared} comparisons: which images each arm had right was not "
            "published. Paired it would be narrower, at best as the bound says: if one arm's "
            "mistakes were all the other's too. Another seed is in neither."
        )
    elif table.baseline:
        notes.append("Nothing that is compared here has a verdict.")
    else:
        notes.append(f"{NOTHING.capitalize()}.")
    metrics = {"speed" if column.is_speed else column.metric for column in table.columns}
    notes += [reason for metric, reason in ONLY_ACCURACY.items() if metric in metrics]
    return notes
