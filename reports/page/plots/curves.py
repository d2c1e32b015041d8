"""Training curves as small multiples: a panel for each model, the arms that are compared and their
seeds together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.records.record import Epoch, TrainRecord
from reports.blocks import Grid, Plot
from reports.figures.select import Selection
from reports.figures.tables import rounded
from reports.page.plots import legends, letters, marks, style, svg
from reports.page.plots.panels import TITLED, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 60
MOST_POINTS = 200
"""Of a curve."""
MOST_IN_ALL = 12_000
"""Points of all curves: a page of them is still opened."""
LARGEST_TWICE = 300_000
"""Letters of a drawing that a page has room for twice, once for wide places."""
LOG_FROM = 20.0
"""So many times the smallest loss the largest is, and the axis is logarithmic: one training that
diverged makes flat lines of all others else."""
_LEFT, _BETWEEN = 48, 18
_TITLE, _ACCURACY, _LOSS = 17, 84, 52
_GAP, _AXIS = 6, 36
"""Pixels: between what is stacked, and below the last panel of each column."""
_HIGH = _TITLE + _ACCURACY + _GAP + _LOSS + 2 * _GAP
_WIDE = 660
"""Pixels of three panels side by side."""
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True)
class _Curve:
    """A track of a training."""

    record: TrainRecord
    arm: str
    """What the legend calls it."""
    epochs: Sequence[Epoch]
    """Those that are shown."""

    @property
    def best(self) -> Epoch:
        return self.record.history[self.record.best_epoch]


@dataclass(frozen=True)
class _Panel:
    """Arms with all their seeds."""

    name: str
    curves: Sequence[_Curve]


def plot(selection: Selection) -> Plot | None:
    """Val accuracy and val loss over the epochs of the matrix's trainings; None where there are
    none."""
    panels, left_out, step = _panels(selection)
    if not panels:
        return None
    drawing = _Drawing.of(panels)
    name, title = "curves", "Training curves"
    curves = sum(len(panel.curves) for panel in panels)
    told = f"{len(panels)} panels, {curves} trainings with their val accuracy and val loss"

    def drawn(name: str, width: float, across: int) -> str:
        return svg.drawn(
            name, title, told, drawing.height(width, across),
            lambda figure: drawing.draw(figure, width, across), width,
        )  # fmt: skip

    narrow = drawn(name, style.WIDTH, min(len(panels), 2))
    is_small = len(narrow) <= LARGEST_TWICE
    return Plot(
        name,
        title,
        narrow,
        _data(panels, selection.matrix.seeds),
        _told(panels, left_out, step, drawing.scales),
        drawn(f"{name}-wide", _WIDE, 3) if len(panels) > 2 and is_small else "",
    )


def thinned(count: int, best: int, step: int) -> list[int]:
    """Every `step`-th of so many epochs, with the best and the last."""
    return sorted({*range(0, count, step), best, count - 1})


def _panels(selection: Selection) -> tuple[list[_Panel], int, int]:
    """With how many there are more, and of how many epochs one is shown."""
    found = {
        (used.record.signature, used.record.track): used.record
        for used in selection.used
        if isinstance(used.record, TrainRecord) and used.record.history
    }
    of = {
        place: [found[key] for key in keys if key in found]
        for place, arm in enumerate(selection.matrix.arms)
        for keys in [[(training.signature, arm.track.key) for training in arm.trainings]]
    }
    there = [place for place, records in of.items() if records]
    together = panels(selection.matrix, there)
    shown = together[:MOST_PANELS]
    records = [record for panel in shown for place in panel.arms for record in of[place]]
    step = _step(max((len(each.history) for each in records), default=1), len(records))
    drawn = [
        _Panel(
            panel.name,
            [_curve(each, arm, step) for place, arm in panel.arms.items() for each in of[place]],
        )
        for panel in shown
    ]
    return drawn, len(together) - len(shown), step


def _step(longest: int, curves: int) -> int:
    """Such that neither a curve nor all of them have too many points."""
    most = min(MOST_POINTS, max(MOST_IN_ALL // max(curves, 1), 10)) - 2
    return math.ceil(longest / most)


def _curve(record: TrainRecord, arm: str, step: int) -> _Curve:
    kept = thinned(len(record.history), record.best_epoch, step)
    return _Curve(record, arm, [record.history[place] for place in kept])


def _told(panels: Sequence[_Panel], left_out: int, step: int, scales: _Scales) -> str:
    has_folds = any(_seed(curve)[1] is not None for panel in panels for curve in panel.curves)
    said = f"Above val accuracy, below val loss; a line is a {'fold of a ' * has_folds}seed."
    said += " The losses' axis is logarithmic." if scales.is_log else ""
    if step > 1:
        said += f" Of {step} epochs one is shown, and the best and the last."
    if left_out:
        said += f" {left_out} more " + ("panel is" if left_out == 1 else "panels are")
        said += " not shown."
    return said


@dataclass(frozen=True)
class _Scales:
    """The axes that all panels share."""

    epochs: tuple[float, float]
    accuracy: tuple[float, float]
    loss: tuple[float, float]
    is_log: bool

    @staticmethod
    def of(panels: Sequence[_Panel]) -> _Scales:
        numbers = {float(_number(e)) for p in panels for curve in p.curves for e in curve.epochs}
        first, last = min(numbers), max(numbers)
        epochs = [e for panel in panels for curve in panel.curves for e in curve.epochs]
        losses = [e.val_loss for e in epochs if math.isfinite(e.val_loss)] or [1.0]
        is_log = min(losses) > 0 and max(losses) > LOG_FROM * min(losses)
        return _Scales(
            _with_room([first, last]) if first < last else (first - 0.5, last + 0.5),
            _with_room([e.val_accuracy for e in epochs]),
            (min(losses) / 1.2, max(losses) * 1.2) if is_log else _with_room(losses),
            is_log,
        )


def _with_room(figures: Sequence[float]) -> tuple[float, float]:
    room = 0.05 * (max(figures) - min(figures)) or 0.05
    return min(figures) - room, max(figures) + room


@dataclass(frozen=True)
class _Drawing:
    """What is drawn, whatever the width."""

    panels: Sequence[_Panel]
    arms: Sequence[str]
    """In the legend's order."""
    scales: _Scales
    keys: Sequence[legends.Key]

    @staticmethod
    def of(panels: Sequence[_Panel]) -> _Drawing:
        curves = [curve for panel in panels for curve in panel.curves]
        arms = list(dict.fromkeys(curve.arm for curve in curves))
        keys = [legends.Key(arm, _sample(place)) for place, arm in enumerate(arms) if len(arms) > 1]
        ink = {"color": style.INK if len(arms) > 1 else style.SERIES[0], "linestyle": "none"}
        keys.append(legends.Key("best epoch", {**ink, **_BEST}))
        if any(curve.record.stopped_early for curve in curves):
            keys.append(legends.Key("stopped early", {**ink, **_STOPPED}))
        return _Drawing(panels, arms, _Scales.of(panels), keys)

    def height(self, width: float, across: int) -> float:
        rows = math.ceil(len(self.panels) / across)
        return self._top(width) + rows * _HIGH + _AXIS

    def _top(self, width: float) -> float:
        return legends.height(self.keys, width) + _GAP

    def draw(self, figure: Figure, width: float, across: int) -> None:
        legends.draw(figure, 0, self.keys, width)
        wide = (width - _LEFT - _BETWEEN * (across - 1)) / across
        for place, panel in enumerate(self.panels):
            row, column = divmod(place, across)
            at = _LEFT + column * (wide + _BETWEEN), self._top(width) + row * _HIGH, wide
            is_last = place + across >= len(self.panels)
            _draw(figure, at, panel, self, f"panel-{place}", (column == 0, is_last))


