"""Whether a seed has learnt more than to guess, or to answer always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier.basics.chance import GUESSING, is_guessing
from classifier.basics.names import printable
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)
from reports.figures.disagreements import Folders, names_of
from reports.figures.folds import Folded, single
from reports.figures.scores import NoPredictionsError, read
from reports.figures.select import Missing

Asked = TrainRecord | EvaluateRecord


@dataclass(frozen=True)
class Guess:
    """What has learnt nothing."""

    why: str
    """Empty where its accuracy is that of guessing among as many classes."""


def guess(seed: Record | Folded | Missing, folders: Folders) -> Guess | None:
    """What it does if it guesses; on other data than the training's that may be what these do to a
    network that knows its own.

    Classes that are uneven reward who always gives the largest: of its images that is right in so
    many, of each class's in one of as many as there are classes. A seed that does no better in
    either guesses. Where no labels are kept (of a training) its mpa alone says it.
    """
    if isinstance(seed, Missing | BenchmarkRecord):
        return None
    folds = [of.evaluation if isinstance(of, MetricRecord) else of for of in single([seed])]
    asked = [of for of in folds if isinstance(of, Asked)]
    if any(isinstance(of, EvaluateRecord) and of.spec.data is not None for of in asked):
        return None
    accuracy = seed.accuracy if isinstance(seed, Folded) else asked[0].accuracy
    if is_guessing(accuracy, asked[0].data.classes):
        return Guess("")
    images = [of.images for of in asked]
    if np.average([of.mpa * _classes(of) for of in asked], weights=images) > GUESSING:
        return None
    always = _always(asked, folders)
    if always is None:
        return Guess("mpa is that of guessing")
    right, name = always
    share = right / sum(images)
    said = f"always answering {name} is right in {share:.3f}"
    return Guess(said) if accuracy <= share else None


def _classes(record: Asked) -> int:
    """Those that the part has images of; one alone is no sign of anything."""
    part = record.spec.split if isinstance(record, EvaluateRecord) else "val"
    there = record.data.classes - len(record.data.lacking.get(part, ()))
    return there if there > 1 else record.data.classes


def _always(folds: Sequence[Asked], folders: Folders) -> tuple[int, str] | None:
    """In how many images of all folds the largest class of each is right, and its name; None
    where their predictions are gone, or a training kept none."""
    right, names = 0, set()
    for record in folds:
        unit = folders.get((record.signature, record.unit))
        if unit is None or not isinstance(record, EvaluateRecord):
            return None
        try:
            counts = np.bincount(read(unit, record, "accuracy").labels)
        except NoPredictionsError:
            return None
        largest = int(counts.argmax())
        named = names_of(record, folders)
        right += int(counts[largest])
        names.add(f"'{printable(named[largest])}'" if largest < len(named) else "the largest class")
    return right, names.pop() if len(names) == 1 else "the largest class"
