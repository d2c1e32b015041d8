"""Shared by all tests: a cache folder of their own, one thread, tiny settings."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

# Read when torch is imported, by each program that a test starts too: a thread that waits for
# another one sleeps. Else it spins, on a core that another process of tests has a use for.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
import torch

from classifier.basics.console import show_log
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from experiments.execution.engines.child import probe


def pytest_configure(config: pytest.Config) -> None:
    """Each of pytest's processes has a folder of its own for what is temporary, where the locks on
    devices lie: a speed that one measures waits for the jobs of no other. And no example that
    hypothesis draws is too slow."""
    hypothesis.settings.register_profile("tests", deadline=None)
    hypothesis.settings.load_profile("tests")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        folder = Path(tempfile.gettempdir(), f"tests-{os.getppid()}-{worker}")
        folder.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The first process, whose name these folders have, ends last."""
    for folder in Path(tempfile.gettempdir()).glob(f"tests-{os.getpid()}-*"):
        shutil.rmtree(folder, ignore_errors=True)


LONGEST = ("ray", "runner", "onednn", "resume", "own_data", "watch", "changelog", "faults", "trial")
"""Files of tests, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with them, so that at the end no process of pytest's has one to do alone."""
    place = {f"test_{name}": index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _log_is_shown() -> None:
    """As the commands show it."""
    show_log()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_interrupts() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and children inherit
    that; the tests of Ctrl-C need it as a terminal has it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


MARK = "CLASSIFIER_ABLATIONS_TEST"


@pytest.fixture
def no_process_remains(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test starts is gone when it ends, its orphans too: all inherit a mark. The fork server
    that the tests share was started before, or is left alone with its tracker."""
    probe()
    mark = secrets.token_hex(8)
    monkeypatch.setenv(MARK, mark)
    yield
    end = time.monotonic() + 60  # a machine with much to do ends them slowly
    while left := [process for process in psutil.process_iter() if _is_marked(process, mark)]:
        assert time.monotonic() < end, f"left: {[str(process) for process in left]}"
        time.sleep(0.05)


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == mark
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


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
