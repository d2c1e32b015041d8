"""What published figures say: alone, without a run and without data, and beside measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from classifier.data.spec import DataSpec, titles
from classifier.data.split import PARTS, Part
from reports.blocks import Bullets, Grid, Section
from reports.figures.metrics import OF_THE_WHOLE, WITHOUT_INTERVAL
from reports.figures.select import Cell, SelectedTable
from reports.figures.tables import bare, figure, in_form, interval, minus, rounded, text
from reports.statistics.answers import Answer, Judged, estimate_from_records
from reports.statistics.intervals import Comparison, Scope, compare_unpaired, estimate_from_shares
from reports.statistics.limits import Score
from reports.statistics.verdicts import holm, verdict
from reports.words.before import NOTHING, ONLY_COSTS
from reports.words.notes import on_form

ONLY_ACCURACY = {
    "mpa": "mean per-class accuracy gets no verdict: its error is that of each class, and how many "
    "of each class's images were right was not published",
    "speed": "speeds get no verdict: their passes were not published",
    "cost": "what a training costs gets no verdict",
    **{
        metric: f"{metric} gets no verdict: its error is that of each image's answer, and these "
        "were not published"
        for metric in ("nll", *OF_THE_WHOLE)
    },
    "top5": "top5 gets no verdict here: of published figures only accuracies do",
    **{metric: f"{metric} gets no verdict: {why}" for metric, why in WITHOUT_INTERVAL.items()},
}


@dataclass(frozen=True)
class _Row:
    cell: Cell
    base: str
    comparison: Comparison
    narrowest: tuple[float, float]
    """The interval if the arms' mistakes overlapped as much as they can."""


Images = Mapping[DataSpec, Mapping[Part, int]]
"""How many each part has of what is trained on, where that is known."""


def sections(table: SelectedTable, images: Images) -> list[Section]:
    """The table as published, and its verdicts."""
    found = _compared(table, images)
    adjusted = holm([row.comparison.p for row in found])
    rows = []
    for row, p in zip(found, adjusted, strict=True):
        said = verdict(
            row.comparison,
            p,
            len(found),
            more_is_better=True,
            margin=row.cell.margin,
        )
        compared = row.comparison
        rows.append(
            (
                row.cell.row,
                row.cell.column.header,
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
    told = bare(table, [[_said(cell) for cell in row] for row in table.cells])
    return [
        Section(2, f"{table.name}, as published", (told, Bullets(on_form(table)))),
        Section(3, f"{table.name}: verdicts", (*judged, Bullets(_notes(table, images, len(rows))))),
    ]


def _said(cell: Cell) -> str:
    """What was published, in the cell's form; nothing where nothing was."""
    base = cell.baseline.published if cell.shows_difference and cell.baseline else 0.0
    if cell.published is None or base is None:
        return ""
    return in_form(cell.form, cell.published - base, "+" if cell.shows_difference else "")


def _compared(table: SelectedTable, images: Images) -> list[_Row]:
    rows = []
    for cell in (cell for row in table.cells for cell in row):
        base, after = cell.baseline, cell.published
        before = base.published if base else None
        of = cell.column
        if of.metric != "accuracy" or of.data or base is None or after is None or before is None:
            continue
        if cell.data is None or cell.data not in images:
            continue
        count = images[cell.data][cell.column.part]
        comparison = compare_unpaired(
            estimate_from_shares([before], count), estimate_from_shares([after], count)
        )
        difference = after - before
        paired = Score(max(difference, 0.0) * count, max(-difference, 0.0) * count, count)
        narrowest = Comparison(paired, 1, count, Scope.TRAININGS)
        name = base.column.header if cell.row == base.row else base.row
        rows.append(_Row(cell, name, comparison, (narrowest.low, narrowest.high)))
    return rows


def _notes(table: SelectedTable, images: Images, compared: int) -> list[str]:
    shown = (cell.data for row in table.cells for cell in row)
    known = {data: images[data] for data in shown if data and data in images}
    if not known:
        return ["How many images the data have is not known here, so nothing can be said."]
    notes = []
    columns = [cell.column for cell in table.cells[0]]
    kinds = {"speed" if c.is_speed else "cost" if c.is_cost else c.metric for c in columns}
    if compared:
        counted = {c.part for c in columns if not (c.is_speed or c.is_cost)}
        names = titles(known) if len(known) > 1 else {}
        of = " and ".join(
            f"{parts[part]:,} {part}" + (f" of {names[data]}" if names else "")
            for data, parts in known.items()
            for part in PARTS
            if part in counted
        )
        notes.append(
            f"On {of} images, one training each. The verdict is the unpaired interval's (Newcombe "
            f"1998), Holm over {compared} comparisons: which images each arm had right was not "
            "published. Paired it would be narrower, at best as the bound says: if one arm's "
            "mistakes were all the other's too. Another seed is in neither."
        )
    elif any(cell.is_compared for row in table.cells for cell in row):
        notes.append("Nothing that is compared here has a verdict.")
    elif any(cell.baseline for row in table.cells for cell in row):
        notes.append(f"{ONLY_COSTS.capitalize()}.")
    else:
        notes.append(f"{NOTHING.capitalize()}.")
    notes += [reason for kind, reason in ONLY_ACCURACY.items() if kind in kinds]
    return notes


def published_grid(answer: Answer) -> Grid:
    """Published figures beside the measured ones, and whether chance alone can be why they differ:
    whether it is within what both samples of images allow."""
    header = (
        answer.table.row_header,
        "column",
        "measured",
        "published",
        "minus published",
        "within what chance allows",
    )
    rows = []
    for each in (each for row in answer.cells for each in row):
        cell, column = each.cell, each.cell.column
        if cell.published is None:
            continue
        difference = text(column, minus(cell, cell.published), "+")
        measured = (figure(cell), text(column, cell.published), difference)
        rows.append((cell.row, column.header, *measured, _within(each)))
    return Grid(header, rows)


def _within(judged: Judged) -> str:
    """Binomial of both, unpaired; of accuracies only."""
    cell, published = judged.cell, judged.cell.published
    if published is None or cell.missing or cell.column.metric != "accuracy":
        return ""
    measured = estimate_from_records(cell.there)
    found = compare_unpaired(estimate_from_shares([published], measured.images), measured)
    return "yes" if found.low <= 0 <= found.high else "no"
