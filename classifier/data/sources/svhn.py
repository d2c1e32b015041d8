"""SVHN: 99,289 digits of house numbers, RGB, 32 x 32, in MATLAB's files; without its extra ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.arrays import Arrays, Block
from classifier.data.sources.published import mat, unreadable
from classifier.data.split import Part

FILES: tuple[tuple[Part, str], ...] = (("train", "train_32x32.mat"), ("test", "test_32x32.mat"))


class Svhn(Arrays):
    """Netzer et al. 2011, "Reading digits in natural images with unsupervised feature learning"."""

    def read(self, folder: Path) -> Iterator[Block]:
        import numpy as np

        for part, name in FILES:
            images, labels = mat(folder / name, "X", "y")  # (32, 32, 3, N), and 10 for a zero
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2] != 3:
                raise unreadable(folder / name, ValueError("X is no array of RGB images"))
            ordered = np.ascontiguousarray(images.transpose(3, 0, 1, 2)).astype(np.uint8)
            yield Block(part, ordered, labels.astype(np.int64) % 10)


_URL = "http://ufldl.stanford.edu/housenumbers/"
SOURCE = Svhn(
    archive=Archive(
        data="svhn",
        files=(
            File(
                url=f"{_URL}train_32x32.mat",
                md5="e26dedcc434d2e4c54c9b2d4a06d8373",
                sha256="435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
                into="svhn",
            ),
            File(
                url=f"{_URL}test_32x32.mat",
                md5="eb5a983be6a315427106f1b164d9cef3",
                sha256="cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
                into="svhn",
            ),
        ),
        size="246 MB",
        needs=tuple(f"svhn/{name}" for _, name in FILES),
    ),
    known=Counts(10, {"train": 73_257, "test": 26_032}),
    names=tuple("0123456789"),
)
