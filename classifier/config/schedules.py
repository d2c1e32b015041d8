"""The learning-rate schedules that a training may name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from classifier.basics.settings import Arguments, Count, Fraction, Settings


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


Schedule = Annotated[Cosine | TorchSchedule, Discriminator("name")]


class Warmup(Settings):
    """Linear from `start_lr` during the first int(ratio * epochs) epochs, which may be none."""

    ratio: Fraction = 0.05
    start_lr: float = Field(1e-6, ge=0)
