"""A Ray cluster: each bundle is a Ray task and a process of its own, where there is a place for it.

Ray finds the place and shows the task its GPU. The task itself only waits for the process beside
it, which is as one on the runner's machine (`child`). Ray's workers do many tasks each: a worker's
fork server imports torch for the first of them, and has it for the others. What runs when and what
is tried again is the scheduler's business, as on one machine. Records and checkpoints go to the
folder `--runs`, which all nodes must share: that is tried before anything runs.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classifier.basics import machine
from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.basics.progress import WAITING, Progress
from classifier.config.spec import MetricSpec, TrainSpec
from experiments.execution.engines import (
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
from experiments.execution.engines.child import LAST_SECONDS, Broke, Child, in_a_child
from experiments.execution.engines.crash import cause
from experiments.execution.engines.process import ENVIRONMENT, Account, Task, stall_failure
from experiments.execution.worker import check_starts
from experiments.plan.bundles import Bundle
from experiments.store.store import Store

# Read when Ray is imported: no lines of Ray's own about workers that died, the runner says it.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
try:
    import ray
    from ray import exceptions
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise UserError(
        f"--engine ray needs Ray: pip install 'classifier-ablations[ray]' ({error})"
    ) from error

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
"""How often the runner looks at its tasks."""
_GRACE_SECONDS = 2 * LAST_SECONDS
"""A task whose process was ended is over within these, or no longer waited for."""
_ANSWER_SECONDS = 180.0
"""A node that does not answer for so long, a new process on it included, is an error."""
_ROOT = Path(__file__).parents[3]


# The cluster ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    id: str
    name: str
    cpus: int
    gpus: int
    device: str | None = None
    """The name of its first GPU, or of its CPU where no GPUs are used; None: no such GPU there."""
    torch: str = ""

    @property
    def platform(self) -> Platform:
        """Speeds of nodes that have this in common can be compared."""
        return Platform(self.device or "", max(1, self.cpus), self.torch)


class Cluster:
    """The nodes that jobs may run on, and what of them a job gets."""

    def __init__(
        self, nodes: Sequence[Node], on_gpus: bool, jobs_per_device: int | None, token: Path
    ) -> None:
        """With GPUs, a job gets 1/`jobs_per_device` of one (default: all of it); without, so much
        of the smallest node's CPUs (default: one, or an eighth of them).
        All jobs get the same number of threads, so that their last digits can be compared."""
        self.nodes, self.on_gpus, self.token = nodes, on_gpus, token
        fewest = min(node.cpus for node in nodes)
        if on_gpus:
            jobs = jobs_per_device or 1
            self.gpu_share = math.floor(10_000 / jobs) / 10_000  # Ray counts in these
            self.places = sum(node.gpus for node in nodes) * jobs
            self.threads = max(1, min(node.cpus // (node.gpus * jobs) for node in nodes))
        else:
            jobs = jobs_per_device or min(fewest, MOST_CPU_JOBS)
            self.gpu_share = 0.0
            self.threads = max(1, fewest // jobs)
            self.places = sum(node.cpus // self.threads for node in nodes)

    @property
    def platform(self) -> Platform:
        """Where speeds are measured: the first node, which is this machine if it has a place."""
        first = self.nodes[0]
        if first.device is None:
            raise UserError(
                f"Ray counts {first.gpus} GPU(s) on {first.name}, but nvidia-smi shows none there"
            )
        return first.platform

    def measuring(self) -> Node:
        """A node as the one that speeds are measured on, if it is no more."""
        alive = {node["NodeID"] for node in _alive()}
        for node in self.nodes:
            if node.id in alive and node.platform == self.nodes[0].platform:
                return node
        raise JobFailed(f"no node is left that is as {self.nodes[0].name}, where speeds come from")

    def check_data(self, folders: Iterable[Path]) -> None:
        """Raises UserError if a node does not see these folders as this machine does."""
        for folder in folders:
            here = _listed(folder)
            for node, there in _answers(self.nodes, _list, folder):
                if there != here:
                    raise UserError(
                        f"{node.name} does not see {folder} as this machine does: put the data "
                        "where all nodes see them at one path, and name it with --data-root"
                    )

    def on_each_node(self, function: Callable[..., None], *arguments: object) -> None:
        """Call it on each node, and wait. A UserError of its is raised here."""
        for node, problem in _answers(self.nodes, _try, function, arguments, seconds=None):
            if problem:
                raise UserError(f"{node.name}: {problem}")


@contextmanager
def open_ray(options: EngineOptions, perform: Perform) -> Iterator[RayEngine]:
    _log.info("connecting to Ray ...")
    runs, cpu_only = options.place.runs, options.devices == ("cpu",)
    with connect(options.address, runs, cpu_only, options.jobs_per_device) as cluster:
        place = replace(options.place, data_root=options.place.data_root.absolute())
        yield RayEngine(cluster, replace(options, place=place), perform)


@contextmanager
def connect(
    address: str | None, runs: Path, cpu_only: bool, jobs_per_device: int | None
) -> Iterator[Cluster]:
    """The cluster at `address`; by default the one that RAY_ADDRESS names or that runs on this
    machine, else a new one, of this machine only and for as long as this lasts.

    Raises UserError if a node runs other code than this machine, or can't read what was written
    into `runs`.
    """
    with _connection(address), _token(runs) as token:
        nodes, on_gpus = _nodes(cpu_only)
        yield Cluster(_looked_at(nodes, on_gpus, token), on_gpus, jobs_per_device, token)


@contextmanager
def _connection(address: str | None) -> Iterator[None]:
    address = address or os.environ.get("RAY_ADDRESS") or ("auto" if _running_here() else "local")
    if address.startswith("ray://"):
        raise UserError(f"--address {address}: start the runner on a node of the cluster instead")
    if address not in ("auto", "local") and not _answers_at(address):
        raise UserError(f"--address {address}: no Ray cluster answers there (host:port, or local)")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _connect(address)
    except (OSError, RuntimeError, ValueError, exceptions.RayError) as error:
        raise UserError(
            f"--address {address}: {_first_line(error)}; if that cluster asks for a token, set "
            "RAY_AUTH_MODE=token here too"
        ) from error
    for number, handler in before.items():  # Ray takes SIGTERM for itself
        signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    path = os.pathsep.join((str(_ROOT), "${PYTHONPATH}"))  # the code, where all nodes share it
    settings: dict[str, Any] = {}
    if address == "local":
        # Else Ray keeps one in the home folder, and later clusters would ask for it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        settings = {
            "num_cpus": machine.cores(),
            "object_store_memory": 2**27,  # bytes; jobs send records only
            "include_dashboard": False,
        }
    instructions = {
        name: os.environ[name] for name in machine.INSTRUCTION_VARIABLES if name in os.environ
    }
    ray.init(
        address=address,
        runtime_env={"env_vars": {**ENVIRONMENT, **instructions, "PYTHONPATH": path}},
        log_to_driver=False,
        logging_level=logging.ERROR,
        **settings,
    )


def _running_here() -> bool:
    """Whether `ray start` has joined this machine to a cluster that still answers."""
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108
    try:
        return _answers_at(file.read_text().strip())
    except OSError:
        return False


def _answers_at(address: str) -> bool:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError):
        return False
    return True


@contextmanager
def _token(runs: Path) -> Iterator[Path]:
    """A file in `runs` that every node must be able to read."""
    is_new = not runs.exists()
    token = runs / f".token-{secrets.token_hex(8)}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        token.write_text(token.name)
    except OSError as error:
        raise UserError(f"the runs folder {runs} can't be written: {error}") from error
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)
        if is_new and not any(runs.iterdir()):
            runs.rmdir()


def _nodes(cpu_only: bool) -> tuple[list[Node], bool]:
    """The nodes that jobs may run on, this machine first, and whether on their GPUs."""
    mine = ray.get_runtime_context().get_node_id()
    nodes = [
        Node(
            node["NodeID"],
            f"node {node['NodeName']} ({node['NodeManagerHostname']})",
            int(node["Resources"].get("CPU", 0)),
            int(node["Resources"].get("GPU", 0)),
        )
        for node in _alive()
    ]
    nodes.sort(key=lambda node: (node.id != mine, node.name, node.id))
    on_gpus = not cpu_only and any(node.gpus for node in nodes)
    usable = [node for node in nodes if (node.gpus if on_gpus else node.cpus)]
    if not usable:
        raise UserError("the Ray cluster has no GPU and no CPU to run a job on")
    return usable, on_gpus


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _looked_at(nodes: Sequence[Node], on_gpus: bool, token: Path) -> list[Node]:
    """The nodes with what they say of themselves."""
    code, seen = _code(), []
    for node, there in _answers(nodes, _look, token, on_gpus):
        if there.trouble:
            raise UserError(
                f"{node.name} can't read what was written into {token.parent}: --runs must be a "
                f"folder that all nodes see at one path ({there.trouble})"
            )
        if there.code != code:
            raise UserError(
                f"{node.name} has other code of this project than {_ROOT} here: install the same "
                "there, or share the folder"
            )
        seen.append(replace(node, device=there.device, torch=there.torch))
    if not seen:
        raise UserError("no node of the Ray cluster answers")
    return seen


def _answers(
    nodes: Sequence[Node],
    question: Any,
    *arguments: object,
    seconds: float | None = _ANSWER_SECONDS,
) -> Iterator[tuple[Node, Any]]:
    """What each node answers; all are asked at once. One that has died says nothing."""
    asked = [question.options(scheduling_strategy=_on(node)).remote(*arguments) for node in nodes]
    for node, reference in zip(nodes, asked, strict=True):
        try:
            yield node, ray.get(reference, timeout=seconds)
        except (exceptions.NodeDiedError, exceptions.TaskUnschedulableError):
            _log.warning("%s was lost", node.name)
        except exceptions.RayError as error:
            raise UserError(
                f"{node.name} can't do this project's work: {_first_line(error)}. Is it installed "
                "there, or its folder shared?"
            ) from error


def _on(node: Node) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node.id, soft=False)


# On a node, before the jobs ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Seen:
    trouble: str
    device: str | None
    torch: str
    code: str


@ray.remote(num_cpus=0, max_retries=0)
def _look(token: Path, on_gpus: bool) -> _Seen:
    names = machine.gpu_names() if on_gpus else (machine.cpu_device(),)
    return _Seen(
        _unreadable(token), names[0] if names else None, machine.versions()["torch"], _code()
    )


@ray.remote(num_cpus=0, max_retries=0)
def _list(folder: Path) -> str | None:
    return _listed(folder)


@ray.remote(num_cpus=0, max_retries=0)
def _try(function: Callable[..., None], arguments: tuple[object, ...]) -> str:
    try:
        in_a_child(function, *arguments)
    except UserError as error:
        return str(error)
    return ""


def _unreadable(token: Path) -> str:
    """Why the token can't be read here; empty if it can."""
    try:
        return "" if token.read_text() == token.name else f"{token} has another text"
    except OSError as error:
        return str(error)


