"""Worlds of several classes, for the figures that are no means over images.

A training's logits for an image are a sum of normal parts, one for each class (how the image looks,
to all and to one model; the rest), and on the label's a level (the training's, and its class's). So
accuracy is what is chosen, and the true figures are those of a sample of 300,000 images, mixed over
five seeds (the nodes of a Gauss-Hermite sum) where the level differs between seeds. Both arms' are
from the same sample.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from reports.figures.metrics import OF_THE_WHOLE, WITHOUT_INTERVAL, Confusion, LeftOut, auc, ece
from reports.statistics.intervals import Pair, compare, compare_unpaired, estimate, over_rows
from reports.statistics.limits import SHARE, Bounds
from tests.benchmarks.counting import IMAGE, MODEL, REJECTED, Judged, Look, holds

Floats = NDArray[np.float64]
Noise = NDArray[np.float32]
METRICS = (*OF_THE_WHOLE, *WITHOUT_INTERVAL)
MANY = 300_000
CALIBRATED = 1.5
"""Times the logits: about what makes a confidence the share that is right."""


@dataclass(frozen=True)
class World:
    seeds: int
    images: int
    accuracy: float
    classes: int
    """The largest has 20 times the smallest's images."""
    seed_sd: float = 0.0
    """Of the accuracy over seeds."""
    shared: float = 0.0
    """The part of the seed's and the rest's variance that both arms have in common."""
    on_image: float = 0.0
    """Deviation of what the trick does to an image's label."""
    effect: float = 0.0
    """The true difference of the accuracies."""
    sharper: float = 1.0
    """The trick multiplies the logits."""
    rows: int = 1

    @property
    def draws(self) -> int:
        return 2_000 if self.images < 1_000 and self.rows == 1 else 1_000

    @property
    def score(self) -> str:
        return "accuracy"

    @property
    def is_null(self) -> bool:
        return not (self.on_image or self.effect) and self.sharper == 1

    def drawing(self) -> Drawing:
        return Drawing(self)


class Drawing:
    """Draws of a world: for each row and arm the softmax scores of each seed (images, classes)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = _rng(f"{world}")
        parts = np.geomspace(1, 20, world.classes)
        sizes = np.maximum((parts / parts.sum() * world.images).astype(int), 2)
        sizes[-1] += world.images - sizes.sum()
        self.labels = np.repeat(np.arange(world.classes), sizes)
        self.easy = np.linspace(-1.0, 1.0, world.classes).astype(np.float32)[self.labels]
        self.label = np.arange(world.images), self.labels
        shares = world.accuracy, world.accuracy + world.effect
        self.levels, self.alphas = zip(*map(self._level, (0, 1), shares), strict=True)
        self.true = [self._true(arm) for arm in (0, 1)]

    def __call__(self) -> list[tuple[list[Floats], list[Floats]]]:
        world = self.world
        common, own = np.float32(math.sqrt(world.shared)), np.float32(math.sqrt(1 - world.shared))
        image = np.float32(IMAGE) * self._noise()
        tricked = np.float32(world.on_image) * self._normal(world.images)
        rows = []
        for _ in range(world.rows):
            model = image + np.float32(MODEL) * self._noise()
            arms: tuple[list[Floats], list[Floats]] = ([], [])
            for _ in range(world.seeds):
                together = model + common * self._noise() if world.shared else model
                shift = common * self._normal(1)
                for arm in (0, 1):
                    logits = together + own * self._noise()
                    level = self.levels[arm] + self.alphas[arm] * (shift + own * self._normal(1))
                    logits[self.label] += tricked if arm else 0
                    arms[arm].append(self._scores(arm, logits, level))
            rows.append(arms)
        return rows

    def _normal(self, *shape: int) -> Noise:
        return self.rng.standard_normal(shape, dtype=np.float32)

    def _noise(self) -> Noise:
        return self._normal(self.world.images, self.world.classes)

    def _scores(self, arm: int, logits: Noise, level: float | Noise) -> Floats:
        logits = logits.copy()
        logits[self.label] += self.easy + np.float32(level)
        logits *= CALIBRATED * (self.world.sharper if arm else 1.0)
        scores: Floats = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def _many(self, arm: int, images: int) -> Iterator[Noise]:
        """Logits without a level, of test sets that are the same for both arms."""
        self.rng = _rng("many")
        for _ in range(-(-images // self.world.images)):
            logits = np.float32(math.sqrt(IMAGE**2 + MODEL**2 + 1)) * self._noise()
            on_image = np.float32(self.world.on_image) * self._normal(self.world.images)
            logits[self.label] += on_image if arm else 0
            yield logits

    def _level(self, arm: int, share: float) -> tuple[float, float]:
        """The level at which so many are right, and a deviation of the share as one of it."""
        needed = []
        for logits in self._many(arm, MANY // 3):
            own = logits[self.label] + self.easy
            logits[self.label] = -np.inf
            needed.append(logits.max(axis=1) - own)
        sd = self.world.seed_sd
        low, level, high = np.quantile(np.concatenate(needed), (share - sd, share, share + sd))
        return float(level), float(high - low) / 2

    def _true(self, arm: int) -> dict[str, float]:
        nodes, weights = np.polynomial.hermite_e.hermegauss(5 if self.world.seed_sd else 1)
        levels = self.levels[arm] + self.alphas[arm] * nodes
        predicted, confidence, areas = [], [], []
        for logits in self._many(arm, MANY):
            scores = [self._scores(arm, logits, level) for level in levels]
            predicted.append([each.argmax(axis=1) for each in scores])
            confidence.append([each.max(axis=1) for each in scores])
            areas.append([auc(each, self.labels).figure for each in scores])
        labels = np.tile(self.labels, len(areas))
        found = []
        for chosen, sure, area in zip(
            np.concatenate(predicted, axis=1),
            np.concatenate(confidence, axis=1),
            np.mean(areas, axis=0),
            strict=True,
        ):
            seen = Confusion(labels, chosen)
            figures = {metric: seen.figure(metric) for metric in OF_THE_WHOLE if metric != "auc"}
            figures |= {"worst_class": seen.worst_class, "ece": ece(labels == chosen, sure)}
            found.append(figures | {"auc": float(area)})
        return {m: float(np.average([f[m] for f in found], weights=weights)) for m in METRICS}


def _rng(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(zlib.crc32(name.encode())))


def parts(scores: Floats, labels: NDArray[np.int64]) -> dict[str, Floats]:
    """Of each metric the pseudo-values (images,)."""
    seen = Confusion(labels, scores.argmax(axis=1))
    left = {metric: seen.without(metric) for metric in OF_THE_WHOLE if metric != "auc"}
    left["auc"] = auc(scores, labels)
    left["ece"] = ece_without(labels == seen.predicted, scores.max(axis=1))
    left["worst_class"] = worst_without(seen)
    return {metric: each.pseudo_values for metric, each in left.items()}


def ece_without(right: NDArray[np.bool_], confidence: Floats) -> LeftOut:
    bins, off = np.ceil(confidence * 15).astype(int), right - confidence
    sums = np.bincount(bins, off)
    whole, own = np.abs(sums).sum(), sums[bins]
    left = (whole - np.abs(own) + np.abs(own - off)) / (len(off) - 1)
    return LeftOut(ece(right, confidence), left)


def worst_without(seen: Confusion) -> LeftOut:
    """Each class has two images at least."""
    hits, labelled, _ = seen.counts
    shares, own = hits / labelled, seen.labels
    lowest, second = np.argsort(shares)[:2]
    others = np.where(own == lowest, shares[second], shares[lowest])
    right = own == seen.predicted
    return LeftOut(seen.worst_class, np.minimum(others, (hits[own] - right) / (labelled[own] - 1)))


def bounds_of(metric: str) -> Bounds:
    return (-1.0, 1.0) if metric == "kappa" else SHARE


def pairs_of(draw: Drawing) -> list[dict[str, Pair]]:
    """By row, of each metric."""
    found = []
    for row in draw():
        seeds = [[parts(scores, draw.labels) for scores in arm] for arm in row]
        pairs = {}
        for metric in METRICS:
            baseline, variant = (np.stack([each[metric] for each in arm]) for arm in seeds)
            pairs[metric] = Pair(baseline, variant, "images", bounds=bounds_of(metric))
        found.append(pairs)
    return found


def what(looked_at: str, metric: str) -> tuple[str, str]:
    prefix = f"{REJECTED}: " if metric in WITHOUT_INTERVAL else ""
    return f"{prefix}{looked_at}", metric


def row_and_cells(draw: Drawing) -> Judged:
    """The baseline's cell."""
    judged: Judged = {}
    for metric, pair in pairs_of(draw)[0].items():
        baseline, variant = (true[metric] for true in draw.true)
        found = compare(pair.baseline, pair.variant, bounds=pair.bounds)
        judged[what("a row", metric)] = holds(found, variant - baseline)
        alone = estimate(pair.baseline, bounds=pair.bounds)
        judged[what("a cell alone", metric)] = holds(alone, baseline)
    return judged


