"""A data set from its archives: fetched, checked, extracted; at its place whole or not at all.

A download that was cut is kept as `<archive>.part`, and the next call goes on from there.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import shutil
import stat
import tarfile
import zipfile
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
class File:
    """One file of a data set on a server: a tar or zip archive, a `.gz`, or as it is to be used."""

    url: str
    md5: str
    sha256: str | None = None
    """Beside the MD5, where it is published."""
    into: str = "."
    """The folder that it is unpacked into, under the data root."""
    inner: str | None = None
    """A pattern for the archives in this archive that hold what counts, as `gzip/*.gz`."""

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name

    def wrong_hash(self, there: Path) -> str | None:
        """What is wrong with what came: None, or `the MD5 ... instead of ...`."""
        for kind, wanted in (("md5", self.md5), ("sha256", self.sha256)):
            found = _digest(there, kind) if wanted else None
            if found != wanted:
                return f"the {'MD5' if kind == 'md5' else 'SHA-256'} {found} instead of {wanted}"
        return None


@dataclass(frozen=True)
class Archive:
    """The files of a data set on a server, which make one folder under the data root."""

    data: str
    """The data set's name."""
    files: tuple[File, ...]
    size: str
    """For people: `1.1 GB`."""
    needs: tuple[str, ...]
    """What must be there, under the data root, the images first: `CUB_200_2011/images`."""
    by_hand: str = ""
    """What to do for one that can't be fetched, which has no files; it ends in a preposition before
    the data root."""

    @property
    def folder(self) -> str:
        """The one that all lies in."""
        return PurePosixPath(self.needs[0]).parts[0]

    def is_there(self, root: Path) -> bool:
        return all((root / path).exists() for path in self.needs)

    def to_get(self, root: Path) -> str:
        if self.is_there(root):
            return ""
        return (
            "not there; it is got by hand" if self.by_hand else f"not there; {self.size} to fetch"
        )

    def not_there(self, root: Path) -> UserError:
        """The error that says how to do by hand what `download` does."""
        lacks = next((path for path in self.needs if not (root / path).exists()), self.needs[0])
        if self.by_hand:
            return UserError(
                f"{self.data} is not at {root / lacks}. {self.by_hand} {root}, or name another "
                "folder with --data-root"
            )
        into = {file.into: root / file.into for file in self.files}
        one = self.files[0]
        if len(self.files) == 1:
            what = f"Fetch {one.url} ({self.size}, MD5 {one.md5}) and extract it"
        else:
            each = ", ".join(f"{file.url} (MD5 {file.md5})" for file in self.files)
            what = f"Fetch {each} ({self.size} in all) and extract them"
        return UserError(
            f"{self.data} is not at {root / lacks}. {what} into "
            f"{' and '.join(map(str, into.values()))}, or name another folder with --data-root"
        )

    def part_of(self, file: File, root: Path) -> Path:
        """Where what has come of a file is kept. Of several files the set's name stands before, for
        many sets have an images.tar.gz."""
        before = f"{self.data}-" if len(self.files) > 1 else ""
        return root / f"{before}{file.name}.part"


def download(
    archive: Archive, root: Path, progress: OnTransfer = lambda phase, done, total: None
) -> Path:
    """The archive's folder under `root`, fetched if it is not there. Raises UserError."""
    target = root / archive.folder
    if archive.is_there(root):
        return target
    if not archive.files:
        raise archive.not_there(root)
    # Not in `root`, which is made only once there is something to put into it.
    with FileLock(cache_folder("downloads") / f"{path_key(root)}.lock"):
        if archive.is_there(root):  # another process was at it
            return target
        if target.exists():
            lacks = next(path for path in archive.needs if not (root / path).exists())
            raise UserError(
                f"{target} is there but has no {PurePosixPath(lacks).relative_to(archive.folder)} "
                "in it; move it away first"
            )
        for file in archive.files:
            _fetch_whole(archive, file, root, progress)
        _extract(archive, root, progress)
        for file in archive.files:
            archive.part_of(file, root).unlink()
    return target


def _fetch_whole(archive: Archive, file: File, root: Path, progress: OnTransfer) -> None:
    """Raises UserError for what has another hash, before anything looks into it."""
    part = archive.part_of(file, root)
    if part.is_file() and file.wrong_hash(part) is None:
        return
    _fetch(archive, file, part, progress)
    wrong = file.wrong_hash(part)
    if wrong is not None:
        part.unlink()
        raise UserError(
            f"what {file.url} gave has {wrong}, so it was deleted; the same command fetches it "
            "again"
        )


