"""The optimisers that a training may name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from classifier.basics.settings import Fraction, Settings


class AdamW(Settings):
    """AdamW; the decay is for weights only, biases and norm layers have none."""

    name: Literal["adamw"] = "adamw"
    weight_decay: float = Field(5e-4, ge=0)
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999


class SGD(Settings):
    """SGD with momentum; the decay is for weights only, as AdamW's."""

    name: Literal["sgd"] = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGD:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0; set 'nesterov: false'")
        return self


class RMSProp(Settings):
    name: Literal["rmsprop"] = "rmsprop"
    alpha: Fraction = 0.99
    momentum: Fraction = 0.0
    weight_decay: float = Field(5e-4, ge=0)


OPTIMIZERS: tuple[type[Settings], ...] = (AdamW, SGD, RMSProp)
Optimizer = Annotated[AdamW | SGD | RMSProp, Discriminator("name")]
