"""The local engine's real processes, with jobs that only say where they are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from classifier.basics import machine
from classifier.basics.errors import UserError
from classifier.basics.place import Place
from classifier.config.spec import BenchmarkSpec, EvaluateSpec
from experiments.execution import scheduler
from experiments.execution.engines import EngineOptions, Perform
from experiments.execution.engines.child import in_a_child, probe
from experiments.execution.engines.local import LocalEngine
from experiments.execution.scheduler import Summary
from experiments.plan.jobs import Estimate, Job
from experiments.store.store import Store
from tests.experiments import fakes

pytestmark = pytest.mark.usefixtures("no_process_remains")


def engine(
    runs: Path,
    devices: list[str],
    perform: Perform,
    jobs_per_device: int = 1,
    stall_minutes: float = 30.0,
) -> LocalEngine:
    runs.mkdir(exist_ok=True)
    options = EngineOptions(
        Place(runs, runs=runs),
        devices=tuple(devices),
        jobs_per_device=jobs_per_device,
        stall_minutes=stall_minutes,
    )
    return LocalEngine(options, perform)


def run(made: LocalEngine, watch: fakes.Watcher, *jobs: Job, **settings: Any) -> Summary:
    claims = fakes.Alone()
    outcome = scheduler.run(fakes.plan(*jobs), made, watch, claims, **settings)
    assert not claims.held, "all claims are given back"
    return outcome


def test_the_fork_server_is_fit_to_fork() -> None:
    assert probe().unsafe == "", "one thread, no CUDA, all imports"


def test_a_check_in_a_child_says_what_it_found(tmp_path: Path) -> None:
    in_a_child(fakes.check, tmp_path / "made")
    assert (tmp_path / "made").exists()
    with pytest.raises(UserError, match="is there already"):
        in_a_child(fakes.check, tmp_path / "made")
    with pytest.raises(UserError, match="failed: its process ended with exit code 7"):
        in_a_child(os._exit, 7)


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
    assert run(made, watch, *fakes.jobs(16)).lost == 0
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
    run(made, fakes.Watcher(), *fakes.jobs(4))
    noted = fakes.notes(tmp_path / "runs")
    cores = len(os.sched_getaffinity(0))
    assert {note["threads"] for note in noted} == {max(1, cores // 2)}
    assert {note["visible"] for note in noted} == {""}, "a CPU job sees no GPU"


def test_a_failure_costs_itself_and_what_needs_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.misbehave, jobs_per_device=2)
    trainings = fakes.jobs(5)
    evaluations = [
        Job(EvaluateSpec(training=job.spec, split="val"), needs=(job.id,))  # type: ignore[arg-type]
        for job in trainings
    ]
    watch = fakes.Watcher()
    outcome = run(made, watch, *trainings, *evaluations, retries=0)
    assert (outcome.failed, outcome.blocked, outcome.left) == (4, 4, 0)
    assert set(watch.order("finished")) == {trainings[0].id, evaluations[0].id}
    assert set(watch.order("failed")) == {job.id for job in trainings[1:]}
    assert set(watch.order("blocked")) == {job.id for job in evaluations[1:]}
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
        Job(job.spec, estimate=Estimate(gflop=float(cost)))
        for job, cost in zip(fakes.jobs(4), (1, 4, 2, 3), strict=True)
    ]
    speeds = [Job(BenchmarkSpec(model="ghostnet", classes=n)) for n in (2, 3)]
    watch = fakes.Watcher()
    assert run(made, watch, *speeds, *trainings).lost == 0
    expected = [trainings[index].id for index in (1, 3, 2, 0)]
    assert watch.order("started")[:4] == expected
    noted = {note["job"]: note for note in fakes.notes(tmp_path / "runs")}
    for speed in speeds:
        mine: Any = noted[speed.id]
        assert mine["threads"] == len(os.sched_getaffinity(0)), "all the machine's threads"
        for other in noted.values():
            alone: Any = other
            assert alone is mine or alone["end"] <= mine["start"] or mine["end"] <= alone["start"]


def test_ctrl_c_once_lets_trainings_keep_their_state(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.obey, jobs_per_device=2)
    jobs, watch = fakes.jobs(4), fakes.Watcher()
    fakes.press_ctrl_c(runs, once=2)
    outcome = run(made, watch, *jobs)
    assert outcome.interrupted and outcome.left == 4 and not outcome.lost
    assert sorted(watch.order("stopped")) == sorted(job.id for job in jobs[:2])
    assert len(list(runs.glob("stopped-*"))) == 2, "both came to their end"
    assert not Store(runs).read().failures, "what was stopped has not failed"


def test_ctrl_c_twice_ends_every_process_now(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.linger, jobs_per_device=2)
    fakes.press_ctrl_c(runs, once=2, times=2)
    assert run(made, fakes.Watcher(), *fakes.jobs(4)).interrupted
    pids = [int(str(note["pid"])) for note in fakes.notes(runs)]
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not Store(runs).read().failures, "what was stopped has not failed"


def test_a_job_that_dies_takes_its_children_along(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.leave_a_child)
    assert run(made, fakes.Watcher(), *fakes.jobs(1), retries=0).failed == 1
    assert is_gone(int((runs / "child").read_text()))


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_a_failure_is_tried_again_unless_it_would_repeat(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    jobs, watch = fakes.jobs(5), fakes.Watcher()
    outcome = run(engine(runs, ["cpu"], fakes.fail_at_first), watch, *jobs, retries=1)
    assert outcome.failed == 1
    assert watch.order("failed") == [jobs[2].id], "a bad setting stays one"
    assert watch.order("retried") == [jobs[1].id, jobs[3].id, jobs[4].id]
    again = fakes.Watcher()
    made = engine(tmp_path / "other", ["cpu"], fakes.misbehave)
    assert run(made, again, jobs[1], retries=2).failed == 1
    assert again.order("retried") == [jobs[1].id] * 2, "as often as is said"


def test_a_job_that_hangs_is_ended_and_shows_where(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made = engine(runs, ["cpu"], fakes.hang, stall_minutes=0.2)  # the child has begun by then
    watch = fakes.Watcher()
    (job,) = fakes.jobs(1)
    assert run(made, watch, job, retries=0).failed == 1
    assert watch.reasons[job.id].startswith("no progress for 0.2 ")
    assert is_gone(int((runs / "child").read_text()))
    assert "waits_for_what_never_comes" in Path(Store(runs).read().failures[job.id].log).read_text()


def test_a_segfault_is_a_failure_with_its_trace(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    watch = fakes.Watcher()
    (job,) = fakes.jobs(1)
    assert run(engine(runs, ["cpu"], fakes.segfault), watch, job, retries=0).failed == 1
    assert watch.reasons[job.id].startswith(
        f"its process was ended by SIGSEGV on {machine.cpu_device()}"
    )
    assert "string_at" in Path(Store(runs).read().failures[job.id].log).read_text()


def test_a_crash_names_the_kind_of_layer_and_what_to_try(tmp_path: Path) -> None:
    runs, watch, (job,) = tmp_path / "runs", fakes.Watcher(), fakes.jobs(1)
    made = engine(runs, ["cpu"], fakes.crash_in_a_layer)
    assert run(made, watch, job, retries=0).failed == 1
    crash = f"its process was ended by SIGSEGV in torch.nn.modules.conv on {machine.cpu_device()}"
    assert watch.reasons[job.id].startswith(crash)
    if machine.instructions_of(machine.cpu_device()).startswith("AVX"):
        assert "; ONEDNN_MAX_CPU_ISA=" in watch.reasons[job.id]


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    jobs, watch = fakes.jobs(5), fakes.Watcher()
    made = engine(tmp_path / "runs", ["cpu"], fakes.misbehave)
    outcome = run(made, watch, *jobs, retries=0, fail_fast=True)
    assert (outcome.failed, outcome.left, outcome.interrupted) == (1, 3, False)
    assert watch.order("started") == [jobs[0].id, jobs[1].id]


def test_a_benchmark_waits_for_another_runners_jobs(tmp_path: Path) -> None:
    """Two engines, as two runners have them, on one CPU."""
    runs = tmp_path / "runs"
    speed = Job(BenchmarkSpec(model="ghostnet", classes=2))
    first, second = (engine(runs, ["cpu"], fakes.note) for _ in range(2))
    watch = fakes.Watcher()
    other = threading.Thread(target=run, args=(first, fakes.Watcher(), *fakes.jobs(6)))
    other.start()
    while not fakes.notes(runs):
        time.sleep(0.01)
    assert run(second, watch, speed).lost == 0
    other.join()
    noted = fakes.notes(runs)
    (mine,) = [note for note in noted if note["job"] == speed.id]
    for note in noted:
        assert note is mine or note["end"] <= mine["start"] or mine["end"] <= note["start"]


def test_sets_of_names_have_one_order_in_every_job() -> None:
    """Else code that goes through one would differ between a training and its resumption."""
    with pytest.raises(UserError) as error:
        in_a_child(fakes.tell_hash, "name")
    seeded = {**os.environ, "PYTHONHASHSEED": "0"}
    told = subprocess.run(
        [sys.executable, "-c", "print(hash('name'))"], env=seeded, capture_output=True, text=True
    )
    assert str(error.value) == told.stdout.strip()
