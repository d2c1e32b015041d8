"""What each runner says of its jobs while they run: its board, a file beside its leases.

Written by a thread of its own every few seconds, by a rename, so that nobody reads a half of one. A
job's process knows nothing of it. Whoever looks on reads all runners' boards: another runner, to
know what waits no longer, and `--watch`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from classifier.basics.machine import Platform
from classifier.basics.progress import Progress
from experiments.execution.view.remaining import Course
from experiments.store.layout import LEASES
from experiments.store.leases import SECONDS, Holder, me, read_holder

WRITE_SECONDS = 2.0
"""How often what changed is written."""
BEAT_SECONDS = 10.0
"""How often a board is written anew though nothing changed: it tells that its runner lives."""
KEPT_SECONDS = 24 * 3600.0
"""So long what a runner left that can't be looked at from here stays."""
BOARD = "board-"


@dataclass(frozen=True)
class Running:
    """A running job, as its runner tells it."""

    job: str
    """Its id."""
    device: str
    course: Course
    tries: int = 1
    progress: Progress | None = None
    is_speed: bool = False

    @property
    def disturbs_nobody(self) -> bool:
        """It measures no speed now."""
        return not self.is_speed or (self.progress is not None and self.progress.is_waiting)


@dataclass(frozen=True)
class _Written:
    about: dict[str, Any]
    slots: int
    platform: Platform
    jobs: tuple[Running, ...]


@dataclass(frozen=True)
class Board:
    """What a runner said last."""

    runner: Holder
    slots: int
    """Its places for jobs."""
    platform: Platform
    """Where it measures speeds."""
    jobs: tuple[Running, ...]
    file: str
    written: float
    """By the file server's clock, in seconds since the epoch."""


_WRITTEN: TypeAdapter[_Written] = TypeAdapter(_Written)


def read(root: Path) -> list[Board]:
    """The boards in a store, also those that runners left that were killed; nothing is written."""
    return [board for file in sorted((root / LEASES).glob(f"{BOARD}*")) if (board := _read(file))]


def _read(file: Path) -> Board | None:
    """None where it was taken away just now, or is of another version."""
    try:
        holder = read_holder(file)
        written = _WRITTEN.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    if holder is None:
        return None
    return Board(holder, written.slots, written.platform, written.jobs, file.name, holder.touched)


@dataclass
class Boards:
    """This runner's board, and a look at the others'. Use it as a context: inside it is written."""

    root: Path
    slots: int
    platform: Platform
    running: Callable[[], Sequence[Running]]
    others: Callable[[list[Board]], None] = field(default=lambda boards: None)
    """Hears every few seconds what the other runners that live say."""

    def __post_init__(self) -> None:
        self._file = self.root / LEASES / f"{BOARD}{secrets.token_hex(4)}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def __enter__(self) -> Boards:
        self._sweep()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        before: bytes = b""
        at = 0.0
        while not self._over.is_set():
            jobs = tuple(self.running())
            said = repr([(each.job, each.tries, each.progress) for each in jobs]).encode()
            if said != before or time.monotonic() - at >= BEAT_SECONDS:
                before, at = said, time.monotonic()
                with suppress(OSError):  # a full disk, no network: the run goes on
                    self._write(_WRITTEN.dump_json(_Written(me(), self.slots, self.platform, jobs)))
            with suppress(OSError):
                self.others([board for board in read(self.root) if self._is_another(board)])
            self._over.wait(WRITE_SECONDS)

    def _write(self, content: bytes) -> None:
        """By a rename, and not kept from a power cut: it is old in seconds."""
        temporary = self._file.with_name(f".{self._file.name}")
        temporary.write_bytes(content)
        temporary.replace(self._file)

    def _is_another(self, board: Board) -> bool:
        is_over = time.time() - board.written > SECONDS
        return board.file != self._file.name and not board.runner.is_dead() and not is_over

    def _sweep(self) -> None:
        """What runners of this machine left that were killed, or others long ago."""
        for board in read(self.root):
            if board.runner.is_dead() or time.time() - board.written > KEPT_SECONDS:
                with suppress(OSError):
                    (self.root / LEASES / board.file).unlink(missing_ok=True)
