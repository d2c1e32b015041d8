"""What one training does for several jobs, and where it goes on from; and why others are apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from classifier.config.family import but_looks, why_apart
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.records.kept import Seen
from experiments.plan.estimate import Estimator
from experiments.plan.jobs import Estimate, Job


def trained_together(
    jobs: Sequence[Job],
    states: Mapping[str, Seen],
    fingerprints: Mapping[DataSpec, str | None],
    estimator: Estimator,
) -> dict[str, Job]:
    """The trainings that are to do, each by its id with what its family's one training means for
    it: the longest has the cost of them all, and says where it goes on from. `states`: those that
    are kept, by family."""
    found = {}
    for name, members in _families(jobs).items():
        lead = max(members, key=leading)
        seen = states.get(name)
        if seen is not None and fingerprints.get(lead.trained.data, seen.data) != seen.data:
            seen = None
        goes_on = seen is not None and all(
            seen.has(job.trained, track) for job in members for track in job.tracks
        )
        begun = seen.epoch if seen is not None and goes_on else 0
        tracks = {track.key for job in members for track in job.tracks}
        estimate = estimator.of_training(lead.trained, len(tracks), begun)
        for job in members:
            if job is lead:
                course, cost = _from(seen, goes_on) if seen is not None else "", estimate
            else:
                course, cost = f"trained in {lead.id}", Estimate(0.0, 0.0, estimate.basis)
            found[job.id] = replace(job, course=course, estimate=cost)
    return found


def leading(job: Job) -> tuple[int, str]:
    """The greatest of a family goes on to its last end, and stands for all."""
    spec = job.spec
    return spec.epochs if isinstance(spec, TrainSpec) else 0, job.id


def led(jobs: Iterable[Job]) -> dict[str, tuple[Job, float]]:
    """Of trainings that are to do, by the id of each that its family's longest does: that one, and
    the part of it at which this one ends, if no patience ends it before."""
    leads = ((max(members, key=leading), members) for members in _families(jobs).values())
    return {
        job.id: (lead, job.trained.epochs / lead.trained.epochs)
        for lead, members in leads
        for job in members
        if job is not lead
    }


def _families(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The trainings that are to do, by the name of those that are done as one."""
    families: dict[str, list[Job]] = {}
    for job in jobs:
        if isinstance(job.spec, TrainSpec) and job.state != "done":
            families.setdefault(job.spec.family, []).append(job)
    return families


def _from(seen: Seen, goes_on: bool) -> str:
    if goes_on:
        return f"goes on after epoch {seen.epoch}"
    return f"trained anew: the state kept after epoch {seen.epoch} was not looked at in this way"


def apart(specs: Iterable[TrainSpec]) -> list[str]:
    """A line for each reason why trainings that differ in how they look only are not one."""
    alike: dict[str, dict[str, TrainSpec]] = {}
    for spec in specs:
        alike.setdefault(str(but_looks(spec)), {}).setdefault(spec.family, spec)
    reasons: dict[str, set[int]] = {}
    for families in alike.values():
        for one, other in combinations(families.values(), 2):
            reasons.setdefault(why_apart(one, other), set()).update((one.epochs, other.epochs))
    return [
        f"epochs {', '.join(map(str, sorted(epochs)))} are trained apart: {reason}"
        for reason, epochs in reasons.items()
    ]
