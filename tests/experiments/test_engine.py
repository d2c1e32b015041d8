"""The local engine's real processes, with jobs that only say where they are."""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from classifier.spec import BenchmarkSpec, EvaluateSpec
from experiments import scheduler
from experiments.engines.local import LocalEngine, Perform, probe
from experiments.plan import Cost, Job
from experiments.store import Store
from experiments.worker import Settings
from tests.experiments import fakes


def engine(
    runs: Path, devices: list[str], perform: Perform, jobs_per_device: int = 1
) -> LocalEngine:
    runs.mkdir(exist_ok=True)
    return LocalEngine(devices, jobs_per_device, Settings(runs, runs, 0), perform)


def test_the_fork_server_is_fit_to_fork() -> None:
    assert probe().forks, "one thread, no CUDA, all imports"


@pytest.mark.parametrize("outer", [None, "7,5,3,1"])
def test_no_two_jobs_share_a_device_and_all_work(
    outer: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four declared devices, as each job's CUDA_VISIBLE_DEVICES shows them."""
    if outer is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", outer)
    made = engine(tmp_path / "runs", ["0", "1", "2", "3"], fakes.note)
    watch = fakes.Watcher()
    assert scheduler.run(fakes.plan(*fakes.jobs(16)), made, watch) == 0
    made.stop()
    noted = fakes.notes(tmp_path / "runs")
    assert len(noted) == len({note["pid"] for note in noted}) == 16, "a process a job"
    by_device: dict[Any, list[Any]] = defaultdict(list)
    for note in noted:
        by_device[note["visible"]].append((note["start"], note["end"]))
    assert set(by_device) == set((outer or "0,1,2,3").split(","))
    for spans in by_device.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    overlaps = sum(
        a["start"] < b["end"] and b["start"] < a["end"] for a in noted for b in noted if a is not b
    )
    assert overlaps, "devices work at the same time"
    assert {note["device"] for note in noted} == {"cuda:0"}, "each job sees one device"
    assert watch.progress


def test_jobs_per_device_share_the_threads(tmp_path: Path) -> None:
    made = engine(tmp_path / "runs", ["cpu"], fakes.note, jobs_per_device=2)
    scheduler.run(fakes.plan(*fakes.jobs(4)), made, fakes.Watcher())
    made.stop()
    noted = fakes.notes(tmp_path / "runs")
    cores = len(os.sched_getaffinity(0))
    assert {note["threads"] for note in noted} == {max(1, cores // 2)}
    assert {note["visible"] for note in noted} == {""}, "a CPU job sees no GPU"


def test_a_failure_costs_itself_and_what_needs_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.misbehave, jobs_per_device=2)
    trainings = fakes.jobs(5)
    evaluations = [
        Job(EvaluateSpec(training=job.id, split="val"), job.spec, needs=(job.id,))  # type: ignore[arg-type]
        for job in trainings
    ]
    watch = fakes.Watcher()
    lost = scheduler.run(fakes.plan(*trainings, *evaluations), made, watch)
    made.stop()
    assert lost == 8
    assert set(watch.order("finished")) == {trainings[0].id, evaluations[0].id}
    assert set(watch.order("failed")) == {job.id for job in trainings[1:]}
    assert set(watch.order("skipped")) == {job.id for job in evaluations[1:]}
    reasons = [watch.reasons[job.id] for job in trainings[1:]]
    assert reasons[0] == "ZeroDivisionError: one by zero"
    assert reasons[1] == "set lr lower"
    assert reasons[2].startswith("its process was ended by SIGKILL")
    assert reasons[3] == "its process ended with exit code 7 and no result"
    failures = Store(runs).read().failures
    assert set(failures) == {job.id for job in trainings[1:]}
    log = Path(failures[trainings[1].id].log).read_text()
    assert "this is printed by the job" in log and "Traceback" in log
    assert "Traceback" not in Path(failures[trainings[2].id].log).read_text(), "a user's mistake"


def test_longest_first_and_benchmarks_alone_at_the_end(tmp_path: Path) -> None:
    made = engine(tmp_path / "runs", ["cpu"], fakes.note, jobs_per_device=2)
    trainings = [
        Job(job.spec, None, cost=Cost(gflop=float(cost)))
        for job, cost in zip(fakes.jobs(4), (1, 4, 2, 3), strict=True)
    ]
    speeds = [Job(BenchmarkSpec(model="ghostnet", classes=n), None) for n in (2, 3)]
    watch = fakes.Watcher()
    assert scheduler.run(fakes.plan(*speeds, *trainings), made, watch) == 0
    made.stop()
    expected = [trainings[index].id for index in (1, 3, 2, 0)]
    assert watch.order("started")[:4] == expected
    noted = {note["job"]: note for note in fakes.notes(tmp_path / "runs")}
    for speed in speeds:
        mine: Any = noted[speed.id]
        assert mine["threads"] == len(os.sched_getaffinity(0)), "all the machine's threads"
        for other in noted.values():
            alone: Any = other
            assert alone is mine or alone["end"] <= mine["start"] or mine["end"] <= alone["start"]


def test_ctrl_c_ends_every_process(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.linger, jobs_per_device=2)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        scheduler.run(fakes.plan(*fakes.jobs(4)), made, fakes.Watcher())
    pids = [int(str(note["pid"])) for note in fakes.notes(runs)]
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not Store(runs).read().failures, "what was stopped has not failed"


def test_a_job_that_dies_takes_its_children_along(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.leave_a_child)
    watch = fakes.Watcher()
    assert scheduler.run(fakes.plan(*fakes.jobs(1)), made, watch) == 1
    made.stop()
    child = int((runs / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
