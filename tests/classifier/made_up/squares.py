"""A data set that is no folder of class folders: grey squares, their levels in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError
from classifier.data.images import BadImageError
from classifier.data.sources import Source
from classifier.data.sources.folder import fingerprint

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.data.download import OnTransfer

LEVELS = "levels.txt"
CONTENT = "dark 1 2 3 4 5 6 unknown\nlight 249 250 251 252 253 254\n"


class Squares(Source):
    """`<class>/<level>` is an image's path; where the level is no number, the image is broken."""

    def folder(self, root: Path) -> Path:
        return root / "squares"

    def is_there(self, root: Path) -> bool:
        return (self.folder(root) / LEVELS).is_file()

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        if not self.is_there(root):
            self.folder(root).mkdir()
            (self.folder(root) / LEVELS).write_text(CONTENT)
            progress("fetching", len(CONTENT), len(CONTENT))

    def not_there(self, root: Path) -> UserError:
        return UserError(f"{self.folder(root) / LEVELS} is not there")

    def classes(self, root: Path) -> dict[str, list[str]]:
        if not self.is_there(root):
            raise self.not_there(root)
        lines = (self.folder(root) / LEVELS).read_text().splitlines()
        return {
            name: [f"{name}/{level}" for level in levels]
            for name, *levels in (line.split() for line in lines)
        }

    def open(self, root: Path, path: str) -> Image:
        from PIL import Image

        if not self.is_there(root):
            raise self.not_there(root)
        level = path.partition("/")[2]
        if not level.isdecimal():
            raise BadImageError(self.folder(root) / LEVELS, f"'{level}' is no number")
        return Image.new("RGB", (8, 8), (int(level),) * 3)

    def fingerprint(self, root: Path) -> str:
        if not self.is_there(root):
            raise self.not_there(root)
        return fingerprint(self.folder(root), [LEVELS])


SOURCE = Squares()
