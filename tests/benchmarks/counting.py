"""How often what is judged in simulated worlds holds: draws counted, and their table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reports.blocks import Grid
from reports.statistics.intervals import Comparison, Estimate

IMAGE, MODEL = 1.5, 0.7
"""Deviations of how easy an image is, for all and for one model; the rest's is 1."""
REJECTED = "rejected"
"""Begins what is shown for comparison, and has no bound."""


class Simulated(Protocol):
    """A world."""

    @property
    def seeds(self) -> int: ...

    @property
    def draws(self) -> int: ...

    @property
    def score(self) -> str:
        """What the difference is one of, where what is judged does not say it."""

    @property
    def is_null(self) -> bool:
        """Whether the true difference is 0."""

    def drawing(self) -> Any:
        """Draws of it."""


Judged = dict[str | tuple[str, str], tuple[bool, float]]
"""By what was looked at, or that and of which score: whether it holds (an interval) or is wrong (a
claim), and a width."""
Look = Callable[[Any], Judged]
"""At what was drawn."""


@dataclass(frozen=True)
class Counted:
    world: Simulated
    what: str
    score: str
    rate: float
    """Of intervals that cover, or of wrong claims."""
    bound: float
    width: float
    """Mean, of the whole interval; 0 for claims."""

    @property
    def is_null(self) -> bool:
        """Whether an interval that misses the true difference is a false alarm."""
        return self.world.is_null and self.what.startswith(("a row", "line"))

    @property
    def excess(self) -> float:
        """By how many standard errors the bound is missed; negative where it is not."""
        if not self.bound:
            return 0.0
        missed = self.bound - self.rate if self.bound > 0.5 else self.rate - self.bound
        return missed / math.sqrt(self.bound * (1 - self.bound) / self.world.draws)


def holds(found: Estimate | Comparison, true: float) -> tuple[bool, float]:
    return found.low <= true <= found.high, found.high - found.low


def look(world: Simulated, at: Look) -> list[Counted]:
    """Draw a world and count."""
    draw = world.drawing()
    sums = defaultdict[tuple[str, str], NDArray[np.float64]](lambda: np.zeros(2))
    for _ in range(world.draws):
        for key, judged in at(draw).items():
            sums[key if isinstance(key, tuple) else (key, world.score)] += judged
    return [
        Counted(
            world, *key, count / world.draws, bound_of(key[0], world.seeds), width / world.draws
        )
        for key, (count, width) in sums.items()
    ]


def bound_of(what: str, seeds: int) -> float:
    """Of the rate; 0 for none."""
    if what.startswith(REJECTED):
        return 0.0
    return 0.065 if what.endswith("wrongly") else {1: 0.937, 2: 0.935}.get(seeds, 0.94)


def _alarms(group: Sequence[Counted]) -> str:
    alarms = [1 - each.rate for each in group if each.is_null]
    return f"{100 * max(alarms):.1f} %" if alarms else ""


def table(found: Sequence[Counted]) -> Grid:
    groups: dict[tuple[str, int, str], list[Counted]] = {}
    for each in found:
        groups.setdefault((each.what, each.world.seeds, each.score), []).append(each)
    return Grid.of(
        sorted(groups.items()),
        {
            "what": lambda group: group[0][0],
            "seeds": lambda group: str(group[0][1]),
            "score": lambda group: group[0][2],
            "worlds": lambda group: str(len(group[1])),
            "lowest": lambda group: f"{100 * min(each.rate for each in group[1]):.1f} %",
            "highest": lambda group: f"{100 * max(each.rate for each in group[1]):.1f} %",
            "bound": lambda group: f"{100 * group[1][0].bound:.1f} %" if group[1][0].bound else "",
            "false alarms, highest": lambda group: _alarms(group[1]),
            "mean width": lambda group: (
                f"{100 * fmean(each.width for each in group[1]):.2f} points"
                if group[1][0].width
                else ""
            ),
            "missed": lambda group: str(sum(each.excess > 3.3 for each in group[1]) or ""),
        },
    )
