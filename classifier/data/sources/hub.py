"""A data set of the Hugging Face Hub: its images are laid out once as files, with a CSV of labels.

The library that reads it (`datasets`, an extra) is imported for that only. What plans, trains and
reports afterwards finds a folder of images like any other.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock
from pydantic import Field, field_validator

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, path_key, sync_folder
from classifier.basics.hub import told_by_us
from classifier.basics.names import counted, nearest, write_csv
from classifier.basics.settings import Settings
from classifier.data.images import IMAGE_SUFFIXES
from classifier.data.sources.folder import PART_NAMES, PART_OF
from classifier.data.sources.made import COLUMNS, LABELS, Made

if TYPE_CHECKING:
    from datasets import Dataset, Features

    from classifier.data.download import OnTransfer

_log = logging.getLogger(__name__)

_WORD = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


def _is_none(value: object) -> bool:
    return value is None


class HubDataset(Settings):
    """A data set of the Hub, and which of its columns count."""

    name: str
    revision: str | None = Field(None, max_length=100, exclude_if=_is_none)
    """A commit, tag or branch; with a commit the same images come for ever."""
    config: str | None = Field(None, max_length=100, exclude_if=_is_none)
    """Of a data set that has several."""
    image: str | None = Field(None, exclude_if=_is_none)
    label: str | None = Field(None, exclude_if=_is_none)

    @field_validator("name")
    @classmethod
    def _owned(cls, name: str) -> str:
        if not re.fullmatch(f"{_WORD}/{_WORD}", name) or len(name) > 200:
            raise ValueError(f"'hf' is OWNER/NAME, as ylecun/mnist, not '{name}'")
        return name

    @field_validator("revision", "config")
    @classmethod
    def _named(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(_WORD, name):
            raise ValueError(f"'{name}' can't be a revision or config: letters, digits and . _ -")
        return name

    @property
    def place(self) -> str:
        """Under the data root, where the library's `save_to_disk` may have put it."""
        config = f"--{self.config}" if self.config else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf/{self.name}{config}{revision}"


