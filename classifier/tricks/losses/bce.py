"""Binary cross-entropy: a question of its own for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from classifier.basics.settings import Fraction
from classifier.tricks.base import TaskLoss
from classifier.tricks.losses.base import Loss, soft

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of each class, the mean over them, or with `sum_classes` the sum;
    targets above `target_threshold` count as 1, others as 0. With class weights each class's is
    weighted."""

    paper: ClassVar = "Wightman et al., 2021"
    balanced_reduction: ClassVar = "mean"

    name: Literal["bce"] = "bce"
    label_smoothing: Fraction = 0.0
    target_threshold: Annotated[float, Field(ge=0, lt=1)] | None = None
    sum_classes: bool = False

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        import torch.nn.functional as F

        def binary(logits: Tensor, targets: Tensor) -> Tensor:
            smooth = self.label_smoothing
            logits = logits.float() if logits.itemsize < 4 else logits  # under autocast
            probable = soft(targets, logits) * (1 - smooth) + smooth / logits.shape[1]
            if self.target_threshold is not None:
                probable = probable.gt(self.target_threshold).to(logits.dtype)
            each = F.binary_cross_entropy_with_logits(logits, probable, weight, reduction="none")
            return each.sum(dim=1).mean() if self.sum_classes else each.mean()

        return binary
