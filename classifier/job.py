"""One job, the same from a process of the runner, from a test and from the command line."""

from __future__ import annotations

import logging
import math
import os
import resource
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from classifier.basics.errors import UserError
from classifier.basics.files import digest, sha256, write_whole
from classifier.basics.machine import commit, cpu_device, is_device, this_machine, versions
from classifier.basics.place import Place
from classifier.basics.progress import OnCount, Progress, Report
from classifier.basics.randomness import keyed_everywhere
from classifier.basics.settings import Weights
from classifier.basics.users import Plugin
from classifier.config.family import Member, longest
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, Precision, TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data import batches, datasets
from classifier.data.cache import pixels
from classifier.data.datasets import Listing
from classifier.data.loader import EvalLoader
from classifier.data.pixels import Pixels
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, Part
from classifier.data.transforms import IMAGENET_MEAN, IMAGENET_STD, Normalize
from classifier.data.workers import workers_of
from classifier.inference.benchmark import measure
from classifier.inference.evaluate import (
    Inference,
    load_for_inference,
    outputs_of,
    save_predictions,
    scores,
    ten_crop_logits,
)
from classifier.inference.scoring import save_scores, score
from classifier.models import checkpoint
from classifier.models.network import Network
from classifier.models.size import multiply_adds, trainable_parameters
from classifier.models.trunks import AS_PRETRAINED
from classifier.plugins import load as plugins
from classifier.plugins.brought import SOURCES
from classifier.plugins.spec import trunk_maker
from classifier.records.arrays import read_predictions
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Data,
    Environment,
    EvaluateRecord,
    MetricRecord,
    Some,
    TrainRecord,
    metric_unit,
    train_unit,
)
from classifier.records.runs import CHECKPOINT, PREDICTIONS, SCORES, read_evaluation
from classifier.training import states
from classifier.training.trainer import (
    Looker,
    Trainer,
    TrainingData,
    check_settings,
    start_network,
    train_loader,
)
from classifier.training.trial import try_metric, try_out
from classifier.tricks.distillation import Distill

_log = logging.getLogger(__name__)

MOST_NAMED = 10
"""Images that a record names of those that are odd."""

_ALLOCATION = "DefaultCPUAllocator: can't allocate memory"
"""What torch says where the machine's memory is at its end."""


@dataclass(frozen=True)
class Start:
    """The files that a training starts from."""

    teacher: Path | None = None
    """The checkpoint of what `distill` learns from."""
    weights: Path | None = None
    """The file that `weights` names."""

    def check(self, spec: TrainSpec) -> None:
        """A file is known by what was in it when the job was planned. Raises UserError."""
        distill = spec.trick(Distill)
        teacher = distill.teacher if distill is not None else None
        for expected, file in ((spec.weights, self.weights), (teacher, self.teacher)):
            if isinstance(expected, Weights):
                assert file is not None
                if not file.is_file() or sha256(file) != expected.sha256:
                    raise UserError(f"{file} has changed since this job was planned; run it again")

    def teacher_network(
        self, classes: tuple[str, ...], image_size: int
    ) -> tuple[Network, str] | None:
        """The best of a teacher's training, and its model's name. It must know the student's
        classes, in their order, and take images of its size."""
        if self.teacher is None:
            return None
        network, meta = checkpoint.load(self.teacher, trunk_maker)
        if meta.classes != classes:
            message = f"the teacher {self.teacher} was trained on other classes than the student"
            raise UserError(message)
        if network.side not in (None, image_size):
            raise UserError(
                f"the teacher {self.teacher} takes images of {network.side} x {network.side} only, "
                f"and the student's are {image_size} x {image_size}"
            )
        return network, meta.model


FRESH = Start()


R = TypeVar("R", TrainRecord, EvaluateRecord, MetricRecord, BenchmarkRecord, covariant=True)


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """A record with its cost. Its other files lie in `out`/`record.unit`."""

    record: R
    cost: Cost


