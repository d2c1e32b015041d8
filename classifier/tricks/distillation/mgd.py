"""Masked generative distillation: the teacher's map is generated from a part of the student's."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.tricks.distillation.method import Method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from classifier.models.stages import Output

MGD_WEIGHT = 7e-5
MGD_DROP = 0.15


class MaskedGenerative(Method):
    """Its convolutions are trained along with the student."""

    name: ClassVar = "mgd"
    original: ClassVar = "MGD"
    paper: ClassVar = "Yang et al., 2022"
    place_by_place: ClassVar = True

    def __init__(self, student: int, teacher: int, seed: int) -> None:
        from torch import nn

        from classifier.basics.randomness import keyed

        self.align: nn.Module = nn.Identity()
        with keyed(seed, "mgd"):
            if student != teacher:
                self.align = nn.Conv2d(student, teacher, 1)
            self.generation = nn.Sequential(
                nn.Conv2d(teacher, teacher, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(teacher, teacher, 3, padding=1),
            )
        self.layers = nn.ModuleDict({"generation": self.generation, "align": self.align})

    def term(self, student: Output, teacher: Output) -> Tensor:
        """Of the last map: channels dropped at random, and the teacher's map generated from what is
        left; the squared error summed, over the batch's size. The masks are drawn from the CPU's
        generator, which each step keys."""
        import torch

        ours, theirs = student.stages[-1], teacher.stages[-1]
        aligned = self.align(ours)
        kept = torch.rand(aligned.shape[0], aligned.shape[1], 1, 1) >= MGD_DROP
        generated = self.generation(aligned * kept.to(aligned.device))
        error: Tensor = (generated.float() - theirs.float()).square().sum()
        return error * (MGD_WEIGHT / len(ours))
