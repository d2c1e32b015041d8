"""Intervals against statsmodels, SciPy and plain computations, and what must hold of any."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from reports.statistics.intervals import (
    Comparison,
    MeanSquares,
    Pair,
    Scope,
    compare,
    compare_speeds,
    compare_unpaired,
    estimate,
    estimate_from_shares,
    over_rows,
)
from reports.statistics.limits import (
    SHARE,
    Score,
    Spread,
    Wilson,
    added_df,
    normal,
    p_value,
    student,
)
from reports.statistics.roots import STEPS, root

Array = NDArray[Any]
Z = 1.959963984540054


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def answers(seeds: int, images: int, share: float, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((seeds, images)) < share


def arms(counts: tuple[int, int, int]) -> tuple[Array, Array]:
    """One seed's: gained, lost, images."""
    gained, lost, images = counts
    baseline, variant = np.zeros((2, 1, images), dtype=bool)
    variant[0, :gained] = True
    baseline[0, gained : gained + lost] = True
    return baseline, variant


def classes_of(images: int) -> tuple[Array, Array]:
    """Three classes, the last one large; each image's class, and its weight in the mpa."""
    of = np.minimum(np.arange(images) // 3, 2)
    return of, 1 / 3 / np.bincount(of)[of]


# One row


@pytest.mark.parametrize("counts", [(5, 2, 20), (0, 3, 10), (3, 0, 10), (0, 0, 12), (10, 2, 12)])
def test_one_seed_is_tangos_interval(counts: tuple[int, int, int]) -> None:
    """At a limit the likelihood's score statistic, maximised by brute force, is the quantile."""
    gained, lost, images = counts

    def likelihood(lost_share: float, true: float) -> float:
        shares = lost_share + true, lost_share, 1 - 2 * lost_share - true
        seen = gained, lost, images - gained - lost
        return sum(n * math.log(max(p, 1e-300)) for n, p in zip(seen, shares, strict=True) if n)

    def score(true: float) -> float:
        bounds = max(0.0, -true), (1 - true) / 2
        best = minimize_scalar(
            lambda share: -likelihood(share, true), bounds=bounds, options={"xatol": 1e-12}
        )
        variance = images * (2 * best.x + true * (1 - true))
        return float((gained - lost - images * true) / math.sqrt(variance))

    found = compare(*arms(counts))
    assert found.difference == (gained - lost) / images
    for limit, quantile in ((found.low, Z), (found.high, -Z)):
        assert score(limit) == pytest.approx(quantile, abs=2e-4)


def test_one_seeds_p_is_mcnemars() -> None:
    found = compare(*arms((17, 6, 357)))
    reference = mcnemar([[0, 17], [6, 334]], exact=False, correction=False)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert (found.seeds, found.images, found.scope) == (1, 357, Scope.TRAININGS)


@pytest.mark.parametrize(("right", "images"), [(0, 20), (20, 20), (17, 20), (340, 357), (1, 1)])
def test_a_cell_of_one_seed_is_wilsons(right: int, images: int) -> None:
    scores = np.arange(images)[None] < right
    found = estimate(scores)
    reference = proportion_confint(right, images, method="wilson")
    assert (found.low, found.high) == pytest.approx(reference, abs=1e-12)
    assert found.low <= found.figure == right / images <= found.high


@pytest.mark.parametrize(("first", "second"), [((340, 357), (300, 330)), ((0, 10), (10, 10))])
def test_unpaired_cells_of_one_seed_are_newcombes(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    cells = [estimate_from_shares([right / images], images) for right, images in (first, second)]
    found = compare_unpaired(*cells)  # type: ignore[arg-type]
    reference = confint_proportions_2indep(*second, *first, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(reference, abs=1e-9)
    assert not found.paired


def two_way(scores: Array) -> tuple[float, float, float]:
    """The mean squares, sum by sum."""
    s, n = scores.shape
    mean = scores.mean()
    rows, columns = scores.mean(axis=1), scores.mean(axis=0)
    rest = sum(
        (scores[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(s) for j in range(n)
    )
    return (
        n * sum((rows - mean) ** 2) / (s - 1),
        s * sum((columns - mean) ** 2) / (n - 1),
        rest / (s - 1) / (n - 1),
    )


def half_width(around: Array, floor: float, known: float | None = None) -> float:
    """As the documentation writes it, with SciPy's distributions."""
    s, n = around.shape
    seeds, images, rest = two_way(around)
    t2 = stats.t.ppf(0.975, s - 1) ** 2 * seeds
    if known is not None:
        t2 = Z**2 * (n * known + rest)
    return math.sqrt((max(t2, Z**2 * rest) + Z**2 * max(images - rest, 0)) / (s * n) + floor**2)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("known", [None, 0.0004])
def test_several_seeds_are_crossed_with_images(seeds: int, known: float | None) -> None:
    baseline, variant = answers(seeds, 60, 0.8), answers(seeds, 60, 0.9, 1)
    found = compare(baseline, variant, seed_variance=known)
    difference = variant.astype(float) - baseline
    half = half_width(difference, Z**2 / (60 + Z**2), known)
    assert found.difference == pytest.approx(difference.mean(), rel=1e-12)
    assert found.high == pytest.approx(min(difference.mean() + half, 1), rel=1e-9)
    assert (found.seeds, found.scope) == (seeds, Scope.MODEL)


@pytest.mark.parametrize("seeds", [2, 4])
def test_weights_make_it_mean_per_class_accuracy(seeds: int) -> None:
    baseline, variant = answers(seeds, 40, 0.7), answers(seeds, 40, 0.8, 1)
    of, weights = classes_of(40)
    found = compare(baseline, variant, weights)
    difference = variant.astype(float) - baseline
    mpa = fmean(float(difference[:, of == c].mean()) for c in range(3))
    half = half_width(40 * weights * (difference - mpa), Z**2 * sum(weights**2))
    assert found.difference == pytest.approx(mpa, rel=1e-12)
    assert found.high == pytest.approx(min(mpa + half, 1), rel=1e-9)


def test_one_seed_with_weights_and_of_other_scores() -> None:
    _, weights = classes_of(40)
    for baseline, variant in (
        (answers(1, 40, 0.7), answers(1, 40, 0.8, 1)),
        (np.random.default_rng(0).normal(size=(1, 40)), np.random.default_rng(1).random((1, 40))),
    ):
        d = variant.astype(float) - baseline
        both = np.concatenate([baseline, variant]).astype(float)
        for given_weights, w in ((weights, weights), (None, np.full(40, 1 / 40))):
            if baseline.dtype == bool and given_weights is None:
                continue
            reach = 1.0 if baseline.dtype == bool else both.max() - both.min()
            mean = float((d @ w)[0])
            v = sum(w**2 * (d[0] - mean) ** 2)
            half = math.sqrt(Z**2 * v + (Z**2 * reach * sum(w**2)) ** 2)
            found = compare(baseline, variant, given_weights)
            assert found.high - mean == pytest.approx(half, rel=1e-9)


def test_equal_weights_are_none() -> None:
    baseline, variant = answers(1, 50, 0.7), answers(1, 50, 0.9, 1)
    weighted = compare(baseline, variant, np.full(50, 1 / 50))
    assert weighted == compare(baseline, variant)


def test_a_known_variance_of_seeds_lets_one_seed_speak_of_the_model() -> None:
    baseline, variant = answers(1, 100, 0.7), answers(1, 100, 0.8, 1)
    alone, found = compare(baseline, variant), compare(baseline, variant, seed_variance=0.0009)
    below = math.sqrt((alone.difference - alone.low) ** 2 + Z**2 * 0.0009)
    assert found.difference - found.low == pytest.approx(below, rel=1e-9)
    assert found.scope is Scope.MODEL


def test_a_cell_of_several_seeds_is_at_least_wilsons() -> None:
    scores = answers(3, 60, 0.9)
    found = estimate(scores)
    half = half_width(scores.astype(float), Z**2 / (60 + Z**2))
    low, high = proportion_confint(scores.mean() * 60, 60, method="wilson")
    assert found.low == pytest.approx(max(min(scores.mean() - half, low), 0), rel=1e-9)
    assert found.high == pytest.approx(min(max(scores.mean() + half, high), 1), rel=1e-9)
    same = np.repeat(answers(1, 60, 0.9), 3, axis=0)  # seeds that agree tell no more than one
    assert estimate(same).low <= proportion_confint(same[0].sum(), 60, method="wilson")[0] + 1e-12


def test_unpaired_cells_of_several_seeds_add_their_squared_half_widths() -> None:
    first, second = estimate(answers(3, 60, 0.6)), estimate(answers(2, 80, 0.7, 1))
    found = compare_unpaired(first, second)
    below = math.hypot(second.figure - second.low, first.high - first.figure)
    assert found.difference - found.low == pytest.approx(below, rel=1e-9)
    assert (found.seeds, found.images) == (2, 60)


def test_shares_alone_are_never_narrower_than_the_answers() -> None:
    scores = answers(4, 200, 0.85)
    known, alone = estimate(scores), estimate_from_shares(scores.mean(axis=1).tolist(), 200)
    assert alone.figure == pytest.approx(known.figure)
    assert alone.low <= known.low + 0.002
    shares = scores.mean(axis=1)
    wilson = proportion_confint(shares.mean() * 200, 200, method="wilson")[0]
    seeds = stats.t.ppf(0.975, 3) * stdev(shares) / 2
    assert alone.figure - alone.low == pytest.approx(
        math.hypot(seeds, alone.figure - wilson), rel=1e-9
    )


@pytest.mark.parametrize(
    "wrong",
    [
        (np.zeros(3, bool), np.zeros(3, bool), None),
        (np.zeros((1, 3), bool), np.zeros((2, 3), bool), None),
        (np.zeros((1, 0), bool), np.zeros((1, 0), bool), None),
        (np.zeros((1, 2)), np.array([[0.0, math.nan]]), None),
        (np.zeros((1, 2), bool), np.zeros((1, 2), bool), np.array([0.5, 0.6])),
        (np.zeros((1, 2), bool), np.zeros((1, 2), bool), np.array([1.0])),
        (np.zeros((1, 2), bool), np.zeros((1, 2), bool), np.array([math.nan, 1.0])),
        (np.zeros((1, 2), np.int8), np.ones((1, 2), np.int8), None),
    ],
)
def test_what_does_not_fit_is_refused(wrong: tuple[Array, Array, Array | None]) -> None:
    with pytest.raises(ValueError, match=r"arrays of|bools or finite|weights are"):
        compare(*wrong)


# What holds of any

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 12))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array, Array | None]:
    """Right or not, or other scores; weighted or not; constant ones too."""
    shape = draw(SHAPES)
    kind: Any = draw(st.sampled_from([np.bool_, np.float64]))
    elements: Any = st.booleans() if kind is np.bool_ else st.sampled_from([-0.3, 0.0, 0.1, 2.5])
    baseline, variant = (draw(arrays(kind, shape, elements=elements)) for _ in range(2))
    if not draw(st.booleans()):
        return baseline, variant, None
    weights = draw(arrays(np.float64, shape[1], elements=st.sampled_from([0.1, 0.5, 1.0])))
    return baseline, variant, weights / weights.sum()


@given(pairs(), st.sampled_from([None, 0.01]))
def test_intervals_hold_their_figure_and_agree_with_p(
    pair: tuple[Array, Array, Array | None], known: float | None
) -> None:
    found = compare(*pair, seed_variance=known)
    assert found.low <= found.difference <= found.high
    assert 0 < found.p <= 1
    outside = found.low > 0 or found.high < 0
    assert outside == (found.p < 0.05) or abs(found.p - 0.05) < 1e-9
    constant = np.ptp(np.concatenate(pair[:2]).astype(float)) == 0
    assert (found.high > found.low) or (constant and found.p == 1)
    if 1e-12 < found.p < 1:
        low, high = found.at(1 - found.p)
        assert min(abs(low), abs(high)) < 1e-7
    alone = estimate(pair[0], pair[2])
    assert alone.low <= alone.figure <= alone.high


@given(pairs())
def test_swapped_arms_mirror(pair: tuple[Array, Array, Array | None]) -> None:
    baseline, variant, weights = pair
    found, mirrored = compare(*pair), compare(variant, baseline, weights)
    assert mirrored.difference == pytest.approx(-found.difference, abs=1e-12)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    assert mirrored.p == pytest.approx(found.p, rel=1e-6)


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_seeds_changes_nothing(
    pair: tuple[Array, Array, Array | None], random: Any
) -> None:
    baseline, variant, weights = pair
    seeds, images = (random.sample(range(size), size) for size in baseline.shape)
    moved = compare(
        baseline[seeds][:, images],
        variant[seeds][:, images],
        None if weights is None else weights[images],
    )
    found = compare(*pair)
    if baseline.dtype == bool and weights is None:
        assert moved == found
    assert (moved.low, moved.high) == pytest.approx((found.low, found.high), abs=1e-9)


@given(pairs())
def test_equal_arms_differ_by_nothing(pair: tuple[Array, Array, Array | None]) -> None:
    baseline, _, weights = pair
    found = compare(baseline, baseline, weights)
    assert (found.difference, found.p) == (0, 1)
    assert found.low <= 0 <= found.high


@given(st.integers(1, 5), st.integers(1, 400))
def test_all_right_and_all_wrong_have_a_width(seeds: int, images: int) -> None:
    for share in (False, True):
        cell = estimate(np.full((seeds, images), share))
        assert cell.high - cell.low > 0
        assert 0 <= cell.low <= cell.high <= 1
    found = compare(np.zeros((seeds, images), bool), np.ones((seeds, images), bool))
    assert found.low < 1 == found.high


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 300))
def test_the_paired_score_interval_is_inside_what_is_possible(
    gained: int, lost: int, rest: int
) -> None:
    if images := gained + lost + rest:
        low, high = Score(gained, lost, images).at(0.025)
        assert -1 <= low < high <= 1


