"""Files that are whole or absent, and the folder for what can be made again."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path, PurePath
from typing import BinaryIO

from classifier.basics.errors import UserError

NAME = "classifier-ablations"
LONGEST_NAME = 255
"""Bytes of a file's name, as nearly all file systems have it."""
AROUND = 10
"""Bytes of a temporary name beside the name it stands for: two dots, and eight of tempfile's."""
_UMASK = os.umask(0o022)
os.umask(_UMASK)  # it can be read by setting it only


def cache_root() -> Path:
    """Where derived data lie, under XDG_CACHE_HOME (~/.cache); it need not be there."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:  # a container's bare user id
        raise UserError(
            "there is no home folder for the cache: set XDG_CACHE_HOME to a folder that can be "
            "written, or HOME"
        ) from error
    return base / NAME


def cache_folder(purpose: str) -> Path:
    """A folder for derived data under `cache_root`; deleting it loses nothing."""
    folder = cache_root() / purpose
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} can't be made ({error.strerror}); set XDG_CACHE_HOME to a "
            "folder that can be written"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"the cache folder {folder} can't be written; set XDG_CACHE_HOME to one that can be"
        )
    return folder


def make_folder(folder: Path) -> None:
    """Raises UserError, naming it, where a folder can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} can't be made: {error.strerror}") from error


def longest_name(folder: Path) -> int:
    """Bytes that a file's name may have in a folder; fewer where names are encrypted."""
    most = os.pathconf(folder, "PC_NAME_MAX")
    return most if 0 < most < LONGEST_NAME else LONGEST_NAME


def short_name(name: str, most: int = LONGEST_NAME) -> str:
    """The name itself where it has at most so many bytes; else its beginning, whole characters, and
    8 hex digits that stand for all of it."""
    encoded = os.fsencode(name)
    if len(encoded) <= most:
        return name
    stands_for_all = f"-{hashlib.sha256(encoded).hexdigest()[:8]}"
    return encoded[: most - len(stands_for_all)].decode(errors="ignore") + stands_for_all


def write_atomically(file: Path, content: bytes) -> None:
    """Write, fsync, rename: a reader sees the old content or the new, never a part."""
    begins = short_name(file.name, longest_name(file.parent) - AROUND)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{begins}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            _write(opened, content, file)
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(file)
    except BaseException:
        temporary.unlink()
        raise
    sync_folder(file.parent)


def write_whole(file: Path, content: bytes) -> None:
    """Write and fsync, in a folder that is published when all its files are there."""
    with file.open("wb") as opened:
        _write(opened, content, file)


def _write(opened: BinaryIO, content: bytes, file: Path) -> None:
    try:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    except OSError as error:
        raise explain(error, file, len(content)) from error


def explain(error: OSError, file: Path, size: int) -> Exception:
    """A full disk as what the user can mend, any other error as it is. `size`: bytes wanted."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    free = shutil.disk_usage(file.parent).free
    return UserError(
        f"no space for {file}: {size / 2**20:,.1f} MiB are needed and {free / 2**20:,.1f} MiB are "
        "free; make room, and run the same command again"
    )


def sha256(file: Path) -> str:
    """64 hex digits over a file's contents."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


CHECKPOINTS = (".safetensors",)
WEIGHTS = (*CHECKPOINTS, ".pth", ".pt")
"""How the names end of files that hold checkpoints of ours, and weights of any source."""


def content_hash(file: Path, suffixes: Collection[str]) -> str:
    """SHA-256 of a file that the user names, 64 hex digits; a file that stays is read once.

    Raises UserError where it is not there, can't be read, or is of another kind.
    """
    if file.suffix.lower() not in suffixes:
        raise UserError(f"{file} is of no kind that is known here: {', '.join(suffixes)}")
    try:
        stats = file.stat()
        if not stat.S_ISREG(stats.st_mode):
            raise UserError(f"{file} is no file")
        return _hashed(file, stats.st_size, stats.st_mtime_ns)
    except FileNotFoundError as error:
        raise UserError(f"{file} is not there") from error
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error


@cache
def _hashed(file: Path, size: int, modified: int) -> str:
    return sha256(file)


def digest(file: Path) -> str:
    """16 hex digits of SHA-256 over a file's contents."""
    return sha256(file)[:16]


def path_key(path: Path) -> str:
    """16 hex digits that stand for a place: the name of what the cache folder keeps of it."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stays_in(folder: Path, path: str) -> bool:
    """Whether a relative path leads to something in the folder, its links followed."""
    if PurePath(path).is_absolute() or ".." in PurePath(path).parts:
        return False
    try:
        return (folder / path).resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError):  # a NUL in it; links in a circle
        return False
