"""`--also`: finished records of other runs folders, a colleague's say, which are read and never
written.

What is shared is a run: a training whole, with what looked at these weights. One's own training
comes first, then the folders in their order; of two that have it whole, of the data that are here,
the first has all of it, so that what is compared was trained once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, path_key, write_atomically
from classifier.records import runs
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    TrainRecord,
)
from experiments.store import layout
from experiments.store.damage import read_whole
from experiments.store.store import Lent, Results


@dataclass(frozen=True)
class Asked:
    """What is wanted of a run."""

    units: frozenset[str] = frozenset()
    """Of its training, all of which must be there; none of a speed."""
    fingerprint: str | None = None
    """Of the data that are here, where they are."""

    def is_met(self, found: Results) -> bool:
        """Whether it was trained on these data."""
        trained = (each for each in found.records.values() if isinstance(each, TrainRecord))
        return all(self.fingerprint in (None, each.data.fingerprint) for each in trained)


Wanted = Mapping[str, Asked]
"""By a run's signature."""


@dataclass(frozen=True)
class Borrowed:
    """What other folders have of what is wanted."""

    lent: Mapping[str, Sequence[Lent]]
    """By signature: of a training one, of a speed those of each folder."""
    damaged: Sequence[str]
    """What was not used, and why."""


def borrow(folders: Mapping[str, Path], wanted: Wanted) -> Borrowed:
    """`folders`: by what the user calls each. Raises UserError where one can't be read."""
    offered: dict[str, list[Lent]] = {}
    damaged: list[str] = []
    for name, root in folders.items():
        for signature, run in _runs(name, root, wanted).items():
            asked, before = wanted[signature], offered.setdefault(signature, [])
            if asked.units and any(asked.is_met(each.results) for each in before):
                continue
            found = _look(run, damaged)
            trained = {unit for of, unit in found.records if unit.startswith("train-")}
            if found.records and trained >= asked.units:
                before.append(Lent(name, run, found))
    lent = {signature: _chosen(wanted[signature], of) for signature, of in offered.items() if of}
    return Borrowed(lent, damaged)


def _chosen(asked: Asked, offered: Sequence[Lent]) -> Sequence[Lent]:
    """All speeds; of the trainings the first of these data, else the first: the plan says then that
    its data are others."""
    if not asked.units:
        return offered
    return [next((each for each in offered if asked.is_met(each.results)), offered[0])]


def not_there(name: str) -> UserError:
    return UserError(f"--also {name} is not there; name the runs folder of somebody else")


def _runs(name: str, root: Path, wanted: Wanted) -> dict[str, Path]:
    """The folders of the runs that are wanted, by signature; also those that a person named."""
    found: dict[str, Path] = {}
    try:
        if not root.is_dir():
            raise not_there(name)
        for run in layout.folders(root):
            signature = layout.signature_of(run) if layout.is_signed(run) else _signature(run)
            if signature in wanted:
                found.setdefault(signature, run)
    except OSError as error:
        raise UserError(f"--also {name} can't be read: {error}") from error
    return found


def _signature(run: Path) -> str:
    """Of a folder that a person named; nothing where it holds no training that can be read."""
    for unit in layout.folders(run):
        if unit.name.startswith("train-"):
            try:
                return runs.read_record(unit).signature
            except (UserError, OSError):
                continue
    return ""


def _look(run: Path, damaged: list[str]) -> Results:
    """The units of a run that are whole; what is not is added to `damaged`. What looked at other
    weights than those of the training is of no use."""
    found = Results()
    kinds = (TrainRecord, EvaluateRecord, MetricRecord, BenchmarkRecord)
    there = []
    for unit in filter(layout.is_unit, layout.folders(run)):
        try:
            record = read_whole(unit, has_checkpoint=False, look=_once)
            if runs.is_whole(unit):
                there.append((record, unit))
        except runs.DamagedRecordError as error:
            damaged.append(f"{error.problem}; it is not used")
    there.sort(key=lambda each: kinds.index(type(each[0])))
    for record, unit in there:
        if found.fits(record):
            found.add(record, runs.read_cost(unit))
            found.folders[record.signature, record.unit] = unit
    return found


def _once(file: Path, of: Callable[[Path], str]) -> str:
    """Of a file that stays as it is one look is enough, whichever command has it."""
    stats = file.stat()
    now = [stats.st_size, stats.st_mtime_ns, stats.st_ino]
    try:
        kept = cache_folder("looks") / f"{path_key(file)}-{of.__name__}.json"
    except UserError:  # nothing can be kept here
        return of(file)
    try:
        before, known = json.loads(kept.read_bytes())
        if before == now:
            return str(known)
    except (OSError, ValueError, TypeError):
        pass
    found = of(file)
    write_atomically(kept, json.dumps([now, found]).encode())
    return found
