"""The decoded copy of a part's images, for who reads it. No torch: reports show images of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from classifier.basics.errors import UserError
from classifier.basics.files import AROUND, cache_folder, longest_name, short_name
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


def kept_in(
    data: DataSpec, part: Part, short_side: int, fingerprint: str, paths: Sequence[str]
) -> Path:
    """The folder of a part's images in the cache, whether it is there or not. `paths`: in the
    listing's order."""
    identity = json.dumps([FORMAT, PIL.__version__, fingerprint, short_side, list(paths)])
    told_apart = f"-{part}-{short_side}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    kept = cache_folder("pixels")
    title = short_name(data.in_names, longest_name(kept) - AROUND - len(told_apart))
    return kept / f"{title}{told_apart}"


def pixels_if_kept(
    data: DataSpec, part: Part, short_side: int, fingerprint: str, paths: Sequence[str]
) -> Pixels | None:
    """The images, where they are in the cache; nothing is made for it."""
    with suppress(OSError, ValueError, EOFError, UserError):
        return Pixels(kept_in(data, part, short_side, fingerprint, paths))
    return None
