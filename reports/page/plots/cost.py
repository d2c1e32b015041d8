"""A score of each arm against what the arm costs, and which of them are shown to be beaten: by one
that costs no more and is better."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from classifier.basics.names import printable
from classifier.config.spec import TrainSpec
from classifier.records.record import BenchmarkRecord, Cost, TrainRecord
from experiments.matrix.arms import Arm, is_of_data
from experiments.matrix.schema import DIGITS, Column
from reports.blocks import Grid, Plot
from reports.figures.select import Cell, Selection, cost_of
from reports.figures.tables import figures, rounded
from reports.page.plots import legends, letters, marks, style, svg
from reports.page.plots.apart import apart
from reports.statistics.answers import Answer, Judged
from reports.words import arms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 120
"""Numbered arms whose names stand in the legend; those of the others show on hover."""
_LEFT, _EDGE, _HIGH, _AXIS, _GAP = 56, 10, 180, 56, 8
_LABEL = 22
"""Pixels at the left of the figures of an axis, for what it is."""
_WIDE = 275
"""Pixels of a panel beside others, where a page has room for them."""
_BAND = {"color": style.FAINT, "linewidth": 9}
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "*")
"""By model."""
Span = tuple[float, float, float]
"""Over the seeds: mean, least, most."""


@dataclass(frozen=True)
class _Score:
    figure: float
    low: float
    high: float
    """Its 95 % interval: without one it may be anything."""
    said: str


@dataclass(frozen=True)
class _Arm:
    """What has a point."""

    name: str
    model: str
    trick: str
    """The rest of its name."""
    score: _Score


@dataclass(frozen=True)
class _Point:
    name: str
    look: Mapping[str, Any]
    number: int | None
    """What is drawn in place of a shape."""
    cost: Span
    score: float
    line: tuple[float, float]
    """What its upright line shows; infinite without one."""
    scores: Mapping[str, _Score]
    """Of what it is compared by: an arm by its score, a model by those of its arms."""
    trained_with: tuple[int, ...] = ()
    """The arms of the same training, where that is not its alone: a cost of them together."""


@dataclass(frozen=True)
class _Panel:
    """A kind of cost."""

    name: str
    digits: int
    less_is_better: bool
    costs: Mapping[int, Span]
    """By arm."""
    together: Mapping[int, tuple[int, ...]]
    """By arm those that were trained with it, for one cost."""
    is_of_models: bool = False
    """Whether the model alone decides it: then a point is a model, with all its arms."""


def plots(selection: Selection, answers: Sequence[Answer]) -> list[Plot | None]:
    """One for each data set, for scores of other images do not compare."""
    sets = selection.titles
    if len(sets) < 2:
        return [plot(selection, answers)]
    found = []
    for number, (data, title) in enumerate(sets.items()):
        of = [each for each, arm in enumerate(selection.matrix.arms) if arm.data == data]
        found.append(plot(selection, answers, of, f"-{number}", f": {title}"))
    return found


def plot(
    selection: Selection,
    answers: Sequence[Answer],
    of: Collection[int] | None = None,
    suffix: str = "",
    heading: str = "",
) -> Plot | None:
    """None where fewer than two arms have a score, or where they cost the same. Accuracy goes
    before other scores, on test before val, in fp32 before fp16, then what most arms have. `of`:
    these arms only, which its name and its title tell by a `suffix` and a `heading`."""
    among = range(len(selection.matrix.arms)) if of is None else of
    column, judged = _scores(selection, answers, among)
    if column is None:
        return None
    there = _arms(selection, column, judged, among)
    panels = [
        replace(panel, is_of_models=_is_of_models(panel, there))
        for panel in _costs(selection, there)
        if len({cost[0] for cost in panel.costs.values()}) > 1
    ]
    if not panels:
        return None
    looks = _Looks.of(list(there.values()))
    keys = looks.keys(list(there.values()))
    if any(panel.together for panel in panels):
        keys.append(legends.Key("arms of one training", _BAND))
    name, title = f"cost{suffix}", f"{column.metric.capitalize()} against cost{heading}"
    told = f"{column.metric} on {column.images} of {len(there)} arms against "
    told += ", ".join(panel.name for panel in panels)

    points = [_points(panel, there, looks) for panel in panels]
    figures = [said for of in points for said in marks.scores_said(column, *_limits(of))]
    room = max(letters.text_width(said, style.SMALL) for said in figures)
    side = max(_LEFT, room + style.PAD + _LABEL)

    def drawn(name: str, width: float, across: int) -> str:
        top = legends.height(keys, width) + _GAP
        each = width / across - side - _EDGE

        def draw(figure: Figure) -> None:
            legends.draw(figure, 0, keys, width)
            for place, panel in enumerate(panels):
                row, beside = divmod(place, across)
                left, at = beside * width / across + side, top + row * (_HIGH + _AXIS)
                axes = marks.axes(figure, left, at, each, _HIGH)
                _draw(axes, panel, column, points[place], f"panel-{place}")

        rows = math.ceil(len(panels) / across)
        return svg.drawn(name, title, told, top + rows * (_HIGH + _AXIS), draw, width)

    return Plot(
        name,
        title,
        drawn(name, style.WIDTH, 1),
        _data(column, panels, there, looks),
        _caption(selection, panels, points, there, looks),
        drawn(f"{name}-wide", _WIDE * len(panels), len(panels)) if len(panels) > 1 else "",
    )


def beaten(panel: Sequence[_Point], *, less_is_better: bool, more_scores: bool) -> set[int]:
    """The places of those that another is shown to beat: it costs no more, and its interval lies
    wholly on the better side; a model's in each arm that both have. Of a cost that is several arms'
    together each one's own is not known: it is at most that."""
    side, sign = (1 if less_is_better else -1), (1 if more_scores else -1)

    def is_shown_better(one: _Score, other: _Score) -> bool:
        return min(sign * one.low, sign * one.high) > max(sign * other.low, sign * other.high)

    def beats(one: _Point, other: _Point) -> bool:
        both = [key for key in one.scores if key in other.scores]
        costs_no_more = side * one.cost[0] <= side * other.cost[0]
        is_better = all(is_shown_better(one.scores[key], other.scores[key]) for key in both)
        return bool(both) and costs_no_more and is_better

    return {
        place
        for place, point in enumerate(panel)
        if not point.trained_with and any(beats(other, point) for other in panel)
    }


