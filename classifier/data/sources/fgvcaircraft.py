"""FGVC-Aircraft: 10,000 photos of 100 variants of aircraft, with a split of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, lines
from classifier.data.sources.rows import Row
from classifier.data.split import PARTS

FOLDER = "fgvc-aircraft-2013b"


class FgvcAircraft(Published):
    """Maji et al. 2013, "Fine-grained visual classification of aircraft"."""

    def read(self, folder: Path) -> Iterator[Row]:
        for part in PARTS:
            for line in lines(folder / "data" / f"images_variant_{part}.txt"):
                image, _, variant = line.partition(" ")
                yield Row(f"data/images/{image}.jpg", variant, part, None)


SOURCE = FgvcAircraft(
    path=FOLDER,
    archive=Archive(
        data="fgvcaircraft",
        files=(),
        size="2.8 GB",
        needs=(f"{FOLDER}/data/images", f"{FOLDER}/data"),
        by_hand="No hash of its archive is published, so it is not fetched: get "
        f"https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/{FOLDER}.tar.gz (2.8 GB) "
        "yourself and extract it into",
    ),
    known=Counts(100, {"train": 3_334, "val": 3_333, "test": 3_333}),
)
