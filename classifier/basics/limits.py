"""What control groups allow this process: cores, memory, processes. Linux only; elsewhere nothing.

A group's limit holds for all below it, so that the least of a process's group and of all those
above it counts. What a container sees as the root is its own group, and the path that
/proc/self/cgroup has may then lead nowhere: the root is looked at in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_NO_LIMIT = 2**62
"""Version 1 writes a number near 2^63 where there is no limit."""


@dataclass(frozen=True)
class Room:
    """A limit, and what all in the group have of it now."""

    limit: int
    used: int

    @property
    def free(self) -> int:
        return max(self.limit - self.used, 0)


@dataclass(frozen=True)
class Limits:
    """None where nothing is limited."""

    cores: float | None = None
    memory: Room | None = None
    """Bytes."""
    processes: Room | None = None
    """Threads count."""


def limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Limits:
    """The narrowest of this process's groups, of version 2 and of version 1."""
    cores: list[float] = []
    memory: list[Room] = []
    processes: list[Room] = []
    for folder in _groups(root, membership):
        cores += _quota(folder)
        cached = _cached(folder / "memory.stat")
        memory += _room(folder, "memory.max", "memory.current", cached)
        memory += _room(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", cached)
        processes += _room(folder, "pids.max", "pids.current")
    return Limits(
        min(cores, default=None),
        min(memory, key=lambda room: room.free, default=None),
        min(processes, key=lambda room: room.free, default=None),
    )


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, and of those above them."""
    try:
        lines = membership.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in [line for line in lines if line.count(":") >= 2] or ["0::/"]:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree and names no controller; version 1 a tree for each set of them.
        trees = [controllers, *controllers.split(",")] if controllers else ["", "unified"]
        for top in dict.fromkeys(root / name.removeprefix("name=") for name in trees):
            folder = top / path.strip("/")
            while folder.is_relative_to(top):
                yield folder
                folder = folder.parent


def _quota(folder: Path) -> list[float]:
    """Cores, as a share of the time."""
    version_1 = [*_words(folder / "cpu.cfs_quota_us", 1), *_words(folder / "cpu.cfs_period_us", 1)]
    said = _words(folder / "cpu.max", 2) or version_1
    if len(said) != 2 or not all(word.isdecimal() for word in said):  # max, or -1
        return []
    quota, period = map(int, said)
    return [quota / period] if quota and period else []


def _room(folder: Path, limit: str, used: str, cached: int = 0) -> list[Room]:
    most, now = _words(folder / limit, 1), _words(folder / used, 1)
    if not most or not most[0].isdecimal() or int(most[0]) >= _NO_LIMIT:
        return []
    in_use = int(now[0]) if now and now[0].isdecimal() else 0
    return [Room(int(most[0]), max(0, in_use - cached))]


def _cached(stat: Path) -> int:
    """Bytes of files that were read and can be forgotten: in use, but for nobody."""
    try:
        lines = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
        return int(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _words(file: Path, count: int) -> list[str]:
    """What a file says, if it is so many words; else nothing."""
    try:
        words = file.read_text(errors="replace").split()
    except OSError:
        return []
    return words if len(words) == count else []
