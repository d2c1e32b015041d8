"""Which images a training sees, and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticKnownError

from classifier.basics.settings import NEUTRAL, Count, Settings
from classifier.data import sources
from classifier.data.sources import Source
from classifier.data.sources.folder import Folder


def _known(name: object) -> object:
    """Refuses other names as a Literal would; these are those of the files that are there."""
    names = list(sources.by_name())
    if name is not None and name not in names:
        raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, names))})
    return name


class DataSpec(Settings):
    """A data set and the rule that splits it.

    `name` is a data set of `sources`, found by its file; `folder` is one of the user's own, a
    folder of class folders under the data root. `split`: `strict` is 6:2:2 of each class by largest
    remainder, `sequential` the older rule that the changelog's tables were measured on (a fifth for
    test, then a fifth of what is left for val), `given` takes train/, val/ and test/ as they are.
    `limit` keeps that many images of each class. `on_bad_image`: an image that can't be read is an
    `error`, or with `skip` left out before the split is made.
    """

    name: Annotated[str | None, BeforeValidator(_known)] = None
    folder: str | None = Field(None, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")
    split: Literal["strict", "sequential", "given"] = "strict"
    split_seed: int = Field(0, ge=0)
    limit: Count | None = Field(None, json_schema_extra=NEUTRAL)
    on_bad_image: Literal["error", "skip"] = Field("error", json_schema_extra=NEUTRAL)

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        if (self.name is None) == (self.folder is None):
            names = ", ".join(sources.by_name())
            raise ValueError(f"data needs either 'name' ({names}) or 'folder'")
        if self.folder in (".", ".."):
            raise ValueError("'folder' must be the name of a folder under the data root")
        if self.split == "given" and self.folder is None:
            raise ValueError(
                f"split 'given' is for a 'folder'; {self.name} has no split of its own"
            )
        if self.split == "given" and self.limit is not None:
            raise ValueError("'limit' chooses images before the split; with split 'given' it can't")
        return self

    @property
    def title(self) -> str:
        return self.name or str(self.folder)

    @property
    def source(self) -> Source:
        """Where its images come from."""
        return Folder(str(self.folder)) if self.name is None else sources.by_name()[self.name]