@pytest.mark.parametrize("tail", [0.4, 0.025, 1e-5, 1e-12, 1e-100])
@pytest.mark.parametrize("df", [1, 2, 2.183429474267809, 3.7, 30])
def test_quantiles_far_out_are_scipys(tail: float, df: float) -> None:
    assert normal(tail) == pytest.approx(stats.norm.isf(tail), rel=1e-9)
    assert stats.t.sf(student(tail, df), df) == pytest.approx(tail, rel=1e-6)
    assert student(tail, math.inf) == normal(tail)


def test_p_is_found_by_the_limits_alone() -> None:
    spread = Spread(0.1, seeds=0.0004, df=2, rest=0.0001, images=0.0002)

    def touches(tail: float) -> float:
        return 0.1 - spread.half(tail)

    assert p_value(spread) == pytest.approx(2 * brentq(touches, 1e-9, 0.5), rel=1e-6)


@given(
    st.floats(-1, 1),
    st.floats(-3, 3),
    st.tuples(st.floats(1.0, 2.0), st.floats(1.0, 2.0)),
    st.sampled_from(["cubic", "tanh", "exponential", "waves", "step", "tiny"]),
)
def test_roots_are_scipys_to_the_bit(
    at: float, log_slope: float, ends: tuple[float, float], shape: str
) -> None:
    slope = 10**log_slope

    def function(x: float) -> float:
        match shape:
            case "cubic":
                return slope * (x - at) ** 3
            case "tanh":
                return math.tanh(slope * (x - at))
            case "exponential":
                return math.expm1(slope / 100 * (x - at))
            case "waves":
                return (x - at) + 0.9 * (math.sin(5 * x) - math.sin(5 * at))
            case "tiny":  # products of two are 0
                return 1e-160 * slope * math.expm1(x - at)
        return -0.5 if x < at else 0.3

    low, high = -1 - ends[0], 1 + ends[1]
    expected = brentq(function, low, high, xtol=1e-12, maxiter=STEPS)
    assert root(function, low, high, near=1e-12) == expected


