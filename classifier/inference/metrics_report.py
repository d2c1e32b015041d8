"""The files about one set of predictions: tables as CSV, a Markdown summary, pictures.

Undefined figures are empty cells. Paths and class names survive as they are in the CSVs, whatever
characters they have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tabulate import tabulate

from classifier.basics.errors import UserError
from classifier.basics.files import write_atomically
from classifier.basics.names import printable, write_csv
from classifier.inference import metrics, plots
from classifier.inference.metrics import Labels


def write(
    folder: Path,
    logits: NDArray[np.float32],
    labels: Labels,
    paths: Sequence[str],
    classes: Sequence[str],
    *,
    visual: bool,
    features: NDArray[np.float32] | None = None,
) -> list[Path]:
    """Write everything known from `logits` (N, C), `labels` (N,) and `paths` (N,) into `folder`.

    `visual` adds the confusion matrix as a picture, `features` (N, F) a t-SNE map of them. Returns
    the files. Raises UserError, before it writes, for predictions that have no metrics.
    """
    scores = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    spoilt = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(spoilt):
        raise UserError(
            f"{len(spoilt)} of {len(labels)} predictions are not finite, the first is that of "
            f"{printable(paths[spoilt[0]])}: there are no metrics of them (if this is FP16, use "
            "FP32)"
        )
    if features is not None:
        plots.check_tsne(len(labels))
    predicted = logits.argmax(axis=1)
    matrix = metrics.confusion(predicted, labels, len(classes))
    overall = metrics.overall(matrix)
    rows = pd.concat([metrics.per_class(matrix), metrics.ranking(scores, labels)], axis=1)
    rows.insert(0, "class", list(classes))

    folder.mkdir(parents=True, exist_ok=True)
    right = predicted == labels
    judged: dict[bool, list[tuple[str, str, str, float]]] = {True: [], False: []}
    for path, label, guess, of_image in zip(paths, labels, predicted, scores, strict=True):
        row = path, classes[label], classes[guess], float(of_image[guess])
        judged[bool(label == guess)].append(row)
    header = ("path", "label", "predicted", "score")
    confused = ((name, *images) for name, images in zip(classes, matrix.tolist(), strict=True))
    files = [
        write_csv(folder / "overall.csv", ("metric", "value"), _filled(overall.items())),
        write_csv(folder / "per_class.csv", map(str, rows), _filled(rows.itertuples(index=False))),
        write_csv(folder / "confusion_matrix.csv", ("label \\ predicted", *classes), confused),
        write_csv(folder / "correct.csv", header, judged[True]),
        write_csv(folder / "incorrect.csv", header, judged[False]),
        folder / "summary.md",
    ]
    summary = _summary(overall, rows, int(right.sum()), len(labels))
    write_atomically(files[-1], summary.encode())
    if visual:
        files.append(folder / "confusion_matrix.png")
        plots.confusion_matrix(files[-1], matrix, classes)
    if features is not None:
        files.append(folder / "tsne.png")
        plots.tsne(files[-1], features, labels, classes, title="t-SNE of the features")
    return files


def _filled(rows: Iterable[Iterable[object]]) -> Iterator[list[object]]:
    """The rows with an empty cell for each figure that is not defined."""
    for row in rows:
        yield ["" if isinstance(cell, float) and np.isnan(cell) else cell for cell in row]


def _summary(overall: dict[str, float], rows: pd.DataFrame, right: int, images: int) -> str:
    figures = [name for name in rows if name not in ("class", "images")]
    lines = [
        [_markdown_safe(row["class"]), row["images"], *(_rounded(row[name]) for name in figures)]
        for row in rows.to_dict("records")
    ]
    return (
        f"{right:,} of {images:,} images are classified correctly.\n\n## Overall\n\n"
        + _table(["metric", "value"], [[name, _rounded(value)] for name, value in overall.items()])
        + "\n## Per class\n\n"
        + _table(["class", "images", *map(str, figures)], lines)
        + "\nA cell is empty where the figure is not defined: precision and F without a "
        "prediction or an image, recall, AUC and AUPR without an image of the class. AUC and AUPR "
        "are of the softmax scores, the class against the rest; accuracy counts the rest's right "
        "rejections too.\n"
    )


def _table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    align = ("left", *["right"] * (len(header) - 1))
    return tabulate(lines, header, tablefmt="pipe", disable_numparse=True, colalign=align) + "\n"


def _rounded(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.5f}"


def _markdown_safe(name: str) -> str:
    """A name in one cell of one line, shown as it is."""
    return re.sub(r"([\\|*_`<&\[$])", r"\\\1", printable(name))
