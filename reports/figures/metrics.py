"""Figures of a whole evaluation that are no means over images, and what each would be without each
single image; pure.

An image's part in such a figure is its jackknife pseudo-value (Tukey 1958), so that what holds of
means over images can be asked of these figures too. Nothing is computed anew for each image: what
one image changes is a term or two of a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.integer[Any]]
"""Classes (images,)."""
BINS = 15
OF_THE_WHOLE = ("kappa", "f1", "precision", "recall", "auc")
"""Those that have intervals from their pseudo-values."""
WITHOUT_INTERVAL = {
    "ece": "chance in its bins makes it larger, and less so where it is large",
    "worst_class": "chance alone makes one class the worst",
}
"""Why: their intervals would not hold, docs/statistics.md."""


def not_once(part: str) -> str:
    """Why figures of a part that is no test have no interval where the data are cut into folds."""
    return f"the folds' {part} parts overlap, so an image is in several or in none"


@dataclass(frozen=True)
class LeftOut:
    """A figure, and what it would be without each image."""

    figure: float
    without: Floats
    """(images,); nan where there is no such figure."""

    @property
    def pseudo_values(self) -> Floats:
        """(images,): N T - (N - 1) T without the image, moved so that their mean is T, the figure.
        An image that the figure can't do without moves nothing."""
        moved = (len(self.without) - 1) * (self.figure - self.without)
        moved = np.where(np.isfinite(moved), moved, 0.0)
        values: Floats = self.figure + moved - moved.mean()
        return values

    @staticmethod
    def joined(folds: Sequence[LeftOut]) -> LeftOut:
        """Of several folds that share no image: the mean of their figures, each weighing as its
        images, whose pseudo-values are theirs, fold after fold."""
        values = np.concatenate([of.pseudo_values for of in folds])
        figure = float(values.mean())
        return LeftOut(figure, figure - (values - figure) / (len(values) - 1))


@dataclass(frozen=True)
class Confusion:
    """What was taken for what; `labels` and `predicted` are (images,) of one length above 0."""

    labels: Labels
    predicted: Labels

    @property
    def counts(self) -> tuple[Floats, Floats, Floats]:
        """Of each class (classes,): its right images, its images, and those taken for it."""
        classes = 1 + int(max(self.labels.max(), self.predicted.max()))
        right = self.labels[self.labels == self.predicted]

        def counted(of: Labels) -> Floats:
            return np.bincount(of, minlength=classes).astype(np.float64)

        return counted(right), counted(self.labels), counted(self.predicted)

    def figure(self, metric: str) -> float:
        """`kappa` (Cohen 1960), or the macro mean `precision`, `recall` or `f1`: over the classes
        that occur in labels or predictions, where an undefined one counts as 0. They are
        scikit-learn's, with `zero_division=0`. Kappa is nan where all is one class."""
        hits, labelled, guessed = self.counts
        if metric == "kappa":
            return float(_kappa(hits.sum(), labelled @ guessed, len(self.labels)))
        occur = labelled + guessed > 0
        return float(_of_class(metric, hits, labelled, guessed).sum() / occur.sum())

    def without(self, metric: str) -> LeftOut:
        """The same figures without each image."""
        hits, labelled, guessed = self.counts
        own, taken, right = self.labels, self.predicted, self.labels == self.predicted
        if metric == "kappa":
            together = labelled @ guessed - guessed[own] - labelled[taken] + right
            left = _kappa(hits.sum() - right, together, len(own) - 1)
            return LeftOut(self.figure(metric), left)
        # An image leaves the class of its label, and where it is wrong the one it was taken for.
        figures, occurs = _of_class(metric, hits, labelled, guessed), labelled + guessed
        less = _of_class(metric, hits[own] - right, labelled[own] - 1, guessed[own] - right)
        other = _of_class(metric, hits[taken], labelled[taken], guessed[taken] - 1)
        moved = less - figures[own] + np.where(right, 0.0, other - figures[taken])
        # A class that nothing is left of is not counted.
        gone = (occurs[own] - right == 1).astype(np.float64) + (~right & (occurs[taken] == 1))
        classes = float((occurs > 0).sum())
        left = np.where(classes > gone, _divided(figures.sum() + moved, classes - gone), np.nan)
        return LeftOut(float(figures.sum() / classes), left)

    @property
    def worst_class(self) -> float:
        """The smallest share of right images of a class, among the classes in `labels`."""
        hits, labelled, _ = self.counts
        return float((hits[labelled > 0] / labelled[labelled > 0]).min())


