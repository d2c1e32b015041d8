"""Cross-entropy under label smoothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from classifier.basics.settings import Fraction
from classifier.tricks.base import TaskLoss
from classifier.tricks.losses.base import Loss

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Loss):
    """Cross-entropy; with class weights divided by the weights of the batch's images."""

    paper: ClassVar = "Szegedy et al., 2016 (label smoothing)"
    original: ClassVar = "CrossEntropyLoss"
    balanced_reduction: ClassVar = "whole"

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.1

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        from torch import nn

        return nn.CrossEntropyLoss(weight, label_smoothing=self.label_smoothing)
