"""Faults injected for real: what they cost, and that the tables are those of an undisturbed run."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import runner
from classifier.basics.files import digest
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.config.spec import TrainSpec
from classifier.data.cache import pixels
from classifier.data.datasets import listing
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS
from classifier.records.record import Record
from experiments.execution import worker
from experiments.execution.engines import Perform
from experiments.plan.jobs import Job
from tests.disks import resize, small_disk

pytestmark = pytest.mark.usefixtures("no_process_remains")

MATRIX = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 12, epochs: 3, lr: 5e-3}
matrix:
  augment: [false, AutoAugment]
  ema: [false, {decay: 0.9, tau: 5}]
tables:
  small:
    rows: augment
    columns:
      - {header: val, split: val, where: {ema: false}}
      - {header: "test(ema)", split: test, where: {ema: {decay: 0.9, tau: 5}}}
      - {header: "val(train stage)", stage: train, where: {ema: false}}
"""
Results = tuple[str, dict[str, str]]
Stop = Callable[[], bool]
ONE_AT_A_TIME = ["m.yaml", "--jobs-per-device", "1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of a run to which nothing happened."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("m.yaml").write_text(MATRIX)
        assert runner.main(ONE_AT_A_TIME) == 0
        return results()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MATRIX)
    return tmp_path


def results() -> Results:
    """The table, and what each checkpoint and each prediction hashes to."""
    files = [*Path("runs").rglob("best.safetensors"), *Path("runs").rglob("predictions.npz")]
    return Path("reports/m/small.md").read_text(), {str(file): digest(file) for file in files}


# Faults of a job's process, in the place of worker.perform: each strikes once -------------------


def struck(place: Place, job: Job) -> bool:
    """Whether this job was struck already; from now on it was."""
    mark = place.runs.parent / f"struck-{job.id}"
    if mark.exists():
        return True
    mark.touch()
    return False


Ended = Iterator[tuple[Job, list[Record]]]


def at_a_step(jobs: Sequence[Job], place: Place, strike: Callable[[], object]) -> Place:
    """Strikes in the middle of the second epoch of a training that was not struck before."""
    if not isinstance(jobs[0].spec, TrainSpec) or struck(place, jobs[0]):
        return place

    def watched(progress: Progress) -> None:
        place.report(progress)
        if progress.done == 7:
            strike()

    return replace(place, report=watched)


def killed(jobs: Sequence[Job], place: Place) -> Ended:
    place = at_a_step(jobs, place, lambda: os.kill(os.getpid(), signal.SIGKILL))
    return worker.perform(jobs, place)


def crashing(jobs: Sequence[Job], place: Place) -> Ended:
    place = at_a_step(jobs, place, lambda: ctypes.string_at(0))
    return worker.perform(jobs, place)


def raising(jobs: Sequence[Job], place: Place) -> Ended:
    place = at_a_step(jobs, place, lambda: 1 / 0)
    return worker.perform(jobs, place)


def hanging(jobs: Sequence[Job], place: Place) -> Ended:
    def pause() -> None:
        while True:  # a pause ends with any signal, as that for which a job shows its stacks
            signal.pause()

    return worker.perform(jobs, at_a_step(jobs, place, pause))


BIG = [
    "--set=train.image_size=224",
    "--set=train.batch_size=60",
    "--set=train.epochs=1",
    "--set=train.augment=false",
]


def starved(jobs: Sequence[Job], place: Place) -> Ended:
    """Once, with little more memory than it has."""
    if isinstance(jobs[0].spec, TrainSpec) and not struck(place, jobs[0]):
        most = psutil.Process().memory_info().vms + 100 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return worker.perform(jobs, place)


SHOWN: dict[Perform, str] = {
    killed: "ended by SIGKILL",
    crashing: "ended by SIGSEGV",
    raising: "ZeroDivisionError: division by zero",
    hanging: "no progress for 0.2 min",
}


@pytest.mark.parametrize("fault", SHOWN, ids=lambda fault: fault.__name__)
def test_a_job_that_is_struck_once_is_done_again(
    fault: Perform,
    here: Path,
    undisturbed: Results,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(worker, "perform", fault)
    # Longer than a start takes beside other tests; another fault needs none.
    patience = "0.2" if fault is hanging else "5"
    often = ["--stall-minutes", patience, "--checkpoint-minutes", "0.01", "--retries", "3"]
    assert runner.main([*ONE_AT_A_TIME, *often]) == 0
    out = capsys.readouterr().out
    assert out.count(" on cpu (second try)\n") == out.count("it is tried again") == 2
    assert SHOWN[fault] in out
    assert results() == undisturbed


def test_memory_that_runs_out_is_explained(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = DataSpec(name="digits", limit=10)
    listed, contents = listing(data, here), data.source.fingerprint(here)
    for part in PARTS:  # decoded before, by threads that would take what is left
        pixels(data, here, listed, part, 246 if part == "train" else 224, contents)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "perform", starved)
        assert runner.main([*ONE_AT_A_TIME, *BIG]) == 1
    out = capsys.readouterr().out
    assert "out of memory on this machine, at a peak of" in out and "Set 'micro_batch'" in out
    assert "tried again" not in out, "it would run out again"
    assert "failed" in out
    assert runner.main([*ONE_AT_A_TIME, *BIG]) == 0
    assert "failed" not in capsys.readouterr().out


def test_a_full_disk_damages_nothing(
    here: Path, undisturbed: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    """Room for what the first training leaves, and not for what the second needs."""
    with small_disk(here / "runs", "300m") as disk:
        assert runner.main([*ONE_AT_A_TIME, "--set", "train.augment=false"]) == 0
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 30 * 2**20))
        capsys.readouterr()
        assert runner.main(ONE_AT_A_TIME) == 1
        out = capsys.readouterr().out
        assert f"no space for {here}/runs/.states/mobilenetv2-s0-" in out
        assert "MiB are needed and" in out
        assert runner.main([*ONE_AT_A_TIME, "--report"]) in (0, 3), "every record is whole"
        resize(disk, "800m")
        assert runner.main(ONE_AT_A_TIME) == 0
        assert results() == undisturbed
