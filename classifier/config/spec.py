"""What one job is: a frozen, validated spec that is named by its signature.

A spec holds everything that can change a job's numbers and nothing else: no device, no worker
count, no cache, no logging. Equal signature means equal result. So that signatures live long, a
field that is added later is marked `NEUTRAL`: at its default it is left out of the signed JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar, Union

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
    field_serializer,
    model_serializer,
    model_validator,
)

from classifier.basics.plugins import found
from classifier.basics.settings import (
    NEUTRAL,
    Count,
    Fraction,
    Positive,
    Settings,
    Side,
    Weights,
    as_tuple,
    defaulted,
    digest_of,
    named,
    neutral,
    off,
    switch,
)
from classifier.basics.users import Plugin
from classifier.config.family import family
from classifier.config.optimizers import AdamW, LibraryOptimizer, Optimizer
from classifier.config.schedules import Cosine, Schedule, TorchSchedule, Warmup
from classifier.config.tracks import RAW, Raw, Track
from classifier.data.augment import AnyPolicy, RandomResized, Transform, transforms
from classifier.data.sides import centre_side, random_side
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.models import catalogue
from classifier.plugins.spec import (
    UserAugmentation,
    UserLoss,
    UserMetric,
    UserModel,
    UserOptimizer,
    UserTrick,
)
from classifier.tricks.base import Trick
from classifier.tricks.ema import Ema
from classifier.tricks.losses.base import Loss
from classifier.tricks.losses.cross_entropy import CrossEntropy

MOST_TITLE = 30
"""Characters of a data set's name in a slug."""
MOST_TOLD = 60
"""Characters of what a slug says of tricks."""
SCHEMA = 1
"""Part of every signature. Raise it when the meaning of an existing field changes."""

T = TypeVar("T", bound=Trick)

Precision = Literal["fp32", "fp16"]

EVERY_TRICK = found("classifier.tricks", Trick, name=lambda trick: trick.setting)
TRICKS = tuple(trick for trick in EVERY_TRICK if not trick.is_track)
"""Those that are settings of a training; the others are tracks of one."""
LIBRARYS = (LibraryOptimizer, TorchSchedule)
"""Settings whose arguments' values their library checks."""
LOSSES = found(
    "classifier.tricks.losses", Loss, name=lambda loss: str(loss.model_fields["name"].default)
)


def _known_amp(value: object) -> object:
    if isinstance(value, bool) or value == "bfloat16":
        return value
    raise ValueError(f"'amp' must be true, false or bfloat16, not '{value}'")


