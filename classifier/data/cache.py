"""One decoded copy: the images of a part, resized once, as a memory-mapped file of bytes.

All jobs of all matrices share it. Decoding and resizing are nearly all of an image's cost, and
they are the same in every epoch of every arm.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import PIL
from filelock import FileLock
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torchvision.transforms.functional import resize

from classifier.basics.files import (
    AROUND,
    cache_folder,
    explain,
    longest_name,
    short_name,
    sync_folder,
)
from classifier.basics.progress import OnCount, uncounted
from classifier.data.datasets import Listing, refused
from classifier.data.images import BadImageError
from classifier.data.spec import DataSpec
from classifier.data.split import Part

FORMAT = 2
"""Raise it when other pixels are made of the same file."""


class Pixels:
    """uint8 images (H, W, 3), each with its short side at one length. Indexed by position."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shapes: NDArray[np.int64] = np.load(folder / "shapes.npy")
        areas = self._shapes.prod(axis=1) * 3
        self._offsets = np.concatenate([[0], areas.cumsum()])
        self._bytes = np.memmap(folder / "pixels.u8", dtype=np.uint8, mode="r")
        if len(self._bytes) != self._offsets[-1]:
            raise ValueError(f"{folder} is not whole")

    def __reduce__(self) -> tuple[type[Pixels], tuple[Path]]:
        """A loader's process maps the file again; pickling the map would copy every image."""
        return Pixels, (self._folder,)

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        height, width = self._shapes[position]
        start, end = self._offsets[position], self._offsets[position + 1]
        return np.asarray(self._bytes[start:end]).reshape(height, width, 3)

    def mean_std(self) -> tuple[list[float], list[float]]:
        """Per channel over all pixels, in [0, 1]; from exact integer sums, so free of order."""
        total, squares, count = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
        for position in range(len(self)):
            flat = self[position].reshape(-1, 3).astype(np.int64)
            total += flat.sum(axis=0)
            squares += (flat * flat).sum(axis=0)
            count += len(flat)
        mean = total / count
        std = np.sqrt(squares / count - mean**2)
        return [float(v) / 255 for v in mean], [max(float(v) / 255, 1e-6) for v in std]


def pixels(
    data: DataSpec,
    root: Path,
    listed: Listing,
    part: Part,
    short_side: int,
    fingerprint: str,
    progress: OnCount = uncounted,
) -> Pixels:
    """The images of `part`, in the listing's order; made on first use, by one process at a time."""
    paths = [listed.paths[index] for index in listed.indices(part)]
    identity = json.dumps([FORMAT, PIL.__version__, fingerprint, short_side, paths])
    told_apart = f"-{part}-{short_side}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    kept = cache_folder("pixels")
    title = short_name(data.title, longest_name(kept) - AROUND - len(told_apart))
    folder = kept / f"{title}{told_apart}"
    with FileLock(f"{folder}.lock"):
        try:
            return Pixels(folder)
        except (OSError, ValueError, EOFError):  # not there, or damaged: it is made again
            shutil.rmtree(folder, ignore_errors=True)
        _make(folder, data, root, paths, short_side, progress)
        return Pixels(folder)


def _make(
    folder: Path,
    data: DataSpec,
    root: Path,
    paths: list[str],
    short_side: int,
    progress: OnCount,
) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        decode = delayed(_decode)
        decoded = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
            decode(data, root, path, short_side) for path in paths
        )
        shapes: list[tuple[int, ...]] = []
        bad: list[BadImageError] = []
        size = 0
        try:
            with (temporary / "pixels.u8").open("wb") as file:
                for done, image in enumerate(decoded, start=1):
                    if isinstance(image, BadImageError):
                        bad.append(image)
                    else:
                        size += file.write(image.tobytes())
                        shapes.append(image.shape[:2])
                    progress(done, len(paths))
                if bad:
                    raise refused({str(error.file): error.reason for error in bad}, len(paths))
                file.flush()
                os.fsync(file.fileno())
            with (temporary / "shapes.npy").open("wb") as file:
                np.save(file, np.array(shapes, np.int64))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain(error, folder, size * len(paths) // max(len(shapes), 1)) from error
        temporary.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _decode(
    data: DataSpec, root: Path, path: str, short_side: int
) -> NDArray[np.uint8] | BadImageError:
    """The resized image, or what is wrong with it: all the bad ones are to be named, not one."""
    try:
        return np.asarray(resize(data.source.open(root, path), short_side))
    except BadImageError as error:
        return error