def unpaired(draw: Drawing) -> Judged:
    first, second = pairs_of(draw)[0], pairs_of(draw)[0]
    judged: Judged = {}
    for metric in OF_THE_WHOLE:
        bounds = bounds_of(metric)
        found = compare_unpaired(
            estimate(first[metric].baseline, bounds=bounds),
            estimate(second[metric].variant, bounds=bounds),
        )
        judged["a row, unpaired", metric] = holds(found, difference(draw, metric))
    return judged


def lines(draw: Drawing) -> Judged:
    rows = pairs_of(draw)
    judged: Judged = {}
    for metric in OF_THE_WHOLE:
        line = over_rows([row[metric] for row in rows])
        true = difference(draw, metric)
        judged["line, these models", metric] = holds(line.these, true)
        judged["line, models like these", metric] = holds(line.like_these, true)
    return judged


def difference(draw: Drawing, metric: str) -> float:
    baseline, variant = draw.true
    return variant[metric] - baseline[metric]


def worlds() -> Iterator[tuple[World, Look]]:
    """One seed speaks of its trainings, which are at their level here."""
    for seeds in (1, 2, 3, 5):
        for world in (
            World(seeds, 357, 0.9, 10, 0.01, effect=0.01),
            World(seeds, 357, 0.97, 10, 0.005, 0.7, 0.7, sharper=1.3),
            World(seeds, 357, 0.9, 10, 0.005, 0.9, sharper=1.5),
            World(seeds, 357, 0.7, 50, 0.01, 0.3),
            World(seeds, 1_781, 0.9, 50, 0.01, 0.0, 0.7, 0.01),
            World(seeds, 1_781, 0.8, 10, 0.01, sharper=0.75),
            World(seeds, 1_781, 0.97, 5, 0.005, 0.7),
        ):
            yield replace(world, seed_sd=world.seed_sd if seeds > 1 else 0.0), row_and_cells
    for seeds, accuracy in product((1, 3), (0.7, 0.97)):
        sd = 0.01 * (1 - accuracy) * 8 if seeds > 1 else 0.0
        yield World(seeds, 357, accuracy, 10, sd, effect=0.01), unpaired
        yield World(seeds, 357, accuracy, 10, sd, 0.3, 0.7, 0.01, rows=6), lines
