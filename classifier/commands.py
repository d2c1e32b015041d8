"""What the commands do with a run's folder. The records are those of a matrix job."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from classifier import catalogue, checkpoint, interruptions, metrics_report, runs, states
from classifier.console import Counted, Epochs
from classifier.data.datasets import listing
from classifier.data.split import Part
from classifier.errors import UserError
from classifier.job import Place, execute
from classifier.machine import cores
from classifier.progress import Progress
from classifier.record import BenchmarkRecord, TrainRecord, evaluate_unit, train_unit
from classifier.spec import (
    BenchmarkSpec,
    Ema,
    EvaluateSpec,
    Precision,
    TrainSpec,
    track_key,
)
from classifier.training_options import spec_of


def place(device: str, data_root: Path, workers: int = 0) -> Place:
    """Where a command runs. Raises UserError for a device that is not there."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "0" if gpus else "cpu"
    if device != "cpu" and not (device.isdecimal() and int(device) < gpus):
        raise UserError(f"--device {device}: that is not auto, cpu or one of {gpus} GPU(s)")
    name = "cpu" if device == "cpu" else f"cuda:{device}"
    return Place(data_root, name, threads=cores(), workers=workers)


def train_run(options: argparse.Namespace, where: Place) -> int:
    """Train by the original's flags into `--save_path`. Gives the exit code."""
    teacher = None
    if options.kd and options.teacher_path is not None:
        teacher = checkpoint_of(options.teacher_path, "raw")
    by = None if teacher is None else _training(teacher.parent).signature
    spec, ema = spec_of(options, by)
    run: Path = options.save_path
    catalogue.check_model(spec.model)
    _check_labels(options.label_path, spec, where.data_root)
    for unit in run.glob("train-*"):
        if _training(unit).signature != spec.signature:
            raise UserError(
                f"{run} holds a training with other settings; choose another --save_path"
            )
    if (run / train_unit(track_key(ema)) / runs.CHECKPOINT).exists():
        print(f"nothing to do: {run} is trained already")
        return 0
    work = run / f"work-train-{spec.signature}"
    work.mkdir(parents=True, exist_ok=True)
    if not options.resume:
        states.forget(work)
    with interruptions.counted(most=1) as pressed:
        stoppable = replace(where, stop=lambda: pressed() > 0)
        (outcome,) = execute(spec, work, stoppable, Epochs(), emas=(ema,), checkpoint_file=teacher)
    runs.publish(outcome.record, outcome.cost, work, run)
    shutil.rmtree(work)
    record = outcome.record
    assert isinstance(record, TrainRecord)
    print(f"{run}: best val accuracy {record.accuracy:.5f} in epoch {record.best_epoch + 1}")
    return 0


def _check_labels(file: Path | None, spec: TrainSpec, data_root: Path) -> None:
    """A label file must name the classes as the folders do; an absent one is not needed."""
    classes = listing(spec.data, data_root).classes
    if file is None or not file.exists():
        return
    names = tuple(file.read_text(encoding="utf-8").split("\n"))
    if tuple(name.strip() for name in names if name.strip()) != classes:
        raise UserError(f"{file} does not name the classes of the data, in their order")


def checkpoint_of(run: Path, track: str) -> Path:
    """The best weights of a run's track. Raises UserError, naming the tracks that there are."""
    file = run / train_unit(track) / runs.CHECKPOINT
    if not file.exists():
        tracks = [path.parent.name[6:] for path in sorted(run.glob(f"train-*/{runs.CHECKPOINT}"))]
        there = f"its tracks are {', '.join(tracks)}" if tracks else "it is no run's folder"
        raise UserError(f"{run} has no checkpoint of a track '{track}'; {there}")
    return file


def evaluate_run(
    run: Path,
    track: str,
    split: Part,
    precision: Precision,
    tta: bool,
    where: Place,
    *,
    visual: bool,
    tsne: bool,
) -> Path:
    """Evaluate a run, unless it is done, and write its metrics. The folder that they are in."""
    file = checkpoint_of(run, track)
    training = _training(file.parent)
    spec = EvaluateSpec(
        training=training.signature, ema=_ema(track), split=split, precision=precision, tta=tta
    )
    unit = run / evaluate_unit(spec)
    if not unit.exists():
        work = Path(tempfile.mkdtemp(dir=run, prefix=".evaluate-"))
        try:
            counted = Counted(f"evaluating {split}")
            (outcome,) = execute(
                spec,
                work,
                where,
                lambda progress: counted(progress.done, progress.total),
                training=training,
                checkpoint_file=file,
            )
            runs.publish(outcome.record, outcome.cost, work, run)
        finally:
            shutil.rmtree(work)
    kept = np.load(unit / "predictions.npz")
    folder = run / f"metrics-{spec.slug}"
    meta = checkpoint.read_meta(file)
    paths = [str(path) for path in kept["paths"]]
    metrics_report.write(
        folder, kept["logits"], kept["labels"], paths, meta.classes, visual=visual, tsne=tsne
    )
    return folder


def time_run(run: Path, track: str, precision: Precision, where: Place) -> int:
    """Print the speed of a run's model in batches of 64, as the changelog counts it."""
    training = _training(checkpoint_of(run, track).parent)
    spec = BenchmarkSpec(
        model=training.spec.model,
        classes=training.data.classes,
        image_size=training.spec.image_size,
        precision=precision,
    )
    counted = Counted("timing")

    def shown(progress: Progress) -> None:
        counted(progress.done, progress.total)

    (outcome,) = execute(spec, run, where, shown)
    record = outcome.record
    assert isinstance(record, BenchmarkRecord)
    print(
        f"{spec.model} {precision} FPS(batch_size={spec.batch_size}): {record.fps:.2f} batches/s, "
        f"{record.images_per_second:.1f} images/s on {record.environment.device}"
    )
    return 0


def _training(unit: Path) -> TrainRecord:
    record = runs.read_record(unit)
    assert isinstance(record, TrainRecord)
    return record


def _ema(track: str) -> Ema | None:
    """The average of that name. Raises UserError where it is no name of one."""
    if track == "raw":
        return None
    parts = track.split("-")
    try:
        ema = Ema(decay=float(parts[1]), tau=float(parts[2]))
    except (IndexError, ValueError) as error:
        raise UserError(f"'{track}' is no track: raw, or as ema-0.9999-2000") from error
    assert track_key(ema) == track
    return ema
