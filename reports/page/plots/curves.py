"""Training curves as small multiples: a panel a training, its seeds and its tracks together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.basics.names import printable
from classifier.records.record import Epoch, TrainRecord
from reports.blocks import Grid, Plot
from reports.figures.select import Selection
from reports.figures.tables import rounded
from reports.page.plots import arms, letters, marks, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 60
MOST_POINTS = 200
"""Of a curve."""
MOST_IN_ALL = 12_000
"""Points of all curves: a page of them is still opened."""
LOG_FROM = 20.0
"""So many times the smallest loss the largest is, and the axis is logarithmic: one training that
diverged makes flat lines of all others else."""
_ACROSS = 2
_LEFT, _BETWEEN = 48, 18
_TITLE, _ACCURACY, _LOSS, _AXIS = 17, 84, 52, 28
_GAP = 6
_HIGH = _TITLE + _ACCURACY + _GAP + _LOSS + _AXIS
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True)
class _Curve:
    """A track of a training."""

    record: TrainRecord
    epochs: Sequence[Epoch]
    """Those that are shown."""

    @property
    def best(self) -> Epoch:
        return self.record.history[self.record.best_epoch]


@dataclass(frozen=True)
class _Panel:
    """A training with all its seeds."""

    name: str
    curves: Sequence[_Curve]


def plot(selection: Selection) -> Plot | None:
    """Val accuracy and val loss over the epochs of the matrix's trainings; None where there are
    none."""
    panels, left_out, step = _panels(selection)
    if not panels:
        return None
    tracks = list(dict.fromkeys(c.record.track for panel in panels for c in panel.curves))
    scales = _Scales.of(panels)
    caption = _told(panels, left_out, step, scales)
    legend = tracks if len(tracks) > 1 else []
    top = style.LINE * len(legend) + _GAP
    high = top + _HIGH * math.ceil(len(panels) / _ACROSS)

    def draw(figure: Figure) -> None:
        for place, track in enumerate(legend):
            _draw_key(figure, (place + 0.6) * style.LINE, track, place)
        for place, panel in enumerate(panels):
            _draw(figure, top, panel, place, tracks, scales)

    name, title = "curves", "Training curves"
    told = f"{len(panels)} trainings, {sum(len(panel.curves) for panel in panels)} curves each way"
    drawn = svg.drawn(name, title, told, high, draw)
    return Plot(name, title, drawn, _data(panels, selection.matrix.seeds), caption)


def thinned(count: int, best: int, step: int) -> list[int]:
    """Every `step`-th of so many epochs, with the best and the last."""
    return sorted({*range(0, count, step), best, count - 1})


def _panels(selection: Selection) -> tuple[list[_Panel], int, int]:
    """With how many there are more, and of how many epochs one is shown."""
    records = [used.record for used in selection.used]
    found: dict[tuple[str, str], TrainRecord] = {
        (record.signature, record.track): record
        for record in records
        if isinstance(record, TrainRecord) and record.history
    }
    of: dict[str, list[TrainRecord]] = {}
    named: dict[str, dict[str, None]] = {}
    tracks = [axis for axis in selection.axes if axis.split(".")[0] == "ema"]
    names = arms.names(selection.matrix.arms, without=tracks)
    for arm, name in zip(selection.matrix.arms, names, strict=True):
        key = arm.trainings[0].signature
        for training in arm.trainings:
            record = found.pop((training.signature, arm.track.key), None)
            if record is not None:
                of.setdefault(key, []).append(record)
                named.setdefault(key, {})[name] = None
    shown = list(of)[:MOST_PANELS]
    curves = [record for key in shown for record in of[key]]
    step = _step(max((len(each.history) for each in curves), default=1), len(curves))
    panels = [
        _Panel(printable(" and ".join(named[key])), [_curve(each, step) for each in of[key]])
        for key in shown
    ]
    return panels, len(of) - len(shown), step


def _step(longest: int, curves: int) -> int:
    """Such that neither a curve nor all of them have too many points."""
    most = min(MOST_POINTS, max(MOST_IN_ALL // max(curves, 1), 10)) - 2
    return math.ceil(longest / most)


def _curve(record: TrainRecord, step: int) -> _Curve:
    kept = thinned(len(record.history), record.best_epoch, step)
    return _Curve(record, [record.history[place] for place in kept])


def _told(panels: Sequence[_Panel], left_out: int, step: int, scales: _Scales) -> str:
    said = "Above val accuracy, below val loss, by epoch (from 0), a line a seed. ●: best epoch"
    records = [curve.record for panel in panels for curve in panel.curves]
    said += "; |: stopped early." if any(each.stopped_early for each in records) else "."
    said += " The losses' axis is logarithmic." if scales.is_log else ""
    if step > 1:
        said += f" Of {step} epochs one is shown, and the best and the last."
    return said + (f" {left_out} more trainings are not shown." if left_out else "")


@dataclass(frozen=True)
class _Scales:
    """The axes that all panels share."""

    epochs: tuple[float, float]
    accuracy: tuple[float, float]
    loss: tuple[float, float]
    is_log: bool

    @staticmethod
    def of(panels: Sequence[_Panel]) -> _Scales:
        epochs = [e for panel in panels for curve in panel.curves for e in curve.epochs]
        losses = [e.val_loss for e in epochs if math.isfinite(e.val_loss)] or [1.0]
        is_log = min(losses) > 0 and max(losses) > LOG_FROM * min(losses)
        return _Scales(
            _with_room([float(e.epoch) for e in epochs]),
            _with_room([e.val_accuracy for e in epochs]),
            (min(losses) / 1.2, max(losses) * 1.2) if is_log else _with_room(losses),
            is_log,
        )


def _with_room(figures: Sequence[float]) -> tuple[float, float]:
    room = 0.05 * (max(figures) - min(figures)) or 0.05
    return min(figures) - room, max(figures) + room


def _draw_key(figure: Figure, at: float, track: str, place: int) -> None:
    from matplotlib.lines import Line2D

    wide, high = 72 * figure.get_size_inches()
    ends, height = (0, 26 / wide), 1 - at / high
    figure.add_artist(Line2D(ends, (height, height), **_look(place)))
    marks.write(figure, 32, at, track)


def _look(place: int) -> dict[str, Any]:
    """Of a track."""
    dashes = _DASHES[place % len(_DASHES)]
    return {"color": style.SERIES[place % len(style.SERIES)], "linestyle": dashes, "linewidth": 1.3}


def _draw(
    figure: Figure, top: float, panel: _Panel, place: int, tracks: Sequence[str], scales: _Scales
) -> None:
    row, column = divmod(place, _ACROSS)
    width = (style.WIDTH - _LEFT - _BETWEEN * (_ACROSS - 1)) / _ACROSS
    left, top = _LEFT + column * (width + _BETWEEN), top + row * _HIGH
    title = letters.fitted(panel.name, width / style.BOLD)
    marks.write(figure, left, top + _TITLE / 2, title, weight="bold")
    above = marks.axes(figure, left, top + _TITLE, width, _ACCURACY)
    below = marks.axes(figure, left, top + _TITLE + _ACCURACY + _GAP, width, _LOSS)
    above.set(xlim=scales.epochs, ylim=scales.accuracy)
    below.set(xlim=scales.epochs, ylim=scales.loss, yscale="log" if scales.is_log else "linear")
    for axes, name, of in ((above, "accuracy", _accuracy), (below, "loss", _loss)):
        for number, curve in enumerate(panel.curves):
            look = _look(tracks.index(curve.record.track))
            drawn = axes.plot(
                [e.epoch for e in curve.epochs], [of(e) for e in curve.epochs], **look
            )
            drawn[0].set_gid(f"panel-{place}-{name}-{number}")
        _draw_marks(axes, panel, f"panel-{place}-{name}", tracks, of)
        marks.tick_few(axes, is_named=column == 0)
    above.set_xticks([])
    if column == 0:
        for axes, name in ((above, "accuracy"), (below, "loss")):
            axes.set_ylabel(name)
            axes.yaxis.set_label_coords(-36 / width, 0.5)


def _accuracy(epoch: Epoch) -> float:
    return epoch.val_accuracy


def _loss(epoch: Epoch) -> float:
    return epoch.val_loss if math.isfinite(epoch.val_loss) else math.nan


def _draw_marks(
    axes: Axes, panel: _Panel, key: str, tracks: Sequence[str], of: Callable[[Epoch], float]
) -> None:
    """The best epochs, and the ends of those that were stopped."""
    for place, track in enumerate(tracks):
        curves = [curve for curve in panel.curves if curve.record.track == track]
        colour = style.SERIES[place % len(style.SERIES)]
        best = [(curve.best.epoch, of(curve.best)) for curve in curves]
        marks.draw_dots(axes, best, colour, f"{key}-best-{place}")
        stopped = [c.record.history[-1] for c in curves if c.record.stopped_early]
        if stopped:
            ends = axes.plot([e.epoch for e in stopped], [of(e) for e in stopped], "|")
            ends[0].set(color=colour, markersize=10, gid=f"{key}-stopped-{place}")


def _data(panels: Sequence[_Panel], seeds: Sequence[int]) -> Grid:
    """All that the plot shows: a row an epoch of a track, strong where it is a seed's best."""
    of_seeds = [f"{what}, seed {seed}" for what in ("val accuracy", "val loss") for seed in seeds]
    rows: list[tuple[str, ...]] = []
    strong: set[tuple[int, int]] = set()
    for panel in panels:
        for track in dict.fromkeys(curve.record.track for curve in panel.curves):
            curves = {c.record.spec.seed: c for c in panel.curves if c.record.track == track}
            shown = {seed: {e.epoch: e for e in curve.epochs} for seed, curve in curves.items()}
            for epoch in sorted({epoch for of in shown.values() for epoch in of}):
                found = [shown.get(seed, {}).get(epoch) for seed in seeds]
                best = [s in curves and curves[s].record.best_epoch == epoch for s in seeds]
                strong |= {(len(rows), 3 + i) for i, is_best in enumerate(best) if is_best}
                accuracy = ["" if e is None else rounded(e.val_accuracy, 5) for e in found]
                loss = ["" if e is None else rounded(e.val_loss, 5) for e in found]
                rows.append((panel.name, track, str(epoch), *accuracy, *loss))
    return Grid(("training", "track", "epoch", *of_seeds), rows, frozenset(strong))
