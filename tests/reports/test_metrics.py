"""Figures of a whole evaluation against scikit-learn, torchmetrics and the paper's formula; what
they are without each image against leaving it out; what must hold of any."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    cohen_kappa_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from reports.figures.metrics import Confusion, LeftOut, auc, ece
from reports.statistics.intervals import Pair, compare, estimate, over_rows
from reports.statistics.limits import SHARE

Array = NDArray[Any]
OF_CONFUSION = ("kappa", "f1", "precision", "recall")


def of_sklearn(metric: str, labels: Array, predicted: Array) -> float:
    if metric == "kappa":
        return float(cohen_kappa_score(labels, predicted))
    score = {"f1": f1_score, "precision": precision_score, "recall": recall_score}[metric]
    return float(score(labels, predicted, average="macro", zero_division=0))


def auc_of_sklearn(labels: Array, scores: Array) -> float:
    """Over the classes that occur and are not all: scikit-learn alone gives nan where one is not
    so."""
    shares = [np.mean(labels == label) for label in range(scores.shape[1])]
    areas = [
        roc_auc_score(labels == label, scores[:, label])
        for label, share in enumerate(shares)
        if 0 < share < 1
    ]
    return float(np.mean(areas)) if areas else math.nan


def left_out(figure: Callable[..., float], *arrays: Array) -> list[float]:
    return [
        figure(*(np.delete(array, image, axis=0) for array in arrays))
        for image in range(len(arrays[0]))
    ]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """But scikit-learn's, of what is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", module="sklearn")
        yield


@st.composite
def answers(draw: st.DrawFn, least: int = 1) -> tuple[Array, Array]:
    """Labels and predictions: classes that are absent, never predicted, predicted only."""
    labels = draw(st.lists(st.sampled_from([0, 1, 2, 4, 7]), min_size=least, max_size=14))
    count = len(labels)
    predicted = draw(st.lists(st.sampled_from([0, 1, 3, 4, 7]), min_size=count, max_size=count))
    right = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return np.array(labels), np.where(right, labels, predicted)


