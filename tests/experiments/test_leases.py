"""Leases: of several runners one has a job, and a dead one's are taken over."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from experiments.store.leases import Leases, held


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    with Leases(tmp_path) as first, Leases(tmp_path) as second:
        assert first.take("job") and not second.take("job")
        assert second.take("another")
        assert held(tmp_path) == {"another", "job"}
        first.release("job")
        assert second.take("job")
    assert not held(tmp_path), "given back at the end"
    assert not list((tmp_path / ".leases").iterdir())


def test_a_lease_lives_while_its_holder_touches_it(tmp_path: Path) -> None:
    with Leases(tmp_path, seconds=2) as first, Leases(tmp_path, seconds=2) as second:
        assert first.take("job")
        for _ in range(12):
            time.sleep(0.25)
            assert not second.take("job")


def test_one_that_is_not_touched_is_over_by_the_file_servers_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Leases(tmp_path, seconds=5) as first, Leases(tmp_path, seconds=5) as second:
        assert first.take("job")
        (lease,) = (tmp_path / ".leases").glob("job.*")
        monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock is wrong
        assert not second.take("job")
        os.utime(lease, (0, first.now() - 6))
        assert second.take("job")
        assert not first.take("job")
        assert [file.name for file in (tmp_path / ".leases").glob("job.*")] == ["job.000002"]
        first.release("job")
        assert not first.take("job"), "the old holder gives back its own generation only"


def _hold(root: Path) -> None:
    leases = Leases(root).__enter__()
    assert leases.take("job")
    (root / "held").touch()
    time.sleep(600)


def _try(root: Path, barrier: object, taken: object) -> None:
    with Leases(root) as leases:
        barrier.wait()  # type: ignore[attr-defined]
        for number in range(50):
            if leases.take(f"job{number}"):
                taken.put(number)  # type: ignore[attr-defined]
        barrier.wait()  # type: ignore[attr-defined]


def test_a_dead_holder_of_this_machine_is_seen_at_once(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    process.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with Leases(tmp_path) as leases:
        assert not leases.take("job")
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert leases.take("job")


def test_at_one_moment_one_of_four_processes_gets_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, taken = context.Barrier(4), context.SimpleQueue()
    runners = [context.Process(target=_try, args=(tmp_path, barrier, taken)) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
        assert runner.exitcode == 0
    numbers = []
    while not taken.empty():
        numbers.append(taken.get())
    assert sorted(numbers) == list(range(50))
