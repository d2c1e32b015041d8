"""Confidence limits at any level, of a figure or of a difference.

A `tail` is the probability left out on one side: 0.025 for an interval of 95 %. Limits get wider as
it gets smaller, so a p value is the level at which they just touch 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from scipy.special import ndtr, ndtri, stdtrit

from reports.statistics.roots import root

LEAST_TAIL = 1e-100
"""Smaller ones are told no further apart; Student's quantile is sound down to it."""
LARGEST = 709.0
"""The logarithm of about the largest float."""
NEAR = 1e-12
"""How near a limit, or the logarithm of a tail, is found."""


Bounds = tuple[float, float]
"""The smallest and the largest value there is."""
UNBOUNDED = (-math.inf, math.inf)
SHARE = (0.0, 1.0)
DIFFERENCE = (-1.0, 1.0)


class Limits(Protocol):
    @property
    def center(self) -> float:
        """The figure."""

    def at(self, tail: float) -> tuple[float, float]:
        """The lower and the upper limit."""

    def spread(self) -> Spread:
        """What the width is made of; of score limits a form that comes near, to plan with."""


def normal(tail: float) -> float:
    """The normal distribution's quantile that leaves out `tail` above it."""
    return -float(ndtri(tail))


def student(tail: float, df: float) -> float:
    """Student's t with `df` degrees of freedom, which may be infinite."""
    return normal(tail) if math.isinf(df) else -float(stdtrit(df, tail))


def _within(bounds: Bounds, low: float, high: float) -> tuple[float, float]:
    return max(low, bounds[0]), min(high, bounds[1])


def p_value(limits: Limits) -> float:
    """Two-sided, of a true value of 0: 1 minus the level at which a limit is 0."""

    def room(log_tail: float) -> float:
        """Between 0 and the limit on its side; negative where 0 is inside."""
        low, high = limits.at(math.exp(log_tail))
        return low if limits.center > 0 else -high

    if limits.center == 0:
        return 1.0
    if isinstance(limits, Score):
        return limits.p_value()
    least, most = math.log(LEAST_TAIL), math.log(0.5)
    if room(least) >= 0:
        return 2 * LEAST_TAIL
    return min(1.0, 2 * math.exp(root(room, least, most, near=NEAR)))


@dataclass(frozen=True)
class Floor:
    """How wide limits are at least, for what was not seen in the images may still be there.

    z² `reach` `weight` / (1 + z² `bend`); with N images of equal weight 1 / N, `reach` 1 and `bend`
    1 / N it is z² / (N + z²), the score interval's half width where no image differs.
    """

    weight: float
    """The sum of the images' squared weights."""
    reach: float = 1.0
    """The range of what is measured; 1 for right or not."""
    bend: float = 0.0

    def at(self, z: float) -> float:
        return z * z * self.reach * self.weight / (1 + z * z * self.bend)

    def times(self, factor: float) -> Floor:
        """With `factor` times as many images."""
        return replace(self, weight=self.weight / factor, bend=self.bend / factor)


@dataclass(frozen=True)
class Spread:
    """The half width is sqrt(max(t² `seeds`, z² `rest`) + z² `images` + floor²)."""

    center: float
    seeds: float = 0.0
    """The variance of `center` from one set of seeds to another, noise of images included."""
    df: float = math.inf
    """The degrees of freedom that `seeds` was estimated with."""
    rest: float = 0.0
    """What of it images alone would give."""
    images: float = 0.0
    """The variance from one set of images to another, seeds being the same."""
    floors: tuple[tuple[float, Floor], ...] = ()
    """Each with its factor; the floor is their sum."""
    bounds: Bounds = UNBOUNDED

    def half(self, tail: float) -> float:
        z = normal(tail)
        t = student(tail, self.df) if self.seeds else 0.0
        seeds = max(t * t * self.seeds, z * z * self.rest)
        floor = sum(factor * floor.at(z) for factor, floor in self.floors)
        return math.sqrt(seeds + z * z * self.images + floor * floor)

    def at(self, tail: float) -> tuple[float, float]:
        half = self.half(tail)
        return _within(self.bounds, self.center - half, self.center + half)

    def spread(self) -> Spread:
        return self

    @property
    def error(self) -> float:
        """The standard error of `center`."""
        return math.sqrt(max(self.seeds, self.rest) + self.images)

    def projected(self, seeds: float = 1.0, images: float = 1.0, df: float | None = None) -> Spread:
        """As with so many times the seeds and the images, if what was estimated is true."""
        rest = self.rest / seeds / images
        return replace(
            self,
            seeds=max(self.seeds - self.rest, 0.0) / seeds + rest,
            df=self.df if df is None else df,
            rest=rest,
            images=self.images / images,
            floors=tuple((factor, floor.times(images)) for factor, floor in self.floors),
        )


