"""How often the intervals hold what they say, in simulated worlds.

    python -m tests.benchmarks statistics [--full | --multiclass]

In a world every training answers every image by the sign of a sum of normal parts (how easy the
image is, for all and for one model; what the trick does to it; the seed; the rest), so the true
difference is known. Each world is drawn 10,000 times (4,000 with 10,000 images) and judged by the
functions that reports use. Prints a table, a row a group of worlds; ends with 1, naming them, where
worlds miss their bound by more than 3.3 standard errors of their own count. The figures that are no
means over images have worlds of their own (multiclass.py), which `--multiclass` draws alone.
"""

from __future__ import annotations

import math
import os
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from statistics import fmean

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from classifier.basics.progress import duration
from reports.page.markdown import grid
from reports.statistics.intervals import (
    Pair,
    compare,
    compare_unpaired,
    estimate,
    estimate_from_shares,
    over_rows,
)
from reports.statistics.verdicts import Word, best, holm, verdict
from tests.benchmarks import multiclass
from tests.benchmarks.counting import (
    IMAGE,
    MODEL,
    REJECTED,
    Counted,
    Judged,
    Look,
    Simulated,
    holds,
    look,
    table,
)

Floats = NDArray[np.float64]
NODES, _PLAIN = np.polynomial.hermite_e.hermegauss(60)
NODE_WEIGHTS = _PLAIN / math.sqrt(2 * math.pi)
"""A mean over a normal distribution is `f(NODES) @ NODE_WEIGHTS`."""


@dataclass(frozen=True)
class World:
    seeds: int
    images: int
    accuracy: float
    seed_sd: tuple[float, ...] = (0.0,)
    """Of the accuracy over seeds; the rows take them in turn."""
    shared: float = 0.0
    """The part of the seed's and the rest's variance that both arms have in common."""
    on_image: float = 0.0
    """Deviation of what the trick does to an image, in all rows the same."""
    effect: float = 0.0
    """The true difference."""
    moved: int = 0
    """Instead of an effect: the trick makes right of wrong on about so many images, in all rows,
    and changes no other."""
    rows: int = 1
    models_sd: float = 0.0
    """Deviation of the effect over models."""
    classes: int = 0
    """The score is mean per-class accuracy; the largest class has 20 times the smallest's."""

    @property
    def draws(self) -> int:
        return 10_000 if self.images < 10_000 else 4_000

    @property
    def score(self) -> str:
        return "mpa" if self.classes else "accuracy"

    @property
    def is_null(self) -> bool:
        still = self.seeds > 1 or not any(self.seed_sd)
        return still and not (self.effect or self.moved)

    def drawing(self) -> Drawing:
        return Drawing(self)


