"""Simulated worlds, in which the true difference is known, and draws of them."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from reports.statistics.intervals import Pair
from tests.benchmarks.counting import IMAGE, MODEL

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

    def _part(self, name: str, *shape: int) -> NDArray[np.float32]:
        """A normal part of a row's sums, of deviation 1."""
        return self._normal(*shape)

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
            both = common * self._part("both seeds", 1, s, 1)
            seeds = alpha * (both + own * self._part("seeds", 2, s, 1))
            model = image + np.float32(MODEL) * self._part("model", n)
            together = common * self._part("both", s, n) if world.shared else 0.0
            sums = [model + together + seeds[0] + np.float32(low)]
            sums += [model + together + seeds[1] + np.float32(high) + on_image]
            sums = [sum_ + own * self._part(f"arm {arm}", s, n) for arm, sum_ in enumerate(sums)]
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


@dataclass(frozen=True)
class OneNetwork(World):
    """Rows that are one network on the same data, as where they are lengths of training: what is
    easy for it is the same in all, and seed by seed they start from the same weights."""

    alike: float = 0.0
    """The part of the seed's and the rest's variance that the rows have in common; 1: they are
    looks at the same answers."""

    @property
    def draws(self) -> int:
        return 1_000

    def drawing(self) -> Drawing:
        return OneNetworkDrawing(self, self.alike)


class OneNetworkDrawing(Drawing):
    def __init__(self, world: World, alike: float) -> None:
        super().__init__(world)
        self._alike = alike
        self._of_all: dict[str, NDArray[np.float32]] = {}

    def __call__(self) -> Drawn:
        self._of_all = {}
        drawn = super().__call__()
        pairs = [replace(pair, draws="one network") for pair in drawn.pairs]
        return replace(drawn, pairs=pairs)

    def _part(self, name: str, *shape: int) -> NDArray[np.float32]:
        if name not in self._of_all:
            self._of_all[name] = self._normal(*shape)
        of_all = self._of_all[name]
        if name == "model":
            return of_all
        own = np.float32(math.sqrt(1 - self._alike))
        return np.float32(math.sqrt(self._alike)) * of_all + own * self._normal(*shape)
