"""What a job would take: work by the catalogue, seconds by what earlier jobs took here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from classifier.basics.machine import is_device
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.models import catalogue
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    TrainRecord,
)
from experiments.plan.jobs import Estimate, Job
from experiments.store.store import Results

TEN_CROPS = 10

Group = tuple[str, int, str]
"""Jobs whose seconds per operation are alike: precision (or `train`), image size, model; by size,
since small images are bound by other things than operations. The model may be left open."""


class Estimator:
    def __init__(self, results: Results, device: str, data_root: Path) -> None:
        """From the records of this device."""
        self._root = data_root
        self.counts: dict[DataSpec, Mapping[Part, int] | None] = {}
        self.others: dict[DataSpec, int | None] = {}
        """Of data that networks are tried on only."""
        self._metrics: dict[str, float] = {}
        """Seconds that a metric of the user's took, by its name."""
        self._rates: dict[Group, tuple[float, float]] = {}
        for key, record in results.records.items():
            elsewhere = not is_device(record.environment.device, device)
            if isinstance(record, BenchmarkRecord) or key not in results.costs or elsewhere:
                continue
            if isinstance(record, MetricRecord):
                self._metrics[record.metric.name] = results.costs[key].seconds
                continue
            precision, spec, images = _done(record)
            for group in _groups(precision, spec, learning=True):
                work = _work_in(group, spec, images)
                before = self._rates.get(group, (0.0, 0.0))
                self._rates[group] = (before[0] + work, before[1] + results.costs[key].seconds)

    def of(self, job: Job) -> Estimate:
        spec = job.spec
        match spec:
            case BenchmarkSpec():
                return Estimate(None, spec.seconds, "table")
            case MetricSpec():  # no network computes
                return Estimate(0.0, self._metrics.get(spec.metric.name), "records")
            case EvaluateSpec():
                return self._by_rate(spec.precision, spec.training, self._evaluated(spec))
            case TrainSpec():
                return self.of_training(spec, len(job.tracks))
        raise TypeError(f"{spec.kind} is no kind of job")

    def of_training(self, spec: TrainSpec, tracks: int, begun: int = 0) -> Estimate:
        """With so many tracks, `begun` epochs of which are done."""
        return self._by_rate("train", spec, self._trained(spec, tracks, begun))

    def _by_rate(self, precision: str, spec: TrainSpec, images: float | None) -> Estimate:
        if images is None:
            return Estimate()
        gflop = round(_work(spec, images), 1) if spec.model in catalogue.MODELS else None
        for group in _groups(precision, spec):
            rated, seconds = self._rates.get(group, (0.0, 0.0))
            if rated > 0:
                by_records = _work_in(group, spec, images) * seconds / rated
                return Estimate(gflop, round(by_records, 1), "records")
        return Estimate() if gflop is None else Estimate(gflop, None, "table")

    def _trained(self, spec: TrainSpec, tracks: int, begun: int) -> float | None:
        """Forward passes of one image; a backward pass counts as two."""
        parts = self._counted(spec.data)
        passes = _passes(spec)
        if parts is None:
            return None
        return max(spec.epochs - begun, 0) * (3.0 * parts["train"] * passes + parts["val"] * tracks)

    def _evaluated(self, spec: EvaluateSpec) -> float | None:
        if spec.data is not None:
            images = self._counted_other(spec.data)
        else:
            parts = self._counted(spec.training.data)
            images = None if parts is None else parts[spec.split]
        return None if images is None else float(images) * (TEN_CROPS if spec.tta else 1)

    def _counted(self, data: DataSpec) -> Mapping[Part, int] | None:
        """Counted once: a folder has to be listed for it."""
        if data not in self.counts:
            counted = datasets.counts(data, self._root)
            self.counts[data] = None if counted is None else counted[1]
        return self.counts[data]

    def _counted_other(self, data: DataSpec) -> int | None:
        if data not in self.others:
            self.others[data] = datasets.count_other(data, self._root)
        return self.others[data]


def _done(record: TrainRecord | EvaluateRecord) -> tuple[str, TrainSpec, float]:
    """Precision, training and forward passes of what a record stands for."""
    if isinstance(record, EvaluateRecord):
        crops = TEN_CROPS if record.spec.tta else 1
        return record.spec.precision, record.training, float(record.images * crops)
    passes = _passes(record.spec, record.rdrop_passes)
    images = len(record.history) * (3.0 * record.data.train * passes + record.data.val)
    return "train", record.spec, images


def _passes(spec: TrainSpec, rdrop: int | None = None) -> int:
    """`rdrop`: as it really was."""
    of_each = {trick.setting: trick.passes(spec.model) for trick in spec.tricks}
    return math.prod((of_each | {"rdrop": rdrop or of_each.get("rdrop", 1)}).values())


def _groups(precision: str, spec: TrainSpec, learning: bool = False) -> list[Group]:
    """The nearest first. Nobody knows how often a step of the user's looks at a batch: a training
    with code of theirs is like those with the same, and no other is like it (`learning`)."""
    groups: list[Group] = [(precision, spec.image_size, spec.model)]
    own = [plugin.name for plugin in spec.plugins if plugin.kind != "model"]
    if precision == "train" and own:
        groups.insert(0, (precision, spec.image_size, "+".join([spec.model, *sorted(own)])))
        if learning:
            return groups[:1]
    return [*groups, (precision, spec.image_size, "")] if spec.model in catalogue.MODELS else groups


def state_bytes(spec: TrainSpec, tracks: int) -> float | None:
    """Of a training's state at its end, about: the weights, what the optimizer keeps of each, of
    each track the best ones in half precision, and an average's. None where nobody knows how many
    weights the network has."""
    if spec.model not in catalogue.MODELS:
        return None
    of_optimizer = {"sgd": 4, "rmsprop": 4}.get(spec.optimizer.name, 8)
    each = 4 + of_optimizer + 2 * tracks + 4 * (tracks - 1)
    return float(each * catalogue.MODELS[spec.model].parameters)


def comparable_work(job: Job) -> float | None:
    """Work in which jobs of different models compare; None where their operations are unknown."""
    model = job.spec if isinstance(job.spec, BenchmarkSpec) else job.spec.trained
    if model is None or job.estimate.gflop is None:
        return None
    gflop = catalogue.forward_gflop(model.model, model.image_size)
    one = catalogue.relative_seconds(model.model, model.image_size)
    return job.estimate.gflop / gflop * one if gflop and one else None


def _work_in(group: Group, spec: TrainSpec, images: float) -> float:
    """As `_work`; where the group leaves the model open, as `comparable_work`."""
    one = catalogue.relative_seconds(spec.model, spec.image_size)
    return images * one if not group[2] and one is not None else _work(spec, images)


def _work(spec: TrainSpec, images: float) -> float:
    """10^9 operations; for a model outside the catalogue a measure among its own runs only."""
    one = catalogue.forward_gflop(spec.model, spec.image_size)
    return images * (one if one is not None else (spec.image_size / 224) ** 2)
