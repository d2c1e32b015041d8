"""What every engine does in a job's process, and how the process tells the runner that it ended."""

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from classifier.basics.console import show_log
from classifier.basics.errors import StoppedError, UserError
from classifier.basics.machine import cpu_device
from classifier.basics.place import Place
from classifier.basics.progress import WAITING, Progress, Report
from classifier.records.record import Record
from experiments.plan.jobs import Job
from experiments.run.engines import JobFailed, JobStopped, Perform
from experiments.run.engines.crash import heading
from experiments.store.store import Store

Ended = list[Record] | JobFailed | JobStopped
"""How a job ended."""

ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow, where it is installed, has one
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONHASHSEED": "0",  # the order of a set of names, which code of the user's may go through
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
"""Of a job's process from its start: torch reads it when it is imported."""


@dataclass(frozen=True)
class Task:
    """What a job's process is told."""

    perform: Perform
    job: Job
    place: Place
    log: Path


def conclude(ended: Ended, job: Job, store: Store) -> list[Record]:
    """In the runner: the job's records, or its error raised. A failure is kept beside its log."""
    if isinstance(ended, JobFailed):
        with suppress(OSError):  # a full disk: the reason is shown all the same
            store.fail(job.spec, str(ended))
    if isinstance(ended, Exception):
        raise ended
    return ended


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


def outcome_of(task: Task, report: Report, stop: Callable[[], bool]) -> Ended:
    """Do the job, and print into its log. It raises nothing: the log has what went wrong, the
    outcome its first line."""
    job, place = task.job, replace(task.place, report=report, stop=stop)
    device = os.environ["CUDA_VISIBLE_DEVICES"] or place.device
    try:
        task.log.parent.mkdir(parents=True, exist_ok=True)
        _print_to(task.log)
        show_log()
        on = cpu_device() if place.device == "cpu" else f"GPU {device}"
        print(heading(on, place.threads), flush=True)
        with _held(device, job.is_speed, report):
            return task.perform(job, place)
    except StoppedError:
        return JobStopped()
    except UserError as error:
        print(error, file=sys.stderr)
        return JobFailed(str(error), repeats=True)
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines()
        return JobFailed(f"{type(error).__name__}: {text[0] if text else ''}")


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


def _print_to(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _keep_memory() -> None:
    """Tell glibc's malloc not to give memory back: tensors come and go with every layer."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_threshold, never = -1, -3, 2**30
        libc.mallopt(mmap_threshold, never)
        libc.mallopt(trim_threshold, never)
