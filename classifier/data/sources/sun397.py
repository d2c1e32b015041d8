"""SUN397: 108,754 photos of 397 scenes, in folders within folders; it is split here."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.images import images_in
from classifier.data.sources import Counts
from classifier.data.sources.folder import relative
from classifier.data.sources.published import Published
from classifier.data.sources.rows import Row


class Sun397(Published):
    """Xiao et al. 2010, "SUN database: large-scale scene recognition from abbey to zoo".

    `a/apartment_building/outdoor/sun_1.jpg` is of the class `apartment_building/outdoor`.
    """

    def sizes(self) -> Mapping[str, int]:
        return class_sizes()

    def read(self, folder: Path) -> Iterator[Row]:
        for path in relative(images_in(folder), folder):
            label = path.partition("/")[2].rpartition("/")[0]
            if label and os.path.basename(path).startswith("sun_"):  # noqa: PTH119 - of 100,000s
                yield Row(path, label, None, None)


@cache
def class_sizes() -> dict[str, int]:
    """How many images each class has."""
    with Path(__file__).with_suffix(".csv").open(newline="") as file:
        return {row["class"]: int(row["images"]) for row in csv.DictReader(file)}


SOURCE = Sun397(
    path="SUN397",
    archive=Archive(
        data="sun397",
        files=(
            File(
                "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "8ca2778205c41d23104230ba66911c7a",
            ),
        ),
        size="39 GB",
        needs=("SUN397/a", "SUN397/ClassName.txt"),
    ),
    known=Counts(397, 108_754),
)
