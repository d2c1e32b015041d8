"""What every engine does in a bundle's process, and what the runner makes of what that tells."""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from classifier.basics.console import show_log
from classifier.basics.errors import StoppedError, UserError
from classifier.basics.machine import cpu_device
from classifier.basics.place import Place
from classifier.basics.progress import WAITING, Progress, Report
from classifier.records.record import Record
from experiments.execution.engines import (
    Begun,
    Ended,
    Heard,
    JobFailed,
    JobStopped,
    Perform,
    Said,
)
from experiments.execution.engines.crash import Try, heading
from experiments.plan.bundles import Bundle
from experiments.plan.jobs import Job
from experiments.store.store import Store

ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts
    # glibc keeps what a step frees for the next one: else the kernel clears these pages each time,
    # on a CPU some 6 % of a training.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),  # the most that it takes
    "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow, where it is installed, has one
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONHASHSEED": "0",  # the order of a set of names, which code of the user's may go through
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
"""Of a job's process from its start: torch reads it when it is imported."""


@dataclass(frozen=True)
class Task:
    """What a bundle's process is told."""

    perform: Perform
    bundle: Bundle
    place: Place
    logs: Mapping[str, Path]
    """Of each job, by its id."""


class Account:
    """In the runner: what was heard of a bundle's jobs, passed on. A failure is kept beside its
    log."""

    def __init__(self, bundle: Bundle, store: Store, heard: Heard) -> None:
        self._store, self._heard = store, heard
        self._left = {job.id: job for job in bundle.jobs}
        self._begun: list[str] = []
        self.logs = {job.id: store.log(job.spec) for job in bundle.jobs}
        # Now: a process writes before it is heard of.
        self._tries = {job_id: Try.beginning(log) for job_id, log in self.logs.items()}

    def hear(self, said: Said) -> None:
        if isinstance(said, Begun):
            self._begun.append(said.job)
        if isinstance(said, Ended):
            job = self._left.pop(said.job, None)
            if job is None:
                return
            if isinstance(said.how, JobFailed):
                if said.job in self._begun and self._published(job):
                    # By another runner, which took this one for dead, and has cleared up.
                    said = Ended(said.job, [])
                else:
                    with suppress(OSError):  # a full disk: the reason is shown all the same
                        self._store.fail(job.spec, str(said.how))
        self._heard(said)

    def broke(self, how: JobFailed | JobStopped) -> None:
        """The process is gone before its end: so ended what it was at, but for what it had
        published and not yet told. If it was at nothing, it was about to begin the next."""
        at = {job_id: self._published(self._left[job_id]) or how for job_id in self._at()}
        for job_id, ended in (at or dict.fromkeys(list(self._left)[:1], how)).items():
            self.hear(Ended(job_id, ended))

    def _published(self, job: Job) -> list[Record]:
        """The records of a job that was begun, if all are there: then its work folder, which it
        has from its beginning, is gone."""
        if self._store.work_folder(job.spec).exists():
            return []
        return self._store.read_run(job.spec).of(job.id)

    def said(self) -> str:
        """What the job that it was at has printed in this try."""
        at = self._at()
        return self._tries[at[0]].said() if at else ""

    def _at(self) -> list[str]:
        return [job_id for job_id in self._begun if job_id in self._left]


def stall_failure(seconds: float) -> JobFailed:
    minutes = f"{seconds / 60:g} min"
    return JobFailed(f"no progress for {minutes}: ended, where it hung is in its log")


# In the job's process --------------------------------------------------------------------------


def prepare(visible: str) -> None:
    """Once, before anything else: see the devices that CUDA_VISIBLE_DEVICES `visible` names, show
    where the process crashes, keep memory."""
    faulthandler.enable()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    _keep_memory()


def carry_out(task: Task, tell: Heard, stop: Callable[[], bool]) -> None:
    """Do the bundle's jobs, and tell of each. It raises nothing: a job that fails costs those of
    the bundle that need it, and no other; its log has what went wrong, its end the first line."""
    place = replace(task.place, report=throttle(tell), stop=stop)
    missing: set[str] = set()
    for jobs in task.bundle.rounds:
        if stop():
            return
        if missing.isdisjoint(need for job in jobs for need in job.needs):
            missing |= _round(task, jobs, place, tell)
        else:
            missing |= {job.id for job in jobs}


def _round(task: Task, jobs: Sequence[Job], place: Place, tell: Heard) -> set[str]:
    """Do jobs as one, and print into the log of one that has not ended. The ids of those without
    their records."""
    left = {job.id: task.logs[job.id] for job in jobs}
    device = os.environ["CUDA_VISIBLE_DEVICES"] or place.device
    how: JobFailed | JobStopped = JobFailed("it ended without its record")
    try:
        for job_id, log in left.items():
            log.parent.mkdir(parents=True, exist_ok=True)
            tell(Begun(job_id))
        _print_to(*left.values())
        show_log()
        on = cpu_device() if place.device == "cpu" else f"GPU {device}"
        print(heading(on, place.threads), flush=True)
        with _held(device, any(job.is_speed for job in jobs), place.report):
            for job, records in task.perform(jobs, place):
                del left[job.id]
                _print_to(*left.values())
                tell(Ended(job.id, records))
    except StoppedError:
        how = JobStopped()
    except UserError as error:
        how = JobFailed(str(error), repeats=True)
        _print_in_each(left.values(), str(error))
    except Exception as error:
        text = str(error).strip().splitlines()
        how = JobFailed(f"{type(error).__name__}: {text[0] if text else ''}")
        _print_in_each(left.values(), traceback.format_exc())
    for job_id in left:
        tell(Ended(job_id, how))
    return set(left)


def throttle(send: Report) -> Report:
    """At most four messages a second, and the last of each phase."""
    last = [0.0]

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= 0.25 or progress.done == progress.total:
            last[0] = now
            send(progress)

    return report


@contextmanager
def _held(name: str, alone: bool, report: Report) -> Iterator[None]:
    """Hold a device of this machine, shared or `alone`, against the jobs of other runners too.

    One runner's scheduler sees to its own jobs; two runners may have the same device."""
    file = Path(tempfile.gettempdir(), f"classifier-ablations-{os.getuid()}-{name}.lock")
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report(Progress(f"{WAITING} {name}, which another runner uses", 0, 1))
                time.sleep(0.5)
        yield
    finally:
        os.close(descriptor)


def _print_to(*logs: Path) -> None:
    """From now on print into the first of the logs; if there is none, as before."""
    for log in logs[:1]:
        sys.stdout.flush()
        sys.stderr.flush()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.close(descriptor)


def _print_in_each(logs: Iterable[Path], text: str) -> None:
    for log in logs:
        with suppress(OSError):  # a full disk
            _print_to(log)
            print(text.rstrip(), file=sys.stderr, flush=True)


def _keep_memory() -> None:
    """Tell glibc's malloc not to give memory back: tensors come and go with every layer."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_threshold, never = -1, -3, 2**30
        libc.mallopt(mmap_threshold, never)
        libc.mallopt(trim_threshold, never)