@dataclass(frozen=True)
class Score:
    """The paired score interval (Tango 1998): of `images`, `gained` are right with the variant only
    and `lost` with the baseline only."""

    gained: float
    lost: float
    images: float

    @property
    def center(self) -> float:
        return (self.gained - self.lost) / self.images

    def at(self, tail: float) -> tuple[float, float]:
        mirrored = Score(self.lost, self.gained, self.images)
        return self._low(tail), -mirrored._low(tail)

    def p_value(self) -> float:
        """Of a true difference of 0: McNemar's (1947), for the score is his there."""
        changed = self.gained + self.lost
        z = abs(self.gained - self.lost) / math.sqrt(changed) if changed else 0.0
        return max(2 * float(ndtr(-z)), 2 * LEAST_TAIL)

    def _low(self, tail: float) -> float:
        """The true difference at which the score is the quantile."""
        if self.center == -1:
            return -1.0
        z = normal(tail)
        n, changed, moved = self.images, self.gained + self.lost, self.gained - self.lost

        def beyond(true: float) -> float:
            """From -1/2 where the score is 0 to 1/2 where it is infinite; 0 at the quantile."""
            distance = moved - n * true
            if distance <= 0:
                return -0.5  # the variance may be 0 too
            # At the likeliest share of lost images that goes with this difference.
            b = (2 * n - moved) * true - changed
            square_root = math.sqrt(max(b * b + 8 * n * self.lost * true * (1 - true), 0.0))
            variance = n * ((square_root - b) / (2 * n) + true * (1 - true))
            return distance**2 / (distance**2 + z * z * max(variance, 0.0)) - 0.5

        return root(beyond, -1.0, self.center, near=NEAR)

    def spread(self) -> Spread:
        n = self.images
        variance = ((self.gained + self.lost) / n - self.center**2) / n
        floor = Floor(1 / n, bend=1 / n)
        return Spread(self.center, images=variance, floors=((1.0, floor),), bounds=DIFFERENCE)


@dataclass(frozen=True)
class Wilson:
    """The score interval of one share (Wilson 1927)."""

    center: float
    images: float

    def at(self, tail: float) -> tuple[float, float]:
        z, n, p = normal(tail), self.images, self.center
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        # At 0 and 1 the limit is the figure; rounding must not take it outside.
        return min(max(middle - half, 0.0), p), max(min(middle + half, 1.0), p)

    def spread(self) -> Spread:
        floor = Floor(1 / self.images, bend=1 / self.images)
        variance = self.center * (1 - self.center) / self.images
        return Spread(self.center, images=variance, floors=((1.0, floor),), bounds=SHARE)


@dataclass(frozen=True)
class Widest:
    """On each side the farther of two limits of one figure."""

    first: Limits
    second: Limits

    @property
    def center(self) -> float:
        return self.first.center

    def at(self, tail: float) -> tuple[float, float]:
        (low, high), (other_low, other_high) = self.first.at(tail), self.second.at(tail)
        return min(low, other_low), max(high, other_high)

    def spread(self) -> Spread:
        return self.first.spread()