# What is there


def _scores(
    selection: Selection, answers: Sequence[Answer], among: Collection[int]
) -> tuple[Column | None, dict[int, Judged]]:
    """By arm, of the score that is shown."""
    arm_of = {
        (training.signature, arm.track.key): place
        for place, arm in enumerate(selection.matrix.arms)
        for training in arm.trainings
    }
    found: dict[tuple[object, ...], tuple[Column, dict[int, Judged]]] = {}
    for judged in (each for answer in answers for row in answer.cells for each in row):
        column = judged.cell.column
        arm = _arm(judged.cell, arm_of)
        if arm in among and arm is not None and not column.is_cost and not column.is_speed:
            _, of = found.setdefault(column.measure, (column, {}))
            of[arm] = judged
    best = max(found.values(), key=_preferred, default=None)
    return (None, {}) if best is None or len(best[1]) < 2 else best


def _arm(cell: Cell, arm_of: Mapping[tuple[str, str], int]) -> int | None:
    """None of a cell that is not whole."""
    record = cell.records[0] if cell.there and not cell.missing else None
    if record is None or isinstance(record, BenchmarkRecord):
        return None
    return arm_of.get((record.training.signature, record.track))


def _preferred(of: tuple[Column, dict[int, Judged]]) -> tuple[bool, bool, bool, int]:
    column, found = of
    is_test = column.part == "test" and column.data is None
    return column.metric == "accuracy", is_test, column.precision != "fp16", len(found)


