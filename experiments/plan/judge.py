"""What state a job is in, by what the store holds and the data that are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classifier.basics.machine import Platform
from classifier.basics.users import Plugin
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec, unedited
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.plugins.brought import SOURCES, Brought
from classifier.records.record import (
    BenchmarkRecord,
    MetricRecord,
    Record,
    TrainRecord,
    benchmark_units,
    evaluate_unit,
    metric_unit,
    train_unit,
)
from experiments.plan.jobs import Job, JobState
from experiments.store.store import Results

EDITED = "edited: "
"""Begins the reason of a job whose code of the user's said something else when it ran."""


@dataclass(frozen=True)
class Standing:
    """Whether a job is done, and if not, why."""

    state: JobState
    reason: str = ""
    lacks_a_track: bool = False


class Judge:
    """Says what state a job is in, and why; done is only what was done with these data."""

    def __init__(self, here: Platform, data_root: Path, plugins: Sequence[Brought] = ()) -> None:
        """`here`: where speeds are measured. `plugins`: what the user's files say now."""
        self._plugins = plugins
        self._benchmark_units, self._root = benchmark_units(here), data_root
        self._fingerprints: dict[DataSpec, str | None] = {}
        self._unedited: tuple[Results, dict[str, TrainRecord]] | None = None
        """The trainings of a store with code of the user's, by signature but for that code."""
        self._asked: tuple[Results, set[str]] | None = None
        """What the user's metrics were asked of, whatever their code was then."""

    def judged(self, job: Job, results: Results, before: Mapping[str, Job]) -> Job:
        """The job with its state. `before`: the jobs that it needs."""
        standing = self.standing(job, results)
        state, reason = standing.state, standing.reason
        if standing.state == "done":
            lender = self._lender(job, results)
            reason = "; ".join(filter(None, (reason, f"from {lender}" if lender else "")))
            return replace(job, state="done", reason=reason, lender=lender)
        if job.id in results.running:
            state, reason = "running", ""
        elif job.id in results.failures:
            state = "failed"
            reason = reason if standing.lacks_a_track else results.failures[job.id].reason
        elif causes := [why for need in job.needs if (why := _blocks(before[need]))]:
            state, reason = "blocked", causes[0]
        return replace(job, state=state, reason=reason, lacks_a_track=standing.lacks_a_track)

    def _lender(self, job: Job, results: Results) -> str:
        """The other runs folder that a job is done in, if it is not done in one's own."""
        units = self._benchmark_units if job.is_speed else job.units
        there = (unit for unit in units if (job.id, unit) in results.records)
        return results.origins.get((job.id, next(there, "")), "")

    def standing(self, job: Job, results: Results) -> Standing:
        """Done or to do, and why, by the records of the run alone."""
        match job.spec:
            case TrainSpec():
                return self._of_training(job, job.spec, results)
            case EvaluateSpec():
                return self._of_evaluation(job.spec, results)
            case MetricSpec():
                return self._of_metric(job.spec, results)
            case BenchmarkSpec():
                return self._of_benchmark(job.spec, results)
        raise TypeError(f"{job.spec.kind} is no kind of job")

    def _of_training(self, job: Job, spec: TrainSpec, results: Results) -> Standing:
        records = [results.records.get((job.id, unit)) for unit in job.units]
        missing = [
            track.key for track, record in zip(job.tracks, records, strict=True) if record is None
        ]
        if not missing:
            return self._with_data(spec.data, [r for r in records if r is not None])
        if len(missing) == len(records) and not results.has(job.id):
            return Standing("todo", self._edited(spec, results))
        reason = f"track {missing[0]} is missing: trained again"
        return Standing("todo", reason, lacks_a_track=True)

    def _of_evaluation(self, spec: EvaluateSpec, results: Results) -> Standing:
        record = results.records.get((spec.signature, evaluate_unit(spec)))
        if record is None:
            return Standing("todo", self._edited(spec.training, results))
        if not results.fits(record):
            return Standing("todo", "its training was done again")
        trained = results.records.get((spec.training.signature, train_unit(spec.track.key)))
        own = [record] if spec.data is None else []
        standing = self._with_data(spec.training.data, [*([trained] if trained else []), *own])
        if spec.data is None or standing.state == "todo":
            return standing
        return self._with_data(spec.data, [record])

    def _of_metric(self, spec: MetricSpec, results: Results) -> Standing:
        record = results.records.get((spec.signature, metric_unit(spec)))
        if record is None:
            return Standing("todo", self._edited_metric(spec, results))
        if not results.fits(record):
            return Standing("todo", "its evaluation was done again")
        return self._of_evaluation(spec.evaluation, results)

    def _of_benchmark(self, spec: BenchmarkSpec, results: Results) -> Standing:
        if any((spec.signature, unit) in results.records for unit in self._benchmark_units):
            return Standing("done")
        elsewhere = results.benchmarks(spec.signature)
        if not elsewhere:
            return Standing("todo")
        return Standing("todo", f"measured on {elsewhere[0].environment.device} only")

    def _edited(self, spec: TrainSpec, results: Results) -> str:
        """Which of the user's objects said something else when this was trained, if it was."""
        if not spec.plugins_and_data:
            return ""
        if self._unedited is None or self._unedited[0] is not results:
            trained = [r for r in results.records.values() if isinstance(r, TrainRecord)]
            by_name = {unedited(r.spec).signature: r for r in trained if r.spec.plugins_and_data}
            self._unedited = results, by_name
        before = self._unedited[1].get(unedited(spec).signature)
        if before is None:
            return ""
        unit = results.folders.get((before.signature, before.unit))
        changed = [
            self._edited_in(now, unit / SOURCES if unit else None)
            for now, then in zip(spec.plugins_and_data, before.spec.plugins_and_data, strict=True)
            if now.digest != then.digest
        ]
        return f"{EDITED}{', '.join(changed)}" if changed else ""

    def _edited_metric(self, spec: MetricSpec, results: Results) -> str:
        """Whether its evaluation was asked already, by what the metric was then."""
        if self._asked is None or self._asked[0] is not results:
            of = (r for r in results.records.values() if isinstance(r, MetricRecord))
            self._asked = results, {_question(r.evaluation.signature, r.metric) for r in of}
        now = spec.metric
        if _question(spec.evaluation.signature, now) in self._asked[1]:
            return f"{EDITED}{self._edited_in(now, None)}"
        return self._edited(spec.evaluation.training, results)

    def _edited_in(self, plugin: Plugin, kept: Path | None) -> str:
        """The object, or where its own file reaches the same as then, what it reaches or reads."""
        told = f"{plugin.kind} '{plugin.name}' ({plugin.place})"
        for brought in self._plugins:
            declared = brought.declared.get(plugin.name)
            if declared is None or declared.digest != plugin.digest or not (kept and kept.is_dir()):
                continue
            files = brought.edited(plugin.name, kept)
            if not files and declared.reads:
                return f"{' or '.join(declared.reads)}, which {told} reads"
            if files and plugin.file not in files:
                return f"{' and '.join(files)}, which {told} reaches"
        return told

    def _with_data(self, data: DataSpec, records: Sequence[Record]) -> Standing:
        now = self.fingerprint(data)
        if now is None:
            return Standing("done", "data not checked")
        for record in records:
            if not isinstance(record, BenchmarkRecord) and record.data.fingerprint != now:
                before = record.data.fingerprint
                return Standing("todo", f"the data changed ({before} -> {now})")
        return Standing("done")

    def fingerprint(self, data: DataSpec) -> str | None:
        data = data.whole
        if data not in self._fingerprints:
            self._fingerprints[data] = datasets.fingerprint_if_there(data, self._root)
        return self._fingerprints[data]


def _blocks(before: Job) -> str:
    """Why nothing that needs this job can be done; nothing where it can."""
    if before.state == "failed":
        return f"waits for {before.name}, which failed"
    return before.reason if before.state == "blocked" else ""


def _question(evaluation: str, metric: Plugin) -> str:
    return f"{evaluation} {metric.name} {json.dumps(metric.settings, sort_keys=True)}"
