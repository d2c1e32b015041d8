"""Every record as a row of results.csv; what a kind of record does not have stays empty."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from classifier.basics.names import csv_text
from classifier.basics.told import plain
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    TrainRecord,
)
from experiments.matrix.schema import COSTS
from reports.figures.select import Selection, Used, cost_of

AXIS = "axis:"
"""How the name of an axis's column begins."""
_SPEC = ("model", "seed", "rdrop", "track", "split", "precision", "image_size", "batch_size")
_MEASURED = ("accuracy", "mpa", "best_epoch", "fps", "images_per_second")
_RAN = ("device", "threads", "torch", "seconds")


def text(selection: Selection) -> str:
    """With a column for each axis of the matrix, after a record's kind and signature."""
    return csv_text(columns(selection), rows(selection))


def columns(selection: Selection) -> tuple[str, ...]:
    own = (
        ("metric", "value") if any(used.record.kind == "metric" for used in selection.used) else ()
    )
    has_folds = any(data.folds for data in selection.matrix.data)
    spec = (*_SPEC[:2], "fold", *_SPEC[2:]) if has_folds else _SPEC
    origins = ("from",) if selection.from_others() else ()
    about = ("kind", "signature", *axes(selection), *spec)
    return (*about, *_MEASURED, *own, *_RAN, *_costs(selection), *origins)


def axes(selection: Selection) -> tuple[str, ...]:
    """The columns of the matrix's axes."""
    return tuple(f"{AXIS}{name}" for name in selection.axes)


def rows(selection: Selection) -> Iterator[dict[str, Any]]:
    """Of each record that the matrix uses, by the columns' names."""
    costs = _costs(selection)
    for used in selection.used:
        yield _row(used) | _axes(used) | cost_of_record(used, costs) | _origin(used, selection)


def _axes(used: Used) -> dict[str, str]:
    """The values of the arms that a record serves, each once, joined by `;`."""
    values: dict[str, dict[str, None]] = {}
    for where in used.served:
        for name, value in where.items():
            values.setdefault(f"{AXIS}{name}", {})[plain(value)] = None
    return {column: "; ".join(each) for column, each in values.items()}


def _origin(used: Used, selection: Selection) -> dict[str, str]:
    """The runs folder of somebody else's that a record is from."""
    name = selection.origins.get((used.record.signature, used.record.unit))
    return {"from": name} if name else {}


def _costs(selection: Selection) -> list[str]:
    """Those that its tables show: reports without them stay as they were."""
    shown = {column.metric for table in selection.matrix.tables for column in table.columns}
    return [metric for metric in COSTS if metric in shown]


def cost_of_record(used: Used, costs: Sequence[str]) -> dict[str, float | None]:
    """Of a training; its tracks share the seconds and the memory."""
    record = used.record
    if not isinstance(record, TrainRecord):
        return {}
    return {metric: cost_of(metric, record, used.cost) for metric in costs}


def _row(used: Used) -> dict[str, Any]:
    record, ran = used.record, used.record.environment
    row = {
        "kind": record.kind,
        "signature": record.signature,
        "precision": ran.precision,
        "device": ran.device,
        "threads": ran.threads,
        "torch": ran.platform.torch,
        "seconds": used.cost.seconds if used.cost else None,
    }
    match record:
        case BenchmarkRecord(spec=spec):
            row |= {"fps": record.fps, "images_per_second": record.images_per_second}
        case TrainRecord(spec=spec):
            row |= _accuracy(record) | {"split": "val", "best_epoch": record.best_epoch}
        case EvaluateRecord(training=spec):
            row |= _accuracy(record) | {"split": record.spec.images}
        case MetricRecord(training=spec):
            of = record.metric
            settings = f" {json.dumps(of.settings, ensure_ascii=False)}" if of.settings else ""
            about = {"metric": f"{of.name}{settings}", "value": record.value}
            row |= _trained(record) | about | {"split": record.evaluation.spec.images}
    return row | {"model": spec.model, "image_size": spec.image_size, "batch_size": spec.batch_size}


def _accuracy(record: TrainRecord | EvaluateRecord) -> dict[str, Any]:
    return _trained(record) | {"accuracy": record.accuracy, "mpa": record.mpa}


def _trained(record: TrainRecord | EvaluateRecord | MetricRecord) -> dict[str, Any]:
    training = record.training
    trained = {"seed": training.seed, "rdrop": training.has("rdrop"), "track": record.track}
    return trained | ({} if training.data.fold is None else {"fold": training.data.fold})
