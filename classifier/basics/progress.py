"""What a job says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from classifier.basics.chance import is_guessing

WAITING = "waiting for"
"""Begins the phase of a job that is not let in yet."""


@dataclass(frozen=True)
class Progress:
    phase: str
    done: int
    total: int
    images_per_second: float | None = None
    best: float | None = None
    """Best val accuracy (or MPA) so far."""
    classes: int | None = None
    """Of the data, where there is a best."""
    mpa: float | None = None
    """On val, of the epoch with the best."""
    least: int | None = None
    """How many are done when it ends early, if nothing gets better from here on: before that it
    can't. None where it does not end early."""

    @property
    def only_guesses(self) -> bool:
        """What it has reached so far is what guessing does, or always answering one class."""
        if self.best is None or self.classes is None:
            return False
        least = self.best if self.mpa is None else min(self.best, self.mpa)
        return is_guessing(least, self.classes)

    @property
    def is_waiting(self) -> bool:
        """For a place, or for a device that another runner uses."""
        return self.phase.startswith(WAITING)

    @property
    def is_work(self) -> bool:
        """Whether it tells how far the job is, and not what comes before its work."""
        return not self.phase.startswith((WAITING, "starting", "decoding"))


Report = Callable[[Progress], None]


OnCount = Callable[[int, int], None]
"""Hears how many are done, and of how many."""


def uncounted(done: int, total: int) -> None:
    """A count that nobody hears."""


def silent(progress: Progress) -> None:
    """A report that goes nowhere."""


def duration(seconds: float | None) -> str:
    """`9 s`, `4 min 05`, `2 h 31`, `3 d 04 h`; `?` for what is not known."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d}"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"
