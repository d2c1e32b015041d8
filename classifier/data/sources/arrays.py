"""Published data sets that come as arrays of small images, a file or some for each part."""

from __future__ import annotations

import hashlib
import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from classifier.basics.errors import UserError
from classifier.data.download import Archive, OnTransfer, download
from classifier.data.sources import Counts, Seen, Source
from classifier.data.sources.folder import fingerprint
from classifier.data.sources.published import check_counts
from classifier.data.split import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Bytes = NDArray[np.uint8]
    Labels = NDArray[np.integer]


class Block(NamedTuple):
    """The images of a part."""

    part: Part
    images: Bytes
    """uint8, (N, H, W) grey or (N, H, W, 3) RGB."""
    labels: Labels
    """(N,): positions in the names of the classes."""


@dataclass(frozen=True)
class Arrays(Source):
    """`<part>/<position in its array>` is an image's path; all are held in memory once read."""

    archive: Archive
    """It `needs` the files that are read, and no other."""
    known: Counts
    names: tuple[str, ...]
    """Of the classes, in the order of the set's own labels."""

    @property
    def is_split(self) -> bool:
        return True

    def counts(self) -> Counts:
        return self.known

    def folder(self, root: Path) -> Path:
        return root / self.archive.folder

    def is_there(self, root: Path) -> bool:
        return self.archive.is_there(root)

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        download(self.archive, root, progress)

    def to_get(self, root: Path) -> str:
        return self.archive.to_get(root)

    def not_there(self, root: Path) -> UserError:
        return self.archive.not_there(root)

    def classes(self, root: Path) -> dict[str, list[str]]:
        return dict(self.look(root).classes)

    def parts(self, root: Path) -> dict[str, Part]:
        return dict(self.look(root).parts)

    def look(self, root: Path) -> Seen:
        classes: dict[str, list[str]] = {name: [] for name in sorted(self.names)}
        parts: dict[str, Part] = {}
        for block in self._blocks(root).values():
            for position, label in enumerate(block.labels):
                path = f"{block.part}/{position:06d}"
                classes[self.names[label]].append(path)
                parts[path] = block.part
        return Seen(classes, parts, {})

    def hashes(self, root: Path) -> dict[str, str]:
        """Of the pixels: in these sets, too, some are in train and in test."""
        return {
            f"{block.part}/{position:06d}": hashlib.sha256(image.tobytes()).hexdigest()
            for block in self._blocks(root).values()
            for position, image in enumerate(block.images)
        }

    def open(self, root: Path, path: str) -> Image:
        from PIL import Image

        part, _, position = path.partition("/")
        return Image.fromarray(self._blocks(root)[part].images[int(position)]).convert("RGB")

    def fingerprint(self, root: Path) -> str:
        if not self.is_there(root):
            raise self.not_there(root)
        return fingerprint(self.folder(root), self._files())

    @abstractmethod
    def read(self, folder: Path) -> Iterable[Block]:
        """The parts, out of the files in the set's folder. Raises UserError for what is damaged."""

    def _files(self) -> list[str]:
        """From the set's folder."""
        of = self.archive.folder
        return [str(PurePosixPath(path).relative_to(of)) for path in self.archive.needs]

    def _blocks(self, root: Path) -> dict[str, Block]:
        if not self.is_there(root):
            raise self.not_there(root)
        folder = self.folder(root)
        stats = [(folder / name).stat() for name in self._files()]
        key = (self.archive.data, str(folder.resolve()))
        stamp = [(stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats]
        with _reading:  # several threads ask at once
            if key not in _held or _held[key][0] != stamp:
                _held.pop(key, None)
                while len(_held) >= MOST_HELD:
                    _held.pop(next(iter(_held)))
                _held[key] = (stamp, self._read(folder))
            return _held[key][1]

    def _read(self, folder: Path) -> dict[str, Block]:
        blocks = {block.part: block for block in self.read(folder)}
        for block in blocks.values():
            if len(block.labels) != len(block.images):
                raise UserError(
                    f"{folder} has {len(block.images):,} images and {len(block.labels):,} labels "
                    f"in {block.part}"
                )
            if len(block.labels) and not 0 <= block.labels.min() <= block.labels.max() < len(
                self.names
            ):
                raise UserError(f"{folder} has labels in {block.part} that are none of its classes")
        used = {int(label) for block in blocks.values() for label in set(block.labels.tolist())}
        found: Counter[Part | None] = Counter({p: len(of.labels) for p, of in blocks.items()})
        check_counts(self.known, len(used), found, self.archive, folder)
        return {str(part): block for part, block in blocks.items()}


MOST_HELD = 2
"""The training's data, and others that it is tried on."""
_held: dict[tuple[str, str], tuple[list[tuple[int, int, int]], dict[str, Block]]] = {}
_reading = threading.Lock()
