"""The data sets that have a name: a file each in this folder, found by its being here.

`<name>.py` sets `SOURCE` to a `Source`; `data: <name>` is known from then on, in a matrix and on
the command line. cub200.py is a folder of class folders with few words of its own, flowers102.py
(published.py) one whose labels lie in files beside it, cifar10.py (arrays.py) and digits.py are
none. Planning, reports and `--help` import these files and answer in less than a second, so
Pillow, scikit-learn and the like are imported inside functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from classifier.basics.errors import UserError
from classifier.basics.plugins import modules
from classifier.data.split import PARTS, Part, val_size

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.data.download import OnTransfer


class Seen(NamedTuple):
    """What a data set holds: see the methods of `Source` by these names."""

    classes: Mapping[str, list[str]]
    parts: Mapping[str, Part]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Counts:
    """What a published data set holds, known before it is there."""

    classes: int
    images: Mapping[Part, int] | int
    """In each part of its own split, or in all of a set that has none."""
    group: int = 1
    """Images of a group, which stays in one part: a video's frames."""

    @property
    def parts(self) -> dict[Part, int]:
        """Of a set with a split of its own, with the val that is cut from train where it has none:
        see `split.cut_val`."""
        assert not isinstance(self.images, int)
        parts: dict[Part, int] = {part: self.images.get(part, 0) for part in PARTS}
        if not parts["val"]:
            parts["val"] = val_size(parts["train"] // self.group) * self.group
            parts["train"] -= parts["val"]
        return parts


class Source(ABC):
    """Where a data set's images come from. `root` is the data root, where what is fetched lies."""

    @property
    def is_split(self) -> bool:
        """Whether it has a test part, or a val, of its own: it is kept (`split: given`, its
        default), and val is cut from train where the set has none."""
        return False

    def counts(self) -> Counts | None:
        """How many classes and images it has, or None where only the images tell."""
        return None

    def sizes(self) -> Mapping[str, int] | None:
        """How many images each class has, by its name, or None where only the images tell.

        With it a matrix is planned before anything is fetched; without it one that shows speeds
        asks for the data to be there first, for a network's head has as many classes.
        """
        return None

    def folder(self, root: Path) -> Path | None:
        """The folder that all is read from, whether it is there or not: each node must see it.

        None: an installed package holds the images, so that each node has them, and none is broken.
        """
        return None

    def is_there(self, root: Path) -> bool:
        """Whether the images can be read without fetching anything."""
        folder = self.folder(root)
        return folder is None or folder.is_dir()

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        """Download what is not there. Raises UserError: `not_there` if that has to be done by hand.

        `progress` takes the phase, the bytes done, and the bytes in all if they are known.
        """
        if not self.is_there(root):
            raise self.not_there(root)

    def to_get(self, root: Path) -> str:
        """What a run has to get before it can read the images; nothing where they are there, or
        where only a person can put them there."""
        return ""

    @abstractmethod
    def not_there(self, root: Path) -> UserError:
        """The error for a data set that is missing: what to get and where to put it."""

    @abstractmethod
    def classes(self, root: Path) -> Mapping[str, list[str]]:
        """The paths of each class's images, by its name.

        A path is relative, with '/', and names an image for good: its hash decides the image's
        part, and records hold it. Raises UserError: `not_there`, or what is wrong with what is.
        """

    def parts(self, root: Path) -> Mapping[str, Part]:
        """The part of each image, by its path, of a set that has a split of its own."""
        return {}

    def groups(self, root: Path) -> Mapping[str, str]:
        """By its path the group that an image belongs to (a patient, a video), where the data say
        so: one group's images stay in one part."""
        return {}

    def hashes(self, root: Path) -> Mapping[str, str]:
        """By its path what is the same for files that are the same byte for byte; nothing where
        there are no files."""
        return {}

    def look(self, root: Path) -> Seen:
        """All three of the above, of one moment."""
        return Seen(self.classes(root), self.parts(root), self.groups(root))

    def left_out(self, root: Path) -> Mapping[str, int]:
        """How many files that lie there are taken for no image, by the ends of their names."""
        return {}

    @abstractmethod
    def open(self, root: Path, path: str) -> Image:
        """One image as RGB in its own size; several threads ask at once.

        Raises BadImageError where the image is broken, which `on_bad_image: skip` leaves out, and
        UserError where it can't be read.
        """

    @abstractmethod
    def fingerprint(self, root: Path) -> str:
        """16 hex digits that change with a path or an image, and with nothing else.

        Records and caches hold them. Raises UserError where the data set can't be read.
        """


@cache
def by_name() -> Mapping[str, Source]:
    """All data sets that have a name, those that need no download first."""
    sources: dict[str, Source] = {
        name: file.SOURCE for name, file in modules(__name__).items() if hasattr(file, "SOURCE")
    }
    return dict(sorted(sources.items(), key=lambda item: item[1].folder(Path()) is not None))
