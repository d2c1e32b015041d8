"""Imagenette: 13,394 photos of 10 classes of ImageNet that are easily told apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders
from classifier.data.sources.rows import Row

NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""By their numbers in WordNet."""


@dataclass(frozen=True)
class Imagenette(ClassFolders):
    """Its val/ is what results are told on, so it is the test part here, and val is cut from
    train. github.com/fastai/imagenette."""

    def read(self, folder: Path) -> Iterator[Row]:
        for row in super().read(folder):
            yield row._replace(label=NAMES.get(row.label, row.label))


def imagenette(data: str, name: str, md5: str, sha256: str, size: str) -> Imagenette:
    """One of its sizes, by its archive's name."""
    file = File(f"https://s3.amazonaws.com/fast-ai-imageclas/{name}.tgz", md5, sha256)
    return Imagenette(
        path=name,
        archive=Archive(data, (file,), size, (f"{name}/train", f"{name}/val")),
        known=Counts(10, {"train": 9_469, "test": 3_925}),
        inside=(("train", "train"), ("test", "val")),
    )


SOURCE = imagenette(
    "imagenette",
    "imagenette2",
    "fe2fc210e6bb7c5664d602c3cd71e612",
    "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
    "1.6 GB",
)
