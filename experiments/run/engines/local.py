"""This machine: a thread a slot, a process a bundle of jobs, one device each.

Why a process a bundle: a crash, a leak or an exhausted memory costs one job, and the others of its
bundle at most a new beginning; each sees one device; and torch's global state (threads,
determinism, generators) is a training's own, and of what looks at it afterwards.

Why a fork server: to import torch takes 4 s, a matrix of short trainings is hundreds of jobs. The
server (`preload`) imports it once, and each process is forked from it in 0.02 s. What goes wrong if
one forks carelessly, and what is done about it:

- **A fork copies one thread.** A lock that another thread held stays locked in the child for ever:
  OpenMP's pool, an allocator, a logger. So the server may have a single thread when it forks: its
  environment keeps OpenMP at one and pyarrow's allocator without its own (`ENVIRONMENT`), and
  nothing in it computes. A first child looks at /proc and says if it holds (`Probe`); where it does
  not, or can't be looked at, jobs are spawned: slower to start, equal in result.
- **CUDA does not survive a fork.** A context that the server had made would be broken in every
  child. So it never touches a device; the probe looks at that too, and lists the GPUs in its stead.
- **Ctrl-C reaches the whole process group.** The server ignores it from its first line on, and a
  job begins a session of its own: the runner alone hears it, and asks the jobs to keep their state.
- **A runner may be killed.** Nobody would end its jobs: each watches the pipe whose other end the
  runner holds, and ends itself with its children when that closes.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from classifier.basics.console import show_log
from classifier.basics.errors import UserError
from classifier.basics.machine import Platform, cores, cpu_device, gpu_names, versions
from classifier.config.spec import MetricSpec, TrainSpec
from experiments.plan.bundles import Bundle
from experiments.run.engines import (
    MOST_CPU_JOBS,
    Ended,
    EngineOptions,
    Heard,
    JobFailed,
    JobStopped,
    Perform,
    Said,
    Slot,
)
from experiments.run.engines.crash import cause
from experiments.run.engines.process import (
    ENVIRONMENT,
    Account,
    Task,
    carry_out,
    prepare,
    stall_failure,
)
from experiments.run.worker import check_starts
from experiments.store.store import Store

_log = logging.getLogger(__name__)

_PRELOAD = "experiments.run.preload"
T = TypeVar("T")

_LAST_SECONDS = 30.0
"""A process that has said its last word ends within these, or is ended."""


@dataclass(frozen=True)
class Probe:
    """What a first child found: why forking is not safe, if so, and the GPUs that torch sees."""

    unsafe: str
    gpus: tuple[str, ...]


class LocalEngine:
    def __init__(self, options: EngineOptions, perform: Perform) -> None:
        self.platform = platform_of(options.devices)
        self._devices = options.devices
        self._options, self._perform = options, perform
        self._stall_seconds = options.stall_minutes * 60
        self._store = Store(options.place.runs)
        self._running: dict[str, tuple[Bundle, multiprocessing.process.BaseProcess]] = {}
        self._lock = threading.Lock()
        self._stopping = False

    @cached_property
    def slots(self) -> list[Slot]:
        jobs = jobs_at_a_time(self._devices, self._options.jobs_per_device)
        devices = [device for device in self._devices for _ in range(jobs)]
        return [Slot(device, index) for index, device in enumerate(devices)]

    def check(self, starts: Sequence[TrainSpec | MetricSpec], folders: Sequence[Path]) -> None:
        _log.info("starting (torch takes some seconds) ...")
        self._devices = _there(self._devices)
        if starts:
            in_a_child(check_starts, starts, self._options.place)

    def submit(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> Future[None]:
        return self._pool.submit(self._run, bundle, slots, heard)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(len(self.slots), thread_name_prefix="slot")

    def interrupt(self) -> None:
        with self._lock:
            self._stopping = True
            for bundle, process in self._running.values():
                if bundle.keeps_state:
                    process.terminate()  # it keeps its state, and ends
                else:
                    _end(process)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for _, process in self._running.values():
                _end(process)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> None:
        device, visible = _shown_alone(slots[0].device)
        # A benchmark has its device to itself and all the threads, any other its slot's share.
        threads = cores() if bundle.is_speed else max(1, cores() // len(self.slots))
        place = replace(self._options.place, device=device, threads=threads)
        account = Account(bundle, self._store, heard)
        made = context()
        receiver, sender = made.Pipe(duplex=False)
        task = Task(self._perform, bundle, place, account.logs)
        process = made.Process(target=_job_main, args=(sender, task, visible))
        with self._lock:
            if self._stopping:
                account.broke(JobStopped())
                return
            process.start()
            self._running[bundle.id] = (bundle, process)
        sender.close()
        try:
            end = _follow(receiver, lambda said: self._hear(said, account), self._stall_seconds)
            if end == "stalled":
                _show_stacks(process)
            else:
                process.join(_LAST_SECONDS)
        finally:
            receiver.close()
            _end(process)
            with self._lock:
                del self._running[bundle.id]
        if end != "over":
            account.broke(self._judged(end, process.exitcode, account))

    def _hear(self, said: Said, account: Account) -> None:
        if isinstance(said, Ended) and isinstance(said.how, JobStopped) and not self._stopping:
            why = "it was asked to stop by a SIGTERM that is not the runner's"
            said = Ended(said.job, JobFailed(why))
        account.hear(said)

    def _judged(self, end: _End, exit_code: int | None, account: Account) -> JobFailed | JobStopped:
        """What the end of a process means that could not say so itself."""
        if self._stopping:
            return JobStopped()
        if end == "stalled":
            return stall_failure(self._stall_seconds)
        return JobFailed(_death(exit_code, account.said()))


def jobs_at_a_time(devices: Sequence[str], wanted: int | None) -> int:
    """On each of these devices. `wanted`: by the user, if they said."""
    on_cpu = tuple(devices) == ("cpu",)
    return wanted or (min(cores(), MOST_CPU_JOBS) if on_cpu else 1)


def platform_of(devices: Sequence[str]) -> Platform:
    """Where speeds are measured on this machine, found without torch."""
    gpus = gpu_names()
    first = devices[0] if devices[0] != "auto" else ("0" if gpus else "cpu")
    there = first != "cpu" and int(first) < len(gpus)
    return Platform(gpus[int(first)] if there else cpu_device(), cores(), versions()["torch"])


def _there(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The devices to use. Raises UserError for one that torch does not see."""
    gpus = probe().gpus
    if wanted == ("auto",):
        return tuple(map(str, range(len(gpus)))) or ("cpu",)
    for device in wanted:
        if device != "cpu" and int(device) >= len(gpus):
            seen = f"{len(gpus)} GPU(s): {', '.join(gpus)}" if gpus else "no GPU"
            raise UserError(f"--devices {device}: that device is not there; torch sees {seen}")
    return wanted


