"""Figures from predictions. All take NumPy arrays and return fractions (kappa and some may be nan).

A figure whose denominator is zero is nan: the precision of a class that was never predicted, the
AUC of a class without a positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from classifier.basics.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.int64]
"""Class indices (N,)."""
AUC, AUPR = "AUC (scores)", "AUPR (scores)"
"""The headers say it, because the same names are in use for figures from hard labels."""
_OF_PYCM = {
    "precision": "PPV",
    "recall": "TPR",
    "F0.5": "F0.5",
    "F1": "F1",
    "F2": "F2",
    "accuracy": "ACC",
}


def accuracy(predicted: Labels, labels: Labels) -> float:
    """Share of right answers."""
    return float(np.mean(predicted == labels))


def mpa(predicted: Labels, labels: Labels) -> float:
    """Mean over the classes that occur in `labels` of each class's accuracy (mean recall)."""
    right = np.bincount(labels[predicted == labels], minlength=int(labels.max()) + 1)
    images = np.bincount(labels)
    return float(np.mean(right[images > 0] / images[images > 0]))


def confusion(predicted: Labels, labels: Labels, classes: int) -> NDArray[np.int64]:
    """Images (classes, classes) by label (row) and prediction (column)."""
    pairs = np.bincount(labels * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


def overall(matrix: NDArray[np.int64]) -> dict[str, float]:
    """The figures of a whole confusion matrix, by their names.

    Macro figures are scikit-learn's: the mean over the classes that occur in labels or predictions,
    where an undefined one counts as 0. PyCM gives none at all if one class is undefined; where it
    gives one, it is the same. MPA leaves out the classes without a label.
    """
    of_pycm = _pycm(matrix)
    rows = per_class(matrix)
    occur = matrix.sum(axis=0) + matrix.sum(axis=1) > 0
    macro = rows[occur].fillna(0.0).mean()
    return {
        "accuracy": _number(of_pycm.Overall_ACC),
        "MPA": float(rows["recall"].mean()),
        "kappa": _number(of_pycm.Kappa),
        "precision (micro)": _number(of_pycm.PPV_Micro),
        "recall (micro)": _number(of_pycm.TPR_Micro),
        "F1 (micro)": _number(of_pycm.F1_Micro),
        "precision (macro)": float(macro["precision"]),
        "recall (macro)": float(macro["recall"]),
        "F1 (macro)": float(macro["F1"]),
    }


def per_class(matrix: NDArray[np.int64]) -> pd.DataFrame:
    """A row for each class of a confusion matrix: images, precision, recall, F0.5, F1, F2 and
    accuracy (one against the rest)."""
    import pandas as pd

    of_pycm = _pycm(matrix).class_stat
    columns = {
        name: [_number(of_pycm[key][label]) for label in range(len(matrix))]
        for name, key in _OF_PYCM.items()
    }
    return pd.DataFrame({"images": matrix.sum(axis=1), **columns})


def ranking(scores: NDArray[np.float64], labels: Labels) -> pd.DataFrame:
    """AUC and AUPR (average precision) of each class against the rest, from its scores (N, C)."""
    import pandas as pd
    from sklearn.metrics import average_precision_score, roc_auc_score

    figures = np.full((scores.shape[1], 2), np.nan)
    for label, of_class in enumerate(scores.T):
        positive = labels == label
        if 0 < positive.sum() < len(labels):
            auc, aupr = (
                roc_auc_score(positive, of_class),
                average_precision_score(positive, of_class),
            )
            figures[label] = auc, aupr
    return pd.DataFrame(figures, columns=[AUC, AUPR])


def _pycm(matrix: NDArray[np.int64]) -> Any:
    import pycm

    if len(matrix) < 2 or matrix.sum() == 0:
        raise UserError(
            f"{matrix.sum()} predictions of {len(matrix)} class(es) have no metrics: there must be "
            "one prediction and two classes at least"
        )
    # Python's integers: a division of NumPy's by zero is a warning, where PyCM expects an error.
    table = {row: dict(enumerate(images)) for row, images in enumerate(matrix.tolist())}
    return pycm.ConfusionMatrix(matrix=table)


def _number(figure: Any) -> float:
    """PyCM's undefined figures are the text 'None', or None."""
    return np.nan if figure in ("None", None) else float(figure)
