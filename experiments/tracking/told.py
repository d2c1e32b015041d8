"""What a tracker is told of jobs: their specs, epochs and records as runs and values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from classifier.basics.told import flat
from classifier.config.spec import EvaluateSpec, Spec, TrainSpec
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Environment,
    Epoch,
    EvaluateRecord,
    MetricRecord,
    TrainRecord,
    train_unit,
)
from experiments.store import layout
from experiments.store.store import Store
from experiments.tracking.tracker import EPOCH, Run, Step, name_of

DIGITS = 8
"""Of a digest in a name."""
SPEED = ("fps", "images_per_second", "median_seconds")


def training(store: Store, spec: TrainSpec, track: str, data: str) -> Run:
    """`track`: its key; `data`: their fingerprint, for a training on edited data has the signature
    that it had before."""
    unit = train_unit(track)
    return _run(store, spec, unit, f"{track}-{_short(data)}", {"track": track, "data": data})


def speed(store: Store, record: BenchmarkRecord) -> Run:
    about = {"device": record.environment.device}
    return _run(store, record.spec, record.unit, record.unit, about)


def _run(store: Store, spec: Spec, unit: str, name: str, about: Mapping[str, str]) -> Run:
    lies = {"signature": spec.signature, "record": str(store.folder(spec).absolute() / unit)}
    return Run(
        key=f"{spec.signature} {name}",
        folder=layout.run_name(spec),
        name=name,
        settings=flat(spec.told()),
        about=lies | dict(about),
    )


def epochs(rows: Sequence[Epoch]) -> list[Step]:
    return [Step(row.epoch, _epoch(row)) for row in rows]


def _epoch(row: Epoch) -> dict[str, float]:
    values = {
        "lr": row.lr,
        "train/loss": row.train_loss,
        EPOCH: row.val_loss,
        "val/accuracy": row.val_accuracy,
        "val/mpa": row.val_mpa,
    }
    return values | {
        name_of(f"{trick}/{name}"): value
        for trick, told in row.reports.items()
        for name, value in told.items()
        if value is not None
    }


def best(record: TrainRecord, cost: Cost | None) -> Step:
    values: dict[str, float | None] = {
        "best/accuracy": record.accuracy,
        "best/mpa": record.mpa,
        "best/epoch": record.best_epoch,
    }
    if cost is not None:
        values |= {
            "cost/seconds": cost.seconds,
            "cost/images_per_second": cost.images_per_second,
            "cost/peak_memory_mib": cost.peak_memory_mib,
        }
    return _step(record.best_epoch, values)


def evaluated(record: EvaluateRecord | MetricRecord, at: int) -> Step:
    """`at`: the epoch that was evaluated. The same of another training has the same names, so that
    a tracker draws them together."""
    if isinstance(record, MetricRecord):
        metric = record.metric
        name = f"{_where(record.evaluation.spec)}/{metric.name}-{metric.digest[:DIGITS]}"
        return _step(at, {name: record.value})
    names = ("accuracy", "mpa", "loss")
    return _step(at, {f"{_where(record.spec)}/{name}": getattr(record, name) for name in names})


def _where(spec: EvaluateSpec) -> str:
    """What was evaluated, without the track, whose run it is: `test-fp32`. Other data than the
    training's are told apart by more than their name."""
    name = spec.slug.removeprefix(f"{spec.track.key}-")
    return name if spec.data is None else f"{name}-{_short(spec.data.model_dump_json())}"


def measured(record: BenchmarkRecord) -> Step:
    return _step(0, {name: getattr(record, name) for name in SPEED})


def _step(at: int, values: Mapping[str, float | None]) -> Step:
    return Step(
        at, {name_of(name): float(value) for name, value in values.items() if value is not None}
    )


def environment(found: Environment) -> dict[str, str]:
    """Where it ran, as the record tells it."""
    told = {"device": found.device, "threads": found.threads, "precision": found.precision}
    return flat({**told, "versions": found.versions, "commit": found.commit})


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
