"""Where a job runs. An engine is slots and `submit`; the scheduler knows no more of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.config.spec import MetricSpec, TrainSpec
from classifier.records.record import Record
from experiments.plan.bundles import Bundle
from experiments.plan.jobs import Job

MOST_CPU_JOBS = 8
"""By default no more jobs at a time than this on a machine's CPU: each needs its memory."""

Perform = Callable[[Sequence[Job], Place], Iterable[tuple[Job, list[Record]]]]
"""What does the jobs of a bundle's round in its process, on the place's device, and gives each with
the records that it published, as it ends: `experiments.execution.worker.perform`, or what a test
puts in its place. Must be importable by name."""


EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class EngineOptions:
    """What the command line says about where jobs run."""

    place: Place
    """Of every job, but for its device and threads, which the engine chooses."""
    name: EngineName = "local"
    devices: tuple[str, ...] = ("auto",)
    """`auto`, `cpu`, or indices of GPUs as the user counts them."""
    jobs_per_device: int | None = None
    address: str | None = None
    """Of a Ray cluster."""
    stall_minutes: float = 30.0
    """A job that has made no progress for so long hangs, and is ended; 0: never."""

    def check(self) -> None:
        """Raises UserError for an option that one engine has and the other has not."""
        if self.name != "ray" and self.address is not None:
            raise UserError("--address is for --engine ray")
        if self.name == "ray" and self.devices not in (("auto",), ("cpu",)):
            raise UserError(
                f"--devices {','.join(self.devices)}: Ray chooses the GPUs; to leave some out, set "
                "CUDA_VISIBLE_DEVICES where Ray is started"
            )


@dataclass(frozen=True)
class Slot:
    """A place for one bundle at a time. Slots of one device share it."""

    device: str
    """`cpu`, the index of a GPU as the user counts them, or `ray`: a place somewhere. A speed takes
    all slots of the first one's device; all there are, if that is `cpu`."""
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


@dataclass(frozen=True)
class Begun:
    """A job that is done now, by its id."""

    job: str


@dataclass(frozen=True)
class Ended:
    """How a job ended, by its id: with the records that it published (none, if another runner had
    published them all), or not."""

    job: str
    how: list[Record] | JobFailed | JobStopped


Said = Begun | Progress | Ended
"""What is heard of a bundle's jobs. Progress is of those that have begun and not ended."""
Heard = Callable[[Said], None]


class Engine(Protocol):
    """What any engine owes, beside its methods: each bundle in a process of its own that sees one
    device (`process.carry_out`, after `process.prepare`, with `process.ENVIRONMENT` from its
    start); all with the same number of threads, a speed with all of them on `platform`'s device;
    what is heard through `process.Account`, also of a process that died (`crash.cause`) or made no
    progress for too long; and no process that outlives the runner."""

    @property
    def platform(self) -> Platform:
        """Where speeds are measured."""

    @property
    def slots(self) -> Sequence[Slot]: ...

    def check(self, starts: Sequence[TrainSpec | MetricSpec], folders: Sequence[Path]) -> None:
        """Before the jobs: are the devices there, is every folder of data seen where jobs run, can
        these trainings start, and do these metrics keep what they promise? Raises UserError."""

    def submit(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> Future[None]:
        """Start a bundle on these slots. `heard` is told of each job that begins and ends, from any
        thread; the future is done after that, when the process is gone. A job of which nothing was
        told was not begun; of one bundle at least one job ends."""

    def interrupt(self) -> None:
        """Ask the running jobs to keep their state and stop; end those that have none to keep."""

    def stop(self) -> None:
        """End all running jobs now."""


@contextmanager
def open_engine(options: EngineOptions, perform: Perform) -> Iterator[Engine]:
    """The engine that the options name, connected for as long as this lasts. Raises UserError."""
    options.check()
    if options.name == "ray":
        from experiments.execution.engines import ray

        with ray.open_ray(options, perform) as engine:
            yield engine
    else:
        from experiments.execution.engines.local import LocalEngine

        yield LocalEngine(options, perform)
