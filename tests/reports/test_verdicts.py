"""Verdicts case by case, and what would tell against plain searches."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports.statistics.intervals import Comparison, Scope, compare
from reports.statistics.limits import Floor, Score, Spread
from reports.statistics.verdicts import (
    Needed,
    Verdict,
    Word,
    best,
    holm,
    least_shown,
    same_in_reach,
    to_see,
    to_show_same,
    verdict,
)

Z = 1.959963984540054


@settings(max_examples=20)  # statsmodels takes a tenth of a second
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1], abs=1e-12)


def spread(center: float, error: float) -> Comparison:
    return Comparison(Spread(center, images=error**2), 2, 1_000, Scope.MODEL)


CASES: list[tuple[str, dict[str, Any], Verdict]] = [
    ("far above", {"center": 0.1}, Verdict(Word.BETTER)),
    ("far below", {"center": -0.1}, Verdict(Word.WORSE)),
    ("of a loss", {"center": -0.1, "more_is_better": False}, Verdict(Word.BETTER)),
    ("nothing", {"center": 0.002}, Verdict(Word.SAME)),
    ("nothing without a margin", {"center": 0.002, "margin": None}, Verdict(Word.CANT_TELL)),
    ("nothing seen well enough", {"center": 0.016}, Verdict(Word.CANT_TELL)),
    (
        "small but sure",
        {"center": 0.012, "error": 0.002},
        Verdict(Word.BETTER, ("by less than the margin",)),
    ),
    ("alone", {"center": 0.025, "family": 8}, Verdict(Word.CANT_TELL, ("alone yes, among 8 no",))),
    (
        "alone, and small",
        {"center": 0.005, "error": 0.002, "family": 8},
        Verdict(Word.SAME, ("alone yes, among 8 no",)),
    ),
    (
        "a doubt",
        {"center": 0.1, "doubts": ["seed 2 failed in ema"]},
        Verdict(Word.CANT_TELL, ("seed 2 failed in ema",)),
    ),
    (
        "a doubt, the same",
        {"center": 0.002, "doubts": ["seed 2 failed in ema"]},
        Verdict(Word.CANT_TELL, ("seed 2 failed in ema",)),
    ),
    (
        "a doubt, worse",
        {"center": -0.1, "doubts": ["seed 2 failed in ema"]},
        Verdict(Word.WORSE, ("seed 2 failed in ema",)),
    ),
]


@pytest.mark.parametrize(("name", "case", "expected"), CASES, ids=[name for name, *_ in CASES])
def test_a_verdict(name: str, case: dict[str, Any], expected: Verdict) -> None:
    options: dict[str, Any] = {"more_is_better": True, "margin": 0.02, "error": 0.01, **case}
    family = options.pop("family", 1)
    found = spread(options.pop("center"), options.pop("error"))
    assert verdict(found, min(1.0, family * found.p), family, **options) == expected


@given(st.floats(-0.1, 0.1), st.floats(0.0001, 0.1), st.floats(0.001, 0.05), st.integers(1, 20))
def test_a_verdict_never_says_more_than_its_interval(
    center: float, error: float, margin: float, family: int
) -> None:
    found = spread(center, error)
    adjusted = min(1.0, family * found.p)
    said = verdict(found, adjusted, family, more_is_better=True, margin=margin)
    low, high = found.at(0.90)
    assert (said.word is Word.BETTER) == (adjusted <= 0.05 and center > 0)
    assert said.word is not Word.BETTER or found.low > -1e-9
    assert said.word is not Word.SAME or (-margin < low and high < margin)


def told(p: float) -> Comparison:
    """A comparison with that p value."""
    return Comparison(Spread(float(stats.norm.isf(p / 2)), images=1.0), 2, 100, Scope.MODEL)


def test_all_that_cannot_be_told_from_the_best_are_best() -> None:
    figures = [0.90, 0.95, 0.94, 0.80]
    ps = {(0, 1): 0.02, (0, 2): 0.5, (0, 3): 0.001, (1, 2): 0.4, (1, 3): 0.0001, (2, 3): 0.001}
    # Alone 0.02 would tell the first from the best; among six comparisons it doesn't.
    assert best(figures, lambda i, j: told(ps[i, j]), True) == [True, True, True, False]
    assert best(figures[:2], lambda i, j: told(0.02), True) == [False, True]
    assert best(figures[:2], lambda i, j: told(0.02), False) == [True, False]
    assert best([0.5, 0.5], lambda i, j: None, True) == [True, True]
    assert best([0.5], lambda i, j: None, True) == [True]


def test_of_many_rows_those_with_the_best_only_are_compared() -> None:
    figures = [row / 100 for row in range(60)]
    asked = []

    def compared(i: int, j: int) -> Comparison:
        asked.append((i, j))
        return told(1e-9 if j - i > 9 else 0.01)

    assert best(figures, compared, True) == [row >= 50 for row in range(60)]
    assert asked == [(row, 59) for row in range(59)]


# What would tell


def test_more_seeds_show_a_difference_as_large_as_the_one_seen() -> None:
    found = Comparison(Spread(0.02, seeds=0.0003, df=2), 3, 357, Scope.MODEL)
    sd = math.sqrt(0.0003 * 3)

    def shows(seeds: int, alpha: float) -> bool:
        quantiles = stats.t.isf(alpha / 2, seeds - 1) + stats.norm.isf(0.2)
        return bool(quantiles * sd / math.sqrt(seeds) < 0.02)

    for family in (1, 10):
        needed = to_see(found, family).seeds
        assert needed == next(n for n in range(3, 1_000) if shows(n, 0.05 / family))
    assert to_see(found).images is None  # no images make up for seeds that differ


def test_more_images_show_a_difference_as_large_as_the_one_seen() -> None:
    found = Comparison(Score(12, 6, 357), 1, 357, Scope.TRAININGS)
    variance = (18 / 357) - (6 / 357) ** 2

    def shows(images: int) -> bool:
        floor = Z**2 / (images + Z**2)
        half = math.sqrt(Z**2 * variance / images + floor**2)
        return bool(half + stats.norm.isf(0.2) * math.sqrt(variance / images) < 6 / 357)

    needed = to_see(found)
    assert needed.images == next(n for n in range(357, 100_000) if shows(n))
    assert needed.seeds is None  # how seeds differ is unknown


def test_what_would_show_that_there_is_no_difference() -> None:
    found = Comparison(Score(9, 9, 1_781), 1, 1_781, Scope.TRAININGS)

    def shows(images: int) -> bool:
        z, error = stats.norm.isf(0.05), math.sqrt(18 / 1_781 / images)
        half = math.sqrt((z * error) ** 2 + (z**2 / (images + z**2)) ** 2)
        return bool(half + stats.norm.isf(0.1) * error < 0.005)

    expected = next(n for n in range(1_781, 100_000) if shows(n))
    assert to_show_same(found, 0.005).images == expected
    # The images that there are make even no difference wider than the margin.
    few = Comparison(Spread(0, floors=((1.0, Floor(1 / 357, bend=1 / 357)),)), 3, 357, Scope.MODEL)
    assert to_show_same(few, 0.005).seeds is None
    assert to_show_same(few, 0.01).seeds == 3


def test_nothing_shows_a_difference_that_was_not_seen() -> None:
    needed = to_see(Comparison(Score(3, 3, 357), 1, 357, Scope.TRAININGS))
    assert (needed.seeds, needed.images) == (None, None)


def test_neither_seeds_nor_images_make_up_for_too_few_models_or_passes() -> None:
    for scope in (Scope.POPULATION, Scope.PROCESS):
        found = Comparison(Spread(0.02, seeds=0.0003, df=5), 3, 357, scope)
        assert to_see(found) == to_show_same(found, 0.05) == Needed(None, None)


def test_as_many_as_were_needed_do_show_it() -> None:
    """About four times of five, in a world that is as the estimate says."""
    rng = np.random.default_rng(0)
    images, sd, effect = 2_000, 0.02, 0.03

    def draw(seeds: int) -> Comparison:
        shares = (
            0.8 + sd * rng.normal(size=(seeds, 1)),
            0.8 + effect + sd * rng.normal(size=(seeds, 1)),
        )
        easy = rng.random((1, images))
        return compare(easy < shares[0], easy < shares[1])

    spread = Spread(effect, seeds=2 * sd**2 / 5, df=4, images=0.03 / images)
    needed = to_see(Comparison(spread, 5, images, Scope.MODEL)).seeds
    assert needed is not None
    shown = np.mean([draw(needed).p < 0.05 for _ in range(400)])
    assert 0.72 < shown < 0.92


@pytest.mark.parametrize("images", [5, 8, 30])
def test_the_least_that_one_seed_can_show_is_the_least_of_all(images: int) -> None:
    shown = [
        (gained - lost) / images
        for gained, lost in product(range(images + 1), repeat=2)
        if gained >= lost and gained + lost <= images
        if Comparison(Score(gained, lost, images), 1, images, Scope.TRAININGS).p <= 0.05
    ]
    assert least_shown(1, images) == (min(shown) if shown else None)


@pytest.mark.parametrize(("seeds", "images"), [(2, 8), (3, 4)])
def test_the_least_that_seeds_can_show_is_the_least_of_all(seeds: int, images: int) -> None:
    columns = list(product((-1, 0, 1), repeat=seeds))
    shown = []
    for chosen in combinations_with_replacement(columns, images):
        difference: NDArray[Any] = np.array(chosen).T
        if difference.sum() > 0:
            found = compare(difference < 0, difference > 0, level=0.8)
            if found.low > 0:
                shown.append(found.difference)
    least = least_shown(seeds, images, level=0.8)
    assert least == (pytest.approx(min(shown)) if shown else None)


def test_a_larger_family_can_show_less() -> None:
    alone, among = least_shown(3, 357), least_shown(3, 357, family=12)
    assert alone is not None
    assert among is not None
    assert alone < among
    assert least_shown(1, 3) is None


@pytest.mark.parametrize(("images", "reached"), [(538, False), (539, True)])
def test_below_539_images_nothing_is_the_same_within_half_a_point(
    images: int, reached: bool
) -> None:
    assert same_in_reach(images, 0.005) == reached
    for seeds in (1, 3):
        equal: NDArray[Any] = np.ones((seeds, images), dtype=bool)
        said = verdict(compare(equal, equal), 1.0, 1, more_is_better=True, margin=0.005)
        assert (said.word is Word.SAME) == reached
