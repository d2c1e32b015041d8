"""A data set from its archive: fetched, checked, extracted; at its place whole or not at all.

A download that was cut is kept as `<archive>.part`, and the next call goes on from there.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, path_key, sync_folder

OnTransfer = Callable[[str, int, int | None], None]
"""`fetching` or `extracting`, the archive's bytes done, its bytes in all if they are known."""

CHUNK = 1 << 20
TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as cut."""


@dataclass(frozen=True)
class Archive:
    """A data set's tar file on a server, which holds one folder with all else in it."""

    data: str
    """The data set's name."""
    url: str
    md5: str
    size: str
    """For people: `1.1 GB`."""
    images: str
    """The folder of class folders in it, from the top: `CUB_200_2011/images`."""

    def not_there(self, root: Path) -> UserError:
        """The error that says how to do by hand what `download` does."""
        return UserError(
            f"{self.data} is not at {root / self.images}. Fetch {self.url} ({self.size}, MD5 "
            f"{self.md5}) and extract it into {root}, or name another folder with --data-root"
        )


def download(
    archive: Archive, root: Path, progress: OnTransfer = lambda phase, done, total: None
) -> Path:
    """The archive's folder under `root`, fetched if it is not there. Raises UserError."""
    images = root / archive.images
    target = root / PurePosixPath(archive.images).parts[0]
    part = root / f"{PurePosixPath(urlsplit(archive.url).path).name}.part"
    if images.is_dir():
        return target
    # Not in `root`, which is made only once there is something to put into it.
    with FileLock(cache_folder("downloads") / f"{path_key(root)}.lock"):
        if images.is_dir():  # another process was at it
            return target
        if target.exists():
            lacks = f"{images.relative_to(target)}/"
            raise UserError(f"{target} is there but has no {lacks} in it; move it away first")
        if not (part.is_file() and _md5(part) == archive.md5):
            _fetch(archive, part, progress)
            md5 = _md5(part)
            if md5 != archive.md5:
                part.unlink()
                raise UserError(
                    f"what {archive.url} gave has the MD5 {md5} instead of {archive.md5}, so it "
                    "was deleted; the same command fetches it again"
                )
        _extract(archive, part, target, progress)
        part.unlink()
    return target


def _fetch(archive: Archive, part: Path, progress: OnTransfer) -> None:
    """The rest of the archive into `part`, or all of it if the server gives no rest."""
    response, done = _open(archive, part)
    with response:
        with _writing(part.parent):
            part.parent.mkdir(parents=True, exist_ok=True)
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        if total is not None:
            # The archive, and about the same again when its JPEGs are extracted.
            _check_space(archive, part.parent, total - done + total)
        with _writing(part), part.open("ab" if done else "wb") as file:
            progress("fetching", done, total)
            for chunk in _chunks(response, part):
                file.write(chunk)
                done += len(chunk)
                progress("fetching", done, total)
    if total is not None and done < total:
        raise _cut(part, f"after {done:,} of {total:,} bytes")


def _open(archive: Archive, part: Path) -> tuple[http.client.HTTPResponse, int]:
    """The answer to a request for what `part` lacks, and the byte that it starts at: 0 if the
    server gives only the whole."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        request = Request(archive.url, headers=headers)  # noqa: S310 - the caller's own address
        response: http.client.HTTPResponse = urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # more than the server has: not a part of this archive
            part.unlink()
            return _open(archive, part)
        raise _unreachable(archive, part.parent, str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(archive, part.parent, str(reason)) from error
    if response.status != 206:
        return response, 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return response, have
    response.close()
    raise _unreachable(archive, part.parent, "the server gave another range than was asked for")


def _chunks(response: http.client.HTTPResponse, part: Path) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _cut(part, f"({error})") from error
        if not chunk:
            return
        yield chunk


def _extract(archive: Archive, part: Path, target: Path, progress: OnTransfer) -> None:
    """Into a folder beside the target, then one rename."""
    total = part.stat().st_size
    _check_space(archive, target.parent, total)
    beside = target.with_name(f".{target.name}.extracting")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    try:
        with _writing(beside):
            beside.mkdir()
            with part.open("rb") as file, tarfile.open(fileobj=file) as tar:
                for member in tar:
                    # The data set has no links, and links are how archives have got past filters.
                    if not (member.isfile() or member.isdir()):
                        raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
                    tar.extract(member, beside, filter="data")
                    progress("extracting", file.tell(), total)
            if not (beside / archive.images).is_dir():
                raise tarfile.TarError(f"it has no {archive.images}")
            (beside / target.name).rename(target)
            sync_folder(target.parent)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        part.unlink()
        raise UserError(f"the archive {part} was refused and deleted: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check_space(archive: Archive, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free:,} bytes free, and {archive.data} needs {needed:,} (archive and "
            "images); make room or name another folder with --data-root"
        )


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """The disk's errors as the user's; those without a number are of an archive's contents."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; make room and give the same command again" if full else ""
        raise UserError(f"{path} can't be written: {error.strerror}{advice}") from error


def _unreachable(archive: Archive, root: Path, reason: str) -> UserError:
    return UserError(f"{archive.url} can't be fetched: {reason}. {archive.not_there(root)}")


def _cut(part: Path, where: str) -> UserError:
    return UserError(
        f"the connection was cut {where}; {part} keeps what came, and the same command resumes"
    )


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()
