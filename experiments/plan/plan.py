"""Matrices -> Plan: unique jobs, what each needs, what each costs, what is done already. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from classifier.basics.machine import Platform, is_device
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec, titles
from classifier.data.split import Part
from classifier.records.record import TrainRecord
from classifier.records.runs import work_name
from experiments.matrix.model import Matrix
from experiments.plan.bundles import Bundle, bundles
from experiments.plan.costs import costs, seconds_of
from experiments.plan.estimate import Estimator
from experiments.plan.families import apart, trained_together
from experiments.plan.jobs import Job, unique
from experiments.plan.judge import Judge
from experiments.plan.order import ordered
from experiments.store.layout import BENCHMARK, STATES, Needed
from experiments.store.store import Results


@dataclass(frozen=True)
class Plan:
    jobs: tuple[Job, ...]
    data: Mapping[DataSpec, Mapping[Part, int] | None] = field(default_factory=dict)
    """Images of each part of what is trained on; None where it is not there to be counted."""
    others: Mapping[str, int | None] = field(default_factory=dict)
    """Images of data that networks are only tried on, likewise."""
    separate_trainings: int = 0
    """How many trainings one command for each arm of each matrix would run."""

    @property
    def titles(self) -> dict[DataSpec, str]:
        """What each of `data` is called, all folds together."""
        wholes = titles(data.whole for data in self.data)
        return {data: f"{title} ({data.rule})" for data, title in wholes.items()}

    def counts(self, whole: DataSpec) -> list[Mapping[Part, int]] | None:
        """How many images each part has, of each of its folds; None where that is not known."""
        found = [self.data.get(fold) for fold in whole.each_fold]
        known = [parts for parts in found if parts is not None]
        return known if len(known) == len(found) else None

    @property
    def from_others(self) -> dict[str, int]:
        """How many jobs are done in each other runs folder."""
        return dict(Counter(job.lender for job in self.jobs if job.lender))

    @property
    def todo(self) -> list[Job]:
        return [job for job in self.jobs if job.state != "done"]

    def needed(self) -> set[Needed]:
        """All of a store that these jobs are, or leave while they work."""
        names = ((job, name) for job in self.jobs for name in (work_name(job.spec), *job.units))
        needed = {(job.spec.run.signature, name) for job, name in names}
        needed |= {(job.trained.family, STATES) for job in self.jobs if job.spec.kind == "train"}
        return needed | {(job.id, BENCHMARK) for job in self.jobs if job.is_speed}

    def totals(self) -> dict[str, int]:
        """How many jobs there are of each kind, and how many trainings do those."""
        kinds = Counter(job.spec.kind for job in self.jobs)
        totals = {kind: kinds[kind] for kind in ("train", "evaluate", "benchmark")}
        totals["train"] = len({job.trained.family for job in self.jobs if job.spec.kind == "train"})
        metrics = {"metric": kinds["metric"]} if kinds["metric"] else {}
        return {**totals, **metrics, "todo": len(self.todo)}

    def as_json(self) -> dict[str, Any]:
        """`together`: what is to do and one process does, as one training (`train`) or one after
        the other."""
        trainings = (job.spec for job in self.jobs if isinstance(job.spec, TrainSpec))
        return {
            "jobs": [job.as_json() for job in self.jobs],
            "together": [
                {"kind": bundle.jobs[0].spec.kind, "jobs": [job.id for job in bundle.jobs]}
                for bundle in bundles(self.todo)
                if len(bundle.jobs) > 1
            ],
            "apart": apart(trainings),
            "totals": self.totals(),
        }


def make(matrices: Sequence[Matrix], results: Results, here: Platform, data_root: Path) -> Plan:
    """The unique jobs of all matrices together, trainings first, with their states and costs."""
    requests = [request for matrix in matrices for request in matrix.requests()]
    estimator = Estimator(results, here.device, data_root)
    judge = Judge(here, data_root, [matrix.plugins for matrix in matrices])
    jobs: dict[str, Job] = {}
    for job in unique(requests):
        judged = judge.judged(replace(job, estimate=estimator.of(job)), results, jobs)
        jobs[job.id] = _with_time(judged, results, here) if judged.state == "done" else judged
    trained_on = {job.trained.data for job in jobs.values() if isinstance(job.spec, TrainSpec)}
    fingerprints = {data: judge.fingerprint(data) for data in trained_on} if results.states else {}
    jobs |= trained_together(list(jobs.values()), results.states, fingerprints, estimator)
    separate = {
        (matrix.name, request.training.signature, request.track.key)
        for matrix in matrices
        for request in matrix.requests()
        if request.training is not None
    }
    others = {spec.as_test: count for spec, count in estimator.others.items()}
    return Plan(tuple(jobs.values()), estimator.counts, others, len(separate))


def _with_time(job: Job, results: Results, here: Platform) -> Job:
    """A job that is done, with what it took on such a device, if it ran on one."""
    for record in results.of(job.id):
        cost = results.costs.get((record.signature, record.unit))
        is_here = is_device(record.environment.device, here.device)
        if cost is not None and is_here and cost.seconds > (job.took or 0.0):
            reached = 1.0
            if isinstance(record, TrainRecord):
                reached = len(record.history) / record.spec.epochs
            job = replace(job, took=cost.seconds, reached=reached)
    return job


def in_order(todo: Iterable[Bundle], slots: int) -> list[Bundle]:
    """As they are started, on so many places for jobs. Costs by records are near enough for other
    orders to be tried; the catalogue's are not."""
    todo = list(todo)
    jobs = [job for bundle in todo for job in bundle.jobs]
    are_sure = all(seconds_of(job) is not None for job in jobs)
    return ordered(todo, costs(jobs), slots, are_sure=are_sure)


def current(plan: Plan, results: Results) -> Results:
    """Without the records that the plan would replace: a report shows none of these."""
    stale = {job.id for job in _stale(plan)}
    records = {key: record for key, record in results.records.items() if key[0] not in stale}
    return replace(results, records=records)


def left_out(plan: Plan, results: Results) -> dict[str, int]:
    """How many records a report leaves out, by the reason why the plan would replace them."""
    of = Counter(signature for signature, _ in results.records)
    reasons: Counter[str] = Counter()
    for job in _stale(plan):
        reasons[job.reason] += of[job.id]
    return {reason: count for reason, count in reasons.items() if count}


def _stale(plan: Plan) -> list[Job]:
    return [job for job in plan.todo if not job.is_speed and not job.lacks_a_track]
