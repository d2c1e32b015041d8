"""What sharing saves: a matrix against the commands that it stands for, one after the other.

    python -m tests.benchmarks sharing

Prints a Markdown table. The changelog's EMA list (four models with and without an average, each
tried on val and test) on the 1,797 digits at 32 px for two epochs: `runner.py`, timed before and
after them, and `python -m classifier train` and `metrics`, 24 commands. And what differs in
`epochs`, `best` and `patience` only: one training, and one for each. About 9 minutes on two cores.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from classifier.basics.place import Place
from classifier.config.family import Member
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from classifier.job import train, train_together
from reports.blocks import Grid
from reports.page.markdown import grid

ROOT = Path(__file__).parents[2]
EPOCHS = 2
FLAGS = f"--epoch {EPOCHS} --image_size 32 --batch_size 64 --lr 1e-4 --Augment AutoAugment --warmup"
PARTS = {"train": 0.6, "val": 0.2, "test": 0.2}
LENGTHS = (1, 2, 3, 5)
"""Of the trainings that differ in how they look, as 30, 60, 90 and 150 epochs do."""
_MATRIX = [str(ROOT / "runner.py"), "ema.yaml", "--data-root", "."]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _digits(folder / "dataset")
        models = _matrix(folder / "ema.yaml")
        # What is done once on a machine is neither's: the list of the libraries' models.
        _run([*_MATRIX, "--plan"], name)
        lines = _commands(models)
        before = _seconds([_MATRIX], name)
        each = _seconds([["-m", "classifier", *line] for line in lines], name)
        # Before and after them, for the commands take minutes, in which a machine may change.
        shutil.rmtree(folder / "runs")
        shutil.rmtree(folder / "reports")
        after = _seconds([_MATRIX], name)
    one = (before + after) / 2
    alone = f"{len(lines)} commands: {each:.0f} s"
    together = f"one matrix: {one:.0f} s ({before:.0f}, {after:.0f})"
    rows = [("the changelog's EMA list", alone, together, f"{each / one:.1f}x"), _looks()]
    print(grid(Grid(("", "each alone", "together", "alone / together"), rows)), end="")


def _seconds(commands: list[list[str]], folder: str) -> float:
    start = time.perf_counter()
    for command in commands:
        _run(command, folder)
    return time.perf_counter() - start


def _run(arguments: list[str], folder: str) -> None:
    """In a process of its own, in the folder, with the project's modules."""
    command = [sys.executable, *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": folder}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")


def _digits(folder: Path) -> None:
    """The digits as a folder of parts and classes, in the same order for each class."""
    digits = load_digits()
    for label in range(10):
        images = digits.images[digits.target == label]
        ends = np.cumsum([round(share * len(images)) for share in PARTS.values()])
        for part, found in zip(PARTS, np.split(images, ends)[: len(PARTS)], strict=True):
            (folder / part / str(label)).mkdir(parents=True)
            for index, image in enumerate(found):
                pixels = (image * 255 / 16).round().astype(np.uint8)
                file = folder / part / str(label) / f"{index:03d}.png"
                Image.fromarray(pixels).convert("RGB").save(file)


def _matrix(file: Path) -> list[str]:
    """The changelog's matrix on these data; its models."""
    matrix = yaml.safe_load((ROOT / "experiments/ema.yaml").read_text())
    settings = {"image_size": 32, "batch_size": 64, "epochs": EPOCHS, "pretrained": False}
    matrix["data"] = {"folder": "dataset", "split": "given"}
    matrix["train"] |= settings | {"normalize": "dataset", "amp": False}
    del matrix["tables"]["ema"]["published"]
    file.write_text(yaml.safe_dump(matrix))
    models: list[str] = matrix["matrix"]["model"]
    return models


def _commands(models: list[str]) -> list[list[str]]:
    found = []
    for model, ema in itertools.product(models, (False, True)):
        run = f"runs/alone-{model}{'-ema' if ema else ''}"
        flags = [*FLAGS.split(), *(["--ema"] if ema else [])]
        found.append(["train", "--model_name", model, "--save_path", run, *flags])
        found += [["metrics", "--task", part, "--save_path", run] for part in ("val", "test")]
    return found


def _looks() -> tuple[str, str, str, str]:
    """In one process on one thread, so that only what is computed counts."""
    torch.set_num_threads(1)
    base = {
        "data": DataSpec(name="digits", limit=60),
        "model": "mobilenetv2",
        "image_size": 32,
        "augment": "AutoAugment",
    }
    specs = [
        TrainSpec.model_validate(base | {"epochs": epochs, "best": best, "patience": patience})
        for epochs, best, patience in itertools.product(LENGTHS, ("accuracy", "loss"), (0, 4))
    ]
    members = [Member(spec, (RAW,)) for spec in specs]

    def alone(folder: Path) -> int:
        outcomes = [train(spec, folder / spec.signature, Place(folder))[0] for spec in specs]
        return sum(len(outcome.record.history) for outcome in outcomes)

    def together(folder: Path) -> int:
        at = train_together(
            members, Place(folder), lambda spec: folder / spec.signature, states_in=folder
        )
        return max(len(outcome.record.history) for outcome in at)

    taken = []
    for how in (together, alone):
        with tempfile.TemporaryDirectory() as name:
            start = time.perf_counter()
            epochs = how(Path(name))
            taken.append((epochs, time.perf_counter() - start))
    (few, short), (many, long) = taken
    what = f"{len(specs)} that differ in epochs, best and patience"
    return (
        what,
        f"{many} epochs: {long:.0f} s",
        f"{few} epochs: {short:.0f} s",
        f"{long / short:.1f}x ({many / few:.1f}x the epochs)",
    )