def _or_users(kind: type[Plugin]) -> WrapValidator:
    """A setting may be an object of the user's, which has a digest, in place of a built-in one."""

    def reading(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        if isinstance(value, kind):
            return value
        is_written = isinstance(value, dict) and "digest" in value
        return kind.model_validate(value) if is_written else handler(value)

    return WrapValidator(reading)


if TYPE_CHECKING:
    AnyLoss = Loss
    AnyOptimizer = Optimizer | UserOptimizer
    AnyAugment = AnyPolicy | UserAugmentation | None
else:
    AnyLoss = SerializeAsAny[
        Annotated[
            Union[LOSSES],  # noqa: UP007
            Discriminator("name"),
            BeforeValidator(defaulted("cross_entropy")),
            _or_users(UserLoss),
        ]
    ]
    AnyOptimizer = SerializeAsAny[
        Annotated[Optimizer, BeforeValidator(defaulted("adamw")), _or_users(UserOptimizer)]
    ]
    AnyAugment = SerializeAsAny[
        Annotated[AnyPolicy | None, BeforeValidator(off), _or_users(UserAugmentation)]
    ]


Rate = Annotated[Fraction | None, BeforeValidator(off)]


class Spec(Settings):
    """Base of the four kinds of jobs."""

    kind: ClassVar[Literal["train", "evaluate", "metric", "benchmark"]]

    @cached_property
    def signature(self) -> str:
        """12 hex digits of SHA-256 over the canonical JSON."""
        return digest_of({"schema": SCHEMA, "kind": self.kind, **self.signed()})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, which must not take over the names that were kept."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("signature", "slug", "family"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def slug(self) -> str:
        """The part of a folder's name that is for people."""
        raise NotImplementedError

    @property
    def trained(self) -> TrainSpec | None:
        """The training that a job is, or whose weights it takes; a speed needs none."""
        return None

    @property
    def run(self) -> Spec:
        """The spec whose folder the job's results lie in: a training has its evaluations beside
        it."""
        return self.trained or self


class TrainSettings(Spec):
    """A training without its tricks, which `TrainSpec` adds."""

    kind: ClassVar[Literal["train"]] = "train"

    data: DataSpec
    model: str
    """`mobilenetv2`, `resnet50`, `resnext50`, `densenet121`, `efficientnet_v2_s`, `ghostnet`,
    `RepVGG-A0`, or [nearly any of torchvision's and timm's](networks.md), or
    `hf-hub:OWNER/NAME`."""
    own_model: UserModel | None = neutral(None)
    """What `model` names, where it is the user's."""
    pretrained: str | None = None
    """`true`: the catalogue's weights; or the name of others."""
    weights: Annotated[Weights | None, BeforeValidator(off)] = Field(
        None, json_schema_extra=NEUTRAL
    )
    """A file [to start from](#weights-to-start-from), in place of `pretrained`."""
    image_size: Side = 224
    """The side of an image, in pixels."""
    batch_size: int = Field(64, ge=2, le=10**9)
    """Images of a step."""
    micro_batch: Annotated[Annotated[int, Field(ge=2, le=10**9)] | None, BeforeValidator(off)] = (
        Field(None, json_schema_extra=NEUTRAL)
    )
    """Batches go through in parts of so many images, and their gradients add up, for less memory
    (a last part of one image goes with the one before). Batch norm sees the parts, so set it for
    all arms that are compared. Refused with `sp` and with `class_balance` (except for `focal`),
    which need the whole batch."""
    epochs: Count = 100
    """How often a training goes through its images, at most: see `patience`."""
    lr: Positive = 1e-3
    """The learning rate, which `schedule` and `warmup` change."""
    optimizer: AnyOptimizer = AdamW()
    """Or `sgd` (Nesterov momentum 0.9), `rmsprop`; decay on weights only. Or any other of
    torch.optim by its class's name, of timm by its own, with its arguments: `{name: lamb,
    weight_decay: 0.02, betas: [0.9, 0.99]}`, see [optimizers of the
    libraries](#optimizers-of-the-libraries). Its `decay_on` is `weights`; with `all_but_norms`
    biases decay too, as in torchvision's recipes; `all` is all."""
    loss: AnyLoss = CrossEntropy()
    """Or `{name: poly, epsilon: 2.0}`, `{name: focal, gamma: 2.0}`, `{name: bce, label_smoothing:
    0.0}` (binary cross-entropy, as timm's): [losses](tricks.md#losses)."""
    class_balance: bool = Field(False, json_schema_extra=NEUTRAL)
    """Weighs classes by the square root of their balanced weights."""
    drop_rate: Rate = neutral(None)
    """The library's dropout inside the trunk: timm's `drop_rate`, torchvision's `dropout`. Without
    it timm's networks have none, torchvision's their own. Refused where there is none to set."""
    drop_path_rate: Rate = neutral(None, "Huang et al., 2016")
    """The library's stochastic depth, at the last block; `false` is the library's own."""
    dropout: Fraction = neutral(0.2, acts=True)
    """In front of the head's linear layer."""
    freeze: Annotated[Literal["trunk"] | None, BeforeValidator(off)] = neutral(
        None, "He et al., 2020"
    )
    """`trunk`: only the head is trained. The trunk stays in evaluation mode: its batch norms keep
    their statistics and it drops nothing, as in a linear probe. `parameters` counts the head's
    then."""
    layer_decay: Annotated[Annotated[float, Field(gt=0, le=1)] | None, BeforeValidator(off)] = (
        neutral(None, "Bao et al., 2022")
    )
    """A layer's learning rate is this share of the next one's, and the head has the whole; for
    timm's networks."""
    schedule: Annotated[Schedule, BeforeValidator(defaulted("cosine"))] = Cosine()
    """By epoch, down and up again; or one of torch's that depend on the epoch alone: `{name:
    StepLR, arguments: {step_size: 30}}`; or [over the whole training](#schedules-by-step)."""
    warmup: Annotated[Warmup | None, BeforeValidator(switch)] = Field(
        None, json_schema_extra={"paper": "Goyal et al., 2017"}
    )
    """`true`: `{ratio: 0.05, start_lr: 1e-6}`, linear; or `{epochs: 5}` in place of the ratio. A
    shorter training squeezes it into its own epochs; then `--plan` and the report say so."""
    augment: AnyAugment = None
    """By name, or with torchvision's arguments: `{name: RandAugment, num_ops: 2, magnitude: 9}`
    (`num_magnitude_bins: 31`), `{name: TrivialAugmentWide, num_magnitude_bins: 31}`, `{name:
    AutoAugment, policy: imagenet}`, `{name: AugMix, severity: 3}`; or timm's RandAugment in its
    short form: `{name: timm, policy: rand-m7-mstd0.5-inc1}`."""
    albumentations: Annotated[tuple[Transform, ...], BeforeValidator(transforms)] = Field(
        (), json_schema_extra=NEUTRAL
    )
    """In place of `augment`: `[HorizontalFlip, Rotate: {limit: 10}, OneOf: {transforms: [...]}]`,
    names and arguments checked before anything trains (values only by training)."""
    normalize: Literal["imagenet", "dataset"] = "dataset"
    """The training part's own mean and deviation, or `imagenet`'s."""
    amp: Annotated[bool | Literal["bfloat16"], BeforeValidator(_known_amp)] = Field(
        False, json_schema_extra={"paper": "Micikevicius et al., 2018"}
    )
    """`true`: FP16 autocast with a scaler on CUDA; a CPU trains in FP32, and the report says so.
    `bfloat16`: autocast without a scaler, on CUDA and on a CPU, where only some have arithmetic of
    their own for it."""
    best: Literal["accuracy", "mpa", "loss"] = "accuracy"
    """What chooses the best epoch, on val."""
    patience: int = Field(30, ge=0)
    """Epochs without a better one, after which a training ends; 0 never stops."""
    seed: int = Field(0, ge=0, lt=2**63)
    deterministic: bool = True
    """On CUDA."""
    compile: bool = neutral(False)
    """The network by torch.compile, with the same draws; last digits may differ from those without
    it, and the report says so. Needs a compiler, which is tried before anything runs; not with
    `distill`."""
    clip_grad: Annotated[Positive | None, BeforeValidator(off)] = neutral(
        None, "Pascanu et al., 2013"
    )
    """The most that the norm of all gradients together may be: torch's `clip_grad_norm_`, after the
    scaler's unscaling."""
    crop: Annotated[RandomResized | None, BeforeValidator(named), BeforeValidator(off)] = neutral(
        None, "Szegedy et al., 2015"
    )
    """`{name: random_resized, scale: [0.08, 1.0], ratio: [0.75, 1.3333]}`: torchvision's
    RandomResizedCrop, in place of a random crop at a tenth more than the image's size. Its images
    are kept with a short side of twice the image's size, or of `short_side`."""
    hflip: Annotated[float, Field(ge=0, le=1)] = neutral(0.0)
    """The probability that an image is mirrored, between its crop and `augment`."""
    sampler: Annotated[Literal["balanced"] | None, BeforeValidator(off)] = neutral(None)
    """`balanced`: each class equally likely, with replacement, in place of each image once an epoch
    (torch's WeightedRandomSampler)."""
    repeats: Annotated[int, Field(ge=1, le=100)] = neutral(1, "Hoffer et al., 2020")
    """Repeated augmentation: each image so often in an epoch, augmented anew, and as many images in
    all, so that an epoch sees a part of them; in timm's order, mixed up within a batch, so that
    `mixing` does not mix an image with itself."""
    eval_size: Annotated[Side | None, BeforeValidator(off)] = neutral(None)
    """The size of images that are not trained on; unset: `image_size`. For the validation in a
    training too, which chooses its best epoch by them: so it is a setting of the training."""
    eval_crop: Annotated[Annotated[float, Field(gt=0, le=1)] | None, BeforeValidator(off)] = (
        neutral(None)
    )
    """The share of the short side that `eval_size` is: 224 of 256 is 0.875; unset: all of it."""
    own_tricks: Annotated[tuple[UserTrick, ...], BeforeValidator(as_tuple)] = neutral(())
    """The user's, each a setting of its own where it is written; in the order in which they act."""

    @model_validator(mode="before")
    @classmethod
    def _weights_by_name(cls, values: Any) -> Any:
        """`pretrained: true` means the catalogue's weights, and the signature holds their name."""
        if isinstance(values, dict) and isinstance(values.get("pretrained"), bool):
            wanted = values["pretrained"]
            name = catalogue.default_weights(str(values.get("model"))) if wanted else None
            return {**values, "pretrained": name}
        return values

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.pretrained is not None and self.weights is not None:
            raise ValueError("'weights' stand in place of 'pretrained'; leave one out")
        if self.pretrained is not None and self.own_model is not None:
            raise ValueError(
                f"model '{self.model}' is your own, and has no 'pretrained' weights; leave it out, "
                "or name a file with 'weights'"
            )
        self._check_network()
        if self.augment is not None and self.albumentations:
            raise ValueError("'albumentations' stand in place of 'augment'; leave one out")
        if self.compile and self.has("distill"):
            raise ValueError(
                "'compile' and 'distill', which looks into the network, can't be combined; leave "
                "one out"
            )
        if self.micro_batch is not None and self.micro_batch >= self.batch_size:
            raise ValueError(
                f"'micro_batch' {self.micro_batch} must be smaller than the batch_size of "
                f"{self.batch_size}; leave it out"
            )
        tricks = self.tricks
        for trick in tricks:
            trick.check(self)
        self.loss.check(self)
        for place in ("loss", "step"):
            over = [f"'{trick.setting}'" for trick in tricks if place in trick.takes_over]
            if len(over) > 1:
                raise ValueError(f"{' and '.join(over)} each take over the {place}; leave one out")
        return self

    def _check_network(self) -> None:
        for name in ("drop_rate", "drop_path_rate", "layer_decay"):
            if getattr(self, name) is None:
                continue
            if self.own_model is not None:
                raise ValueError(f"model '{self.model}' is your own, and has no '{name}'")
            if self.freeze:
                raise ValueError(f"'{name}' does nothing where 'freeze: trunk' is; leave one out")
        if self.layer_decay is not None and getattr(self.optimizer, "decay_on", None) != "weights":
            raise ValueError(
                "'layer_decay' groups weights by layers, with no decay on biases and norm layers: "
                "leave it or the optimizer's 'decay_on' out"
            )

    @model_serializer(mode="wrap")
    def _in_order(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As records had it when the tricks were fields like all others."""
        written = write(self)
        order = dict.fromkeys([*settings_in_order(), *written])
        return {name: written[name] for name in order if name in written}

    @property
    def tricks(self) -> list[Trick]:
        """Those that are on; first those that take a place over, for they act innermost."""
        on: list[Trick] = [trick for trick in map(self.trick, TRICKS) if trick is not None]
        on += self.own_tricks
        return sorted(on, key=lambda trick: not trick.takes_over)

    def trick(self, kind: type[T]) -> T | None:
        """Its settings; None if it is off."""
        settings: T | None = getattr(self, kind.setting)
        return settings

    def has(self, setting: str) -> bool:
        """Whether the trick of that name is on."""
        is_own = any(trick.name == setting for trick in self.own_tricks)
        return is_own or getattr(self, setting, None) is not None

    @property
    def plugins(self) -> list[Plugin]:
        """All that is the user's, but for what made its data."""
        places = (self.own_model, self.optimizer, self.loss, self.augment, *self.own_tricks)
        return [place for place in places if isinstance(place, Plugin)]

    @property
    def eval_side(self) -> int:
        """The size of an image that is not trained on."""
        return self.eval_size or self.image_size

    @property
    def draws_each_once(self) -> bool:
        """Whether an epoch goes through all images, each once."""
        return self.sampler is None and self.repeats == 1

    @property
    def train_short_side(self) -> int:
        """To what the short side of an image is resized before it is cropped to be trained on."""
        return self.crop.side(self.image_size) if self.crop else random_side(self.image_size)

    def eval_short_side(self, tta: bool = False) -> int:
        """The same of one that is not trained on. `tta`: before ten crops."""
        if tta and self.eval_crop is None:
            return random_side(self.eval_side)
        return centre_side(self.eval_side, self.eval_crop)

    @property
    def checked_by_libraries(self) -> str:
        """The settings that only their library, or this machine's compiler, can check whole, as
        text: equal for trainings of which one stands for all."""
        library = (self.optimizer, self.schedule)
        kept = [each.signed() for each in library if isinstance(each, LIBRARYS)]
        kept += [{"compile": True}] if self.compile else []
        return json.dumps(kept) if kept else ""

    @property
    def plugins_and_data(self) -> list[Plugin]:
        """The same, with what made its data."""
        return [*self.plugins, *([self.data.own] if self.data.own else [])]

    @cached_property
    def slug(self) -> str:
        """The tricks that say so, and what is the user's; cut where that is much."""
        places = (self.loss, self.optimizer, self.augment)
        own = [f"-{place.name}" for place in places if isinstance(place, Plugin)]
        told = "".join([*(trick.slug for trick in self.tricks), *own])
        fold = "" if self.data.fold is None else f"-f{self.data.fold}"
        return f"{_in_a_path(self.model)}{told[:MOST_TOLD]}-s{self.seed}{fold}"

    @property
    def trained(self) -> TrainSpec:
        return self

    @cached_property
    def family(self) -> str:
        """The name of all trainings that one training can do together."""
        return family(self)


if TYPE_CHECKING:
    TrainSpec = TrainSettings
else:
    TrainSpec = create_model(
        "TrainSpec",
        __base__=TrainSettings,
        __module__=__name__,
        __doc__="""One training. Which tracks it carries is not part of it: they change nothing.""",
        **{trick.setting: (trick.annotation(), trick.declaration()) for trick in TRICKS},
    )


def _in_a_path(model: str) -> str:
    """A model's name as a part of a folder's: `hf-hub:timm/resnet18` has what those can't."""
    return re.sub("[:/@]", "-", model)


def unedited(spec: TrainSpec) -> TrainSpec:
    """As it would be if no code of the user's had ever been edited."""
    blank = {"digest": "0" * 16}
    own = spec.data.own
    data = {"own": own.model_copy(update=blank) if own else None}
    return spec.model_copy(
        update={
            name: value.model_copy(update=blank)
            for name in ("own_model", "optimizer", "loss", "augment")
            if isinstance(value := getattr(spec, name), Plugin)
        }
        | {"own_tricks": tuple(each.model_copy(update=blank) for each in spec.own_tricks)}
        | {"data": spec.data.model_copy(update=data)}
    )


def settings_in_order() -> list[str]:
    """A training's settings as reports list them: each trick behind the one that it names."""
    names = list(TrainSettings.model_fields)
    for trick in TRICKS:
        names.insert(names.index(trick.after) + 1 if trick.after else len(names), trick.setting)
    return names


class ArmSettings(TrainSpec):
    """A training's settings as they are written: with `ema`, which becomes a track of it."""

    ema: Annotated[Ema | None, BeforeValidator(switch)] = None

    @property
    def training(self) -> TrainSpec:
        return TrainSpec.model_construct(
            **{name: getattr(self, name) for name in TrainSpec.model_fields}
        )

    @property
    def track(self) -> Track:
        return self.ema or RAW


class EvaluateSpec(Spec):
    """Accuracy of one track's stored checkpoint on one part of the data, centre-cropped, without
    augmentation; `train` too. With `data` on all images of another data set, or on its test part
    where its split is `given`; `split` is `test` then.

    `training` is signed, and written into JSON, as its signature.
    """

    kind: ClassVar[Literal["evaluate"]] = "evaluate"

    training: TrainSpec
    ema: Annotated[Ema | None, BeforeValidator(switch)] = None
    split: Part
    precision: Precision = "fp32"
    tta: bool = Field(False, json_schema_extra=NEUTRAL)
    """Ten crops: the mean of their logits."""
    data: DataSpec | None = neutral(None)

    @classmethod
    def of(cls, training: TrainSpec, track: Track, **settings: Any) -> Self:
        """An evaluation of that track of the training."""
        return cls(training=training, ema=None if isinstance(track, Raw) else track, **settings)

    @cached_property
    def slug(self) -> str:
        tta = "-tta" if self.tta else ""
        on = "" if self.data is None else f"-on-{self.data.in_names[:MOST_TITLE]}"
        return f"{self.track.key}-{self.split}-{self.precision}{tta}{on}"

    @property
    def trained(self) -> TrainSpec:
        return self.training

    @property
    def track(self) -> Track:
        return self.ema or RAW

    @property
    def images(self) -> str:
        """Which it is about: a part of the training's data, or other data."""
        return self.data.as_test if self.data else self.split

    def signed(self) -> dict[str, Any]:
        return self.signed_but("training") | {"training": self.training.signature}

    @field_serializer("training")
    def _as_signature(self, training: TrainSpec) -> str:
        return training.signature


class MetricSpec(Spec):
    """What a function of the user's says of an evaluation's predictions.

    `evaluation` is signed as its signature.
    """

    kind: ClassVar[Literal["metric"]] = "metric"

    evaluation: EvaluateSpec
    metric: UserMetric

    @cached_property
    def slug(self) -> str:
        return f"{self.metric.name}-{self.evaluation.slug}"

    @property
    def trained(self) -> TrainSpec:
        return self.evaluation.training

    def signed(self) -> dict[str, Any]:
        return self.signed_but("evaluation") | {"evaluation": self.evaluation.signature}


class BenchmarkSpec(Spec):
    """Speed of an architecture: needs no training, no data and no seed.

    `seconds` bounds the measuring, so that a slow device ends too.
    """

    kind: ClassVar[Literal["benchmark"]] = "benchmark"

    model: str
    own_model: UserModel | None = neutral(None)
    classes: Count
    image_size: Side = 224
    batch_size: Count = 64
    precision: Precision = "fp32"
    seconds: Positive = 30.0

    @cached_property
    def slug(self) -> str:
        model = _in_a_path(self.model)
        return f"{model}-fps-{self.precision}-{self.image_size}px-b{self.batch_size}"
