"""What makes it cheap, as ratios of two things measured in one run.

    python -m tests.benchmarks ratios

Prints a Markdown table. A figure is the median of several pairs, measured in turn, on one thread.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision import transforms
from torchvision.transforms.functional import resize

from classifier.basics.place import Place
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data.policies import (
    OPERATIONS,
    Operation,
    by_pillow,
    by_torchvision,
    torchvisions,
)
from classifier.data.spec import DataSpec
from classifier.data.transforms import Policy
from classifier.job import train
from classifier.models.network import build
from classifier.training.optimizer import make_optimizer
from classifier.training.step import Step
from classifier.tricks.ema import Ema
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import RDrop, TwoPasses
from experiments.execution import scheduler
from experiments.execution.engines import EngineOptions, child, local
from experiments.execution.worker import perform
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from reports.blocks import Grid
from reports.page.markdown import grid
from tests.experiments import fakes

Timed = Callable[[], object]


class Row(NamedTuple):
    """Two ways to one thing, tried in so many pairs. A call may do it several times."""

    what: str
    plain_name: str
    our_name: str
    plain: Timed
    ours: Timed
    pairs: int
    times: int = 1
    clock: Callable[[], float] = time.perf_counter


def measured(row: Row) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios plain / ours, after one of each."""
    times: list[tuple[float, float]] = []
    for _ in range(row.pairs + 1):
        seconds = []
        for timed in (row.plain, row.ours):
            start = row.clock()
            timed()
            seconds.append((row.clock() - start) / row.times)
        times.append((seconds[0], seconds[1]))
    first, second = zip(*times[1:], strict=True)
    ratio = statistics.median(a / b for a, b in times[1:])
    return statistics.median(first), statistics.median(second), ratio


def rdrop_step(passes: int) -> Timed:
    network = build("mobilenetv2", 200, seed=0).to(memory_format=torch.channels_last).train()
    off = torch.autocast("cpu", enabled=False)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimizer = make_optimizer(network, TrainSpec.model_fields["optimizer"].default, 1e-3)
    acts = [TwoPasses(RDrop(), passes)]
    step = Step(network, optimizer, CrossEntropy().make(), off, scaler, acts)
    images = torch.randn(16, 3, 128, 128).to(memory_format=torch.channels_last)
    labels = torch.arange(16)
    return lambda: step(images, labels)


def trainings(*each: tuple[Track, ...]) -> Timed:
    spec = TrainSpec(
        data=DataSpec(name="digits", limit=40),
        model="mobilenetv2",
        image_size=32,
        batch_size=32,
        epochs=3,
    )

    def run() -> None:
        for tracks in each:
            with tempfile.TemporaryDirectory() as folder:
                train(spec, Path(folder), Place(Path(folder)), tracks=tracks)

    return run


def photo() -> tuple[Timed, Timed]:
    """A JPEG of CUB's size: decoded and resized for every epoch, or copied from the cache."""
    folder = Path(tempfile.mkdtemp())
    file = folder / "photo.jpg"
    Image.fromarray(load_sample_image("china.jpg")).resize((500, 375)).save(file, quality=90)

    def decode() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        with Image.open(file) as image:
            return np.asarray(resize(image.convert("RGB"), 246))

    decoded = decode()
    (folder / "pixels").write_bytes(decoded.tobytes())
    kept = np.memmap(folder / "pixels", np.uint8, "r", shape=decoded.shape)
    return decode, lambda: np.array(kept)


def policies() -> list[Row]:
    """A photo of 224 x 224 from an array to an array: 300 draws of each policy, and the operations
    that are dearest in Pillow, at the magnitudes of TrivialAugmentWide where they have one; in
    seconds of the process's own, which what else runs on the machine moves less."""
    image = np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((320, 224)))
    image = np.ascontiguousarray(image[:, :224])

    def drawn(policy: Policy) -> Timed:
        def run() -> None:
            torch.manual_seed(0)
            for _ in range(300):
                policy(image)

        return run

    def at_levels(operation: Operation) -> Timed:
        def run() -> None:
            for level in torch.linspace(0, 0.99, 31).tolist():
                operation(image, level)
                operation(image, -level)

        return run

    rows, cpu = [], time.process_time
    for name in ("AutoAugment", "RandAugment", "TrivialAugmentWide"):
        made = getattr(transforms, name)()
        plain, ours = drawn(by_pillow(made)), drawn(torchvisions(made))
        rows.append(Row(f"{name} of an image", "Pillow", "arrays", plain, ours, 9, 300, cpu))
    for name in ("Sharpness", "Contrast", "Color", "Equalize", "AutoContrast"):
        plain, ours = at_levels(by_torchvision(name)), at_levels(OPERATIONS[name])
        rows.append(Row(f"{name} of an image", "Pillow", "arrays", plain, ours, 9, 62, cpu))
    return rows


def evaluations() -> tuple[Timed, Timed]:
    """Of one training on val and test, raw and averaged, with and without TTA: by a process each,
    or by one for all."""
    runs = Path(tempfile.mkdtemp())
    spec = TrainSpec(
        data=DataSpec(name="digits", limit=40), model="ghostnet", image_size=32, epochs=1
    )
    training = Job(spec, tracks=(RAW, Ema()), state="done")
    list(perform([training], Place(runs, runs=runs)))
    asked = [
        Job(EvaluateSpec.of(spec, track, split=split, tta=tta), needs=(training.id,))
        for track in training.tracks
        for split in ("val", "test")
        for tta in (False, True)
    ]
    options = EngineOptions(Place(runs, runs=runs), devices=("cpu",), jobs_per_device=1)

    def run(*jobs: Job) -> None:
        plan, engine = Plan((training, *jobs)), local.LocalEngine(options, perform)
        assert not scheduler.run(plan, engine, fakes.Watcher(), fakes.Alone()).lost

    def one_by_one() -> None:
        for job in asked:
            run(job)

    return one_by_one, lambda: run(*asked)


def fork() -> None:
    process = child.context().Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0


def fresh() -> None:
    code = f"import {child._PRELOAD}"
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> None:
    torch.set_num_threads(1)
    child.probe()
    decode, copy = photo()
    one_by_one, together = evaluations()
    ema = Ema()
    two, one = trainings((RAW,), (ema,)), trainings((RAW, ema))
    rows = [
        Row(
            "R-Drop's step on mobilenetv2",
            "two passes",
            "one trunk",
            rdrop_step(2),
            rdrop_step(1),
            7,
        ),
        Row("raw and EMA arms of one model", "two trainings", "one with two tracks", two, one, 3),
        Row(
            "an image in an epoch, before the crop", "decode and resize", "cache", decode, copy, 50
        ),
        *policies(),
        Row("eight evaluations of a training", "a process each", "one", one_by_one, together, 3),
        Row("starting a job", "a fresh interpreter", "fork", fresh, fork, 3),
    ]
    table = []
    for row in rows:
        first, second, ratio = measured(row)
        table.append(
            (
                row.what,
                f"{row.plain_name}: {_seconds(first)}",
                f"{row.our_name}: {_seconds(second)}",
                f"{ratio:.1f}x",
            )
        )
        print(f"{row.what}: {ratio:.1f}x", file=sys.stderr)
    print(grid(Grid(("", "plain", "here", "plain / here"), table)), end="")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.3g} ms"
