"""What a job leaves behind: all that is needed to trust its numbers and to do it again.

A record depends on nothing that differs between two equal runs. What does (seconds, memory, where
the data lay) is a `Cost`, a file beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    ValidationError,
    model_validator,
)

from classifier.basics.machine import Machine, Platform, without_instructions
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, Spec, TrainSpec
from classifier.config.tracks import Track
from classifier.data import batches
from classifier.data.split import Part
from classifier.plugins.spec import UserMetric


class _Plain(BaseModel):
    # Strict JSON has no NaN; null could not be told from infinity, nor be read as a number.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def _one_nan(value: float) -> float:
    """A NaN equals no other, but a record that is read once more must equal itself: it is the same
    object, which Python's comparison of containers takes as equal."""
    return math.nan if math.isnan(value) else value


Share = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, AfterValidator(_one_nan)]
"""Not finite where logits are not, as in FP16."""


class Epoch(_Plain):
    """One line of a track's history; `epoch` counts from 0, losses are means over images."""

    epoch: int
    lr: float
    train_loss: float
    val_loss: Loss
    val_accuracy: float
    val_mpa: float
    reports: dict[str, dict[str, float | None]] = Field({}, exclude_if=lambda told: not told)
    """What tricks tell of it, by trick and name; None is not finite."""


class Environment(_Plain):
    machine: Machine
    device: str
    """The GPU's name, or the CPU's with its instruction set, as `AMD EPYC (AVX2)`; records from
    before sets were named have a CPU's bare name."""
    device_kind: Literal["cpu", "cuda"]
    threads: int
    precision: str
    """What was really computed in: `fp32`, `fp16`, `fp16 autocast`."""
    versions: dict[str, str]
    commit: str | None

    @property
    def platform(self) -> Platform:
        return Platform(self.device, self.threads, self.versions["torch"])


class Some(_Plain):
    """How many there are, and the first few by name."""

    count: int
    first: tuple[str, ...]


class Data(_Plain):
    fingerprint: str
    classes: int
    train: int
    val: int
    test: int
    left_out: dict[str, int] = Field({}, exclude_if=lambda left_out: not left_out)
    """Files that were taken for no image, by the ends of their names."""
    lacking: dict[str, tuple[str, ...]] = Field({}, exclude_if=lambda lacking: not lacking)
    """By part the classes that it has no image of; labels are train's."""
    skipped: Some | None = Field(None, exclude_if=lambda skipped: skipped is None)
    """Images that can't be read and were left out."""
    shared: Some | None = Field(None, exclude_if=lambda shared: shared is None)
    """Images that are the same, or alike, in several parts, or in other data than the training's
    and in its train or val: `a/1.png = b/2.png`."""
    groups: int | None = Field(None, exclude_if=lambda groups: groups is None)
    """How many the images belong to; each is in one part."""

    @property
    def contents(self) -> tuple[str, int, int, int, int]:
        """What makes two data sets one; the rest is said for people, and older records lack it."""
        return self.fingerprint, self.classes, self.train, self.val, self.test

    def has(self, part: Part) -> bool:
        """Whether the part has any image."""
        images: int = getattr(self, part)
        return images > 0


class TrainRecord(_Plain):
    """One track of one training."""

    kind: Literal["train"] = "train"
    signature: str
    spec: TrainSpec
    environment: Environment
    data: Data
    track: str
    accuracy: Share
    """Of the best epoch on val, measured while training with the unrounded weights."""
    mpa: Share
    best_epoch: int
    stopped_early: bool
    checkpoint: str
    """16 hex digits of SHA-256 of the stored weights."""
    moved: bool
    """It was interrupted, and went on with another device, number of threads or version."""
    rdrop_passes: int | None
    history: tuple[Epoch, ...]
    parameters: int | None = Field(None, exclude_if=lambda count: count is None)
    """Trainable ones of the network with its head; tricks' own layers, which go, don't count."""
    multiply_adds: int | None = Field(None, exclude_if=lambda count: count is None)
    """Of a forward pass of one image at its size; None too where they can't be counted."""
    checkpoint_bytes: int | None = Field(None, exclude_if=lambda count: count is None)
    """Of the stored weights. Older records have none of the three."""

    @property
    def gflops(self) -> float | None:
        """10^9 multiply-adds of a forward pass of one image."""
        return None if self.multiply_adds is None else self.multiply_adds / 1e9

    @property
    def checkpoint_mib(self) -> float | None:
        return None if self.checkpoint_bytes is None else self.checkpoint_bytes / 2**20

    @property
    def images_seen(self) -> int:
        """By the optimiser, until this track stopped: one that several passes look at (R-Drop, SAM)
        counts once."""
        return len(self.history) * batches.seen(self.data.train, self.spec.batch_size)

    @property
    def training(self) -> TrainSpec:
        """As of an evaluation."""
        return self.spec

    @property
    def images(self) -> int:
        """How many `accuracy` was measured on, as of an evaluation."""
        return self.data.val

    @property
    def unit(self) -> str:
        return train_unit(self.track)


