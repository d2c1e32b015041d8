"""Where runs lie. The only code that knows the folders' layout.

    runs/mobilenetv2-s0-3f9c01ab77e2/        a training: slug for people, signature for finding it
        train-raw/                           one published unit: record.json, cost.json, files
        train-ema-0.9999-2000/
        evaluate-raw-val-fp32-0c1d.../
        work-train-3f9c01ab77e2/             a job that runs, or that failed: log.txt, failure.json
    runs/mobilenetv2-fps-fp16-.../           a benchmark: a unit for each device
        benchmark-9a8b7c6d/

A unit is made in a work folder and published by one rename, so it is whole or absent.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from classifier import runs
from classifier.errors import UserError
from classifier.files import write_atomically
from classifier.record import BenchmarkRecord, Cost, Record, TrainRecord
from classifier.spec import Spec

_FAILURE = "failure.json"
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

    def add(self, record: Record, cost: Cost | None = None) -> None:
        self.records[record.signature, record.unit] = record
        if cost is not None:
            self.costs[record.signature, record.unit] = cost

    def benchmarks(self, signature: str) -> list[BenchmarkRecord]:
        """The speeds of one architecture on every device that measured it."""
        found = [
            record
            for (of, _), record in self.records.items()
            if of == signature and isinstance(record, BenchmarkRecord)
        ]
        return sorted(found, key=lambda record: record.unit)


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self) -> Results:
        """Every record, cost and failure. Raises UserError for a record that can't be read."""
        results = Results()
        for run in _folders(self.root):
            for unit in _folders(run):
                if unit.name.startswith("work-"):
                    self._read_work(unit, results)
                elif unit.name.startswith(_UNITS) and runs.is_whole(unit):
                    results.add(runs.read_record(unit), runs.read_cost(unit))
        return results

    def training(self, signature: str, unit: str) -> tuple[TrainRecord, Path]:
        """A training's record of one track and its checkpoint."""
        folder = self._run_folder(signature) / unit
        record = runs.read_record(folder)
        assert isinstance(record, TrainRecord)
        return record, folder / runs.CHECKPOINT

    @contextmanager
    def work(self, spec: Spec, run: Spec) -> Iterator[Path]:
        """The folder in which a job works, held against a second process while inside.

        `run` is the spec whose folder it lies in: the training of an evaluation, else the same.
        """
        folder = self.work_folder(spec, run)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"another process works in {folder}") from error
            yield folder

    def work_folder(self, spec: Spec, run: Spec) -> Path:
        return self._make_run_folder(run) / f"work-{spec.kind}-{spec.signature}"

    def publish(self, record: Record, cost: Cost, work: Path) -> bool:
        """Make `work`/`record.unit` a unit of the run; see `classifier.runs.publish`."""
        return runs.publish(record, cost, work)

    def clear(self, work: Path) -> None:
        """A job is done: what it worked with is no longer needed."""
        shutil.rmtree(work)

    def fail(self, spec: Spec, run: Spec, reason: str) -> Failure:
        """Keep a failure beside the job's log; the next attempt removes it."""
        work = self.work_folder(spec, run)
        work.mkdir(parents=True, exist_ok=True)
        write_atomically(work / _FAILURE, json.dumps({"reason": reason}).encode())
        return Failure(reason, str(work / "log.txt"))

    def forget_failure(self, work: Path) -> None:
        (work / _FAILURE).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One runner a store. Raises UserError while another one has it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            file = (self.root / ".runner").open("a+")
        except OSError as error:
            raise UserError(f"the runs folder {self.root} can't be written: {error}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise UserError(
                    f"another runner (process {file.read() or 'unknown'}) works on {self.root}; "
                    "wait for it, or choose another folder with --runs"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def _read_work(self, work: Path, results: Results) -> None:
        signature = work.name.rpartition("-")[2]
        if _is_locked(work / "lock"):
            results.running.add(signature)
        elif (work / _FAILURE).exists():
            results.failures[signature] = Failure(_reason(work), str(work / "log.txt"))

    def _run_folder(self, signature: str) -> Path:
        by_hand = []
        for folder in _folders(self.root):
            if folder.name.endswith(f"-{signature}"):
                return folder
            if not _SIGNED.search(folder.name):
                by_hand.append(folder)
        for folder in by_hand:  # named by a person, as --save_path runs/ghostnet
            for unit in folder.glob("train-*"):
                if runs.read_record(unit).signature == signature:
                    return folder
        raise FileNotFoundError(f"no run {signature} in {self.root}")

    def _make_run_folder(self, run: Spec) -> Path:
        try:
            return self._run_folder(run.signature)
        except FileNotFoundError:
            folder = self.root / f"{run.slug}-{run.signature}"
            folder.mkdir(parents=True, exist_ok=True)
            return folder


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())


def _reason(work: Path) -> str:
    try:
        return str(json.loads((work / _FAILURE).read_bytes())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"unknown: {work / _FAILURE} is damaged"


def _is_locked(file: Path) -> bool:
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not there
        return False
    return False
