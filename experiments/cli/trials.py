"""Which trainings stand for the code of the user's in a trial: each object, with all its settings.

What was tried here and passed is not tried again before a run, only with `--try`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.machine import versions
from classifier.config.spec import BenchmarkSpec, Spec, TrainSpec
from classifier.plugins.spec import Plugin
from experiments.plan.jobs import Job


def plugins_of(spec: Spec) -> list[Plugin]:
    """All that is the user's in what a job does."""
    if isinstance(spec, BenchmarkSpec):
        return [spec.own_model] if spec.own_model else []
    return spec.trained.plugins if spec.trained else []


def named(plugin: Plugin) -> str:
    return f"{plugin.kind} '{plugin.name}' ({plugin.place}) {json.dumps(plugin.settings)}"


def trials(jobs: Iterable[Job], again: bool = False) -> list[TrainSpec]:
    """Trainings in which each object occurs. `again`: also of what has passed here before."""
    found: list[TrainSpec] = []
    covered: set[str] = set()
    for spec in (job.spec for job in jobs if isinstance(job.spec, TrainSpec)):
        new = set(map(named, spec.plugins)) - covered
        if new and (again or not _kept(spec).exists()):
            found.append(spec)
        covered |= new
    return found


def keep(passed: Iterable[TrainSpec]) -> None:
    for spec in passed:
        write_atomically(_kept(spec), b"")


def _kept(spec: TrainSpec) -> Path:
    """A trial's result holds for the training but for its seed, with these versions."""
    about = spec.model_copy(update={"seed": 0}).signature, sorted(versions().items())
    return cache_folder("tried") / hashlib.sha256(repr(about).encode()).hexdigest()
