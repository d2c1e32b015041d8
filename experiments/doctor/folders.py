"""Whether folders keep what the store, its leases and the cache ask of a file system.

All is tried in a folder of its own in each, which is removed. Where a folder is not there yet, in
the one that it would be made in.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import psutil

from classifier.basics.files import sync_folder
from experiments.doctor.finding import GIB, Finding, size
from experiments.store.leases import SECONDS, fresh

PREFIX = ".doctor-"
"""Begins the name of what is tried in; hidden, so that a reader of a store passes it by."""
ANSWER_SECONDS = 20.0
"""A network file system whose server is gone answers never."""
TRIED_BYTES = 2**20
LEAST_FREE, ENOUGH_FREE = GIB, 10 * GIB
"""A training of ResNet-50 keeps about 0.7 GiB: its weights, and two states."""
FEWEST_FILES = 10_000
SLOW_SYNC, CLOCK_NOTED = 1.0, 5.0
"""Seconds."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

_REMEDIES = {
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EROFS: "mount it to be written",
    errno.ENOTDIR: "move what has its name",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
}


@dataclass(frozen=True)
class Promise:
    """What is asked of a file system, and what breaks without it."""

    tried: Callable[[Path], None]
    """In an empty folder. Raises OSError where it can't be done, Broken where it is not kept."""
    broken: str


class Broken(Exception):  # noqa: N818
    """Something was done that should have been refused, or came out otherwise."""


@dataclass(frozen=True)
class State:
    """What was found of a folder on a disk that answers and can be written."""

    free: int
    """Bytes."""
    files_left: int | None
    """None where the file system does not count them."""
    sync_seconds: float
    clock_off: float
    """Seconds that its server's clock is ahead of this machine's."""
    kind: str
    """Of the file system."""


def look(about: str, folder: Path, flag: str, promises: Iterable[Promise]) -> list[Finding]:
    """Of a folder that is written. `flag`: how another one is named."""
    return _in_time(about, folder, flag, lambda: _looked(about, folder, flag, promises))


def read(about: str, folder: Path, flag: str, absent: str) -> list[Finding]:
    """Of data, which are read only. `absent`: what to say where they are not there."""
    return _in_time(about, folder, flag, lambda: [_read(about, folder, flag, absent)])


def _in_time(
    about: str, folder: Path, flag: str, looked: Callable[[], list[Finding]]
) -> list[Finding]:
    answer: Future[list[Finding]] = Future()

    def ask() -> None:
        try:
            answer.set_result(looked())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()  # one that hangs ends with the program
    try:
        return answer.result(ANSWER_SECONDS)
    except TimeoutError:
        found = f"{folder} does not answer in {ANSWER_SECONDS:g} s"
        advice = f"is its file server there? name another folder with {flag}"
        return [Finding("bad", about, found, advice)]


def _looked(about: str, folder: Path, flag: str, promises: Iterable[Promise]) -> list[Finding]:
    other = f"name another folder with {flag}"
    try:
        there = nearest(folder)
        is_there = there == folder.absolute()
        where = str(folder) if is_there else f"{folder} is not there, and would be made"
        inside = Path(tempfile.mkdtemp(dir=there, prefix=PREFIX))
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        advice = f"{remedy}, or {other}" if remedy else other
        return [Finding("bad", about, _said(folder, error), advice)]
    try:
        return _tried(about, where, inside, other, promises)
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that is there. Raises OSError for what is no
    folder, and for what can't be looked at."""
    folder = folder.absolute()
    while True:
        try:
            mode = folder.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):  # the latter: what is in its way is above
            if folder.is_symlink():
                raise
            folder = folder.parent
            continue
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        return folder


def _tried(
    about: str, where: str, inside: Path, other: str, promises: Iterable[Promise]
) -> list[Finding]:
    found = []
    for index, promise in enumerate(promises):
        part = inside / str(index)
        try:
            part.mkdir()
            promise.tried(part)
        except (OSError, Broken) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if isinstance(error, OSError) and error.errno in _FULL:
                return [Finding("bad", about, f"{where}: {said}", f"make room, or {other}")]
            found.append(Finding("bad", about, f"{where}: {said}", f"{promise.broken}: {other}"))
    try:
        judged = judge(about, where, _state(inside), other)
    except OSError as error:
        judged = [Finding("bad", about, f"{where}: {error.strerror}", other)]
    return found + [each for each in judged if not found or each.grade != "ok"]