@dataclass(frozen=True)
class Drawn:
    pairs: list[Pair]
    """By row."""
    true: list[float]
    """Each row's difference: of its two trainings if they have one seed, else of its model."""
    cell: float
    """The first baseline's score, likewise."""
    sums: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Of the first row, what the answers are the signs of."""
    loss: float
    """The true difference of its losses, log(1 + exp(-sum)), likewise."""


class Drawing:
    """Draws of a world."""

    def __init__(self, world: World, stream: int = 0) -> None:
        self.world = world
        name = f"{world} {stream}".encode()
        self.rng = np.random.Generator(np.random.SFC64(zlib.crc32(name)))
        self.levels, sizes = np.zeros(1), np.array([world.images])
        self.weights: Floats | None = None
        if world.classes:
            parts = np.geomspace(1, 20, world.classes)
            sizes = np.maximum((parts / parts.sum() * world.images).astype(int), 2)
            sizes[-1] += world.images - sizes.sum()
            self.levels = np.linspace(-1.0, 1.0, world.classes)
            self.weights = np.repeat(1 / world.classes / sizes, sizes)
        self.easy = np.repeat(self.levels, sizes).astype(np.float32)
        base = IMAGE**2 + MODEL**2 + 1
        self.betas = self._in_sum(world.models_sd, base)
        self.alphas = [self._in_sum(sd, base) for sd in world.seed_sd]
        self.low, self.high = [], []
        for alpha in self.alphas:
            variance = base + alpha**2
            self.low.append(self._level(world.accuracy, variance))
            variance += world.on_image**2 + self.betas**2
            self.high.append(self._level(world.accuracy + world.effect, variance))

    def _in_sum(self, sd: float, variance: float) -> float:
        """A deviation of the accuracy as one of the sum."""
        z = ndtri(self.world.accuracy)
        return float(sd * math.sqrt(2 * math.pi) * math.exp(z * z / 2) * math.sqrt(variance))

    def share(self, level: float, variance: float) -> float:
        """Right answers on unlimited images, over classes."""
        return float(ndtr((level + self.levels) / math.sqrt(variance)).mean())

    def loss(self, level: float, variance: float) -> float:
        """The mean loss on unlimited images."""
        sums = level + math.sqrt(variance) * NODES
        return float(np.log1p(np.exp(-sums)) @ NODE_WEIGHTS)

    def _level(self, share: float, variance: float) -> float:
        return float(brentq(lambda level: self.share(level, variance) - share, -60, 60))

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def __call__(self) -> Drawn:
        world = self.world
        n, s, one_seed = world.images, world.seeds, world.seeds == 1
        image = self.easy + np.float32(IMAGE) * self._normal(n)
        on_image = np.float32(world.on_image) * self._normal(n) if world.on_image else 0.0
        moved = self.rng.random(n) < world.moved / n
        common, own = np.float32(math.sqrt(world.shared)), np.float32(math.sqrt(1 - world.shared))
        pairs, true, cell = [], [], 0.0
        for row in range(world.rows):
            kind = row % len(self.alphas)
            alpha, low = self.alphas[kind], self.low[kind]
            high = self.high[kind] + self.betas * self.rng.standard_normal()
            seeds = alpha * (common * self._normal(1, s, 1) + own * self._normal(2, s, 1))
            model = image + np.float32(MODEL) * self._normal(n)
            together = common * self._normal(s, n) if world.shared else 0.0
            sums = [model + together + seeds[0] + np.float32(low)]
            sums += [model + together + seeds[1] + np.float32(high) + on_image]
            sums = [sum_ + own * self._normal(s, n) for sum_ in sums]
            first, second = (sum_ > 0 for sum_ in sums)
            variance = IMAGE**2 + MODEL**2 + 1 + (0 if one_seed else alpha**2)
            shifts = (float(seeds[0, 0, 0]), float(seeds[1, 0, 0])) if one_seed else (0.0, 0.0)
            figure = self.share(low + shifts[0], variance)
            other = self.share(high + shifts[1], variance + world.on_image**2)
            if world.moved:
                first, second, other = first & ~moved, first | moved, figure + world.moved / n
            pairs.append(Pair(first, second, "images", self.weights))
            true.append(other - figure)
            if row == 0:
                cell = figure
                first_sums = sums[0], sums[1]
                loss = self.loss(high + shifts[1], variance + world.on_image**2)
                loss -= self.loss(low + shifts[0], variance)
        return Drawn(pairs, true, cell, first_sums, loss)


def row(draw: Drawing) -> Judged:
    drawn = draw()
    pair = drawn.pairs[0]
    found = compare(pair.baseline, pair.variant, pair.weights)
    judged: Judged = {"a row": holds(found, drawn.true[0])}
    if pair.weights is not None:
        plain = replace(found, limits=replace(found.limits.spread(), floors=()))
        judged[f"{REJECTED}: a row's mpa without a floor"] = holds(plain, drawn.true[0])
    return judged


def losses(draw: Drawing) -> Judged:
    drawn = draw()
    first, second = (np.log1p(np.exp(-each.astype(np.float64))) for each in drawn.sums)
    return {"a row, of a loss": holds(compare(first, second), drawn.loss)}


def cell(draw: Drawing) -> Judged:
    drawn = draw()
    pair = drawn.pairs[0]
    judged: Judged = {"a cell alone": holds(estimate(pair.baseline, pair.weights), drawn.cell)}
    if pair.weights is None:
        shares = pair.baseline.mean(axis=1).tolist()
        found = estimate_from_shares(shares, draw.world.images)
        judged["a cell alone, from shares"] = holds(found, drawn.cell)
    return judged


def unpaired(draw: Drawing) -> Judged:
    first, second = draw(), draw()
    one, two = first.pairs[0], second.pairs[0]
    cells = estimate(one.baseline, one.weights), estimate(two.variant, two.weights)
    true = second.true[0] + second.cell - first.cell
    judged: Judged = {"a row, unpaired": holds(compare_unpaired(*cells), true)}
    if one.weights is None:
        before, after = (
            estimate_from_shares(arm.mean(axis=1).tolist(), draw.world.images)
            for arm in (one.baseline, two.variant)
        )
        judged["a row, unpaired, from shares"] = holds(compare_unpaired(before, after), true)
    return judged


def lines(draw: Drawing) -> Judged:
    drawn = draw()
    line = over_rows(drawn.pairs)
    population = draw.world.effect or draw.world.moved / draw.world.images
    sample = line.like_these.limits.spread()  # t over the rows, and what is added to it
    alone = replace(line.like_these, limits=replace(sample, images=0.0, rest=0.0, floors=()))
    return {
        "line, these models": holds(line.these, fmean(drawn.true)),
        "line, models like these": holds(line.like_these, population),
        f"{REJECTED}: t over the rows alone": holds(alone, population),
    }


def mixed(draw: Drawing) -> Judged:
    """Half of the rows on other images, the last with one seed fewer, one of them unpaired."""
    first, second = draw(), draw()
    half = len(first.pairs) // 2
    pairs = [*first.pairs[:half], *(replace(pair, images="other") for pair in second.pairs[half:])]
    pairs[-1] = replace(pairs[-1], baseline=pairs[-1].baseline[1:], variant=pairs[-1].variant[1:])
    unpaired = compare_unpaired(estimate(pairs[0].baseline), estimate(pairs[0].variant))
    found = over_rows([unpaired, *pairs[1:]]).these
    return {"line, mixed rows": holds(found, draw.world.effect)}


def family(draw: Drawing) -> Judged:
    """Nothing differs: any verdict but `can't tell` or `same` is wrong, and so is any row that is
    told from its column's best."""
    pairs = draw().pairs
    line = over_rows(pairs)
    found = [compare(pair.baseline, pair.variant, pair.weights) for pair in pairs]
    found += [line.these, line.like_these]
    judged: Judged = {
        "family after Holm, wrongly": (min(holm([each.p for each in found])) <= 0.05, 0.0)
    }
    column = [pair.baseline for pair in pairs]
    marks = best(
        [float(scores.mean()) for scores in column],
        lambda i, j: compare(column[i], column[j]),
        more_is_better=True,
    )
    return judged | {"told from the best, wrongly": (not all(marks), 0.0)}