def _of_class(metric: str, hits: Floats, labelled: Floats, guessed: Floats) -> Floats:
    """Of each class, by its counts; 0 where it is undefined."""
    of = {"recall": labelled, "precision": guessed, "f1": (labelled + guessed) / 2}
    return _divided(hits, of[metric])


def _divided(above: Floats, below: Floats) -> Floats:
    """0 where that can't be done."""
    divided: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return divided


def _kappa(right: Any, together: Any, images: int) -> Any:
    """How much of what chance leaves is right; `together`: over classes, the sum of its images
    times those taken for it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = np.divide(together, images**2)
        return np.divide(np.divide(right, images) - chance, 1 - chance)


def ece(right: NDArray[np.bool_], confidence: Floats) -> float:
    """Expected calibration error (Guo et al. 2017): over 15 equal bins of the `confidence`
    (images,), the largest softmax score, the mean distance of the share right from the mean
    confidence, each bin weighing as its images.

    A bin holds its upper end, as in the paper, so a confidence of 1 is in the last one.
    torchmetrics has the lower ends, and a bin of its own for 1; between the ends they agree. nan
    where a confidence is.
    """
    if not np.isfinite(confidence).all():
        return np.nan
    bins = np.ceil(confidence * BINS).astype(int)
    return float(np.abs(np.bincount(bins, right - confidence)).sum() / len(right))


def auc(scores: Floats, labels: Labels) -> LeftOut:
    """The macro mean of each class's area under the ROC curve, the class against the rest, from
    `scores` (images, classes): scikit-learn's `roc_auc_score(multi_class="ovr")`. It is over the
    classes that some image is of and some is not; nan where there is none, or a score is nan.

    A class's area is the share of its pairs of an image with one of the rest that are in order, a
    tie being half a pair (Mann and Whitney 1947); an image leaves with its own pairs.
    """
    images = len(labels)
    if not np.isfinite(scores).all():
        return LeftOut(np.nan, np.full(images, np.nan))
    total, counted = 0.0, 0
    moved, gone = np.zeros(images), np.zeros(images, dtype=int)
    for label, count in enumerate(np.bincount(labels)):
        rest = images - count
        if not count or not rest:
            continue
        own = labels == label
        pairs = _in_order(scores[:, label], own)
        area = pairs[own].sum() / count / rest
        total, counted = total + area, counted + 1
        for side, here, there in ((own, count, rest), (~own, rest, count)):
            if here == 1:  # without this one image the class has no area
                moved[side] -= area
                gone[side] += 1
            else:
                moved[side] += area / (here - 1) - pairs[side] / ((here - 1) * there)
    left = _divided(total + moved, counted - gone.astype(np.float64))
    figure = total / counted if counted else np.nan
    return LeftOut(figure, np.where(counted > gone, left, np.nan))


def _in_order(scores: Floats, own: NDArray[np.bool_]) -> Floats:
    """(images,): with how many of the other side each image is in order, `own` above the rest."""
    pairs = np.empty(len(scores))
    ascending = np.argsort(scores[own])
    inside = scores[own][ascending]
    below = np.searchsorted(inside, scores[~own], "left")
    up_to = np.searchsorted(inside, scores[~own], "right")
    pairs[~own] = len(inside) - (below + up_to) / 2
    beaten = sum(np.bincount(each, minlength=len(inside) + 1) for each in (below, up_to)) / 2
    of_own = np.empty(len(inside))
    of_own[ascending] = np.cumsum(beaten)[:-1]
    pairs[own] = of_own
    return pairs
