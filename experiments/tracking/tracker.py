"""What a tracker is, and what it is told, whichever it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Run:
    """One run of a tracker: a track of a training on its data with what was measured of it, or a
    speed."""

    key: str
    """No other has it: its signature, unit and data."""
    folder: str
    """The name of its run's folder in a store."""
    name: str
    """Of the unit, told apart by its data; without a slash."""
    settings: Mapping[str, str]
    about: Mapping[str, str]
    """What is known of it before it ends, as where its record lies."""


@dataclass(frozen=True)
class Step:
    """Some values of one moment; logged whole or not at all."""

    at: int
    """The epoch, from 0."""
    values: Mapping[str, float]


@dataclass
class Known:
    """What a tracker has of a run."""

    epochs: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    """Of all its values."""
    status: Status = "running"


@dataclass(frozen=True)
class Report:
    """Of one matrix."""

    matrix: str
    text: str
    """Markdown."""
    cells: Mapping[tuple[str, str, str], Mapping[str, float]]
    """By table, row and column its `figure`, and of an interval `low` and `high`."""
    files: Sequence[Path]
    """With figures only, and no picture of the data."""

    @property
    def values(self) -> dict[str, float]:
        """By names as trackers take them."""
        return {
            name_of("/".join((*(part.replace("/", "_") for part in place), name))): value
            for place, cell in self.cells.items()
            for name, value in cell.items()
        }


class Tracker(Protocol):
    """Used by one thread. Any method may raise anything, and may take for ever."""

    def known(self, run: Run) -> Known:
        """Ask what it has; a run that it has not is made, with its settings."""

    def log(self, run: Run, steps: Sequence[Step]) -> None: ...
    def mark(self, run: Run, status: Status, about: Mapping[str, str]) -> None: ...
    def report(self, report: Report) -> None:
        """One that it has, as it is, is not logged again."""

    def close(self) -> None: ...


EPOCH = "val/loss"
"""Which value every epoch has, and nothing else."""
MOST_NAME = 250
"""Characters, as MLflow has it."""


def name_of(name: str) -> str:
    """As every tracker takes it: a path, of characters that MLflow allows."""
    parts = (re.sub(r"[^\w\-. :]", "_", part) for part in name.split("/"))
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)[:MOST_NAME]
