"""Plan -> records. The only loop that waits; it knows no training."""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Literal, Protocol

from classifier.basics import interruptions
from classifier.basics.progress import Progress
from classifier.records.record import Record
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.run.engines import Engine, JobFailed, JobStopped, OnProgress, Slot

LOOK_SECONDS = 0.25
"""How often the loop looks whether it was interrupted."""
ASK_SECONDS = 2.0
"""How often it asks for a job that another runner has."""


@dataclass(frozen=True)
class Claim:
    """Whether a job may be started; see `claims.Claims.take`."""

    state: Literal["mine", "elsewhere", "done", "failed"]
    reason: str = ""


class Claimant(Protocol):
    def take(self, job: Job) -> Claim: ...
    def give_back(self, job: Job) -> None: ...


class Watch(Protocol):
    """Who looks on: the live view, or a test."""

    def started(self, job: Job, slots: Sequence[Slot]) -> None: ...
    def progressed(self, job: Job, progress: Progress) -> None: ...
    def finished(self, job: Job, records: list[Record]) -> None: ...
    def found(self, job: Job) -> None:
        """Another runner has done it."""

    def retried(self, job: Job, reason: str) -> None: ...
    def failed(self, job: Job, reason: str) -> None: ...
    def blocked(self, job: Job, reason: str) -> None: ...
    def stopped(self, job: Job) -> None: ...
    def interrupted(self, why: str) -> None:
        """The running jobs are asked to keep their state and stop."""


@dataclass
class Summary:
    """What became of the jobs that were to be done."""

    failed: int = 0
    blocked: int = 0
    twice: int = 0
    """Done here and by another runner, which had taken it over."""
    left: int = 0
    interrupted: bool = False

    @property
    def lost(self) -> int:
        return self.failed + self.blocked

    def lines(self, todo: int) -> list[str]:
        """What the user must know of it. `todo`: how many jobs there were to do."""
        said = []
        if self.lost:
            blocked = f", {self.blocked} blocked: what they need failed" if self.blocked else ""
            said.append(f"{self.failed} of {todo} jobs failed{blocked}")
        if self.left:
            said.append(f"{self.left} of {todo} jobs were not begun or not finished")
        if self.twice:
            said.append(
                f"{self.twice} jobs were done by another runner as well, which had seen no sign of "
                "life from this one"
            )
        return said


def run(
    plan: Plan,
    engine: Engine,
    watch: Watch,
    claims: Claimant,
    *,
    retries: int = 1,
    fail_fast: bool = False,
) -> Summary:
    """Do all that is not done, longest first.

    A job starts when what it needs is done and a slot is free. A benchmark needs its device to
    itself (the whole machine, where that device is the CPU), so benchmarks come last. A job that
    fails is tried again, unless that would change nothing; then it costs the jobs that need it, and
    no other. Ctrl-C once lets the running jobs keep their state and stop, twice ends them.
    """
    loop = _Loop(plan, engine, watch, claims, retries, fail_fast)
    try:
        with interruptions.counted(most=2) as pressed:
            while loop.is_unfinished:
                if pressed():
                    loop.stop("interrupted")
                    loop.summary.interrupted = True
                if pressed() > 1:
                    break
                loop.start()
                loop.wait()
    finally:
        engine.stop()
        loop.give_back()
    loop.summary.left = loop.left
    return loop.summary