def _fetch(archive: Archive, file: File, part: Path, progress: OnTransfer) -> None:
    """The rest of the archive into `part`, or all of it if the server gives no rest."""
    response, done = _open(archive, file, part)
    with response:
        with _writing(part.parent):
            part.parent.mkdir(parents=True, exist_ok=True)
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        if total is not None:
            # The archive, and about the same again when its JPEGs are extracted.
            _check_space(archive, part.parent, total - done + total)
        with _writing(part), part.open("ab" if done else "wb") as kept:
            progress("fetching", done, total)
            for chunk in _chunks(response, part):
                kept.write(chunk)
                done += len(chunk)
                progress("fetching", done, total)
    if total is not None and done < total:
        raise _cut(part, f"after {done:,} of {total:,} bytes")


def _open(archive: Archive, file: File, part: Path) -> tuple[http.client.HTTPResponse, int]:
    """The answer to a request for what `part` lacks, and the byte that it starts at: 0 if the
    server gives only the whole."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        request = Request(file.url, headers=headers)  # noqa: S310 - the caller's own address
        response: http.client.HTTPResponse = urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # more than the server has: not a part of this archive
            part.unlink()
            return _open(archive, file, part)
        raise _unreachable(archive, file, part.parent, str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _unreachable(archive, file, part.parent, str(reason)) from error
    if response.status != 206:
        return response, 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return response, have
    response.close()
    raise _unreachable(
        archive, file, part.parent, "the server gave another range than was asked for"
    )


def _chunks(response: http.client.HTTPResponse, part: Path) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _cut(part, f"({error})") from error
        if not chunk:
            return
        yield chunk


def _extract(archive: Archive, root: Path, progress: OnTransfer) -> None:
    """All files into a folder beside the target, then one rename."""
    parts = {file: archive.part_of(file, root) for file in archive.files}
    _check_space(archive, root, sum(part.stat().st_size for part in parts.values()))
    beside = root / f".{archive.folder}.extracting"
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    part = parts[archive.files[0]]
    try:
        with _writing(beside):
            beside.mkdir()
            for file, part in parts.items():  # the last one is named in the error
                _unpack(file, part, beside, progress)
            for path in archive.needs:
                if not (beside / path).exists():
                    raise tarfile.TarError(f"it has no {path}")
            (beside / archive.folder).rename(root / archive.folder)
            sync_folder(root)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
    ) as error:
        part.unlink()
        raise UserError(f"the archive {part} was refused and deleted: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unpack(file: File, part: Path, beside: Path, progress: OnTransfer) -> None:
    into = beside / file.into
    if file.inner is None:
        _unpack_one(part, file.name, into, progress)
        return
    outer = beside / ".outer"
    _unpack_one(part, file.name, outer, progress)
    inner = sorted(outer.glob(file.inner))
    if not inner:
        raise tarfile.TarError(f"it has no {file.inner}")
    for each in inner:
        _unpack_one(each, each.name, into, progress)
    shutil.rmtree(outer)


def _unpack_one(packed: Path, name: str, into: Path, progress: OnTransfer) -> None:
    """By the end of its name, whatever it is called here."""
    into.mkdir(parents=True, exist_ok=True)
    if name.endswith((".tar", ".tar.gz", ".tgz")):
        _untar(packed, into, progress)
    elif name.endswith(".zip"):
        _unzip(packed, into, progress)
    elif name.endswith(".gz"):
        with gzip.open(packed) as whole, (into / name.removesuffix(".gz")).open("wb") as file:
            shutil.copyfileobj(whole, file, CHUNK)
    else:
        shutil.copyfile(packed, into / name)


def _untar(packed: Path, into: Path, progress: OnTransfer) -> None:
    total = packed.stat().st_size
    with packed.open("rb") as file, tarfile.open(fileobj=file) as tar:
        for member in tar:
            # The data sets have no links, and links are how archives have got past filters.
            if not (member.isfile() or member.isdir()):
                raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
            tar.extract(member, into, filter="data")
            progress("extracting", file.tell(), total)


def _unzip(packed: Path, into: Path, progress: OnTransfer) -> None:
    """zipfile would put a path that leads outside somewhere inside; here it is refused."""
    done = 0
    with zipfile.ZipFile(packed) as archive:
        total = sum(member.compress_size for member in archive.infolist())
        for member in archive.infolist():
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise zipfile.BadZipFile(f"{member.filename} leads outside")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise zipfile.BadZipFile(f"{member.filename} is neither a file nor a folder")
            archive.extract(member, into)
            done += member.compress_size
            progress("extracting", done, total)


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


def _unreachable(archive: Archive, file: File, root: Path, reason: str) -> UserError:
    return UserError(f"{file.url} can't be fetched: {reason}. {archive.not_there(root)}")


def _cut(part: Path, where: str) -> UserError:
    return UserError(
        f"the connection was cut {where}; {part} keeps what came, and the same command resumes"
    )


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, lambda: hashlib.new(kind, usedforsecurity=False))
    return digest.hexdigest()
