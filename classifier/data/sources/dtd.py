"""DTD: 5,640 photos of 47 textures, with a split of its own (the first of its ten)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, lines
from classifier.data.sources.rows import Row
from classifier.data.split import PARTS


class Dtd(Published):
    """Cimpoi et al. 2014, "Describing textures in the wild"."""

    def read(self, folder: Path) -> Iterator[Row]:
        for part in PARTS:
            for path in lines(folder / "dtd" / "labels" / f"{part}1.txt"):
                yield Row(f"dtd/images/{path}", path.partition("/")[0], part, None)


SOURCE = Dtd(
    path="dtd",
    archive=Archive(
        data="dtd",
        files=(
            File(
                url="https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
                md5="fff73e5086ae6bdbea199a49dfb8a4c1",
                sha256="e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
                into="dtd",
            ),
        ),
        size="625 MB",
        needs=("dtd/dtd/images", "dtd/dtd/labels"),
    ),
    known=Counts(47, {"train": 1_880, "val": 1_880, "test": 1_880}),
)