def _arms(
    selection: Selection, column: Column, judged: Mapping[int, Judged], among: Collection[int]
) -> dict[int, _Arm]:
    of = {place: selection.matrix.arms[place] for place in among}
    chosen = list(of.values())
    axes = [axis for axis in chosen[0].where if is_of_data(axis)]  # the same for all of them
    names = dict(zip(of, arms.names(chosen, without=axes), strict=True))
    tricks = dict(zip(of, arms.tricks(chosen, without=["model", *axes]), strict=True))
    return {
        place: _Arm(
            printable(names[place]),
            printable(of[place].trainings[0].model),
            printable(tricks[place]),
            _score(column, judged[place]),
        )
        for place in sorted(judged)
    }


def _score(column: Column, judged: Judged) -> _Score:
    digits = DIGITS.get(column.metric, 5)
    figure = fmean(figures(judged.cell))
    said, of = rounded(figure, digits), judged.estimate
    if of is None:
        return _Score(figure, -math.inf, math.inf, said)
    limits = f"{rounded(of.low, digits)} to {rounded(of.high, digits)}"
    return _Score(figure, of.low, of.high, f"{said} (95 % interval {limits})")


def _span(of_seeds: Sequence[float]) -> Span:
    return fmean(of_seeds), min(of_seeds), max(of_seeds)


def _costs(selection: Selection, there: Mapping[int, _Arm]) -> Iterator[_Panel]:
    known = {
        (used.record.signature, used.record.track): (used.record, used.cost)
        for used in selection.used
        if isinstance(used.record, TrainRecord)
    }
    chosen = {place: selection.matrix.arms[place] for place in there}
    together = _together(selection.matrix.arms, chosen, known)
    for metric, name in (("train_seconds", "train seconds"), ("parameters", "parameters")):
        found = {}
        for place, arm in chosen.items():
            if of_seeds := list(_of_seeds(metric, arm, known)):
                found[place] = _span(of_seeds)
        shared = together if metric == "train_seconds" else {}
        yield _Panel(name, DIGITS[metric], True, found, shared)
    yield _speeds(selection, chosen)


Known = Mapping[tuple[str, str], tuple[TrainRecord, Cost | None]]


def _of_seeds(metric: str, arm: Arm, known: Known) -> Iterator[float]:
    for training in arm.trainings:
        there = known.get((training.signature, arm.track.key))
        figure = cost_of(metric, *there) if there else None
        if figure is not None:
            yield float(figure)


def _together(
    every: Sequence[Arm], chosen: Mapping[int, Arm], known: Known
) -> dict[int, tuple[int, ...]]:
    """By arm those whose weights come of one training, which has one cost: it was spent once. A
    track that was added later is of a training of its own."""
    spent: dict[tuple[str, str], dict[int, None]] = {}
    for place, arm in enumerate(every):
        for training in arm.trainings:
            _, cost = known.get((training.signature, arm.track.key), (None, None))
            if cost is not None:
                key = training.signature, cost.model_dump_json()
                spent.setdefault(key, {})[place] = None
    of: dict[int, dict[int, None]] = {}
    for shared in (shared for shared in spent.values() if len(shared) > 1):
        for place in shared:
            of.setdefault(place, {}).update(shared)
    return {place: tuple(sorted(shared)) for place, shared in of.items() if place in chosen}


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
        return _Panel("FPS", DIGITS["fps"], False, {}, {})
    precision, batch_size = max(found, key=lambda key: (len(found[key]), key[0] == "fp32"))
    name = f"FPS ({precision}, batches of {batch_size})"
    return _Panel(name, DIGITS["fps"], False, found[precision, batch_size], {})


def _is_of(record: BenchmarkRecord, training: TrainSpec) -> bool:
    ours, theirs = record.spec, training
    return (ours.model, ours.own_model, ours.image_size) == (
        theirs.model, theirs.own_model, theirs.image_size,
    )  # fmt: skip