def test_a_root_must_be_there() -> None:
    with pytest.raises(ValueError, match="one sign at both ends"):
        root(lambda x: x * x + 1, -1, 1, near=1e-12)


# Over rows


def line_rows(count: int, seeds: int, images: int = 50) -> list[Pair]:
    return [
        Pair(answers(seeds, images, 0.7, 2 * row), answers(seeds, images, 0.8, 2 * row + 1), "test")
        for row in range(count)
    ]


def test_a_line_over_these_models() -> None:
    rows, k, s, n = line_rows(4, 3), 4, 3, 50
    differences = [row.variant.astype(float) - row.baseline for row in rows]
    squares = [two_way(each) for each in differences]
    ms_s, _, ms_e = (np.array(of) for of in zip(*squares, strict=True))
    df = ms_s.sum() ** 2 / (ms_s**2 / (s - 1)).sum()
    by_image = np.mean([each.mean(axis=0) for each in differences], axis=0)
    images = max(by_image.var(ddof=1) - ms_e.sum() / (k**2 * s), 0) / n
    seeds = max(stats.t.ppf(0.975, df) ** 2 * ms_s.sum(), Z**2 * ms_e.sum()) / (k**2 * s * n)
    half = math.sqrt(seeds + Z**2 * images + (Z**2 / (n + Z**2)) ** 2)
    found = over_rows(rows)
    assert found.these.difference == pytest.approx(np.mean(differences))
    assert found.these.high - found.these.difference == pytest.approx(half, rel=1e-9)
    assert found.these.scope is Scope.MODELS
    assert found.differences == pytest.approx([each.mean() for each in differences])

    sample = stats.t.ppf(0.975, k - 1) ** 2 * np.var(found.differences, ddof=1) / k
    half = max(half, math.sqrt(sample + Z**2 * images + (Z**2 / (n + Z**2)) ** 2))
    assert found.like_these.high - found.like_these.difference == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize("seeds", [1, 3])