@dataclass(frozen=True)
class Hub(Made):
    """`<part>/<position>` with the ending that its image has is an image's path."""

    hub: HubDataset | None = None

    @staticmethod
    def named(of: HubDataset) -> Hub:
        return Hub(of.place, LABELS, *COLUMNS, of.name, of)

    @property
    def is_split(self) -> bool:
        return True

    def folder(self, root: Path) -> Path:
        """Of what was saved by hand each version has one of its own."""
        said = hashlib.sha256(json.dumps(self._hub.signed(), sort_keys=True).encode())
        for file in sorted((root / self.path).glob("**/state.json")):
            said.update(file.read_bytes())
        return root / f"{self.path}.images-{said.hexdigest()[:12]}"

    def to_get(self, root: Path) -> str:
        if self.is_there(root):
            return ""
        saved = root / self.path
        if saved.is_dir():
            return f"its images are taken from {saved} when its matrix runs"
        return "not there; it is fetched from the Hugging Face Hub when its matrix runs"

    def not_there(self, root: Path) -> UserError:
        return UserError(
            f"{self.name} is not at {self.folder(root)}: it is fetched from the Hugging Face Hub "
            "when its matrix runs. Without a network, save it elsewhere by the library's "
            f"save_to_disk and put that at {root / self.path}"
        )

    def fetch(self, root: Path, progress: OnTransfer) -> None:
        if self.is_there(root):
            return
        with FileLock(cache_folder("downloads") / f"{path_key(root / self.path)}.lock"):
            if self.is_there(root):  # another process was at it
                return
            splits = self._splits(root)
            target = self.folder(root)
            beside = target.with_name(f".{target.name}.making")
            shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
            try:
                beside.mkdir(parents=True)
                rows = list(self._written(splits, beside, progress))
                write_csv(beside / LABELS, COLUMNS, rows)
                beside.rename(target)
                sync_folder(target.parent)
            except OSError as error:
                raise UserError(f"{target} can't be written: {error.strerror or error}") from error
            finally:
                shutil.rmtree(beside, ignore_errors=True)

    @property
    def _hub(self) -> HubDataset:
        assert self.hub is not None
        return self.hub

    def _splits(self, root: Path) -> dict[str, Dataset]:
        """Each of its splits, as saved by hand or from the Hub. Raises UserError."""
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"{self.name} is read by the library of the Hugging Face Hub: "
                "pip install 'classifier-ablations[hf]' (or datasets)"
            ) from error
        of, saved = self._hub, root / self.path
        try:
            if saved.is_dir():
                found = datasets.load_from_disk(str(saved))
            else:
                with told_by_us():
                    found = datasets.load_dataset(of.name, of.config, revision=of.revision)
        except Exception as error:  # of its own, of the network's or of the files'
            said = " ".join(str(error).split())
            reason = re.sub(r" \(\w+Error\)", "", said)[:300]  # the library's word for it
            what = f"{saved} can't be read" if saved.is_dir() else f"{of.name} can't be fetched"
            raise UserError(f"{what}: {reason}. {self.not_there(root)}") from error
        return dict(found) if isinstance(found, dict) else {"train": found}

    def _written(
        self, splits: Mapping[str, Dataset], folder: Path, progress: OnTransfer
    ) -> Iterator[tuple[str, str, str, str]]:
        """Writes each image, and gives its line of the CSV."""
        parts = self._parts(splits)
        done = 0
        for part, split in parts.items():
            labels = self._labels(split, part)
            if labels is None:
                continue
            (folder / part).mkdir()
            image_column = self._column(split.features, "image")
            images = split.select_columns([image_column]).cast_column(image_column, _undecoded())
            for position, (row, label) in enumerate(zip(images, labels, strict=True)):
                content, suffix = _bytes_of(row[image_column], f"{self.name}'s {part} {position}")
                path = f"{part}/{position:06d}{suffix}"
                (folder / path).write_bytes(content)
                done += len(content)
                progress("extracting", done, None)
                yield path, label, part if len(parts) > 1 else "", ""
        progress("extracting", done, done)

    def _parts(self, splits: Mapping[str, Dataset]) -> dict[str, Dataset]:
        """By our names of the parts. Raises UserError where it has no train."""
        found: dict[str, Dataset] = {}
        for part, names in PART_NAMES.items():
            there = [name for name in names if name in splits]
            if there:
                found[part] = splits[there[0]]
            for name in there[1:]:
                _log.warning("%s: left out, for %s is %s: %s", self.name, there[0], part, name)
        if "train" not in found:
            raise UserError(f"{self.name} has no split 'train'; it has {', '.join(splits)}")
        others = sorted(splits.keys() - PART_OF.keys())
        if others:
            _log.warning("%s: left out, for it is no part: %s", self.name, ", ".join(others))
        return found

    def _labels(self, split: Dataset, part: str) -> list[str] | None:
        """The class of each image, by its name; None of a split that was published without. Raises
        UserError where some have none."""
        import datasets

        column = self._column(split.features, "label")
        feature = split.features[column]
        given = split[column][:]
        is_class = isinstance(feature, datasets.ClassLabel)
        without = sum(label is None or label == -1 for label in given)
        if without == len(given):
            _log.warning("%s: left out, for it has no labels: %s", self.name, part)
            return None
        if not is_class:  # a plain -1 among other numbers is a class
            without = given.count(None)
        if without:
            raise UserError(
                f"{counted(without, 'image')} of {part} of {self.name} have no '{column}'; take "
                "another column, as label: NAME in hf"
            )
        if is_class:
            return [str(name) for name in feature.int2str(given)]
        return [str(label) for label in given]

    def _column(self, features: Features, what: Literal["image", "label"]) -> str:
        """The image's or the label's, by its type. Raises UserError where it can't be told."""
        import datasets

        wanted = getattr(self._hub, what)
        kind = datasets.Image if what == "image" else datasets.ClassLabel
        found = [name for name, feature in features.items() if isinstance(feature, kind)]
        if wanted is not None:
            plain = what == "label" and isinstance(features.get(wanted), datasets.Value)
            if wanted not in found and not plain:
                others = [name for name in found or features if name != wanted]
                more = nearest(wanted, others)
                raise UserError(f"{self.name} has no column '{wanted}' of {what}s{more}")
            return str(wanted)
        if not found and what == "label" and isinstance(features.get("label"), datasets.Value):
            found = ["label"]
        if len(found) != 1:
            has = ", ".join(found or features)
            number = f"has {counted(len(found), 'column')}" if found else "has no column"
            raise UserError(
                f"{self.name} {number} of {what}s ({has}); name it in hf, as {what}: NAME"
            )
        return str(found[0])


def _undecoded() -> Any:
    import datasets

    return datasets.Image(decode=False)


def _bytes_of(image: Mapping[str, Any] | None, named: str) -> tuple[bytes, str]:
    """An image's file, as it was published, and the ending that it has or should have."""
    if image is None or (image["bytes"] is None and image["path"] is None):
        raise UserError(f"{named} has no image")
    path = image["path"]
    content = image["bytes"] if image["bytes"] is not None else Path(path).read_bytes()
    suffix = PurePosixPath(path or "").suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return content, suffix
    from PIL import Image

    with suppress(OSError), Image.open(io.BytesIO(content)) as opened:
        return content, f".{(opened.format or 'png').lower()}"
    return content, ".png"  # no image: who opens it says so
