"""Which images a training sees, and how they are split."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticKnownError

from classifier.basics.files import LONGEST_NAME
from classifier.basics.settings import NEUTRAL, Count, Settings, named, neutral
from classifier.basics.told import plain
from classifier.data import sources
from classifier.data.sources import Source
from classifier.data.sources.folder import Folder, SplitFolder
from classifier.data.sources.hub import Hub, HubDataset
from classifier.data.sources.labelled import Labelled
from classifier.data.sources.made import Made, UserDataset


def _known(name: object) -> object:
    """Refuses other names as a Literal would; these are those of the files that are there."""
    names = list(sources.by_name())
    if name is not None and name not in names:
        *first, last = map(repr, names)
        expected = f"{', '.join(first)} or {last}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return name


def file_of(value: object) -> object:
    """`train.csv` is short for `{file: train.csv}`; with `--set` it comes as a name."""
    value = named(value)
    if isinstance(value, dict) and "name" in value:
        return {"file": value["name"], **{k: v for k, v in value.items() if k != "name"}}
    return value


PLACES = ("name", "folder", "hf")
"""What names a data set where it is written."""


class Labels(Settings):
    """A CSV that says which class each image of a folder has; its columns by their names."""

    file: str = Field(min_length=1, max_length=1000)
    path: str = "path"
    label: str = "label"
    part: str | None = Field(None, json_schema_extra=NEUTRAL)
    group: str | None = Field(None, json_schema_extra=NEUTRAL)

    @model_validator(mode="after")
    def _stays_inside(self) -> Labels:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or "\0" in self.file:
            raise ValueError(
                f"'{self.file}' must be a file under the data root or in the data's folder, "
                "without '..'"
            )
        return self


class DataSpec(Settings):
    """A data set and the rule that splits it.

    `name` is a data set of `sources`, found by its file; `folder` is one of the user's own, a
    folder of class folders under the data root, or with `labels` one of images; `hf` one of the
    Hugging Face Hub; `own` one that a function of the user's makes. `split`: `strict`
    is 6:2:2 of each class by largest remainder, `sequential` the older rule that the changelog's
    tables were measured on (a fifth for test, then a fifth of what is left for val), `given` takes
    train/, val/ and test/ as they are, or the parts that `labels` say; of a published set that has
    a test part of its own it is the only one. Where there is a test and no val, a fifth of train
    is cut for it. `limit` keeps that many images of each class. `on_bad_image`: an image that can't
    be read is an `error`, or with `skip` left out before the split is made.

    Images of one group stay in one part: `group` is a regular expression that finds its name in a
    path (what its brackets hold, if it has any). `duplicates`: images that are the same, byte for
    byte, in more than one part are named (`warn`), refused (`error`) or brought `together` into
    one; with `similar` also those whose perceptual hashes differ in at most so many of 64 bits.

    `folds` are those of a cross-validation: each has a test part of its own, together every image
    once, and leaves the rest to train and val as `split` has them.
    """

    name: Annotated[str | None, BeforeValidator(_known)] = None
    folder: str | None = Field(None, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")
    own: UserDataset | None = neutral(None)
    hf: Annotated[HubDataset | None, BeforeValidator(named)] = neutral(None)
    split: Literal["strict", "sequential", "given"] = "strict"
    split_seed: int = Field(0, ge=0)
    folds: int | None = neutral(None, ge=2, le=100)
    fold: int | None = neutral(None, ge=0)
    """Which of the folds a training tests on, from 0; of a matrix's data as written None."""
    limit: Count | None = Field(None, json_schema_extra=NEUTRAL)
    on_bad_image: Literal["error", "skip"] = Field("error", json_schema_extra=NEUTRAL)
    # What follows is written only where it is set: records are older than these settings.
    labels: Annotated[Labels | None, BeforeValidator(file_of)] = neutral(None)
    group: str | None = neutral(None, min_length=1, max_length=1000)
    duplicates: Literal["warn", "error", "together"] = neutral("warn")
    similar: int | None = neutral(None, ge=0, le=20)

    @model_validator(mode="before")
    @classmethod
    def _own_split(cls, given: Any) -> Any:
        """What is published with a test part keeps it, without a word."""
        if not isinstance(given, dict) or "split" in given:
            return given
        if given.get("hf") is not None:
            return {**given, "split": "given"}
        name = given.get("name")
        source = sources.by_name().get(name) if isinstance(name, str) else None
        return {**given, "split": "given"} if source is not None and source.is_split else given

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        if sum(place is not None for place in (self.name, self.folder, self.hf, self.own)) != 1:
            raise ValueError("data needs either 'name' (digits, cub200, ...), 'folder' or 'hf'")
        if self.folder in (".", ".."):
            raise ValueError("'folder' must be the name of a folder under the data root")
        if self.folder and (size := len(os.fsencode(self.folder))) > LONGEST_NAME:
            raise ValueError(
                f"'folder' has {size} bytes, more than the {LONGEST_NAME} of a file's name; rename "
                "the folder"
            )
        if self.name is not None and self.source.is_split != (self.split == "given"):
            raise ValueError(
                f"{self.name} has a test part of its own, which is kept: leave out 'split'"
                if self.source.is_split
                else f"split 'given' is for a 'folder'; {self.name} has no split of its own"
            )
        if self.split == "given" and self.split_seed and not self._may_cut_val:
            raise ValueError("'split_seed' draws a split, and split 'given' has its own")
        if self.split == "given" and self.limit is not None:
            kept = "with split 'given' it can't"
            if self.source.is_split:
                kept = f"{self.title} has a test part of its own, which is kept: leave out 'limit'"
            raise ValueError(f"'limit' chooses images before the split; {kept}")
        return self

    @property
    def _may_cut_val(self) -> bool:
        """Whether `split_seed` draws a val from train, as far as known before it is looked at."""
        if self.name is None:
            return True
        known = self.source.counts()
        return known is not None and not (isinstance(known.images, int) or "val" in known.images)

    @model_validator(mode="after")
    def _folds_fit(self) -> DataSpec:
        if self.folds is not None and self.split == "given":
            raise ValueError("'folds' cut test parts, and split 'given' has its own")
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"there is no fold {self.fold} of {self.folds or 0} 'folds'")
        return self

    @model_validator(mode="after")
    def _labels_fit(self) -> DataSpec:
        if self.labels is None:
            return self
        if self.folder is None:
            raise ValueError(f"'labels' are for a 'folder'; {self.title} has labels of its own")
        if (self.split == "given") != (self.labels.part is not None):
            raise ValueError(
                "split 'given' with 'labels' takes the column that says train, val or test: name "
                "it as 'part' in labels"
                if self.split == "given"
                else f"a 'part' in labels is for split 'given', and this is '{self.split}'"
            )
        if self.group is not None and self.labels.group is not None:
            raise ValueError("'group' is given twice, here and in labels; leave one out")
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> DataSpec:
        if self.group is not None:
            try:
                re.compile(self.group)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(
                    f"group '{self.group}' is no regular expression: {error}"
                ) from error
        looks = self.similar is not None or self.duplicates != "warn"
        if looks and self.name is not None and self.source.folder(Path()) is None:
            raise ValueError(f"'duplicates' and 'similar' compare files, and {self.name} has none")
        if self.duplicates == "together" and self.split == "given":
            raise ValueError(
                "duplicates 'together' chooses parts, which split 'given' has; take 'error'"
            )
        return self

    @property
    def title(self) -> str:
        if self.hf is not None:
            return self.hf.name
        return self.name or self.folder or self.made.name

    @property
    def in_names(self) -> str:
        """Its title where it is a part of a file's name."""
        return self.title.replace("/", "--")

    @property
    def whole(self) -> DataSpec:
        """All folds together; without folds itself."""
        return self if self.fold is None else self.model_copy(update={"fold": None})

    @property
    def each_fold(self) -> tuple[DataSpec, ...]:
        """What its trainings see, one each; without folds itself."""
        if self.folds is None:
            return (self,)
        return tuple(self.model_copy(update={"fold": fold}) for fold in range(self.folds))

    @property
    def rule(self) -> str:
        """How it is split, in short."""
        return self.split if self.folds is None else f"{self.split}, {self.folds} folds"

    @property
    def as_test(self) -> str:
        """What it is called as the data that a network is tried on, and not trained on."""
        few = f", {self.limit} a class" if self.limit else ""
        by = f" by {self.labels.file}" if self.labels else ""
        how = "".join(f", {name} {v}" for name, v in self.own.settings.items()) if self.own else ""
        return f"{'test' if self.split == 'given' else 'all'} of {self.title}{how}{by}{few}"

    def signed(self) -> dict[str, Any]:
        """What only names duplicates changes no result."""
        plain = super().signed()
        if self.duplicates != "together":
            plain.pop("duplicates", None)
            plain.pop("similar", None)
        return plain

    @property
    def made(self) -> UserDataset:
        """What makes it, of one that is the user's."""
        assert self.own is not None
        return self.own

    @property
    def source(self) -> Source:
        """Where its images come from."""
        if self.own is not None:
            return Made.of(self.own)
        if self.hf is not None:
            return Hub.named(self.hf)
        if self.name is not None:
            return sources.by_name()[self.name]
        folder = str(self.folder)
        if self.labels is not None:
            of = self.labels
            return Labelled(folder, of.file, of.path, of.label, of.part, of.group)
        return SplitFolder(folder) if self.split == "given" else Folder(folder)


