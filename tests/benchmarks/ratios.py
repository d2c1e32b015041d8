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

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.functional import resize

from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data.spec import DataSpec
from classifier.job import train
from classifier.models.network import build
from classifier.training.optimizer import make_optimizer
from classifier.training.step import Step
from classifier.tricks.ema import Ema
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import RDrop, TwoPasses
from experiments.run.engines import local
from reports.blocks import Grid
from reports.page.markdown import grid

Timed = Callable[[], object]


def pairs(plain: Timed, ours: Timed, count: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios plain / ours, after one of each."""
    times: list[tuple[float, float]] = []
    for _ in range(count + 1):
        seconds = []
        for timed in (plain, ours):
            start = time.perf_counter()
            timed()
            seconds.append(time.perf_counter() - start)
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
    from sklearn.datasets import load_sample_image

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


def fork() -> None:
    process = local.context().Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0


def fresh() -> None:
    code = f"import {local._PRELOAD}"
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> None:
    torch.set_num_threads(1)
    local.probe()
    decode, copy = photo()
    ema = Ema()
    rows = [
        (
            "R-Drop's step on mobilenetv2",
            "two passes",
            "one trunk",
            rdrop_step(2),
            rdrop_step(1),
            7,
        ),
        (
            "raw and EMA arms of one model",
            "two trainings",
            "one with two tracks",
            trainings((RAW,), (ema,)),
            trainings((RAW, ema)),
            3,
        ),
        ("an image in an epoch, before the crop", "decode and resize", "cache", decode, copy, 50),
        ("starting a job", "a fresh interpreter", "fork", fresh, fork, 3),
    ]
    table = []
    for what, plain_name, our_name, plain, ours, count in rows:
        first, second, ratio = pairs(plain, ours, count)
        table.append(
            (
                what,
                f"{plain_name}: {_seconds(first)}",
                f"{our_name}: {_seconds(second)}",
                f"{ratio:.1f}x",
            )
        )
        print(f"{what}: {ratio:.1f}x", file=sys.stderr)
    print(grid(Grid(("", "plain", "here", "plain / here"), table)), end="")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.3g} ms"
