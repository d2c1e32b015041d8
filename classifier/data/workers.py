"""How many loader processes a training needs, found in its first steps. Their number changes no
result."""

from __future__ import annotations

import logging
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from classifier.basics.place import Place

_log = logging.getLogger(__name__)

Batch = tuple[Tensor, Tensor]
"""uint8 images (N, H, W, 3) and int64 labels (N,), on the CPU."""

WARM_UP, STEPS = 4, 8
"""The first steps, which choose and compile kernels, then those whose median counts."""
_SPARE = 1.25
"""Processes beside each other are slower than one alone, and batches differ."""
_HELD = 4
"""Batches in shared memory for each process: two made ahead, one that is being made, one in use."""
_SHARED = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class Pace:
    """Seconds of a batch."""

    load: float
    """To make it in one process."""
    host: float
    """Until Python has told the device all of its step."""
    step: float
    """Until the device has done it."""


def needed(pace: Pace, most: int) -> int:
    """None where one process makes the next batch while the device is at work; else as many as make
    batches as fast as the device takes them."""
    if pace.load + pace.host <= pace.step:
        return 0
    return min(math.ceil(_SPARE * pace.load / pace.step), most)


def allowed(cores: int, shared_bytes: float, batch_bytes: int) -> int:
    """By a job's cores, one of which is the training's own, and by half of the shared memory that
    is free: a container's may be small, and a job's neighbours need theirs."""
    return int(max(0, min(cores - 1, shared_bytes / 2 / (_HELD * batch_bytes))))


class Finder:
    """Times the first steps of a training whose batches are made in its own process."""

    def __init__(
        self, cores: int, wait: Callable[[], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`wait`: until the device has done all that it was told."""
        self._cores, self._wait, self._clock = cores, wait, clock
        self._seen: list[Pace] = []
        self.workers: int | None = None
        """None: not found yet."""

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """These batches until the number is found. What comes between two of them is the step."""
        while self.workers is None:
            start = self._clock()
            batch = next(batches, None)
            if batch is None:
                return
            made = self._clock()
            yield batch
            told = self._clock()
            self._wait()
            self._seen.append(Pace(made - start, told - made, self._clock() - made))
            if len(self._seen) == WARM_UP + STEPS:
                self._find(batch[0].nbytes)

    def _find(self, batch_bytes: int) -> None:
        seen = self._seen[WARM_UP:]
        load, host, step = (
            statistics.median(getattr(pace, part) for pace in seen)
            for part in ("load", "host", "step")
        )
        shared = shutil.disk_usage(_SHARED).free if _SHARED.exists() else math.inf
        self.workers = needed(Pace(load, host, step), allowed(self._cores, shared, batch_bytes))
        _log.info(
            "loader processes: %d (a batch takes %.4f s to make, %.4f s to train on; %d cores)",
            self.workers,
            load,
            step,
            self._cores,
        )


def workers_of(place: Place, device: torch.device) -> int | Finder:
    """`auto` on CUDA is found; elsewhere the step has the cores itself, and it is none. Where
    processes can't be forked it is none too: a loader's can't be sent."""
    if place.workers != "auto":
        return place.workers
    if device.type != "cuda" or sys.platform != "linux":
        return 0
    return Finder(place.threads, lambda: torch.cuda.synchronize(device))
