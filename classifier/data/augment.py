"""How a training's images are cropped and augmented: torchvision's policies, timm's RandAugment,
albumentations."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from classifier.basics.settings import Arguments, Count, Positive, Settings, Side, as_tuple, neutral

Augment = Literal["RandAugment", "AutoAugment", "TrivialAugmentWide", "AugMix"]
"""A policy of torchvision's at its defaults."""


class RandAugment(Settings):
    """torchvision's (Cubuk et al., 2020)."""

    name: Literal["RandAugment"]
    num_ops: Count = 2
    magnitude: int = Field(9, ge=0)
    num_magnitude_bins: int = Field(31, ge=2, le=1000)

    @model_validator(mode="after")
    def _there_is_such_a_bin(self) -> RandAugment:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(
                f"'magnitude' {self.magnitude} must be below the {self.num_magnitude_bins} of "
                "'num_magnitude_bins'"
            )
        return self


class TrivialAugmentWide(Settings):
    """torchvision's (Mueller and Hutter, 2021)."""

    name: Literal["TrivialAugmentWide"]
    num_magnitude_bins: int = Field(31, ge=2, le=1000)


class AutoAugment(Settings):
    """torchvision's (Cubuk et al., 2019), by the data that its policy was found on."""

    name: Literal["AutoAugment"]
    policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"


class AugMix(Settings):
    """torchvision's (Hendrycks et al., 2020)."""

    name: Literal["AugMix"]
    severity: int = Field(3, ge=1, le=10)
    mixture_width: Count = 3
    chain_depth: int = Field(-1, ge=-1, le=100)
    """-1: drawn from 1 to 3."""
    alpha: Positive = 1.0
    all_ops: bool = True


class TimmRandAugment(Settings):
    """timm's RandAugment by its own short form, as `rand-m7-mstd0.5-inc1`."""

    name: Literal["timm"]
    policy: str

    @model_validator(mode="after")
    def _is_one(self) -> TimmRandAugment:
        if not re.fullmatch(
            r"rand(-(m|n|mmax)[0-9]{1,3}|-(p|mstd)[0-9]{1,3}(\.[0-9]+)?|-inc[01])*", self.policy
        ):
            raise ValueError(
                f"'{self.policy}' is no RandAugment of timm's; write it as 'rand-m9-mstd0.5-inc1'"
            )
        return self


def _plain(settings: AugmentSettings) -> AugmentSettings | str:
    """A policy at its defaults is its name, by which it is signed."""
    is_bare = settings.name != "timm" and settings == settings.model_validate(
        {"name": settings.name}
    )
    return settings.name if is_bare else settings


def _form(value: Any) -> str:
    if isinstance(value, dict) and "name" not in value:
        raise ValueError("'augment' with settings needs a 'name'")
    return "settings[augment]" if isinstance(value, dict | Settings) else "name[augment]"


AugmentSettings = RandAugment | TrivialAugmentWide | AutoAugment | AugMix | TimmRandAugment
AnyPolicy = Annotated[
    Annotated[Augment, Tag("name[augment]")]
    | Annotated[
        Annotated[AugmentSettings, Discriminator("name")],
        AfterValidator(_plain),
        Tag("settings[augment]"),
    ],
    Discriminator(_form),
]

Range = Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple)]


def _rises(low_and_high: tuple[float, float]) -> tuple[float, float]:
    if low_and_high[0] > low_and_high[1]:
        raise ValueError(f"a range from {low_and_high[0]} to {low_and_high[1]} is empty")
    return low_and_high


class RandomResized(Settings):
    """torchvision's RandomResizedCrop (Szegedy et al., 2015): a share `scale` of the image's area,
    of sides in a `ratio`, resized to the image's size."""

    name: Literal["random_resized"] = "random_resized"
    scale: Annotated[Range, AfterValidator(_rises)] = (0.08, 1.0)
    ratio: Annotated[Range, AfterValidator(_rises)] = (3 / 4, 4 / 3)
    short_side: Side | None = neutral(None)
    """To what the short side is resized once, before the crops; None: twice the image's size."""

    @model_validator(mode="after")
    def _is_a_share(self) -> RandomResized:
        if self.scale[1] > 1:
            raise ValueError(
                f"'scale' is a share of the image, and {self.scale[1]} is more than it"
            )
        return self

    def side(self, image_size: int) -> int:
        return self.short_side or 2 * image_size


class Transform(Settings):
    """A transform of albumentations by its name, with its arguments; one that composes others
    (OneOf, SomeOf, Sequential) with its `transforms`."""

    name: str
    arguments: Arguments = Field(default_factory=dict)
    transforms: tuple[Transform, ...] = ()


def transforms(value: object) -> object:
    """`[HorizontalFlip, Rotate: {limit: 10}, OneOf: {transforms: [...]}]`, as it is written."""
    return tuple(map(_transform, value)) if isinstance(value, list) else value


def _transform(value: object) -> object:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" in value:
        return {**value, "transforms": transforms(value.get("transforms", []))}
    if isinstance(value, dict) and len(value) == 1:
        name, arguments = next(iter(value.items()))
        if arguments is None or isinstance(arguments, dict):
            plain = dict(arguments or {})
            inner = transforms(plain.pop("transforms", []))
            return {"name": name, "arguments": plain, "transforms": inner}
    return value
