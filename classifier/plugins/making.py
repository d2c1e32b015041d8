"""A user's data set, made: its images become files, once, with a CSV of their labels.

The folder is published by one rename: it is whole or absent, and of two runners that make it one is
accepted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from classifier.basics.errors import UserError
from classifier.basics.files import LONGEST_NAME, write_whole
from classifier.basics.names import composed
from classifier.data.images import IMAGE_SUFFIXES, is_data
from classifier.data.sources.made import COLUMNS, LABELS, Sample, UserDataset
from classifier.data.split import PARTS
from classifier.plugins import load
from classifier.plugins.brought import SOURCES

TWICE = 64
"""So many of its images are asked for a second time, and must be the same."""
KEPT = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
"""Pillow's modes that a PNG holds as they are."""


def make(own: UserDataset, root: Path, progress: Callable[[int], None]) -> None:
    """Have the data set's folder under the data root. `progress`: how many images there are so far.

    Raises UserError, with the file's line, for what is no image, and for a function that does not
    repeat.
    """
    target = root / own.folder
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    threads = set(threading.enumerate())
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{own.name}-") as folder:
        made = _Made(own, Path(folder) / "whole")
        first = hashlib.sha256()
        for position, sample in enumerate(_samples(own)):
            content = made.add(position, sample)
            if position < TWICE:
                first.update(_said_of(sample) + content)
            progress(position + 1)
        made.finish()
        _check_repeats(own, first.hexdigest())
        load.check_threads(own, threads)
        for path, text in load.files_of([own]).items():
            source = made.folder / SOURCES / path
            source.parent.mkdir(parents=True, exist_ok=True)
            write_whole(source, text.encode())
        try:
            made.folder.rename(target)
        except OSError:
            if not target.is_dir():  # else another runner was quicker
                raise


def _said_of(sample: Sample) -> bytes:
    """All but the image."""
    return ascii((sample.path, *sample[2:])).encode()


def _check_repeats(own: UserDataset, first: str) -> None:
    again = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        made = _Made(own, Path(folder))
        for position, sample in enumerate(islice(_samples(own), TWICE)):
            again.update(_said_of(sample) + made.add(position, sample))
    if again.hexdigest() != first:
        raise _error(own, f"does not repeat under one key: {load.DRAWS}")


def _samples(own: UserDataset) -> Iterator[Sample]:
    """What the function gives, keyed by its name."""
    from classifier.basics.randomness import keyed_everywhere

    function = load.object_of(own)
    with keyed_everywhere(0, f"plugin {own.name}"), load.telling(own):
        given = function(**own.settings)
        if not hasattr(given, "__iter__"):
            raise _error(own, f"must give its images, a Sample each, not {type(given).__name__}")
        for sample in given:
            if not isinstance(sample, Sample):
                kind = type(sample).__name__
                raise _error(own, f"must give a Sample(path, image, label) each time, not {kind}")
            yield sample


