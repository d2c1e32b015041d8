"""One job, the same from a process of the runner, from a test and from the command line."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from classifier.basics.errors import UserError
from classifier.basics.files import digest, sha256
from classifier.basics.machine import commit, cpu_device, is_device, this_machine, versions
from classifier.basics.progress import Progress, Report, silent
from classifier.config.spec import (
    BenchmarkSpec,
    Ema,
    EvaluateSpec,
    Precision,
    Spec,
    TrainSpec,
    Weights,
)
from classifier.data.cache import Pixels, pixels
from classifier.data.datasets import Listing, fingerprint, listing
from classifier.data.loader import EvalLoader, part_pixels
from classifier.data.split import PARTS, Part
from classifier.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Normalize
from classifier.inference.benchmark import measure
from classifier.inference.evaluate import (
    outputs_of,
    prepared,
    save_predictions,
    scores,
    ten_crop_logits,
    ten_crop_side,
)
from classifier.models import checkpoint
from classifier.models.network import Network
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Data,
    Environment,
    EvaluateRecord,
    Record,
    TrainRecord,
    train_unit,
)
from classifier.training import losses, states
from classifier.training.trainer import Trainer, start_network, train_loader, write_checkpoint

_ALLOCATION = "DefaultCPUAllocator: can't allocate memory"
"""What torch says where the machine's memory is at its end."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Place:
    """Where and how a job runs. Nothing here changes a number, except that device and threads may
    change its last bits: they stand in the record."""

    data_root: Path
    device: str = "cpu"
    """A torch device: `cpu`, `cuda:0`."""
    threads: int = 1
    workers: int = 0
    checkpoint_minutes: float = 10.0
    """How often a training's full state is kept inside an epoch."""
    stop: Callable[[], bool] = _never
    """Whether a training shall keep its state and stop."""


@dataclass(frozen=True)
class Outcome:
    """A record with its cost. Its other files lie in `out`/`record.unit`."""

    record: Record
    cost: Cost


