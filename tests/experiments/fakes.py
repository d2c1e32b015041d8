"""Jobs that stand in for real ones where a test is about the engine, not about training."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial, wraps
from pathlib import Path
from typing import Any

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.records.record import Record
from experiments.execution import scheduler
from experiments.execution.engines import Ended, Heard, Perform, Slot
from experiments.execution.scheduler import Claim
from experiments.plan.bundles import Bundle
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan


def jobs(count: int) -> list[Job]:
    data = DataSpec(name="digits")
    return [Job(TrainSpec(data=data, model="ghostnet", seed=seed)) for seed in range(count)]


def plan(*made: Job) -> Plan:
    return Plan(tuple(made))


def one_by_one(do: Callable[[Job, Place], list[Record]]) -> Perform:
    """What an engine performs, from what is done for one job."""

    @wraps(do)
    def perform(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
        for job in jobs:
            yield job, do(job, place)

    return perform


@one_by_one
def nothing(job: Job, place: Place) -> list[Record]:
    """No work at all."""
    return []


def noted(job: Job, place: Place) -> list[Record]:
    """Write down where and when this ran."""
    start = time.monotonic()
    place.report(Progress("noting", 1, 2))
    time.sleep(0.15)
    line = {
        "job": job.id,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "warm": "torch" in sys.modules and "classifier.job" in sys.modules,
        "node": os.environ.get("RAY_RAYLET_PID"),
        "visible": os.environ["CUDA_VISIBLE_DEVICES"],
        "device": place.device,
        "threads": place.threads,
        "start": start,
        "end": time.monotonic(),
    }
    with (place.runs / "notes").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return []


@one_by_one
def note(job: Job, place: Place) -> list[Record]:
    return noted(job, place)


def notes(runs: Path) -> list[dict[str, Any]]:
    file = runs / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def press_ctrl_c(runs: Path, once: int, times: int = 1) -> None:
    """When so many jobs have begun; again after what a user waits to see whether it helped."""

    def press() -> None:
        while len(notes(runs)) < once:
            time.sleep(0.02)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.8)

    threading.Thread(target=press, daemon=True).start()


def misbehaved(job: Job, place: Place) -> list[Record]:
    """The job's seed says how: 0 works, 1 raises, 2 is the user's mistake, 3 dies, 4 exits."""
    assert job.spec.trained is not None
    seed = job.spec.trained.seed
    print("this is printed by the job")
    if seed == 1:
        raise ZeroDivisionError("one by zero")
    if seed == 2:
        raise UserError("set lr lower")
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 4:
        os._exit(7)
    return noted(job, place)


@one_by_one
def misbehave(job: Job, place: Place) -> list[Record]:
    return misbehaved(job, place)


@one_by_one
def linger(job: Job, place: Place) -> list[Record]:
    """Run until ended."""
    noted(job, place)
    time.sleep(600)
    return []


def check(file: Path) -> None:
    if file.exists():
        raise UserError(f"{file} is there already")
    file.touch()


def tell_hash(text: str) -> None:
    raise UserError(str(hash(text)))


@one_by_one
def leave_a_child(job: Job, place: Place) -> list[Record]:
    """Die by a signal with a child still running."""
    child = subprocess.Popen(["sleep", "600"])
    (place.runs / "child").write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@one_by_one
def fail_at_first(job: Job, place: Place) -> list[Record]:
    """The first attempt fails as the job's seed says, the second works."""
    first = place.runs / f"first-{job.id}"
    if not first.exists():
        first.touch()
        return misbehaved(job, place)
    return noted(job, place)


@one_by_one
def hang(job: Job, place: Place) -> list[Record]:
    """Make some progress, then none, with a child that hangs too."""
    noted(job, place)
    child = subprocess.Popen(["sleep", "600"])
    (place.runs / "child").write_text(str(child.pid))
    waits_for_what_never_comes()
    return []


def waits_for_what_never_comes() -> None:
    threading.Event().wait(600)


@one_by_one
def obey(job: Job, place: Place) -> list[Record]:
    """Run until asked to stop, and take a moment to do so."""
    noted(job, place)
    while not place.stop():
        time.sleep(0.01)
    time.sleep(0.3)
    (place.runs / f"stopped-{job.id}").touch()
    raise StoppedError


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.05)


@one_by_one
def wait_for_go(job: Job, place: Place) -> list[Record]:
    """Run until the test says so."""
    noted(job, place)
    while not (place.runs / "go").exists():
        time.sleep(0.02)
    return []