def same(draw: Drawing) -> Judged:
    """The difference is the margin."""
    pair = draw().pairs[0]
    found = compare(pair.baseline, pair.variant, pair.weights)
    said = verdict(found, 1.0, 1, more_is_better=True, margin=abs(draw.world.effect))
    return {"same, wrongly": (said.word is Word.SAME, 0.0)}


@cache
def variance_over_seeds(world: World) -> float:
    """Of the difference on unlimited images, from as many seeds as it takes."""
    draw, rng = Drawing(world), np.random.default_rng(0)
    common = math.sqrt(world.shared) * rng.standard_normal(50_000)
    shares = []
    for level, on_image in ((draw.low[0], 0.0), (draw.high[0], world.on_image)):
        seed = common + math.sqrt(1 - world.shared) * rng.standard_normal(50_000)
        deviation = math.sqrt(IMAGE**2 + MODEL**2 + 1 + on_image**2)
        shares.append(ndtr((level + draw.alphas[0] * seed) / deviation))
    return float(np.var(shares[1] - shares[0]))


def known(draw: Drawing) -> Judged:
    pair = draw().pairs[0]
    variance = variance_over_seeds(draw.world)
    found = compare(pair.baseline, pair.variant, seed_variance=variance)
    return {"a row, seeds' variance known": holds(found, draw.world.effect)}


SIZES = (357, 1_781, 10_000)
SEEDS = (1, 2, 3, 5, 10)