@dataclass
class _Made:
    """A folder that is being filled."""

    own: UserDataset
    folder: Path
    rows: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    """A line for each image, by its path."""
    folders: set[str] = field(default_factory=set)
    """That images lie in."""

    def add(self, position: int, sample: Sample) -> bytes:
        """Write an image, and give what was written."""
        with self._telling(position):
            content, ending = _as_file(sample.image)
            path = self._path(sample.path, ending)
            self.rows[path] = (path, self._label(sample), *self._said(sample))
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return content

    def finish(self) -> None:
        """The CSV. Raises UserError where the whole can't be a data set."""
        for column, said in (("part", 2), ("group", 3)):
            given = sum(bool(row[said]) for row in self.rows.values())
            if 0 < given < len(self.rows):
                raise _error(self.own, f"gives {given} of {len(self.rows)} images a {column}")
        labels = {row[1] for row in self.rows.values()}
        if not labels:
            raise _error(self.own, "gave no image")
        if self.own.classes not in (None, len(labels)):
            says = f"says classes={self.own.classes}, and its images have {len(labels)}"
            raise _error(self.own, says)
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([COLUMNS, *self.rows.values()])
        write_whole(self.folder / LABELS, table.getvalue().encode())

    def _path(self, path: Any, ending: str) -> str:
        if not isinstance(path, str):
            raise ValueError(f"its path must be text, not {type(path).__name__}")
        parts = PurePosixPath(path).parts
        is_plain = path == "/".join(parts) and ".." not in parts and not path.startswith("/")
        if not path or not is_plain or any(part.startswith(".") for part in parts):
            raise ValueError(f"its path '{path}' must be a relative one, as cat/0001")
        if "\\" in path or not _is_text(path):
            raise ValueError(f"its path {path!r} has a character that no path of an image has")
        if parts[0] in (LABELS, SOURCES) or not all(map(is_data, parts)):
            raise ValueError(f"its path '{path}' can't be an image's: a name in it is taken")
        named = path if path.lower().endswith(ending) else f"{path}{ending}"
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in named.split("/")):
            raise ValueError(f"its path '{path[:40]}...' is too long for a file's name")
        if named in self.rows:
            raise ValueError(f"an image has the path '{named}' already")
        inside = {str(folder) for folder in PurePosixPath(named).parents}
        if named in self.folders or not inside.isdisjoint(self.rows):
            raise ValueError(f"its path '{named}' and another's can't be a file and its folder")
        self.folders |= inside
        return named

    def _label(self, sample: Sample) -> str:
        label = sample.label.item() if isinstance(sample.label, np.generic) else sample.label
        if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
            raise ValueError(f"its label must be a class's name or number, not {label!r}")
        if not _is_text(str(label)):
            raise ValueError(f"its label must be one line without spaces around, not {label!r}")
        return composed(str(label))

    def _said(self, sample: Sample) -> tuple[str, str]:
        if sample.part not in (None, *PARTS):
            raise ValueError(f"its part must be {', '.join(PARTS)} or None, not {sample.part!r}")
        if not isinstance(sample.group, str | None) or sample.group == "":
            raise ValueError(f"its group must be text or None, not {sample.group!r}")
        if not _is_text(sample.group or ""):
            raise ValueError(
                f"its group must be one line without spaces around, not {sample.group!r}"
            )
        return sample.part or "", sample.group or ""

    @contextmanager
    def _telling(self, position: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            raise _error(self.own, f"image {position:,} (from 0): {error}") from error


def _is_text(value: str) -> bool:
    """Whether a line of the CSV gives it back: UTF-8, without control characters, and without
    spaces around, which are no part of a value there."""
    is_utf8 = value == value.encode(errors="ignore").decode()
    return is_utf8 and value == value.strip() and not any(ord(each) < 32 for each in value)


def _as_file(image: Any) -> tuple[bytes, str]:
    """An image as a file's content, with the ending of its name. Raises ValueError, OSError."""
    from PIL import Image, ImageOps

    if isinstance(image, Path):
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            raise ValueError(f"{image} has no ending of an image")
        if image.exists() and not image.is_file():  # to open a pipe would wait
            raise ValueError(f"{image} is no file")
        return image.read_bytes(), image.suffix.lower()
    if isinstance(image, np.ndarray):
        is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not is_image or not image.size:
            raise ValueError(
                f"an array must be uint8 (H, W) or (H, W, 3), not {image.dtype} {image.shape}"
            )
        image = Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        what = type(image).__name__
        raise ValueError(f"its image must be an array, an image of Pillow's or a Path, not {what}")
    if image.mode not in KEPT:
        raise ValueError(f"an image of mode {image.mode} must be converted, as by convert('RGB')")
    written = io.BytesIO()
    ImageOps.exif_transpose(image).save(written, "png")  # a PNG would lie as the sensor did
    return written.getvalue(), ".png"


def _error(own: UserDataset, message: str) -> UserError:
    return UserError(f"{load.place_of(own)}: data set '{own.name}' {message}")