@st.composite
def scored(draw: st.DrawFn) -> tuple[Array, Array]:
    """Labels and scores, many of them tied; rows sum to 1."""
    labels = draw(st.lists(st.sampled_from([0, 1, 3]), min_size=2, max_size=14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.integers(1, draw(st.integers(2, 9)), size=(len(labels), 5)).astype(float)
    return np.array(labels), scores / scores.sum(axis=1, keepdims=True)


@settings(max_examples=40)  # scikit-learn takes milliseconds each
@given(answers())
def test_figures_of_a_confusion_are_scikit_learns(pair: tuple[Array, Array]) -> None:
    for metric in OF_CONFUSION:
        expected = of_sklearn(metric, *pair)
        figure = Confusion(*pair).figure(metric)
        assert figure == pytest.approx(expected, abs=1e-12, nan_ok=True)
    worst = recall_score(*pair, average=None, labels=np.unique(pair[0]), zero_division=0).min()
    assert Confusion(*pair).worst_class == pytest.approx(worst)


@settings(max_examples=40)  # scikit-learn takes milliseconds each
@given(answers(least=2))
def test_a_confusion_without_an_image_is_that_of_the_others(pair: tuple[Array, Array]) -> None:
    for metric in OF_CONFUSION:
        found = Confusion(*pair).without(metric)
        expected = left_out(lambda *of, name=metric: of_sklearn(name, *of), *pair)
        assert found.without.tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)
        assert found.figure == pytest.approx(Confusion(*pair).figure(metric), nan_ok=True)


@settings(max_examples=40)  # scikit-learn takes milliseconds each
@given(scored())
def test_the_auc_is_scikit_learns_with_and_without_an_image(pair: tuple[Array, Array]) -> None:
    labels, scores = pair
    found = auc(scores, labels)
    assert found.figure == pytest.approx(auc_of_sklearn(labels, scores), nan_ok=True)
    expected = left_out(auc_of_sklearn, labels, scores)
    assert found.without.tolist() == pytest.approx(expected, nan_ok=True)


def test_the_auc_of_all_classes_is_scikit_learns_own() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 7
    scores = rng.dirichlet(np.ones(7), size=300) + 0.2 * np.eye(7)[labels]
    scores /= scores.sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    assert auc(scores, labels).figure == pytest.approx(expected, abs=1e-12)


def test_nothing_is_said_where_nothing_is_defined() -> None:
    one = np.zeros(5, dtype=int)
    assert math.isnan(Confusion(one, one).figure("kappa"))
    assert math.isnan(auc(np.ones((5, 1)), one).figure)
    scores = np.full((5, 2), 0.5)
    assert math.isnan(auc(scores, one).figure)
    scores[2, 1] = math.nan
    assert math.isnan(auc(scores, np.arange(5) % 2).figure)
    assert math.isnan(ece(one == 0, scores.max(axis=1)))


def test_an_image_that_a_figure_cannot_do_without_moves_nothing() -> None:
    """Without the last image all is one class, of which there is no kappa."""
    labels = np.array([0, 0, 0, 1])
    found = Confusion(labels, labels).without("kappa")
    assert np.isnan(found.without).tolist() == [False, False, False, True]
    assert found.pseudo_values.tolist() == [1.0] * 4


def bins_of_the_paper(right: Array, confidence: Array) -> float:
    """Guo et al. 2017, equations 2 to 5, as they are written."""
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += (
                inside.sum() / len(right) * abs(right[inside].mean() - confidence[inside].mean())
            )
    return float(total)


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_the_calibration_error_is_the_papers(seed: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.choice([rng.uniform(0.01, 1, images), np.ones(images)], axis=0)
    confidence = np.where(rng.random(images) < 0.2, 1.0, confidence)
    right = rng.random(images) < confidence**2
    assert ece(right, confidence) == pytest.approx(bins_of_the_paper(right, confidence), abs=1e-12)


@pytest.mark.parametrize("edge", [1 / 15, 3 / 15, 7 / 15, 1.0])
def test_a_bin_holds_its_upper_end(edge: float) -> None:
    """One right and one wrong in a bin cancel, in two bins they add."""
    right = np.array([True, False])
    assert ece(right, np.array([edge, edge - 0.01])) == pytest.approx(abs(0.5 - edge + 0.005))


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_the_calibration_error_is_torchmetrics(sharpness: float) -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 500)
    scores = np.exp(sharpness * (rng.normal(size=(500, 6)) + 2 * np.eye(6)[labels]))
    scores /= scores.sum(axis=1, keepdims=True)
    expected = multiclass_calibration_error(
        torch.tensor(scores), torch.tensor(labels), num_classes=6, n_bins=15, norm="l1"
    )
    found = ece(scores.argmax(axis=1) == labels, scores.max(axis=1))
    assert found == pytest.approx(float(expected), abs=1e-5)  # theirs is in FP32


@given(answers(least=2), st.integers(0, 2**32))
def test_pseudo_values_go_with_their_images(pair: tuple[Array, Array], seed: int) -> None:
    """Their mean is the figure; neither the images' order nor the classes' names matter."""
    labels, predicted = pair
    rng = np.random.default_rng(seed)
    order, renamed = rng.permutation(len(labels)), rng.permutation(8)
    for metric in OF_CONFUSION:
        found = Confusion(labels, predicted).without(metric)
        if math.isnan(found.figure):
            continue
        values = found.pseudo_values
        assert values.mean() == pytest.approx(found.figure, abs=1e-9)
        moved = Confusion(labels[order], predicted[order]).without(metric).pseudo_values
        assert moved.tolist() == pytest.approx(values[order].tolist(), abs=1e-9)
        other = Confusion(renamed[labels], renamed[predicted]).without(metric).pseudo_values
        assert other.tolist() == pytest.approx(values.tolist(), abs=1e-9)


def test_pseudo_values_of_a_mean_are_what_it_is_the_mean_of() -> None:
    values = np.random.default_rng(2).normal(size=40)
    without = (values.sum() - values) / 39
    found = LeftOut(float(values.mean()), without).pseudo_values
    assert found.tolist() == pytest.approx(values.tolist())


def test_a_cells_error_is_the_jackknifes() -> None:
    """Of one seed, beside the floor: (N - 1) / N times the sum of squares of the figures without an
    image (Efron and Stein 1981), here N / (N - 1) ** 2 of it, as for any mean."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 400)
    predicted = np.where(rng.random(400) < 0.8, labels, rng.integers(0, 5, 400))
    found = Confusion(labels, predicted).without("f1")
    spread = estimate(found.pseudo_values[None], bounds=SHARE).limits.spread()
    squares = np.square(found.without - found.without.mean()).sum()
    assert spread.images == pytest.approx((399 / 400) ** 2 * squares)
    assert spread.center == pytest.approx(f1_score(labels, predicted, average="macro"))


@pytest.mark.parametrize("seeds", [1, 3])
def test_two_faultless_arms_have_a_width(seeds: int) -> None:
    """What no image here shows may still be there, as for accuracies; and no limit is beyond what
    there can be."""
    ones = np.ones((seeds, 357))
    found, alone = compare(ones, ones, bounds=SHARE), estimate(ones, bounds=SHARE)
    assert found.high == -found.low == pytest.approx(1.959964**2 / 357, rel=1e-6)
    assert alone.low < alone.high == 1
    line = over_rows([Pair(ones, ones, "images", bounds=SHARE)] * 2)
    assert line.these.high == pytest.approx(found.high)
    wild = np.random.default_rng(4).normal(scale=20, size=(seeds, 12))
    limits = compare(wild, -wild, bounds=SHARE)
    assert -1 <= limits.low <= limits.high <= 1
