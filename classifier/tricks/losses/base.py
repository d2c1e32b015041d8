"""What a loss is: its settings, and the function of logits and targets that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from classifier.basics.settings import Settings
from classifier.tricks.base import Others, Reduction, TaskLoss

if TYPE_CHECKING:
    from torch import Tensor


class Loss(Settings):
    """Base of all losses. Each has a `name`, a Literal of one word."""

    paper: ClassVar[str]
    original: ClassVar[str] = ""
    """What the original's `--loss` calls it, if it has it."""
    balanced_reduction: ClassVar[Reduction] = "mean"
    """With class weights."""

    name: str

    def check(self, spec: Others) -> None:
        """Raises ValueError for what it can't be combined with, by name."""
        whole = spec.class_balance and self.balanced_reduction == "whole"
        if spec.micro_batch is not None and whole:
            raise ValueError(
                f"'micro_batch' can't be combined with 'class_balance' of loss '{self.name}', "
                "which divides by the weights of a whole batch; loss 'focal' does not"
            )

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        """The loss that is trained on. `weight`: one for each class (C,), or none."""
        raise NotImplementedError


def soft(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as probabilities (N, C)."""
    import torch.nn.functional as F

    if targets.ndim == 2:
        return targets
    return F.one_hot(targets, logits.shape[1]).to(logits.dtype)
