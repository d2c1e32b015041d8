"""`--tensorboard DIR`: event files, written and read without TensorFlow and torch.

A run is a folder, `DIR/<run>/<track>/`; each runner that logs to it adds a file of its own. An
event is one record with a checksum, so an epoch is there whole or not at all, whenever a runner is
killed.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from experiments.tracking.tracker import EPOCH, Known, Report, Run, Status, Step

REPORTS = "reports"
SETTINGS, RECORD, REPORT = "settings", "record", "report"


class TensorBoard:
    """A tracker. Raises OSError where the folder can't be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, _File] = {}

    def known(self, run: Run) -> Known:
        known = Known()
        for tag, step, _ in _read(self._of(run)):
            known.names.add(tag)
            if tag == EPOCH:
                known.epochs.add(step)
        if RECORD in known.names:
            known.status = "done"
        if SETTINGS not in known.names:
            file = self._file(self._of(run))
            file.add(0, hparams_pb(dict(run.settings), trial_id=run.key))
            file.add(0, text_pb(SETTINGS, _listed({**run.about, **run.settings})))
        return known

    def log(self, run: Run, steps: Sequence[Step]) -> None:
        file = self._file(self._of(run))
        for step in steps:
            file.add(step.at, *(scalar_pb(name, value) for name, value in step.values.items()))

    def mark(self, run: Run, status: Status, about: Mapping[str, str]) -> None:
        """Event files have no other status than what is in them."""
        if status == "done":
            self._file(self._of(run)).add(0, text_pb(RECORD, _listed(about)))

    def report(self, report: Report) -> None:
        folder = self._folder / REPORTS / report.matrix
        before = [value for tag, _, value in _read(folder) if tag == REPORT]
        if before and _text(before[-1]) == report.text:
            return
        at, file = len(before), self._file(folder)
        file.add(at, *(scalar_pb(name, value) for name, value in report.values.items()))
        file.add(at, text_pb(REPORT, report.text))

    def close(self) -> None:
        """It holds nothing open."""

    def _of(self, run: Run) -> Path:
        return self._folder / run.folder / run.name

    def _file(self, folder: Path) -> _File:
        if folder not in self._files:
            self._files[folder] = _File(folder)
        return self._files[folder]


class _File:
    """An event file; what is added is in it at once, and it is open for so long only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now, host = time.time(), socket.gethostname()
        name = f"events.out.tfevents.{int(now):010d}.{host}.{os.getpid()}.{secrets.token_hex(4)}"
        self._path = folder / name
        self._write(Event(wall_time=now, file_version="brain.Event:2"))

    def add(self, step: int, *summaries: Any) -> None:
        """One event of them all."""
        event = Event(wall_time=time.time(), step=step)
        for summary in summaries:
            event.summary.MergeFrom(summary)
        self._write(event)

    def _write(self, event: Event) -> None:
        with self._path.open("ab") as opened:
            RecordWriter(opened).write(event.SerializeToString())


def _read(folder: Path) -> Iterator[tuple[str, int, Any]]:
    """Tag, step and tensor of all values in a run's files; a file is read up to where its writer
    was killed."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                yield value.tag, event.step, value.tensor


def _text(tensor: Any) -> str:
    return bytes(tensor.string_val[0]).decode()


def _listed(settings: Mapping[str, str]) -> str:
    """As a table in Markdown."""
    escaped = ((name, value.replace("|", "\\|")) for name, value in settings.items())
    return "| | |\n| :-- | :-- |\n" + "".join(f"| {name} | {v} |\n" for name, v in escaped)