# What is shown of it


@dataclass(frozen=True)
class _Looks:
    """Colours by trick and shapes by model; where there are too many, arms have numbers."""

    colours: Mapping[str, str]
    shapes: Mapping[str, str]
    has_numbers: bool

    @staticmethod
    def of(there: Sequence[_Arm]) -> _Looks:
        tricks = list(dict.fromkeys(arm.trick for arm in there))
        models = list(dict.fromkeys(arm.model for arm in there))
        is_told = len({(arm.trick, arm.model) for arm in there}) == len(there)
        is_many = len(tricks) > len(style.SERIES) or len(models) > len(_SHAPES)
        return _Looks(
            dict(zip(tricks, style.SERIES, strict=False)),
            dict(zip(models, _SHAPES, strict=False)),
            has_numbers=is_many or not is_told,
        )

    def of_arm(self, arm: _Arm) -> dict[str, Any]:
        if self.has_numbers:
            return {"color": style.BLUE, "marker": "o"}
        return {"color": self.colours[arm.trick], "marker": self.shapes[arm.model]}

    def of_model(self, model: str) -> dict[str, Any]:
        return {"color": style.INK, "marker": self.shapes[model]}

    def keys(self, there: Sequence[_Arm]) -> list[legends.Key]:
        plain = {"linestyle": "none", "markersize": 6}
        if self.has_numbers:
            return [
                legends.Key(arm.name, {}, sample=f"{number}")
                for number, arm in enumerate(there[:MOST_NAMED], start=1)
            ]
        dots = [
            legends.Key(trick, {**plain, "marker": "o", "color": colour})
            for trick, colour in self.colours.items()
        ]
        shapes = [
            legends.Key(model, {**plain, "marker": shape, "color": style.INK})
            for model, shape in self.shapes.items()
        ]
        return [*(dots if len(dots) > 1 else ()), *(shapes if len(shapes) > 1 else ())]


def _is_of_models(panel: _Panel, there: Mapping[int, _Arm]) -> bool:
    if panel.together:
        return False
    costs: dict[str, set[float]] = {}
    for place, cost in panel.costs.items():
        costs.setdefault(there[place].model, set()).add(cost[0])
    has_one = all(len(of_model) == 1 for of_model in costs.values())
    return has_one and len(costs) <= len(_SHAPES) and len(costs) < len(panel.costs)


def _points(panel: _Panel, there: Mapping[int, _Arm], looks: _Looks) -> list[_Point]:
    if panel.is_of_models:
        return list(_of_models(panel, there, looks))
    together = panel.together
    numbers = {place: number for number, place in enumerate(there, start=1)}
    return [
        _Point(
            there[place].name,
            looks.of_arm(there[place]),
            numbers[place] if looks.has_numbers else None,
            cost,
            score.figure,
            (score.low, score.high),
            {"": score},
            together.get(place, ()),
        )
        for place, cost in panel.costs.items()
        for score in [there[place].score]
    ]


def _of_models(panel: _Panel, there: Mapping[int, _Arm], looks: _Looks) -> Iterator[_Point]:
    """Each at the mean of the arms that all models have, if there are any, from the least of these
    to the most."""
    of: dict[str, list[int]] = {}
    for place in panel.costs:
        of.setdefault(there[place].model, []).append(place)
    counts = Counter(trick for places in of.values() for trick in {there[p].trick for p in places})
    shared = {trick for trick, count in counts.items() if count == len(of)}
    for model, places in of.items():
        chosen = [p for p in places if there[p].trick in shared] or places
        scores = {there[place].trick: there[place].score for place in chosen}
        of_arms = [score.figure for score in scores.values()]
        line = min(of_arms), max(of_arms)
        look, cost = looks.of_model(model), panel.costs[places[0]]
        yield _Point(model, look, None, cost, fmean(of_arms), line, scores)


