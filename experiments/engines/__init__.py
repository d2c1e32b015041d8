"""Where a job runs. An engine is slots and `submit`; the scheduler knows no more of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from classifier.progress import Progress
from classifier.record import Record
from experiments.plan import Job


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time. Slots of one device share it."""

    device: str
    """`cpu`, or the index of a GPU as the user counts them."""
    index: int

    @property
    def name(self) -> str:
        return self.device if self.device == "cpu" else f"gpu {self.device}"


class JobFailed(Exception):  # noqa: N818
    """A job ended without its record; the reason is for the user."""


OnProgress = Callable[[Progress], None]


class Engine(Protocol):
    @property
    def slots(self) -> Sequence[Slot]: ...

    def submit(self, job: Job, slots: Sequence[Slot], progress: OnProgress) -> Future[list[Record]]:
        """Start a job on these slots. The future gives its records or raises JobFailed."""

    def stop(self) -> None:
        """End all running jobs now."""
