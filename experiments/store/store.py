"""The store of runs: reading what is there, and publishing what comes.

A unit is made in an attempt's folder and published by one rename: it is whole or absent, and of
two attempts one is accepted.
"""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from classifier.basics.errors import UserError
from classifier.basics.files import write_atomically
from classifier.config.spec import Spec, TrainSpec
from classifier.config.tracks import Track
from classifier.records import kept, runs
from classifier.records.kept import Seen, read_seen
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
    train_unit,
    trained_in,
)
from experiments.store import layout, leases


@dataclass(frozen=True)
class Failure:
    reason: str
    log: str
    """The file with the traceback and all that the job printed."""


@dataclass
class Results:
    """All that a store holds, by signature and unit."""

    records: dict[tuple[str, str], Record] = field(default_factory=dict)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    folders: dict[tuple[str, str], Path] = field(default_factory=dict)
    """Of the records that a store holds: where each lies, with its files."""
    failures: dict[str, Failure] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    states: dict[str, Seen | None] = field(default_factory=dict)
    """What the kept states of trainings have seen, by family; None where that is not known."""
    origins: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of the records that come from another runs folder: what the user calls that."""

    def __post_init__(self) -> None:
        self._units: defaultdict[str, set[str]] = defaultdict(set)
        for signature, unit in self.records:
            self._units[signature].add(unit)

    def add(self, record: Record, cost: Cost | None = None) -> None:
        self.records[record.signature, record.unit] = record
        self._units[record.signature].add(record.unit)
        if cost is not None:
            self.costs[record.signature, record.unit] = cost

    def has(self, signature: str) -> bool:
        """Whether there is any record of it."""
        return signature in self._units

    def of(self, signature: str) -> list[Record]:
        """The records under a signature."""
        return [self.records[signature, unit] for unit in self._units.get(signature, ())]

    def fits(self, record: Record) -> bool:
        """Whether what it looked at is among these: of an evaluation the weights of its training,
        of a metric its evaluation."""
        match record:
            case EvaluateRecord():
                trained = self.records.get((record.training.signature, train_unit(record.track)))
                return isinstance(trained, TrainRecord) and trained.checkpoint == record.checkpoint
            case MetricRecord(evaluation=asked):
                return self.records.get((asked.signature, asked.unit)) == asked
        return True

    def benchmarks(self, signature: str) -> list[BenchmarkRecord]:
        """The speeds of one architecture on every device that measured it."""
        units = sorted(self._units.get(signature, ()))
        records = [self.records[signature, unit] for unit in units]
        return [record for record in records if isinstance(record, BenchmarkRecord)]

    def trainings(self) -> list[list[TrainRecord]]:
        """What was trained, each with all records that come of it."""
        found: defaultdict[str, list[TrainRecord]] = defaultdict(list)
        for key, record in self.records.items():
            if isinstance(record, TrainRecord):
                cost = self.costs.get(key)
                found[trained_in(record, cost) if cost else " ".join(key)].append(record)
        return list(found.values())


@dataclass(frozen=True)
class Lent:
    """A run in another runs folder, which is only read."""

    name: str
    """What the user calls that folder."""
    run: Path
    results: Results = field(default_factory=Results)
    """What of it is used."""


class Store:
    def __init__(
        self,
        root: Path,
        *,
        lent: Mapping[str, Sequence[Lent]] = MappingProxyType({}),
        has_checkpoints: bool = True,
    ) -> None:
        """`lent`: by signature the runs of others, for what is not here. `has_checkpoints`: whether
        a training without one is no result, as everywhere but in an archive."""
        self.root, self._lent, self._has_checkpoints = root, lent, has_checkpoints
        self._others: dict[str, Path] | None = None

    def check_there(self) -> None:
        """Raise UserError where no runner has made it."""
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not there; name the folder of runs with --runs")

    def read(self) -> Results:
        """Every record, cost and failure. Raises UserError for a record that can't be read."""
        results = Results()
        with _collection_paused():
            for run in layout.folders(self.root):
                _read_run(run, results, self._has_checkpoints)
            for signature in self._lent:
                self._add_lent(signature, results)
        results.running = leases.held(self.root)
        for folder in layout.folders(self.root / layout.STATES):
            if any(folder.glob(kept.STATES)):
                results.states[layout.signature_of(folder)] = read_seen(folder)
        return results

    def read_run(self, spec: Spec) -> Results:
        """What the folder of a job's run holds."""
        results = Results()
        _read_run(self.folder(spec), results)
        self._add_lent(spec.run.signature, results)
        return results

    def _add_lent(self, signature: str, results: Results) -> None:
        """What others have of a run, unless it was trained here: then all that looks at it is of
        these weights."""
        if any(isinstance(record, TrainRecord) for record in results.of(signature)):
            return
        for lent in self._lent.get(signature, ()):
            for key, record in lent.results.records.items():
                if key not in results.records:
                    results.add(record, lent.results.costs.get(key))
                    results.folders[key] = lent.results.folders[key]
                    results.origins[key] = lent.name

    def checkpoint(self, signature: str, track: Track) -> Path:
        """The weights of a training's track. Raises UserError for what is damaged."""
        return runs.checkpoint_of(self.run(signature) / train_unit(track.key))[1]

    def folder(self, spec: Spec) -> Path:
        """Where a job's results lie, or will lie."""
        run = spec.run
        folder = self.root / layout.run_name(run)
        return folder if folder.is_dir() else self._named_otherwise().get(run.signature, folder)

    def work_folder(self, spec: Spec) -> Path:
        """Where a job works."""
        return self.folder(spec) / runs.work_name(spec)

    def log(self, spec: Spec) -> Path:
        """The file with all that a job prints, in each of its tries."""
        return self.work_folder(spec) / layout.LOG

    def states(self, spec: TrainSpec) -> Path:
        """Where the state is kept of the training that a spec is done in."""
        return kept.states_folder(self.root, spec)

    @contextmanager
    def attempt(self, spec: Spec) -> Iterator[Path]:
        """A folder in the job's work folder that no other attempt has, while inside."""
        work = self.work_folder(spec)
        work.mkdir(parents=True, exist_ok=True)
        out = Path(tempfile.mkdtemp(dir=work, prefix=layout.ATTEMPT))
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def publish(self, record: Record, cost: Cost, out: Path) -> bool:
        """Make `out`/`record.unit` a unit of its run; see `classifier.records.runs.publish`."""
        return runs.publish(record, cost, out, self.folder(record.spec))

    def forget_states(self, spec: TrainSpec) -> None:
        shutil.rmtree(self.states(spec), ignore_errors=True)

    def clear(self, spec: Spec) -> None:
        """A job is done: what it worked with is no longer needed."""
        shutil.rmtree(self.work_folder(spec), ignore_errors=True)

    def fail(self, spec: Spec, reason: str) -> None:
        """Keep a failure beside the job's log; the next attempt removes it."""
        work = self.work_folder(spec)
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(work / layout.FAILURE, json.dumps({"reason": reason}).encode())

    def failed_at(self, spec: Spec) -> float | None:
        """When its last attempt failed, by the file server's clock; None if it did not."""
        try:
            return (self.work_folder(spec) / layout.FAILURE).stat().st_mtime
        except FileNotFoundError:
            return None

    def forget_failure(self, spec: Spec) -> None:
        (self.work_folder(spec) / layout.FAILURE).unlink(missing_ok=True)

    def run(self, signature: str) -> Path:
        """The folder of a training's run: this store's, else another's. Raises FileNotFoundError
        where nobody has it."""
        with suppress(FileNotFoundError):
            own = self._find(signature)
            if signature not in self._lent or any(map(_is_training, layout.folders(own))):
                return own
        if signature in self._lent:
            return self._lent[signature][0].run
        raise FileNotFoundError(f"no run {signature} in {self.root}")

    def _find(self, signature: str) -> Path:
        for folder in layout.folders(self.root):
            if folder.name.endswith(f"-{signature}"):
                return folder
        try:
            return self._named_otherwise()[signature]
        except KeyError:
            raise FileNotFoundError(f"no run {signature} in {self.root}") from None

    def _named_otherwise(self) -> dict[str, Path]:
        """By signature: the folders that a person named, as `--save_path runs/ghostnet`, and those
        that are there as an older version named them."""
        if self._others is None:
            there = layout.folders(self.root)
            signed = {layout.signature_of(each): each for each in there if layout.is_signed(each)}
            self._others = signed | {
                runs.read_record(unit).signature: folder
                for folder in there
                if not layout.is_signed(folder)
                for unit in layout.folders(folder)
                if unit.name.startswith("train-")
            }
        return self._others


def _is_training(unit: Path) -> bool:
    return unit.name.startswith("train-") and runs.is_whole(unit)


def _read_run(run: Path, results: Results, has_checkpoints: bool = True) -> None:
    for unit in layout.folders(run):
        if layout.is_work(unit):
            if layout.has_failed(unit):
                results.failures[layout.signature_of(unit)] = Failure(
                    _reason(unit), str(unit / layout.LOG)
                )
        elif layout.is_unit(unit) and (not has_checkpoints or runs.is_whole(unit)):
            record = runs.read_record(unit)
            results.add(record, runs.read_cost(unit))
            results.folders[record.signature, record.unit] = unit


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Without the garbage collector, which looks through all records again and again while more
    and more are read."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _reason(work: Path) -> str:
    try:
        return str(json.loads((work / layout.FAILURE).read_bytes())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"unknown: {work / layout.FAILURE} is damaged"