def _draw(axes: Axes, panel: _Panel, column: Column, points: Sequence[_Point], key: str) -> None:
    marks.scale_costs(axes.xaxis, panel.name, less_is_better=panel.less_is_better)
    marks.scale_scores(axes.yaxis, column)
    axes.tick_params(axis="y", labelsize=style.SMALL)
    lines = []
    for point in points:
        (cost, least, most), (low, high) = point.cost, point.line
        lines.append(((least, point.score), (most, point.score)))
        if math.isfinite(low) and math.isfinite(high):
            lines.append(((cost, low), (cost, high)))
    marks.draw_lines(axes, lines, style.THIN, 0.8, f"{key}-intervals")
    _join(axes, panel, points, f"{key}-together")
    hollow = _beaten(panel, column, points)
    axes.update_datalim([(point.cost[0], point.score) for point in points])
    axes.margins(0.06, 0.1)
    axes.autoscale_view(scaley=False)
    axes.set_ylim(*_limits(points))
    axes.grid(color=style.FAINT, linewidth=0.8)
    places = _places(axes, points, key)
    for place, point in enumerate(points):
        _draw_point(axes, panel, point, places[place], place in hollow, f"{key}-{place}")
    marks.draw_cuts(axes, [(point.cost[0], *point.line) for point in points], key)


def _places(axes: Axes, points: Sequence[_Point], key: str) -> list[marks.Point]:
    """Where the points are drawn: numbers side by side, with a line to where they belong."""
    at = [(point.cost[0], point.score) for point in points]
    if any(point.number is None for point in points):
        return at
    pixels = [(x - axes.bbox.x0, y) for x, y in axes.transData.transform(at).tolist()]
    bold = style.SMALL * style.BOLD
    widths = [letters.text_width(f"{point.number}", bold) for point in points]
    moved = apart(pixels, widths, style.SMALL, axes.bbox.width)
    back = axes.transData.inverted()
    places = [
        (float(back.transform((x + axes.bbox.x0, y))[0]), score) if x != pixel else (cost, score)
        for x, (pixel, y), (cost, score) in zip(moved, pixels, at, strict=True)
    ]
    lines = [line for line in zip(at, places, strict=True) if line[0] != line[1]]
    marks.draw_lines(axes, lines, style.THIN, 0.6, f"{key}-moved")
    return places


def _limits(points: Sequence[_Point]) -> tuple[float, float]:
    """From where to where the scores' axis goes: over all points, and over each upright line as far
    as half of the lines go, or as the points lie apart. Else one interval of few seeds makes a row
    of all points."""
    at = [point.score for point in points]
    halves = [(high - low) / 2 for low, high in (p.line for p in points) if math.isfinite(high)]
    reach = max(max(at) - min(at), median(halves or [0.0])) or 1.0
    low = min(max(point.line[0], min(at) - reach) for point in points)
    high = max(min(point.line[1], max(at) + reach) for point in points)
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def _beaten(panel: _Panel, column: Column, points: Sequence[_Point]) -> set[int]:
    more_scores = column.more_is_better is not False
    return beaten(points, less_is_better=panel.less_is_better, more_scores=more_scores)


def _draw_point(
    axes: Axes, panel: _Panel, point: _Point, at: marks.Point, is_beaten: bool, key: str
) -> None:
    said = "; ".join(f"{trick} {of.said}".strip() for trick, of in point.scores.items())
    told = f"{point.name}: {said}; {panel.name} {_said(point.cost, panel.digits)}"
    told += " (of one training with others)" if point.trained_with else ""
    told += "; shown to be beaten" if is_beaten else ""
    if point.number is not None:
        weight, colour = ("normal", style.GREY) if is_beaten else ("bold", style.BLUE)
        written = axes.text(
            *at, f"{point.number}", ha="center", va="center", fontsize=style.SMALL,
            weight=weight, color=colour,
        )  # fmt: skip
        written.set(gid=key, label=told)
        return
    (drawn,) = axes.plot(*at, linestyle="none", markersize=7, **point.look)
    drawn.set(gid=key, label=told)
    if is_beaten:
        drawn.set_markerfacecolor("none")


