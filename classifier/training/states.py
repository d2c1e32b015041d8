"""The full state of a training, kept while it runs, so that it can go on from where it was.

The two newest states lie in a folder, of a training that has ended the newest, each a file whose
name says how far it is and what its contents hash to: one that was damaged is noticed, and the one
before it is taken. Beside it lies what it has seen (`classifier.records.kept`).
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from classifier.basics.errors import StoppedError
from classifier.basics.files import write_atomically
from classifier.config.spec import TrainSpec
from classifier.records.kept import STATES, Seen, seen_of

_log = logging.getLogger(__name__)

TrainingState = dict[str, Any]
"""Plain containers, numbers, text and tensors only: it is read without running pickled code."""

Moment = Literal["a step", "an epoch", "the end"]
"""What of a training has just ended; at its end nobody looks any more."""

FORMAT = 3
"""Raise it when what a state holds changes: one of another format is not gone on from."""

SHARE = 20
"""At an epoch's end the state is kept if that takes at most one part in so many of the time."""


@dataclass
class Keeper:
    """Keeps a training's state: at the end of an epoch, inside one every `minutes`, and when it is
    asked to `stop`, after which it raises StoppedError."""

    folder: Path
    spec: TrainSpec
    about: TrainingState
    """Put beside each state."""
    minutes: float
    stop: Callable[[], bool]
    position: tuple[int, int] | None = None
    """Of the newest one."""
    _last: float = field(default_factory=time.monotonic)
    _took: float = 0.0

    def __call__(
        self, state: Callable[[], TrainingState], position: tuple[int, int], at: Moment
    ) -> None:
        """Look whether `state` is to be kept now. `position`: epoch and step that come next."""
        if at == "the end" and not self.about["keep"]:
            return  # nobody goes on from it
        start = time.monotonic()
        since, stopping = start - self._last, self.stop()
        due = since >= self.minutes * 60 or (at != "a step" and since >= SHARE * self._took)
        if not due and not stopping:
            return
        self._save(state(), position)
        self._took = self._last - start
        if stopping:
            raise StoppedError

    def keep_end(self, state: Callable[[], TrainingState], position: tuple[int, int]) -> None:
        """Keep the last state alone, if one that goes on from it may come: nothing is written any
        more that could damage it."""
        if not self.about["keep"]:
            return
        if self.position != position:
            self._save(state(), position)
        for file in kept(self.folder)[1:]:
            _remove(file)

    def _save(self, trainer: TrainingState, position: tuple[int, int]) -> None:
        seen = seen_of(trainer, self.spec, self.about["data"], self.about["keep"])
        save(self.folder, position, {**self.about, "trainer": trainer}, seen)
        self._last, self.position = time.monotonic(), position


def save(
    folder: Path, position: tuple[int, int], state: TrainingState, seen: Seen | None = None
) -> None:
    """Add a state, whole or not at all, and remove all but it and the one before."""
    folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    content = buffer.getvalue()
    epoch, step = position
    at = f"state-{epoch:06d}-{step:09d}-"
    name = f"{at}{_digest(content)}.pt"
    before = [file for file in kept(folder) if file.name != name]
    if seen is not None:
        write_atomically((folder / name).with_suffix(".json"), seen.model_dump_json().encode())
    write_atomically(folder / name, content)
    for file in before:
        if file != before[0] or file.name.startswith(at):  # of two of one place, this is the newer
            _remove(file)


def load(folder: Path) -> TrainingState | None:
    """The newest state that is whole, or None if there is none. Says so where one is not."""
    files = kept(folder)
    for file in files:
        state = _read(file)
        if isinstance(state, dict):
            return state
        rest = "the one before it is taken" if file != files[-1] else "the training begins anew"
        _log.warning("%s %s: %s", file, state, rest)
    return None


def _read(file: Path) -> TrainingState | str:
    """A state, or what is wrong with its file."""
    content = file.read_bytes()
    if _digest(content) != file.stem.rpartition("-")[2]:
        return "is damaged"
    try:
        state: TrainingState = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        return f"can't be read ({str(error).partition(chr(10))[0]})"
    return state if state["format"] == FORMAT else "is of another version"


def copy(folder: Path, to: Path) -> bool:
    """The states of another folder, if there are any, which stay where they are. Whether there
    were."""
    files = kept(folder)
    for file in files:
        write_atomically(to / file.name, file.read_bytes())
    return bool(files)


def forget(folder: Path) -> None:
    for file in kept(folder):
        _remove(file)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_suffix(".json").unlink(missing_ok=True)


def kept(folder: Path) -> list[Path]:
    """The files of the states that are there, the newest first."""
    return sorted(folder.glob(STATES), reverse=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
