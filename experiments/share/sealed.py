"""A zip file that shows any change: its manifest has the SHA-256 of each member, and its comment
that of every byte before it.

The same members give the same bytes, wherever zlib compresses alike: no time, no owner, one order.
Nothing of a file is believed: names are checked before anything is written, and no member gives
more bytes than the manifest says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.basics.errors import UserError
from classifier.basics.files import LONGEST_NAME, explain, sync_folder

MANIFEST = "manifest.json"
MOST_MANIFEST = 64 * 2**20
"""Bytes: about 400,000 members."""
SEAL = b"sha256:"
SEALED = len(SEAL) + 64
"""Bytes of a seal."""
CHUNK = 2**20
LONGEST_PATH = 2_048
"""Bytes of a member's folders and name: what is unpacked lies in a folder that has a path, too."""
TIME = (1980, 1, 1, 0, 0, 0)
"""The first that a zip file can hold."""
FILE = 0o100644
"""A regular file that all may read."""
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
"""All that zipfile raises for what is damaged, encrypted, or of another kind."""


class Member(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class Sealed(BaseModel):
    """What each manifest has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: dict[str, Member]
    """All but the manifest, by name."""


M = TypeVar("M", bound=Sealed)
Content = bytes | Path


@dataclass
class Opened(Generic[M]):
    """What a sealed file holds, as far as it is what was sealed."""

    manifest: M | None
    problems: list[str] = field(default_factory=list)
    """What is damaged, by name."""


def member(content: Content) -> Member:
    with _open(content) as opened:
        of = hashlib.sha256()
        size = 0
        while chunk := opened.read(CHUNK):
            of.update(chunk)
            size += len(chunk)
    return Member(sha256=of.hexdigest(), size=size)


def seal(file: Path, manifest: Sealed, contents: Mapping[str, Content]) -> int:
    """Write it whole or not at all, the manifest first. Its bytes. `contents`: by name, as the
    manifest has them.

    Raises UserError where the file can't be written, or is there with other bytes.
    """
    for name in contents:
        if wrong := wrong_name(name):
            raise UserError(f"{name!r} can't be archived: {wrong}")
    try:
        made = tempfile.NamedTemporaryFile(  # noqa: SIM115 - it becomes the file
            dir=file.parent, prefix=".archive-", delete=False
        )
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}") from error
    temporary = Path(made.name)
    try:
        with made:
            _write(made, manifest.model_dump_json(indent=1).encode() + b"\n", contents)
        size = temporary.stat().st_size
        if file.exists() and not _is_same(file, temporary):
            raise UserError(f"{file} is there already, and is another; name another file")
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        wanted = sum(each.size for each in manifest.members.values())
        why = explain(error, file, wanted)
        raise (
            why
            if isinstance(why, UserError)
            else UserError(f"{file} can't be written: {error.strerror}")
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(file.parent)
    return size


def _write(made: IO[bytes], manifest: bytes, contents: Mapping[str, Content]) -> None:
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in {MANIFEST: manifest, **dict(sorted(contents.items()))}.items():
            info = zipfile.ZipInfo(name, TIME)
            info.create_system, info.external_attr = 3, FILE << 16  # as on Unix, everywhere
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with _open(content) as source, archive.open(info, "w") as target:
                shutil.copyfileobj(source, target, CHUNK)
        archive.comment = b" " * SEALED  # its length stands before it
    made.flush()
    sealed = _seal_of(made)
    made.seek(-SEALED, os.SEEK_END)
    made.write(sealed)
    made.flush()
    os.fsync(made.fileno())


def _seal_of(opened: IO[bytes]) -> bytes:
    """What the comment of a file must be."""
    left = opened.seek(0, os.SEEK_END) - SEALED
    opened.seek(0)
    of = hashlib.sha256()
    while left > 0 and (chunk := opened.read(min(left, CHUNK))):
        of.update(chunk)
        left -= len(chunk)
    return SEAL + of.hexdigest().encode()


def unseal(file: Path, kind: type[M], into: Path) -> Opened[M]:
    """Check all of it, and write what is whole into a folder. `kind`: of manifest.

    Raises UserError where the file is not there, or is no such archive at all.
    """
    with closing(_archive(file)) as archive:
        problems = [] if _is_sealed(file, archive.comment) else [_NO_SEAL]
        infos = {info.filename: info for info in archive.infolist()}
        try:
            if (size := infos[MANIFEST].file_size) > MOST_MANIFEST:
                raise ValueError(f"it has {size:,} bytes")
            told = b"".join(_chunks(archive, infos[MANIFEST], MOST_MANIFEST))
            manifest = kind.model_validate_json(told)
        except (KeyError, *_UNREADABLE) as error:
            return Opened(None, [*problems, f"{MANIFEST} {_said_of_manifest(error)}"])
        problems += _wrong_members(archive.infolist(), manifest)
        if not problems or problems == [_NO_SEAL]:
            room = sum(each.size for each in manifest.members.values())
            if room > (free := shutil.disk_usage(into).free):
                raise UserError(
                    f"{file} needs {room / 2**20:,.1f} MiB in {into}, where {free / 2**20:,.1f} "
                    "MiB are free; set TMPDIR to a folder with more"
                )
            for name, each in manifest.members.items():
                if problem := _extract(archive, infos[name], each, into / name):
                    problems.append(f"{name} {problem}")
    return Opened(manifest, problems)


_NO_SEAL = "its bytes are not those that were written: it was changed"


def _archive(file: Path) -> zipfile.ZipFile:
    if not file.is_file():
        what = "is no file" if file.exists() else "is not there"
        raise UserError(f"{file} {what}; name a file that --archive wrote")
    try:
        return zipfile.ZipFile(file)
    except _UNREADABLE as error:
        raise NoArchiveError(f"{file} is no archive, or a part of one: {error}") from error


class NoArchiveError(UserError):
    """A file that is no zip at all, or is cut off."""


def _said_of_manifest(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "is missing: it is no archive of this program"
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"is damaged or of another version ({first['msg']} at {where or 'its top'})"
    return f"can't be read: {error}"


def wrong_name(name: str) -> str:
    """Why no member may have this name; nothing where it may."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return "it leads out of the archive"
    if str(path) != name or "\\" in name or "\0" in name or name == ".":
        return "it is no plain path"
    try:
        lengths = [len(part.encode()) for part in path.parts]
    except UnicodeEncodeError:
        return "it is no text"
    if max(lengths) > LONGEST_NAME or sum(lengths) > LONGEST_PATH:
        return "it is too long for a file's name"
    return ""


def _wrong_members(infos: list[zipfile.ZipInfo], manifest: Sealed) -> list[str]:
    """What of the zip's list is not as the manifest says: nothing of it may be written then."""
    problems, seen = [], {MANIFEST: True}
    folders = {str(each) for name in manifest.members for each in PurePosixPath(name).parents}
    for name in manifest.members:
        if wrong := wrong_name(name):
            problems.append(f"{name!r} must not be there: {wrong}")
        elif name in folders or name == MANIFEST:
            problems.append(f"{name!r} must not be there: it is a file and a folder")
    for info in infos[1:] if infos and infos[0].filename == MANIFEST else infos:
        name = info.filename
        said = manifest.members.get(name)
        if name in seen:
            problems.append(f"{name!r} must not be there: it is there twice")
        elif wrong := wrong_name(name):
            problems.append(f"{name!r} must not be there: {wrong}")
        elif info.external_attr >> 16 != FILE:
            problems.append(f"{name!r} must not be there: it is no plain file")
        elif said is None:
            problems.append(f"{name!r} must not be there: the manifest does not have it")
        elif info.compress_type not in _KINDS or info.flag_bits & 1:
            problems.append(f"{name!r} is packed in a way that --archive has not")
        elif info.file_size != said.size:
            problems.append(f"{name} has {info.file_size:,} bytes, and {said.size:,} were sealed")
        seen[name] = True
    problems += [f"{name} is missing" for name in manifest.members if name not in seen]
    return list(dict.fromkeys(problems))


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, said: Member, file: Path) -> str:
    """What is wrong with a member; it is written where nothing is."""
    of = hashlib.sha256()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("wb") as target:
            for chunk in _chunks(archive, info, said.size):
                of.update(chunk)
                target.write(chunk)
    except _UNREADABLE as error:
        file.unlink(missing_ok=True)
        return f"is damaged: {error}"
    if of.hexdigest() != said.sha256:
        file.unlink()
        return "is not what was sealed: its SHA-256 is another"
    return ""


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """A member's bytes. Raises ValueError as soon as there are more than `most`."""
    with archive.open(info) as opened:
        read = 0
        while chunk := opened.read(CHUNK):
            read += len(chunk)
            if read > most:
                raise ValueError(f"it has more than {most:,} bytes")
            yield chunk


def _is_sealed(file: Path, comment: bytes) -> bool:
    """Whether it is the last of the file, and the hash of all before it."""
    with file.open("rb") as opened:
        sealed = _seal_of(opened)
        return opened.read() == sealed == comment


def _is_same(a: Path, b: Path) -> bool:
    return a.is_file() and member(a) == member(b)


def _open(content: Content) -> BinaryIO:
    if isinstance(content, Path):
        return content.open("rb")
    return BytesIO(content)
