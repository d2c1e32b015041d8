"""How often the joined answers of folds call two learners different that are not.

python -m tests.benchmarks folds [DRAWS]

Both arms are one learner, on two halves of the features whose means are the same, so that neither
is better. The learners are quick, and differ in how much one training image moves their answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from classifier.data.split import split_folds
from reports.blocks import Grid
from reports.page.markdown import grid
from reports.statistics.intervals import compare

FOLDS = 5
LEARNERS: dict[str, Callable[[], Any]] = {
    "nearest centroid": NearestCentroid,
    "linear discriminant": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1),
    "nearest 15 images": lambda: KNeighborsClassifier(15),
    "nearest image": lambda: KNeighborsClassifier(1),
}
WORLDS = ((200, 2, 5, 0.4), (400, 4, 10, 0.5), (200, 2, 20, 0.3))
"""Images, classes, features of an arm, and how far apart the classes' means are."""


def main(draws: int = 1000) -> None:
    header = ("learner", "images", "classes", "accuracy", f"{FOLDS} folds joined", "one fold")
    rows = []
    for name, learner in LEARNERS.items():
        for images, classes, features, apart in WORLDS:
            rng = np.random.default_rng(1)
            means = np.tile(apart * rng.normal(size=(classes, features)), 2)
            labels = np.arange(images) % classes
            tests = _tests(labels)
            found = [_draw(rng, learner, labels, tests, means) for _ in range(draws)]
            accuracy, joined, one = np.mean(found, axis=0)
            shares = f"{accuracy:.2f}", f"{100 * joined:.1f} %", f"{100 * one:.1f} %"
            rows.append((name, f"{images}", f"{classes}", *shares))
    print(grid(Grid(header, rows)))


def _tests(labels: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """(images,): which images each fold tests."""
    names = [f"{label}/{image}" for image, label in enumerate(labels)]
    classes: dict[str, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        classes.setdefault(str(label), []).append(name)
    folds = [split_folds(classes, {}, "strict", 0, FOLDS, fold) for fold in range(FOLDS)]
    return [np.array([parts[name] == "test" for name in names]) for parts in folds]


def _draw(
    rng: np.random.Generator,
    learner: Callable[[], Any],
    labels: NDArray[np.int64],
    tests: list[NDArray[np.bool_]],
    means: NDArray[np.float64],
) -> tuple[float, bool, bool]:
    """The first arm's accuracy; whether p is at most 5 % over all folds, and on the first alone."""
    seen = means[labels] + rng.normal(size=(len(labels), means.shape[1]))
    half = means.shape[1] // 2
    right = np.zeros((2, len(labels)), dtype=bool)
    for test in tests:
        for arm, of in enumerate((seen[:, :half], seen[:, half:])):
            answers = learner().fit(of[~test], labels[~test]).predict(of[test])
            right[arm, test] = answers == labels[test]
    joined = compare(right[:1], right[1:]).p <= 0.05
    one = compare(right[:1, tests[0]], right[1:, tests[0]]).p <= 0.05
    return float(right[0].mean()), joined, one
