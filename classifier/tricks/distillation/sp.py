"""Similarity-preserving: what is alike to the teacher shall be so to the student."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.tricks.base import Reduction
from classifier.tricks.distillation.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from classifier.models.stages import Output


class SimilarityPreserving(Method):
    """Compares the images of a batch with each other, so it needs the whole of it."""

    name: ClassVar = "sp"
    original: ClassVar = "SP"
    paper: ClassVar = "Tung and Mori, 2019"
    reduction: ClassVar[Reduction] = "whole"

    def term(self, student: Output, teacher: Output) -> Tensor:
        import torch

        pairs = zip(student.stages, teacher.stages, strict=True)
        return torch.stack([similarity(ours, theirs) for ours, theirs in pairs]).sum()


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Batch similarity matrices of maps (N, C, H, W), rows L2-normalised; squared Frobenius
    distance over N squared."""
    ours, theirs = (_similarities(features.flatten(1)) for features in (student, teacher))
    return (ours - theirs).square().sum() / len(student) ** 2


def _similarities(features: Tensor) -> Tensor:
    import torch.nn.functional as F

    return F.normalize(features @ features.T, dim=1)
