"""What jobs cost beside each other, in one unit."""

from __future__ import annotations

from collections.abc import Collection

from classifier.config.spec import MetricSpec
from experiments.plan.estimate import comparable_work
from experiments.plan.families import led
from experiments.plan.jobs import Job


def seconds_of(job: Job) -> float | None:
    """As estimated; None where they are not known."""
    if job.estimate.seconds is None and isinstance(job.spec, MetricSpec):
        return 0.0  # no network computes
    return job.estimate.seconds


def costs(jobs: Collection[Job]) -> dict[str, float]:
    """What each takes, by its id: seconds where they are known of all, else comparable work, but
    for speeds, which are compared with no other job. Where nothing is known of a job it may be
    long: it counts as the longest of its kind, else as the longest of all. What another training
    does costs its part of that, not beside it."""
    known = {job.id: seconds_of(job) for job in jobs}
    if None in known.values():
        for job in (job for job in jobs if not job.is_speed):
            known[job.id] = 0.0 if job.spec.kind == "metric" else comparable_work(job)
    longest: dict[str, float] = {}
    for job in jobs:
        longest[job.spec.kind] = max(longest.get(job.spec.kind, 0.0), known[job.id] or 0.0)
    most = max((each for kind, each in longest.items() if kind != "benchmark"), default=0.0) or 1.0
    unknown = {job.id: longest[job.spec.kind] or most for job in jobs if known[job.id] is None}
    made = {job_id: cost for job_id, cost in known.items() if cost is not None} | unknown
    return made | {job_id: part * made[lead.id] for job_id, (lead, part) in led(jobs).items()}