def _join(axes: Axes, panel: _Panel, points: Sequence[_Point], key: str) -> None:
    """The arms of one training."""
    of: dict[tuple[int, ...], list[marks.Point]] = {}
    for point in points:
        if point.trained_with:
            of.setdefault(point.trained_with, []).append((point.cost[0], point.score))
    lines = [
        ((x, min(y for _, y in along)), (x, max(y for _, y in along)))
        for along in of.values()
        for x in {x for x, _ in along}
        if len(along) > 1
    ]
    marks.draw_lines(axes, lines, style.FAINT, 9, key)


def _caption(
    selection: Selection,
    panels: Sequence[_Panel],
    points: Sequence[Sequence[_Point]],
    there: Mapping[int, _Arm],
    looks: _Looks,
) -> str:
    of_models = " and ".join(p.name.split(" (")[0] for p in panels if p.is_of_models)
    said = ["A point is an arm, with its 95 % interval."]
    if of_models:
        said.append(
            f"By {of_models} a point is a model: the mean of its arms, with a line from the least "
            "to the most of them."
        )
    what = "Numbers in grey" if looks.has_numbers else "Hollow"
    said.append(
        f"{what}: one that costs no more is shown to be better (their intervals lie apart)."
    )
    if any(panel.together for panel in panels):
        said.append(
            "Arms on a band come of one training: its seconds are theirs together, at least what "
            "each alone would take, so none of these is called worse for its time."
        )
    limits = [(_limits(of), of) for of in points]
    if any(p.line[0] < low or p.line[1] > high for (low, high), of in limits for p in of):
        said.append("An arrow: the interval goes on.")
    if looks.has_numbers:
        said.append("A line leads from a number that others would cover to where it belongs.")
    lacking = len(selection.matrix.arms) - len(there)
    if lacking:
        said.append(f"{_counted(lacking)} not here, for want of this score.")
    return " ".join(said)


def _counted(arms_: int) -> str:
    return "1 arm is" if arms_ == 1 else f"{arms_} arms are"


def _data(
    column: Column, panels: Sequence[_Panel], there: Mapping[int, _Arm], looks: _Looks
) -> Grid:
    """All that the plot shows: a row an arm, strong where it is not shown to be beaten."""
    digits = DIGITS.get(column.metric, 5)
    header = (
        "arm", f"{column.metric} on {column.images}", "95 % interval",
        *(panel.name for panel in panels),
    )  # fmt: skip
    left = [_left(panel, column, there, looks) for panel in panels]
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for place, arm in there.items():
        costs = [_said(panel.costs.get(place), panel.digits) for panel in panels]
        strong |= {(len(rows), 3 + number) for number, of in enumerate(left) if place in of}
        score = arm.score
        limits = (
            f"{rounded(score.low, digits)} to {rounded(score.high, digits)}"
            if math.isfinite(score.low)
            else ""
        )
        rows.append((arm.name, rounded(score.figure, digits), limits, *costs))
    return Grid(header, rows, frozenset(strong))


def _left(panel: _Panel, column: Column, there: Mapping[int, _Arm], looks: _Looks) -> set[int]:
    """The arms that are not shown to be beaten, alone or as their model."""
    points = _points(panel, there, looks)
    hollow = _beaten(panel, column, points)
    if panel.is_of_models:
        models = {points[place].name for place in hollow}
        return {place for place in panel.costs if there[place].model not in models}
    return {place for number, place in enumerate(panel.costs) if number not in hollow}


def _said(span: Span | None, digits: int) -> str:
    if span is None:
        return ""
    mean, least, most = (rounded(figure, digits) for figure in span)
    return mean if least == most else f"{mean} ({least} to {most})"
