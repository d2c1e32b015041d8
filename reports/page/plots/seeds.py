"""Every seed of a table's cells as a dot, with their mean as a short line; arms that are compared
are joined seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.basics.names import printable
from experiments.matrix.schema import Column
from reports.blocks import Grid, Plot
from reports.figures.select import Cell, Missing, SelectedTable
from reports.figures.tables import mean, text
from reports.page.plots import legends, letters, marks, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PAIRS = 300
"""Of dots that are joined, in one panel."""
_NAMES, _WORDS, _EDGE = 168, 66, 14
"""Pixels for the rows' names at the left, at most, and for what is missing, at the right, or for
the last figure of the axis alone."""
_GAP = 8
"""Pixels below the legend."""
_CELL, _APART, _AXIS = 15, 7, 52
"""Pixels: of a cell, between the table's rows, from the last of them to the next heading."""
_MEAN = 2.5
"""Pixels: how thick a mean is."""
_SPREAD = 7
"""Pixels between the first and the last seed of a cell, one below the other: equal figures would
hide each other."""
_CAPTION = "Each seed's figure and their mean."
_JOINED = "Thin lines join what one seed gave in two arms that are compared."


@dataclass(frozen=True)
class _Group:
    """The cells that share an axis: of one metric on the same images."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    """By the table's rows, then by these columns."""

    @property
    def name(self) -> str:
        return f"{self.columns[0].metric} on {self.columns[0].images}"

    @property
    def heading(self) -> str:
        return self.name if len(self.columns) > 1 else printable(self.columns[0].header)

    @property
    def cells(self) -> list[Cell]:
        return [cell for row in self.rows for cell in row]

    @property
    def places(self) -> list[float]:
        """Of the cells, in pixels below the upper end."""
        between = _APART if len(self.columns) > 1 else 0
        return [
            _CELL * (place + 0.5) + between * (place // len(self.columns))
            for place in range(len(self.cells))
        ]


def plot(table: SelectedTable, seeds: Sequence[int]) -> Plot | None:
    """All figures of scores, by seed; None where there are none. `seeds`: the matrix's."""
    groups = [group for group in _groups(table) if any(_figures(cell) for cell in group.cells)]
    if not groups:
        return None
    name, title = f"seeds-{table.name}", f"{table.name}: seeds"
    left = letters.room_for([row[0].row for group in groups for row in group.rows], _NAMES)
    is_whole = not any(cell.missing for group in groups for cell in group.cells)
    right = _EDGE if is_whole else _WORDS
    keys = [_legend(group) for group in groups]
    above = [style.LINE + legends.height(of_group) + _GAP for of_group in keys]
    is_joined = any(_pair_lines(group) for group in groups)
    caption = f"{_CAPTION} {_JOINED}" if is_joined else _CAPTION

    def draw(figure: Figure) -> None:
        top = 0.0
        for number, group in enumerate(groups):
            heading = letters.fitted(group.heading, style.WIDTH / style.BOLD)
            marks.write(figure, 0, top + style.LINE * 0.6, heading, weight="bold")
            legends.draw(figure, top + style.LINE, keys[number])
            top += above[number]
            width, height = style.WIDTH - left - right, group.places[-1] + _CELL / 2
            axes = marks.axes(figure, left, top, width, height)
            _draw(axes, group, (left, right), seeds, f"group-{number}")
            top += height + _AXIS

    height = sum(above) + sum(group.places[-1] + _CELL / 2 + _AXIS for group in groups)
    told = "; ".join(f"{group.name}: {len(group.cells)} cells" for group in groups)
    drawn = svg.drawn(name, title, f"{told}; seeds {', '.join(map(str, seeds))}", height, draw)
    return Plot(name, title, drawn, _data(table, groups, seeds), caption)


def _groups(table: SelectedTable) -> Iterator[_Group]:
    of: dict[tuple[str, str], list[int]] = {}
    for place, cell in enumerate(table.cells[0]):
        column = cell.column
        if not column.is_speed and not column.is_cost:
            of.setdefault((column.metric, column.images), []).append(place)
    for places in of.values():
        rows = [[row[place] for place in places] for row in table.cells]
        yield _Group([cell.column for cell in rows[0]], rows)


def _figures(cell: Cell) -> list[tuple[int, float]]:
    """With the place of their seeds."""
    return [(i, each) for i, each in enumerate(cell.figures) if not isinstance(each, Missing)]


def _legend(group: _Group) -> list[legends.Key]:
    """The columns by their colour, in their order from above, and what a seed and a mean are."""
    headers = [printable(column.header) for column in group.columns]
    colour = _colour(0) if len(headers) == 1 else style.INK
    keys = [legends.Key(header, _dot(_colour(place))) for place, header in enumerate(headers)]
    mean_look = {"color": colour, "marker": "|", "markersize": 11, "markeredgewidth": _MEAN}
    return [
        *(keys if len(keys) > 1 else ()),
        legends.Key("a seed", _dot(colour)),
        legends.Key("mean", {**mean_look, "linestyle": "none"}),
    ]


def _dot(colour: str) -> dict[str, object]:
    return {"color": colour, "marker": "o", "markersize": 5, "linestyle": "none"}


def _colour(place: int) -> str:
    return style.SERIES[place % len(style.SERIES)]


def _draw(
    axes: Axes, group: _Group, sides: tuple[float, float], seeds: Sequence[int], key: str
) -> None:
    """`sides`: the pixels to its left and right."""
    places, several = group.places, len(group.columns)
    found = [figure for cell in group.cells for _, figure in _figures(cell)]
    room = 0.04 * (max(found) - min(found)) or 0.01
    axes.set_xlim(min(found) - room, max(found) + room)
    axes.set_ylim(places[-1] + _CELL / 2, 0)
    middles = [sum(places[i : i + several]) / several for i in range(0, len(places), several)]
    names = letters.fitted_names([row[0].row for row in group.rows], sides[0] - style.PAD)
    marks.name_rows(axes, middles, names)
    for cell, place in zip(group.cells, places, strict=True):
        if cell.missing:
            marks.say_beside(axes, place, cell.missing.value)
    left_end, right_end = axes.get_xlim()
    guides = [((left_end, place), (right_end, place)) for place in places]
    marks.draw_lines(axes, guides, style.FAINT, 0.8, f"{key}-guides")
    _draw_pairs(axes, group, key)
    for column in range(several):
        cells = list(zip(group.cells, places, strict=True))[column::several]
        dots = [dot for cell, place in cells for dot in _dots(cell, place).values()]
        marks.draw_dots(axes, dots, _colour(column), f"{key}-seeds-{column}")
        _draw_means(axes, cells, _colour(column), f"{key}-means-{column}")
    for number, (cell, place) in enumerate(zip(group.cells, places, strict=True)):
        told = _words(cell, seeds)
        marks.tell_row(axes, place, _CELL, sides, f"{key}-area-{number}", told)
    marks.scale_scores(axes.xaxis, group.columns[0])


def _dots(cell: Cell, place: float) -> dict[int, tuple[float, float]]:
    """By the place of a seed its figure, and the pixel below the upper end."""
    count = len(cell.figures)
    step = _SPREAD / (count - 1) if count > 1 else 0.0
    return {i: (figure, place + step * (i - (count - 1) / 2)) for i, figure in _figures(cell)}


def _draw_pairs(axes: Axes, group: _Group, key: str) -> None:
    marks.draw_lines(axes, _pair_lines(group), style.THIN, 0.8, f"{key}-pairs")


def _pair_lines(group: _Group) -> list[tuple[marks.Point, marks.Point]]:
    """None where they are so many that nobody can follow one."""
    dots = [_dots(*each) for each in zip(group.cells, group.places, strict=True)]
    lines = [
        (dots[base][seed], dots[variant][seed])
        for base, variant in _pairs(group.cells)
        for seed in dots[base].keys() & dots[variant].keys()
    ]
    return sorted(lines) if len(lines) <= MOST_PAIRS else []


def _pairs(cells: Sequence[Cell]) -> list[tuple[int, int]]:
    """The places of cells that are compared, the baseline's first: those of one row, and of two
    rows where the baseline is that of no other. A fan of lines from one row says nothing."""
    place = {(cell.row, cell.column.header): i for i, cell in enumerate(cells)}
    named = [cell.baseline for cell in cells]
    bases = [place.get((base.row, base.column.header)) if base else None for base in named]
    return [
        (base, variant)
        for variant, base in enumerate(bases)
        if base is not None and (cells[base].row == cells[variant].row or bases.count(base) == 1)
    ]


def _draw_means(axes: Axes, cells: Sequence[tuple[Cell, float]], colour: str, key: str) -> None:
    half = _CELL / 2 - 2
    lines = []
    for cell, place in cells:
        at = mean(cell)
        if not isinstance(at, Missing):
            lines.append(((at, place - half), (at, place + half)))
    marks.draw_lines(axes, lines, colour, _MEAN, key)


def _words(cell: Cell, seeds: Sequence[int]) -> str:
    """All figures of a cell in a line."""
    each = ", ".join(text(cell.column, figure) for figure in cell.figures)
    name = printable(f"{cell.row.replace('<br>', ' ')}: {cell.column.header}")
    return f"{name}: {each} ({_named(seeds)}); mean {text(cell.column, mean(cell))}"


def _named(seeds: Sequence[int]) -> str:
    first, last = seeds[0], seeds[-1]
    if len(seeds) == 1:
        return f"seed {first}"
    is_row = len(seeds) > 3 and list(seeds) == list(range(first, last + 1))
    return f"seeds {first} to {last}" if is_row else f"seeds {', '.join(map(str, seeds))}"


def _data(table: SelectedTable, groups: Sequence[_Group], seeds: Sequence[int]) -> Grid:
    """All that the plot shows."""
    header = (table.row_header, "column", *(f"seed {seed}" for seed in seeds), "mean")
    rows = [
        (
            cell.row,
            cell.column.header,
            *(text(cell.column, figure) for figure in cell.figures),
            text(cell.column, mean(cell)),
        )
        for group in groups
        for cell in group.cells
    ]
    return Grid(header, rows)