class EvaluateRecord(_Plain):
    """`training` stands in `spec` too, where JSON has its signature only."""

    kind: Literal["evaluate"] = "evaluate"
    signature: str
    spec: EvaluateSpec
    training: TrainSpec
    environment: Environment
    data: Data
    checkpoint: str
    """Of the weights that were evaluated."""
    images: Annotated[int, Field(ge=1)]
    accuracy: Share
    mpa: Share
    loss: Loss

    @model_validator(mode="before")
    @classmethod
    def _whole_spec(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("spec"), dict):
            return values
        known_as = values["spec"].get("training")
        if not isinstance(known_as, str):
            raise ValueError("spec.training must be the signature of the training")
        training = values.get("training")
        with suppress(ValidationError):  # it is said below, with its place
            training = _training(json.dumps(training, sort_keys=True))
        if isinstance(training, TrainSpec) and training.signature != known_as:
            raise ValueError("spec.training is not the signature of the training")
        spec = {**values["spec"], "training": training}
        return {**values, "spec": spec, "training": training}

    @property
    def track(self) -> str:
        return self.spec.track.key

    @property
    def unit(self) -> str:
        return evaluate_unit(self.spec)


@lru_cache(maxsize=1_024)
def _training(written: str) -> TrainSpec:
    """The evaluations of a training lie side by side: it is checked and signed once."""
    return TrainSpec.model_validate_json(written)


class MetricRecord(_Plain):
    """What a function of the user's said of an evaluation's predictions."""

    kind: Literal["metric"] = "metric"
    signature: str
    metric: UserMetric
    evaluation: EvaluateRecord
    environment: Environment
    """That the function ran in."""
    value: float | None
    """The mean of its images' scores, or its one number; None for one that is not finite."""
    scores: str | None
    """16 hex digits of SHA-256 of the file of its images' scores, if it gave any."""

    @cached_property
    def spec(self) -> MetricSpec:
        return MetricSpec(evaluation=self.evaluation.spec, metric=self.metric)

    @property
    def training(self) -> TrainSpec:
        """As of its evaluation, like the next three."""
        return self.evaluation.training

    @property
    def track(self) -> str:
        return self.evaluation.track

    @property
    def data(self) -> Data:
        return self.evaluation.data

    @property
    def checkpoint(self) -> str:
        return self.evaluation.checkpoint

    @property
    def unit(self) -> str:
        return metric_unit(self.spec)


class BenchmarkRecord(_Plain):
    """`fps` is batches a second, as the changelog counts it: 1 / median seconds of a batch."""

    kind: Literal["benchmark"] = "benchmark"
    signature: str
    spec: BenchmarkSpec
    environment: Environment
    fps: float
    images_per_second: float
    median_seconds: float
    quartiles: tuple[float, float]
    """Seconds of a batch: the first and the third quartile."""
    iterations: int
    warmup: int
    seconds: tuple[float, ...] | None = Field(None, exclude_if=lambda seconds: seconds is None)
    """Of each timed batch, in order; older records have none."""

    @property
    def unit(self) -> str:
        return benchmark_unit(self.environment.platform)


Record = Annotated[
    TrainRecord | EvaluateRecord | MetricRecord | BenchmarkRecord, Discriminator("kind")
]


class Cost(_Plain):
    """What a job took; a resumed training counts all its attempts, to the record's own end."""

    seconds: float
    images_per_second: float | None = None
    peak_memory_mib: int | None = None
    data_root: str | None = None
    """Of a training: where its data lay, for a later look at the same run."""
    training: str | None = Field(None, exclude_if=lambda training: training is None)
    """Names what was trained, of which several records may come: their times overlap. Older costs
    have none; there the tracks of one training have one cost."""


def trained_in(record: TrainRecord, cost: Cost) -> str:
    """The name of what was trained, equal for records that come of one training."""
    return cost.training or f"{record.signature} {cost.seconds} {cost.peak_memory_mib}"


def train_unit(track: str) -> str:
    """The name of a track's folder in its training's."""
    return f"train-{track}"


def unit_of(spec: Spec, track: Track) -> str | None:
    """The record's name under its signature; `track`: of a training. None for a speed: each
    platform has its own."""
    match spec:
        case EvaluateSpec():
            return evaluate_unit(spec)
        case MetricSpec():
            return metric_unit(spec)
        case TrainSpec():
            return train_unit(track.key)
    return None


def evaluate_unit(spec: EvaluateSpec) -> str:
    return f"evaluate-{spec.slug}-{spec.signature}"


def metric_unit(spec: MetricSpec) -> str:
    return f"metric-{spec.slug}-{spec.signature}"


def benchmark_units(here: Platform) -> tuple[str, ...]:
    """Of the speeds of a platform: its own, else one from before instruction sets were named, which
    is not measured again."""
    names = dict.fromkeys((here.device, without_instructions(here.device)))
    return tuple(benchmark_unit(replace(here, device=name)) for name in names)


def benchmark_unit(platform: Platform) -> str:
    """A speed belongs to its platform: another measures anew."""
    key = f"{platform.device}|{platform.threads}|{platform.torch}"
    return f"benchmark-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
