"""Random erasing: a part of an image is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from classifier.basics.settings import Positive, as_tuple
from classifier.tricks.base import Act, Beginning, Trick

if TYPE_CHECKING:
    from torch import Tensor

Range = Annotated[tuple[Positive, Positive], BeforeValidator(as_tuple)]


class Erasing(Trick):
    """A rectangle of a normalised image is covered with this probability: by the data's mean, or by
    noise; a share `scale` of the area, of sides in a `ratio`."""

    setting: ClassVar = "erasing"
    paper: ClassVar = "Zhong et al., 2020"

    probability: Annotated[float, Field(gt=0, le=1)] = 0.25
    scale: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)
    value: Literal["mean", "noise"] = "mean"

    @model_validator(mode="after")
    def _there_is_such_a_part(self) -> Erasing:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"'{name}' from {low} to {high} is empty")
        if self.scale[1] > 1:
            raise ValueError(
                f"'scale' is a share of the image, and {self.scale[1]} is more than it"
            )
        return self

    def begin(self, training: Beginning) -> Eraser:
        return Eraser(self)


class Eraser(Act):
    """torchvision's RandomErasing, image by image."""

    def __init__(self, settings: Erasing) -> None:
        from torchvision.transforms import RandomErasing

        value: int | str = "random" if settings.value == "noise" else 0
        self._erase = RandomErasing(settings.probability, settings.scale, settings.ratio, value)

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W), normalised, so that 0 is the data's mean."""
        import torch

        erased = torch.stack([self._erase(image) for image in images])
        return erased.contiguous(memory_format=torch.channels_last), targets