@one_by_one
def segfault(job: Job, place: Place) -> list[Record]:
    """Read where there is nothing."""
    ctypes.string_at(0)
    return []


@one_by_one
def crash_in_a_layer(job: Job, place: Place) -> list[Record]:
    """As where torch computes a layer wrongly."""
    import torch

    torch.nn.functional.conv2d = lambda *arguments: ctypes.string_at(0)  # type: ignore[assignment]
    torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))(torch.zeros(1, 3, 8, 8))
    return []


@one_by_one
def as_told(job: Job, place: Place) -> list[Record]:
    """Write down where this ran, then do once what the test wrote down (`tell`)."""
    noted(job, place)
    told = place.runs / f"told-{job.id}"
    if not told.exists():
        return []
    how = told.read_text()
    if how != "linger":
        told.unlink()
    if how == "raise":
        raise ZeroDivisionError("one by zero")
    if how == "refuse":
        raise UserError("set lr lower")
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
    return []


def tell(runs: Path, job: Job, how: str) -> None:
    runs.mkdir(exist_ok=True)
    (runs / f"told-{job.id}").write_text(how)


def as_one(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """Of jobs that are one the last ends first, and, once the test says so, the others fail; a job
    alone is done."""
    yield jobs[-1], noted(jobs[-1], place)
    while jobs[1:] and not (place.runs / "go").exists():
        time.sleep(0.02)
    if jobs[1:]:
        raise ZeroDivisionError("one by zero")


class Alone:
    """Claims where no other runner is: all is mine."""

    def __init__(self) -> None:
        self.held: set[str] = set()

    def take(self, bundle: Bundle) -> Mapping[str, Claim]:
        assert bundle.id not in self.held
        self.held.add(bundle.id)
        return {job.id: Claim("mine") for job in bundle.jobs}

    def keep(self, bundle: Bundle) -> None:
        assert bundle.id in self.held

    def give_back(self, bundle: Bundle) -> None:
        self.held.remove(bundle.id)


class Timed:
    """An engine whose jobs take so many seconds by a clock that it moves itself."""

    def __init__(self, seconds: Mapping[str, float], slots: Sequence[Slot]) -> None:
        """`seconds`: of each job by its id."""
        self.slots, self.starts, self.ends = slots, dict[str, float](), dict[str, float]()
        """When each bundle started, and each job ended."""
        self._seconds, self._now = seconds, 0.0
        self._events: list[tuple[float, Callable[[], None]]] = []

    def submit(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> Future[None]:
        future: Future[None] = Future()
        self.starts[bundle.id] = end = self._now
        for after, job in bundle.ends(self._seconds):
            self.ends[job] = end = self._now + after
            self._events.append((end, partial(heard, Ended(job, []))))
        self._events.append((end, partial(future.set_result, None)))
        return future

    def run(self, made: Plan) -> None:
        """All that the plan has to do, by the scheduler's own loop."""
        loop = scheduler._Loop(made, self, Watcher(), Alone(), 0, False)  # type: ignore[arg-type]
        while loop.is_unfinished:
            loop.start()
            self._now = min((when for when, _ in self._events), default=self._now)
            for _, happens in (each for each in self._events if each[0] == self._now):
                happens()
            self._events = [each for each in self._events if each[0] > self._now]
            loop.wait()


class Watcher:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.reasons: dict[str, str] = {}
        self.progress: list[Progress] = []

    def started(self, job: Job, slots: Sequence[Slot]) -> None:
        self.events.append(("started", job.id))

    def progressed(self, job: Job, progress: Progress) -> None:
        self.progress.append(progress)

    def finished(self, job: Job, records: list[Record]) -> None:
        self.events.append(("finished", job.id))

    def found(self, job: Job) -> None:
        self.events.append(("found", job.id))

    def retried(self, job: Job, reason: str) -> None:
        self.events.append(("retried", job.id))
        self.reasons[job.id] = reason

    def stopped(self, job: Job) -> None:
        self.events.append(("stopped", job.id))

    def interrupted(self, why: str) -> None:
        self.events.append(("interrupted", why))

    def failed(self, job: Job, reason: str) -> None:
        self.events.append(("failed", job.id))
        self.reasons[job.id] = reason

    def blocked(self, job: Job, reason: str) -> None:
        self.events.append(("blocked", job.id))
        self.reasons[job.id] = reason

    def order(self, event: str) -> list[str]:
        return [job for name, job in self.events if name == event]
