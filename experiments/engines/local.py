"""This machine: a thread a slot, a process a job, one device each.

Jobs are forked from a server that has torch imported (0.02 s a job; a fresh interpreter takes 4).
The server must have a single thread and no CUDA context, or a fork of it could hang; that is
asserted, and where it does not hold jobs are spawned instead.
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from classifier.errors import UserError
from classifier.machine import cores
from classifier.progress import Progress, Report
from classifier.record import Record
from experiments.engines import JobFailed, OnProgress, Slot
from experiments.plan import Job
from experiments.store import Store
from experiments.worker import Settings

Perform = Callable[[Job, Settings, str, int, Report], list[Record]]
"""experiments.worker.perform, or what a test puts in its place; must be importable by name."""

_PRELOAD = "experiments.engines.preload"
_SERVER_ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


@dataclass(frozen=True)
class Probe:
    """What a first child found: whether forking is safe, and the GPUs that torch sees."""

    forks: bool
    gpus: tuple[str, ...]


class LocalEngine:
    def __init__(
        self, devices: Sequence[str], jobs_per_device: int, settings: Settings, perform: Perform
    ) -> None:
        self.slots = [
            Slot(device, index)
            for index, device in enumerate(d for d in devices for _ in range(jobs_per_device))
        ]
        self._settings, self._perform = settings, perform
        self._store = Store(settings.runs)
        self._pool = ThreadPoolExecutor(len(self.slots), thread_name_prefix="slot")
        self._context = context()
        self._running: dict[str, multiprocessing.process.BaseProcess] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, job: Job, slots: Sequence[Slot], progress: OnProgress) -> Future[list[Record]]:
        return self._pool.submit(self._run, job, slots, progress)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                _end(process)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job, slots: Sequence[Slot], progress: OnProgress) -> list[Record]:
        device, visible = _shown_alone(slots[0].device)
        # A benchmark has its device to itself and all the threads, any other job its slot's share.
        alone = job.spec.kind == "benchmark"
        threads = cores() if alone else max(1, cores() // len(self.slots))
        receiver, sender = self._context.Pipe(duplex=False)
        log = self._store.work_folder(job.spec, job.run) / "log.txt"
        arguments = (sender, self._perform, job, self._settings, device, visible, threads, log)
        process = self._context.Process(target=_job_main, args=arguments)
        with self._lock:
            if self._stopped:
                raise JobFailed("stopped")
            process.start()
            self._running[job.id] = process
        sender.close()
        try:
            records = _follow(receiver, progress)
            process.join()
        finally:
            receiver.close()
            _end(process)
            with self._lock:
                del self._running[job.id]
        if isinstance(records, list):
            return records
        reason = records or _death(process.exitcode)
        if not self._stopped:
            self._store.fail(job.spec, job.run, reason)
        raise JobFailed(reason)


def context() -> Any:
    """The fork server's context, with the server started; or spawn's, where a fork is not safe."""
    return _forkserver() if probe().forks else multiprocessing.get_context("spawn")


_probed: list[Probe] = []


def probe() -> Probe:
    """Start the server and look at it from a throwaway child. Takes some seconds the first time."""
    if not _probed:
        found = _ask(_forkserver())
        if found is None or not found.forks:
            print("jobs are spawned, not forked: slower to start, equal in result", file=sys.stderr)
        _probed.append(found or Probe(False, ()))
    return _probed[0]


def _forkserver() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([_PRELOAD])
    return made


def _ask(made: Any) -> Probe | None:
    receiver, sender = made.Pipe(duplex=False)
    process = made.Process(target=_probe_main, args=(sender,))
    with _environment(
        _SERVER_ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ):
        process.start()  # the first process starts the server, which keeps this environment
    sender.close()
    try:
        found: Probe = receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()
    return found


def _probe_main(sender: Connection) -> None:
    preloaded = _PRELOAD in sys.modules
    threads = Path(f"/proc/{os.getppid()}/task")
    single = threads.is_dir() and len(os.listdir(threads)) == 1
    import torch

    forks = preloaded and single and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    sender.send(Probe(forks, tuple(gpus)))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# In the runner: what a job says ----------------------------------------------------------------


def _follow(receiver: Connection, progress: OnProgress) -> list[Record] | str | None:
    """Pass a job's progress on. Gives its records, or why it failed, or None if it died."""
    while True:
        try:
            message = receiver.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps while it spoke
            return None
        if not isinstance(message, Progress):
            return message  # type: ignore[no-any-return]
        progress(message)


def _shown_alone(device: str) -> tuple[str, str]:
    """The torch device of a job that sees one device only, and its CUDA_VISIBLE_DEVICES.

    An index counts within the caller's CUDA_VISIBLE_DEVICES.
    """
    if device == "cpu":
        return "cpu", ""
    outer = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "cuda:0", outer.split(",")[int(device)].strip() if outer else device


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {exit_code} and no result"


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """End a job with its children, which may outlive it: it leads a process group."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has not made its group yet, or all ended
        process.kill()
    process.join()


# In the job's process --------------------------------------------------------------------------


def _job_main(
    sender: Connection,
    perform: Perform,
    job: Job,
    settings: Settings,
    device: str,
    visible: str,
    threads: int,
    log: Path,
) -> None:
    os.setsid()  # a group of its own: Ctrl-C is the runner's business
    _end_with_the_runner()
    log.parent.mkdir(parents=True, exist_ok=True)
    _print_to(log)
    faulthandler.enable()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before anything asks CUDA
    _keep_memory()
    try:
        sender.send(perform(job, settings, device, threads, _throttled(sender)))
    except UserError as error:
        print(error, file=sys.stderr)
        sender.send(str(error))
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines()
        sender.send(f"{type(error).__name__}: {text[0] if text else ''}")


def _end_with_the_runner() -> None:
    """Watch the pipe whose other end only the runner holds; its end means no one waits for us."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _print_to(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
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


def _throttled(sender: Connection) -> Report:
    """At most four messages a second, and the last of each phase."""
    last = [0.0]

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= 0.25 or progress.done == progress.total:
            last[0] = now
            sender.send(progress)

    return report
