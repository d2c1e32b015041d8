"""What a difference is worth: intervals of a variant against its baseline, of one cell, of a trick
over rows, of two speeds. Pure: arrays in, figures out; no randomness.

Images and seeds are two samples, crossed: every seed's training is judged by the same images.
Scores come as an array (seeds, images): right or not as bools, anything else that is a mean over
images, or is made one by pseudo-values (reports/figures/metrics.py), as floats. Two arms are paired
by seed and by image. The intervals hold at their stated rates in simulated worlds:
docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median, variance
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.statistics.limits import (
    DIFFERENCE,
    SHARE,
    UNBOUNDED,
    Bounds,
    Floor,
    Limits,
    Ratio,
    Score,
    Spread,
    Sum,
    Widest,
    Wilson,
    added_df,
    p_value,
)

LEVEL = 0.95
Scores = NDArray[Any]
"""Bools or floats, (seeds, images)."""
Numbers = NDArray[Any]
"""The same as whole numbers, whose sums are exact, or as floats."""
Floats = NDArray[np.float64]


class Scope(Enum):
    """What an interval speaks of."""

    TRAININGS = "these trainings"
    """Other images; another seed is not in it."""
    MODEL = "this model"
    """Trained again on the same images: other test images and other seeds."""
    MODELS = "these models"
    """The rows together, on other images and with other seeds."""
    POPULATION = "models like these"
    """Other rows of their kind."""
    PROCESS = "this process on this device"


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval."""

    limits: Limits
    seeds: int
    images: int
    scope: Scope
    level: float = LEVEL

    def at(self, level: float) -> tuple[float, float]:
        """Its interval at another level."""
        return self.limits.at((1 - level) / 2)

    @property
    def figure(self) -> float:
        return self.limits.center

    @cached_property
    def low(self) -> float:
        return self.at(self.level)[0]

    @cached_property
    def high(self) -> float:
        return self.at(self.level)[1]


@dataclass(frozen=True)
class Comparison(Estimate):
    """A variant's figure minus its baseline's; of speeds the relative change."""

    paired: bool = True

    @property
    def difference(self) -> float:
        return self.limits.center

    @cached_property
    def p(self) -> float:
        """Two-sided; below 1 - `level` where the interval leaves out 0, and only there."""
        return p_value(self.limits)


