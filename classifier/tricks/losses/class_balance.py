"""Class balance: rare classes weigh more in the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def balance(labels: Tensor, classes: int) -> Tensor:
    """Class weights (C,): the square root of images / (classes * images of the class)."""
    import torch

    counts = torch.bincount(labels, minlength=classes).double()
    return (len(labels) / (classes * counts)).sqrt().float()
