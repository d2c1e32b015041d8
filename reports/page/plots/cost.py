"""A score of each arm against what the arm costs, with the Pareto front: the arms that no other
beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from classifier.basics.names import printable
from classifier.config.spec import TrainSpec
from classifier.records.record import BenchmarkRecord, Cost, TrainRecord
from experiments.matrix.arms import Arm
from experiments.matrix.schema import DIGITS, Column
from reports.blocks import Grid, Plot
from reports.figures.select import Cell, Selection, cost_of
from reports.figures.tables import figures, rounded
from reports.page.plots import arms, letters, marks, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _EDGE, _HIGH, _AXIS, _GAP = 56, 10, 180, 56, 8
_LABEL = 150
"""Pixels of an arm's name, at most."""
_MARK, _LETTER = 5, 11
"""Pixels that nothing else may lie in: to each side of a point, and of a name's height."""
Span = tuple[float, float, float]
"""Over the seeds: mean, least, most."""
Box = tuple[float, float, float, float]
"""Left, lower, right, upper."""


@dataclass(frozen=True)
class _Panel:
    """A kind of cost."""

    name: str
    digits: int
    less_is_better: bool
    costs: Mapping[int, Span]
    """By arm."""


def plot(selection: Selection) -> Plot | None:
    """None where fewer than two arms have a score, or where they cost the same. Accuracy goes
    before other scores, on test before val, in fp32 before fp16, then what most arms have."""
    column, scores = _scores(selection)
    if column is None:
        return None
    known = list(_costs(selection, scores))
    panels = [panel for panel in known if len({cost[0] for cost in panel.costs.values()}) > 1]
    if not panels:
        return None
    every_name = map(printable, arms.names(selection.matrix.arms))
    names = {arm: name for arm, name in enumerate(every_name) if arm in scores}
    caption = _caption(selection, scores)

    def draw(figure: Figure) -> None:
        for place, panel in enumerate(panels):
            at = _GAP + place * (_HIGH + _AXIS)
            axes = marks.axes(figure, _LEFT, at, style.WIDTH - _LEFT - _EDGE, _HIGH)
            _draw(axes, panel, column, scores, names, f"panel-{place}")

    name, title = "cost", f"{column.metric.capitalize()} against cost"
    told = f"{column.metric} on {column.images} of {len(scores)} arms against "
    told += ", ".join(panel.name for panel in panels)
    height = _GAP + len(panels) * (_HIGH + _AXIS)
    drawn = svg.drawn(name, title, told, height, draw)
    return Plot(name, title, drawn, _data(column, panels, scores, names), caption)


def front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """The places of those that no other beats: that costs no more and scores no less, and is better
    in one of the two. By cost; less of it is better, and more of the score."""
    kept: list[int] = []
    for place in sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i])):
        last = kept[-1] if kept else None
        is_same = last is not None and (costs[place], scores[place]) == (costs[last], scores[last])
        if last is None or scores[place] > scores[last] or is_same:
            kept.append(place)
    return kept


def _scores(selection: Selection) -> tuple[Column | None, dict[int, Span]]:
    """By arm, of the score that is shown."""
    arm_of = {
        (training.signature, arm.track.key): place
        for place, arm in enumerate(selection.matrix.arms)
        for training in arm.trainings
    }
    found: dict[tuple[object, ...], tuple[Column, dict[int, Span]]] = {}
    for cell in (cell for table in selection.tables for row in table.cells for cell in row):
        column = cell.column
        arm = _arm(cell, arm_of)
        if arm is not None and not column.is_cost and not column.is_speed:
            _, of = found.setdefault(column.measure, (column, {}))
            of[arm] = _span(figures(cell))
    best = max(found.values(), key=_preferred, default=None)
    return (None, {}) if best is None or len(best[1]) < 2 else best


def _arm(cell: Cell, arm_of: Mapping[tuple[str, str], int]) -> int | None:
    """None of a cell that is not whole."""
    record = cell.records[0] if cell.records and not cell.missing else None
    if record is None or isinstance(record, BenchmarkRecord):
        return None
    return arm_of.get((record.training.signature, record.track))


