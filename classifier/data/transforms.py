"""From a cached image to the network's input.

Training: random crop, then the policy. Everything else: centre crop. Images stay uint8 until
`normalize`, which works on whole batches on the device.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import transforms

from classifier.data.augment import Augment

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]

Pixel = NDArray[np.uint8]
Policy = Callable[[Pixel], Pixel]
"""Augments an image (H, W, 3), its size unchanged."""


def policy(name: Augment | None) -> Policy | None:
    """torchvision's augmentation of that name at its defaults (AutoAugment: the ImageNet policy),
    drawing from torch's global CPU generator."""
    if name is None:
        return None
    made = getattr(transforms, name)()
    return lambda image: np.asarray(made(Image.fromarray(image)))


def train_image(image: Pixel, size: int, augment: Policy | None) -> Tensor:
    """(H, W, 3) -> uint8 tensor (size, size, 3); draws from torch's global CPU generator."""
    top, left = (int(torch.randint(side - size + 1, ())) for side in image.shape[:2])
    crop = image[top : top + size, left : left + size]
    if augment is not None:
        crop = augment(crop)
    return torch.from_numpy(crop.copy())


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
