"""This machine: a thread a slot, a process a bundle of jobs (`child`), one device each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform, cores, cpu_device, gpu_names, versions
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
from experiments.execution.engines.child import Child, in_a_child, probe, shown_alone
from experiments.execution.engines.process import Account, Task
from experiments.execution.worker import check_starts
from experiments.plan.bundles import Bundle
from experiments.store.store import Store

_log = logging.getLogger(__name__)


class LocalEngine:
    def __init__(self, options: EngineOptions, perform: Perform) -> None:
        self.platform = platform_of(options.devices)
        self._devices = options.devices
        self._options, self._perform = options, perform
        self._stall_seconds = options.stall_minutes * 60
        self._store = Store(options.place.runs)
        self._running: dict[str, Child] = {}
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
            for child in self._running.values():
                child.interrupt()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for child in self._running.values():
                child.end()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> None:
        device, visible = shown_alone(slots[0].device)
        # A benchmark has its device to itself and all the threads, any other its slot's share.
        threads = cores() if bundle.is_speed else max(1, cores() // len(self.slots))
        place = replace(self._options.place, device=device, threads=threads)
        account = Account(bundle, self._store, heard)
        child = Child(Task(self._perform, bundle, place, account.logs), visible)
        with self._lock:
            if self._stopping:
                account.broke(JobStopped())
                return
            child.start()
            self._running[bundle.id] = child
        try:
            broke = child.follow(lambda said: self._hear(said, account), self._stall_seconds)
        finally:
            with self._lock:
                del self._running[bundle.id]
        if broke is not None and self._stopping:
            account.broke(JobStopped())
        elif broke is not None:
            account.broke(broke.failure(account.said(), self._stall_seconds))

    def _hear(self, said: Said, account: Account) -> None:
        if isinstance(said, Ended) and isinstance(said.how, JobStopped) and not self._stopping:
            why = "it was asked to stop by a SIGTERM that is not the runner's"
            said = Ended(said.job, JobFailed(why))
        account.hear(said)


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
