"""What the commands do with a run's folder. The records are those of a matrix job."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError

from classifier.basics import interruptions
from classifier.basics.console import Counted, Epochs
from classifier.basics.errors import UserError
from classifier.basics.files import CHECKPOINTS, make_folder
from classifier.basics.machine import cores
from classifier.basics.place import Place, Workers
from classifier.basics.progress import Report
from classifier.basics.settings import Weights
from classifier.cli.train_flags import folder_of_paths, known_file, spec_of
from classifier.cli.trust import check_trusted
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, Precision
from classifier.config.tracks import RAW, track_of
from classifier.data import batches
from classifier.data.datasets import fingerprint_if_there
from classifier.data.prepare import prepare, prepare_other
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.inference import metrics_report
from classifier.job import Start, benchmark, evaluate, features_of, train
from classifier.models import checkpoint
from classifier.plugins.brought import SOURCES, bring
from classifier.plugins.load import use
from classifier.records import runs
from classifier.records.arrays import read_predictions
from classifier.records.kept import states_folder
from classifier.records.record import TrainRecord, evaluate_unit, train_unit
from classifier.training import states
from classifier.training.trainer import check_settings


def place(device: str, data_root: Path, workers: Workers = "auto") -> Place:
    """Where a command runs. Raises UserError for a device that is not there."""
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "0" if gpus else "cpu"
    if device != "cpu" and not (device.isdecimal() and int(device) < gpus):
        raise UserError(f"--device {device}: that is not auto, cpu or one of {gpus} GPU(s)")
    name = "cpu" if device == "cpu" else f"cuda:{device}"
    return Place(data_root, device=name, threads=cores(), workers=workers)


def train_run(options: argparse.Namespace, where: Place) -> int:
    """Train by the original's flags into `--save_path`. Gives the exit code."""
    teacher, by = _teacher(options.teacher_path) if options.kd else (None, None)
    spec, track = spec_of(options, by)
    run: Path = options.save_path
    listed = prepare(spec.data, where.data_root)
    check_labels(options.label_path, listed.classes)
    for unit in run.glob("train-*"):
        if runs.read_training(unit).signature != spec.signature:
            raise UserError(
                f"{run} holds a training with other settings; choose another --save_path"
            )
    if (run / train_unit(track.key) / runs.CHECKPOINT).exists():
        print(f"nothing to do: {run} is trained already")
        return 0
    if spec.amp is True and where.device == "cpu":
        print("amp is for CUDA: on this CPU the training runs in FP32", file=sys.stderr)
    remark = batches.remark(listed.counts()["train"], spec.batch_size)
    if remark and spec.draws_each_once:
        print(remark, file=sys.stderr)
    check_settings(spec, torch.device(where.device))
    work = run / runs.work_name(spec)
    make_folder(work)
    if not options.resume:
        if states.kept(work):
            print("the training begins anew; --resume goes on from its kept state", file=sys.stderr)
        states.forget(work)
    elif not states.kept(work) and not states.copy(states_folder(run.parent, spec), work):
        print("no state of this training is kept, so it begins anew", file=sys.stderr)
    epochs = Epochs()
    try:
        with interruptions.counted(most=1) as pressed:
            watched = replace(where, report=epochs, stop=lambda: pressed() > 0)
            weights = Path(spec.weights.file) if spec.weights else None
            (outcome,) = train(spec, work, watched, tracks=(track,), start=Start(teacher, weights))
    except (UserError, OSError):
        _remove_empty(work)
        raise
    finally:
        epochs.close()
    runs.publish(outcome.record, outcome.cost, work, run)
    shutil.rmtree(work)
    record = outcome.record
    print(f"{run}: best val accuracy {record.accuracy:.5f} in epoch {record.best_epoch + 1}")
    return 0


def _teacher(path: Path | None) -> tuple[Path | None, str | Weights | None]:
    """The checkpoint of a teacher, and what a spec knows it by: a file by its content, a run by
    its training."""
    if path is None:
        return None, None
    if path.is_file():
        return path, known_file(path, CHECKPOINTS)
    file = checkpoint_of(path, None)
    training = runs.read_training(file.parent)
    if training.track == RAW.key:
        return file, training.signature
    return file, known_file(file, CHECKPOINTS)  # an average, which a training does not tell apart


def _remove_empty(work: Path) -> None:
    """A training that could not start leaves nothing; what an earlier one saved stays."""
    for folder in (work, work.parent):
        if not list(folder.iterdir()):
            folder.rmdir()


def check_labels(file: Path | None, classes: tuple[str, ...]) -> None:
    """A label file must name the classes as the folders do; an absent one is not needed."""
    if file is None or not file.exists():
        return
    try:
        names = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error
    if tuple(name.strip() for name in names if name.strip()) != classes:
        raise UserError(f"{file} does not name the classes of the data, in their order")


def checkpoint_of(run: Path, track: str | None) -> Path:
    """The best weights of a run's track, by default of its only one, or of the raw one.

    Raises UserError, naming the tracks that there are, or saying that it is no run's folder.
    """
    if not run.is_dir():
        raise UserError(
            f"{run} is {'a file' if run.exists() else 'not there'}; name a run's folder"
        )
    files = {path.parent.name[6:]: path for path in sorted(run.glob(f"train-*/{runs.CHECKPOINT}"))}
    if not files:
        raise UserError(f"{run} holds no training's checkpoint: it is no run's folder")
    wanted = track or ("raw" if len(files) != 1 else next(iter(files)))
    if wanted not in files:
        there = ", ".join(files)
        raise UserError(f"{run} has no checkpoint of a track '{wanted}'; its tracks are {there}")
    return runs.checkpoint_of(files[wanted].parent)[1]


