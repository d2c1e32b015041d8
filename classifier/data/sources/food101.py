"""Food-101: 101,000 photos of 101 dishes, train's with some wrong labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, unreadable
from classifier.data.sources.rows import Row
from classifier.data.split import Part

PARTS: tuple[Part, ...] = ("train", "test")


class Food101(Published):
    """Bossard et al. 2014, "Food-101: mining discriminative components with random forests"."""

    def read(self, folder: Path) -> Iterator[Row]:
        for part in PARTS:
            file = folder / "meta" / f"{part}.json"
            try:
                said = json.loads(file.read_bytes())
                listed = [
                    (str(label), str(name)) for label, names in said.items() for name in names
                ]
            except (OSError, ValueError, AttributeError, TypeError) as error:
                raise unreadable(file, error) from error
            for label, name in listed:
                yield Row(f"images/{name}.jpg", label, part, None)


SOURCE = Food101(
    path="food-101",
    archive=Archive(
        data="food101",
        files=(
            File(
                url="http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                md5="85eeb15f3717b99a5da872d97d918f87",
                sha256="d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
            ),
        ),
        size="5.0 GB",
        needs=("food-101/images", "food-101/meta"),
    ),
    known=Counts(101, {"train": 75_750, "test": 25_250}),
)
