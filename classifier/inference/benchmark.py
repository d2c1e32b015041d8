"""Speed of an architecture: batches a second at a batch size."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from classifier.basics.progress import OnCount, uncounted
from classifier.basics.randomness import generator
from classifier.config.spec import BenchmarkSpec
from classifier.models.network import build, fuse
from classifier.models.trunks import Wish

WARMUP, ITERATIONS = 100, 300
"""As many as the changelog's program did, where time allows."""
LEAST_ITERATIONS = 3


@dataclass(frozen=True)
class Timing:
    seconds: tuple[float, ...]
    """Of each timed batch."""
    warmup: int

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        first, third = np.percentile(self.seconds, [25, 75])
        return float(first), float(third)


def measure(
    spec: BenchmarkSpec,
    device: torch.device,
    progress: OnCount = uncounted,
) -> Timing:
    """Forward passes of random images in inference mode, the network fused where it can be.

    At most 100 warm-up passes, the first and those in a fifth of `spec.seconds`, then at most 300
    timed ones until the time is over (at least three). On CUDA each is timed between two events.
    """
    dtype = torch.float16 if spec.precision == "fp16" else torch.float32
    trunk = None if spec.own_model is None else spec.own_model.make
    wish = Wish(image_size=spec.image_size)
    network = fuse(build(spec.model, spec.classes, seed=0, wish=wish, trunk=trunk).eval())
    network = network.to(device, dtype).to(memory_format=torch.channels_last)
    shape = (spec.batch_size, 3, spec.image_size, spec.image_size)
    images = torch.randn(shape, generator=generator(0, "benchmark images"))
    images = images.to(device, dtype, memory_format=torch.channels_last)
    once = _cuda_pass if device.type == "cuda" else _cpu_pass

    with torch.inference_mode():
        once(network, images)  # loads a GPU's kernels, for seconds: no part of the time
        start, warmup = time.perf_counter(), 1
        while warmup < WARMUP and _since(start) < spec.seconds / 5:
            once(network, images)
            warmup += 1
        seconds: list[float] = []
        while len(seconds) < ITERATIONS and (
            len(seconds) < LEAST_ITERATIONS or _since(start) < spec.seconds
        ):
            seconds.append(once(network, images))
            progress(len(seconds), ITERATIONS)
    return Timing(tuple(seconds), warmup)


def _since(start: float) -> float:
    return time.perf_counter() - start


def _cpu_pass(network: torch.nn.Module, images: torch.Tensor) -> float:
    start = time.perf_counter()
    network(images)
    return _since(start)


def _cuda_pass(network: torch.nn.Module, images: torch.Tensor) -> float:
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record()
    network(images)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000
