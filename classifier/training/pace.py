"""How fast a machine is at the two things that a training waits for: images and steps."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import resize

from classifier.basics.randomness import generator
from classifier.models.network import build, prepare_for_gradients

WIDTH, HEIGHT = 500, 375
"""Of a photograph as ImageNet has them."""
SIDE = 224


def decoding(seconds: float = 0.5) -> float:
    """Images a second and core: a JPEG of 500 x 375 pixels, decoded and resized to 224."""
    rows = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))
    grain = np.random.default_rng(0).integers(0, 32, (HEIGHT, WIDTH, 3))
    file = io.BytesIO()
    Image.fromarray(((rows[..., None] + grain) % 256).astype(np.uint8)).save(file, "JPEG")

    def once() -> None:
        with Image.open(io.BytesIO(file.getvalue())) as image:
            resize(image.convert("RGB"), SIDE)

    return 1 / _median(once, seconds)


def training(device: torch.device, images: int, seconds: float = 2.0) -> float:
    """Images a second of a step of mobilenetv2 at 224 pixels in float32, forward and backward and
    the optimiser's, with batches of so many."""
    network = prepare_for_gradients(build("mobilenetv2", 10, seed=0), device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    batch = torch.randn(images, 3, SIDE, SIDE, generator=generator(0, "images"))
    batch = batch.to(device, memory_format=torch.channels_last)
    labels = torch.arange(images, device=device) % 10

    def once() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return images / _median(once, seconds)


def _median(once: Callable[[], None], seconds: float) -> float:
    """Seconds of one call, after a first one that is not timed; at least two are."""
    once()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        once()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