def context() -> Any:
    """The fork server's context, with the server started; or spawn's, where a fork is not safe."""
    return multiprocessing.get_context("spawn") if probe().unsafe else _forkserver()


_probed: list[Probe] = []


def probe() -> Probe:
    """Start the server and look at it from a throwaway child. Takes some seconds the first time."""
    if not _probed:
        answer = _ask(_forkserver())
        answer = answer or Probe("its server does not start", ())
        if answer.unsafe:
            slower = "slower to start, equal in result"
            _log.warning("jobs are spawned, not forked (%s): %s", answer.unsafe, slower)
        _probed.append(answer)
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


class NoAnswer(Exception):  # noqa: N818
    """A child died, raised, or took too long: says which."""


def answer_of(
    function: Callable[..., T], *arguments: object, seconds: float, device: str = "cpu"
) -> T:
    """Call it where torch is imported, in a child that sees this device alone and has all the
    cores; what it returns. Its last argument is the torch device. A crash shows nothing and leaves
    no core file. Raises NoAnswer."""
    torch_device, visible = _shown_alone(device)
    made = context()
    receiver, sender = made.Pipe(duplex=False)
    called = function, (*arguments, torch_device)
    process = made.Process(target=_answer_main, args=(sender, visible, *called))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise NoAnswer(f"no answer in {seconds:g} s")
        answer, problem = receiver.recv()
    except EOFError as error:
        process.join()
        raise NoAnswer(_death(process.exitcode)) from error
    finally:
        receiver.close()
        _end(process)
    if problem is not None:
        raise NoAnswer(problem)
    return cast(T, answer)


def _forkserver() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([_PRELOAD])
    return made


def _ask(made: Any) -> Probe | None:
    receiver, sender = made.Pipe(duplex=False)
    process = made.Process(target=_probe_main, args=(sender,))
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with _environment(environment):
        process.start()  # the first process starts the server, which keeps this environment
    sender.close()
    try:
        answer: Probe = receiver.recv()
    except EOFError:
        return None
    finally:
        process.join()
    return answer


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
    with suppress(BrokenPipeError):  # Ctrl-C: nobody waits for it any more
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


# In the runner: what a process says -------------------------------------------------------------


_End = Literal["over", "died", "stalled"]
"""How a process ended: all was said, it could say no more, or it said nothing for too long."""


def _follow(receiver: Connection, hear: Heard, stall_seconds: float) -> _End:
    """Pass on what a process says, until it ends."""
    while True:
        try:
            if not receiver.poll(stall_seconds or None):
                return "stalled"
            said: Said | None = receiver.recv()
        except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps while it spoke
            return "died"
        if said is None:
            return "over"
        hear(said)


def _show_stacks(process: multiprocessing.process.BaseProcess) -> None:
    """Have a process and its children write into the log where they are."""
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


def _death(exit_code: int | None, said: str = "") -> str:
    if exit_code is not None and exit_code < 0:
        return cause(said, signal.Signals(-exit_code).name)
    return f"its process ended with exit code {exit_code} and no result"


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """End a process with its children, which may outlive it: it leads a process group."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has not made its group yet, or all ended
        process.kill()
    process.join()


# In a bundle's process -----------------------------------------------------------------------


def _job_main(sender: Connection, task: Task, visible: str) -> None:
    os.setsid()  # a group of its own: Ctrl-C is the runner's business
    _end_with_the_runner()
    prepare(visible)
    faulthandler.register(signal.SIGUSR1)  # all threads' stacks, into the log
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    carry_out(task, sender.send, stopping.is_set)
    sender.send(None)


def _call_main(
    sender: Connection, function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    os.setsid()
    _end_with_the_runner()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    show_log()
    try:
        function(*arguments)
        sender.send(None)
    except (UserError, OSError) as error:  # a full disk too
        sender.send(str(error))
    except KeyboardInterrupt:  # the runner says it
        return


def _answer_main(
    sender: Connection,
    visible: str,
    function: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.setsid()
    _end_with_the_runner()
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    try:
        import torch

        torch.set_num_threads(cores())
        sender.send((function(*arguments), None))
    except Exception as error:
        said = " ".join(str(error).split())
        sender.send((None, f"{type(error).__name__}: {said}"))


def _end_with_the_runner() -> None:
    """Watch the pipe whose other end only the runner holds; its end means no one waits for us."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
