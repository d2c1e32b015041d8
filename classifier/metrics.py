"""Figures from predictions. All take NumPy arrays and return fractions between 0 and 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Share of right answers. `predicted`, `labels`: (N,) class indices."""
    return float(np.mean(predicted == labels))


def mpa(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mean over the classes that occur in `labels` of each class's accuracy (mean recall)."""
    right = np.bincount(labels[predicted == labels], minlength=int(labels.max()) + 1)
    images = np.bincount(labels)
    return float(np.mean(right[images > 0] / images[images > 0]))
