"""Matrices -> Plan: unique jobs, what each needs, what each costs, what is done already. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from classifier.basics.machine import is_device, without_instructions
from classifier.config.explanations import text
from classifier.config.spec import BenchmarkSpec, Ema, EvaluateSpec, Spec, TrainSpec, track_key
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.models import catalogue
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    Record,
    TrainRecord,
    benchmark_unit,
    train_unit,
)
from experiments.matrix.load import Matrix, Request
from experiments.store.store import Results

State = Literal["done", "todo", "running", "failed", "skipped"]
Basis = Literal["table", "records"]


@dataclass(frozen=True)
class Site:
    """The device that speeds are measured on: they are kept by its name, threads and torch."""

    device: str
    threads: int
    torch: str

    @property
    def benchmark_units(self) -> tuple[str, ...]:
        """Of the speeds of this device: its own, else one from before instruction sets were
        named, which is not measured again."""
        names = dict.fromkeys((self.device, without_instructions(self.device)))
        return tuple(benchmark_unit(name, self.threads, self.torch) for name in names)


@dataclass(frozen=True)
class Cost:
    """An estimate. `gflop` comes from the catalogue; `seconds` from records of this device, or
    for a benchmark from its own bound."""

    gflop: float | None = None
    seconds: float | None = None
    basis: Basis | None = None


@dataclass(frozen=True)
class Job:
    spec: Spec
    training: TrainSpec | None
    """Of an evaluation: the training whose checkpoint it takes."""
    emas: tuple[Ema | None, ...] = ()
    """Of a training: the tracks that it carries."""
    needs: tuple[str, ...] = ()
    state: State = "todo"
    reason: str = ""
    cost: Cost = Cost()
    label: str = ""
    """What tells it apart from jobs of the same model and seed, for people."""

    @property
    def id(self) -> str:
        return self.spec.signature

    @property
    def run(self) -> Spec:
        """The spec whose folder the job's results lie in."""
        return self.training or self.spec

    @property
    def name(self) -> str:
        whole = self.run.slug + (f" ({self.label})" if self.label else "")
        return f"{whole} {self.spec.slug}" if isinstance(self.spec, EvaluateSpec) else whole


@dataclass(frozen=True)
class Plan:
    jobs: tuple[Job, ...]
    data: Mapping[str, Mapping[Part, int] | None] = field(default_factory=dict)
    """Images of each part by the data set's title; None where it is not there to be counted."""
    separate_trainings: int = 0
    """How many trainings one command for each arm of each matrix would run."""

    @property
    def todo(self) -> list[Job]:
        return [job for job in self.jobs if job.state != "done"]

    def totals(self) -> dict[str, int]:
        kinds = Counter(job.spec.kind for job in self.jobs)
        totals = {kind: kinds[kind] for kind in ("train", "evaluate", "benchmark")}
        return {**totals, "todo": len(self.todo)}

    def as_json(self) -> dict[str, Any]:
        return {"jobs": [_job_json(job) for job in self.jobs], "totals": self.totals()}


def make(matrices: Sequence[Matrix], results: Results, site: Site, data_root: Path) -> Plan:
    """The unique jobs of all matrices together, trainings first, with their states and costs."""
    requests = [request for matrix in matrices for request in matrix.requests()]
    jobs = _unique_jobs(requests)
    estimate = _Estimator(results, site.device, data_root)
    judge = Judge(site, data_root)
    states: dict[str, Job] = {}
    for job in jobs:
        states[job.id] = judge.judged(replace(job, cost=estimate.cost(job)), results, states)
    separate = {
        (matrix.name, request.training.signature, track_key(request.ema))
        for matrix in matrices
        for request in matrix.requests()
        if request.training is not None
    }
    data = {f"{spec.title} ({spec.split})": parts for spec, parts in estimate.counts.items()}
    return Plan(tuple(states.values()), data, len(separate))


def current(plan: Plan, results: Results) -> Results:
    """Without the records that the plan would replace: a report shows none of these."""
    stale = {
        job.id for job in plan.todo if job.spec.kind != "benchmark" and not _lacks_a_track(job)
    }
    records = {key: record for key, record in results.records.items() if key[0] not in stale}
    return replace(results, records=records)


def _lacks_a_track(job: Job) -> bool:
    """A training to do for a further track only: what it has is as good as before."""
    return isinstance(job.spec, TrainSpec) and job.reason.startswith("track ")