def test_ties_are_no_sample_of_models(seeds: int) -> None:
    """Neither at 0 nor elsewhere, nor is a single answer that differs; more is."""

    def line(*gained: tuple[int, ...]) -> bool:
        """Images that a row's variant gains, seed by seed."""
        rows = []
        for counts in gained:
            baseline, variant = np.zeros((2, seeds, 400), dtype=bool)
            for seed, count in zip(range(seeds), counts, strict=False):
                variant[seed, :count] = True
            rows.append(Pair(baseline, variant, "test"))
        return over_rows(rows).is_sample

    none, one, every = (0, 0, 0), (1, 0, 0), (8, 8, 8)
    assert not line(none, none, none)
    assert not line(every, every, every)
    assert not line(one, none, none)
    assert not line(every, every, (9, 8, 8))
    assert line(every, none, none)


def test_a_figure_without_bounds_has_no_step_but_ties() -> None:
    rng = np.random.default_rng(0)
    losses, moved = rng.random((2, 1, 50))

    def row(by: float) -> Pair:
        return Pair(losses, losses + moved + by, "test")

    assert not over_rows([row(0), row(0), row(0)]).is_sample
    assert over_rows([row(0), row(1e-6), row(0)]).is_sample


def test_models_like_these_are_never_known_better_than_these() -> None:
    """Rows that agree by luck."""
    rng = np.random.default_rng(0)
    pairs = []
    for row in range(3):
        baseline = rng.random((3, 60)) < 0.8
        moved = np.roll(baseline, row + 1, axis=1)
        pairs.append(Pair(baseline, moved, "test"))  # every difference is 0
    found = over_rows(pairs)
    assert found.differences == (0, 0, 0)
    assert (found.like_these.low, found.like_these.high) == (found.these.low, found.these.high)


