"""Images that a user's function gave: files that were made once, with a CSV of their labels.

Making them runs code of the user's, and is a job of its own (classifier/plugins/making.py). What
plans, trains and reports afterwards finds a folder of images like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from classifier.basics.errors import UserError
from classifier.basics.settings import UNSIGNED
from classifier.basics.users import Kind, Plugin
from classifier.data.sources.labelled import Labelled
from classifier.data.split import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MADE = "made"
"""The folder of the data root that they lie in."""
LABELS = "labels.csv"
COLUMNS = ("path", "label", "part", "group")


class Sample(NamedTuple):
    """One image of a data set, as a user's function gives it."""

    path: str
    """Its name for good, as `cat/0001`: it decides the image's part, unless `part` does."""
    image: NDArray[np.uint8] | Image | Path
    """uint8 (H, W) or (H, W, 3), an image of Pillow's, or a file, which is copied."""
    label: str | int
    """Its class."""
    part: Part | None = None
    """Of all images or of none: train, val or test, for `split: given`."""
    group: str | None = None
    """What keeps images together, as a patient's; of all images or of none."""


class UserDataset(Plugin):
    """A user's function that gives the images of a data set."""

    kind: ClassVar[Kind] = "dataset"
    under: ClassVar[str] = "data"

    classes: int | None = Field(None, json_schema_extra=UNSIGNED)

    @property
    def folder(self) -> str:
        """Under the data root: its settings and its code have one of their own."""
        signed = json.dumps(self.signed(), sort_keys=True)
        return f"{MADE}/{self.name}-{hashlib.sha256(signed.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Made(Labelled):
    """`part_column` and `group_column` are there always, and empty where nothing was said."""

    name: str = ""

    @staticmethod
    def of(own: UserDataset) -> Made:
        return Made(own.folder, LABELS, *COLUMNS, own.name)

    def not_there(self, root: Path) -> UserError:
        return UserError(
            f"data set '{self.name}' is made when its matrix runs, and {self.folder(root)} is not "
            "there; run the matrix, or try it with --try"
        )

    def left_out(self, root: Path) -> dict[str, int]:
        return {}

    def _file(self, root: Path) -> Path:
        return self.there(root) / LABELS

    def _part(self, values: Mapping[str, str], place: str) -> Part | None:
        """What it says, also where nobody asked: `listing` refuses to split it otherwise."""
        return super()._part(values, place) if values["part"] else None

    def _group(self, values: Mapping[str, str], place: str) -> str | None:
        return values["group"] or None
