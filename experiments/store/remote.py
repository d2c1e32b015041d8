"""Runs folders that are no folders of this machine: `s3://bucket/runs` and whatever else fsspec
opens. What is wanted of one is copied, and the copy is used as any other folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from classifier.basics.errors import UserError
from classifier.basics.files import make_folder, stays_in, write_atomically
from experiments.store import layout
from experiments.store.others import not_there

KNOWN = "known.json"
"""In a copy: what each file of the other side was when it was copied."""


def is_remote(name: str) -> bool:
    return "://" in name


def copy(url: str, wanted: Collection[str], runs: Path) -> Path:
    """A folder below `runs` that has the units of the wanted runs, by signature, as they are there
    now; what has not changed since is not fetched again. Only runs that a runner named are found.

    Raises UserError where it can't be read.
    """
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    folder = runs.absolute() / layout.ALSO / name
    make_folder(folder)
    with FileLock(f"{folder}.lock"):
        try:
            _copy(url, wanted, folder)
        except ImportError as error:
            raise UserError(
                f"--also {url}: {error}; pip install 'classifier-ablations[remote]'"
            ) from error
        except UserError:
            raise
        except Exception as error:  # each kind of storage has its own
            why = str(error) or type(error).__name__
            raise UserError(f"--also {url} can't be read: {why}") from error
    return folder


def _copy(url: str, wanted: Collection[str], folder: Path) -> None:
    import fsspec

    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    if not files.isdir(root):
        raise not_there(url)
    known = _known(folder / KNOWN)
    there: dict[str, str] = {}
    for run in files.ls(root, detail=False):
        name = PurePosixPath(run.rstrip("/"))
        if layout.is_signed(Path(name)) and layout.signature_of(Path(name)) in wanted:
            for file, relative in _units(files, str(run).rstrip("/"), name.name):
                if not stays_in(folder, relative):
                    raise UserError(f"--also {url}: {relative!r} leads out of its folder")
                there[relative] = str(files.ukey(file))
                if known.get(relative) != there[relative] or not (folder / relative).exists():
                    _fetch(files, file, folder / relative)
    for gone in known.keys() - there.keys():
        if layout.signature_of(folder / PurePosixPath(gone).parts[0]) in wanted:
            (folder / gone).unlink(missing_ok=True)
        else:
            there[gone] = known[gone]
    write_atomically(folder / KNOWN, json.dumps(there).encode())


def _units(files: Any, run: str, name: str) -> Iterator[tuple[str, str]]:
    """The files of a run's units, each with its path from the runs folder."""
    for file in sorted(files.find(run)):
        inside = str(file)[len(run) :].strip("/") if str(file).startswith(run) else ""
        parts = PurePosixPath(inside).parts
        if len(parts) > 1 and layout.is_unit(Path(parts[0])):
            yield file, f"{name}/{inside}"


def _fetch(files: Any, file: str, target: Path) -> None:
    """Whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    files.get_file(file, str(part))
    part.replace(target)


def _known(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
