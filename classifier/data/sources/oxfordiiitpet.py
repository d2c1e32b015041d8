"""Oxford-IIIT Pet: 7,349 photos of 37 breeds of cats and dogs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, lines
from classifier.data.sources.rows import Row
from classifier.data.split import Part

LISTS: dict[Part, str] = {"train": "trainval.txt", "test": "test.txt"}


class OxfordIIITPet(Published):
    """Parkhi et al. 2012, "Cats and dogs". A breed is what stands before an image's number."""

    def read(self, folder: Path) -> Iterator[Row]:
        for part, name in LISTS.items():
            for line in lines(folder / "annotations" / name):
                image = line.split()[0]  # its breed, kind and number in the kind are named as well
                breed = " ".join(word.title() for word in image.rpartition("_")[0].split("_"))
                yield Row(f"images/{image}.jpg", breed, part, None)


_URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
SOURCE = OxfordIIITPet(
    path="oxford-iiit-pet",
    archive=Archive(
        data="oxfordiiitpet",
        files=(
            File(
                f"{_URL}images.tar.gz",
                "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                into="oxford-iiit-pet",
            ),
            File(
                f"{_URL}annotations.tar.gz",
                "95a8c909bbe2e81eed6a22bccdf3f68f",
                into="oxford-iiit-pet",
            ),
        ),
        size="811 MB",
        needs=("oxford-iiit-pet/images", "oxford-iiit-pet/annotations"),
    ),
    known=Counts(37, {"train": 3_680, "test": 3_669}),
)
