"""What plots are drawn with: axes at a place in pixels, lines and dots, scales, words.

matplotlib is imported inside functions: a command that draws nothing does not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from experiments.matrix.schema import Column
from reports.page.plots.style import FAINT, INK, PAD, SMALL, Colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """At so many pixels from the figure's upper left corner."""
    wide, high = 72 * figure.get_size_inches()
    box = (left / wide, 1 - (top + height) / high, width / wide, height / high)
    return figure.add_axes(box)


def write(figure: Figure, left: float, top: float, text: str, **how: Any) -> None:
    """A line of text whose middle lies at `top`."""
    wide, high = 72 * figure.get_size_inches()
    figure.text(left / wide, 1 - top / high, text, va="center", **how)


def name_rows(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """At the left of rows of marks. Plain text: ticks take twice the time to draw."""
    from matplotlib.transforms import ScaledTranslation

    away = ScaledTranslation(-PAD / 72, 0, axes.figure.dpi_scale_trans)
    left = axes.get_yaxis_transform() + away
    axes.set_yticks([])
    for place, name in zip(places, names, strict=True):
        axes.text(0, place, name, transform=left, ha="right", va="center_baseline")


def say_beside(axes: Axes, place: float, text: str) -> None:
    """A word at the right of a row of marks."""
    right = axes.get_yaxis_transform()
    axes.text(1.03, place, text, transform=right, va="center_baseline", fontsize=SMALL)


def tick_few(axes: Axes, *, is_named: bool) -> None:
    """Two or three figures an axis; `is_named`: whether those of y are written."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    is_log = axes.get_yscale() == "log"
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(numticks=4) if is_log else MaxNLocator(3))
    axes.yaxis.set_minor_locator(NullLocator())
    plain = FuncFormatter(lambda figure, _: f"{round(figure, 10):g}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.tick_params(axis="y", labelleft=is_named, labelsize=SMALL)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)


def tell_row(
    axes: Axes, place: float, high: float, sides: tuple[float, float], key: str, told: str
) -> None:
    """What shows where the pointer is on a row: `high` in the axes' figures, as wide as the axes
    and so many pixels to its left and right."""
    from matplotlib.patches import Rectangle

    left, right = (side / axes.bbox.width for side in sides)
    axes.add_artist(  # as add_patch, but its place widens no axis, which took half of the time
        Rectangle(
            (-left, place - high / 2), 1 + left + right, high,
            transform=axes.get_yaxis_transform(), linewidth=0, zorder=9,
            clip_on=False, gid=key, label=told,
        )
    )  # fmt: skip


Point = tuple[float, float]
"""In an axes' figures."""


def draw_dots(
    axes: Axes, dots: Sequence[Point], colour: str, key: str, told: str = "", size: float = 5
) -> None:
    """Lines without a length, whose round ends are dots: in SVG a fifth of the letters of marks."""
    _draw_path(axes, [(dot, dot) for dot in dots], colour, size, key, "round", told)


def draw_curves(
    axes: Axes, curves: Sequence[Sequence[Point]], look: Mapping[str, Any], key: str, told: str
) -> None:
    """Several as one mark. A point whose height is no number is a gap."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [point for curve in curves for point in curve]
    is_there = [[math.isfinite(y) for _, y in curve] for curve in curves]
    codes = [
        Path.LINETO if place and there[place - 1] and is_one else Path.MOVETO
        for there in is_there
        for place, is_one in enumerate(there)
    ]
    kept = [place for place, (_, y) in enumerate(points) if math.isfinite(y)]
    if kept:
        path = Path([points[place] for place in kept], [codes[place] for place in kept])
        axes.add_patch(PathPatch(path, fill=False, capstyle="butt", gid=key, label=told, **look))


def draw_lines(
    axes: Axes, lines: Sequence[tuple[Point, Point]], colour: Colour, width: float, key: str
) -> None:
    _draw_path(axes, lines, colour, width, key, "butt")


def _draw_path(
    axes: Axes,
    lines: Sequence[tuple[Point, Point]],
    colour: Colour,
    width: float,
    key: str,
    ends: Literal["round", "butt"],
    told: str = "",
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if lines:
        points = [point for line in lines for point in line]
        path = Path(points, [Path.MOVETO, Path.LINETO] * len(lines))
        axes.add_patch(
            PathPatch(
                path, fill=False, edgecolor=colour, linewidth=width, capstyle=ends, gid=key,
                label=told,
            )
        )  # fmt: skip


def draw_cuts(axes: Axes, lines: Sequence[tuple[float, float, float]], key: str) -> None:
    """Arrows where upright lines, each at a place from low to high, go on outside the axes."""
    low, high = axes.get_ylim()
    inside = 0.015 * (high - low)
    below = [(at, low + inside) for at, least, _ in lines if math.isfinite(least) and least < low]
    above = [(at, high - inside) for at, _, most in lines if math.isfinite(most) and most > high]
    for ends, marker, name in ((below, "v", "below"), (above, "^", "above")):
        if ends:
            (drawn,) = axes.plot(*zip(*ends, strict=True), marker, color=INK, markersize=4)
            drawn.set_gid(f"{key}-cut-{name}")


MOST_TICKS = 4


def scores_said(column: Column, low: float, high: float) -> list[str]:
    """The figures at an axis of a metric that goes from low to high."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(MOST_TICKS).tick_values(low, high)
    return [_score(column, tick) for tick in ticks if low <= tick <= high]


def _score(column: Column, figure: float, is_difference: bool = False) -> str:
    in_percent = is_difference and column.is_speed
    figure = round(100 * figure if in_percent else figure, 10)
    sign = "+" if is_difference and figure else ""
    return f"{figure:{sign}g}{' %' if in_percent else ''}"


def scale_scores(axis: Axis, column: Column, *, is_difference: bool = False) -> None:
    """What an axis of a metric shows, which way is better, and a few of its figures."""

    def said(figure: float, _: float) -> str:
        return _score(column, figure, is_difference)

    what = f"difference in {column.metric}" if is_difference else column.metric
    _scale(axis, what, column.more_is_better, said)


def scale_costs(axis: Axis, what: str, *, less_is_better: bool) -> None:
    """The same of a cost."""
    from matplotlib.ticker import EngFormatter

    short = EngFormatter(sep="")  # 2.2M
    _scale(axis, what, not less_is_better, lambda figure, _: short(figure))


def _scale(
    axis: Axis, what: str, more_is_better: bool | None, said: Callable[[float, float], str]
) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(MOST_TICKS))
    axis.set_major_formatter(said)
    better = {True: " (better →)", False: " (← better)", None: ""}
    axis.set_label_text(what + better[more_is_better])
