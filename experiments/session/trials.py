"""Which jobs stand for the code of the user's in a trial: each object, with all its settings.

What was tried here and passed is not tried again before a run, only with `--try`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.machine import versions
from classifier.basics.users import Plugin
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, Spec, TrainSpec
from classifier.data.sources.made import UserDataset
from experiments.plan.jobs import Job


def plugins_of(spec: Spec) -> list[Plugin]:
    """All that is the user's in what a job does, but for what made its data."""
    match spec:
        case BenchmarkSpec():
            return [spec.own_model] if spec.own_model else []
        case MetricSpec():
            return [spec.metric]
    return spec.trained.plugins if spec.trained else []


def datasets_of(spec: Spec) -> list[UserDataset]:
    """The user's data sets that a job looks at."""
    data = [spec.trained.data] if spec.trained else []
    data += [spec.data] if isinstance(spec, EvaluateSpec) and spec.data else []
    return [each.own for each in data if each.own is not None]


def unmade(jobs: Iterable[Job], data_root: Path) -> list[UserDataset]:
    """The user's data sets that are to be made before these jobs."""
    used = dict.fromkeys(own for job in jobs for own in datasets_of(job.spec))
    return [own for own in used if not (data_root / own.folder).is_dir()]


def named(plugin: Plugin) -> str:
    return f"{plugin.kind} '{plugin.name}' ({plugin.place}) {json.dumps(plugin.settings)}"


def trials(jobs: Iterable[Job], again: bool = False) -> list[TrainSpec | MetricSpec]:
    """Jobs in which each object occurs. `again`: also of what has passed here before."""
    found: list[TrainSpec | MetricSpec] = []
    covered: set[tuple[str, str]] = set()
    for spec in (job.spec for job in jobs):
        if not isinstance(spec, TrainSpec | MetricSpec):
            continue
        new = set(map(_tried_as, plugins_of(spec))) - covered
        if new and (again or not _kept(spec).exists()):
            found.append(spec)
        covered |= new
    return found


def _tried_as(plugin: Plugin) -> tuple[str, str]:
    """Two matrices may each have an own.py, with objects of one name in one line."""
    return plugin.kind, json.dumps(plugin.signed(), sort_keys=True)


def keep(passed: Iterable[TrainSpec | MetricSpec]) -> None:
    for spec in passed:
        write_atomically(_kept(spec), b"")


def _kept(spec: TrainSpec | MetricSpec) -> Path:
    """A trial's result holds for the training but for its seed, or for the metric on the same data,
    and with these versions."""
    if isinstance(spec, MetricSpec):
        data = spec.evaluation.training.data.signed()
        of = json.dumps([spec.metric.signed(), data], sort_keys=True)
    else:
        of = spec.model_copy(update={"seed": 0}).signature
    about = of, sorted(versions().items())
    return cache_folder("tried") / hashlib.sha256(repr(about).encode()).hexdigest()