@contextmanager
def _on_device(place: Place) -> Iterator[torch.device]:
    """The place's device, with its threads. Out of memory, of the device's or the machine's, is
    said with the peak and what helps."""
    torch.set_num_threads(place.threads)
    plugins.use(place.plugins)
    device = torch.device(place.device)
    if device.type == "cuda":
        # Before it nothing of the device's memory can be asked.
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats(device)
    try:
        yield device
    except (MemoryError, RuntimeError) as error:
        on_device = isinstance(error, torch.OutOfMemoryError)
        if not on_device and not isinstance(error, MemoryError) and _ALLOCATION not in str(error):
            raise
        full = torch.cuda.get_device_name(device) if on_device else "this machine"
        raise UserError(
            f"out of memory on {full}, at a peak of {_peak_memory(device):,} MiB. Set "
            "'micro_batch' below the batch_size (for all arms that are compared: batch norm sees "
            "the parts), a smaller image_size, or fewer jobs at a time with --jobs-per-device"
        ) from error


def train(
    spec: TrainSpec,
    out: Path,
    place: Place,
    *,
    tracks: Sequence[Track] = (RAW,),
    start: Start = FRESH,
    states_in: Path | None = None,
) -> tuple[Outcome[TrainRecord], ...]:
    """Train, and leave each track's best weights in `out`; an outcome for each of `tracks`.

    The full state is kept in the folder `states_in` (default: `out`), and the training goes on from
    what an interrupted attempt left there; asked to stop, it raises StoppedError. Raises UserError
    for what the user can mend.
    """
    members = [Member(spec, tuple(tracks))]
    found = train_together(members, place, lambda _: out, start=start, states_in=states_in or out)
    by_track = {outcome.record.track: outcome for outcome in found}
    return tuple(by_track[track.key] for track in tracks)


def train_together(
    members: Sequence[Member],
    place: Place,
    out_of: Callable[[TrainSpec], Path],
    *,
    states_in: Path,
    start: Start = FRESH,
    keep_end: bool = False,
) -> Iterator[Outcome[TrainRecord]]:
    """One training for all `members`, which are of one family. Each outcome is given at its own
    end, with its weights in `out_of` its spec; else as `train`. `keep_end`: the last state is kept
    too, for one of more epochs to go on from; so it is where that was said of the state that it
    goes on from."""
    spec = longest(members)
    with _on_device(place) as device:
        start.check(spec)
        _set_determinism(spec.deterministic, device)
        listed, data = _looked_at(spec.data, place.data_root)
        parts, normalize = _training_parts(spec, place, listed, data, device)
        training_data = TrainingData(
            train_loader(spec, parts["train"], listed, workers_of(place, device)),
            EvalLoader(parts["val"], listed, "val", spec.eval_side, spec.batch_size),
            normalize,
        )
        network = start_network(spec, data.classes, start.weights)
        # Before the tricks hook it, and on the CPU still: it costs no memory of the device.
        size = trainable_parameters(network), multiply_adds(network, spec.eval_side)
        teacher = start.teacher_network(listed.classes, spec.image_size)
        trainer = Trainer(members, training_data, network, device, teacher)
        precision = f"{trainer.amp} autocast" if trainer.amp else _precision("fp32", device)
        environment = _environment(place, device, precision, spec.plugins)
        meta = _meta(spec, listed.classes, normalize)
        states_in.mkdir(parents=True, exist_ok=True)  # only now: the user's mistake writes nothing
        about = {"data": data.fingerprint, "keep": keep_end}
        keep = _keeper(trainer, states_in, place, about, environment)
        for looker in _ends(trainer, place, keep):
            unit = out_of(looker.spec) / train_unit(looker.track.key)
            _leave(looker, unit, meta)
            moved = keep.about["moved"]
            record = _record(looker, trainer, environment, data, size, moved, unit / CHECKPOINT)
            seconds = trainer.seconds_to(looker)
            images = batches.seen(data.train, spec.batch_size) * looker.chosen.epochs
            root, name = str(place.data_root.resolve()), keep.about["training"]
            yield Outcome(
                record, _cost(seconds, images / seconds, _peak_memory(device), root, name)
            )
        keep.keep_end(trainer.state, (trainer.epoch, trainer.step_in_epoch))


