"""This machine: a thread a slot, a process a job, one device each.

Jobs are forked from a server that has torch imported (0.02 s a job; a fresh interpreter takes 4).
The server must have a single thread and no CUDA context, or a fork of it could hang; that is
asserted, and where it does not hold jobs are spawned instead.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from classifier.errors import StoppedError, UserError
from classifier.machine import cores
from classifier.progress import Progress, Report
from classifier.record import Record
from experiments.engines import JobFailed, JobStopped, OnProgress, Slot
from experiments.plan import Job
from experiments.store import Store
from experiments.worker import Settings

Perform = Callable[[Job, Settings, str, int, Report, Callable[[], bool]], list[Record]]
"""experiments.worker.perform, or what a test puts in its place; must be importable by name."""

_PRELOAD = "experiments.engines.preload"
_SERVER_ENVIRONMENT = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as nvidia-smi counts
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow, where it is installed, has one
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


_LAST_SECONDS = 30.0
"""A job that has said its last word ends within these, or is ended."""


@dataclass(frozen=True)
class Probe:
    """What a first child found: why forking is not safe, if so, and the GPUs that torch sees."""

    unsafe: str
    gpus: tuple[str, ...]


class LocalEngine:
    def __init__(
        self,
        devices: Sequence[str],
        jobs_per_device: int,
        settings: Settings,
        perform: Perform,
        stall_minutes: float = 30.0,
    ) -> None:
        """`stall_minutes`: a job that has made no progress for so long hangs, and is ended."""
        self.slots = [
            Slot(device, index)
            for index, device in enumerate(d for d in devices for _ in range(jobs_per_device))
        ]
        self._settings, self._perform = settings, perform
        self._stall_seconds = stall_minutes * 60
        self._store = Store(settings.runs)
        self._pool = ThreadPoolExecutor(len(self.slots), thread_name_prefix="slot")
        self._context = context()
        self._running: dict[str, tuple[Job, multiprocessing.process.BaseProcess]] = {}
        self._lock = threading.Lock()
        self._stopping = False

    def submit(self, job: Job, slots: Sequence[Slot], progress: OnProgress) -> Future[list[Record]]:
        return self._pool.submit(self._run, job, slots, progress)

    def interrupt(self) -> None:
        with self._lock:
            self._stopping = True
            for job, process in self._running.values():
                if job.spec.kind == "train":
                    process.terminate()  # it keeps its state, and ends
                else:
                    _end(process)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for _, process in self._running.values():
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
            if self._stopping:
                raise JobStopped
            process.start()
            self._running[job.id] = (job, process)
        sender.close()
        try:
            ended = _follow(receiver, progress, self._stall_seconds)
            if isinstance(ended, _Stalled):
                _show_stacks(process)
            else:
                process.join(_LAST_SECONDS)
        finally:
            receiver.close()
            _end(process)
            with self._lock:
                del self._running[job.id]
        return self._judged(job, ended, process.exitcode)

    def _judged(self, job: Job, ended: _End, exit_code: int | None) -> list[Record]:
        """The records of a job that ended so, or the error that it is."""
        if isinstance(ended, list):
            return ended
        if self._stopping and not isinstance(ended, JobFailed):
            raise JobStopped
        if isinstance(ended, JobFailed):
            failure = ended
        elif isinstance(ended, JobStopped):
            failure = JobFailed("it was asked to stop by a SIGTERM that is not the runner's")
        elif isinstance(ended, _Stalled):
            minutes = f"{self._stall_seconds / 60:g} min"
            failure = JobFailed(f"no progress for {minutes}: ended, where it hung is in its log")
        else:
            failure = JobFailed(_death(exit_code))
        with suppress(OSError):  # a full disk: the reason is shown all the same
            self._store.fail(job.spec, job.run, str(failure))
        raise failure


def context() -> Any:
    """The fork server's context, with the server started; or spawn's, where a fork is not safe."""
    return multiprocessing.get_context("spawn") if probe().unsafe else _forkserver()


_probed: list[Probe] = []


def probe() -> Probe:
    """Start the server and look at it from a throwaway child. Takes some seconds the first time."""
    if not _probed:
        found = _ask(_forkserver())
        found = found or Probe("its server does not start", ())
        if found.unsafe:
            slower = "slower to start, equal in result"
            print(f"jobs are spawned, not forked ({found.unsafe}): {slower}", file=sys.stderr)
        _probed.append(found)
    return _probed[0]


def in_a_child(function: Callable[..., None], *arguments: object) -> None:
    """Call it where torch is imported, and wait. A UserError of its is raised here."""
    made = context()
    receiver, sender = made.Pipe(duplex=False)
    process = made.Process(target=_call_main, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        problem: str | None = receiver.recv()
    except EOFError:
        process.join()
        problem = f"the check before the jobs failed: {_death(process.exitcode)}"
    except KeyboardInterrupt:
        os.kill(process.pid, signal.SIGINT)  # so that a download removes its half file
        process.join(5)
        raise
    finally:
        receiver.close()
        _end(process)
    if problem is not None:
        raise UserError(problem)


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
    threads = _threads(os.getppid())
    import torch

    unsafe = ""
    if not preloaded:
        unsafe = f"its server can't import {_PRELOAD}"
    elif threads != 1:
        unsafe = f"its server has {threads or 'an unknown number of'} threads"
    elif torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        unsafe = "its server uses CUDA"
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    sender.send(Probe(unsafe, tuple(gpus)))


def _threads(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:  # not Linux
        return None


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


class _Stalled:
    """A job that made no progress for too long."""


_End = list[Record] | JobFailed | JobStopped | _Stalled | None
"""How a job ended; None: it died and could not say."""


def _follow(receiver: Connection, progress: OnProgress, stall_seconds: float) -> _End:
    """Pass a job's progress on, until it ends."""
    while True:
        try:
            if not receiver.poll(stall_seconds or None):
                return _Stalled()
            message = receiver.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps while it spoke
            return None
        if not isinstance(message, Progress):
            return message  # type: ignore[no-any-return]
        progress(message)


