"""Where a job runs. An engine is slots and `submit`; the scheduler knows no more of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from classifier.basics.progress import Progress
from classifier.records.record import Record
from experiments.plan.plan import Job

MOST_CPU_JOBS = 8
"""By default no more jobs at a time than this on a machine's CPU: each needs its memory."""


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time. Slots of one device share it."""

    device: str
    """`cpu`, the index of a GPU as the user counts them, or `ray`: a place somewhere."""
    index: int

    @property
    def name(self) -> str:
        return f"gpu {self.device}" if self.device.isdecimal() else self.device


class JobFailed(Exception):  # noqa: N818
    """A job ended without its record; the reason is for the user."""

    def __init__(self, reason: str, repeats: bool = False) -> None:
        """`repeats`: another attempt would fail in the same way, as with a bad setting."""
        super().__init__(reason)
        self.repeats = repeats


class JobStopped(Exception):  # noqa: N818
    """A job was asked to stop, or ended, by its engine; it can go on another time."""


OnProgress = Callable[[Progress], None]


class Engine(Protocol):
    @property
    def slots(self) -> Sequence[Slot]: ...

    def submit(self, job: Job, slots: Sequence[Slot], progress: OnProgress) -> Future[list[Record]]:
        """Start a job on these slots. The future gives the records that it published (none, if
        another runner had published them all), or raises JobFailed or JobStopped."""

    def interrupt(self) -> None:
        """Ask the running jobs to keep their state and stop; end those that have none to keep."""

    def stop(self) -> None:
        """End all running jobs now."""
