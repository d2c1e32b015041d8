"""What a job says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    phase: str
    done: int
    total: int
    images_per_second: float | None = None
    best: float | None = None
    """Best val accuracy (or MPA) so far."""


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A report that goes nowhere."""
