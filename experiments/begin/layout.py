"""How a folder of images is laid out: which data of a matrix it is, and which folder the root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.names import composed, counted, printable
from classifier.data.images import is_data, is_image, look_through
from classifier.data.prepare import some
from classifier.data.sources.folder import LIKE_A_PART, parts_among, unwrapped
from classifier.data.spec import DataSpec, Labels
from classifier.data.split import Part
from experiments.begin import tables
from experiments.begin.tables import Columns, Head

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Layout:
    kind: str
    """In words."""
    root: Path
    """The data root that it needs, absolute."""
    data: DataSpec
    others: tuple[DataSpec, ...] = ()
    """What a network can be tried on beside: test folders of their own."""
    odd: tuple[str, ...] = ()
    """What was set aside, a sentence each."""
    unused: tuple[str, ...] = ()
    """CSVs that say no classes, with why."""


@dataclass(frozen=True)
class _Level:
    """What lies in a folder itself, by name."""

    path: Path
    folders: tuple[str, ...]
    images: tuple[str, ...]
    tables: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> _Level:
        with os.scandir(path) as scanned:
            entries = [entry for entry in scanned if is_data(entry.name)]
        folders = sorted(entry.name for entry in entries if entry.is_dir())
        files = sorted(entry.name for entry in entries if not entry.is_dir())
        return cls(
            path,
            tuple(folders),
            tuple(name for name in files if is_image(Path(name))),
            tuple(name for name in files if Path(name).suffix.lower() in TABLES),
        )


@dataclass
class _Finding:
    """One look at one folder."""

    level: _Level
    odd: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.level.path

    def inner(self, name: str) -> _Level:
        return _Level.of(self.path / name)

    def found(
        self, kind: str, data: DataSpec, root: Path, others: Iterable[DataSpec] = ()
    ) -> Layout:
        return Layout(kind, root, data, tuple(others), tuple(self.odd), tuple(self.unused))


def find(folder: Path) -> Layout:
    """The layout of a folder. Raises UserError where it is none that can be trained on."""
    finding = _Finding(_inmost(folder))
    if finding.path != folder:
        finding.odd.append(f"all lies in {finding.path}")
    level = finding.level
    among = parts_among(level.folders)
    parts = [name for name in level.folders if name in among or LIKE_A_PART.match(name)]
    if len(parts) > 1:
        layout = _of_parts(finding, parts, among)
        if layout is not None:
            return layout
    layout = _of_tables(finding, len(level.folders) > 1 and not parts and not level.images)
    if layout is not None:
        return layout
    if level.folders:
        if level.images:
            what = counted(len(level.images), "image")
            finding.odd.append(f"{what} beside the class folders: left out")
        return finding.found("class folders", _data(folder=level.path.name), level.path.parent)
    layout = _of_a_table_beside(finding)
    if layout is not None:
        return layout
    raise _flat(level, finding.unused)


def _inmost(folder: Path) -> _Level:
    """Down to where there is more than one folder, which archives wrap in others."""
    level = _Level.of(folder)
    while len(level.folders) == 1 and not level.images and not level.tables:
        inner = _Level.of(level.path / level.folders[0])
        if not (inner.folders or inner.tables or LIKE_A_PART.match(inner.path.name)):
            break  # a class, the only one
        level = inner
    return level


def _data(**settings: object) -> DataSpec:
    """Raises UserError for a folder whose name a matrix can't hold."""
    try:
        return DataSpec.model_validate(settings)
    except ValidationError as error:
        said = printable(str(settings.get("folder")))
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"a folder of this name can't be data: '{said}': {why}; rename it"
        ) from error


# Parts -------------------------------------------------------------------------------------------


