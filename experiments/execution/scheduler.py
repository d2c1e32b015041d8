"""Plan -> records. The only loop that waits; it knows no training."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

from classifier.basics import interruptions
from classifier.basics.progress import Progress
from classifier.records.record import Record
from experiments.execution.engines import Begun, Engine, JobFailed, JobStopped, Said, Slot
from experiments.plan.bundles import Bundle, bundles
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan, in_order

LOOK_SECONDS = 0.25
"""How often the loop looks whether it was interrupted."""
ASK_SECONDS = 2.0
"""How often it asks for a bundle that another runner has."""


@dataclass(frozen=True)
class Claim:
    """Whether a job may be started; see `claims.Claims.take`."""

    state: Literal["mine", "done", "failed"]
    reason: str = ""


class Claimant(Protocol):
    def take(self, bundle: Bundle) -> Mapping[str, Claim] | None: ...
    def keep(self, bundle: Bundle) -> None: ...
    def give_back(self, bundle: Bundle) -> None: ...


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
    """Do all that is not done, the longest way to the end first (`order.ordered`).

    Jobs run in bundles, each in a process: one starts when all that its jobs need from outside of
    it is done and a slot is free. A benchmark needs its device to itself (the whole machine, where
    that device is the CPU), so benchmarks come last. A job that fails is tried again, with what is
    left of its bundle, unless that would change nothing; then it costs the jobs that need it, and
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


@dataclass
class _Open:
    """A bundle's jobs that are not done and not lost, by their ids."""

    id: str
    rank: int
    """The lowest goes first."""
    jobs: dict[str, Job]
    is_held: bool = False
    """This runner has its lease."""
    is_waiting: bool = True
    """For what its jobs need: it is not offered and not running."""

    @property
    def bundle(self) -> Bundle:
        return Bundle(self.id, tuple(self.jobs.values()))


