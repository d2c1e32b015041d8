"""Which trackers a run was told of: what can be known to be wrong before anything runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from classifier.basics.errors import UserError
from experiments.tracking.tracker import Tracker

SQLITE = "sqlite:///"
_MAGIC = b"SQLite format 3\0"


def trackers(folder: Path | None, uri: str | None) -> Iterator[tuple[str, Callable[[], Tracker]]]:
    """Each that is wanted: what it is called, and how it is opened. `folder`: TensorBoard's;
    `uri`: MLflow's. Their libraries are imported here, for in a thread that takes long, and what it
    does to Python's warnings reaches other threads."""
    if folder is not None:
        from experiments.tracking.tensorboard import TensorBoard

        yield f"--tensorboard {folder}", partial(TensorBoard, folder)
    if uri is not None:
        from experiments.tracking.mlflow import Mlflow

        yield f"--mlflow {without_password(uri)}", partial(Mlflow, uri)


def check(folder: Path | None, uri: str | None) -> None:
    """Raises UserError for an extra that is not installed, and for a place that can't be one."""
    if folder is not None:
        _check_extra("tensorboard", ["tensorboard"])
        if not _is_writable(folder):
            raise UserError(f"--tensorboard {folder} can't be written; name another folder")
    if uri is not None:
        _check_uri(uri)
        needed = ["mlflow", *(["sqlalchemy", "alembic"] if uri.startswith(SQLITE) else [])]
        _check_extra("mlflow", needed)


def _check_extra(extra: str, modules: list[str]) -> None:
    for module in modules:
        if find_spec(module) is None:
            raise UserError(
                f"--{extra} needs {module}: pip install 'classifier-ablations[{extra}]'"
            )


def _check_uri(uri: str) -> None:
    shown = without_password(uri)
    file = file_of(uri)
    if file is None:
        if urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).netloc:
            raise UserError(f"--mlflow {shown}: name {SQLITE}FILE or a server, http://HOST:PORT")
        return
    if not file.name or file.is_dir():
        raise UserError(f"--mlflow {shown}: {file} is a folder; name a file, {SQLITE}FILE")
    if not file.parent.is_dir():
        raise UserError(f"--mlflow {shown}: there is no folder {file.parent}")
    if not (os.access(file, os.W_OK) if file.exists() else _is_writable(file.parent)):
        raise UserError(f"--mlflow {shown}: {file} can't be written; name another file")
    if file.exists() and _begins(file) not in (b"", _MAGIC):
        raise UserError(f"--mlflow {shown}: {file} is no SQLite database; name another file")


def file_of(uri: str) -> Path | None:
    """The database's, of `sqlite:///FILE`."""
    path = uri.partition("?")[0]
    return Path(path.removeprefix(SQLITE)) if path.startswith(SQLITE) else None


def without_password(text: str) -> str:
    """Of a URI, or of what an error says of it."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def _begins(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC))


def _is_writable(folder: Path) -> bool:
    """It, or the nearest folder above that is there."""
    path = folder.absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