def _look(place: int) -> dict[str, Any]:
    """Of an arm."""
    dashes = _DASHES[place % len(_DASHES)]
    colour = style.SERIES[place % len(style.SERIES)]
    return {"edgecolor": colour, "linestyle": dashes, "linewidth": 1.3}


def _sample(place: int) -> dict[str, Any]:
    """The same in the legend."""
    look = _look(place)
    return {"color": look.pop("edgecolor"), **look}


_BEST: dict[str, Any] = {"marker": "o", "markersize": 5, "markeredgewidth": 0}
_STOPPED: dict[str, Any] = {"marker": "|", "markersize": 10}


def _draw(
    figure: Figure,
    at: tuple[float, float, float],
    panel: _Panel,
    drawing: _Drawing,
    key: str,
    is_outer: tuple[bool, bool],
) -> None:
    """`at`: its left and upper edge, and its width. `is_outer`: whether it is the first of its row,
    the last of its column: these name the axes for all."""
    left, top, width = at
    scales = drawing.scales
    title = letters.fitted(panel.name, width / style.BOLD)
    marks.write(figure, left, top + _TITLE / 2, title, weight="bold")
    above = marks.axes(figure, left, top + _TITLE, width, _ACCURACY)
    below = marks.axes(figure, left, top + _TITLE + _ACCURACY + _GAP, width, _LOSS)
    above.set(xlim=scales.epochs, ylim=scales.accuracy)
    below.set(xlim=scales.epochs, ylim=scales.loss, yscale="log" if scales.is_log else "linear")
    for axes, name, of in ((above, "accuracy", _accuracy), (below, "loss", _loss)):
        for number, arm in enumerate(drawing.arms):
            if any(curve.arm == arm for curve in panel.curves):
                _draw_arm(axes, panel, arm, number, f"{key}-{name}-{number}", of)
        marks.tick_few(axes, is_named=is_outer[0])
        if is_outer[0]:
            axes.set_ylabel(name)
            axes.yaxis.set_label_coords(-36 / width, 0.5)
    above.set_xticks([])
    if is_outer[1]:
        below.set_xlabel("epoch")
    else:
        below.tick_params(axis="x", labelbottom=False)


