"""Focal loss: what is answered well counts less."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from classifier.tricks.base import TaskLoss
from classifier.tricks.losses.base import Loss, soft

if TYPE_CHECKING:
    from torch import Tensor


class Focal(Loss):
    """(1 - p of the target)^gamma * cross-entropy of each image, weighted, then the mean."""

    paper: ClassVar = "Lin et al., 2017"
    original: ClassVar = "FocalLoss"

    name: Literal["focal"] = "focal"
    gamma: float = Field(2.0, ge=0)

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        def focal(logits: Tensor, targets: Tensor) -> Tensor:
            log_p = logits.log_softmax(dim=1)
            each = soft(targets, logits) * (1 - log_p.exp()) ** self.gamma * -log_p
            if weight is not None:
                each = each * weight
            return each.sum(dim=1).mean()

        return focal
