"""Mixup and CutMix: pairs of images, and their labels, made one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from classifier.basics.settings import Positive, named, switch
from classifier.tricks.base import Act, Beginning, Flag, Trick

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = ("mixup", "cutmix", "none")


class Mixing(Trick):
    """Mixup or CutMix of pairs of images and of their labels: shares from Beta(alpha, alpha),
    applied to a batch with this probability."""

    setting: ClassVar = "mixing"
    paper: ClassVar = "Zhang et al., 2018 (mixup); Yun et al., 2019 (cutmix)"
    after: ClassVar = "albumentations"
    flags: ClassVar = (
        Flag("mixup", "mixing", "applied to half of the batches", _WORDS, {"none": False}),
    )
    readings: ClassVar = (switch, named)

    name: Literal["mixup", "cutmix"] = "mixup"
    alpha: Positive = 1.0
    probability: Annotated[float, Field(gt=0, le=1)] = 0.5

    def begin(self, training: Beginning) -> Mixer:
        return Mixer(self, training.classes)


class Mixer(Act):
    """torchvision's MixUp or CutMix, applied to a batch with a probability."""

    def __init__(self, settings: Mixing, classes: int) -> None:
        from torchvision.transforms import v2

        kind = v2.MixUp if settings.name == "mixup" else v2.CutMix
        self._mix = kind(alpha=settings.alpha, num_classes=classes)
        self._probability = settings.probability

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images and probabilities (N, C), or the images and labels as they are."""
        import torch

        if float(torch.rand(())) >= self._probability:
            return images, targets
        mixed, soft = self._mix(images, targets)
        return mixed.contiguous(memory_format=torch.channels_last), soft