@dataclass(frozen=True)
class Sum:
    """Of independent figures, each with its factor: distances to the limits, squared, are added on
    either side (Newcombe 1998; Zou and Donner 2008)."""

    parts: tuple[tuple[float, Limits], ...]
    bounds: Bounds = UNBOUNDED

    @property
    def center(self) -> float:
        return sum(factor * part.center for factor, part in self.parts)

    def at(self, tail: float) -> tuple[float, float]:
        below = above = 0.0
        for factor, part in self.parts:
            low, high = part.at(tail)
            down, up = factor * (part.center - low), factor * (high - part.center)
            down, up = (down, up) if factor > 0 else (-up, -down)
            below, above = below + down * down, above + up * up
        center = self.center
        return _within(self.bounds, center - math.sqrt(below), center + math.sqrt(above))

    def spread(self) -> Spread:
        parts = [(factor, part.spread()) for factor, part in self.parts]
        seeds = [(factor**2 * part.seeds, part.df) for factor, part in parts]
        return Spread(
            center=self.center,
            seeds=sum(variance for variance, _ in seeds),
            df=added_df(seeds),
            rest=sum(factor**2 * part.rest for factor, part in parts),
            images=sum(factor**2 * part.images for factor, part in parts),
            floors=tuple(
                (abs(factor) * own, floor) for factor, part in parts for own, floor in part.floors
            ),
            bounds=self.bounds,
        )


@dataclass(frozen=True)
class Ratio:
    """Of a logarithm's limits: the relative change, 0.5 for half as much again."""

    logarithm: Limits

    @property
    def center(self) -> float:
        return math.expm1(self.logarithm.center)

    def at(self, tail: float) -> tuple[float, float]:
        low, high = self.logarithm.at(tail)
        return math.expm1(low), math.expm1(min(high, LARGEST))

    def spread(self) -> Spread:
        return self.logarithm.spread()


def added_df(variances: list[tuple[float, float]]) -> float:
    """The degrees of freedom of a sum of independent variances, each with its own (Satterthwaite
    1946; Welch 1947)."""
    largest = max((variance for variance, _ in variances), default=0.0)
    if largest == 0:
        return math.inf
    parts = [(variance / largest, df) for variance, df in variances]
    doubt = sum(part * part / df for part, df in parts)
    return sum(part for part, _ in parts) ** 2 / doubt if doubt else math.inf


def as_data(limits: Limits) -> dict[str, Any]:
    """As JSON can hold it; `from_data` gives it back. What is at its default is left out."""
    data: dict[str, Any] = {"kind": type(limits).__name__.lower()}
    for each in fields(limits):  # type: ignore[arg-type]
        value = getattr(limits, each.name)
        if value == each.default:
            continue
        match each.name:
            case "first" | "second" | "logarithm":
                value = as_data(value)
            case "parts":
                value = [[factor, as_data(part)] for factor, part in value]
            case "floors":
                value = [[factor, asdict(floor)] for factor, floor in value]
        data[each.name] = value
    return data


_KINDS: Mapping[str, Callable[..., Limits]] = {
    kind.__name__.lower(): kind for kind in (Spread, Score, Wilson, Widest, Sum, Ratio)
}


def from_data(data: Mapping[str, Any]) -> Limits:
    """Raises ValueError for what `as_data` did not give."""
    try:
        given = {name: _given(name, value) for name, value in data.items() if name != "kind"}
        limits = _KINDS[data["kind"]](**given)
        low, high = limits.at(0.025)
    except (TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise ValueError("no confidence limits") from error
    if not low <= limits.center <= high:
        raise ValueError("no confidence limits")
    return limits


def _given(name: str, value: Any) -> Any:
    match name:
        case "first" | "second" | "logarithm":
            return from_data(value)
        case "parts":
            return tuple((float(factor), from_data(part)) for factor, part in value)
        case "floors":
            return tuple((float(factor), Floor(**floor)) for factor, floor in value)
        case "bounds":
            low, high = value
            return float(low), float(high)
    return float(value)
