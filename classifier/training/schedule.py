"""The learning rate of each epoch."""

from __future__ import annotations

import math

import torch

from classifier.basics.errors import UserError
from classifier.config.schedules import Cosine, TorchSchedule
from classifier.config.spec import TrainSpec


def learning_rates(spec: TrainSpec) -> list[float]:
    """The rate of each epoch: linear warm-up, then the schedule from its own start."""
    warmup = spec.warmup
    epochs = int(warmup.ratio * spec.epochs) if warmup is not None else 0
    start = warmup.start_lr if warmup is not None else 0.0
    rising = [start + (spec.lr - start) * epoch / epochs for epoch in range(epochs)]
    after = spec.epochs - epochs
    if isinstance(spec.schedule, Cosine):
        return rising + [_cosine(spec.schedule, spec.lr, epoch) for epoch in range(after)]
    return rising + _torch_rates(spec.schedule, spec.lr, after)


def _cosine(schedule: Cosine, lr: float, epoch: int) -> float:
    """Down to `min_lr` in `t_max` epochs, then up again in as many."""
    wave = math.cos(math.pi * epoch / schedule.t_max)
    return schedule.min_lr + (lr - schedule.min_lr) * (1 + wave) / 2


def _torch_rates(schedule: TorchSchedule, lr: float, epochs: int) -> list[float]:
    """What a scheduler of torch's does to a rate, a step an epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    try:
        scheduler = getattr(torch.optim.lr_scheduler, schedule.name)(
            optimizer, **schedule.arguments
        )
        rates = []
        for _ in range(epochs):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    except (TypeError, ValueError) as error:
        raise UserError(f"schedule {schedule.name} does not take its arguments: {error}") from error
    return rates
