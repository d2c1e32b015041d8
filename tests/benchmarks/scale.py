"""Ten thousand jobs: planned, run through the local engine's real processes, reported.

python -m tests.benchmarks scale [COUNT]
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from classifier.basics import machine
from classifier.basics.machine import Platform
from classifier.basics.place import Place
from classifier.config.tracks import RAW
from classifier.records.record import Cost, EvaluateRecord, TrainRecord
from classifier.records.runs import PREDICTIONS
from experiments.execution import scheduler
from experiments.execution.claims import Claims
from experiments.execution.engines import Engine, EngineOptions, Perform
from experiments.execution.engines.child import probe
from experiments.execution.engines.local import LocalEngine
from experiments.matrix.load import load
from experiments.matrix.model import Request
from experiments.plan.judge import Judge
from experiments.plan.plan import Plan
from experiments.store.store import Store
from reports.blocks import Grid
from reports.page.markdown import grid
from tests.experiments import fakes
from tests.records import record_of

ROOT = Path(__file__).parents[2]
COLUMNS = [("val", "val", "fp32"), ("test", "test", "fp32"), ("half", "test", "fp16")]


COMPARED, IMAGES, CLASSES = 250, 357, 10


def matrix_file(folder: Path, count: int) -> Path:
    """A training and three evaluations of it for each of `count` / 4 learning rates. Beside it
    bare.yaml, with one more table of 250 of the rates, and verdicts.yaml, where that table compares
    half precision with full."""
    rates = ", ".join(f"{1e-4 + index * 1e-7:.8f}" for index in range(count // 4))
    columns = "".join(
        f"      - {{header: {header}, split: {split}, precision: {precision}}}\n"
        for header, split, precision in COLUMNS
    )
    file = folder / "large.yaml"
    file.write_text(
        f"title: Large\ndata: {{name: digits}}\ntrain: {{model: ghostnet}}\n"
        f"matrix:\n  lr: [{rates}]\ntables:\n  large:\n    rows: lr\n    columns:\n{columns}"
    )
    rows = "".join(
        f"      - {{name: '{index}', where: {{lr: {rate}}}}}\n"
        for index, rate in enumerate(rates.split(", ")[:COMPARED])
    )
    table = file.read_text() + f"  compared:\n    rows:\n{rows}    columns:\n{columns}"
    against = table.replace("precision: fp16}", "precision: fp16, against: test}")
    first, _, last = against.rpartition("against: test")  # in the new table only
    (folder / "bare.yaml").write_text(table)
    (folder / "verdicts.yaml").write_text(
        first.replace(", against: test", "") + "against: test" + last
    )
    return file


def predict(unit: Path, accuracy: float) -> None:
    """Predictions of so many right."""
    labels = np.arange(IMAGES) % CLASSES
    right = np.arange(IMAGES) < accuracy * IMAGES
    logits = np.eye(CLASSES, dtype=np.float32)[np.where(right, labels, (labels + 1) % CLASSES)]
    paths = np.array([f"{label}/{image:04}.png" for image, label in enumerate(labels)])
    np.savez_compressed(unit / PREDICTIONS, logits=logits, labels=labels, paths=paths)


def fill(store: Path, file: Path) -> int:
    """A record, with a history of a hundred epochs, for all that the matrix asks for."""
    contents = load(file).data[0].source.fingerprint(store)
    done: set[Path] = set()
    predicted: set[Path] = set()
    for request in load(file).requests():
        assert request.training is not None
        for needed in (Request(request.training, request.track), request):
            record = record_of(needed, 0.5, contents)
            if isinstance(record, EvaluateRecord):
                seen = round(0.8 * IMAGES) / IMAGES
                record = record.model_copy(update={"images": IMAGES, "accuracy": seen})
            unit = store / f"{request.training.slug}-{request.training.signature}" / record.unit
            if unit in done:
                continue
            done.add(unit)
            unit.mkdir(parents=True)
            if isinstance(record, TrainRecord):
                row = record.history[0]
                history = tuple(row.model_copy(update={"epoch": epoch}) for epoch in range(100))
                record = record.model_copy(update={"history": history})
                (unit / "best.safetensors").touch()
            if isinstance(record, EvaluateRecord) and len(predicted) < 3 * COMPARED:
                predicted.add(unit)
                predict(unit, record.accuracy)
            (unit / "record.json").write_text(record.model_dump_json(indent=1))
            (unit / "cost.json").write_text(Cost(seconds=1.0).model_dump_json())
    return len(done)


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Of a whole process: seconds, and MiB at its peak."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    taken = time.perf_counter() - start
    return taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def no_ops(
    folder: Path, count: int, engine: Callable[[EngineOptions, Perform], Engine] = LocalEngine
) -> float:
    """Seconds for `count` jobs that do nothing, each in a process of its own, on two slots."""
    store = Store(folder)
    here = Platform(machine.cpu_device(), machine.cores(), machine.versions()["torch"])
    jobs = [replace(job, tracks=(RAW,)) for job in fakes.jobs(count)]
    probe()
    options = EngineOptions(Place(folder, runs=folder), devices=("cpu",), jobs_per_device=2)
    start = time.perf_counter()
    with Claims(store, Judge(here, folder)) as claims:
        made = engine(options, fakes.nothing)
        with contextlib.redirect_stdout(io.StringIO()):
            outcome = scheduler.run(Plan(tuple(jobs)), made, fakes.Watcher(), claims)
    assert not outcome.lost and not outcome.left
    return time.perf_counter() - start


def main(count: int = 10_000) -> None:
    runner = [sys.executable, str(ROOT / "runner.py"), "large.yaml"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        file = matrix_file(folder, count)
        planned, _ = seconds([*runner, "--plan"], folder)
        records = fill(folder / "runs", file)
        reported, peak = seconds([*runner, "--report"], folder)
        kept, _ = seconds([*runner, "--report"], folder)
        (bare, bare_again), (judged, judged_again) = (
            [seconds([*runner[:-1], f"{name}.yaml", "--report"], folder)[0] for _ in range(2)]
            for name in ("bare", "verdicts")
        )
        (folder / "jobs").mkdir()
        ran = no_ops(folder / "jobs", count)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        (f"planning {count:,} jobs, the whole command", f"{planned:.1f} s"),
        (f"a report over {records:,} records, the whole command", f"{reported:.1f} s"),
        ("its memory at the peak", f"{peak:.0f} MiB"),
        ("the report once more, its plots kept", f"{kept:.1f} s"),
        (f"verdicts on {2 * COMPARED} of them, added to it", f"{judged - bare:.1f} s"),
        ("added the second time", f"{judged_again - bare_again:.1f} s"),
        (f"{count:,} jobs that do nothing, a process each, two at a time", f"{ran:.0f} s"),
        ("the same, a job", f"{ran / count * 1000:.0f} ms"),
        ("the runner's memory at the peak", f"{own:.0f} MiB"),
    ]
    print(grid(Grid(("", "seen"), rows)), end="")
