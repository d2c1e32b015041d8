"""What a start from a file's weights is worth: a backbone trained on the digits 0-4, then a few
epochs on 5-9, from it and from scratch.

    python -m tests.benchmarks transfer

Prints a Markdown table: means over three seeds.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import runner

BACKBONE = "backbones/0-4.safetensors"
TRAIN = "model: mobilenetv2, image_size: 32, batch_size: 32, lr: 1e-3, patience: 0"
FIRST = f"""\
title: The backbone
data: {{folder: 0-4}}
train: {{{TRAIN}}}
matrix: {{epochs: [15]}}
tables: {{first: {{rows: epochs, columns: [{{header: test accuracy, split: test}}]}}}}
"""
SECOND = f"""\
title: Transfer
data: {{folder: 5-9}}
train: {{{TRAIN}}}
matrix: {{epochs: [5, 10], weights: [false, {BACKBONE}]}}
seeds: [0, 1, 2]
tables:
  transfer:
    rows: epochs
    columns:
      - {{header: val accuracy(from scratch), split: val, where: {{weights: false}}}}
      - {{header: val accuracy(weights), split: val, where: {{weights: {BACKBONE}}}}}
      - {{header: test accuracy(from scratch), split: test, where: {{weights: false}}}}
      - {{header: test accuracy(weights), split: test, where: {{weights: {BACKBONE}}}}}
"""


def write_digits(folder: Path, classes: Collection[int], limit: int | None = None) -> None:
    """scikit-learn's digits of these classes as PNGs of 8 x 8 in class folders."""
    images, labels = load_digits(return_X_y=True)
    for label in classes:
        (folder / str(label)).mkdir(parents=True)
        for index, flat in enumerate(images[labels == label][:limit]):
            pixels = (flat.reshape(8, 8) * 255 / 16).astype(np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{index}.png")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["XDG_CACHE_HOME"] = folder
        write_digits(Path("data/0-4"), range(5))
        write_digits(Path("data/5-9"), range(5, 10))
        run("first", FIRST)
        Path("data", BACKBONE).parent.mkdir()
        shutil.copy(next(Path("runs").rglob("best.safetensors")), Path("data", BACKBONE))
        run("transfer", SECOND)
        print(Path("reports/transfer/transfer.md").read_text(), end="")


def run(name: str, matrix: str) -> None:
    Path(f"{name}.yaml").write_text(matrix)
    with contextlib.redirect_stdout(io.StringIO()):
        code = runner.main([f"{name}.yaml", "--devices", "cpu"])
    if code:
        sys.exit(code)
