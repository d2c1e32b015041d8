"""torchvision's policies, drawn as it draws them, with Pillow's operations on arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from classifier.basics.randomness import keyed
from classifier.data import pillow
from classifier.data.pillow import Pixel

_log = logging.getLogger(__name__)

Operation = Callable[[Pixel, float], Pixel]
"""An image and a magnitude, as torchvision gives it to its operation of that name."""

Draws = Callable[[int, int], Iterator[tuple[str, float]]]
"""The operations for an image of this height and width, each with its magnitude, drawn from torch's
global CPU generator."""


def _moved(name: str) -> Operation:
    return lambda image, magnitude: pillow.moved(image, name, magnitude)


OPERATIONS: dict[str, Operation] = {
    "Identity": lambda image, _: image,
    "ShearX": _moved("ShearX"),
    "ShearY": _moved("ShearY"),
    "TranslateX": lambda image, pixels: pillow.translated(image, int(pixels), 0),
    "TranslateY": lambda image, pixels: pillow.translated(image, 0, int(pixels)),
    "Rotate": _moved("Rotate"),
    "Brightness": lambda image, more: pillow.brightened(image, 1.0 + more),
    "Color": lambda image, more: pillow.coloured(image, 1.0 + more),
    "Contrast": lambda image, more: pillow.contrasted(image, 1.0 + more),
    "Sharpness": lambda image, more: pillow.sharpened(image, 1.0 + more),
    "Posterize": lambda image, bits: pillow.posterized(image, int(bits)),
    "Solarize": pillow.solarized,
    "AutoContrast": lambda image, _: pillow.autocontrasted(image),
    "Equalize": lambda image, _: pillow.equalized(image),
    "Invert": lambda image, _: pillow.inverted(image),
}

TRIED: dict[str, tuple[float, ...]] = {
    "ShearX": (0.3, -0.99),
    "ShearY": (0.3, -0.99),
    "TranslateX": (5.0, -50.0),
    "TranslateY": (5.0, -50.0),
    "Rotate": (30.0, -135.0),
    **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), (0.3, 0.45, -0.9)),
    "Posterize": (2, 5),
    "Solarize": (0.0, 99.5),
}
"""The magnitudes at which `differing` tries those operations that heed theirs."""


def torchvisions(made: Any) -> Callable[[Pixel], Pixel]:
    """A policy of torchvision's (an AutoAugment, a RandAugment, a TrivialAugmentWide) with its
    pixels; of what isn't drawn or computed here as torchvision and Pillow do it, a log line says
    so, and they do it."""
    cv2.setNumThreads(0)  # processes and loader workers share the cores already
    draws = _auto(made) if isinstance(made, transforms.AutoAugment) else _one_by_one(made)
    operations = OPERATIONS | {name: by_torchvision(name) for name in _theirs()}

    def augmented(image: Pixel) -> Pixel:
        image = np.ascontiguousarray(image)
        for name, magnitude in draws(*image.shape[:2]):
            image = operations[name](image, magnitude)
        return image

    if _draws_alike(augmented, by_pillow(made)):
        return augmented
    _log.warning(
        "torchvision %s draws its %s in another way than is known here, and does it itself: no "
        "figure changes, an image takes longer",
        torchvision.__version__,
        type(made).__name__,
    )
    return by_pillow(made)


def by_pillow(made: Any) -> Callable[[Pixel], Pixel]:
    """A policy of torchvision's as it is, on Pillow's images."""
    return lambda image: np.asarray(made(Image.fromarray(image)))


def by_torchvision(name: str) -> Operation:
    """An operation of torchvision's as it is, on Pillow's images."""
    return lambda image, magnitude: pillow.by_torchvision(image, name, magnitude)


def differing(operations: dict[str, Operation]) -> tuple[str, ...]:
    """Those that give another byte than torchvision on Pillow's image, tried in some milliseconds
    on two small images."""
    draws = np.random.default_rng(0)
    noise = draws.integers(0, 256, (37, 41, 3), np.uint8)
    noise[0, :2] = (0, 52, 184), (1, 53, 185)  # whose gray is 51.5 and 52.5
    dull = noise // 4 + np.uint8(90)
    dull[..., 0] = 90
    return tuple(
        name
        for name, operation in operations.items()
        if not all(
            _agrees(name, operation, image, magnitude)
            for image in (noise, dull)
            for magnitude in TRIED.get(name, (0.0,))
        )
    )


def _agrees(name: str, operation: Operation, image: Pixel, magnitude: float) -> bool:
    try:
        found = operation(image, magnitude)
    except Exception:  # of whatever kind: another OpenCV may take other arguments
        return False
    return np.array_equal(found, by_torchvision(name)(image, magnitude))


@cache
def _theirs() -> tuple[str, ...]:
    names = differing(OPERATIONS)
    if names:
        _log.warning(
            "Pillow %s has other pixels than are known here for %s, and computes them itself: no "
            "figure changes, an image takes longer",
            PIL.__version__,
            ", ".join(names),
        )
    return names


def _draws_alike(augmented: Callable[[Pixel], Pixel], known: Callable[[Pixel], Pixel]) -> bool:
    image = np.random.default_rng(0).integers(0, 256, (37, 41, 3), np.uint8)
    for index in range(16):
        with keyed(0, "augment", index):
            try:
                found = augmented(image)
            except Exception:  # of whatever kind: another may keep its magnitudes elsewhere
                return False
        with keyed(0, "augment", index):
            if not np.array_equal(found, known(image)):
                return False
    return True


def _space(made: Any, *arguments: Any) -> dict[str, tuple[list[float], bool]]:
    """Each operation's magnitudes, and whether they have a sign. torchvision makes them anew for
    each image."""
    return {
        name: (magnitudes.tolist() if magnitudes.ndim else [], signed)
        for name, (magnitudes, signed) in made._augmentation_space(*arguments).items()
    }


def _auto(made: Any) -> Draws:
    """AutoAugment's: a pair of operations, each with a probability of its own."""
    space = cache(lambda height, width: _space(made, 10, (height, width)))
    likely = torch.tensor([[first[1], second[1]] for first, second in made.policies])

    def draws(height: int, width: int) -> Iterator[tuple[str, float]]:
        which, chances, signs = made.get_params(len(made.policies))
        drawn = zip(
            made.policies[which], (chances <= likely[which]).tolist(), signs.tolist(), strict=True
        )
        for (name, _, level), is_drawn, sign in drawn:
            if is_drawn:
                magnitudes, signed = space(height, width)[name]
                magnitude = 0.0 if level is None else magnitudes[level]
                yield name, -magnitude if signed and not sign else magnitude

    return draws


def _one_by_one(made: Any) -> Draws:
    """RandAugment's and TrivialAugmentWide's: the latter draws its magnitude too."""
    is_rand = isinstance(made, transforms.RandAugment)
    bins = made.num_magnitude_bins

    @cache
    def space(height: int, width: int) -> list[tuple[str, list[float], bool]]:
        found = _space(made, bins, (height, width)) if is_rand else _space(made, bins)
        return [(name, *each) for name, each in found.items()]

    def draws(height: int, width: int) -> Iterator[tuple[str, float]]:
        operations = space(height, width)
        for _ in range(made.num_ops if is_rand else 1):
            name, magnitudes, signed = operations[int(torch.randint(len(operations), (1,)))]
            level = made.magnitude if is_rand else 0
            if magnitudes and not is_rand:
                level = int(torch.randint(len(magnitudes), (1,)))
            magnitude = magnitudes[level] if magnitudes else 0.0
            yield name, -magnitude if signed and torch.randint(2, (1,)) else magnitude

    return draws
