"""Jobs that are done in one process, one after the other or as one training."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from classifier.config.spec import BenchmarkSpec, EvaluateSpec, TrainSpec
from experiments.plan.jobs import Job


@dataclass(frozen=True)
class Bundle:
    """What one process does, under one lease. Each job in it has its own fate."""

    id: str
    """The lease's name."""
    jobs: tuple[Job, ...]
    """In an order in which each comes after what it needs of them."""

    @property
    def is_speed(self) -> bool:
        return all(job.is_speed for job in self.jobs)

    @property
    def keeps_state(self) -> bool:
        return all(job.keeps_state for job in self.jobs)

    @property
    def is_one_training(self) -> bool:
        """Whether its jobs are done as one, and not one after the other."""
        return all(job.spec.kind == "train" for job in self.jobs)

    @property
    def rounds(self) -> list[tuple[Job, ...]]:
        """Its jobs, those that are done as one together."""
        return [self.jobs] if self.is_one_training else [(job,) for job in self.jobs]

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The ids of the jobs that come before, none of its own."""
        own = {job.id for job in self.jobs}
        each = (need for job in self.jobs for need in job.needs if need not in own)
        return tuple(dict.fromkeys(each))

    def ends(self, seconds: Mapping[str, float]) -> list[tuple[float, str]]:
        """When each of its jobs ends, with its id, counted from the bundle's start: at its own
        seconds, where they are one training, else after those before it. `seconds`: by job's id."""
        if self.is_one_training:
            return sorted((seconds[job.id], job.id) for job in self.jobs)
        sums = accumulate(seconds[job.id] for job in self.jobs)
        return [(end, job.id) for end, job in zip(sums, self.jobs, strict=True)]

    def only(self, ids: Container[str]) -> Bundle:
        """Without its other jobs."""
        return Bundle(self.id, tuple(job for job in self.jobs if job.id in ids))


def group_of(job: Job) -> str:
    """The name that the jobs have in common which one process does: the trainings of a family, or
    all that looks at one training. It tells nothing of what is done already, so that it is the same
    for every runner of a store."""
    match job.spec:
        case TrainSpec():
            return f"train-{job.spec.family}"
        case BenchmarkSpec():
            return job.id
    return f"evaluate-{job.trained.signature}"


def bundles(todo: Iterable[Job]) -> list[Bundle]:
    """The jobs in bundles, in the order of each one's first; in a bundle those of one network
    follow each other, for it is loaded once for them."""
    groups: dict[str, list[Job]] = {}
    for job in todo:
        groups.setdefault(group_of(job), []).append(job)
    return [Bundle(name, tuple(sorted(jobs, key=_network))) for name, jobs in groups.items()]


def _network(job: Job) -> tuple[bool, str, str]:
    """What an evaluation loads; a metric of the user's, which comes after all of these, nothing."""
    if isinstance(job.spec, EvaluateSpec):
        return False, job.spec.track.key, job.spec.precision
    return job.spec.kind == "metric", "", ""
