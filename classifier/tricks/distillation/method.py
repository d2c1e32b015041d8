"""What a method of distillation is: a term of the student's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.tricks.base import Reduction

if TYPE_CHECKING:
    from torch import Tensor, nn

    from classifier.models.stages import Output


class Method:
    """Base of all methods; one is made for a training."""

    name: ClassVar[str]
    original: ClassVar[str] = ""
    """What the original's `--kd_method` calls it, if it has it."""
    paper: ClassVar[str]
    reduction: ClassVar[Reduction] = "mean"
    by_maps: ClassVar[bool] = True
    """It looks at feature maps, and not at logits alone, which every network has."""
    place_by_place: ClassVar[bool] = False
    """It compares the maps of student and teacher at each place, so they must be as large."""
    layers: nn.Module | None = None
    """Its own, which are trained along with the student."""

    def __init__(self, student: int, teacher: int, seed: int) -> None:
        """`student`, `teacher`: the channels of their last maps, where it looks at maps; else 0."""

    @staticmethod
    def weight(ratio: float) -> float:
        """Of the term: r / (1 - r), for which r is the share of the whole loss; r itself from 1."""
        return ratio if ratio >= 1 else ratio / (1 - ratio)

    def term(self, student: Output, teacher: Output) -> Tensor:
        """A batch's term, before it is weighted."""
        raise NotImplementedError