def worlds(full: bool) -> Iterator[tuple[Simulated, Look]]:
    """The subset takes from the grid corners that differ most in kind."""
    corners: list[tuple[float, float, float, float, float]]
    if full:
        corners = [
            (accuracy, sd, shared, on_image, effect)
            for accuracy, sd, shared, on_image, effect in product(
                (0.6, 0.75, 0.9, 0.97, 0.99), (0, 0.005, 0.01, 0.03), (0, 0.7), (0, 0.7), (0, 0.01)
            )
            if accuracy + effect + sd < 1 and (not effect or sd == 0.01)
        ]
    else:
        corners = [
            (0.6, 0.0, 0.0, 0.0, 0.0),
            (0.75, 0.03, 0.0, 0.7, 0.0),
            (0.9, 0.005, 0.7, 0.0, 0.0),
            (0.97, 0.0, 0.7, 0.7, 0.01),
            (0.97, 0.01, 0.0, 0.0, 0.0),
            (0.99, 0.005, 0.7, 0.7, 0.0),
        ]
    sizes = SIZES if full else SIZES[:2]
    for seeds, images, (accuracy, sd, shared, on_image, effect) in product(SEEDS, SIZES, corners):
        if not full and (images == 10_000 and (seeds == 10 or accuracy in (0.6, 0.75))):
            continue
        yield World(seeds, images, accuracy, (sd,), shared, on_image, effect), row
    for seeds, images, accuracy, sd in product(SEEDS, sizes, (0.75, 0.97, 0.99), (0.0, 0.01)):
        if not full and seeds in (3, 10):
            continue
        world = World(seeds, images, accuracy, (sd * (1 - accuracy) * 8,))
        yield world, cell
        yield replace(world, effect=0.005), unpaired
    for seeds, images, accuracy, shared in product(SEEDS, sizes, (0.75, 0.97), (0.0, 0.7)):
        if not full and (seeds in (3, 10) or images != 357 + 1_424 * (accuracy > 0.9)):
            continue
        mpa = World(seeds, images, accuracy, (0.01,), shared, 0.7, 0.01, classes=10)
        yield mpa, row
        if not shared:
            yield mpa, cell
            yield mpa, unpaired
    for seeds, images in product(SEEDS, sizes):
        yield World(seeds, images, 0.97, (0.01,), 0.7, 0.7, 0.01, classes=10), row
    for seeds, accuracy, shared in product(SEEDS, (0.75, 0.97), (0.0, 0.7)):
        yield World(seeds, 357, accuracy, (0.01,), shared, 0.7, 0.01), losses
    for seeds, images, moved in product(SEEDS, sizes, (3, 7)):
        yield World(seeds, images, 0.9, shared=1.0, moved=moved), row
    for seeds, images, sd in product((1, 2, 5), sizes, (0.005, 0.03)):
        yield World(seeds, images, 0.9, (sd,), 0.0, 0.7, 0.01), known
    for seeds, images, effect in product(SEEDS, SIZES if full else SIZES[1:2], (0.01, -0.01)):
        sd = 0.0 if seeds == 1 else 0.005
        yield World(seeds, images, 0.97, (sd,), 0.7, 0.0, effect), same
    deviations = (0.0, 0.01, 0.03)
    for rows, seeds, images in product((2, 6, 12), SEEDS, SIZES):
        if not full and images > 357 and (seeds != 2 or rows == 12 or images < 10_000):
            continue
        world = World(seeds, images, 0.9, deviations, 0.3, 0.7, 0.01, rows=rows)
        yield world, lines
        yield replace(world, accuracy=0.97, seed_sd=(0.002, 0.01), models_sd=0.005), lines
        yield World(seeds, images, 0.9, shared=1.0, rows=rows, moved=3), lines
        if full or images == 357:
            equal = (0.01,) if seeds > 1 else (0.0,)
            yield replace(world, effect=0.0, shared=0.0, seed_sd=equal), family
        if seeds in (3, 5) and rows > 2:
            yield world, mixed
        if full or (rows == 6 and images == 357):
            yield World(seeds, images, 0.9, shared=1.0, rows=rows, moved=7), lines
            yield replace(world, classes=10), lines


def main(*arguments: str) -> int:
    start = time.perf_counter()
    asked: list[tuple[Simulated, Look]] = [*multiclass.worlds()]
    if "--multiclass" not in arguments:
        asked += worlds("--full" in arguments)
    found: list[Counted] = []
    jobs = Parallel(n_jobs=len(os.sched_getaffinity(0)), return_as="generator_unordered")
    for done, counted in enumerate(jobs(delayed(look)(*each) for each in asked), 1):
        found += counted
        if done % 10 == 0 or done == len(asked):
            left = (time.perf_counter() - start) / done * (len(asked) - done)
            print(f"{done} of {len(asked)} worlds, about {duration(left)} left", file=sys.stderr)
    print(grid(table(found)))
    missed = sorted((each for each in found if each.excess > 3.3), key=lambda each: -each.excess)
    for each in missed:
        print(f"- missed: {each.what}: {each.rate:.4f} for {each.bound}, {each.world}")
    print(f"\n{len(asked)} worlds in {duration(time.perf_counter() - start)}", file=sys.stderr)
    return 1 if missed else 0