class _Loop:
    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        watch: Watch,
        claims: Claimant,
        retries: int,
        fail_fast: bool,
    ) -> None:
        self._engine, self._watch, self._claims = engine, watch, claims
        self._retries, self._fail_fast = retries, fail_fast
        self.summary = Summary()
        self._stopping = False
        todo = plan.todo
        self.left = len(todo)
        done = {job.id for job in plan.jobs} - {job.id for job in todo}
        self._needs = {job.id: set(job.needs) - done for job in todo}
        self._dependents: dict[str, list[Job]] = {}
        for job in todo:
            for need in self._needs[job.id]:
                self._dependents.setdefault(need, []).append(job)
        ranked = enumerate(sorted(todo, key=urgency))
        self._rank = {job.id: rank for rank, job in ranked}
        self._ready = [(self._rank[job.id], job) for job in todo if not self._needs[job.id]]
        heapq.heapify(self._ready)
        self._before_benchmarks = sum(not job.is_speed for job in todo)
        self._elsewhere: list[Job] = []
        self._asked = time.monotonic()
        self._running: dict[Future[list[Record]], tuple[Job, list[Slot]]] = {}
        self._free = list(engine.slots)
        self._failures: Counter[str] = Counter()

    @property
    def is_unfinished(self) -> bool:
        if self._stopping:
            return bool(self._running)
        return bool(self._ready or self._running or self._elsewhere)

    def start(self) -> None:
        """Start what is ready, as long as there are slots for it."""
        if self._elsewhere and time.monotonic() - self._asked > ASK_SECONDS:
            self._asked = time.monotonic()
            for job in self._elsewhere:
                heapq.heappush(self._ready, (self._rank[job.id], job))
            self._elsewhere = []
        while self._ready and not self._stopping:
            slots = self._slots_for(self._ready[0][1])
            if not slots:
                return
            _, job = heapq.heappop(self._ready)
            self._claim(job, slots)

    def _claim(self, job: Job, slots: list[Slot]) -> None:
        if self._failures[job.id]:  # it is this runner's already
            self._submit(job, slots)
            return
        claim = self._claims.take(job)
        if claim.state == "mine":
            self._submit(job, slots)
        elif claim.state == "elsewhere":
            self._elsewhere.append(job)
        elif claim.state == "done":
            self._watch.found(job)
            self._done(job)
        else:
            self._lost(job, f"another runner says: {claim.reason}")

    def _submit(self, job: Job, slots: list[Slot]) -> None:
        for slot in slots:
            self._free.remove(slot)
        self._watch.started(job, slots)
        future = self._engine.submit(job, slots, _progress_of(job, self._watch))
        self._running[future] = (job, slots)

    def wait(self) -> None:
        """Wait a moment for jobs to end, and see to those that have."""
        if not self._running:
            time.sleep(LOOK_SECONDS if self._elsewhere else 0)
            return
        for future in wait(self._running, LOOK_SECONDS, FIRST_COMPLETED).done:
            job, slots = self._running.pop(future)
            self._free = [slot for slot in self._engine.slots if slot in {*self._free, *slots}]
            try:
                records = future.result()
            except JobStopped:
                self._watch.stopped(job)
                self._claims.give_back(job)
            except JobFailed as error:
                self._failed(job, error)
            else:
                self._claims.give_back(job)
                self.summary.twice += not records
                self._watch.finished(job, records)
                self._done(job)

    def _failed(self, job: Job, error: JobFailed) -> None:
        self._failures[job.id] += 1
        if not error.repeats and self._failures[job.id] <= self._retries and not self._stopping:
            self._watch.retried(job, str(error))
            heapq.heappush(self._ready, (self._rank[job.id], job))
            return
        self._claims.give_back(job)
        self._lost(job, str(error))
        if self._fail_fast:
            self.stop("a job failed")

    def _done(self, job: Job) -> None:
        self._ended(job)
        for dependent in self._dependents.pop(job.id, []):
            self._needs[dependent.id].remove(job.id)
            if not self._needs[dependent.id]:
                heapq.heappush(self._ready, (self._rank[dependent.id], dependent))

    def _lost(self, job: Job, reason: str) -> None:
        """A job that failed takes along what needs it, and what needs that."""
        self._watch.failed(job, reason)
        self.summary.failed += 1
        self._ended(job)
        gone, blocked = [job], set()
        while gone:
            of = gone.pop()
            for dependent in self._dependents.pop(of.id, []):
                if dependent.id not in blocked:
                    blocked.add(dependent.id)
                    self._watch.blocked(dependent, f"it needs {of.name}, which failed")
                    self.summary.blocked += 1
                    self._ended(dependent)
                    gone.append(dependent)

    def _ended(self, job: Job) -> None:
        self.left -= 1
        self._before_benchmarks -= not job.is_speed

    def _slots_for(self, job: Job) -> list[Slot]:
        """Free slots for a job, or none now."""
        if not job.is_speed:
            return self._free[:1]
        if self._before_benchmarks:
            return []
        # Always the first device: speeds are compared, so they come from one.
        device = self._engine.slots[0].device
        needed = [slot for slot in self._engine.slots if slot.device == device or device == "cpu"]
        return needed if all(slot in self._free for slot in needed) else []

    def stop(self, why: str) -> None:
        """Start no more, and ask what runs to keep its state and stop."""
        if not self._stopping:
            self._stopping = True
            self._watch.interrupted(why)
            self._engine.interrupt()

    def give_back(self) -> None:
        """At the end, also where it came early: what this runner still has."""
        for job, _ in self._running.values():
            self._claims.give_back(job)
        for _, job in self._ready:
            if self._failures[job.id]:
                self._claims.give_back(job)


def urgency(job: Job) -> tuple[bool, float, float]:
    """Benchmarks last; else longest first, so that the last job is short; unknown may be long."""
    unknown = math.inf
    seconds = job.estimate.seconds if job.estimate.seconds is not None else unknown
    gflop = job.estimate.gflop if job.estimate.gflop is not None else unknown
    return (job.is_speed, -gflop, -seconds)


def _progress_of(job: Job, watch: Watch) -> OnProgress:
    return lambda progress: watch.progressed(job, progress)
