"""Plan -> records. The only loop that waits; it knows no training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol

from classifier.progress import Progress
from classifier.record import Record
from experiments.engines import Engine, JobFailed, OnProgress, Slot
from experiments.plan import Job, Plan


class Watch(Protocol):
    """Who looks on: the live view, or a test."""

    def started(self, job: Job, slots: Sequence[Slot]) -> None: ...
    def progressed(self, job: Job, progress: Progress) -> None: ...
    def finished(self, job: Job, records: list[Record]) -> None: ...
    def failed(self, job: Job, reason: str) -> None: ...
    def skipped(self, job: Job, reason: str) -> None: ...


def run(plan: Plan, engine: Engine, watch: Watch) -> int:
    """Do all that is not done, longest first. Gives the number of jobs that failed or were skipped.

    A job starts when what it needs is done and a slot is free. A benchmark needs its device to
    itself (the whole machine, where that device is the CPU), so benchmarks come last. A failure
    costs the jobs that need it, and no other.
    """
    done = {job.id for job in plan.jobs if job.state == "done"}
    waiting = sorted(plan.todo, key=_urgency)
    running: dict[Future[list[Record]], tuple[Job, list[Slot]]] = {}
    lost = 0
    try:
        while waiting or running:
            for job in [job for job in waiting if done.issuperset(job.needs)]:
                slots = _slots_for(job, engine.slots, running.values(), waiting)
                if slots:
                    waiting.remove(job)
                    watch.started(job, slots)
                    future = engine.submit(job, slots, _progress_of(job, watch))
                    running[future] = (job, slots)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, _ = running.pop(future)
                try:
                    records = future.result()
                except JobFailed as error:
                    watch.failed(job, str(error))
                    lost += 1 + _skip_dependents(job, waiting, watch)
                else:
                    done.add(job.id)
                    watch.finished(job, records)
    finally:
        if running:
            engine.stop()
    return lost


def _urgency(job: Job) -> tuple[bool, float, float]:
    """Benchmarks last; else longest first, so that the last job is short; unknown may be long."""
    unknown = math.inf
    seconds = job.cost.seconds if job.cost.seconds is not None else unknown
    gflop = job.cost.gflop if job.cost.gflop is not None else unknown
    return (job.spec.kind == "benchmark", -gflop, -seconds)


def _slots_for(
    job: Job,
    slots: Sequence[Slot],
    running: Iterable[tuple[Job, list[Slot]]],
    waiting: Sequence[Job],
) -> list[Slot]:
    """Free slots for a job, or none now."""
    busy = {slot for _, taken in running for slot in taken}
    free = [slot for slot in slots if slot not in busy]
    if job.spec.kind != "benchmark":
        return free[:1]
    if any(other.spec.kind != "benchmark" for other in waiting):
        return []
    # Always the first device: speeds are compared, so they come from one.
    device = slots[0].device
    needed = [slot for slot in slots if slot.device == device or device == "cpu"]
    return needed if all(slot in free for slot in needed) else []


def _skip_dependents(failed: Job, waiting: list[Job], watch: Watch) -> int:
    """Take what needs a failed job out of the queue, and what needs that; how many these are."""
    lost = {failed.id}
    skipped = 0
    while dependents := [job for job in waiting if lost.intersection(job.needs)]:
        for job in dependents:
            waiting.remove(job)
            lost.add(job.id)
            watch.skipped(job, f"it needs {failed.name}, which failed")
            skipped += 1
    return skipped


def _progress_of(job: Job, watch: Watch) -> OnProgress:
    return lambda progress: watch.progressed(job, progress)