def test_a_line_of_one_seed_speaks_of_these_trainings() -> None:
    rows, n = line_rows(3, 1), 50
    by_image = np.mean([row.variant[0].astype(float) - row.baseline[0] for row in rows], axis=0)
    half = math.sqrt(Z**2 * by_image.var(ddof=1) / n + (Z**2 / (n + Z**2)) ** 2)
    found = over_rows(rows).these
    assert found.high - found.difference == pytest.approx(half, rel=1e-9)
    assert found.scope is Scope.TRAININGS


def test_rows_on_different_images_add_their_variances() -> None:
    same = line_rows(2, 3)
    other = [Pair(row.baseline, row.variant, name) for name, row in zip("ab", same, strict=True)]
    found = over_rows(other).these
    spreads = [compare(row.baseline, row.variant).limits.spread() for row in same]
    images = sum(each.images for each in spreads) / 4
    assert found.limits.spread().images == pytest.approx(images, rel=1e-9)
    assert found.images == 100
    pooled = Z**2 * 2 * 0.25 * (1 / (50 + Z**2))
    floor = sum(factor * floor.at(Z) for factor, floor in found.limits.spread().floors)
    assert floor == pytest.approx(pooled, rel=1e-9)


def test_equal_rows_are_no_narrower_for_images_than_one() -> None:
    """Rows that make the same mistakes are one row as far as images go."""
    row = line_rows(1, 1, images=2_000)[0]
    one = Pair(row.baseline, row.variant, "test")
    together, alone = over_rows([one] * 5).these, compare(row.baseline, row.variant)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.01)