def _unique_jobs(requests: Iterable[Request]) -> list[Job]:
    """Trainings, each with the union of the tracks asked for, then evaluations, then benchmarks."""
    trainings: dict[str, TrainSpec] = {}
    tracks: dict[str, dict[str, Ema | None]] = {}
    others: dict[str, Job] = {}
    teachers: dict[str, str] = {}
    labels: dict[str, dict[str, str]] = {}
    for request in requests:
        if request.training is not None:
            signature = request.training.signature
            if request.teacher is not None:  # it goes before its students
                teachers[signature] = by = request.teacher.signature
                trainings.setdefault(by, request.teacher)
                tracks.setdefault(by, {})[track_key(None)] = None
            trainings[signature] = request.training
            _narrow(labels, signature, request.where)
            tracks.setdefault(signature, {})[track_key(request.ema)] = request.ema
            if isinstance(request.spec, EvaluateSpec):
                others[request.spec.signature] = Job(
                    request.spec, request.training, needs=(signature,)
                )
        else:
            others[request.spec.signature] = Job(request.spec, None)
    jobs = [
        Job(
            spec,
            None,
            emas=tuple(ema for _, ema in sorted(tracks[signature].items(), reverse=True)),
            needs=(teachers[signature],) if signature in teachers else (),
            label=_label(labels.get(signature, {})),
        )
        for signature, spec in trainings.items()
    ]
    rank = {"evaluate": 0, "benchmark": 1}
    for job in sorted(others.values(), key=lambda job: rank[job.spec.kind]):
        known = labels.get(job.run.signature, {}) if job.training else {}
        jobs.append(replace(job, label=_label(known)))
    return jobs


def _narrow(labels: dict[str, dict[str, str]], signature: str, where: Mapping[str, Any]) -> None:
    """Keep of a training's axis values those that all its arms share."""
    values = {
        axis: value if isinstance(value, str) else text(value)
        for axis, value in where.items()
        if axis not in ("model", "rdrop", "ema")  # told by the slug and the track
    }
    known = labels.setdefault(signature, values)
    for axis in [axis for axis, value in known.items() if values.get(axis) != value]:
        del known[axis]


def _label(values: Mapping[str, str]) -> str:
    return ", ".join(v if axis == "run" else f"{axis} {v}" for axis, v in values.items())


class Judge:
    """Says what state a job is in: done with these data, to do and why, failed, running."""

    def __init__(self, site: Site, data_root: Path) -> None:
        self._benchmark_units, self._root = site.benchmark_units, data_root
        self._fingerprints: dict[DataSpec, str | None] = {}

    def judged(self, job: Job, results: Results, before: Mapping[str, Job]) -> Job:
        """The job with its state. `before`: the jobs that it needs."""
        state, reason = self.state(job, results)
        if state != "done" and job.id in results.running:
            state, reason = "running", ""
        elif state != "done" and job.id in results.failures:
            lacking = reason if reason.startswith("track ") else ""
            state, reason = "failed", lacking or results.failures[job.id].reason
        elif state != "done" and any(before[need].state == "failed" for need in job.needs):
            state, reason = "skipped", f"{before[job.needs[0]].name} failed"
        return replace(job, state=state, reason=reason)

    def state(self, job: Job, results: Results) -> tuple[State, str]:
        """Done or to do, and why, by the records of the run alone."""
        spec, records = job.spec, results.records
        if isinstance(spec, BenchmarkSpec):
            if any((spec.signature, unit) in records for unit in self._benchmark_units):
                return "done", ""
            elsewhere = results.benchmarks(spec.signature)
            return (
                "todo",
                f"measured on {elsewhere[0].environment.device} only" if elsewhere else "",
            )
        units = (
            [train_unit(track_key(ema)) for ema in job.emas]
            if isinstance(spec, TrainSpec)
            else [Request(spec).unit or ""]
        )
        found = [records.get((spec.signature, unit)) for unit in units]
        missing = [unit for unit, record in zip(units, found, strict=True) if record is None]
        if missing:
            partly = len(missing) < len(found) or results.has(job.id)
            again = f"track {missing[0].removeprefix('train-')} is missing: trained again"
            return "todo", again if partly and isinstance(spec, TrainSpec) else ""
        for record in found:
            if isinstance(record, EvaluateRecord) and not _is_of_its_training(record, results):
                return "todo", "its training was done again"
        return self._with_data(job, [record for record in found if record is not None])

    def _with_data(self, job: Job, found: list[Record]) -> tuple[State, str]:
        assert isinstance(job.run, TrainSpec)
        now = self._fingerprint(job.run.data)
        if now is None:
            return "done", "data not checked"
        for record in found:
            assert isinstance(record, TrainRecord | EvaluateRecord)
            if record.data.fingerprint != now:
                return "todo", f"the data changed ({record.data.fingerprint} -> {now})"
        return "done", ""

    def _fingerprint(self, data: DataSpec) -> str | None:
        if data not in self._fingerprints:
            self._fingerprints[data] = datasets.fingerprint_if_there(data, self._root)
        return self._fingerprints[data]


