"""The augmentations that a training may name: torchvision's policies and albumentations'."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from classifier.basics.settings import Arguments, Settings

Augment = Literal["RandAugment", "AutoAugment", "TrivialAugmentWide", "AugMix"]


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
