"""One step of the optimiser, with the tricks that act on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from classifier.models.network import Network
from classifier.tricks.base import Act, Batch, BatchLoss, TaskLoss, Update


@dataclass
class Step:
    """It knows no device, nor which tricks there are: the trainer gives it all."""

    network: Network
    optimizer: torch.optim.Optimizer
    task: TaskLoss
    autocast: torch.autocast
    scaler: torch.amp.GradScaler
    acts: Sequence[Act] = ()
    micro_batch: int | None = None
    clip_grad: float | None = None
    """The most that the norm of all gradients together may be."""

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """The loss of this batch, detached. images: (N, 3, H, W), targets: (N,)."""
        for act in self.acts:
            images, targets = act.batch(images, targets)
        update = _Update(self, images, targets)
        stepping: Callable[[], Tensor] = update.plain
        for act in self.acts:
            stepping = partial(act.step, update, stepping)
        return stepping()

    def loss(self, images: Tensor, targets: Tensor) -> BatchLoss:
        """Of a batch, or of a part of it."""
        batch = Batch(self.network, images, targets, self.task)

        def plain() -> BatchLoss:
            return BatchLoss(self.task(self.network(images), targets))

        computing: Callable[[], BatchLoss] = plain
        for act in self.acts:
            computing = partial(act.loss, batch, computing)
        return computing()


class _Update(Update):
    def __init__(self, step: Step, images: Tensor, targets: Tensor) -> None:
        self._step, self._images, self._targets = step, images, targets
        self.network, self.optimizer = step.network, step.optimizer
        self.device = images.device

    def plain(self) -> Tensor:
        """A step without any trick."""
        loss = self.gradients()
        self.apply()
        return loss

    def gradients(self) -> Tensor:
        step, images = self._step, self._images
        step.optimizer.zero_grad(set_to_none=True)
        sizes = micro_sizes(len(images), step.micro_batch)
        losses = []
        parts = zip(torch.split(images, sizes), torch.split(self._targets, sizes), strict=True)
        for part, targets in parts:
            with step.autocast:
                of_part = step.loss(part, targets)
                loss = of_part.mean * (len(part) / len(images))
                loss = loss if of_part.total is None else loss + of_part.total
            step.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    @property
    def scale(self) -> float:
        return self._step.scaler.get_scale()

    def apply(self) -> None:
        if self._step.clip_grad is not None:
            self._step.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.weights, self._step.clip_grad)
        self._step.scaler.step(self._step.optimizer)
        self._step.scaler.update()


def micro_sizes(images: int, micro_batch: int | None) -> list[int]:
    """The sizes of a batch's parts. A last one of a single image, of which batch norm has no
    variance, goes with the one before."""
    if micro_batch is None or images <= micro_batch + 1:
        return [images]
    sizes = [micro_batch] * (images // micro_batch)
    rest = images % micro_batch
    if rest == 1:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