def _meta(spec: TrainSpec, classes: tuple[str, ...], normalize: Normalize) -> checkpoint.Meta:
    return checkpoint.Meta(
        spec.model,
        classes,
        spec.eval_side,
        normalize.mean,
        normalize.std,
        # The line is free: it may differ between equal runs.
        spec.own_model.model_dump() | {"line": 0} if spec.own_model else None,
        spec.eval_crop,
        (spec.pretrained is not None and spec.model in AS_PRETRAINED) or None,
    )


def _leave(looker: Looker, unit: Path, meta: checkpoint.Meta) -> None:
    """What a looker has seen, as a unit's files: its best weights, and the user's code."""
    unit.mkdir(parents=True, exist_ok=True)
    best = looker.carried.best_states[looker.chosen.best_epoch]
    checkpoint.save(unit / CHECKPOINT, best, meta)
    _keep_sources(unit, looker.spec.plugins_and_data)


def _record(
    looker: Looker,
    trainer: Trainer,
    environment: Environment,
    data: Data,
    size: tuple[int, int | None],
    moved: bool,
    weights: Path,
) -> TrainRecord:
    """`size`: parameters and multiply-adds of the network."""
    chosen, spec = looker.chosen, looker.spec
    history = looker.carried.history[: chosen.epochs]
    best = history[chosen.best_epoch]
    return TrainRecord(
        signature=spec.signature,
        spec=spec,
        environment=environment,
        data=data,
        track=looker.track.key,
        accuracy=best.val_accuracy,
        mpa=best.val_mpa,
        best_epoch=chosen.best_epoch,
        stopped_early=chosen.stopped,
        checkpoint=digest(weights),
        moved=moved,
        rdrop_passes=trainer.rdrop_passes,
        history=tuple(history),
        parameters=size[0],
        multiply_adds=size[1],
        checkpoint_bytes=weights.stat().st_size,
    )


def _keep_sources(unit: Path, used: Sequence[Plugin]) -> None:
    """Beside a record the user's files that it rests on, so that a figure can be traced."""
    for path, text in plugins.files_of(used).items():
        source = unit / SOURCES / path
        source.parent.mkdir(parents=True, exist_ok=True)
        write_whole(source, text.encode())


def _training_parts(
    spec: TrainSpec, place: Place, listed: Listing, data: Data, device: torch.device
) -> tuple[dict[Part, Pixels], Normalize]:
    """The decoded images of each part, test too, so that a bad image is found before the
    training; and what normalises a batch of them."""
    decoding = _counted(place.report, "decoding")
    parts = {
        part: pixels(
            spec.data,
            place.data_root,
            listed,
            part,
            spec.train_short_side if part == "train" else spec.eval_short_side(),
            data.fingerprint,
            decoding,
        )
        for part in PARTS
        if data.has(part)
    }
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if spec.normalize == "dataset":
        mean, std = parts["train"].mean_std()
    return parts, Normalize(mean, std, device)


def check_start(spec: TrainSpec, place: Place, start: Start) -> None:
    """Have at hand what a training starts from, before it does: its pretrained weights are
    fetched, its files, the arguments of libraries and the user's code are tried. Raises
    UserError."""
    plugins.use(place.plugins)
    classes = datasets.listing(spec.data, place.data_root).classes
    start.teacher_network(classes, spec.image_size)
    start_network(spec, len(classes), start.weights)
    check_settings(spec, torch.device(place.device))
    if spec.plugins:
        torch.set_num_threads(place.threads)
        try_out(spec, len(classes))