def _preferred(of: tuple[Column, dict[int, Span]]) -> tuple[bool, bool, bool, int]:
    column, found = of
    is_test = column.part == "test" and column.data is None
    return column.metric == "accuracy", is_test, column.precision != "fp16", len(found)


def _span(of_seeds: Sequence[float]) -> Span:
    return fmean(of_seeds), min(of_seeds), max(of_seeds)


def _costs(selection: Selection, scores: Mapping[int, Span]) -> Iterator[_Panel]:
    known = {
        (used.record.signature, used.record.track): (used.record, used.cost)
        for used in selection.used
        if isinstance(used.record, TrainRecord)
    }
    chosen = {place: arm for place, arm in enumerate(selection.matrix.arms) if place in scores}
    for metric, name in (("train_seconds", "train seconds"), ("parameters", "parameters")):
        found = {}
        for place, arm in chosen.items():
            if of_seeds := list(_of_seeds(metric, arm, known)):
                found[place] = _span(of_seeds)
        yield _Panel(name, DIGITS[metric], True, found)
    yield _speeds(selection, chosen)


def _of_seeds(
    metric: str, arm: Arm, known: Mapping[tuple[str, str], tuple[TrainRecord, Cost | None]]
) -> Iterator[float]:
    for training in arm.trainings:
        there = known.get((training.signature, arm.track.key))
        figure = cost_of(metric, *there) if there else None
        if figure is not None:
            yield float(figure)


def _speeds(selection: Selection, chosen: Mapping[int, Arm]) -> _Panel:
    """In the precision and size of batches that most arms have one in, fp32 before others."""
    records = [u.record for u in selection.used if isinstance(u.record, BenchmarkRecord)]
    found: dict[tuple[str, int], dict[int, Span]] = {}
    for place, arm in chosen.items():
        for record in records:
            if _is_of(record, arm.trainings[0]):
                key = record.spec.precision, record.spec.batch_size
                found.setdefault(key, {})[place] = _span([record.fps])
    if not found:
        return _Panel("FPS", DIGITS["fps"], False, {})
    precision, batch_size = max(found, key=lambda key: (len(found[key]), key[0] == "fp32"))
    name = f"FPS ({precision}, batches of {batch_size})"
    return _Panel(name, DIGITS["fps"], False, found[precision, batch_size])


def _is_of(record: BenchmarkRecord, training: TrainSpec) -> bool:
    ours, theirs = record.spec, training
    return (ours.model, ours.own_model, ours.image_size) == (
        theirs.model, theirs.own_model, theirs.image_size,
    )  # fmt: skip


def _front(panel: _Panel, column: Column, scores: Mapping[int, Span]) -> list[int]:
    """The arms of it."""
    there = list(panel.costs)
    cost = 1 if panel.less_is_better else -1
    score = 1 if column.more_is_better else -1
    kept = front([cost * panel.costs[a][0] for a in there], [score * scores[a][0] for a in there])
    return [there[place] for place in kept]


def _draw(
    axes: Axes,
    panel: _Panel,
    column: Column,
    scores: Mapping[int, Span],
    names: Mapping[int, str],
    key: str,
) -> None:
    kept = _front(panel, column, scores)
    others = [arm for arm in panel.costs if arm not in kept]
    marks.scale_costs(axes.xaxis, panel.name, less_is_better=panel.less_is_better)
    marks.scale_scores(axes.yaxis, column)
    axes.tick_params(axis="y", labelsize=style.SMALL)
    lines = []
    for arm, (cost, least, most) in panel.costs.items():
        score, low, high = scores[arm]
        lines += [((least, score), (most, score)), ((cost, low), (cost, high))]
    marks.draw_lines(axes, lines, (style.INK, 0.25), 0.8, f"{key}-seeds")
    steps = _steps([(panel.costs[arm][0], scores[arm][0]) for arm in kept])
    marks.draw_lines(axes, steps, style.VERMILLION, 1.2, f"{key}-front")
    for kind, of, filled in (("others", others, "none"), ("best", kept, style.BLUE)):
        if of:
            x, y = [panel.costs[arm][0] for arm in of], [scores[arm][0] for arm in of]
            (drawn,) = axes.plot(x, y, "o", color=style.BLUE, markersize=6)
            drawn.set(markerfacecolor=filled, gid=f"{key}-{kind}")
    axes.margins(0.06, 0.1)
    axes.autoscale_view()
    axes.grid(color=style.FAINT, linewidth=0.8)
    order = [*kept, *sorted(others, key=lambda arm: -scores[arm][0])]
    points = {arm: (panel.costs[arm][0], scores[arm][0]) for arm in order}
    _name(axes, points, names, steps)


