"""Sharpness-Aware Minimization: go down by the gradient at the worst point nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from classifier.basics.settings import Positive
from classifier.tricks.base import Act, Beginning, Trick, Update

if TYPE_CHECKING:
    from torch import Tensor


class Sam(Trick):
    """Two passes over a batch: at the weights, then `rho` up their gradient, whose gradient moves
    the weights. Both see the same images and the same draws."""

    setting: ClassVar = "sam"
    paper: ClassVar = "Foret et al., 2021"
    takes_over: ClassVar = ("step",)
    told_by_slug: ClassVar = True

    rho: Positive = 0.05

    def passes(self, model: str) -> int:
        return 2

    def begin(self, training: Beginning) -> SharpnessAware:
        return SharpnessAware(self.rho)


class SharpnessAware(Act):
    def __init__(self, rho: float) -> None:
        self._rho = rho

    def step(self, update: Update, inner: Callable[[], Tensor]) -> Tensor:
        import torch

        # Both passes draw the same: the generators are put back to where they were.
        with torch.random.fork_rng([update.device] if update.device.type == "cuda" else []):
            loss = update.gradients()
        # Running statistics and other buffers move in the first pass only.
        buffers = [(buffer, buffer.clone()) for buffer in update.network.buffers()]
        weights = [(weight, weight.detach().clone()) for weight in update.weights]
        _climb([weight for weight, _ in weights], update.scale, self._rho)
        update.gradients()
        with torch.no_grad():
            for tensor, before in [*weights, *buffers]:
                tensor.copy_(before)
        update.apply()
        return loss


def _climb(weights: list[Tensor], scale: float, rho: float) -> None:
    """Move the weights by `rho` along their gradient over all of them, which is unscaled first.

    Where it overflowed (amp) they stay: the second pass overflows too, and the step is skipped.
    """
    import torch

    with torch.no_grad():
        gradients = [weight.grad / scale for weight in weights if weight.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        if norm.isfinite():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.add_(gradient, alpha=float(rho / (norm + 1e-12)))
