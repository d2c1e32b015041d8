"""Shared by all tests: a cache folder of their own, one thread, tiny settings."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from classifier.spec import DataSpec, TrainSpec


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_interrupts() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and children inherit
    that; the tests of Ctrl-C need it as a terminal has it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> TrainSpec:
    """A training of a second or two: 60 train, 20 val, 20 test images of 32 x 32."""
    return TrainSpec(
        data=DataSpec(name="digits", limit=10),
        model="mobilenetv2",
        image_size=32,
        batch_size=16,
        epochs=3,
        lr=1e-3,
        augment="AutoAugment",
        patience=0,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty data root."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
