"""What is damaged of a unit: its record must be of its settings, and say what its files give.

A loss is taken as its record has it: it needs torch, and may be a function of the user's. So is the
number of a metric of the user's that gave no score for each image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from classifier.basics.files import digest
from classifier.inference import metrics
from classifier.records import runs
from classifier.records.arrays import DamagedArraysError, read_arrays, read_predictions
from classifier.records.record import EvaluateRecord, MetricRecord, Record, TrainRecord
from classifier.records.runs import CHECKPOINT, PREDICTIONS, SCORES

TOLERANCE = 1e-9
"""Between the figures of two versions of numpy, of the figure."""
Look = Callable[[Path, Callable[[Path], str]], str]
"""What a function says of a file."""


def _now(file: Path, of: Callable[[Path], str]) -> str:
    return of(file)


def problem_of(unit: Path) -> str:
    """What is damaged, without what to do; nothing where it is whole."""
    try:
        read_whole(unit)
    except runs.DamagedRecordError as error:
        return error.problem
    return ""


def read_whole(unit: Path, *, has_checkpoint: bool = True, look: Look = _now) -> Record:
    """The record of a unit that is whole. `has_checkpoint`: whether a training must have one;
    `look`: where what was seen of a file is kept. Raises DamagedRecordError."""
    try:
        record = runs.read_record(unit)
        problem = _problem(unit, record, has_checkpoint, look)
    except (OSError, DamagedArraysError) as error:
        problem = f"{unit} can't be read: {error}"
    if problem:
        raise runs.DamagedRecordError(problem, unit)
    return record


def _problem(unit: Path, record: Record, has_checkpoint: bool, look: Look) -> str:
    if record.signature != record.spec.signature or record.unit != unit.name:
        return f"{unit / runs.RECORD} is not what its name and settings say"
    file = _file_of(unit, record, has_checkpoint)
    if file is None:
        return ""
    if not file.exists():
        return f"{file} is missing"
    match record:
        case TrainRecord():
            return _of_training(file, record, look)
        case MetricRecord():
            return _of_metric(file, record, look)
        case EvaluateRecord():
            return _of_evaluation(file, record, look)
    return ""


def _file_of(unit: Path, record: Record, has_checkpoint: bool) -> Path | None:
    """What a record is held against; None where there is no such file."""
    match record:
        case TrainRecord() if has_checkpoint or (unit / CHECKPOINT).exists():
            return unit / CHECKPOINT
        case MetricRecord() if record.scores is not None:
            return unit / SCORES
        case EvaluateRecord():
            return unit / PREDICTIONS
    return None


def _of_training(file: Path, record: TrainRecord, look: Look) -> str:
    if look(file, digest) != record.checkpoint:
        return f"{file} is not the checkpoint that was trained"
    return ""


def _of_metric(file: Path, record: MetricRecord, look: Look) -> str:
    if look(file, digest) != record.scores:
        return f"{file} is not what its metric gave"
    mean, said = float(look(file, _mean_of_scores)), record.value
    if said is None:
        is_same = not math.isfinite(mean)
    else:
        is_same = math.isclose(mean, said, rel_tol=TOLERANCE)
    return "" if is_same else f"{file} gives {mean:.6g}, its record {said}"


def _mean_of_scores(file: Path) -> str:
    (scores,) = read_arrays(file, "scores")
    return repr(float(np.mean(scores)))


def _of_evaluation(file: Path, record: EvaluateRecord, look: Look) -> str:
    given = json.loads(look(file, _figures_of_predictions))
    for name, figure in given.items():
        said = getattr(record, name)
        if not math.isclose(figure, said, rel_tol=TOLERANCE):
            return f"{file} gives {name} {figure:.6g}, its record {said:.6g}"
    return ""


def _figures_of_predictions(file: Path) -> str:
    """By the names of a record's fields, as JSON."""
    logits, labels, _ = read_predictions(file)
    predicted = logits.argmax(axis=1)
    return json.dumps(
        {
            "images": len(labels),
            "accuracy": metrics.accuracy(predicted, labels),
            "mpa": metrics.mpa(predicted, labels),
        }
    )
