"""A folder of class folders, and the images at any depth below them. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.data.images import IMAGE_SUFFIXES


def class_folders(folder: Path) -> list[str]:
    """Names of the class folders, in label order."""
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise UserError(f"{folder} has no class folders: one folder for each class is expected")
    return names


def image_paths(folder: Path) -> Iterator[str]:
    """Paths, relative and with '/', of the images at any depth below the class folders."""
    for name in class_folders(folder):
        for where, folders, files in os.walk(folder / name):
            folders.sort()
            for file in sorted(files):
                if Path(file).suffix.lower() in IMAGE_SUFFIXES:
                    yield _utf8(Path(where, file).relative_to(folder).as_posix(), folder)


def _utf8(path: str, folder: Path) -> str:
    """The path, which records and hashes can hold. Raises UserError where they can't."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the name {os.fsencode(path)!r} in {folder} is not UTF-8; rename it"
        ) from error
    return path
