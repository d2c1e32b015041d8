"""Forest plot: all differences of a table with their intervals, the lines over the rows below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from classifier.basics.names import printable
from experiments.matrix.schema import Column
from reports.blocks import Grid, Plot
from reports.figures.select import Cell
from reports.page.plots import letters, marks, style, svg
from reports.statistics.answers import Answer, Judged
from reports.statistics.intervals import Comparison
from reports.statistics.verdicts import Verdict, Word
from reports.words.phrases import difference, line_name, span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 3.0
"""So many times the median of half an interval is shown at least of each; arrows say that there is
more. Else one interval of few seeds makes points of all others."""
_NAMES, _WORDS = 168, 70
"""Pixels for the rows' names at the left, at most (those of lines over the rows are written out),
and for what is said at the right."""
_GAP, _AXIS, _APART = 6, 50, 10
"""Below a heading; from the last row to the next heading, and where there are no rows."""
_NO_INTERVAL = "no interval"
_MARKS = {
    Word.BETTER: ("^", style.BLUE),
    Word.WORSE: ("v", style.VERMILLION),
    Word.SAME: ("s", style.GREEN),
    Word.CANT_TELL: ("o", style.INK),
}


@dataclass(frozen=True)
class _Line:
    """What has a row of the plot."""

    name: str
    against: str
    """The column, or where rows are compared with rows, the row."""
    comparison: Comparison | None
    verdict: Verdict | None
    why: str = ""
    """What is said where there is no interval."""
    is_over_rows: bool = False

    @property
    def word(self) -> str:
        return self.verdict.word.value if self.verdict else self.why


@dataclass(frozen=True)
class _Group:
    """A column against its baseline."""

    column: Column
    against: str | None
    """None where each has its own."""
    by_row: bool
    """Whether that is a row, and not another column."""
    margin: float | None
    lines: Sequence[_Line]

    @property
    def compared(self) -> list[tuple[int, Comparison, Verdict]]:
        """By place."""
        return [
            (place, line.comparison, line.verdict)
            for place, line in enumerate(self.lines)
            if line.comparison and line.verdict
        ]


def plot(answer: Answer) -> Plot | None:
    """All differences of a table by what is compared; None where no interval is there."""
    groups = list(_groups(answer))
    if not any(group.compared for group in groups):
        return None
    name, title = f"forest-{answer.table.name}", f"{answer.table.name}: differences"
    drawn_lines = [line for group in groups if group.compared for line in group.lines]
    own = [line.name for line in drawn_lines if line.is_over_rows]
    most = max(_NAMES, letters.room_for(own, style.WIDTH))
    left = letters.room_for([line.name for line in drawn_lines], most)
    headings = [letters.wrapped(_heading(group), style.LETTERS * style.BOLD) for group in groups]
    limits = [_limits([other for other in groups if _share_axis(group, other)]) for group in groups]
    heights = [
        style.LINE * len(heading) + _height(group)
        for group, heading in zip(groups, headings, strict=True)
    ]

    def draw(figure: Figure) -> None:
        top = 0.0
        for number, group in enumerate(groups):
            for place, line in enumerate(headings[number]):
                middle = top + (place + 0.6) * style.LINE
                marks.write(figure, 0, middle, line, weight="bold")
            below = top + style.LINE * len(headings[number])
            if group.compared:
                width, height = style.WIDTH - left - _WORDS, style.ROW * len(group.lines)
                axes = marks.axes(figure, left, below + _GAP, width, height)
                _draw(axes, group, limits[number], left, f"group-{number}")
            else:
                said = letters.fitted(_why_empty(group), style.WIDTH, style.SMALL)
                middle = below + 0.75 * style.LINE
                marks.write(figure, 0, middle, said, fontsize=style.SMALL)
            top += heights[number]

    told = "; ".join(f"{_heading(group)}: {_counted(group)}" for group in groups)
    drawn = svg.drawn(name, title, told, sum(heights), draw)
    return Plot(name, title, drawn, _data(answer, groups), _caption(groups, limits))


def _groups(answer: Answer) -> Iterator[_Group]:
    for column in zip(*answer.cells, strict=True):
        compared = [each for each in column if each.cell.is_compared]
        if not compared:
            continue
        of = compared[0].cell
        rows = [_row(each) for each in compared]
        against = {row.against for row in rows}
        if len(against) > 1:  # each its own
            rows = [replace(row, name=f"{row.name} minus {row.against}") for row in rows]
        over = [
            _Line(
                line_name(answer, line),
                line.baseline.header,
                line.comparison,
                line.verdict,
                is_over_rows=True,
            )
            for line in answer.lines
            if line.column is of.column
        ]
        shared = against.pop() if len(against) == 1 else None
        base = of.baseline
        by_row = base is not None and _is_row(of, base)
        yield _Group(of.column, shared, by_row, of.margin, [*rows, *over])


def _row(judged: Judged) -> _Line:
    cell, base = judged.cell, judged.cell.baseline
    assert base is not None
    against = base.row if _is_row(cell, base) else base.column.header
    missing = cell.missing or base.missing
    why = missing.value if missing else _NO_INTERVAL
    return _Line(cell.row, against, judged.comparison, judged.verdict, why)


def _is_row(cell: Cell, base: Cell) -> bool:
    return base.column.header == cell.column.header


def _heading(group: _Group) -> str:
    header, against = group.column.header, f"“{group.against}”" if group.against else "its baseline"
    if group.by_row:
        variant = f"“{group.lines[0].name}”" if len(group.lines) == 1 else "each row"
        return printable(f"{header}: {variant} minus {against}".replace("<br>", " "))
    return printable(f"“{header}” minus {against}")


def _why_empty(group: _Group) -> str:
    missing = [line.word for line in group.lines if line.word != _NO_INTERVAL]
    return f"No row has an interval: {_in_all(missing)}." if missing else "No row has an interval."


def _counted(group: _Group) -> str:
    return _in_all([line.word for line in group.lines])


def _in_all(words: Sequence[str]) -> str:
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _height(group: _Group) -> float:
    """Pixels below its heading, with the room before the next."""
    return style.ROW * len(group.lines) + _AXIS if group.compared else style.LINE + _APART


def _share_axis(one: _Group, other: _Group) -> bool:
    return one.column.metric == other.column.metric


def _caption(groups: Sequence[_Group], limits: Sequence[tuple[float, float]]) -> str:
    said = "Thin: 95 % interval; thick: 90 %."
    if any(group.margin is not None for group in groups):
        said += " Shaded: the margin; “same” is where the 90 % interval lies inside it."
    if any(line.is_over_rows for group in groups for line in group.lines):
        said += " Diamonds: over the rows, as wide as their 95 % interval."
    is_cut = any(
        of.low < low or of.high > high
        for group, (low, high) in zip(groups, limits, strict=True)
        for _, of, _ in group.compared
    )
    return said + (" An arrow: the interval goes on." if is_cut else "")


def _draw(axes: Axes, group: _Group, limits: tuple[float, float], left: float, key: str) -> None:
    low, high = limits
    axes.set_xlim(low, high)
    axes.set_ylim(len(group.lines) - 0.5, -0.5)
    if group.margin is not None:
        shade = axes.axvspan(-group.margin, group.margin, color=style.FAINT, linewidth=0)
        shade.set_gid(f"{key}-margin")
    axes.axvline(0, color=style.THIN, linewidth=1)
    names = letters.fitted_names([line.name for line in group.lines], left - style.PAD)
    marks.name_rows(axes, range(len(names)), names)
    for place, line in enumerate(group.lines):
        marks.say_beside(axes, place, line.word)
        marks.tell_row(axes, place, 1, (left, _WORDS), f"{key}-area-{place}", _words(group, line))
    _draw_rows(axes, group, key)
    _draw_lines(axes, group, key)
    _draw_arrows(axes, group, (low, high), key)
    marks.scale_scores(axes.xaxis, group.column, is_difference=True)


def _words(group: _Group, line: _Line) -> str:
    """All of a row in a line."""
    has_own = group.against is None and not line.is_over_rows  # its name says which
    name = f"{line.name}: {group.column.header} minus {line.against}"
    if has_own:
        name = f"{group.column.header}: {line.name}"
    elif group.by_row and not line.is_over_rows:
        name = f"{group.column.header}: {line.name} minus {line.against}"
    name = printable(name.replace("<br>", " "))
    figure, wide, narrow, *_ = _told(group, line)
    if not figure:
        return f"{name}: {line.word}"
    return f"{name}: {figure}, 95 % interval {wide}, 90 % interval {narrow}: {line.word}"


def _limits(groups: Sequence[_Group]) -> tuple[float, float]:
    """From where to where an axis goes that these share: over 0, the margins, each difference, and
    each interval as far as REACH says."""
    found = [comparison for group in groups for _, comparison, _ in group.compared]
    half = REACH * median([(each.high - each.low) / 2 for each in found] or [0.0])
    margin = max(group.margin or 0.0 for group in groups)
    ends = [0.0, -margin, margin]
    for each in found:
        at = each.difference
        ends += [at, max(each.low, at - half), min(each.high, at + half)]
    ends = [end for end in ends if math.isfinite(end)]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    return min(ends) - room, max(ends) + room


def _draw_rows(axes: Axes, group: _Group, key: str) -> None:
    rows = [each for each in group.compared if not group.lines[each[0]].is_over_rows]
    for word, (marker, colour) in _MARKS.items():
        name = f"{key}-{word.name.lower()}"
        of = [(place, comparison) for place, comparison, verdict in rows if verdict.word is word]
        for level, width, opaque in ((0.95, 1.0, 1.0), (0.90, 4.0, 0.5)):
            ends = [(place, *comparison.at(level)) for place, comparison in of]
            bars = [((low, place), (high, place)) for place, low, high in ends]
            marks.draw_lines(axes, bars, (colour, opaque), width, f"{name}-{100 * level:.0f}")
        if of:
            x, y = [comparison.difference for _, comparison in of], [place for place, _ in of]
            (drawn,) = axes.plot(x, y, marker, color=colour, markersize=7)
            drawn.set_gid(f"{name}-differences")


def _draw_lines(axes: Axes, group: _Group, key: str) -> None:
    for place, comparison, verdict in group.compared:
        if group.lines[place].is_over_rows:
            at, low, high = comparison.difference, comparison.low, comparison.high
            ends = [(low, place), (at, place - 0.32), (high, place), (at, place + 0.32)]
            (drawn,) = axes.fill(*zip(*ends, strict=True), edgecolor=_ink(verdict), linewidth=1.2)
            fill = style.FAINT if verdict.word is Word.CANT_TELL else _ink(verdict)
            drawn.set(facecolor=fill, gid=f"{key}-over-rows-{place}")


def _draw_arrows(axes: Axes, group: _Group, limits: tuple[float, float], key: str) -> None:
    """Where an interval goes on."""
    low, high = limits
    inside = 0.015 * (high - low)
    below = [(low + inside, place) for place, each, _ in group.compared if each.low < low]
    above = [(high - inside, place) for place, each, _ in group.compared if each.high > high]
    for ends, marker, name in ((below, "<", "below"), (above, ">", "above")):
        if ends:
            (drawn,) = axes.plot(*zip(*ends, strict=True), marker, color=style.INK, markersize=5)
            drawn.set_gid(f"{key}-cut-{name}")


def _ink(verdict: Verdict) -> str:
    return _MARKS[verdict.word][1]


def _data(answer: Answer, groups: Sequence[_Group]) -> Grid:
    """All that the plot shows."""
    header = (
        answer.table.row_header, "column", "minus", "difference", "95 % interval", "90 % interval",
        "margin", "verdict",
    )  # fmt: skip
    rows = [
        (line.name, group.column.header, line.against, *_told(group, line))
        for group in groups
        for line in group.lines
    ]
    return Grid(header, rows)


def _told(group: _Group, line: _Line) -> tuple[str, ...]:
    margin = "" if group.margin is None else f"{group.margin:g}"
    if line.comparison is None:
        return "", "", "", margin, line.word
    limits = (line.comparison.at(level) for level in (0.95, 0.90))
    spans = (span(group.column, *each) for each in limits)
    return difference(group.column, line.comparison), *spans, margin, line.word