def check_metric(spec: MetricSpec, place: Place) -> None:
    """Try a user's metric, before anything is evaluated. Raises UserError."""
    plugins.use(place.plugins)
    training = spec.evaluation.training
    try_metric(spec.metric, len(datasets.listing(training.data, place.data_root).classes))


def _keeper(
    trainer: Trainer,
    states_in: Path,
    place: Place,
    about: states.TrainingState,
    environment: Environment,
) -> states.Keeper:
    """Go on from the state kept in `states_in`, if it is of these data and has all that is looked
    at; what keeps the states from here on.

    `about`: of which data they are, and whether the last one is kept. They say whether an earlier
    part ran with another device (or instruction set), number of threads or version (`moved`), and
    have a name for the training.
    """
    here = environment.model_dump(include={"device", "threads", "versions"})
    about = {**about, "here": here, "moved": False, "training": secrets.token_hex(6)}
    state, found = states.load(states_in), None
    is_kept = state is not None and state["keep"]
    about["keep"] = about["keep"] or is_kept
    if state is not None and state["data"] == about["data"] and trainer.restore(state["trainer"]):
        before = state["here"]
        if is_device(before["device"], environment.device):
            before = {**before, "device": environment.device}
        about |= {"moved": state["moved"] or before != here, "training": state["training"]}
        position = f"epoch {trainer.epoch + 1}, step {trainer.step_in_epoch + 1}"
        _log.info("the training goes on from its kept state, at %s", position)
        if is_kept == about["keep"]:  # else it is kept once more, to say so
            found = trainer.epoch, trainer.step_in_epoch
    else:
        if state is not None:
            why = "is of other data, or was not looked at in this way"
            _log.warning("the kept state %s: the training begins anew", why)
        states.forget(states_in)
    minutes, stop = place.checkpoint_minutes, place.stop
    return states.Keeper(states_in, trainer.spec, about, minutes, stop, found)


def _ends(trainer: Trainer, place: Place, keep: states.Keeper) -> Iterator[Looker]:
    """Train to the end, and give each looker at its own."""
    try:
        yield from trainer.run(place.report, keep)
    except RuntimeError as error:
        if "does not have a deterministic implementation" in str(error):
            raise UserError(
                f"{trainer.spec.model} has an operation that can't repeat exactly on this device: "
                f"set 'deterministic: false' ({error})"
            ) from error
        raise


def evaluate(
    spec: EvaluateSpec, out: Path, place: Place, checkpoint_file: Path, trained_on: str
) -> Outcome[EvaluateRecord]:
    """Evaluate a track's checkpoint, and leave the predictions in `out`. `trained_on`: the
    fingerprint of the data that its training's record has.

    Raises UserError for what the user can mend, and where these data are others now: images of test
    may be among those that were trained on.
    """
    begun = time.monotonic()
    # A user's model or loss may draw.
    with _on_device(place) as device, keyed_everywhere(spec.training.seed, "evaluation"):
        data, images, loader, inference = _opened(spec, place, device, checkpoint_file)
        if spec.data is None and data.fingerprint != trained_on:
            raise UserError(
                f"{spec.training.data.title} has changed since this was trained ({trained_on} -> "
                f"{data.fingerprint}); train again"
            )
        progress = _counted(place.report, f"evaluating {spec.split}")
        if spec.tta:
            size, batch_size = spec.training.eval_side, spec.training.batch_size
            logits = ten_crop_logits(inference, images, size, batch_size, progress)
        else:
            logits = outputs_of(inference, loader, progress)
        peak = _peak_memory(device)
        scored = scores(logits, loader.labels, spec.training.loss.make())
    used = spec.training.plugins
    record = EvaluateRecord(
        signature=spec.signature,
        spec=spec,
        training=spec.training,
        environment=_environment(place, device, _precision(spec.precision, device), used),
        data=data,
        checkpoint=digest(checkpoint_file),
        images=len(loader),
        accuracy=scored.accuracy,
        mpa=scored.mpa,
        loss=scored.loss,
    )
    (out / record.unit).mkdir(parents=True, exist_ok=True)
    save_predictions(out / record.unit / PREDICTIONS, logits, loader)
    seconds = time.monotonic() - begun
    return Outcome(record, _cost(seconds, len(loader) / seconds, peak))


