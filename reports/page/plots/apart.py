"""Numbers that would cover one another stand side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from reports.page.plots.marks import Point

_STEP, _AIR = 2.0, 2.0
"""Pixels: by how much a place further is tried, and between two numbers."""


def apart(
    places: Sequence[Point], widths: Sequence[float], height: float, room: float
) -> list[float]:
    """Where the middles of numbers stand from left to right, in pixels, from 0 to `room`: each as
    near to its place as others leave it, at its own height. One that finds none stays. Those that
    cover none keep theirs, for they go first."""

    def least(one: int, other: int) -> float:
        """How far from one the other must stand."""
        is_above = abs(places[one][1] - places[other][1]) >= height
        return 0.0 if is_above else (widths[one] + widths[other]) / 2 + _AIR

    def covered(one: int) -> int:
        return sum(abs(places[one][0] - x) < least(one, other) for other, (x, _) in each)

    each = list(enumerate(places))
    stands: dict[int, float] = {}
    for one in sorted(range(len(places)), key=lambda one: (covered(one), places[one])):
        x, half = places[one][0], widths[one] / 2
        free = (
            at
            for at in _nearest(x, room)
            if half <= at <= room - half
            and all(abs(at - stood) >= least(one, other) for other, stood in stands.items())
        )
        stands[one] = next(free, x)
    return [stands[one] for one in range(len(places))]


def _nearest(x: float, room: float) -> Iterator[float]:
    yield x
    for steps in range(1, math.ceil(room / _STEP)):
        yield from (x + steps * _STEP, x - steps * _STEP)
