"""What is known of every name of torchvision and timm without importing them: networks.csv.

`python -m tests.benchmarks networks` wrote it, by building each network on torch's meta device.
A name that a newer library has and the table has not is let through: a training of it is tried
before anything runs, and says itself what it does not take.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).with_name("networks.csv")
SETTINGS = ("drop_rate", "drop_path_rate", "layer_decay")
"""Settings that not every network has, in the table's order."""


@dataclass(frozen=True)
class Known:
    """A row of the table."""

    name: str
    library: str
    own: int
    """The image size that it was made for."""
    built: bool
    """Whether it is built for one size and then takes no other."""
    least: int
    step: int
    """It takes the sizes from `least` on that are multiples of `step`; of step 0 only its own."""
    settings: tuple[str, ...]
    refused: str = ""
    """Why it can't be used, if it can't."""

    def takes(self, side: int) -> bool:
        if self.step == 0:
            return side == self.own
        return side >= self.least and side % self.step == 0

    @property
    def sides(self) -> str:
        """The sizes that it takes, in words."""
        if self.step == 0:
            return f"{self.own} only"
        steps = "any" if self.step == 1 else f"multiples of {self.step}"
        return f"{steps} from {self.least} on"

    def lacks(self, setting: str) -> str:
        """Why it has not one of `SETTINGS`."""
        if setting == "drop_rate":
            return "all that it drops is in front of its head, which is the setting 'dropout'"
        if setting == "drop_path_rate":
            return "it has no paths to drop"
        if self.library == "torchvision":
            return "torchvision does not say in which order its layers are; take a network of timm"
        return "timm does not say in which order its layers are"


@cache
def table() -> dict[str, Known]:
    """By name."""
    with TABLE.open(newline="", encoding="utf-8") as opened:
        return {row["name"]: _known(row) for row in csv.DictReader(opened)}


def _known(row: dict[str, str]) -> Known:
    own, least, step = (int(row[name] or 0) for name in ("own", "least", "step"))
    settings = tuple(row["settings"].split())
    built = row["built"] == "yes"
    return Known(row["name"], row["library"], own, built, least, step, settings, row["refused"])