def _steps(along: Sequence[marks.Point]) -> list[tuple[marks.Point, marks.Point]]:
    """What can be had at a cost: as good as the best that costs no more. From the cheapest on."""
    lines = []
    for (cost, score), (more, better) in pairwise(along):
        lines += [((cost, score), (more, score)), ((more, score), (more, better))]
    return lines


def _name(
    axes: Axes,
    points: Mapping[int, marks.Point],
    names: Mapping[int, str],
    lines: Sequence[tuple[marks.Point, marks.Point]],
) -> None:
    """Write each name beside its point, the first ones first, where no point, line or other name
    is."""
    pixels = axes.transData.transform
    at = pixels(list(points.values()))
    left, lower, right, upper = axes.bbox.extents
    taken: list[Box] = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in at]
    for line in lines:
        (x, y), (end, height) = pixels(line)
        taken.append((min(x, end) - 1, min(y, height) - 1, max(x, end) + 1, max(y, height) + 1))
    for (x, y), arm in zip(at, points, strict=True):
        name = letters.fitted(names[arm], _LABEL, style.SMALL)
        for box in _around(x, y, letters.text_width(name, style.SMALL)):
            inside = left <= box[0] and box[2] <= right and lower <= box[1] and box[3] <= upper
            if inside and not any(_overlap(box, other) for other in taken):
                middle = box[0], (box[1] + box[3]) / 2
                start, height = axes.transData.inverted().transform(middle)
                axes.text(start, height, name, va="center_baseline", fontsize=style.SMALL)
                taken.append(box)
                break


def _around(x: float, y: float, width: float) -> Iterator[Box]:
    """Places for a name beside a point: right, left, above, below, then between these."""
    away, half = _MARK + 2, _LETTER / 2
    for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
        middle = y + up * (away + half)
        start = x - width / 2 if across == 0 else x + away if across > 0 else x - away - width
        yield start, middle - half, start + width, middle + half


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _caption(selection: Selection, scores: Mapping[int, Span]) -> str:
    said = "A point: an arm; thin lines: from the least to the most of its seeds. Filled, along "
    said += "the line: no other arm is better in both (Pareto front). A point without room for its "
    said += "name has none."
    lacking = len(selection.matrix.arms) - len(scores)
    return said + (f" {lacking} arms are not here: they lack this score." if lacking else "")


def _data(
    column: Column,
    panels: Sequence[_Panel],
    scores: Mapping[int, Span],
    names: Mapping[int, str],
) -> Grid:
    """All that the plot shows."""
    header = ("arm", f"{column.metric} on {column.images}", *(panel.name for panel in panels))
    fronts = {panel.name: _front(panel, column, scores) for panel in panels}
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for arm, score in scores.items():
        costs = [_said(panel.costs.get(arm), panel.digits) for panel in panels]
        best = [place for place, of in enumerate(fronts.values()) if arm in of]
        strong |= {(len(rows), 2 + place) for place in best}
        rows.append((names[arm], _said(score, DIGITS.get(column.metric, 5)), *costs))
    return Grid(header, rows, frozenset(strong))


def _said(span: Span | None, digits: int) -> str:
    if span is None:
        return ""
    mean, least, most = (rounded(figure, digits) for figure in span)
    return mean if least == most else f"{mean} ({least} to {most})"