def measure_own(
    spec: MetricSpec, out: Path, place: Place, evaluation: Path
) -> Outcome[MetricRecord]:
    """Ask a user's metric of an evaluation's predictions, which lie in its unit, and leave its
    scores in `out`. Raises UserError for what the user can mend."""
    begun = time.monotonic()
    with _on_device(place) as device:
        predictions = read_predictions(evaluation / PREDICTIONS).by_path()
        scores_of = score(spec.metric, predictions)
    unit, kept = out / metric_unit(spec), None
    unit.mkdir(parents=True, exist_ok=True)
    if not isinstance(scores_of, float):
        save_scores(unit / SCORES, scores_of, predictions)
        kept = digest(unit / SCORES)
    value = float(np.mean(scores_of))
    record = MetricRecord(
        signature=spec.signature,
        metric=spec.metric,
        evaluation=read_evaluation(evaluation),
        environment=_environment(place, device, _precision("fp32", device), [spec.metric]),
        value=value if math.isfinite(value) else None,
        scores=kept,
    )
    _keep_sources(unit, [spec.metric])
    seconds = time.monotonic() - begun
    images = len(predictions.labels)
    return Outcome(record, _cost(seconds, images / seconds, _peak_memory(device)))


def features_of(spec: EvaluateSpec, place: Place, checkpoint_file: Path) -> Tensor:
    """What the head sees of a part's images, centre-cropped: FP32 (N, F) in the listing's order."""
    with _on_device(place) as device:
        cropped = spec.model_copy(update={"tta": False})
        _, _, loader, inference = _opened(cropped, place, device, checkpoint_file)
        progress = _counted(place.report, f"features of {spec.split}")
        return outputs_of(replace(inference, network=inference.network.trunk), loader, progress)


def _opened(
    spec: EvaluateSpec, place: Place, device: torch.device, checkpoint_file: Path
) -> tuple[Data, Pixels, EvalLoader, Inference]:
    """What an evaluation needs: the data, a part's images, their centre crops in batches, and the
    network."""
    training, root = spec.training, place.data_root
    _set_determinism(training.deterministic, device)
    # A network of the user's may change while it computes.
    load = load_for_inference if training.plugins else _kept_network
    inference, meta = load(checkpoint_file, spec.precision, device)
    of = spec.data or training.data
    if spec.data is not None:
        listed, data = _looked_at(of, root, _Trained(training.data, meta.classes))
    else:
        listed, data = _looked_at(of, root)
        if listed.classes != meta.classes:
            raise UserError(f"{of.title} has other classes now than those that were trained")
    if not data.has(spec.split):
        raise UserError(
            f"{training.data.title} has no {spec.split} images: {spec.split}/ is missing"
        )
    side = training.eval_short_side(spec.tta)
    decoding = _counted(place.report, "decoding")
    images = pixels(of, root, listed, spec.split, side, data.fingerprint, decoding)
    loader = EvalLoader(images, listed, spec.split, training.eval_side, training.batch_size)
    return data, images, loader, inference


def benchmark(spec: BenchmarkSpec, place: Place) -> Outcome[BenchmarkRecord]:
    """Time a model's forward passes. Raises UserError for what the user can mend."""
    begun = time.monotonic()
    with _on_device(place) as device:
        timing = measure(spec, device, _counted(place.report, f"timing {spec.precision}"))
        peak = _peak_memory(device)
    used = [spec.own_model] if spec.own_model else []
    record = BenchmarkRecord(
        signature=spec.signature,
        spec=spec,
        environment=_environment(place, device, _precision(spec.precision, device), used),
        fps=1 / timing.median,
        images_per_second=spec.batch_size / timing.median,
        median_seconds=timing.median,
        quartiles=timing.quartiles,
        iterations=len(timing.seconds),
        warmup=timing.warmup,
        seconds=timing.seconds,
    )
    return Outcome(record, _cost(time.monotonic() - begun, record.images_per_second, peak))


