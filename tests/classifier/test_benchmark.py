from __future__ import annotations

import torch

from classifier.config.spec import BenchmarkSpec
from classifier.inference import benchmark


def test_a_slow_device_ends_too() -> None:
    spec = BenchmarkSpec(model="mobilenetv2", classes=10, image_size=32, batch_size=2, seconds=1e-9)
    timing = benchmark.measure(spec, torch.device("cpu"))
    assert timing.warmup == 1
    assert len(timing.seconds) == benchmark.LEAST_ITERATIONS
    first, third = timing.quartiles
    assert 0 < first <= timing.median <= third


def test_a_fast_device_does_what_the_protocol_asks() -> None:
    spec = BenchmarkSpec(model="mobilenetv2", classes=10, image_size=8, batch_size=1, seconds=1000)
    done = []
    timing = benchmark.measure(spec, torch.device("cpu"), lambda *counts: done.append(counts))
    assert (timing.warmup, len(timing.seconds)) == (100, 300)
    assert done[-1] == (300, 300)
