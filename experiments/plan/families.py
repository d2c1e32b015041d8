"""What one training does for several jobs, and where it goes on from; and why others are apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from classifier.config.family import LOOKS, but_looks, why_apart
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.records.kept import Seen
from classifier.tricks.distillation import Distill
from experiments.plan.estimate import Estimator
from experiments.plan.jobs import Estimate, Job


def trained_together(
    jobs: Sequence[Job],
    states: Mapping[str, Seen | None],
    fingerprints: Mapping[DataSpec, str | None],
    estimator: Estimator,
) -> dict[str, Job]:
    """The trainings that are to do, each by its id with what its family's one training means for
    it: the longest has the cost of them all, and says where it goes on from, or why from no kept
    state. `states`: by family; `fingerprints`: of the data as they are now."""
    found = {}
    of_others = _by_looks(seen for seen in states.values() if seen is not None)
    for name, members in _families(jobs).items():
        lead = max(members, key=leading)
        begun, told = 0, _of_another(lead.trained, of_others)
        if name in states:
            begun, told = _begun(members, states[name], fingerprints)
        tracks = {track.key for job in members for track in job.tracks}
        estimate = estimator.of_training(lead.trained, len(tracks), begun)
        for job in members:
            if job is lead:
                course, cost = told, estimate
            else:
                course, cost = f"trained in {lead.id}", Estimate(0.0, 0.0, estimate.basis)
            share = begun / job.trained.epochs
            found[job.id] = replace(job, course=course, estimate=cost, begun=min(share, 1.0))
    return found


def _begun(
    members: Sequence[Job], seen: Seen | None, fingerprints: Mapping[DataSpec, str | None]
) -> tuple[int, str]:
    """How many epochs of a family's training are done by its kept state, and what is said of it."""
    if seen is None:
        return 0, "a state is kept that does not say what it has: the training finds out"
    kept, now = f"the state kept after epoch {seen.epoch}", fingerprints[members[0].trained.data]
    if now not in (None, seen.data):
        return 0, f"trained anew: {kept} is of other data ({seen.data} -> {now})"
    if not all(seen.has(job.trained, track) for job in members for track in job.tracks):
        return 0, f"trained anew: {kept} was not looked at in this way"
    return seen.epoch, f"goes on after epoch {seen.epoch}{'' if now else '; data not checked'}"


def _by_looks(states: Iterable[Seen]) -> dict[str, list[tuple[int, TrainSpec]]]:
    """How far each is and what of, by what trainings that differ in how they look have in common.
    Those of older versions do not say it."""
    found: dict[str, list[tuple[int, TrainSpec]]] = {}
    for seen in states:
        if seen.spec is not None:
            found.setdefault(str(but_looks(seen.spec)), []).append((seen.epoch, seen.spec))
    return found


def _of_another(spec: TrainSpec, states: Mapping[str, list[tuple[int, TrainSpec]]]) -> str:
    """Why a training does not go on from one of other `epochs`, where a state of such is kept: from
    the longest, if there are several."""
    if not (alike := states.get(str(but_looks(spec)))):
        return ""
    epoch, other = max(alike, key=lambda each: each[0])
    kept = f"the state kept after epoch {epoch} of {other.epochs}"
    return f"trained anew: {kept} is of another training: {why_apart(spec, other)}"


def leading(job: Job) -> tuple[int, str]:
    """The greatest of a family goes on to its last end, and stands for all."""
    spec = job.spec
    return spec.epochs if isinstance(spec, TrainSpec) else 0, job.id


def led(jobs: Iterable[Job]) -> dict[str, tuple[Job, float]]:
    """Of trainings that are to do, by the id of each that its family's longest does: that one, and
    the part of what it has left at which this one ends, if no patience ends it before."""
    leads = ((max(members, key=leading), members) for members in _families(jobs).values())
    return {
        job.id: (lead, _part(job.trained.epochs / lead.trained.epochs, lead.begun))
        for lead, members in leads
        for job in members
        if job is not lead
    }


def _part(end: float, begun: float) -> float:
    """Of what is left of a training from `begun` on, the part until `end`."""
    return max(end - begun, 0.0) / (1 - begun) if begun < 1 else 1.0


def _families(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The trainings that are to do, by the name of those that are done as one."""
    families: dict[str, list[Job]] = {}
    for job in jobs:
        if isinstance(job.spec, TrainSpec) and job.state != "done":
            families.setdefault(job.spec.family, []).append(job)
    return families


def apart(specs: Iterable[TrainSpec]) -> list[str]:
    """A line for each reason why trainings that differ in how they look only, or in how their
    teachers do, are not one. `specs`: with the teachers."""
    trainings = {spec.signature: spec for spec in specs}
    alike: dict[str, dict[str, TrainSpec]] = {}
    for spec in trainings.values():
        signed, teacher = str(but_looks(spec)), _teacher(spec, trainings)
        if teacher is not None:  # whichever of those that differ in how they look
            signed = signed.replace(teacher.signature, str(but_looks(teacher)))
        alike.setdefault(signed, {}).setdefault(spec.family, spec)
    reasons: dict[str, set[int]] = {}
    students: dict[str, None] = {}
    for families in alike.values():
        for one, other in combinations(families.values(), 2):
            if differs := _differ(_teacher(one, trainings), _teacher(other, trainings)):
                reason = f"their teachers differ in {differs}, and so in the weights that teach"
                students[f"students ({one.model}) are trained apart: {reason}"] = None
            else:
                reasons.setdefault(why_apart(one, other), set()).update((one.epochs, other.epochs))
    lines = [
        f"epochs {', '.join(map(str, sorted(epochs)))} are trained apart: {reason}"
        for reason, epochs in reasons.items()
    ]
    return [*lines, *students]


def _teacher(spec: TrainSpec, trainings: Mapping[str, TrainSpec]) -> TrainSpec | None:
    """The training that a student learns from, if it learns from one."""
    distill = spec.trick(Distill)
    return None if distill is None else trainings.get(str(distill.teacher))


def _differ(one: TrainSpec | None, other: TrainSpec | None) -> str:
    """The settings in which two teachers differ; nothing where they are one, or there is none."""
    if one is None or other is None:
        return ""
    names = ("epochs", *LOOKS)
    return " and ".join(each for each in names if getattr(one, each) != getattr(other, each))