def _cost(
    seconds: float,
    rate: float,
    peak: int,
    data_root: str | None = None,
    training: str | None = None,
) -> Cost:
    return Cost(
        seconds=round(seconds, 3),
        images_per_second=round(rate, 1),
        peak_memory_mib=peak,
        data_root=data_root,
        training=training,
    )


def _kept_network(
    file: Path, precision: Precision, device: torch.device
) -> tuple[Inference, checkpoint.Meta]:
    """As `load_for_inference`: once for all evaluations of it that follow each other."""
    return _network_of(file, digest(file), precision, device)


@lru_cache(maxsize=1)
def _network_of(
    file: Path, weights: str, precision: Precision, device: torch.device
) -> tuple[Inference, checkpoint.Meta]:
    return load_for_inference(file, precision, device)


class _Trained(NamedTuple):
    """What a network was trained on that is tried on other data."""

    data: DataSpec
    classes: tuple[str, ...]


def _looked_at(spec: DataSpec, root: Path, trained: _Trained | None = None) -> tuple[Listing, Data]:
    """What there is of the data, and what a record says of it; of those that a network was
    `trained` on, unless it is tried on others. The same data are looked at once by a process.
    Raises UserError where they change meanwhile."""
    now = datasets.fingerprint(spec, root)
    before = datasets.fingerprint_if_there(trained.data, root) if trained else None
    return _seen(spec, root, now, trained, before)


@lru_cache(maxsize=4)
def _seen(
    spec: DataSpec, root: Path, fingerprint: str, trained: _Trained | None, before: str | None
) -> tuple[Listing, Data]:
    """`fingerprint` is that of the data now, `before` of those that were trained on."""
    if trained is not None:
        listed = datasets.other(spec, root, trained.classes)
        shared = datasets.also_trained(spec, listed, trained.data, root)
    else:
        listed = datasets.listing(spec, root)
        shared = [" = ".join(each) for each in datasets.shared(spec, root, listed)]
    if datasets.fingerprint(spec, root) != fingerprint:
        raise UserError(f"{spec.title} changed while it was looked at; run it again")
    return listed, Data(
        fingerprint=fingerprint,
        classes=len(listed.classes),
        **listed.counts(),
        left_out=datasets.left_out(spec, root),
        lacking=listed.lacking(),
        skipped=_some(listed.skipped),
        shared=_some(shared),
        groups=listed.groups,
    )


def _some(names: Sequence[str]) -> Some | None:
    return Some(count=len(names), first=tuple(names[:MOST_NAMED])) if names else None


def _counted(report: Report, phase: str) -> OnCount:
    return lambda done, total: report(Progress(phase, done, total))


def _environment(
    place: Place, device: torch.device, precision: str, used: Sequence[Plugin]
) -> Environment:
    cuda = device.type == "cuda"
    return Environment(
        machine=this_machine(),
        device=torch.cuda.get_device_name(device) if cuda else cpu_device(),
        device_kind="cuda" if cuda else "cpu",
        threads=place.threads,
        precision=precision,
        versions=versions() | plugins.packages_of(used),
        commit=commit(),
    )


def _precision(wanted: Precision, device: torch.device) -> str:
    """What is computed in: CUDA's FP32 convolutions may round to TF32, as torch's default is."""
    tf32 = wanted == "fp32" and device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return "fp32 (tf32 convolutions)" if tf32 else wanted


def _set_determinism(deterministic: bool, device: torch.device) -> None:
    """On CUDA choose algorithms that repeat; an operation that has none raises and names itself."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)
        # Each new tensor would be filled before it is computed: a kernel more for most operations.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _peak_memory(device: torch.device) -> int:
    """MiB: on CUDA of the device's memory, else of this process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) / 2**20)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
