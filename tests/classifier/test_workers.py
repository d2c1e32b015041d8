"""How many loader processes a training has: found by its first steps; no result hangs on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import job
from classifier.basics.place import Place, Workers
from classifier.cli.main import _parser as commands
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data import workers
from classifier.data.datasets import listing
from classifier.data.workers import STEPS, WARM_UP, Batch, Finder, Pace, allowed, needed, workers_of
from classifier.training.trainer import train_loader
from experiments.cli.options import parser as options
from experiments.cli.options import run_options
from experiments.session.options import checked
from tests.classifier.test_training import images_of, result


@pytest.mark.parametrize(
    ("load", "host", "step", "most", "expected"),
    [
        (10, 5, 16, 7, 0),  # made while the device works
        (10, 6, 16, 7, 0),
        (10, 7, 16, 7, 1),  # Python is busy with the step itself
        (16, 1, 16, 7, 2),
        (80, 5, 20, 7, 5),
        (80, 5, 20, 3, 3),  # its share of cores
        (80, 5, 20, 0, 0),
        (1000, 1, 1, 15, 15),
    ],
)
def test_as_many_as_the_device_needs(
    load: float, host: float, step: float, most: int, expected: int
) -> None:
    assert needed(Pace(load, host, step), most) == expected


def test_with_so_many_the_device_waits_for_none() -> None:
    """They make batches at least as fast as the device takes them, and one fewer has no spare."""
    for load in range(1, 200, 7):
        for step in range(1, 100, 3):
            found = needed(Pace(load, step, step), 10**6)
            assert found / load >= 1 / step
            assert (found - 1) / load < 1.25 / step


def test_as_many_as_cores_and_shared_memory_allow() -> None:
    gib, batch = 2**30, 64 * 224 * 224 * 3
    assert allowed(8, 16 * gib, batch) == 7
    assert allowed(1, 16 * gib, batch) == 0
    assert allowed(8, 64 * 2**20, batch) == 0, "a container's 64 MiB hold no worker's batches"
    assert allowed(8, 256 * 2**20, batch) == 3
    assert allowed(8, float("inf"), batch) == 7


def test_on_cuda_it_is_found_and_elsewhere_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(given: Workers, device: str) -> int | Finder:
        return workers_of(Place(Path(), workers=given, threads=4), torch.device(device))

    assert Place(Path()).workers == "auto"
    assert of("auto", "cpu") == 0
    assert isinstance(of("auto", "cuda:0"), Finder)
    for device in ("cpu", "cuda:0"):
        assert of(3, device) == 3 and of(0, device) == 0
    monkeypatch.setattr("sys.platform", "win32")
    assert of("auto", "cuda:0") == 0


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passing(self, seconds: float) -> None:
        self.now += seconds


def test_it_is_found_by_the_median_of_steps_after_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    found = Finder(8, lambda: clock.passing(6.0), clock)

    def made() -> Iterator[Batch]:
        for _ in range(100):
            clock.passing(40.0)
            yield torch.zeros(2, 2, 2, 3, dtype=torch.uint8), torch.zeros(2)

    for step, _ in enumerate(found.watch(made())):
        clock.passing(600.0 if step < WARM_UP or step == WARM_UP + 2 else 4.0)
    assert step == WARM_UP + STEPS - 1
    assert found.workers == 5  # 1.25 * 40 s / 10 s
    assert (
        "loader processes: 5 (a batch takes 40.0000 s to make, 10.0000 s to train on; 8 cores)"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("count", [0, 2])
def test_the_batches_are_the_same_before_and_after_it_is_found(
    count: int, first: int, tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found after twelve steps: at the end of the third epoch of four, or inside the fourth."""
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "train")
    monkeypatch.setattr(workers, "needed", lambda pace, most: count)

    def seen(given: int | Finder) -> list[list[Any]]:
        loader = train_loader(tiny, cached, listed, given)
        epochs = []
        for epoch in range(5):
            batches = loader.epoch(epoch, first if epoch == 0 else 0)
            epochs.append([(images.tolist(), labels.tolist()) for images, labels in batches])
        assert loader._loader.num_workers == (count if isinstance(given, Finder) else 0)
        return epochs

    plain = seen(0)
    assert [len(epoch) for epoch in plain] == [4 - first, 4, 4, 4, 4]
    assert seen(Finder(4, lambda: None)) == plain


def test_a_training_that_finds_it_has_the_same_result(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tiny.model_copy(update={"batch_size": 8, "epochs": 2})

    def trained(name: str) -> Any:
        folder = tmp_path / name
        folder.mkdir()
        return result(job.train(spec, folder, Place(folder), tracks=(RAW,)), folder)

    whole, finder = trained("plain"), Finder(4, lambda: None)
    monkeypatch.setattr(workers, "needed", lambda pace, most: 1)
    monkeypatch.setattr(job, "workers_of", lambda place, device: finder)
    assert trained("found") == whole
    assert finder.workers == 1


def test_it_is_auto_unless_a_number_is_given() -> None:
    train = ["train", "--model_name", "ghostnet", "--save_path", "runs/mine"]
    for given, expected in (([], "auto"), (["--workers", "auto"], "auto"), (["--workers", "3"], 3)):
        assert commands().parse_args([*train, *given]).workers == expected
        parsed = options().parse_args(["m.yaml", *given])
        assert checked(**run_options(parsed)).workers == expected
