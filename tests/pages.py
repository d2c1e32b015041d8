"""A page of a report read back with the standard library's parser, and stores for it to show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from classifier.models.class_names import METADATA
from classifier.records.record import TrainRecord
from classifier.records.runs import CHECKPOINT
from experiments.matrix.model import Matrix
from experiments.store.store import Results
from tests.reports.test_answers import CLASSES, store_of

VOID = {"meta", "link", "img", "input", "br", "hr"}
BADGES = {"better", "worse", "same", "open"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    inner: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inner)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def all(self, tag: str, of: str = "") -> list[Element]:
        """Those of a tag, and of a class, at any depth, in the page's order."""
        found: list[Element] = []
        for each in self.inner:
            if isinstance(each, Element):
                if each.tag == tag and (not of or of in each.classes):
                    found.append(each)
                found += each.all(tag, of)
        return found

    def one(self, tag: str, of: str = "") -> Element:
        (found,) = self.all(tag, of)
        return found

    def every(self) -> list[Element]:
        inner = [each for each in self.inner if isinstance(each, Element)]
        return [self, *(deeper for each in inner for deeper in each.every())]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inner.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inner.append(data)


def read(html: str) -> Element:
    """Its root. All that is opened must be closed, in its order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1
    return reader.open[0]


def page_of(file: Path) -> Element:
    return read(file.read_text(encoding="utf-8"))


def cells_of(table: Element) -> list[list[Element]]:
    return [
        [each for each in row.inner if isinstance(each, Element)]
        for row in table.one("tbody").all("tr")
    ]


def figure(cell: Element) -> str:
    """What it says without its mark."""
    figures = cell.all("span", "figure")
    return figures[0].text if figures else cell.text


def verdict(cell: Element) -> str | None:
    badges = cell.all("span", "badge")
    return badges[0].text if badges else None


def named(folder: Path, results: Results, classes: Sequence[str]) -> None:
    """Checkpoints that know these classes, for all trainings."""
    assert len(classes) == CLASSES
    about = {METADATA: json.dumps({"format": 1, "classes": list(classes)})}
    for key, record in results.records.items():
        if isinstance(record, TrainRecord):
            unit = folder / "-".join(key)
            unit.mkdir(parents=True, exist_ok=True)
            save_file({"a": np.zeros(1, np.float32)}, unit / CHECKPOINT, metadata=about)
            results.folders[key] = unit


def named_store(matrix: Matrix, folder: Path, classes: Sequence[str]) -> Results:
    results = store_of(matrix, folder)
    named(folder, results, classes)
    return results