def _of_parts(finding: _Finding, names: Sequence[str], among: Mapping[str, Part]) -> Layout | None:
    """train/, val/ and test/ that hold class folders; None where train/ holds none. `among`: those
    of the names that are the parts of a split."""
    path = finding.path
    inside = {name: unwrapped(path, name) for name in names}
    classes = {name: finding.inner(inside[name]).folders for name in names}
    trains = [
        name
        for name in names
        if (among[name] == "train" if name in among else name.lower().startswith("train"))
    ]
    if len(trains) != 1 or not classes[trains[0]]:
        return None
    train = trains[0]
    beside = [f"{name}/" for name in finding.level.folders if name not in names]
    if beside:
        finding.odd.append(f"no part by its name, left out: {some(beside)}")
    usable = []
    for name in names:
        strange = set(map(composed, classes[name])) - set(map(composed, classes[train]))
        if not classes[name]:
            finding.odd.append(f"{name}/ has no class folders: left out")
        elif strange:
            finding.odd.append(
                f"{name}/ has classes that {train}/ lacks: left out: {some(sorted(strange))}"
            )
        else:
            usable.append(name)
    # Each part once, but for val perhaps, and nothing beside.
    is_whole = sorted(among.values()) in (["test", "train", "val"], ["test", "train"])
    if is_whole and len(among) == len(usable) == len(names):
        data = _data(folder=path.name, split="given")
        kind = "parts, taken as they are"
        if len(names) == 2:
            kind = "train and test, val cut from train"
        return finding.found(kind, data, path.parent)
    if inside[train] != train:
        finding.odd += [f"{name}/ is left out" for name in usable if name != train]
        return finding.found(
            f"{inside[train]}/ of class folders", _data(folder=train), path / train
        )
    others = [_data(folder=name) for name in usable if name != train]
    if others:
        what = " and ".join(f"{other.folder}/" for other in others)
        finding.odd.append(
            f"not all of train/, val/ and test/ are there: {train}/ is split here, and {what} "
            "stands in columns of its own"
        )
    return finding.found(f"{train}/ of class folders", _data(folder=train), path, others)


# Labels from a CSV -------------------------------------------------------------------------------


def _of_tables(finding: _Finding, has_classes: bool) -> Layout | None:
    """A CSV that names images of the folder, or of one in it. `has_classes`: there are folders
    that may be classes, so that only a column that is called a class is one."""
    path, level = finding.path, finding.level
    for name in level.tables:
        table = tables.head(path / name)
        found = table if isinstance(table, str) else _columns(finding, table, has_classes)
        if isinstance(found, str):
            finding.unused.append(f"{printable(name)}: {found}")
            continue
        place, columns = found
        others = [other for other in level.tables if other != name]
        if others:
            finding.odd.append(f"not used: {some(others)}")
        finding.odd += columns.odd
        finding.unused.clear()
        labels = Labels(file=name, **columns.named)
        root, folder = (path, place) if place else (path.parent, path.name)
        return finding.found(f"labels from {name}", _labelled(folder, labels, columns), root)
    return None


def _of_a_table_beside(finding: _Finding) -> Layout | None:
    """A CSV that lies where the folder of images lies, as train.csv beside train_images/."""
    folder, root = finding.path, finding.path.parent
    for name in _Level.of(root).tables if finding.level.images else ():
        table = tables.head(root / name)
        if isinstance(table, str):
            continue
        columns = tables.columns(table, folder, is_named=False)
        if isinstance(columns, Columns):
            finding.odd += columns.odd
            data = _labelled(folder.name, Labels(file=name, **columns.named), columns)
            return finding.found(f"labels from {name}, which lies beside it", data, root)
        if columns != tables.NAMES_NO_IMAGES:
            finding.unused.append(f"{printable(name)}: {columns}")
    return None


def _columns(finding: _Finding, table: Head, has_classes: bool) -> tuple[str, Columns] | str:
    """In which folder its images lie, and its columns; else why it can't be taken."""
    why = tables.NAMES_NO_IMAGES
    for place in ("", *finding.level.folders):
        images = finding.path / place
        if not look_through(images).images:
            continue
        columns = tables.columns(table, images, has_classes)
        if isinstance(columns, Columns):
            return place, columns
        if why == tables.NAMES_NO_IMAGES:
            why = columns
    return why


def _labelled(folder: str, labels: Labels, columns: Columns) -> DataSpec:
    given = {"split": "given"} if columns.part else {}
    return _data(folder=folder, labels=labels.model_dump(), **given)


def _flat(level: _Level, unused: Sequence[str]) -> UserError:
    if not level.images:
        return UserError(f"{level.path} has no images and no folders: nothing to train on")
    if unused:
        return UserError(
            f"{level.path} has {counted(len(level.images), 'image')} and no CSV that says their "
            f"classes: {'; '.join(unused)}"
        )
    begins = {name[: len(name) - len(name.lstrip(_LETTERS))] for name in level.images}
    hint = ""
    if 2 <= len(begins) <= 50 and "" not in begins and 4 * len(begins) <= len(level.images):
        hint = f" (by the beginnings of their names these may be {some(sorted(begins))})"
    return UserError(
        f"{level.path} has {counted(len(level.images), 'image')} and nothing that says their "
        f"classes{hint}: put the images of each class into a folder named as the class, or a "
        "labels.csv beside them with the columns path and label"
    )


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
