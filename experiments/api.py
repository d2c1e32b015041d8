"""Matrices from Python: what `runner.py` itself calls, for notebooks and scripts.

    from experiments import load, make_plan, results, run

    matrix = load("experiments/digits.yaml", seeds=(0, 1))
    print(make_plan(matrix))
    run(matrix)
    results(matrix).cells

What the command line answers with an error and exit code 2 raises UserError, before anything is
written. Jobs run in processes of their own: neither a guard of `__main__` nor torch is needed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator

from classifier.basics.errors import UserError
from classifier.basics.place import Workers
from experiments.execution.engines import EngineName
from experiments.matrix import load as matrices_of
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.session.options import (
    Devices,
    NamedPath,
    Number,
    check_folder,
    checked,
    one_or_more,
    read,
)
from experiments.session.outcome import FailedJob, Outcome
from experiments.session.runner import Runner
from experiments.session.show_plan import Planned

if TYPE_CHECKING:
    from experiments.session.frames import MatrixResults

__all__ = [
    "FailedJob",
    "Matrix",
    "Outcome",
    "Planned",
    "UserError",
    "load",
    "make_plan",
    "results",
    "run",
]

Matrices = Matrix | Iterable[Matrix]


def load(
    path: str | Path,
    *,
    smoke: bool = False,
    set: Mapping[str, Any] | Iterable[str] = (),  # noqa: A002  (the option's name)
    seeds: Iterable[int] | None = None,
    data_root: str | Path | None = None,
) -> Matrix:
    """Read and check a matrix. Raises UserError with file, line and what to do.

    `smoke`: tiny real data and two epochs. `set`: settings in place of the file's, as
    `{"train.epochs": 1}` or `["train.epochs=1"]`. `seeds`: in place of the file's. A matrix that is
    changed so has a name, and with it a report, of its own. `data_root`: where data lie, in place
    of the matrix's own `data_root`, else of `data`.
    """
    named = {"path": path, "smoke": smoke, "set": set, "seeds": seeds, "data_root": data_root}
    options = read(_ToLoad, named)
    if options.data_root is not None:
        check_folder("data_root", options.data_root)
    overrides = Overrides(options.smoke, options.set, options.seeds)
    return matrices_of.load(options.path, overrides, options.data_root)


def _sets(given: object) -> object:
    """Each as `--set` has it."""
    return map(_as_text, given.items()) if isinstance(given, Mapping) else one_or_more(given)


def _as_text(setting: tuple[str, Any]) -> str:
    """As `--set` has it."""
    name, value = setting
    try:
        return f"{name}={json.dumps(value, ensure_ascii=False, allow_nan=False)}"
    except (TypeError, ValueError) as error:
        raise UserError(f"set {name}: {value!r} can't stand in a YAML file: {error}") from error


class _ToLoad(BaseModel):
    """The arguments of `load`."""

    path: NamedPath
    smoke: bool
    set: Annotated[tuple[str, ...], BeforeValidator(_sets)]
    seeds: tuple[Annotated[int, Number], ...] | None
    data_root: NamedPath | None


def make_plan(
    matrices: Matrices,
    *,
    runs: str | Path = "runs",
    devices: Devices = "auto",
    jobs_per_device: int | None = None,
    engine: EngineName = "local",
    also: str | Path | Iterable[str | Path] = (),
) -> Planned:
    """What `run` would do, and at what cost: the jobs of all matrices together, each once. Printed,
    or as the last line of a notebook's cell, it reads as `--plan` shows it. Writes nothing but, in
    `runs`, copies of what `also` names on a server.

    `devices`, `jobs_per_device`, `engine`, `also`: as `run` has them; where devices are
    named, the time until the end is estimated. Raises UserError.
    """
    named = {"runs": runs, "devices": devices, "engine": engine, "also": also}
    options = checked(**named, jobs_per_device=jobs_per_device)
    return Runner(_several(matrices), options).planned()


def run(
    matrices: Matrices,
    *,
    runs: str | Path = "runs",
    also: str | Path | Iterable[str | Path] = (),
    reports: str | Path = "reports",
    devices: Devices = "auto",
    jobs_per_device: int | None = None,
    workers: Workers = "auto",
    engine: EngineName = "local",
    address: str | None = None,
    retries: int = 1,
    fail_fast: bool = False,
    stall_minutes: float = 30.0,
    checkpoint_minutes: float = 10.0,
    keep_states: bool = False,
    images: bool = True,
    notify: str | None = None,
    tensorboard: str | Path | None = None,
    mlflow: str | None = None,
    trust: bool = False,
    progress: bool = True,
) -> Outcome:
    """Do what is not done yet, write the reports, and say what became of it.

    The arguments are the command line's options, `images=False` its `--no-images`: `python
    runner.py --help` explains them. `devices`: `auto` (all GPUs, else the CPU), `cpu`, or GPUs as
    `[0, 1]`. `also`: other runs folders, or `s3://BUCKET/runs`, that are only read.
    `progress`: show what runs, in a terminal or a notebook as a live view, else as lines.

    A job that fails raises nothing: it is in the outcome's `failed`, and costs only what needs it.
    Ctrl-C, or a kernel that is interrupted, has the running jobs keep their state and raises
    KeyboardInterrupt; the same call goes on from there. Raises UserError for bad input, before
    anything is written.
    """
    options = checked(
        runs=runs,
        also=also,
        reports=reports,
        devices=devices,
        jobs_per_device=jobs_per_device,
        workers=workers,
        engine=engine,
        address=address,
        retries=retries,
        fail_fast=fail_fast,
        stall_minutes=stall_minutes,
        checkpoint_minutes=checkpoint_minutes,
        keep_states=keep_states,
        images=images,
        notify=notify,
        tensorboard=tensorboard,
        mlflow=mlflow,
        trust=trust,
    )
    return Runner(_several(matrices), options).run(progress)


def results(
    matrix: Matrix,
    *,
    runs: str | Path = "runs",
    devices: Devices = "auto",
    also: str | Path | Iterable[str | Path] = (),
) -> MatrixResults:
    """What a store holds for a matrix, as pandas frames: cells, verdicts, records, histories and
    predictions. `devices`: the first is the one whose speeds are shown, where there are several's.
    `also`: other runs folders, or `s3://BUCKET/runs`, whose finished records are used too.

    Raises UserError where nothing of the matrix has run, or a record can't be read.
    """
    from experiments.session.frames import MatrixResults

    found = Runner(_several([matrix]), checked(runs=runs, devices=devices, also=also)).find()
    return MatrixResults(found.selections[0])


def _several(matrices: Matrices) -> Sequence[Matrix]:
    several = list(matrices) if isinstance(matrices, Iterable) else [matrices]
    if not all(isinstance(each, Matrix) for each in several):
        raise UserError('a matrix is expected, as load("experiments/ema.yaml") gives it')
    return [each for each in several if isinstance(each, Matrix)]
