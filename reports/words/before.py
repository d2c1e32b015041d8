"""What a table could tell at best, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache

from classifier.basics.names import counted
from classifier.data.spec import DataSpec, titles
from classifier.data.split import PARTS
from experiments.matrix.cells import Position
from experiments.matrix.model import Table, share_images
from experiments.matrix.schema import Column
from reports.figures.metrics import WITHOUT_INTERVAL, not_once
from reports.statistics.verdicts import TWO_SEEDS, least_shown, same_in_reach

_least_shown = cache(least_shown)
RIGHT_OR_NOT = ("accuracy", "mpa", "top5")
"""Metrics whose least difference is known beforehand."""
ONLY_COSTS = "what a model costs gets no verdict, and nothing else is compared"
NOTHING = "nothing is compared, for no cell has a baseline in its table"


def at_best(table: Table, seeds: int, images: Mapping[DataSpec, Mapping[str, int]]) -> list[str]:
    """What is compared; then a line for each part of the data: the smallest difference that could
    show, and whether `same` is in reach. `images`: by what is trained on how many each part has, or
    other data."""
    if not table.baseline:
        return [NOTHING]
    baselines = {cell for cell in table.baseline if not table.columns[cell[1]].is_cost}
    if not baselines:
        return [ONLY_COSTS]
    judged = {
        cell: _compares(table, cell)
        for cell in baselines
        if table.columns[cell[1]].metric not in WITHOUT_INTERVAL
        and not _is_not_once(table, cell)
        and _arm(table, cell) != _arm(table, table.baseline[cell])
    }
    compared = {c for _, c in judged}
    lines_over = {
        frozenset(what for cell, what in judged.items() if cell[1] == c)
        for c in compared
        if _has_line(table, c)
    }
    family = len(set(judged.values())) + 2 * len(lines_over)
    lines = [f"{counted(family, 'comparison')}, {counted(seeds, 'seed')}"]
    headers = {table.columns[c].header for pair in table.baseline.items() for _, c in pair}
    if alone := compared_with_nothing(table.columns, headers):
        lines.append(alone)
    if seeds == 1:
        lines[0] += " (of these trainings: another seed may give another answer)"
    if seeds == 2:
        lines.append(TWO_SEEDS)
    margins: dict[DataSpec, dict[str, set[float]]] = {}
    for r, c in judged:
        margin, trained = table.margins[c], table.cells[r][c][0].training
        if trained and margin is not None and table.columns[c].metric in RIGHT_OR_NOT:
            of_data = margins.setdefault(trained.data.whole, {})
            of_data.setdefault(table.columns[c].images, set()).add(margin)
    for data, title in titles(margins).items():
        of = f"{title}: " if len(margins) > 1 else ""
        told = _at_best_on(margins[data], seeds, images.get(data, {}), family)
        lines += [f"{of}{line}" for line in told]
    metrics = sorted({table.columns[c].metric for _, c in table.baseline} & set(WITHOUT_INTERVAL))
    lines += [f"{metric} has no interval: {WITHOUT_INTERVAL[metric]}" for metric in metrics]
    parts = {table.columns[cell[1]].part for cell in baselines if _is_not_once(table, cell)}
    return lines + [f"{part} has no interval: {not_once(part)}" for part in sorted(parts)]


def compared_with_nothing(columns: Sequence[Column], compared: Collection[str]) -> str:
    """The columns without a verdict beside others of the same measure that have one, and what
    would give them one. `compared`: the headers of those that have, and of their baselines."""
    measures = {column.measure for column in columns if column.header in compared}
    alone = [
        column.header
        for column in columns
        if column.header not in compared and column.measure in measures
    ]
    if not alone:
        return ""
    return (
        f"compared with nothing: {', '.join(alone)}; a column is compared that differs from "
        "another in being the 'baseline', or names one as 'against: HEADER'"
    )


def _at_best_on(
    margins: Mapping[str, Collection[float]], seeds: int, images: Mapping[str, int], family: int
) -> Iterator[str]:
    """Of one data set, by part."""
    for part in sorted(margins, key=[*PARTS, *margins].index):
        if part not in images:
            yield f"{part}: not there yet, so not counted"
            continue
        least = _least_shown(seeds, images[part], family)
        shown = "no difference" if least is None else f"a difference of {least:.4f}"
        shown += " shows at best"
        reached = [
            f"`same` within {margin:g} is {'' if same_in_reach(images[part], margin) else 'not '}"
            "in reach"
            for margin in sorted(margins[part])
        ]
        yield f"{part}, {images[part]:,} images: {'; '.join((shown, *reached))}"


def _arm(table: Table, cell: Position) -> tuple[object, ...]:
    """What a cell rests on."""
    row, column = cell
    return tuple((asked.spec.signature, asked.unit) for asked in table.cells[row][column])


def _is_not_once(table: Table, cell: Position) -> bool:
    """Whether it is of parts of folds that overlap."""
    column, trained = table.columns[cell[1]], table.cells[cell[0]][cell[1]][0].training
    has_folds = trained is not None and trained.data.folds is not None
    return has_folds and column.part != "test" and not column.is_speed


def _compares(table: Table, cell: Position) -> tuple[object, ...]:
    """What tells a comparison from others: a column may be shown twice, in two forms."""
    base = _arm(table, table.baseline[cell])
    return table.columns[cell[1]].metric, base, _arm(table, cell)


def _has_line(table: Table, column: int) -> bool:
    """Whether its rows are one trick: each has a baseline of its own."""
    cells = [cell for cell in table.baseline if cell[1] == column]
    bases = [table.baseline[cell] for cell in cells]
    if table.columns[column].is_speed or len(bases) < 2 or len(set(bases)) < len(bases):
        return False
    seen = (table.cells[row][c][0].looked_at for row, c in cells)
    return not share_images(data for data in seen if data is not None)
