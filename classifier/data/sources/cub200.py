"""CUB-200-2011: 11,788 photos of 200 kinds of birds, fetched from Caltech into the data root."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.data.download import Archive, File, OnTransfer, download
from classifier.data.sources.folder import Folder, paths_by_class

FILE = File(
    url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
    md5="97eceeb196236b17998738112f37df78",
    sha256="0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
)
ARCHIVE = Archive("cub200", (FILE,), "1.1 GB", ("CUB_200_2011/images",))


class Cub200(Folder):
    """A folder whose contents are known before it is there."""

    def sizes(self) -> Mapping[str, int]:
        return class_sizes()

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        download(ARCHIVE, root, progress)

    def to_get(self, root: Path) -> str:
        return ARCHIVE.to_get(root)

    def not_there(self, root: Path) -> UserError:
        return ARCHIVE.not_there(root)

    def classes(self, root: Path) -> dict[str, list[str]]:
        folder = self.there(root)
        classes = paths_by_class(folder)
        for name, images in class_sizes().items():
            held = len(classes.get(name, []))
            if held != images:
                raise UserError(
                    f"{folder / name} holds {held} images where CUB-200-2011 has {images}; "
                    "extract the archive again"
                )
        return classes


@cache
def class_sizes() -> dict[str, int]:
    """How many images each class folder has."""
    with Path(__file__).with_suffix(".csv").open(newline="") as file:
        return {row["class"]: int(row["images"]) for row in csv.DictReader(file)}


SOURCE = Cub200(ARCHIVE.needs[0])
