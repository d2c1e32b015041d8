"""Which columns of a CSV name images, their classes, parts and groups."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.names import printable
from classifier.data.sources.folder import part_called
from classifier.data.sources.labelled import HEADER_FIRST, Images

TRIED = 20
"""Rows whose images are looked for."""
MOST_CLASSES = 5000

CLASSES = re.compile(
    r"(class|label|categor(y|ie)|target|breed|species|diagnosis|dx|kind|type)(s|_?name|_?id|es)?",
    re.IGNORECASE,
)
GROUPS = re.compile(
    r"(patient|subject|person|lesion|case|study|scene|video|group|writer|slide|animal|individual)"
    r"[ _]?(id|name)?",
    re.IGNORECASE,
)
PARTS = re.compile(r"(split|part|partition|subset|set|data[ _]?set)", re.IGNORECASE)


NAMES_NO_IMAGES = "no column of it names images that are there"


@dataclass(frozen=True)
class Head:
    """A whole table by its columns, without spaces around the fields."""

    columns: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Columns:
    path: str
    label: str
    part: str | None
    group: str | None
    odd: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, str]:
        every = {"path": self.path, "label": self.label, "part": self.part, "group": self.group}
        return {setting: name for setting, name in every.items() if name is not None}


def head(file: Path) -> Head | str:
    """A table of one header and rows as long; else why it is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return "it is not UTF-8 text"
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [[each.strip() for each in row] for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        return f"it is not CSV: {error}"
    if len(rows) < 2:
        return "it has no rows below its header"
    if len(rows[0]) < 2:
        between = "tabs" if delimiter == "\t" else "commas"
        return f"it has no two columns with {between} between them"
    if len(set(rows[0])) < len(rows[0]):
        return "its first line names a column twice"
    if any(len(row) != len(rows[0]) for row in rows):
        return "its rows are not all as long as its first line"
    return Head(dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True)))


def columns(table: Head, folder: Path, is_named: bool) -> Columns | str:
    """The columns that a table of the folder's images has; else why it says no classes of them.
    `is_named`: a class's column must be called so."""
    images = Images(folder)
    path = next((n for n, of in table.columns.items() if n and _name_images(of, images)), None)
    if path is None:
        return NAMES_NO_IMAGES
    if images.is_one_more(path, table.columns[path]):
        return f"its first line names an image, '{printable(path)}': {HEADER_FIRST}"
    others = {name: of for name, of in table.columns.items() if name and name != path}
    part = next((n for n, of in others.items() if PARTS.fullmatch(n) and _are_parts(of)), None)
    group = next((n for n, of in others.items() if GROUPS.fullmatch(n) and _are_groups(of)), None)
    able = [n for n, of in others.items() if n not in (part, group) and _are_classes(of)]
    if len(flags := [name for name in able if set(others[name]) <= {"0", "1"}]) > 2 and all(
        row.count("1") == 1 for row in zip(*map(others.get, flags), strict=True)
    ):
        names = ", ".join(f"'{printable(name)}'" for name in flags)
        return f"it has a column for each class ({names}); make one of them, with a class's name"
    called = [name for name in able if CLASSES.fullmatch(name)]
    chosen = called or ([] if is_named else able)
    if not chosen:
        so = ", in a column that is called so, as 'label'" if is_named else ""
        return (
            f"beside '{printable(path)}' no column has classes: one for each image, two or more, "
            f"on average of two images or more{so}"
        )
    odd = []
    if chosen[1:]:
        names = ", ".join(f"'{printable(name)}'" for name in chosen[1:])
        odd.append(f"'{printable(chosen[0])}' is taken for the class; it may also be {names}")
    return Columns(path, chosen[0], part, group, tuple(odd))


def _name_images(values: Sequence[str], images: Images) -> bool:
    """More than half of them: which one names none is then said with its line."""
    tried = values[:TRIED]
    return 2 * sum(images.found(value) is not None for value in tried) > len(tried)


def _are_classes(values: Sequence[str]) -> bool:
    different = len(set(values))
    return all(values) and 2 <= different <= min(MOST_CLASSES, len(values) // 2)


def _are_groups(values: Sequence[str]) -> bool:
    return all(values) and 2 < len(set(values)) < len(values)


def _are_parts(values: Sequence[str]) -> bool:
    """Of a split that has train, and val or test or both."""
    found = set(map(part_called, set(values)))
    return "train" in found and len(found) > 1 and None not in found