def execute(
    spec: Spec,
    out: Path,
    place: Place,
    report: Report = silent,
    *,
    states_in: Path | None = None,
    emas: tuple[Ema | None, ...] = (None,),
    training: TrainRecord | None = None,
    checkpoint_file: Path | None = None,
    weights_file: Path | None = None,
) -> tuple[Outcome, ...]:
    """Do one job, and leave its files in `out`.

    A training keeps its full state in the folder `states_in` (default: `out`), and goes on from
    what an interrupted attempt left there; asked to stop, it raises StoppedError. It takes the
    tracks to carry (`emas`, None is the raw one) and gives an outcome for
    each; one with `distill` takes its teacher's checkpoint, one with `weights` their file. An
    evaluation takes the record and the checkpoint of the training that it evaluates.
    Raises UserError for what the user can mend.
    """
    torch.set_num_threads(place.threads)
    device = torch.device(place.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with _memory_explained(device):
        if isinstance(spec, TrainSpec):
            kept = states_in or out
            files = (checkpoint_file, weights_file)
            return _train(spec, out, kept, place, device, report, emas, *files)
        if isinstance(spec, EvaluateSpec):
            assert training is not None and checkpoint_file is not None
            return (_evaluate(spec, out, place, device, report, training, checkpoint_file),)
        assert isinstance(spec, BenchmarkSpec)
        return (_benchmark(spec, place, device, report),)


@contextmanager
def _memory_explained(device: torch.device) -> Iterator[None]:
    """Out of memory, of the device's or the machine's, with the peak and what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_device = isinstance(error, torch.OutOfMemoryError)
        if not on_device and not isinstance(error, MemoryError) and _ALLOCATION not in str(error):
            raise
        where = torch.cuda.get_device_name(device) if on_device else "this machine"
        raise UserError(
            f"out of memory on {where}, at a peak of {_peak_memory(device):,} MiB. Set "
            "'micro_batch' below the batch_size (for all arms that are compared: batch norm sees "
            "the parts), a smaller image_size, or fewer jobs at a time with --jobs-per-device"
        ) from error


def _train(
    spec: TrainSpec,
    out: Path,
    states_in: Path,
    place: Place,
    device: torch.device,
    report: Report,
    emas: tuple[Ema | None, ...],
    teacher_file: Path | None,
    weights_file: Path | None,
) -> tuple[Outcome, ...]:
    _check_content(spec.weights, weights_file)
    if spec.distill is not None and isinstance(spec.distill.teacher, Weights):
        _check_content(spec.distill.teacher, teacher_file)
    _set_determinism(spec.deterministic, device)
    listed, data = _open_data(spec, place)
    decoding = _counted(report, "decoding")
    parts = {
        part: part_pixels(
            spec.data, place.data_root, listed, part, spec.image_size, data.fingerprint, decoding
        )
        for part in PARTS  # test too, so that a bad image is found before the training
    }
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if spec.normalize == "dataset":
        mean, std = parts["train"].mean_std()
    trainer = Trainer(
        spec,
        emas,
        train_loader(spec, parts["train"], listed, place.workers),
        EvalLoader(parts["val"], listed, "val", spec.image_size, spec.batch_size),
        Normalize(mean, std, device),
        data.classes,
        device,
        _teacher(teacher_file, listed.classes),
        weights_file,
    )
    precision = "fp16 autocast" if trainer.amp else _full_precision(device)
    environment = _environment(place, device, precision)
    states_in.mkdir(parents=True, exist_ok=True)  # only now: the user's mistake writes nothing
    moved = _run(trainer, report, states_in, place, data.fingerprint, environment)
    meta = checkpoint.Meta(spec.model, listed.classes, spec.image_size, mean, std)
    seconds = trainer.seconds
    cost = Cost(
        seconds=round(seconds, 3),
        images_per_second=round(data.train * trainer.epoch / seconds, 1),
        peak_memory_mib=_peak_memory(device),
        data_root=str(place.data_root.resolve()),
    )
    outcomes = []
    for track in trainer.tracks:
        best = track.history[track.best_epoch]
        weights = write_checkpoint(track, out / train_unit(track.key), meta)
        record = TrainRecord(
            signature=spec.signature,
            spec=spec,
            environment=environment,
            data=data,
            track=track.key,
            accuracy=best.val_accuracy,
            mpa=best.val_mpa,
            best_epoch=track.best_epoch,
            stopped_early=track.stopped,
            checkpoint=digest(weights),
            moved=moved,
            rdrop_passes=trainer.step.passes if spec.rdrop else None,
            history=tuple(track.history),
        )
        outcomes.append(Outcome(record, cost))
    return tuple(outcomes)


def check_start(
    spec: TrainSpec, data_root: Path, teacher_file: Path | None, weights_file: Path | None
) -> None:
    """Have at hand what a training starts from, before it does: its pretrained weights are
    fetched, its files are tried. Raises UserError."""
    classes = listing(spec.data, data_root).classes
    _teacher(teacher_file, classes)
    start_network(spec, len(classes), weights_file)


def _check_content(known: Weights | None, file: Path | None) -> None:
    """A file is known by what was in it when the job was planned."""
    if known is not None:
        assert file is not None
        if not file.is_file() or sha256(file) != known.sha256:
            raise UserError(f"{file} has changed since this job was planned; run it again")


def _teacher(file: Path | None, classes: tuple[str, ...]) -> tuple[Network, str] | None:
    """The best of a teacher's training. It must know the student's classes, in their order."""
    if file is None:
        return None
    network, meta = checkpoint.load(file)
    if meta.classes != classes:
        raise UserError(f"the teacher {file} was trained on other classes than the student")
    return network, meta.model


def _run(
    trainer: Trainer,
    report: Report,
    states_in: Path,
    place: Place,
    data: str,
    environment: Environment,
) -> bool:
    """Train to the end, from the state kept in `states_in` if it is of these data and tracks.

    True if an earlier part of it ran with another device (or instruction set), number of threads
    or version.
    """
    here = {
        "device": environment.device,
        "threads": environment.threads,
        "versions": environment.versions,
    }
    about = {"data": data, "here": here, "moved": False}
    state = states.load(states_in)
    if state is not None and state["data"] == data and trainer.restore(state["trainer"]):
        before = state["here"]
        if is_device(before["device"], environment.device):
            before = {**before, "device": environment.device}
        about["moved"] = state["moved"] or before != here
        where = f"epoch {trainer.epoch + 1}, step {trainer.step_in_epoch + 1}"
        print(f"the training goes on from its kept state, at {where}", file=sys.stderr)
    keep = states.Keeper(states_in, about, place.checkpoint_minutes, place.stop)
    try:
        trainer.run(report, keep)
    except RuntimeError as error:
        if "does not have a deterministic implementation" in str(error):
            raise UserError(
                f"{trainer.spec.model} has an operation that can't repeat exactly on this device: "
                f"set 'deterministic: false' ({error})"
            ) from error
        raise
    return bool(about["moved"])


def _evaluate(
    spec: EvaluateSpec,
    out: Path,
    place: Place,
    device: torch.device,
    report: Report,
    training: TrainRecord,
    checkpoint_file: Path,
) -> Outcome:
    start = time.monotonic()
    trained = training.spec
    _set_determinism(trained.deterministic, device)
    listed, data = _open_data(trained, place)
    size = trained.image_size
    side = ten_crop_side(size) if spec.tta else size
    images, loader = _part(trained, spec.split, side, listed, data, place, report)
    network, meta, dtype = prepared(checkpoint_file, spec.precision, device)
    normalize = Normalize(meta.mean, meta.std, device)
    progress = _counted(report, f"evaluating {spec.split}")
    if spec.tta:
        logits = ten_crop_logits(
            network,
            images,
            size,
            trained.batch_size,
            normalize,
            device,
            dtype=dtype,
            progress=progress,
        )
    else:
        logits = outputs_of(network, loader, normalize, device, dtype=dtype, progress=progress)
    found = scores(logits, loader.labels, losses.task_loss(trained.loss))
    precision = "fp16" if spec.precision == "fp16" else _full_precision(device)
    record = EvaluateRecord(
        signature=spec.signature,
        spec=spec,
        training=trained,
        environment=_environment(place, device, precision),
        data=data,
        checkpoint=digest(checkpoint_file),
        images=len(loader),
        accuracy=found.accuracy,
        mpa=found.mpa,
        loss=found.loss,
    )
    (out / record.unit).mkdir(parents=True, exist_ok=True)
    save_predictions(out / record.unit / "predictions.npz", logits, loader)
    seconds = time.monotonic() - start
    return Outcome(
        record,
        Cost(
            seconds=round(seconds, 3),
            images_per_second=round(len(loader) / seconds, 1),
            peak_memory_mib=_peak_memory(device),
        ),
    )


def features_of(
    training: TrainRecord,
    checkpoint_file: Path,
    part: Part,
    precision: Precision,
    place: Place,
    report: Report = silent,
) -> Tensor:
    """What the head sees of a part's images, centre-cropped: FP32 (N, F) in the listing's order."""
    torch.set_num_threads(place.threads)
    device = torch.device(place.device)
    trained = training.spec
    _set_determinism(trained.deterministic, device)
    listed, data = _open_data(trained, place)
    _, loader = _part(trained, part, trained.image_size, listed, data, place, report)
    network, meta, dtype = prepared(checkpoint_file, precision, device)
    normalize = Normalize(meta.mean, meta.std, device)
    progress = _counted(report, f"features of {part}")
    with _memory_explained(device):
        return outputs_of(network.trunk, loader, normalize, device, dtype=dtype, progress=progress)


def _part(
    trained: TrainSpec,
    part: Part,
    short_side: int,
    listed: Listing,
    data: Data,
    place: Place,
    report: Report,
) -> tuple[Pixels, EvalLoader]:
    """A part's images at that side, and their centre crops in batches."""
    root, decoding = place.data_root, _counted(report, "decoding")
    images = pixels(trained.data, root, listed, part, short_side, data.fingerprint, decoding)
    return images, EvalLoader(images, listed, part, trained.image_size, trained.batch_size)


def _benchmark(spec: BenchmarkSpec, place: Place, device: torch.device, report: Report) -> Outcome:
    start = time.monotonic()
    timing = measure(spec, device, _counted(report, f"timing {spec.precision}"))
    precision = "fp16" if spec.precision == "fp16" else _full_precision(device)
    record = BenchmarkRecord(
        signature=spec.signature,
        spec=spec,
        environment=_environment(place, device, precision),
        fps=1 / timing.median,
        images_per_second=spec.batch_size / timing.median,
        median_seconds=timing.median,
        quartiles=timing.quartiles,
        iterations=len(timing.seconds),
        warmup=timing.warmup,
    )
    cost = Cost(
        seconds=round(time.monotonic() - start, 3),
        images_per_second=round(record.images_per_second, 1),
        peak_memory_mib=_peak_memory(device),
    )
    return Outcome(record, cost)


def _open_data(spec: TrainSpec, place: Place) -> tuple[Listing, Data]:
    listed = listing(spec.data, place.data_root)
    found = listed.counts()
    return listed, Data(
        fingerprint=fingerprint(spec.data, place.data_root),
        classes=len(listed.classes),
        train=found["train"],
        val=found["val"],
        test=found["test"],
    )


def _counted(report: Report, phase: str) -> Callable[[int, int], None]:
    return lambda done, total: report(Progress(phase, done, total))


def _environment(place: Place, device: torch.device, precision: str) -> Environment:
    cuda = device.type == "cuda"
    return Environment(
        machine=this_machine(),
        device=torch.cuda.get_device_name(device) if cuda else cpu_device(),
        device_kind="cuda" if cuda else "cpu",
        threads=place.threads,
        precision=precision,
        versions=versions(),
        commit=commit(),
    )


def _full_precision(device: torch.device) -> str:
    """FP32, and whether CUDA's convolutions round to TF32, as torch's default has it."""
    tf32 = device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return "fp32 (tf32 convolutions)" if tf32 else "fp32"


def _set_determinism(deterministic: bool, device: torch.device) -> None:
    """On CUDA choose algorithms that repeat; an operation that has none raises and names itself."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)


def _peak_memory(device: torch.device) -> int:
    """MiB: on CUDA of the device's memory, else of this process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) / 2**20)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
