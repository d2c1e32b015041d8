"""What the folds of a cross-validation give together: one answer to each image of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from classifier.config.spec import TrainSpec
from classifier.records.record import EvaluateRecord, MetricRecord, Record, TrainRecord

OfFold = TrainRecord | EvaluateRecord | MetricRecord


@dataclass(frozen=True)
class Folded:
    """The records of all folds of one seed, of one kind, by fold. Where they are of the folds' test
    parts each image of the data set is in one of them, once."""

    folds: tuple[OfFold, ...]

    @property
    def kind(self) -> str:
        return self.folds[0].kind

    @property
    def signature(self) -> str:
        """Of no job: it tells this from other folds."""
        return "+".join(record.signature for record in self.folds)

    @property
    def unit(self) -> str:
        return self.folds[0].unit

    @property
    def training(self) -> TrainSpec:
        """That of the first fold."""
        return self.folds[0].training

    @property
    def track(self) -> str:
        return self.folds[0].track

    @property
    def images(self) -> int:
        return sum(map(images_of, self.folds))

    @property
    def accuracy(self) -> float:
        """The share of all folds' images that is right."""
        right = (round(_asked(of).accuracy * images_of(of)) for of in self.folds)
        return sum(right) / self.images

    def mean(self, figures: Sequence[float]) -> float:
        """Of the folds' figures, each weighing as its images."""
        weighed = zip(figures, self.folds, strict=True)
        return sum(figure * images_of(of) for figure, of in weighed) / self.images


def _asked(record: OfFold) -> TrainRecord | EvaluateRecord:
    return record.evaluation if isinstance(record, MetricRecord) else record


def images_of(record: OfFold) -> int:
    return _asked(record).images


def single(seeds: Iterable[Record | Folded]) -> list[Record]:
    """Each record that these are, or are made of."""
    return [record for of in seeds for record in (of.folds if isinstance(of, Folded) else (of,))]
