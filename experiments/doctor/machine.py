"""The machine: its CPU, and what of cores, memory, files and processes this process may have."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from classifier.basics.limits import Limits, Room, limits
from classifier.basics.machine import (
    INSTRUCTION_VARIABLES,
    cores,
    cpu_device,
    instruction_set,
    this_machine,
)
from experiments.doctor.finding import GIB, Finding, Grade, size
from experiments.execution.engines import MOST_CPU_JOBS

LEAST_MEMORY, JOB_MEMORY = 2 * GIB, GIB
"""torch and a small training need about as much; each further job on a CPU about the other."""
FEW_FILES, ENOUGH_FILES = 256, 1024
"""A runner has some ten open for each job, and a loader's process some for each batch."""
FEW_PROCESSES, ENOUGH_PROCESSES = 64, 512
"""A job has a thread for each core, and its loader's processes theirs."""
ENOUGH_SHARED = GIB // 4
"""Loaders' batches lie there: four a process, of 18 MiB for 32 images of 224 pixels in float32."""
SHARED = Path("/dev/shm")  # noqa: S108


def look(wanted_jobs: int | None) -> Iterable[Finding]:
    """`wanted_jobs`: --jobs-per-device, if that is given."""
    allowed, here = limits(), this_machine()
    yield Finding("ok", "system", f"{here.system}, kernel {os.uname().release}")
    yield from cpu(cpu_device(), instruction_set(), os.environ)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    yield allowed_cores(cores(), os.cpu_count() or 1, affinity, allowed.cores)
    yield load(os.getloadavg()[0], cores())
    memory = psutil.virtual_memory()
    jobs = wanted_jobs or min(cores(), MOST_CPU_JOBS)
    yield enough_memory(memory.total, memory.available, allowed.memory, jobs)
    yield open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield processes(_processes_left(allowed))
    yield shared_memory(_shared_free())


def cpu(device: str, instructions: str, environment: Mapping[str, str]) -> Iterable[Finding]:
    asked = [f"{name}={environment[name]}" for name in INSTRUCTION_VARIABLES if name in environment]
    if instructions.startswith(("SSE", "AVX,")) or instructions == "AVX":
        found = f"{device}: computes with instructions from before AVX2, several times slower"
        undo = f"unset {asked[0].partition('=')[0]}" if asked else "use a newer CPU, or a GPU"
        yield Finding("note", "CPU", found, undo)
    else:
        yield Finding("ok", "CPU", device)
    if asked:
        found = f"{', '.join(asked)} is set: figures are those of other instructions"
        yield Finding("note", "instruction set", found, "unset it, if it is not set on purpose")


def allowed_cores(used: int, there: int, affinity: int | None, quota: float | None) -> Finding:
    """`used`: as many as jobs share; `affinity`, `quota`: what this process may have, if that is
    known or limited."""
    why = [f"{affinity} by affinity"] if affinity is not None and affinity < there else []
    why += [f"{quota:g} by the cgroup's quota"] if quota is not None else []
    found = f"{used} of {there} are used" + (f" ({', '.join(why)})" if why else "")
    if quota is not None and quota + 1 <= used:
        whole = max(1, int(quota))
        advice = f"jobs wait for each other: set LOKY_MAX_CPU_COUNT={whole}"
        return Finding("bad", "cores", found, advice)
    return Finding("ok", "cores", found)


def load(mean: float, used: int) -> Finding:
    """`mean`: processes that ran or waited in the last minute."""
    found = f"{mean:.1f} processes were at work in the last minute"
    if mean > used + 0.5:
        return Finding(
            "note", "load", f"{found}, on {used} cores", "speeds measured now are too low"
        )
    return Finding("ok", "load", found)


def enough_memory(total: int, available: int, group: Room | None, jobs: int) -> Finding:
    """Bytes. `jobs`: on a CPU at a time."""
    free, found = available, f"{size(available)} of {size(total)} are free"
    if group is not None and group.limit < total:
        free = min(available, group.free)
        found += f"; the cgroup allows {size(group.limit)}, of which {size(group.free)} are free"
    if free < LEAST_MEMORY:
        advice = f"a training needs {size(LEAST_MEMORY)}: end other programs, or ask for more"
        return Finding("bad", "memory", found, advice)
    if free < LEAST_MEMORY + (jobs - 1) * JOB_MEMORY:
        fitting = 1 + (free - LEAST_MEMORY) // JOB_MEMORY
        advice = f"on the CPU {jobs} jobs at a time may not fit: --jobs-per-device {fitting}"
        return Finding("note", "memory", found, advice)
    return Finding("ok", "memory", found)


def open_files(soft: int, hard: int) -> Finding:
    """What `ulimit -Sn` and `ulimit -Hn` say, as getrlimit gives it."""
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES:
        shown = "any number" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        return Finding("ok", "open files", f"{shown} allowed")
    grade: Grade = "bad" if soft < FEW_FILES else "note"
    if hard == resource.RLIM_INFINITY or hard >= ENOUGH_FILES:
        advice = f"`ulimit -n {ENOUGH_FILES}` in the shell that starts the run"
    else:
        advice = f"the hard limit is {hard:,}: ask who looks after the machine for {ENOUGH_FILES:,}"
    return Finding(grade, "open files", f"{soft:,} allowed", advice)


def processes(left: int | None) -> Finding:
    """How many more this user, or this container, may start; None where nothing limits it."""
    if left is None:
        return Finding("ok", "processes", "not limited")
    found = f"{left:,} more may be started, threads counted"
    if left >= ENOUGH_PROCESSES:
        return Finding("ok", "processes", found)
    advice = "`ulimit -u` or the container's pids limit is low: raise it, or --workers 0"
    return Finding("bad" if left < FEW_PROCESSES else "note", "processes", found, advice)


def shared_memory(free: int | str | None) -> Finding:
    """Bytes; or what is wrong with it; None where the system has no such folder."""
    about = "shared memory"
    if free is None:
        return Finding("note", about, f"no {SHARED}", "if loaders fail, --workers 0")
    if isinstance(free, str):
        advice = "loader processes need it: mount it, or --workers 0"
        return Finding("bad", about, f"{SHARED}: {free}", advice)
    found = f"{size(free)} are free in {SHARED}"
    if free < ENOUGH_SHARED:
        advice = "few loader processes fit: start the container with --shm-size=8g, or --workers 0"
        return Finding("note", about, found, advice)
    return Finding("ok", about, found)


def _processes_left(allowed: Limits) -> int | None:
    most, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    room = [allowed.processes.free] if allowed.processes is not None else []
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:  # root is not held to it
        room.append(max(0, most - sum(_each(_threads_of_mine))))
    return min(room, default=None)


def _each(count: Callable[[psutil.Process], int]) -> Iterable[int]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield count(process)


def _threads_of_mine(process: psutil.Process) -> int:
    return process.num_threads() if process.uids().real == os.getuid() else 0


def _shared_free() -> int | str | None:
    if not SHARED.exists():
        return None
    if not os.access(SHARED, os.W_OK | os.X_OK):
        return "it can't be written"
    return shutil.disk_usage(SHARED).free
