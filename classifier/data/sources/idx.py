"""The IDX files of MNIST and of the sets made like it: grey images of 28 x 28."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.data.download import Archive, File
from classifier.data.sources.arrays import Arrays, Block
from classifier.data.sources.published import unreadable
from classifier.data.split import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES = 8
"""IDX's code of unsigned bytes, the only kind that these sets have."""


@dataclass(frozen=True)
class Idx(Arrays):
    """LeCun et al. 1998, "Gradient-based learning applied to document recognition"."""

    prefixes: tuple[tuple[Part, str], ...] = (("train", "train"), ("test", "t10k"))
    """How the names of a part's files begin."""
    first: int = 0
    """The label of the first class."""

    def read(self, folder: Path) -> Iterator[Block]:
        for part, prefix in self.prefixes:
            images = idx(folder / "raw" / f"{prefix}-images-idx3-ubyte", 3)
            labels = idx(folder / "raw" / f"{prefix}-labels-idx1-ubyte", 1)
            yield Block(part, images, labels.astype(int) - self.first)


def idx(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file: two zeros, the kind, the number of dimensions,
    each as four bytes (the first highest), then the values. Raises UserError."""
    import numpy as np

    content = file.read_bytes()
    start = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:start], ">u4").astype(int)
    if content[:4] != bytes([0, 0, BYTES, dimensions]) or len(content) != start + shape.prod():
        raise unreadable(file, ValueError(f"it is no IDX file of bytes in {dimensions} dimensions"))
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def four_files(
    data: str, folder: str, url: str, size: str, hashes: tuple[tuple[str, str | None], ...]
) -> Archive:
    """The archive of a set that has MNIST's files under an address; `hashes`: MD5 and SHA-256 of
    train's images and labels, then of test's."""
    names = [f"{prefix}-{what}-ubyte" for prefix in ("train", "t10k") for what in _KINDS]
    files = tuple(
        File(f"{url}{name}.gz", md5, sha256, f"{folder}/raw")
        for name, (md5, sha256) in zip(names, hashes, strict=True)
    )
    return Archive(data, files, size, tuple(f"{folder}/raw/{name}" for name in names))


_KINDS = ("images-idx3", "labels-idx1")
