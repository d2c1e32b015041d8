"""The optimisers that a training may name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticKnownError

from classifier.basics.names import nearest
from classifier.basics.settings import Fraction, Settings, as_storable, neutral

DecayOn = Literal["weights", "all_but_norms", "all"]
"""Of `weights` neither biases nor norm layers are, which is timm's way; torchvision's recipes have
biases decay, too."""


class AdamW(Settings):
    """AdamW; the decay is for weights only, biases and norm layers have none."""

    name: Literal["adamw"] = "adamw"
    weight_decay: float = Field(5e-4, ge=0)
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    decay_on: DecayOn = neutral("weights", acts=True)


class SGD(Settings):
    """SGD with momentum; the decay is for weights only, as AdamW's."""

    name: Literal["sgd"] = "sgd"
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)
    decay_on: DecayOn = neutral("weights", acts=True)

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
    decay_on: DecayOn = neutral("weights", acts=True)


BUILT_IN = (AdamW, SGD, RMSProp)
_NAMES = [str(each.model_fields["name"].default) for each in BUILT_IN]


class LibraryOptimizer(Settings):
    """One of torch.optim's by its class's name (`NAdam`), or of timm's by its own (`lamb`), with
    its arguments beside the name; those that are left out are the library's.

    The decay is off unless it is given, and is for weights only, too.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    weight_decay: float = Field(0.0, ge=0)
    decay_on: DecayOn = neutral("weights", acts=True)

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    def signed(self) -> dict[str, Any]:
        return super().signed() | self.arguments

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        """Refuses other names as a Literal would."""
        if name not in library_optimizers():
            expected = " or ".join(map(repr, optimizer_names()))
            raise PydanticKnownError("literal_error", {"expected": expected})
        return name

    @model_validator(mode="after")
    def _takes_them(self) -> LibraryOptimizer:
        taken = library_optimizers()[self.name]
        for argument in self.arguments:
            if argument not in taken:
                hint = nearest(argument, taken)
                raise ValueError(f"optimizer '{self.name}' takes no '{argument}'{hint}")
        if self.weight_decay and "weight_decay" not in taken:
            raise ValueError(f"optimizer '{self.name}' takes no 'weight_decay'")
        as_storable(self.arguments)
        return self


@cache
def library_optimizers() -> dict[str, list[str]]:
    """The names of torch.optim's and timm's optimisers, each with those of its arguments; known
    without either library. tests/classifier/test_optimizers.py holds it against both, and has the
    rule of what is left out."""
    listed: dict[str, list[str]] = json.loads(Path(__file__).with_suffix(".json").read_text())
    return listed


def optimizer_names() -> list[str]:
    return [*_NAMES, *library_optimizers()]


def _kind(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if name in _NAMES else _LIBRARYS


_LIBRARYS = "library[optimizer]"
"""In brackets, so that no error takes it for a setting's name (`explanations.as_written`)."""
Optimizer = Annotated[
    Annotated[AdamW, Tag("adamw")]
    | Annotated[SGD, Tag("sgd")]
    | Annotated[RMSProp, Tag("rmsprop")]
    | Annotated[LibraryOptimizer, Tag(_LIBRARYS)],
    Discriminator(_kind),
]
