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
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from statistics import fmean

import numpy as np
from joblib import Parallel, delayed
from scipy.special import ndtr

from classifier.basics.progress import duration
from reports.page.markdown import grid
from reports.statistics.intervals import (
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
from tests.benchmarks.worlds import Drawing, OneNetwork, World


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


def one_network(draw: Drawing) -> Judged:
    """Its line, and what it would be if its rows had seeds of their own."""
    drawn = draw()
    true, line = fmean(drawn.true), over_rows(drawn.pairs).these
    apart = over_rows([replace(pair, draws=None) for pair in drawn.pairs]).these
    return {
        "line, rows of one network": holds(line, true),
        f"{REJECTED}: rows of one network as several": holds(apart, true),
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
        if full or (images == 357 and rows < 12):
            for alike in (0.0, 0.7, 1.0):
                one = OneNetwork(
                    seeds, images, 0.9, (0.03,), 0.3, 0.7, 0.01, rows=rows, alike=alike
                )
                yield one, one_network
                yield replace(one, on_image=0.0, effect=0.0), one_network
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