def _listed(folder: Path) -> str | None:
    """A digest of a folder's names; None where it is not there."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    return hashlib.sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()


def _code() -> str:
    """Of what jobs run."""
    return machine.code_digest("classifier", "experiments")


# The engine -------------------------------------------------------------------------------------


@dataclass
class _Running:
    bundle: Bundle
    account: Account
    task: Any = None
    """The reference to what it will give."""
    heard: float = math.inf
    """When it said something last; until it has begun it may wait for as long as it must."""


class RayEngine:
    """A thread waits for each running bundle. Slots are places of the cluster, named `ray`."""

    def __init__(self, cluster: Cluster, options: EngineOptions, perform: Perform) -> None:
        self.slots = [Slot("ray", index) for index in range(cluster.places)]
        self._cluster, self._place, self._perform = cluster, options.place, perform
        self._stall_seconds = options.stall_minutes * 60
        self._store = Store(options.place.runs)
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._deadline = math.inf
        self._pool = ThreadPoolExecutor(len(self.slots), thread_name_prefix="ray")
        self._board: Any = None
        self._taking = threading.Lock()
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="ray board", daemon=True)

    @property
    def platform(self) -> Platform:
        return self._cluster.platform

    def check(self, starts: Sequence[TrainSpec | MetricSpec], folders: Sequence[Path]) -> None:
        self._cluster.check_data(folders)
        if starts:
            self._cluster.on_each_node(check_starts, starts, self._place)

    def submit(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> Future[None]:
        if self._board is None:
            self._begin()
        return self._pool.submit(self._run, bundle, heard)

    def _begin(self) -> None:
        """Have a board on this node, and listen to it."""
        here = ray.get_runtime_context().get_node_id()
        board: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board)
        self._board = board.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
        ).remote()
        self._listener.start()

    def interrupt(self) -> None:
        with self._lock:
            self._stopping = True
            for running in self._running.values():
                # Without force it is a SIGINT to the task; recursive, its last words would be lost.
                ray.cancel(running.task, force=False, recursive=False)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            self._deadline = time.monotonic() + LAST_SECONDS
            for running in self._running.values():
                ray.cancel(running.task, force=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._over.set()
        if self._board is not None:
            self._listener.join()
            ray.kill(self._board)

    def _run(self, bundle: Bundle, heard: Heard) -> None:
        running = _Running(bundle, Account(bundle, self._store, heard))
        try:
            with self._lock:
                if self._stopping:
                    raise JobStopped
                running.task = self._submitted(bundle, running.account)
                self._running[bundle.id] = running
            heard(Progress(f"{WAITING} a place", 0, 1))
            self._follow(running)
        except (JobFailed, JobStopped) as error:
            running.account.broke(error)
        finally:
            with self._lock:
                self._running.pop(bundle.id, None)

    def _submitted(self, bundle: Bundle, account: Account) -> Any:
        cluster = self._cluster
        gpus, threads, placement = cluster.gpu_share, cluster.threads, dict[str, Any]()
        if bundle.is_speed:  # a device of one kind to itself, and all the threads
            node = cluster.measuring()
            gpus, threads = float(cluster.on_gpus), max(1, node.cpus)
            placement = {"scheduling_strategy": _on(node)}
        device, cpus = ("cuda:0", 0) if cluster.on_gpus else ("cpu", threads)
        place = replace(self._place, device=device, threads=threads)
        task = Task(self._perform, bundle, place, account.logs)
        remote = _job.options(num_gpus=gpus, num_cpus=cpus, **placement)
        return remote.remote(task, cluster.token, self._stall_seconds, self._board)

    def _follow(self, running: _Running) -> None:
        """Wait for a task's end. Raises JobFailed or JobStopped where it ended before all of its
        jobs had."""
        while not ray.wait([running.task], timeout=_LOOK_SECONDS)[0]:
            if time.monotonic() > self._deadline:
                raise JobStopped
            # The task itself ends a process that hangs; this is for one that it can't end.
            silent = time.monotonic() - running.heard - _GRACE_SECONDS
            if self._stall_seconds and silent > self._stall_seconds:
                ray.cancel(running.task, force=True)
                ray.wait([running.task], timeout=LAST_SECONDS)
                self._take()
                raise stall_failure(self._stall_seconds)
        self._take()
        try:
            trouble: JobFailed | Broke | None = ray.get(running.task)
        except exceptions.RayError as error:
            if self._stopping:
                raise JobStopped from error
            raise _failure(error, running.account.said()) from error
        if trouble is not None and self._stopping:
            raise JobStopped
        if isinstance(trouble, Broke):
            raise trouble.failure(running.account.said(), self._stall_seconds)
        if trouble is not None:
            raise trouble

    def _listen(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._take()

    def _take(self) -> None:
        """Pass on what the tasks have said."""
        with self._taking:  # two threads would tell one thing after the other that came before
            said: list[tuple[str, Said]] = ray.get(self._board.take.remote())
            for bundle_id, each in said:
                running = self._running.get(bundle_id)
                if running is not None:
                    running.heard = time.monotonic()
                    running.account.hear(self._judged(each))

    def _judged(self, said: Said) -> Said:
        if isinstance(said, Ended) and isinstance(said.how, JobStopped) and not self._stopping:
            return Ended(said.job, JobFailed("it was cancelled, and not by the runner"))
        return said


def _failure(error: exceptions.RayError, said: str) -> JobFailed:
    if isinstance(error, exceptions.OutOfMemoryError):
        return JobFailed("Ray ended it, for its node ran out of memory")
    if isinstance(error, exceptions.WorkerCrashedError):
        unknown = "its process was killed, perhaps for want of memory, or crashed"
        return JobFailed(cause(said) or unknown)
    if isinstance(error, exceptions.NodeDiedError | exceptions.ObjectLostError):
        return JobFailed("its node was lost")
    if isinstance(error, exceptions.TaskCancelledError):
        return JobFailed("it was cancelled, and not by the runner")
    return JobFailed(f"Ray: {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class _Board:
    """What the tasks say, until the runner takes it: of progress the latest only."""

    def __init__(self) -> None:
        self._said: list[tuple[str, Said]] = []

    def say(self, bundle_id: str, said: Said) -> None:
        self._said = [
            before
            for before in self._said
            if before[0] != bundle_id or not isinstance(before[1], Progress)
        ]
        self._said.append((bundle_id, said))

    def take(self) -> list[tuple[str, Said]]:
        said, self._said = self._said, []
        return said


# On a node, beside a bundle's process ------------------------------------------------------------


@ray.remote(max_calls=0, max_retries=0)  # no limit, with GPUs either: their memory is the process's
def _job(task: Task, token: Path, stall_seconds: float, board: Any) -> JobFailed | Broke | None:
    """Gives why nothing could be begun, or how its process ended that could not say all."""
    host = socket.gethostname()
    if trouble := _unreadable(token):  # the node came later, or lost the folder
        return JobFailed(f"{host} can't read what was written into {token.parent} ({trouble})")

    def tell(said: Said) -> None:
        sent = board.say.remote(task.bundle.id, said)
        if not isinstance(said, Progress):
            # It is known before anything else happens; but where the task is cancelled meanwhile
            # the wait may end early, and the process shall keep its state all the same.
            with suppress(exceptions.TaskCancelledError, KeyboardInterrupt):
                ray.get(sent)

    with _cancelled() as stop:
        tell(Progress(f"starting on {host}", 0, 1))
        child = Child(task, visible=",".join(map(str, ray.get_gpu_ids())))
        child.start()
        return child.follow(tell, stall_seconds, stop)


@contextmanager
def _cancelled() -> Iterator[Callable[[], bool]]:
    """Whether the task was asked to end: see RayEngine.interrupt. The next one of this process is
    asked anew."""
    stopping = threading.Event()
    before = signal.signal(signal.SIGINT, lambda number, frame: stopping.set())
    try:
        yield stopping.is_set
    finally:
        signal.signal(signal.SIGINT, before)