def _number(epoch: Epoch) -> int:
    """People count from 1, records from 0."""
    return epoch.epoch + 1


def _accuracy(epoch: Epoch) -> float:
    return epoch.val_accuracy


def _loss(epoch: Epoch) -> float:
    return epoch.val_loss if math.isfinite(epoch.val_loss) else math.nan


def _draw_arm(
    axes: Axes,
    panel: _Panel,
    arm: str,
    place: int,
    key: str,
    of: Callable[[Epoch], float],
) -> None:
    """All its seeds, with their best epochs, and their ends if they were stopped."""
    curves = [curve for curve in panel.curves if curve.arm == arm]
    look, told = _look(place), _words(panel, arm, curves, of)
    lines = [[(_number(e), of(e)) for e in curve.epochs] for curve in curves]
    marks.draw_curves(axes, lines, look, key, told)
    best = [(_number(curve.best), of(curve.best)) for curve in curves]
    marks.draw_dots(axes, best, look["edgecolor"], f"{key}-best", told)
    stopped = [curve.record.history[-1] for curve in curves if curve.record.stopped_early]
    if stopped:
        x, y = [_number(e) for e in stopped], [of(e) for e in stopped]
        (ends,) = axes.plot(x, y, color=look["edgecolor"], **_STOPPED)
        after = ", ".join(map(str, x))
        ends.set(gid=f"{key}-stopped", label=f"Stopped early, after epoch {after}")


def _words(panel: _Panel, arm: str, curves: Sequence[_Curve], of: Callable[[Epoch], float]) -> str:
    name = ", ".join([panel.name] + ([arm] if arm not in ("", TITLED) else []))
    each = ", ".join(
        f"{rounded(of(c.best), 5)} at {_number(c.best)} ({_named(_seed(c))})" for c in curves
    )
    return f"{name}, at the best epoch: {each}"


Seed = tuple[int, int | None]
"""With its fold, where there are any."""


def _seed(curve: _Curve) -> Seed:
    return curve.record.spec.seed, curve.record.spec.data.fold


def _named(of: Seed) -> str:
    seed, fold = of
    return f"seed {seed}" if fold is None else f"seed {seed}, fold {fold}"


def _data(panels: Sequence[_Panel], of_matrix: Sequence[int]) -> Grid:
    """All that the plot shows: a row an epoch of an arm, strong where it is a seed's best."""
    there = {_seed(curve) for panel in panels for curve in panel.curves}
    plain: list[Seed] = [(seed, None) for seed in of_matrix]
    seeds = sorted(there, key=lambda of: (of_matrix.index(of[0]), of[1] or 0))
    seeds = plain if all(fold is None for _, fold in there) else seeds
    of_seeds = [f"{what}, {_named(of)}" for what in ("val accuracy", "val loss") for of in seeds]
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for panel in panels:
        for arm in dict.fromkeys(curve.arm for curve in panel.curves):
            curves = {_seed(c): c for c in panel.curves if c.arm == arm}
            shown = {seed: {e.epoch: e for e in curve.epochs} for seed, curve in curves.items()}
            for epoch in sorted({epoch for of in shown.values() for epoch in of}):
                found = [shown.get(seed, {}).get(epoch) for seed in seeds]
                best = [s in curves and curves[s].record.best_epoch == epoch for s in seeds]
                strong |= {(len(rows), 3 + i) for i, is_best in enumerate(best) if is_best}
                accuracy = ["" if e is None else rounded(e.val_accuracy, 5) for e in found]
                loss = ["" if e is None else rounded(e.val_loss, 5) for e in found]
                rows.append((panel.name, arm, str(epoch + 1), *accuracy, *loss))
    return Grid(("panel", "arm", "epoch", *of_seeds), rows, frozenset(strong))
