"""A folder of images whose classes a CSV says, as competitions give them."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.names import composed, nearest
from classifier.data.images import IMAGE_SUFFIXES, look_through
from classifier.data.sources.folder import PART_OF, beside, by_ending, part_called, relative
from classifier.data.sources.rows import Row, Rows
from classifier.data.split import Part


@dataclass(frozen=True)
class Labelled(Rows):
    """`file` lies under the data root or in the folder; the others are its columns."""

    file: str
    path_column: str
    label_column: str
    part_column: str | None = None
    group_column: str | None = None

    def not_there(self, root: Path) -> UserError:
        return UserError(
            f"the data folder {self.folder(root)} is not there. Put the folder of images there, or "
            f"name its parent with --data-root{beside(self.folder(root))}"
        )

    def left_out(self, root: Path) -> dict[str, int]:
        found = look_through(self.there(root))
        table = self._file(root)
        others = Counter(by_ending(f for f in found.left_out if not _is_same(f, table)))
        unnamed = len(found.images) - len(self.rows(root))
        if unnamed:
            others[f"not in {self.file}"] = unnamed
        return dict(sorted(others.items(), key=lambda item: (-item[1], item[0])))

    def _file(self, root: Path) -> Path:
        """The CSV. Raises UserError where there is none, or it lies outside."""
        beside, inside = root / self.file, self.folder(root) / self.file
        there = [file for file in (inside, beside) if file.is_file()]
        if not there:
            raise UserError(f"the labels are not there: neither {inside} nor {beside} is a file")
        if len(there) == 2 and not _is_same(*there):
            raise UserError(f"the labels are there twice, as {inside} and as {beside}; keep one")
        homes = (root.resolve(), self.folder(root).resolve())
        if not any(there[0].resolve().is_relative_to(home) for home in homes):
            raise UserError(f"{there[0]} leads out of the data root {root}; copy the labels there")
        return there[0]

    def rows(self, root: Path) -> list[Row]:
        """One for each image, in the CSV's order."""
        folder, file = self.there(root), self._file(root)
        images = Images(folder)
        lines: dict[str, int] = {}
        rows: list[Row] = []
        for line, values in self._lines(file):
            place = f"{file}:{line}"
            path = images.of(values[self.path_column], place)
            if path in lines:
                raise UserError(f"{place}: {path} has a line already, {lines[path]}")
            lines[path] = line
            label = composed(values[self.label_column])
            if not label:
                raise UserError(f"{place}: {path} has no {self.label_column}")
            rows.append(Row(path, label, self._part(values, place), self._group(values, place)))
        if not rows:
            raise UserError(f"{file} names no image")
        if images.is_one_more(self.path_column, lines):
            raise UserError(f"{file}:1: '{self.path_column}' names an image: {HEADER_FIRST}")
        return rows

    def _part(self, values: Mapping[str, str], place: str) -> Part | None:
        if self.part_column is None:
            return None
        said = values[self.part_column]
        part = part_called(said)
        if part is None:
            raise UserError(f"{place}: the part is '{said}'; it can be {', '.join(PART_OF)}")
        return part

    def _group(self, values: Mapping[str, str], place: str) -> str | None:
        if self.group_column is None:
            return None
        if not values[self.group_column]:
            raise UserError(f"{place}: no {self.group_column}; an image of no group needs its own")
        return values[self.group_column]

    def _lines(self, file: Path) -> Iterator[tuple[int, dict[str, str]]]:
        """Each line's number, and by column what stands in it, without spaces around."""
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text ({error.reason})") from error
        except OSError as error:
            raise UserError(f"{file} can't be read: {error.strerror}") from error
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            self._check_columns(header, file)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != len(header):
                    raise UserError(
                        f"{file}:{reader.line_num}: {len(fields)} fields where {len(header)} belong"
                    )
                values = (field.strip() for field in fields)
                yield reader.line_num, dict(zip(header, values, strict=True))
        except csv.Error as error:
            raise UserError(f"{file}:{reader.line_num}: not CSV: {error}") from error

    def _check_columns(self, header: list[str], file: Path) -> None:
        wanted = {
            "path": self.path_column,
            "label": self.label_column,
            "part": self.part_column,
            "group": self.group_column,
        }
        for setting, name in wanted.items():
            if name is None:
                continue
            if name not in header:
                if len(header) == 1 and ";" in header[0]:
                    raise UserError(
                        f"{file}:1: its fields are separated by ';': save it with commas, or with "
                        "tabs as .tsv"
                    )
                raise UserError(
                    f"{file}:1: no column '{name}'{nearest(name, header)}; say in labels which "
                    f"column it is, as {setting}: NAME, or where this line is no header, put one "
                    "before it"
                )
            if header.count(name) > 1:
                raise UserError(f"{file}:1: the column '{name}' is there twice")


HEADER_FIRST = "put a line with the columns' names before it, as path,label"


class Images:
    """The images of a folder, by what a CSV may call them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = set(relative(look_through(folder).images, folder))
        self._by_name: dict[str, list[str]] = {}
        for path in self._paths:
            name = composed(path.rpartition("/")[2])
            for known_as in {name, os.path.splitext(name)[0]}:  # noqa: PTH122 - of 100,000s
                self._by_name.setdefault(known_as, []).append(path)

    def of(self, named: str, place: str) -> str:
        """The path of the one image that is meant: by its path from the folder, or by the end of
        it; an id without an ending means the one image of that name. Raises UserError."""
        for path in (named, named := named.replace("\\", "/").removeprefix("./")):
            if path in self._paths:
                return path
        if not named or named.startswith("/") or ".." in named.split("/"):
            raise UserError(f"{place}: '{named}' is no path of an image in {self._folder}")
        has_ending = os.path.splitext(named)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
        named = composed(named)
        found = [
            path
            for path in self._by_name.get(named.rpartition("/")[2], [])
            if f"/{composed(path if has_ending else os.path.splitext(path)[0])}".endswith(  # noqa: PTH122
                f"/{named}"
            )
        ]
        if not found and (linked := self._folder / named).is_file():
            real = os.path.realpath(linked)
            found = [path for path in self._paths if os.path.realpath(self._folder / path) == real]
        if not found:
            raise UserError(
                f"{place}: {self._folder} has no image '{named}'; put it there or drop the line"
            )
        if len(found) > 1:
            some = ", ".join(sorted(found)[:3])
            raise UserError(
                f"{place}: '{named}' may be any of {len(found)} images: {some}; write its path"
            )
        return found[0]

    def found(self, named: str) -> str | None:
        """The path of the one image that is meant, if there is one."""
        with suppress(UserError):
            return self.of(named, "")
        return None

    def is_one_more(self, column: str, values: Iterable[str]) -> bool:
        """Whether a column's name names an image that none of its values does: then the first line
        is no header, and would be lost as one."""
        first = self.found(column)
        return first is not None and first not in map(self.found, values)


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
