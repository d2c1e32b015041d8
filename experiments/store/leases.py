"""Which runner does which jobs, where several share a store, also over a network file system.

A lease is a file that its holder creates, touches while it works, and removes. Why not a lock of
the operating system's? `flock` is local on many network file systems, `fcntl` locks need a lock
daemon that clusters often switch off, and either is gone without a trace when the machine is: the
others could not tell a runner that works from one that lost its network. What each part is for:

- **Created with O_CREAT | O_EXCL.** Of several runners one succeeds, on NFS too (since version 3).
  To look first and create then would let two runners begin one training.
- **Touched every few seconds, and over after `SECONDS` without.** A runner that was killed removes
  nothing. Without an end its jobs would wait for ever; with one that is too short a runner whose
  file server hangs for a moment would lose what it does. It is lost work at worst, not a wrong
  result: publishing is a rename, in which one of two attempts is accepted (`records.runs.publish`).
- **The file server's clock.** Age is the difference of two times that the server gave: of the lease
  and of a file that this runner has just touched. By the machines' own clocks, an hour apart, a
  lease taken now would be over, or one of a dead runner would last an hour longer. Files are opened
  before their time is read, since an NFS client answers `stat` from a cache of its own.
- **The holder's process, where it is of this machine.** Found by number and start time, since
  numbers are used again, and by boot and process namespace, since containers share a host name: a
  runner that was killed here and started again goes on at once.
- **Generations.** Who takes over creates the *next* file of the name and removes those before. To
  remove the old file and create it anew would not do: of two runners that find it over, the slower
  would remove the file that the quicker has just created, and both would hold the lease.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from experiments.store.layout import LEASES

SECONDS = 60.0
"""A lease that has not been touched for so long is over."""


class Leases:
    """The leases of one runner. Use it as a context: inside it they are touched, at its end given
    back."""

    def __init__(self, root: Path, seconds: float = SECONDS) -> None:
        self._folder = root / LEASES
        self._seconds = seconds
        self._held: dict[str, Path] = {}
        self._clock = self._folder / f"clock-{secrets.token_hex(4)}"
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._clock.touch()
        self._heart.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._heart.join()
        for name in list(self._held):
            self.release(name)
        self._clock.unlink(missing_ok=True)

    def take(self, name: str, jobs: Sequence[str] = ()) -> bool:
        """Whether this runner has the lease now, for these jobs (default: the one of that name). It
        must be given back."""
        self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        files = _files(self._folder, name)
        generation = 1
        if files:
            holder = read_holder(files[-1])
            if holder is None or not self._is_over(holder):  # None: given back just now
                return False
            generation = _generation(files[-1]) + 1
        file = self._folder / f"{name}.{generation:06d}"
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with suppress(OSError), os.fdopen(descriptor, "wb") as opened:  # a full disk: age tells all
            opened.write(_told(jobs or [name]))
        with self._lock:
            self._held[name] = file
        for old in files:
            old.unlink(missing_ok=True)
        return True

    def keep(self, name: str, jobs: Sequence[str]) -> None:
        """From now on it is for these of its jobs only: nobody does the others. By a rename, so
        that nobody reads a half. If it was taken over in the meantime, this older generation lies
        beside the newer one until it is given back."""
        with self._lock:
            file = self._held[name]
        new = self._folder / f".new-{name}"
        with suppress(OSError):  # a full disk: it says more than is so
            new.write_bytes(_told(jobs))
            new.replace(file)

    def release(self, name: str) -> None:
        with self._lock:
            file = self._held.pop(name)
        file.unlink(missing_ok=True)

    def now(self) -> float:
        """The file server's clock, in seconds since the epoch."""
        self._clock.touch()
        return fresh(self._clock).st_mtime

    def _is_over(self, holder: Holder) -> bool:
        return holder.is_dead() or self.now() - holder.touched > self._seconds

    def _beat(self) -> None:
        while not self._over.wait(self._seconds / 6):
            with self._lock:
                held = list(self._held.values())
            for file in held:
                with suppress(OSError):  # given back or taken over in the meantime; or no network
                    os.utime(file)


class Holder:
    """Who holds a lease and for which jobs, as its file tells, and when it was touched last."""

    def __init__(
        self, about: dict[str, object], touched: float, jobs: tuple[str, ...] = ()
    ) -> None:
        self._about, self.touched, self.jobs = about, touched, jobs

    @property
    def name(self) -> str:
        """`host:pid`, for people; the host alone where the disk was full when it wrote."""
        return ":".join(str(self._about[key]) for key in ("host", "pid") if key in self._about)

    def is_of(self, other: Holder) -> bool:
        """Whether the two are one process."""
        return bool(self._about) and self._about == other._about

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        mine = me()
        return all(self._about.get(key) == mine[key] for key in ("host", "machine"))

    def is_dead(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        if not self.is_here or self._about == me():
            return False
        try:
            process = psutil.Process(int(str(self._about["pid"])))
            is_zombie = process.status() == psutil.STATUS_ZOMBIE  # killed, and not buried yet
            return is_zombie or process.create_time() != self._about["started"]
        except (psutil.NoSuchProcess, KeyError, ValueError):
            return True


def held(root: Path) -> set[str]:
    """The jobs that somebody has a lease for, by this machine's clock: to look, nothing is
    written."""
    each = living(root).items()
    return {job for name, holder in each for job in holder.jobs or (name,)}


def living(root: Path) -> dict[str, Holder]:
    """Who has each lease and lives, by the lease's name; likewise."""
    now = time.time()
    return {
        name: holder
        for name, holder in holders(root).items()
        if not holder.is_dead() and now - holder.touched <= SECONDS
    }


def holders(root: Path) -> dict[str, Holder]:
    """Who has each lease, or had it when it was killed; by the lease's name."""
    files = ((file, read_holder(file)) for file in _files(root / LEASES, "*"))
    return {file.name.rpartition(".")[0]: holder for file, holder in files if holder is not None}


def _files(folder: Path, name: str) -> list[Path]:
    """The generations of a lease, the newest last."""
    return sorted(folder.glob(f"{name}.[0-9]*"))


def _generation(file: Path) -> int:
    return int(file.name.rpartition(".")[2])


def read_holder(file: Path) -> Holder | None:
    """Who wrote a lease, or a board, which names its runner likewise. None where it is no more."""
    try:
        touched = fresh(file).st_mtime
        said = json.loads(file.read_bytes())
        about = dict(said["about"])
        jobs = tuple(job for job in said["jobs"] if isinstance(job, str))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # it is being written, or the disk was full
        about, jobs = {}, ()
    return Holder(about, touched, jobs)


def fresh(file: Path) -> os.stat_result:
    """Of an opened file: a network file system asks its server then, not its cache."""
    with file.open("rb") as opened:
        return os.fstat(opened.fileno())


def _told(jobs: Sequence[str]) -> bytes:
    """What a lease of this process says."""
    return json.dumps({"about": me(), "jobs": list(jobs)}).encode()


def me() -> dict[str, object]:
    """This process. Machines are told apart by their boot and, in containers, their processes."""
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return str(int(psutil.boot_time()))
