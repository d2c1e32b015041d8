"""Attention transfer: the student shall look where the teacher looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.tricks.distillation.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from classifier.models.stages import Output


class AttentionTransfer(Method):
    name: ClassVar = "at"
    original: ClassVar = "AT"
    paper: ClassVar = "Zagoruyko and Komodakis, 2017"
    place_by_place: ClassVar = True

    @staticmethod
    def weight(ratio: float) -> float:
        return ratio

    def term(self, student: Output, teacher: Output) -> Tensor:
        import torch

        pairs = zip(student.stages, teacher.stages, strict=True)
        return torch.stack([attention(ours, theirs) for ours, theirs in pairs]).sum()


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of the maps (N, C, H, W) averaged over squared channels, flattened,
    L2-normalised."""
    import torch.nn.functional as F

    ours, theirs = (
        F.normalize(features.square().mean(dim=1).flatten(1), dim=1)
        for features in (student, teacher)
    )
    return F.mse_loss(ours, theirs)
