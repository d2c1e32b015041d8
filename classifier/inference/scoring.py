"""What a user's metric says of an evaluation's predictions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.basics.errors import UserError
from classifier.basics.files import write_whole
from classifier.basics.randomness import keyed_everywhere
from classifier.plugins import load
from classifier.plugins.spec import UserMetric
from classifier.records.arrays import Predictions


def score(metric: UserMetric, predictions: Predictions) -> float | NDArray[Any]:
    """A score for each image (N,), bool or FP64, or one number. Raises UserError, with the file's
    line, for what is neither."""
    function = load.function_of(metric)
    given = [part.copy() for part in predictions[: max(metric.takes, 2)]]
    with keyed_everywhere(0, f"plugin {metric.name}"), load.telling(metric):
        found = function(*given)
        made = np.asarray(found)
    images = len(predictions.labels)
    if np.ma.is_masked(found):
        what = "gave masked scores: it must give one for each image"
        raise UserError(f"{load.place_of(metric)}: metric '{metric.name}' {what}")
    if made.dtype.kind not in "biuf" or made.shape not in ((), (images,)):
        raise UserError(
            f"{load.place_of(metric)}: metric '{metric.name}' gave {made.dtype} {made.shape}: it "
            f"must give a number for each of the {images:,} images, or one for all"
        )
    if made.shape == ():
        return float(made)
    return made if made.dtype.kind == "b" else made.astype(np.float64)


def save_scores(file: Path, scores: NDArray[Any], predictions: Predictions) -> None:
    """Scores (N,), labels (N,) and paths (N,) as .npz that needs no pickle."""
    content = io.BytesIO()
    labels, paths = predictions.labels, predictions.paths
    np.savez_compressed(content, scores=scores, labels=labels, paths=paths)
    write_whole(file, content.getvalue())