@pytest.mark.parametrize("seeds", [2, 3])
def test_rows_of_the_same_draws_are_one_row(seeds: int) -> None:
    """As their mean, seed by seed; copies of a row say what it says alone."""
    rows = [replace(row, draws="a network") for row in line_rows(2, seeds)]
    first, second = (row.variant.astype(float) - row.baseline for row in rows)
    mean = (first + second) / 2
    found = over_rows(rows)
    alone = compare(np.zeros_like(mean), mean, bounds=SHARE)
    assert found.these.difference == pytest.approx(alone.difference)
    spreads = found.these.limits.spread(), alone.limits.spread()
    for name in ("seeds", "rest", "images", "df"):
        ours, theirs = (getattr(of, name) for of in spreads)
        assert ours == pytest.approx(theirs, rel=1e-9), name
    assert not found.is_sample, "of networks they are none"

    copies = over_rows([rows[0]] * 4).these.limits.spread()
    once = compare(np.zeros_like(first), first, bounds=SHARE).limits.spread()
    assert (copies.seeds, copies.df) == pytest.approx((once.seeds, once.df), rel=1e-9)
    of_their_own = over_rows([replace(rows[0], draws=None)] * 4).these.limits.spread()
    assert of_their_own.seeds == pytest.approx(once.seeds / 4, rel=1e-9)


def test_some_rows_of_the_same_draws_weigh_as_many() -> None:
    a, b, c = line_rows(3, 3)
    a, b = (replace(row, draws="a network") for row in (a, b))
    first, second, third = (r.variant.astype(float) - r.baseline for r in (a, b, c))
    ms = [two_way(each)[0] / each.size for each in ((first + second) / 2, third)]
    parts = ms[0] * (2 / 3) ** 2, ms[1] * (1 / 3) ** 2
    spread = over_rows([a, c, b]).these.limits.spread()
    assert spread.seeds == pytest.approx(sum(parts), rel=1e-9)
    assert spread.df == pytest.approx(sum(parts) ** 2 / sum(v**2 / 2 for v in parts), rel=1e-9)
    with pytest.raises(ValueError, match="other numbers of seeds"):
        over_rows([a, replace(line_rows(1, 2)[0], draws="a network")])


def test_unpaired_rows_add_their_squared_half_widths() -> None:
    rows = [
        compare_unpaired(estimate(answers(1, 50, 0.6, r)), estimate(answers(1, 50, 0.8, 9 + r)))
        for r in range(3)
    ]
    found = over_rows(rows).these
    below = math.sqrt(sum((row.difference - row.low) ** 2 for row in rows)) / 3
    assert found.difference - found.low == pytest.approx(below, rel=1e-9)
    assert not found.paired
    mixed = over_rows([*rows, *line_rows(2, 1)]).these
    assert mixed.difference == pytest.approx(
        fmean([*(r.difference for r in rows), *over_rows(line_rows(2, 1)).differences])
    )


