"""The learning-rate schedules that a training may name."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, model_validator

from classifier.basics.names import counted
from classifier.basics.settings import Arguments, Count, Fraction, Positive, Settings, neutral


class Cosine(Settings):
    """Cosine by epoch with half a period of `t_max` epochs: down, then up again."""

    name: Literal["cosine"] = "cosine"
    t_max: Count = 10
    min_lr: float = Field(1e-6, ge=0)


ScheduleName = Literal[
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
]
"""Those of torch.optim.lr_scheduler that depend on the epoch alone. ReduceLROnPlateau does not: it
would let one track's validation steer the others."""


class TorchSchedule(Settings):
    """A schedule of torch.optim.lr_scheduler with its arguments, a step an epoch."""

    name: ScheduleName
    arguments: Arguments = Field(default_factory=dict)


By = Literal["step", "epoch"]
"""When the rate changes: at every step, or only where an epoch begins."""


class HalfCosine(Settings):
    """Half a cosine from the rate to `min_lr`, over all that is left after the warm-up
    (Loshchilov and Hutter, 2017)."""

    name: Literal["half_cosine"] = "half_cosine"
    min_lr: float = Field(0.0, ge=0)
    by: By = "step"

    def rate(self, lr: float, share: float) -> float:
        """Where a `share` of the way after the warm-up is done."""
        return self.min_lr + (lr - self.min_lr) * (1 + math.cos(math.pi * share)) / 2


class Poly(Settings):
    """A power of the share that is left, from the rate to `min_lr` (as timm's)."""

    name: Literal["poly"] = "poly"
    power: Positive = 0.5
    min_lr: float = Field(0.0, ge=0)
    by: By = "step"

    def rate(self, lr: float, share: float) -> float:
        return float(self.min_lr + (lr - self.min_lr) * (1 - share) ** self.power)


class Linear(Settings):
    """A line from the rate to `min_lr`."""

    name: Literal["linear"] = "linear"
    min_lr: float = Field(0.0, ge=0)
    by: By = "step"

    def rate(self, lr: float, share: float) -> float:
        return self.min_lr + (lr - self.min_lr) * (1 - share)


class Stairs(Settings):
    """Times `gamma` after every `epochs`, which may be a fraction of one."""

    name: Literal["step"] = "step"
    epochs: Positive = 30.0
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    by: By = "step"


OverAll = HalfCosine | Poly | Linear | Stairs
"""Those that go once over the whole training."""
Schedule = Annotated[Cosine | OverAll | TorchSchedule, Discriminator("name")]


class Warmup(Settings):
    """Linear from `start_lr` during the first int(ratio * epochs) epochs, which may be none, or
    during the first `epochs`; by step where the schedule is."""

    ratio: Fraction = 0.05
    start_lr: float = Field(1e-6, ge=0)
    epochs: Count | None = neutral(None)

    @model_validator(mode="after")
    def _one_length(self) -> Warmup:
        if self.epochs is not None and self.ratio != 0.05:
            raise ValueError("'epochs' of 'warmup' stand in place of its 'ratio'; leave one out")
        return self

    def told(self) -> dict[str, Any]:
        """With the one length that counts."""
        shown = super().told()
        return shown if self.epochs is None else {n: v for n, v in shown.items() if n != "ratio"}

    def remark(self, epochs: int) -> str:
        """What must be known of it in a training of so many epochs; else nothing."""
        if self.epochs is None or self.epochs < epochs:
            return ""
        of_it = f"the warm-up of {counted(self.epochs, 'epoch')}"
        if self.epochs == epochs:
            return f"{of_it} is as long as the training: the schedule after it never begins"
        return (
            f"{of_it} is longer than the training: it is squeezed into {counted(epochs, 'epoch')}, "
            "and the schedule after it never begins"
        )

    def length(self, epochs: int, steps: int) -> int:
        """In steps, of which an epoch has so many; never more than there are."""
        if self.epochs is not None:
            return min(self.epochs, epochs) * steps
        return int(self.ratio * epochs * steps)