def _is_of_its_training(record: EvaluateRecord, results: Results) -> bool:
    """Whether the checkpoint that was evaluated is the one that is there."""
    unit = train_unit(record.track)
    trained = results.records.get((record.spec.training, unit))
    return isinstance(trained, TrainRecord) and trained.checkpoint == record.checkpoint


class _Estimator:
    """Work of a job from the catalogue, seconds from what earlier jobs took on this machine."""

    def __init__(self, results: Results, device: str, data_root: Path) -> None:
        self._root = data_root
        self.counts: dict[DataSpec, Mapping[Part, int] | None] = {}
        self._rates: dict[tuple[str, ...], list[float]] = {}
        for key, record in results.records.items():
            elsewhere = not is_device(record.environment.device, device)
            if isinstance(record, BenchmarkRecord) or key not in results.costs or elsewhere:
                continue
            for group, work in self._groups(record):
                total = self._rates.setdefault(group, [0.0, 0.0])
                total[0] += work
                total[1] += results.costs[key].seconds

    def cost(self, job: Job) -> Cost:
        if isinstance(job.spec, BenchmarkSpec):
            return Cost(None, job.spec.seconds, "table")
        assert isinstance(job.run, TrainSpec)
        precision = job.spec.precision if isinstance(job.spec, EvaluateSpec) else "train"
        images = self._images(job)
        if images is None:
            return Cost()
        gflop = _work(job.run, images)
        known = job.run.model in catalogue.MODELS
        size = str(job.run.image_size)
        for group in ((precision, size, job.run.model), (precision, size, "") if known else ()):
            if group in self._rates and self._rates[group][0] > 0:
                work, seconds = self._rates[group]
                return Cost(
                    round(gflop, 1) if known else None, round(gflop * seconds / work, 1), "records"
                )
        return Cost(round(gflop, 1), None, "table") if known else Cost()

    def _groups(self, record: TrainRecord | EvaluateRecord) -> list[tuple[tuple[str, ...], float]]:
        """The groups that a record counts for, with the work that it stands for."""
        if isinstance(record, TrainRecord):
            passes = record.rdrop_passes or 1
            epochs = len(record.history)
            images = epochs * (3.0 * record.data.train * passes + record.data.val)
            spec, precision = record.spec, "train"
        else:
            images = record.images * (10.0 if record.spec.tta else 1.0)
            spec, precision = record.training, record.spec.precision
        work = _work(spec, images)
        # By image size too: small images are bound by other things than operations.
        size = str(spec.image_size)
        groups: list[tuple[tuple[str, ...], float]] = [((precision, size, spec.model), work)]
        if spec.model in catalogue.MODELS:
            groups.append(((precision, size, ""), work))
        return groups

    def _images(self, job: Job) -> float | None:
        """Forward passes of one image; a backward pass counts as two."""
        assert isinstance(job.run, TrainSpec)
        parts = self._counted(job.run.data)
        if parts is None:
            return None
        if isinstance(job.spec, EvaluateSpec):
            return float(parts[job.spec.split]) * (10 if job.spec.tta else 1)
        spec = job.run
        entry = catalogue.MODELS.get(spec.model)
        passes = entry.rdrop_passes if spec.rdrop and entry else 1
        return spec.epochs * (3.0 * parts["train"] * passes + parts["val"] * len(job.emas))

    def _counted(self, data: DataSpec) -> Mapping[Part, int] | None:
        """Counted once: a folder has to be listed for it."""
        if data not in self.counts:
            known = datasets.counts(data, self._root)
            self.counts[data] = None if known is None else known[1]
        return self.counts[data]


def _work(spec: TrainSpec, images: float) -> float:
    """10^9 operations; for a model outside the catalogue a measure among its own runs only."""
    one = catalogue.forward_gflop(spec.model, spec.image_size)
    return images * (one if one is not None else (spec.image_size / 224) ** 2)


def _job_json(job: Job) -> dict[str, Any]:
    cost = {"gflop": job.cost.gflop, "seconds": job.cost.seconds, "basis": job.cost.basis}
    return {
        "id": job.id,
        "kind": job.spec.kind,
        "state": job.state,
        "reason": job.reason or None,
        "needs": list(job.needs),
        "cost": cost,
        "settings": job.spec.model_dump(mode="json"),
    }
