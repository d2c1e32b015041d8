"""Soft targets: the student learns the teacher's softened answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.tricks.distillation.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from classifier.models.stages import Output

TEMPERATURE = 4.0


class SoftTarget(Method):
    name: ClassVar = "soft_target"
    original: ClassVar = "SoftTarget"
    paper: ClassVar = "Hinton et al., 2015"
    by_maps: ClassVar = False

    def term(self, student: Output, teacher: Output) -> Tensor:
        return soft_target(student.logits, teacher.logits)


def soft_target(student: Tensor, teacher: Tensor) -> Tensor:
    """Divergence of the student's softened logits (N, C) from the teacher's, averaged over the
    batch, times T squared; T = 4."""
    import torch.nn.functional as F

    ours = F.log_softmax(student / TEMPERATURE, dim=1)
    theirs = F.softmax(teacher / TEMPERATURE, dim=1)
    return F.kl_div(ours, theirs, reduction="batchmean") * TEMPERATURE**2
