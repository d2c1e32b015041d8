"""Mixup and CutMix: pairs of images, and their labels, made one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from classifier.basics.settings import Positive, named, neutral, switch
from classifier.tricks.base import Act, Beginning, Flag, Trick

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = ("mixup", "cutmix", "none")


class Mixing(Trick):
    """Mixup or CutMix of pairs of images and of their labels: shares from Beta(alpha, alpha),
    applied to a batch with this probability. `mixup_or_cutmix`: by turns, CutMix with the
    probability `switch` and its own alpha."""

    setting: ClassVar = "mixing"
    paper: ClassVar = "Zhang et al., 2018 (mixup); Yun et al., 2019 (cutmix)"
    after: ClassVar = "albumentations"
    flags: ClassVar = (
        Flag("mixup", "mixing", "applied to half of the batches", _WORDS, {"none": False}),
    )
    readings: ClassVar = (switch, named)

    name: Literal["mixup", "cutmix", "mixup_or_cutmix"] = "mixup"
    alpha: Positive = 1.0
    probability: Annotated[float, Field(gt=0, le=1)] = 0.5
    cutmix_alpha: Positive = neutral(1.0)
    switch: Annotated[float, Field(gt=0, lt=1)] = neutral(0.5)

    @model_validator(mode="after")
    def _of_both(self) -> Mixing:
        both = {"cutmix_alpha": self.cutmix_alpha != 1.0, "switch": self.switch != 0.5}
        for name, is_set in both.items():
            if is_set and self.name != "mixup_or_cutmix":
                raise ValueError(
                    f"'{name}' is for mixing 'mixup_or_cutmix', and this is '{self.name}'"
                )
        return self

    def told(self) -> dict[str, Any]:
        both = {"cutmix_alpha": self.cutmix_alpha, "switch": self.switch}
        return super().told() | (both if self.name == "mixup_or_cutmix" else {})

    def begin(self, training: Beginning) -> Mixer:
        return Mixer(self, training.classes)


class Mixer(Act):
    """torchvision's MixUp or CutMix, applied to a batch with a probability."""

    def __init__(self, settings: Mixing, classes: int) -> None:
        from torchvision.transforms import v2

        self._settings = settings
        mixup = v2.MixUp(alpha=settings.alpha, num_classes=classes)
        alpha = settings.alpha if settings.name == "cutmix" else settings.cutmix_alpha
        cutmix = v2.CutMix(alpha=alpha, num_classes=classes)
        self._mix = cutmix if settings.name == "cutmix" else mixup
        self._other = cutmix

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images and probabilities (N, C), or the images and labels as they are."""
        import torch

        if float(torch.rand(())) >= self._settings.probability:
            return images, targets
        mix = self._mix
        if (
            self._settings.name == "mixup_or_cutmix"
            and float(torch.rand(())) < self._settings.switch
        ):
            mix = self._other
        mixed, soft = mix(images, targets)
        return mixed.contiguous(memory_format=torch.channels_last), soft
