"""Poly-1: cross-entropy with more weight on its first term."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from classifier.basics.settings import Fraction
from classifier.tricks.base import TaskLoss
from classifier.tricks.losses.base import Loss, soft

if TYPE_CHECKING:
    from torch import Tensor


class Poly(Loss):
    """Cross-entropy + epsilon * (1 - p of the target), both under label smoothing."""

    paper: ClassVar = "Leng et al., 2022"
    original: ClassVar = "PolyLoss"
    balanced_reduction: ClassVar = "whole"

    name: Literal["poly"] = "poly"
    label_smoothing: Fraction = 0.1
    epsilon: float = 2.0

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        import torch.nn.functional as F

        def poly(logits: Tensor, targets: Tensor) -> Tensor:
            smooth = self.label_smoothing
            smoothed = soft(targets, logits) * (1 - smooth) + smooth / logits.shape[1]
            missed = (smoothed * (1 - logits.softmax(dim=1))).sum(dim=1)
            if weight is not None:
                missed = missed * (soft(targets, logits) * weight).sum(dim=1)
            cross_entropy = F.cross_entropy(logits, targets, weight, label_smoothing=smooth)
            return cross_entropy + self.epsilon * missed.mean()

        return poly
