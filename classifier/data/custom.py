"""Augmentation by albumentations, from the names and arguments of a spec."""

from __future__ import annotations

import os

import numpy as np
import torch

from classifier.basics.errors import UserError
from classifier.data.augment import Transform
from classifier.data.pillow import Pixel

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its news

import albumentations
import cv2


class Custom:
    """A composition as a policy: keyed by torch's global CPU generator, on which it draws once.

    Raises UserError for arguments that a transform refuses, for a composition that changes an
    image's size, and for one that does not repeat under one key.
    """

    def __init__(self, transforms: tuple[Transform, ...], size: int) -> None:
        cv2.setNumThreads(0)  # processes and loader workers share the cores already
        self._compose = albumentations.Compose([_built(transform) for transform in transforms])
        sample = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
        for seed in range(8):
            first, second = self._applied(sample, seed), self._applied(sample, seed)
            if first.shape != sample.shape or first.dtype != np.uint8:
                raise UserError(
                    f"the albumentations make {first.dtype} {first.shape} of an image of uint8 "
                    f"{sample.shape}; a crop's size and kind must stay"
                )
            if not np.array_equal(first, second):
                names = ", ".join(transform.name for transform in transforms)
                raise UserError(f"the albumentations {names} do not repeat under one seed")

    def __call__(self, image: Pixel) -> Pixel:
        return self._applied(image, int(torch.randint(2**31 - 1, ())))

    def _applied(self, image: Pixel, seed: int) -> Pixel:
        self._compose.set_random_seed(seed)
        cv2.setRNGSeed(seed)
        return np.ascontiguousarray(self._compose(image=image)["image"])


def _built(transform: Transform) -> albumentations.BasicTransform | albumentations.BaseCompose:
    kind = getattr(albumentations, transform.name)
    inner = [[_built(part) for part in transform.transforms]] if transform.transforms else []
    try:
        return kind(*inner, **transform.arguments)
    except (TypeError, ValueError) as error:
        reason = "; ".join(str(error).splitlines()[:3])
        raise UserError(f"albumentations' {transform.name}: {reason}") from error
