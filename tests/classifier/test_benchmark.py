from __future__ import annotations

from pathlib import Path
from statistics import median

import torch

from classifier import job
from classifier.basics.place import Place
from classifier.config.spec import BenchmarkSpec
from classifier.inference import benchmark
from classifier.records.record import BenchmarkRecord


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


def test_a_record_keeps_the_seconds_of_each_pass(tmp_path: Path) -> None:
    spec = BenchmarkSpec(model="mobilenetv2", classes=10, image_size=8, batch_size=1, seconds=1e-9)
    record = job.benchmark(spec, Place(tmp_path)).record
    assert record.seconds is not None
    assert len(record.seconds) == record.iterations
    assert record.fps == 1 / median(record.seconds)
    assert BenchmarkRecord.model_validate_json(record.model_dump_json()) == record