def judge(about: str, where: str, state: State, other: str) -> list[Finding]:
    """Of a folder that can be written: one line if all is well, else one for each thing."""
    free = f"{where}: {size(state.free)} are free"
    odd = []
    if state.free < LEAST_FREE:
        odd.append(Finding("bad", about, free, f"make room, or {other}"))
    elif state.free < ENOUGH_FREE:
        odd.append(Finding("note", about, free, "that is little for many checkpoints"))
    if state.files_left is not None and state.files_left < FEWEST_FILES:
        found = f"{where}: {state.files_left:,} more files fit (df -i)"
        odd.append(Finding("bad", about, found, f"delete files, or {other}"))
    if state.sync_seconds > SLOW_SYNC:
        found = f"{where}: an fsync of {size(TRIED_BYTES)} takes {state.sync_seconds:.1f} s"
        odd.append(Finding("note", about, found, "states are kept less often there"))
    if abs(state.clock_off) > CLOCK_NOTED:
        way = "ahead of" if state.clock_off > 0 else "behind"
        found = f"{where}: its clock is {abs(state.clock_off):,.0f} s {way} this machine's"
        if abs(state.clock_off) > SECONDS / 2:
            advice = "--plan and --watch may take a runner for lost: have NTP set both clocks"
            odd.append(Finding("bad", about, found, advice))
        else:
            odd.append(Finding("note", about, found, "have NTP set both clocks"))
    fine = (
        f"{free}, {state.kind or 'unknown'} file system, fsync {state.sync_seconds * 1000:.0f} ms"
    )
    return odd or [Finding("ok", about, fine)]


def _read(about: str, folder: Path, flag: str, absent: str) -> Finding:
    try:
        there = nearest(folder)
        if there != folder.absolute():
            return Finding("note", about, f"{folder} is not there", absent)
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return Finding("bad", about, _said(folder, error), f"name another with {flag}")
    return Finding("ok", about, f"{folder} can be read")


def _said(folder: Path, error: OSError) -> str:
    """With the folder above it that is at fault, if it is not at fault itself."""
    at = str(error.filename or folder)
    is_itself = PREFIX in at or Path(at).absolute() == folder.absolute()
    return f"{folder} can't be used: {error.strerror}{'' if is_itself else f' ({at})'}"


def _state(inside: Path) -> State:
    counted = os.statvfs(inside)
    start = time.perf_counter()
    file = inside / "sync"
    with file.open("wb") as opened:
        opened.write(bytes(TRIED_BYTES))
        opened.flush()
        os.fsync(opened.fileno())
    sync_folder(inside)
    synced = time.perf_counter() - start
    return State(
        counted.f_bavail * counted.f_frsize,
        counted.f_favail if counted.f_files else None,
        synced,
        clock_off(inside / "clock"),
        _kind(inside),
    )


def clock_off(file: Path) -> float:
    """Seconds that the clock of a file's server is ahead; 0 within what the asking took, and a
    second, which some file systems count in."""
    before = time.time()
    file.touch()
    touched = fresh(file).st_mtime
    after = time.time()
    if before - 1 <= touched <= after + 1:
        return 0.0
    return touched - (before + after) / 2


def _kind(folder: Path) -> str:
    path = folder.resolve()
    on = [
        (len(Path(each.mountpoint).parts), each.fstype)
        for each in psutil.disk_partitions(all=True)
        if path.is_relative_to(each.mountpoint)
    ]
    return max(on, default=(0, ""))[1]


# What is asked ---------------------------------------------------------------------------------


def exclusive(folder: Path) -> None:
    file = folder / "lease"
    for refused in (False, True):
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        except FileExistsError:
            if not refused:
                raise
        else:
            if refused:
                raise Broken("a file that is there can be created (O_EXCL)")


def rename(folder: Path) -> None:
    """A file over another, a folder to a new name, and not over a folder that is not empty."""
    old, new = folder / "old", folder / "new"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    new.replace(old)
    if old.read_bytes() != b"new" or new.exists():
        raise Broken("a file that is renamed over another one does not replace it")
    for name in ("first", "second"):
        (folder / name).mkdir()
        (folder / name / "record").write_bytes(name.encode())
        try:
            (folder / name).rename(folder / "unit")
        except OSError:
            if name == "first":
                raise
        else:
            if name == "second":
                raise Broken("a folder can be renamed over one that is not empty")
    if (folder / "unit" / "record").read_bytes() != b"first":
        raise Broken("a folder that is renamed has other contents")


def whole(folder: Path) -> None:
    """What is written and synced is there, a megabyte of it."""
    content = os.urandom(TRIED_BYTES)
    with (folder / "written").open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    sync_folder(folder)
    if (folder / "written").read_bytes() != content:
        raise Broken("what is read is not what was written")


def lock(folder: Path) -> None:
    with (folder / "lock").open("wb") as one, (folder / "lock").open("wb") as other:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise Broken("two may have one lock (flock)")


def mapped(folder: Path) -> None:
    (folder / "pixels").write_bytes(b"pixels")
    with (
        (folder / "pixels").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as seen,
    ):
        if seen[:] != b"pixels":
            raise Broken("a file that is mapped into memory has other contents")


WHOLE = Promise(whole, "what is written there may be lost")
RENAME = Promise(rename, "results could be published by halves")
EXCLUSIVE = Promise(exclusive, "two runners could do one job")
LOCK = Promise(lock, "two processes could decode into one file")
MAPPED = Promise(mapped, "decoded images can't be read there")
RUNS, CACHE, REPORTS = (WHOLE, RENAME, EXCLUSIVE), (WHOLE, RENAME, LOCK, MAPPED), (WHOLE, RENAME)
"""What is asked of each folder."""
