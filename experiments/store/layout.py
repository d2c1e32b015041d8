"""Where runs lie: every folder and file name of a store, once.

    runs/mobilenetv2-s0-3f9c01ab77e2/        a training: slug for people, signature for finding it
        train-raw/                           one published unit: record.json, cost.json, files
        train-ema-0.9999-2000/
        evaluate-raw-val-fp32-0c1d.../
        work-train-3f9c01ab77e2/             a job that runs, was interrupted, or failed: log.txt,
            attempt-x7f2/                    failure.json; and a folder of its own for each attempt
    runs/mobilenetv2-fps-fp16-.../           a benchmark: a unit for each device
        benchmark-9a8b7c6d/
    runs/.leases/                            which runner does what
    runs/.states/mobilenetv2-s0-71b0.../     a training's kept state, by its family's name
    runs/.also/5c0f.../                      what is used of a runs folder on a server, copied
    runs/.reproduces                         of which archive the runs are what `--reproduce` ran
    runs/.deleted-.../                       what is being deleted

What lies in a unit is named in `classifier.records.runs`, for the commands write units too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from classifier.config.spec import Spec
from classifier.records import kept
from classifier.records.runs import UNITS, WORK

FAILURE = "failure.json"
LOG = "log.txt"
ATTEMPT = "attempt-"
LEASES = ".leases"
STATES = kept.FOLDER
ALSO = ".also"
REPRODUCES = ".reproduces"
"""Holds the archive's SHA-256."""
BENCHMARK = "benchmark-"
"""Begins the units of a speed, one for each platform."""
Needed = tuple[str, str]
"""A run's signature, and the name of a unit or of a job's work in it; `BENCHMARK` for a speed on
any platform. Or a family, and `STATES`."""
DELETED = ".deleted-"
"""Begins the name of what is being deleted, or was when its deletion was interrupted."""
_SIGNED = re.compile("-[0-9a-f]{12}$")


def run_name(run: Spec) -> str:
    return f"{run.slug}-{run.signature}"


def is_unit(folder: Path) -> bool:
    return folder.name.startswith(UNITS)


def units(root: Path) -> list[Path]:
    """All units in a folder of runs."""
    return [unit for run in folders(root) for unit in folders(run) if is_unit(unit)]


def is_work(folder: Path) -> bool:
    return folder.name.startswith(WORK)


def has_failed(work: Path) -> bool:
    return (work / FAILURE).exists()


def signature_of(folder: Path) -> str:
    """Of a run's folder that a runner named, or of a job's work folder."""
    return folder.name.rpartition("-")[2]


def copies(root: Path) -> list[Path]:
    """The copied runs of folders on servers."""
    return [run for server in folders(root / ALSO) for run in folders(server)]


def is_signed(run: Path) -> bool:
    """Whether a run's folder was named by a runner, and not by a person."""
    return _SIGNED.search(run.name) is not None


def folders(folder: Path) -> list[Path]:
    """Folders in a folder, by name, without hidden ones; none where it is not there."""
    if not folder.is_dir():
        return []
    return sorted(
        Path(entry.path)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and _is_folder(entry)
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