def use_kept_code(file: Path, trust: bool) -> None:
    """Let the user's code run that a checkpoint was trained with: it is kept beside it. Raises
    UserError where it is not trusted."""
    if not (file.parent / runs.RECORD).is_file():
        return
    used = runs.read_training(file.parent).spec.plugins
    folder = file.parent / SOURCES
    if used and folder.is_dir():
        brought = bring(folder, dict.fromkeys(plugin.file for plugin in used))
        check_trusted([brought], trust)
        use([brought])


def other_data(options: argparse.Namespace, file: Path) -> DataSpec | None:
    """What `--test_path` names, if that is not the test part of the data that a checkpoint's run
    was trained on: a folder of class folders. Raises UserError where it can't be meant."""
    path: Path | None = options.test_path
    if path is None or _is_own_test(file.parent, path):
        return None
    for flag in ("--data-root", "--train_path", "--val_path"):
        if getattr(options, flag.strip("-").replace("-", "_")) is not None:
            raise UserError(f"--test_path {path} is other data than the run's; leave out {flag}")
    if options.task != "test":
        raise UserError(f"--test_path {path} is other data than the run's: it is for --task test")
    if not path.is_dir():
        raise UserError(f"--test_path {path} is {'no folder' if path.exists() else 'not there'}")
    try:
        return DataSpec(folder=path.absolute().name)
    except ValidationError as error:
        raise UserError(f"--test_path {path}: that is no name of a folder") from error


def _is_own_test(unit: Path, path: Path) -> bool:
    """Whether a path is test/ of the data that a training's record has; where it does not say at
    which place these lay, as far as names tell."""
    data, cost, at = runs.read_training(unit).spec.data, runs.read_cost(unit), path.absolute()
    if data.split != "given" or data.folder is None or data.labels is not None:
        return False
    if cost is not None and cost.data_root and Path(cost.data_root).is_dir():
        return at.resolve() == (Path(cost.data_root) / data.folder / "test").resolve()
    return (data.folder, "test") == (at.parent.name, at.name)


def data_root_of(options: argparse.Namespace, file: Path) -> Path:
    """Where the data of a checkpoint's run lie: as the flags say, else where it was trained on,
    else `data`. Raises UserError for paths of other data."""
    if options.data_root is not None:
        return Path(options.data_root)
    if options.train_path or options.val_path or options.test_path:
        data, folder = runs.read_training(file.parent).spec.data, folder_of_paths(options)
        if (data.folder, data.split) != (folder.name, "given"):
            raise UserError(f"{folder} is not the '{data.title}' that the run was trained on")
        return folder.parent
    cost = runs.read_cost(file.parent)
    root = Path(cost.data_root) if cost is not None and cost.data_root else Path("data")
    return root if root.is_dir() else Path("data")


def evaluate_run(
    file: Path,
    part: Part,
    precision: Precision,
    tta: bool,
    where: Place,
    *,
    visual: bool,
    tsne: bool,
    data: DataSpec | None = None,
) -> Path:
    """Evaluate a run's checkpoint, unless it is done, and write its metrics into the run's folder.
    `data`: other data than the run's.

    Gives the folder that they are in.
    """
    training, run = runs.read_training(file.parent), file.parent.parent
    spec = EvaluateSpec.of(
        training.spec, track_of(training.track), split=part, precision=precision, tta=tta, data=data
    )
    if data is not None:
        classes = checkpoint.read_meta(file).classes
        prepare_other(data, where.data_root, classes, training.spec.data)
    unit = run / evaluate_unit(spec)
    if not _is_done(unit, spec, training, where.data_root):
        _evaluate(spec, file, where, training.data.fingerprint)
    kept = read_predictions(unit / runs.PREDICTIONS)
    features = None
    if tsne:
        counted = replace(where, report=_counted(f"features of {part}"))
        features = features_of(spec, counted, file).numpy()
    folder = run / f"metrics-{spec.slug}"
    metrics_report.write(
        folder,
        kept.logits,
        kept.labels,
        [str(path) for path in kept.paths],
        checkpoint.read_meta(file).classes,
        visual=visual,
        features=features,
    )
    return folder


def _is_done(unit: Path, spec: EvaluateSpec, training: TrainRecord, root: Path) -> bool:
    """Whether this checkpoint is evaluated, on these data if they are there to be looked at."""
    if not unit.exists():
        return False
    record = runs.read_evaluation(unit)
    now = fingerprint_if_there(spec.data or training.spec.data, root)
    same_data = now in (None, record.data.fingerprint)
    return same_data and record.checkpoint == training.checkpoint


def _evaluate(spec: EvaluateSpec, file: Path, where: Place, trained_on: str) -> None:
    run = file.parent.parent
    counted = replace(where, report=_counted(f"evaluating {spec.split}"))
    with tempfile.TemporaryDirectory(dir=run, prefix=".evaluate-") as work:
        outcome = evaluate(spec, Path(work), counted, file, trained_on)
        runs.publish(outcome.record, outcome.cost, Path(work), run)


def _counted(what: str) -> Report:
    counted = Counted(what)
    return lambda progress: counted(progress.done, progress.total)


def time_run(file: Path, precision: Precision, batch_size: int, where: Place) -> int:
    """Print the speed of a run's model, as the changelog counts it."""
    training = runs.read_training(file.parent)
    spec = BenchmarkSpec(
        model=training.spec.model,
        own_model=training.spec.own_model,
        classes=training.data.classes,
        image_size=training.spec.eval_side,
        batch_size=batch_size,
        precision=precision,
    )
    record = benchmark(spec, replace(where, report=_counted("timing"))).record
    print(
        f"{spec.model} {precision} FPS(batch_size={spec.batch_size}): {record.fps:.2f} batches/s, "
        f"{record.images_per_second:.1f} images/s on {record.environment.device}"
    )
    return 0