def test_rows_of_one_name_have_the_same_images() -> None:
    rows = [*line_rows(1, 2), *line_rows(1, 2, images=40)]
    with pytest.raises(ValueError, match="same images"):
        over_rows(rows)


def test_equal_weights_are_none_over_rows_too() -> None:
    rows = line_rows(3, 2)
    weighted = [Pair(r.baseline, r.variant, r.images, np.full(50, 1 / 50)) for r in rows]
    assert over_rows(weighted) == over_rows(rows)


def test_known_seeds_may_be_a_part_of_a_line() -> None:
    known = compare(answers(1, 50, 0.7), answers(1, 50, 0.8, 1), seed_variance=0.0009)
    these = over_rows([known, *line_rows(1, 2)]).these
    assert these.low < these.difference < these.high
    assert added_df([(0.0009, math.inf)]) == math.inf


def test_mean_per_class_accuracy_stays_a_share() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        of = rng.integers(0, 7, size=40)
        counts = np.bincount(of, minlength=7)
        weights = 1 / np.count_nonzero(counts) / counts[of]
        cell = estimate(np.ones((1, 40), bool), weights)
        assert cell.low <= cell.figure <= cell.high <= 1


def test_a_line_needs_rows() -> None:
    with pytest.raises(ValueError, match="two"):
        over_rows(line_rows(1, 2))


@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 8), st.booleans(), st.integers(0, 9))
def test_lines_of_anything_have_a_width(
    count: int, seeds: int, images: int, equal: bool, seed: int
) -> None:
    rows = [
        Pair(
            answers(seeds, images, 0.5, seed + row),
            answers(seeds, images, 0.5, seed + row + (0 if equal else 50)),
            "test",
        )
        for row in range(count)
    ]
    line = over_rows(rows)
    for found in (line.these, line.like_these):
        assert found.low < found.high
        assert found.low <= found.difference <= found.high
        assert not equal or (found.difference, found.p) == (0, 1)


# Speeds


def test_speeds_are_compared_by_blocks_of_passes() -> None:
    rng = np.random.default_rng(0)
    slow = (0.02 * np.exp(0.05 * rng.normal(size=100))).tolist()
    fast = (0.01 * np.exp(0.05 * rng.normal(size=60))).tolist()
    found = compare_speeds(slow, fast)
    assert found is not None
    assert found.difference == pytest.approx(median(slow) / median(fast) - 1)
    blocks = [
        [
            math.log(median(of[start : start + len(of) // 10]))
            for start in range(0, len(of), len(of) // 10)
        ]
        for of in (slow, fast)
    ]
    variances = [stdev(each) ** 2 / 10 for each in blocks]
    df = sum(variances) ** 2 / sum(v**2 / 9 for v in variances)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(variances))
    ratio = math.log(median(slow) / median(fast))
    assert math.log1p(found.high) == pytest.approx(ratio + half, rel=1e-9)
    assert found.scope is Scope.PROCESS
    assert found.p < 1e-6


def test_too_few_passes_or_a_clock_that_stands_still_give_no_interval() -> None:
    enough = [0.01, 0.011] * 10
    assert compare_speeds(enough[1:], enough) is None
    assert compare_speeds([0.01] * 30, [0.02] * 30) is None
    assert compare_speeds([0.0] * 30, [0.02] * 30) is None
    assert isinstance(compare_speeds(enough, enough[::-1]), Comparison | None)


def test_mean_squares_without_degrees_of_freedom_are_0() -> None:
    squares = MeanSquares.of(np.array([[1, 0, 1]]))
    assert [squares.seeds, squares.images, squares.rest] == pytest.approx([0, 1 / 3, 0])
    assert MeanSquares.of(np.array([[1], [0]])) == MeanSquares(0.5, 0, 0)


def test_limits_at_the_edges() -> None:
    assert Wilson(1.0, 10).at(0.025)[1] == 1
    assert Score(10, 0, 10).at(0.025)[1] == 1
    assert Score(0, 10, 10).at(0.025)[0] == -1
