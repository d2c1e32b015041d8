"""What a command shows while it waits itself: progress, as one line on stderr."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
import sys
import time
from contextlib import suppress
from typing import Any, TextIO

from classifier.basics.progress import Progress, duration

SECONDS = 0.5
LINES = 10.0
"""Without a terminal, a line of a training this often."""


def open_streams() -> None:
    """Streams that whoever started this has closed (`>&-`) lead to nothing: else the next file that
    is opened would have their number, and get what is printed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # with the lowest number that is free
            os.set_inheritable(opened, True)  # jobs' processes need them too
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


class _Outliving(io.FileIO):
    """A descriptor that leads to nothing once nobody can read it: a pipe whose other end was
    closed, a terminal that is gone."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except OSError as error:
            regular = stat.S_ISREG(os.fstat(self.fileno()).st_mode)
            if error.errno not in (errno.EPIPE, errno.EIO) or regular:
                raise
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return memoryview(content).nbytes


def outlive_readers() -> None:
    """From now on what is printed is lost, and no error, when nobody reads it any more: a run that
    takes hours is not to end with `| head`, or with its terminal."""
    sys.stdout, sys.stderr = (_outliving(stream) for stream in (sys.stdout, sys.stderr))


def _outliving(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream.buffer, io.BytesIO):
        return stream  # what a test puts there
    with suppress(OSError):  # it may be closed already
        stream.flush()
    binary = io.BufferedWriter(_Outliving(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        binary, stream.encoding, stream.errors, line_buffering=stream.line_buffering
    )


def show_any_name() -> None:
    """A name that the terminal can't show is no error: it is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Stderr(logging.StreamHandler[TextIO]):
    """To what stderr is now: a job's is its log."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """It is always stderr."""


def show_log() -> None:
    """What the library says on the way goes to stderr, a line each."""
    for name in ("classifier", "experiments"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not logger.handlers:
            logger.addHandler(_Stderr())
        logger.propagate = False


class Counted:
    """Counts what is done: `looking at images 1,200 of 11,788, about 9 s left`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < SECONDS and done < total:
            return
        if done == total and self._shown == self._start:
            return  # too quick to have been shown
        self._shown = now
        left = (now - self._start) / done * (total - done)
        _line(f"{self._what} {done:,} of {total:,}, about {duration(left)} left", done == total)


class Epochs:
    """A training's report: `epoch 3/20, 312 images/s, best val 0.95000, about 1 min 10 left`."""

    def __init__(self) -> None:
        self._start = self._shown = time.monotonic()
        self._first: int | None = None
        self._counted = Counted("")
        self._over = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if not progress.phase.startswith("epoch"):  # decoding, a part after the other
            if progress.done == 1:
                self._counted = Counted(progress.phase)
            self._counted(progress.done, progress.total)
            return
        if self._first is None:
            self._start, self._first = now, progress.done
        seconds, last = SECONDS if sys.stderr.isatty() else LINES, progress.done == progress.total
        if self._over or (not last and now - self._shown < seconds):
            return
        self._shown, self._over = now, last
        steps = progress.done - self._first
        left = (now - self._start) / steps * (progress.total - progress.done) if steps else None
        parts = [progress.phase]
        parts += (
            [f"{progress.images_per_second:.0f} images/s"] if progress.images_per_second else []
        )
        parts += [f"best val {progress.best:.5f}"] if progress.best is not None else []
        _line(", ".join([*parts, f"about {duration(left)} left"]), last)

    def close(self) -> None:
        """End the line of a training that ended early."""
        if sys.stderr.isatty() and self._first is not None and not self._over:
            print(file=sys.stderr)


class Transfer:
    """Bytes of a download: `fetching 120 of 1,100 MB, about 2 min 10 left`, then `fetching 1,100
    MB: done`."""

    def __init__(self) -> None:
        self._phase = ""
        self._start = self._shown = 0.0
        self._first = 0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._start, self._first, self._shown = phase, now, done, 0.0
        if (now - self._shown < SECONDS or not done) and done != total:
            return
        self._shown = now
        shown = f"{phase} {_megabytes(done)} MB"
        if done == total:
            shown += ": done"
        elif total is not None:
            rate = (done - self._first) / max(now - self._start, 1e-9)
            left = duration((total - done) / rate if rate else None)
            shown = f"{phase} {_megabytes(done)} of {_megabytes(total)} MB, about {left} left"
        _line(shown, done == total)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.{0 if size >= 1e7 else 1}f}"


class Growing:
    """Counts what nobody knows the number of: `making noisy_digits: 1,200 images`."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown, self._is_shown = time.monotonic(), False

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._shown >= (SECONDS if sys.stderr.isatty() else LINES):
            self._shown, self._is_shown = now, True
            _line(f"{self._what}: {done:,} images", False)

    def close(self) -> None:
        """End the line, if one was shown."""
        if sys.stderr.isatty() and self._is_shown:
            print(file=sys.stderr)


def _line(text: str, last: bool) -> None:
    """Over the one before in a terminal, else below it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)
