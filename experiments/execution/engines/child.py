"""A bundle's process, forked from a server that has torch imported: the same on this machine and on
a node of Ray's, each time beside the one that started it (its parent here: the runner, or a worker
of Ray's) and never outliving that.

Why a process a bundle: a crash, a leak or an exhausted memory costs one job, and the others of its
bundle at most a new beginning; each sees one device; and torch's global state (threads,
determinism, generators) is a training's own, and of what looks at it afterwards.

Why a fork server: to import torch takes 3 s, a matrix of short trainings is hundreds of jobs. The
server (`preload`) imports it once, and each process is forked from it in 0.02 s. What goes wrong if
one forks carelessly, and what is done about it:

- **A fork copies one thread.** A lock that another thread held stays locked in the child for ever:
  OpenMP's pool, an allocator, a logger, what a worker of Ray's talks with. So no process forks
  itself: each has a server, a program of its own, and that may have a single thread when it forks:
  its environment keeps OpenMP at one and pyarrow's allocator without its own (`ENVIRONMENT`), and
  nothing in it computes. A first child looks at /proc and says if it holds (`Probe`); where it does
  not, or can't be looked at, jobs are spawned: slower to start, equal in result.
- **CUDA does not survive a fork.** A context that the server had made would be broken in every
  child. So it never touches a device; the probe looks at that too, and lists the GPUs in its stead.
- **Ctrl-C reaches the whole process group.** The server ignores it from its first line on, and a
  job begins a session of its own: the runner alone hears it, and asks the jobs to keep their state.
- **A parent may be killed.** Nobody would end its jobs: each watches the pipe whose other end the
  parent holds, and ends itself with its children when that closes. The server ends after them.
- **A child runs its parent's program again**, for what it may have been sent from there: that of a
  worker of Ray's imports Ray. Here all that is sent is importable by name, so it runs none.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, TypeVar, cast

from classifier.basics.console import show_log
from classifier.basics.errors import UserError
from classifier.basics.machine import cores
from experiments.execution.engines import Heard, JobFailed, Said
from experiments.execution.engines.crash import cause
from experiments.execution.engines.process import (
    ENVIRONMENT,
    Task,
    carry_out,
    prepare,
    stall_failure,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")

_PRELOAD = "experiments.execution.preload"

LAST_SECONDS = 30.0
"""A process that has said its last word ends within these, or is ended."""
_LOOK_SECONDS = 0.25
"""How often a parent that waits looks whether it shall go on."""


@dataclass(frozen=True)
class Probe:
    """What a first child found: why forking is not safe, if so, and the GPUs that torch sees."""

    unsafe: str
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class Broke:
    """How a process ended that could not say so itself."""

    stalled: bool
    """It was ended, for it said nothing for too long."""
    exit_code: int | None

    def failure(self, said: str, stall_seconds: float) -> JobFailed:
        """`said`: what the job that it was at has printed."""
        if self.stalled:
            return stall_failure(stall_seconds)
        return JobFailed(_death(self.exit_code, said))


class Child:
    """A bundle's process, as its parent has it."""

    def __init__(self, task: Task, visible: str) -> None:
        """It begins with `start`. `visible`: its CUDA_VISIBLE_DEVICES."""
        made = context()
        self._keeps_state = task.bundle.keeps_state
        self._receiver, self._sender = made.Pipe(duplex=False)
        self._process = made.Process(target=_job_main, args=(self._sender, task, visible))

    def start(self) -> None:
        _start(self._process)
        self._sender.close()

    def follow(
        self, hear: Heard, stall_seconds: float, stop: Callable[[], bool] = lambda: False
    ) -> Broke | None:
        """Pass on what it says until it is gone; None if it could say all. Once `stop`, it is
        interrupted."""
        try:
            end = self._heard_out(hear, stall_seconds, stop)
            if end == "stalled":
                self._show_stacks()
            else:
                self._process.join(LAST_SECONDS)
        finally:
            self._receiver.close()
            self.end()
        return None if end == "over" else Broke(end == "stalled", self._process.exitcode)

    def interrupt(self) -> None:
        """Ask it to keep its state and end; end it, if it has none to keep."""
        if self._keeps_state:
            self._process.terminate()
        else:
            self.end()

    def end(self) -> None:
        _end(self._process)

    def _heard_out(self, hear: Heard, stall_seconds: float, stop: Callable[[], bool]) -> _End:
        interrupted, heard = False, time.monotonic()
        while True:
            if stop() and not interrupted:
                interrupted = True
                self.interrupt()
            try:
                if not self._receiver.poll(_LOOK_SECONDS):
                    if stall_seconds and time.monotonic() - heard >= stall_seconds:
                        return "stalled"
                    continue
                said: Said | None = self._receiver.recv()
            except (EOFError, OSError, pickle.UnpicklingError):  # it died, perhaps while it spoke
                return "died"
            if said is None:
                return "over"
            heard = time.monotonic()
            hear(said)

    def _show_stacks(self) -> None:
        """Have it and its children write into the log where they are."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGUSR1)
            time.sleep(1.0)


_End = Literal["over", "died", "stalled"]
"""How a process ended: all was said, it could say no more, or it said nothing for too long."""


def in_a_child(function: Callable[..., None], *arguments: object) -> None:
    """Call it where torch is imported, and wait. A UserError of its is raised here."""
    made = context()
    receiver, sender = made.Pipe(duplex=False)
    process = made.Process(target=_call_main, args=(sender, function, arguments))
    _start(process)
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
    torch_device, visible = shown_alone(device)
    made = context()
    receiver, sender = made.Pipe(duplex=False)
    called = function, (*arguments, torch_device)
    process = made.Process(target=_answer_main, args=(sender, visible, *called))
    _start(process)
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


def shown_alone(device: str) -> tuple[str, str]:
    """The torch device of a process that sees one device only, and its CUDA_VISIBLE_DEVICES.

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


# The server -------------------------------------------------------------------------------------


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


def _forkserver() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([_PRELOAD])
    return made


def _ask(made: Any) -> Probe | None:
    receiver, sender = made.Pipe(duplex=False)
    process = made.Process(target=_probe_main, args=(sender,))
    _start(process)  # the first process starts the server, which keeps its environment
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


def _start(process: multiprocessing.process.BaseProcess) -> None:
    """Start it in a job's environment, and without this program, whose file multiprocessing looks
    for, or whose module, after `python -m`: it may have no guard of `__main__`. So too a server
    again, should it have died."""
    program = vars(sys.modules["__main__"])
    file, spec = program.pop("__file__", None), program.get("__spec__")
    program["__spec__"] = None
    try:
        with _environment(ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}):
            process.start()
    finally:
        program["__spec__"] = spec
        if file is not None:
            program["__file__"] = file


# In the process ---------------------------------------------------------------------------------


def _job_main(sender: Connection, task: Task, visible: str) -> None:
    os.setsid()  # a group of its own: Ctrl-C is the runner's business
    _end_with_the_parent()
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
    _end_with_the_parent()
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
    _end_with_the_parent()
    prepare(visible)
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


def _end_with_the_parent() -> None:
    """Watch the pipe whose other end only the parent holds; its end means no one waits for us."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
