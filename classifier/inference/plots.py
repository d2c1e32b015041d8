"""Pictures of predictions, drawn by matplotlib without its global state."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from classifier.basics.errors import UserError
from classifier.basics.names import printable
from classifier.inference.metrics import Labels

DPI = 150
FEW = 20
"""Up to so many classes a cell has its number, and the map's points a legend of colours."""
MOST_LABELS = 200
"""Of more classes only every n-th is named."""
LONGEST = 40
"""Characters of a class's name that are drawn."""
LEAST_POINTS = 4
"""t-SNE of fewer has no neighbours to keep."""
_FALLBACKS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "SimHei")
"""Fonts with the characters that matplotlib's own lacks."""


def confusion_matrix(file: Path, matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Images by label (row) and prediction (column), coloured by their share of the row.

    A cell keeps its size up to 200 classes, so that names stay readable: the picture grows.
    """
    count = len(matrix)
    cell = 0.55 if count <= FEW else 0.11 if count > 100 else 0.18
    side = max(3.0, cell * min(count, MOST_LABELS))
    font = 9 if count <= FEW else 72 * cell * 0.72
    figure = Figure(figsize=(side, side), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    images = matrix.sum(axis=1, keepdims=True)
    # Rows of classes without an image stay grey: they have no shares.
    shares = np.divide(matrix, images, out=np.full(matrix.shape, np.nan), where=images > 0)
    axes.set_facecolor("0.9")
    # The root of the share: one confused image among thirty must be seen.
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    drawn = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    step = math.ceil(count / MOST_LABELS)
    named = range(0, count, step)
    names = [_drawn(classes[label]) for label in named]
    style: Any = {"fontsize": font, "parse_math": False, "fontfamily": _fonts()}
    axes.set_xticks(named, names, rotation=90, **style)
    axes.set_yticks(named, names, **style)
    axes.tick_params(length=2, pad=2)
    if count <= FEW:
        for (row, column), number in np.ndenumerate(matrix):
            dark = shares[row, column] > 0.3
            axes.text(
                column,
                row,
                f"{number}",
                ha="center",
                va="center",
                fontsize=font,
                color="white" if dark else "black" if number else "0.7",
            )
    else:
        # Lines to follow from a cell to its names.
        axes.set_xticks(np.arange(-0.5, count, 10 * step), minor=True)
        axes.set_yticks(np.arange(-0.5, count, 10 * step), minor=True)
        axes.grid(which="minor", color="0.8", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
    title = max(10.0, side * 1.2)
    axes.set_xlabel("predicted", fontsize=title)
    axes.set_ylabel("label", fontsize=title)
    bar = figure.add_axes((1 + 0.3 / side, 0.25, 0.02 + 0.05 / side, 0.5))
    figure.colorbar(drawn, cax=bar)
    bar.tick_params(labelsize=title * 0.8)
    bar.set_ylabel("share of the label's images", fontsize=title)
    figure.savefig(file, bbox_inches="tight", pad_inches=0.15)


def check_tsne(points: int) -> None:
    if points < LEAST_POINTS:
        raise UserError(f"t-SNE takes {LEAST_POINTS} images at least, here are {points}")


def tsne(
    file: Path,
    vectors: NDArray[np.float32],
    labels: Labels,
    classes: Sequence[str],
    *,
    title: str,
) -> None:
    """A map of the vectors (N, D) in the plane, coloured by label; the same at every call.

    With many classes a colour names none, so each class's number stands at its median point.
    """
    from sklearn.manifold import TSNE

    check_tsne(len(vectors))
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    # One thread: sums in another order would give another map, and the start is the same.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="random", random_state=0).fit_transform(vectors)
    present = np.unique(labels)
    many = len(present) > FEW
    figure = Figure(figsize=(14, 14) if many else (8, 8), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    style: Any = {"parse_math": False, "fontfamily": _fonts()}
    size = 14 if many else 16
    for position, label in enumerate(present):
        own = points[labels == label]
        colour = _colour(position, len(present))
        axes.scatter(
            own[:, 0], own[:, 1], s=size, color=colour, alpha=0.8, linewidths=0, label=str(label)
        )
        if many:
            axes.annotate(
                str(label),
                tuple(np.median(own, axis=0)),
                ha="center",
                va="center",
                fontsize=8,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour, "alpha": 0.8},
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=12)
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        ncols=math.ceil(len(present) / 70),
        fontsize=7 if many else 9,
        markerscale=2,
        borderaxespad=0,
        frameon=False,
    )
    # Set afterwards: matplotlib leaves out what has a label that starts with an underscore.
    for label, entry in zip(present, legend.get_texts(), strict=True):
        name = _drawn(classes[label])
        entry.set(text=f"{label} = {name}" if many else name, **style)
    figure.savefig(file, bbox_inches="tight", pad_inches=0.15)


def _colour(position: int, count: int) -> tuple[float, float, float]:
    """Colours around the wheel; neighbours differ in lightness too."""
    return colorsys.hls_to_rgb(position / count, (0.35, 0.5, 0.62)[position % 3], 0.75)


def _drawn(name: str) -> str:
    one_line = printable(name)
    return one_line if len(one_line) <= LONGEST else one_line[: LONGEST - 1] + "…"


def _fonts() -> list[str]:
    present = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in present)]
