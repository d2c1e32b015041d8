"""Where runs lie. The only code that knows the folders' layout.

    runs/mobilenetv2-s0-3f9c01ab77e2/        a training: slug for people, signature for finding it
        train-raw/                           one published unit: record.json, cost.json, files
        train-ema-0.9999-2000/
        evaluate-raw-val-fp32-0c1d.../
        work-train-3f9c01ab77e2/             a job that runs, was interrupted, or failed: log.txt,
            attempt-x7f2/                    failure.json, a training's kept state; and a folder of
                                             its own for each attempt
    runs/mobilenetv2-fps-fp16-.../           a benchmark: a unit for each device
        benchmark-9a8b7c6d/
    runs/.leases/                            which runner does what

A unit is made in an attempt's folder and published by one rename: it is whole or absent, and of
two attempts one is accepted.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from classifier.basics.files import write_atomically
from classifier.config.spec import Spec
from classifier.records import runs
from classifier.records.record import BenchmarkRecord, Cost, Record, TrainRecord
from experiments.store import leases

_FAILURE = "failure.json"
_LOG = "log.txt"
_SIGNED = re.compile("-[0-9a-f]{12}$")
_UNITS = ("train-", "evaluate-", "benchmark-")


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
    failures: dict[str, Failure] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)

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

    def benchmarks(self, signature: str) -> list[BenchmarkRecord]:
        """The speeds of one architecture on every device that measured it."""
        units = sorted(self._units.get(signature, ()))
        found = [self.records[signature, unit] for unit in units]
        return [record for record in found if isinstance(record, BenchmarkRecord)]


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_hand: dict[str, Path] | None = None

    def read(self) -> Results:
        """Every record, cost and failure. Raises UserError for a record that can't be read."""
        results = Results()
        with _no_collection():
            for run in folders(self.root):
                _read_run(run, results)
        results.running = leases.held(self.root)
        return results

    def read_run(self, run: Spec) -> Results:
        """What one run's folder holds."""
        results = Results()
        _read_run(self.folder(run), results)
        return results

    def training(self, signature: str, unit: str) -> tuple[TrainRecord, Path]:
        """A training's record of one track and its checkpoint. Raises UserError for one that is
        damaged."""
        return runs.checkpoint_of(self._find(signature) / unit)

    def folder(self, run: Spec) -> Path:
        """Where a run's results lie, or will lie."""
        folder = self.root / f"{run.slug}-{run.signature}"
        return folder if folder.is_dir() else self._named_by_hand().get(run.signature, folder)

    def work_folder(self, spec: Spec, run: Spec) -> Path:
        """Where a job works. `run` is the spec whose folder its results go to: the training of an
        evaluation, else the same."""
        return self.folder(run) / f"work-{spec.kind}-{spec.signature}"

    def log(self, spec: Spec, run: Spec) -> Path:
        """The file with all that a job prints, in each of its tries."""
        return self.work_folder(spec, run) / _LOG

    @contextmanager
    def attempt(self, spec: Spec, run: Spec) -> Iterator[Path]:
        """A folder in the job's work folder that no other attempt has, while inside."""
        work = self.work_folder(spec, run)
        work.mkdir(parents=True, exist_ok=True)
        out = Path(tempfile.mkdtemp(dir=work, prefix="attempt-"))
        try:
            yield out
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def publish(self, record: Record, cost: Cost, out: Path, run: Spec) -> bool:
        """Make `out`/`record.unit` a unit of the run; see `classifier.records.runs.publish`."""
        return runs.publish(record, cost, out, self.folder(run))

    def clear(self, spec: Spec, run: Spec) -> None:
        """A job is done: what it worked with is no longer needed."""
        shutil.rmtree(self.work_folder(spec, run), ignore_errors=True)

    def fail(self, spec: Spec, run: Spec, reason: str) -> None:
        """Keep a failure beside the job's log; the next attempt removes it."""
        work = self.work_folder(spec, run)
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(work / _FAILURE, json.dumps({"reason": reason}).encode())

    def failed_at(self, spec: Spec, run: Spec) -> float | None:
        """When its last attempt failed, by the file server's clock; None if it did not."""
        try:
            return (self.work_folder(spec, run) / _FAILURE).stat().st_mtime
        except FileNotFoundError:
            return None

    def forget_failure(self, spec: Spec, run: Spec) -> None:
        (self.work_folder(spec, run) / _FAILURE).unlink(missing_ok=True)

    def _find(self, signature: str) -> Path:
        for folder in folders(self.root):
            if folder.name.endswith(f"-{signature}"):
                return folder
        try:
            return self._named_by_hand()[signature]
        except KeyError:
            raise FileNotFoundError(f"no run {signature} in {self.root}") from None

    def _named_by_hand(self) -> dict[str, Path]:
        """The folders that a person named, as `--save_path runs/ghostnet`, by signature."""
        if self._by_hand is None:
            self._by_hand = {
                runs.read_record(unit).signature: folder
                for folder in folders(self.root)
                if not is_signed(folder)
                for unit in folders(folder)
                if unit.name.startswith("train-")
            }
        return self._by_hand


def _read_run(run: Path, results: Results) -> None:
    for unit in folders(run):
        if is_work(unit):
            if has_failed(unit):
                results.failures[signature_of(unit)] = Failure(_reason(unit), str(unit / _LOG))
        elif is_unit(unit) and runs.is_whole(unit):
            results.add(runs.read_record(unit), runs.read_cost(unit))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which looks through all records again and again while more
    and more are read: 10,000 records in 0.8 s instead of 3."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor later: what was read is freed by its reference counts
        if was_enabled:
            gc.enable()


def is_unit(folder: Path) -> bool:
    return folder.name.startswith(_UNITS)


def is_work(folder: Path) -> bool:
    return folder.name.startswith("work-")


def has_failed(work: Path) -> bool:
    return (work / _FAILURE).exists()


def signature_of(folder: Path) -> str:
    """Of a run's folder that a runner named, or of a job's work folder."""
    return folder.name.rpartition("-")[2]


def is_signed(run: Path) -> bool:
    """Whether a run's folder was named by a runner, and not by a person."""
    return _SIGNED.search(run.name) is not None


def folders(folder: Path) -> list[Path]:
    """Folders in a folder, by name, without hidden ones; none where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(
        Path(entry.path)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and _is_folder(entry)
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _reason(work: Path) -> str:
    try:
        return str(json.loads((work / _FAILURE).read_bytes())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"unknown: {work / _FAILURE} is damaged"
