"""A folder of images whose classes, and perhaps parts and groups, are said by something else."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from classifier.data.images import check_endings
from classifier.data.sources import Seen
from classifier.data.sources.folder import Folder, hashed
from classifier.data.split import Part


class Row(NamedTuple):
    """What a line says of its image."""

    path: str
    """From the folder, as it lies there."""
    label: str
    part: Part | None
    group: str | None


@dataclass(frozen=True)
class Rows(Folder):
    """The base of those that say of each image a `Row`."""

    @abstractmethod
    def rows(self, root: Path) -> Sequence[Row]:
        """One for each image. Raises UserError where it is not there, or not as it should be."""

    def classes(self, root: Path) -> Mapping[str, list[str]]:
        return self.look(root).classes

    def parts(self, root: Path) -> Mapping[str, Part]:
        return self.look(root).parts

    def groups(self, root: Path) -> Mapping[str, str]:
        return self.look(root).groups

    def look(self, root: Path) -> Seen:
        rows = self.rows(root)
        classes: dict[str, list[str]] = {name: [] for name in sorted({row.label for row in rows})}
        for row in rows:
            classes[row.label].append(row.path)
        for paths in classes.values():
            check_endings(paths)
        return Seen(
            classes,
            {row.path: row.part for row in rows if row.part is not None},
            {row.path: row.group for row in rows if row.group is not None},
        )

    def hashes(self, root: Path) -> dict[str, str]:
        paths = (row.path for row in self.rows(root))
        return {path: sha for path, (_, sha) in hashed(self.there(root), paths).items()}

    def fingerprint(self, root: Path) -> str:
        """Of the images that have a row and of what it says of them; not of its order."""
        rows = sorted(self.rows(root))
        images = hashed(self.there(root), (row.path for row in rows))
        said = [(*row, *images[row.path]) for row in rows]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