def titles(specs: Iterable[DataSpec]) -> dict[DataSpec, str]:
    """What each is called beside the others: its title, and where several share it what they differ
    in, `digits (limit 20)`."""
    each = list(dict.fromkeys(specs))
    said = [as_flat(spec.model_dump(mode="json", exclude={"own"})) for spec in each]
    own = [spec.own.settings if spec.own else {} for spec in each]
    written = [{**of, **settings} for of, settings in zip(said, own, strict=True)]
    return dict(zip(each, _apart([spec.title for spec in each], written), strict=True))


def called(values: Sequence[Any]) -> list[str]:
    """The same of data as they are written."""
    written = [as_flat({"name": value} if isinstance(value, str) else value) for value in values]
    names = [str(next((of[key] for key in PLACES if key in of), "")) for of in written]
    return _apart(names, written)


def as_flat(written: Mapping[str, Any]) -> dict[str, Any]:
    """What `hf` says beside its name as keys of their own."""
    hub = written.get("hf")
    if not isinstance(hub, Mapping):
        return dict(written)
    beside = {key: value for key, value in hub.items() if key != "name"}
    return {**written, "hf": hub.get("name"), **beside}


def _apart(names: Sequence[str], written: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names, with what those that share one differ in."""
    told = []
    for name, said in zip(names, written, strict=True):
        alike = [of for other, of in zip(names, written, strict=True) if other == name]
        keys = dict.fromkeys(key for of in alike for key in of)
        differ = [key for key in keys if any(of.get(key) != said.get(key) for of in alike)]
        parts = [f"{key} {plain(said[key])}" for key in differ if said.get(key) is not None]
        told.append(f"{name} ({', '.join(parts)})" if parts else name)
    return told
