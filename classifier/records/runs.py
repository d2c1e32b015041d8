"""A run's folder holds units: a record, its cost, its files. Each is whole or absent.

Written by the matrix runner and by the commands alike, so that either can go on from the other.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from classifier.basics.errors import UserError
from classifier.basics.files import digest, sync_folder, write_whole
from classifier.config.spec import Spec
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)

CHECKPOINT = "best.safetensors"
PREDICTIONS = "predictions.npz"
"""An evaluation's logits (N, C), labels (N,) and relative paths (N,)."""
SCORES = "scores.npz"
"""What a user's metric gave each image (N,), with labels (N,) and relative paths (N,), by path."""
RECORD = "record.json"
COST = "cost.json"
UNITS = ("train-", "evaluate-", "metric-", "benchmark-")
"""How the names of units begin."""
WORK = "work-"
"""How the name begins of the folder of a job that is not done."""
K = TypeVar("K", TrainRecord, EvaluateRecord)
_RECORDS: TypeAdapter[Record] = TypeAdapter(Record)


def work_name(spec: Spec) -> str:
    """The folder, in a run's, that a job works in."""
    return f"{WORK}{spec.kind}-{spec.signature}"


def publish(record: Record, cost: Cost, out: Path, run: Path) -> bool:
    """Make `out`/`record.unit` a unit of the run's folder, on the same file system.

    What is finished is never rewritten: False if there is one of the same data and checkpoint;
    another one is replaced. Of several at once one succeeds."""
    unit = out / record.unit
    unit.mkdir(exist_ok=True)
    for name, part in ((COST, cost), (RECORD, record)):
        write_whole(unit / name, (part.model_dump_json(indent=1) + "\n").encode())
    sync_folder(unit)
    target = run / record.unit
    if target.exists():
        if is_whole(target) and _same(read_record(target), record):
            return False
        replaced = out / f"replaced-{record.unit}"
        shutil.rmtree(replaced, ignore_errors=True)
        with suppress(FileNotFoundError):  # another publisher was quicker
            target.rename(replaced)
    try:
        unit.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync_folder(run)
    return True


class DamagedRecordError(UserError):
    """`problem` is what is wrong with it, and where; what to do in one's own store is said too."""

    def __init__(self, problem: str, unit: Path) -> None:
        self.problem, self.unit = problem, unit
        super().__init__(f"{problem}; delete {unit} to have it done again")


def read_record(unit: Path) -> Record:
    """Raises DamagedRecordError where it is not there or can't be read."""
    file = unit / RECORD
    try:
        return _RECORDS.validate_json(file.read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        wrong = "is missing" if isinstance(error, FileNotFoundError) else "is a folder"
        raise DamagedRecordError(f"{file} {wrong}", unit) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{file} is damaged or of another version ({first['msg']} at {where})"
        raise DamagedRecordError(said, unit) from error


def read_training(unit: Path) -> TrainRecord:
    """Raises UserError as `read_record`, and for another kind of record."""
    return _of_kind(unit, TrainRecord)


def read_evaluation(unit: Path) -> EvaluateRecord:
    """Raises UserError as `read_record`, and for another kind of record."""
    return _of_kind(unit, EvaluateRecord)


def _of_kind(unit: Path, kind: type[K]) -> K:
    record = read_record(unit)
    if not isinstance(record, kind):
        raise DamagedRecordError(f"{unit / RECORD} is of another kind", unit)
    return record


def checkpoint_of(unit: Path) -> tuple[TrainRecord, Path]:
    """A training's record and its checkpoint. Raises DamagedRecordError where it is not the one
    that was trained."""
    record, file = read_training(unit), unit / CHECKPOINT
    if not file.exists():
        raise DamagedRecordError(f"{file} is missing", unit)
    if digest(file) != record.checkpoint:
        raise DamagedRecordError(f"{file} is damaged: it is not what was trained", unit)
    return record, file


def is_whole(unit: Path) -> bool:
    """A training without its checkpoint is no result: it is done again."""
    return not unit.name.startswith("train-") or (unit / CHECKPOINT).exists()


def read_cost(unit: Path) -> Cost | None:
    """What a job took is for estimates only: a damaged file costs no result."""
    try:
        return Cost.model_validate_json((unit / COST).read_bytes())
    except (OSError, ValueError):
        return None


def _same(old: Record, new: Record) -> bool:
    """Of the same data, and for an evaluation of the same checkpoint."""
    if isinstance(old, BenchmarkRecord) or isinstance(new, BenchmarkRecord):
        return True
    if isinstance(old, EvaluateRecord | MetricRecord) and isinstance(new, type(old)):
        return old.data.contents == new.data.contents and old.checkpoint == new.checkpoint
    return old.data.contents == new.data.contents