def compare(
    baseline: Scores,
    variant: Scores,
    weights: Floats | None = None,
    level: float = LEVEL,
    seed_variance: float | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Comparison:
    """Paired, from two arrays of (seeds, images) that have the same seeds and images in order.

    `weights` (images,) sum to 1: none for a mean over images, 1 / (classes x images of the class)
    for mean per-class accuracy. `seed_variance` is, where it is known, the variance of this
    difference over seeds on unlimited images. `bounds` are those of the figure, of bools 0 and 1.
    One seed speaks of these two trainings, unless `seed_variance` is given. Raises ValueError for
    arrays that do not fit.

    One seed, right or not, unweighted: Tango 1998. Else one seed's normal interval with a floor,
    for a share of images that none of these shows. Several: the mean squares of the two-way
    layout without replication (Searle, Casella and McCulloch 1992), with Student's t for seeds.
    """
    weights = _checked((baseline, variant), weights)
    seeds, images = baseline.shape
    scope = Scope.TRAININGS if seeds == 1 and seed_variance is None else Scope.MODEL
    shares = baseline.dtype == variant.dtype == bool
    floor = _floor_of((baseline, variant), weights, bounds)
    bounds = DIFFERENCE if shares else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    limits: Limits
    if seeds == 1 and shares and weights is None:
        gained, lost = variant & ~baseline, baseline & ~variant
        limits = Score(int(gained.sum()), int(lost.sum()), images)
    else:
        differences = _numbers(variant) - _numbers(baseline)
        limits = _crossed(differences, weights, floor, bounds, seed_variance)
    if seeds == 1 and seed_variance is not None:
        parts = ((1.0, limits), (1.0, Spread(0.0, seeds=seed_variance)))
        limits = Sum(parts, bounds)
    return Comparison(limits, seeds, images, scope, level)


def estimate(
    scores: Scores,
    weights: Floats | None = None,
    level: float = LEVEL,
    bounds: Bounds = UNBOUNDED,
) -> Estimate:
    """A cell alone, from (seeds, images); `weights` and `bounds` as for `compare`. Shares: Wilson
    1927 for one seed, at least as wide for several. Raises ValueError for arrays that do not fit.
    """
    weights = _checked((scores,), weights)
    seeds, images = scores.shape
    limits: Limits
    if seeds == 1 and scores.dtype == bool and weights is None:
        limits = Wilson(float(scores.mean()), images)
    else:
        floor = _floor_of((scores,), weights, bounds)
        bounds = SHARE if scores.dtype == bool else bounds
        limits = _crossed(_numbers(scores), weights, floor, bounds)
        if scores.dtype == bool and weights is None:
            limits = Widest(limits, Wilson(limits.center, images))
    return Estimate(limits, seeds, images, _scope(seeds), level)


def estimate_from_shares(shares: Sequence[float], images: int, level: float = LEVEL) -> Estimate:
    """A cell alone where only each seed's share of right images is known: as `estimate`, with the
    images' part as large as if all seeds had the same ones right."""
    limits: Limits = Wilson(fmean(shares), images)
    if (seeds := len(shares)) > 1:
        over_seeds = Spread(0.0, seeds=variance(shares) / seeds, df=seeds - 1)
        limits = Sum(((1.0, limits), (1.0, over_seeds)), SHARE)
    return Estimate(limits, seeds, images, _scope(seeds), level)


def compare_unpaired(baseline: Estimate, variant: Estimate, level: float = LEVEL) -> Comparison:
    """Of two cells that share no images, or whose images are not known one by one (Newcombe 1998,
    his method 10, where each has one seed)."""
    parts = ((1.0, variant.limits), (-1.0, baseline.limits))
    shares = all(limits.spread().bounds == SHARE for _, limits in parts)
    seeds = min(baseline.seeds, variant.seeds)
    images = min(baseline.images, variant.images)
    return Comparison(
        Sum(parts, DIFFERENCE if shares else UNBOUNDED), seeds, images, _scope(seeds), level, False
    )


def _scope(seeds: int) -> Scope:
    return Scope.TRAININGS if seeds == 1 else Scope.MODEL


def _numbers(scores: Scores) -> Numbers:
    return scores.astype(np.int64 if scores.dtype == bool else np.float64)


def _checked(arms: Sequence[Scores], weights: Floats | None) -> Floats | None:
    """The weights, None if all are equal. Raises ValueError for what does not fit."""
    shape = arms[0].shape
    if len(shape) != 2 or 0 in shape or any(arm.shape != shape for arm in arms):
        shapes = " and ".join(str(arm.shape) for arm in arms)
        raise ValueError(f"scores are arrays of (seeds, images), the same for both arms: {shapes}")
    if not all(arm.dtype.kind in "bf" and np.isfinite(arm).all() for arm in arms):
        raise ValueError("scores must be bools or finite floats")
    if weights is None:
        return None
    fits = weights.shape == shape[1:] and (weights >= 0).all()
    if not fits or abs(weights.sum() - 1) > 1e-9:
        raise ValueError(f"weights are one for each of {shape[1]} images, and sum to 1")
    return None if np.ptp(weights) <= 1e-12 else weights


def _floor_of(arms: Sequence[Scores], weights: Floats | None, bounds: Bounds) -> Floor:
    """One seed's half width where no image differs. Of a figure with bounds an image may move as
    much as a right or wrong one does, whatever the range of what was seen."""
    images = arms[0].shape[1]
    shares = all(arm.dtype == bool for arm in arms)
    reach = 1.0 if shares else max(float(np.ptp(arms)), 0.0 if bounds == UNBOUNDED else 1.0)
    if weights is not None:
        return Floor(float(weights @ weights), reach)
    return Floor(1 / images, reach, bend=1 / images if shares else 0.0)


@dataclass(frozen=True)
class MeanSquares:
    """Of an array (seeds, images); 0 where there are no degrees of freedom."""

    seeds: float
    images: float
    rest: float

    @staticmethod
    def of(scores: Numbers) -> MeanSquares:
        s, n = scores.shape
        by_seed, by_image = scores.sum(axis=1), scores.sum(axis=0)
        # Times s n, so that nothing is divided before all is added: exact for whole numbers.
        mean = by_seed.sum() ** 2
        seeds = s * (by_seed @ by_seed) - mean
        images = n * (by_image @ by_image) - mean
        rest = s * n * np.vdot(scores, scores) - mean - seeds - images

        def mean_square(sum_of_squares: float, df: int) -> float:
            return max(float(sum_of_squares), 0.0) / (s * n * df) if df else 0.0

        return MeanSquares(
            mean_square(seeds, s - 1),
            mean_square(images, n - 1),
            mean_square(rest, (s - 1) * (n - 1)),
        )


def _centered(scores: Numbers, weights: Floats | None) -> tuple[float, Numbers]:
    """The figure, and an array whose plain mean varies as the figure does."""
    if weights is None:
        figure = float(scores.sum()) / scores.size
        return figure, scores if scores.dtype.kind == "i" else scores - figure
    by_seed = scores @ weights
    figure = float(by_seed.mean())
    return figure, len(weights) * weights * (scores - figure)


def _crossed(
    scores: Numbers,
    weights: Floats | None,
    floor: Floor,
    bounds: Bounds,
    seed_variance: float | None = None,
) -> Spread:
    """Of an array (seeds, images) whose seeds and images are crossed random effects; of one seed
    what images alone give."""
    seeds, images = scores.shape
    figure, around = _centered(scores, weights)
    figure = min(max(figure, bounds[0]), bounds[1])  # a sum of weights may round to above 1
    if seeds == 1:
        v = (
            float(np.square(around - around.mean() if weights is None else around).sum())
            / images**2
        )
        return Spread(figure, images=v, floors=((1.0, floor),), bounds=bounds)
    squares = MeanSquares.of(around)
    rest = squares.rest / (seeds * images)
    over_seeds, df = squares.seeds / (seeds * images), float(seeds - 1)
    if seed_variance is not None:
        over_seeds, df = seed_variance / seeds + rest, math.inf
    return Spread(
        figure,
        seeds=over_seeds,
        df=df,
        rest=rest,
        images=max(squares.images - squares.rest, 0.0) / (seeds * images),
        floors=((1.0, floor),),
        bounds=bounds,
    )


@dataclass(frozen=True)
class Pair:
    """A row that is compared paired: arrays (seeds, images)."""

    baseline: Scores
    variant: Scores
    images: Hashable
    """Names the set of images, in its order; rows with equal names are judged by the same."""
    weights: Floats | None = None
    bounds: Bounds = UNBOUNDED
    """Of the figure."""
    draws: Hashable = None
    """Names what its seeds drew: the network, whose weights they start from, and which seeds. Rows
    with equal names are no trainings of their own; None: of no other row."""


@dataclass(frozen=True)
class Line:
    differences: tuple[float, ...]
    """Of the rows."""
    these: Comparison
    """Of these models."""
    like_these: Comparison
    """Of models like these, the rows being a sample of them; never narrower than `these`."""
    is_sample: bool
    """Whether the rows differ enough to show how models do: by more than their own noise, and by
    more than one answer, and each with seeds of its own; else `like_these` is no ground to call
    anything the same."""


def over_rows(rows: Sequence[Pair | Comparison], level: float = LEVEL) -> Line:
    """The mean difference over rows that weigh the same; a Comparison is a row that is not paired.
    Raises ValueError for fewer than two rows.

    Seeds are each row's own, so their mean squares are added (degrees of freedom: Welch 1947,
    Satterthwaite 1946); rows of the same draws are averaged first, seed by seed. Images are shared,
    so theirs is the variance of the mean over rows. Where a row has one seed only it speaks of
    these trainings.
    """
    if len(rows) < 2:
        raise ValueError("a line over rows needs two of them")
    count = len(rows)
    paired = [row for row in rows if isinstance(row, Pair)]
    others = [row for row in rows if isinstance(row, Comparison)]
    alone = (compare(r.baseline, r.variant, r.weights, level, bounds=r.bounds) for r in paired)
    compared = [*alone, *others]
    differences = [each.difference for each in compared]
    bounds = compared[0].limits.spread().bounds

    trainings: list[tuple[float, Limits]] = [(1 / count, row.limits) for row in others]
    models = list(trainings)
    if paired:
        together = _together(paired)
        trainings.append((len(paired) / count, together))
        models.append((len(paired) / count, replace(together, seeds=0.0, rest=0.0)))
    models.append((1.0, Spread(0.0, seeds=variance(differences) / count, df=count - 1)))

    seeds = min(each.seeds for each in compared)
    sets = {row.images: row.baseline.shape[1] for row in paired}
    images = sum(sets.values()) if paired else min(each.images for each in others)

    def comparison(limits: Limits, scope: Scope) -> Comparison:
        return Comparison(limits, seeds, images, scope, level, not others)

    # Few rows may agree by luck, but of their kind nothing is known better than of themselves.
    these = Sum(tuple(trainings), bounds)
    sample = Sum(tuple(models), bounds)
    like_these = Widest(sample, these)
    is_wider = like_these.at((1 - level) / 2) == sample.at((1 - level) / 2)
    return Line(
        differences=tuple(differences),
        these=comparison(these, Scope.TRAININGS if seeds == 1 else Scope.MODELS),
        like_these=comparison(like_these, Scope.POPULATION),
        is_sample=is_wider
        and len(_alike(paired)) == len(paired)
        and variance(differences) > _least_variance(compared, bounds),
    )


def _least_variance(rows: Sequence[Comparison], bounds: Bounds) -> float:
    """Between rows' differences where they differ by one answer of one row, the least that can be
    seen: what is not above it, as that of exact ties, is no estimate. 0 of a figure without bounds,
    which has no such step."""
    step = 0.0 if bounds == UNBOUNDED else max(1 / (row.seeds * row.images) for row in rows)
    return (1 + 1e-9) * step**2 / len(rows)


def _together(rows: Sequence[Pair]) -> Spread:
    """The mean of rows; those of one set of images are looked at image by image."""
    sets: dict[Hashable, list[Pair]] = {}
    for row in rows:
        sets.setdefault(row.images, []).append(row)
    one_seed = any(len(row.baseline) == 1 for row in rows)
    figure = images = rest = 0.0
    seeds: list[tuple[float, float]] = []
    floors: list[tuple[float, Floor]] = []
    for pairs in sets.values():
        share, count = len(pairs) / len(rows), pairs[0].baseline.shape[1]
        if any(pair.baseline.shape[1] != count for pair in pairs):
            raise ValueError("rows that name the same images have other numbers of them")
        by_image, noise = np.zeros(count), 0.0
        widest: Floor | None = None
        for alike in _alike(pairs):
            each = []
            for pair in alike:
                of = _numbers(pair.variant) - _numbers(pair.baseline)
                weights = _checked((pair.baseline, pair.variant), pair.weights)
                difference, around = _centered(of, weights)
                floor = _floor_of((pair.baseline, pair.variant), weights, pair.bounds)
                widest = floor if widest is None or floor.reach > widest.reach else widest
                figure += difference / len(rows)
                each.append(around)
            mean = each[0] if len(each) == 1 else np.mean(each, axis=0)
            by_image += mean.mean(axis=0) * len(each) / len(pairs)
            if not one_seed:
                squares = MeanSquares.of(mean)
                noise += squares.rest / len(mean) * (len(each) / len(pairs)) ** 2
                part = squares.seeds / mean.size * (len(each) / len(rows)) ** 2
                seeds.append((part, len(mean) - 1))
        variance_of_images = float(by_image.var(ddof=1)) if count > 1 else 0.0
        images += share**2 * max(variance_of_images - noise, 0.0) / count
        rest += share**2 * noise / count
        # A set's share of the floor that all sets' images have together, each with its weight.
        assert widest is not None
        floors.append((share**2, widest))
    return Spread(
        figure,
        seeds=sum(part for part, _ in seeds),
        df=added_df(seeds),
        rest=rest,
        images=images,
        floors=tuple(floors),
    )


def _alike(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Those of the same draws on the same images together. Raises ValueError where they have other
    numbers of seeds."""
    found: dict[Hashable, list[Pair]] = {}
    for place, pair in enumerate(pairs):
        name = (place,) if pair.draws is None else (pair.images, pair.draws)
        found.setdefault(name, []).append(pair)
    if any(len({len(pair.baseline) for pair in each}) > 1 for each in found.values()):
        raise ValueError("rows that name the same draws have other numbers of seeds")
    return list(found.values())


BLOCKS = 10
LEAST_PASSES = 2 * BLOCKS


def compare_speeds(
    baseline: Sequence[float], variant: Sequence[float], level: float = LEVEL
) -> Comparison | None:
    """The variant's speed against the baseline's, each 1 / the median of its seconds a pass, as a
    relative change. None with fewer than 20 passes, or where a clock too coarse shows no change.

    Passes in a row are not independent: a clock rate or another process slows many. So the error
    comes from the medians of blocks of consecutive passes (Schmeiser 1982), on a logarithm's scale.
    It speaks of this process on this device only: what a new start would give is not in it.
    """
    if min(len(baseline), len(variant)) < LEAST_PASSES or min(*baseline, *variant) <= 0:
        return None
    logarithm = Sum(((-1.0, _slowness(variant)), (1.0, _slowness(baseline)))).spread()
    if logarithm.seeds == 0:
        return None
    passes = min(len(baseline), len(variant))
    return Comparison(Ratio(logarithm), 1, passes, Scope.PROCESS, level, paired=False)


def _slowness(seconds: Sequence[float]) -> Spread:
    """Of the logarithm of the median, each block a draw."""
    length = len(seconds) / BLOCKS
    ends = [round(length * block) for block in range(BLOCKS + 1)]
    blocks = [math.log(median(seconds[start:end])) for start, end in pairwise(ends)]
    return Spread(math.log(median(seconds)), seeds=variance(blocks) / BLOCKS, df=BLOCKS - 1)
