"""STL-10: 13,000 photos of 10 kinds of things, RGB, 96 x 96; without the unlabelled ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.arrays import Arrays, Block
from classifier.data.sources.published import unreadable
from classifier.data.split import Part

PARTS: tuple[Part, ...] = ("train", "test")
SIDE = 96


class Stl10(Arrays):
    """Coates et al. 2011, "An analysis of single-layer networks in unsupervised feature learning".

    Bytes without a header: images as channels, columns, rows; labels from 1.
    """

    def read(self, folder: Path) -> Iterator[Block]:
        import numpy as np

        for part in PARTS:
            file = folder / f"{part}_X.bin"
            pixels = np.fromfile(file, np.uint8)
            if len(pixels) % (3 * SIDE * SIDE):
                raise unreadable(file, ValueError("it is no array of 96 x 96 RGB images"))
            images = pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 3, 2, 1)
            labels = np.fromfile(folder / f"{part}_y.bin", np.uint8).astype(np.int64)
            yield Block(part, np.ascontiguousarray(images), labels - 1)


SOURCE = Stl10(
    archive=Archive(
        data="stl10",
        files=(
            File(
                url="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                md5="91f7769df0f17e558f3565bffb0c7dfb",
                sha256="f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            ),
        ),
        size="2.6 GB",
        needs=tuple(f"stl10_binary/{part}_{of}.bin" for part in PARTS for of in "Xy"),
    ),
    known=Counts(10, {"train": 5_000, "test": 8_000}),
    names=(*("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),),
)