@dataclass
class _Running:
    of: _Open
    slots: list[Slot]
    at: dict[str, Job] = field(default_factory=dict)
    """What has begun and not ended."""


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
        ranked = in_order(bundles(todo), len(engine.slots))
        self._open = [
            _Open(bundle.id, rank, {job.id: job for job in bundle.jobs})
            for rank, bundle in enumerate(ranked)
        ]
        self._of = {job_id: each for each in self._open for job_id in each.jobs}
        self._ready: list[int] = []
        """The ranks of bundles, as a heap."""
        for each in self._open:
            self._offer(each)
        self._before_benchmarks = sum(not job.is_speed for job in todo)
        self._elsewhere: list[_Open] = []
        self._asked = time.monotonic()
        self._running: dict[Future[None], _Running] = {}
        self._said: SimpleQueue[tuple[_Running, Said]] = SimpleQueue()
        self._bell: Future[None] = Future()
        """Done when something was said: to wait for it beside the processes' ends."""
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
            for each in self._elsewhere:
                heapq.heappush(self._ready, each.rank)
            self._elsewhere = []
        while self._ready and not self._stopping:
            ready = self._open[self._ready[0]]
            slots = self._slots_for(ready)
            if ready.jobs and not slots:
                return
            heapq.heappop(self._ready)
            self._claim(ready, slots)

    def _offer(self, each: _Open) -> None:
        """Make it ready, if it waits for nothing any more."""
        if each.is_waiting and all(self._needs[job_id] <= each.jobs.keys() for job_id in each.jobs):
            each.is_waiting = False
            heapq.heappush(self._ready, each.rank)

    def _claim(self, ready: _Open, slots: list[Slot]) -> None:
        if ready.jobs and not ready.is_held:
            claims = self._claims.take(ready.bundle)
            if claims is None:
                self._elsewhere.append(ready)
                return
            ready.is_held = True
            self._heed(claims, ready)
        if ready.jobs:
            self._submit(ready, slots)
        else:
            self._release(ready)

    def _heed(self, claims: Mapping[str, Claim], ready: _Open) -> None:
        """Leave out what another runner has done, or could not do."""
        for job_id, claim in claims.items():
            job = ready.jobs.get(job_id)
            if job is None:  # lost just now, with what it needs
                continue
            if claim.state == "done":
                self._watch.found(job)
                self._done(job)
            elif claim.state == "failed":
                self._lost(job, f"another runner says: {claim.reason}")

    def _submit(self, ready: _Open, slots: list[Slot]) -> None:
        for slot in slots:
            self._free.remove(slot)
        bundle, running = ready.bundle, _Running(ready, slots)
        for job in bundle.rounds[0]:
            self._begin(running, job)
        future = self._engine.submit(bundle, slots, lambda said: self._tell(running, said))
        self._running[future] = running

    def _tell(self, running: _Running, said: Said) -> None:
        """From any thread."""
        self._said.put((running, said))
        with suppress(InvalidStateError):  # it rings already
            self._bell.set_result(None)

    def wait(self) -> None:
        """Wait a moment for something to be said or to end, and see to it."""
        if not self._running:
            time.sleep(LOOK_SECONDS if self._elsewhere else 0)
            return
        waited = wait([*self._running, self._bell], LOOK_SECONDS, FIRST_COMPLETED)
        self._listen()
        for future in waited.done & self._running.keys():
            running = self._running.pop(future)
            self._free = [s for s in self._engine.slots if s in {*self._free, *running.slots}]
            future.result()  # an error that is no job's ends the run
            self._rest(running.of)

    def _listen(self) -> None:
        self._bell = Future()  # first: what is said from now on rings this one
        with suppress(Empty):
            while True:
                self._heed_said(*self._said.get_nowait())

    def _heed_said(self, running: _Running, said: Said) -> None:
        if isinstance(said, Progress):
            for at in running.at.values():
                self._watch.progressed(at, said)
            return
        if said.job not in running.of.jobs:  # blocked, as what it needs took the process along
            return
        job = running.of.jobs[said.job]
        if job.id not in running.at:
            self._begin(running, job)
        if isinstance(said, Begun):
            return
        del running.at[job.id]
        if isinstance(said.how, JobStopped):
            self._watch.stopped(job)
        elif isinstance(said.how, JobFailed):
            self._failed(job, said.how)
        else:
            self.summary.twice += not said.how
            self._watch.finished(job, said.how)
            self._done(job)

    def _begin(self, running: _Running, job: Job) -> None:
        running.at[job.id] = job
        self._watch.started(job, running.slots)

    def _rest(self, each: _Open) -> None:
        """The process is gone: what it has left is tried anew."""
        each.is_waiting = True
        if each.jobs and not self._stopping:
            self._offer(each)
        else:
            self._release(each)

    def _release(self, each: _Open) -> None:
        if each.is_held:
            each.is_held = False
            self._claims.give_back(each.bundle)

    def _failed(self, job: Job, error: JobFailed) -> None:
        self._failures[job.id] += 1
        if not error.repeats and self._failures[job.id] <= self._retries and not self._stopping:
            self._watch.retried(job, str(error))
            return
        self._lost(job, str(error))
        if self._fail_fast:
            self.stop("a job failed")

    def _done(self, job: Job) -> None:
        self._ended(job)
        for dependent in self._dependents.pop(job.id, []):
            self._needs[dependent.id].remove(job.id)
            self._offer(self._of[dependent.id])

    def _lost(self, job: Job, reason: str) -> None:
        """A job that failed takes along what needs it, and what needs that. Others see it as
        failed at once, though what is left of its bundle goes on."""
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
                    self._offer(self._of[dependent.id])
                    gone.append(dependent)
        left = self._of[job.id]
        if left.is_held and left.jobs:
            self._claims.keep(left.bundle)

    def _ended(self, job: Job) -> None:
        del self._of[job.id].jobs[job.id]
        self.left -= 1
        self._before_benchmarks -= not job.is_speed

    def _slots_for(self, ready: _Open) -> list[Slot]:
        """Free slots for a bundle, or none now."""
        if not ready.bundle.is_speed:
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
        for each in self._open:
            self._release(each)