def _show_stacks(process: multiprocessing.process.BaseProcess) -> None:
    """Have a job and its children write into its log where they are."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGUSR1)
        time.sleep(1.0)


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
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # all threads' stacks, into the log
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    os.environ["CUDA_VISIBLE_DEVICES"] = visible  # before anything asks CUDA
    _keep_memory()
    report = _throttled(sender)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        _print_to(log)
        with _device(visible or device, job.spec.kind == "benchmark", report):
            sender.send(perform(job, settings, device, threads, report, stopping.is_set))
    except StoppedError:
        sender.send(JobStopped())
    except UserError as error:
        print(error, file=sys.stderr)
        sender.send(JobFailed(str(error), repeats=True))
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines()
        sender.send(JobFailed(f"{type(error).__name__}: {text[0] if text else ''}"))


@contextmanager
def _device(name: str, alone: bool, report: Report) -> Iterator[None]:
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
                report(Progress(f"waiting for {name}, which another runner uses", 0, 1))
                time.sleep(0.5)
        yield
    finally:
        os.close(descriptor)


def _call_main(
    sender: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    os.setsid()
    _end_with_the_runner()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        function(*arguments)
        sender.send(None)
    except UserError as error:
        sender.send(str(error))
    except KeyboardInterrupt:  # the runner says it
        return


def _end_with_the_runner() -> None:
    """Watch the pipe whose other end only the runner holds; its end means no one waits for us."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


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


def _throttled(sender: Connection) -> Report:
    """At most four messages a second, and the last of each phase."""
    last = [0.0]

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= 0.25 or progress.done == progress.total:
            last[0] = now
            sender.send(progress)

    return report
