"""Where and how a job runs: the one envelope from the command line to the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from classifier.basics.progress import Report, silent

if TYPE_CHECKING:
    from classifier.plugins.brought import Brought


Workers = int | Literal["auto"]


def never() -> bool:
    return False


@dataclass(frozen=True)
class Place:
    """Nothing here changes a number, except that device and threads may change its last bits: they
    stand in the record.

    The command line fills in the folders and what a training may be told, an engine the device and
    its threads, a job's process `report` and `stop`.
    """

    data_root: Path
    runs: Path = Path("runs")
    """Of a matrix's jobs: the store that they publish in."""
    lent: Mapping[str, Path] = field(default_factory=dict)
    """By signature: runs that lie elsewhere, which are only read. What is not in `runs` may be
    there."""
    device: str = "cpu"
    """A torch device: `cpu`, `cuda:0`."""
    threads: int = 1
    workers: Workers = "auto"
    """Loader processes of a training; `auto`: none on a CPU, on CUDA as many as its first steps say
    that it needs."""
    checkpoint_minutes: float = 10.0
    """How often a training's full state is kept inside an epoch."""
    keep_states: bool = False
    """Keep each training's last state too, for one of more epochs to go on from."""
    plugins: tuple[Brought, ...] = ()
    """The texts of the user's files that a job may run."""
    report: Report = silent
    """Hears how far the job is."""
    stop: Callable[[], bool] = never
    """Whether a training shall keep its state and stop."""
