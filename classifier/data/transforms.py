"""From a cached image to the network's input.

Training: random crop, flip, then the policy. Everything else: centre crop. Images stay uint8 until
`normalize`, which works on whole batches on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform
from torch import Tensor
from torchvision import transforms

from classifier.basics.randomness import keyed_beside_torch
from classifier.data.augment import Augment, AugmentSettings, RandomResized, TimmRandAugment
from classifier.data.pillow import Pixel
from classifier.data.policies import by_pillow, torchvisions

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]

Policy = Callable[[Pixel], Pixel]
"""Makes an image (H, W, 3) of one; an augmentation leaves its size unchanged."""


def policy(named: Augment | AugmentSettings | None, size: int) -> Policy | None:
    """torchvision's augmentation of that name, by name alone at its defaults (AutoAugment: the
    ImageNet policy), or timm's; drawing from torch's global CPU generator, or from those that it
    keys. `size`: of the crops."""
    if named is None:
        return None
    if isinstance(named, TimmRandAugment):
        return _timms(named.policy, size)
    name = named if isinstance(named, str) else named.name
    arguments = {} if isinstance(named, str) else named.model_dump(exclude={"name"})
    if "policy" in arguments:
        arguments["policy"] = transforms.AutoAugmentPolicy(arguments["policy"])
    made = getattr(transforms, name)(**arguments)
    # AugMix's pixels are computed by torch, and not by Pillow.
    return by_pillow(made) if name == "AugMix" else torchvisions(made)


def _timms(config: str, size: int) -> Policy:
    """With the constants that timm's own loader gives it for ImageNet."""
    mean = tuple(round(255 * channel) for channel in IMAGENET_MEAN)
    hparams = {"translate_const": int(0.45 * size), "img_mean": mean}
    made = rand_augment_transform(config, hparams)

    def augmented(image: Pixel) -> Pixel:
        with keyed_beside_torch():
            return np.asarray(made(Image.fromarray(image)))

    return augmented


def cropping(size: int, crop: RandomResized | None) -> Policy:
    """(H, W, 3) -> (size, size, 3); draws from torch's global CPU generator."""
    if crop is not None:
        made = transforms.RandomResizedCrop(size, crop.scale, crop.ratio)
        return lambda image: np.asarray(made(Image.fromarray(image)))

    def cut(image: Pixel) -> Pixel:
        top, left = (int(torch.randint(side - size + 1, ())) for side in image.shape[:2])
        return image[top : top + size, left : left + size]

    return cut


@dataclass(frozen=True)
class TrainImage:
    """A training's image: cropped, flipped with a probability, augmented. Draws from torch's global
    CPU generator."""

    crop: Policy
    hflip: float = 0.0
    augment: Policy | None = None

    def __call__(self, image: Pixel) -> Tensor:
        """(H, W, 3) -> uint8 tensor (size, size, 3)"""
        made = self.crop(image)
        if self.hflip and float(torch.rand(1)) < self.hflip:
            made = made[:, ::-1]
        if self.augment is not None:
            made = self.augment(np.ascontiguousarray(made))
        return torch.from_numpy(made.copy())


def centre_crop(image: Pixel, size: int) -> Pixel:
    """(H, W, 3) -> (size, size, 3), rounded as torchvision's CenterCrop."""
    top, left = (round((side - size) / 2) for side in image.shape[:2])
    return image[top : top + size, left : left + size]


class Normalize:
    """uint8 (N, H, W, 3) on any device -> float (N, 3, H, W) in channels_last."""

    def __init__(self, mean: list[float], std: list[float], device: torch.device) -> None:
        self.mean, self.std = mean, std
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1) * 255

    def __call__(self, images: Tensor) -> Tensor:
        return (images.permute(0, 3, 1, 2).float() - self._mean) / self._std
