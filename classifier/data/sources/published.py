"""Published data sets that come as files of images: fetched, and checked against what is known.

What they hold lies where torchvision puts it, so that its folder may be the data root.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.basics.errors import UserError
from classifier.data.download import Archive, OnTransfer, download
from classifier.data.images import is_data, is_image
from classifier.data.sources import Counts
from classifier.data.sources.rows import Row, Rows
from classifier.data.split import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Published(Rows):
    """The base of those whose labels or parts lie in files beside the images."""

    archive: Archive
    known: Counts

    @property
    def is_split(self) -> bool:
        return not isinstance(self.known.images, int)

    def counts(self) -> Counts:
        return self.known

    def is_there(self, root: Path) -> bool:
        return self.archive.is_there(root)

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        download(self.archive, root, progress)

    def to_get(self, root: Path) -> str:
        return self.archive.to_get(root)

    def not_there(self, root: Path) -> UserError:
        return self.archive.not_there(root)

    def left_out(self, root: Path) -> dict[str, int]:
        return {}

    def rows(self, root: Path) -> list[Row]:
        rows = list(self.read(self.there(root)))
        found = Counter(row.part for row in rows)
        check_counts(
            self.known, len({row.label for row in rows}), found, self.archive, self.folder(root)
        )
        return rows

    @abstractmethod
    def read(self, folder: Path) -> Iterable[Row]:
        """What the files in the set's folder say. Raises UserError for what can't be read."""


def check_counts(
    known: Counts, classes: int, found: Counter[Part | None], archive: Archive, folder: Path
) -> None:
    """Raise UserError where what lies there is not the whole of what was published."""
    if isinstance(known.images, int):
        differ = [("images", found.total(), known.images)]
    else:
        differ = [
            (f"{p} images", found[p], known.images.get(p, 0)) for p in ("train", "val", "test")
        ]
    for what, there, wanted in (("classes", classes, known.classes), *differ):
        if there != wanted:
            raise UserError(
                f"{folder} has {there:,} {what} where {archive.data} has {wanted:,}; remove the "
                "folder and get it again"
            )


@dataclass(frozen=True)
class ClassFolders(Published):
    """Class folders with the images directly in them, in a folder for each part or in one."""

    inside: tuple[tuple[Part | None, str], ...]
    """The folders of class folders, from the set's own, each with its part."""
    without: tuple[str, ...] = ()
    """Folders that are no classes."""

    def read(self, folder: Path) -> Iterator[Row]:
        for part, name in self.inside:
            for label in class_names(folder / name, self.without):
                for file in image_names(folder / name / label):
                    yield Row(f"{name}/{label}/{file}", label, part, None)


def class_names(folder: Path, without: Sequence[str] = ()) -> list[str]:
    """The folders in a folder, in order. Raises UserError where there is none such."""
    return [name for name in _names(folder, folders=True) if name not in without]


def image_names(folder: Path) -> list[str]:
    """The images that lie in a folder itself, in order. Raises UserError as `class_names`."""
    return [name for name in _names(folder, folders=False) if is_image(Path(name))]


def _names(folder: Path, folders: bool) -> list[str]:
    try:
        there = [entry for entry in folder.iterdir() if is_data(entry.name)]
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}") from error
    return sorted(entry.name for entry in there if entry.is_dir() == folders)


def lines(file: Path) -> list[str]:
    """Of a file of labels or names, without what is empty. Raises UserError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, error) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def mat(file: Path, *names: str) -> list[NDArray[Any]]:
    """The variables of a MATLAB file, without dimensions of one. Raises UserError."""
    from scipy.io import loadmat

    try:
        held = loadmat(file, squeeze_me=True)
        return [held[name] for name in names]
    except Exception as error:  # a damaged one may raise anything
        raise unreadable(file, error) from error


def unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} can't be read ({error}); remove its folder and get it again")
