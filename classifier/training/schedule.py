"""The learning rate of each step."""

from __future__ import annotations

import math

import torch

from classifier.basics.errors import UserError
from classifier.config.schedules import Cosine, OverAll, Schedule, Stairs, TorchSchedule
from classifier.config.spec import TrainSpec


def learning_rates(spec: TrainSpec, steps: int = 1) -> list[float]:
    """The rate of each step, `steps` an epoch: linear warm-up, then the schedule from its own
    start.

    By epoch, all steps of one have the rate at its begin.
    """
    schedule, warmup = spec.schedule, spec.warmup
    by_step = isinstance(schedule, OverAll) and schedule.by == "step"
    each = steps if by_step else 1  # positions in an epoch
    rising = warmup.length(spec.epochs, each) if warmup is not None else 0
    start = warmup.start_lr if warmup is not None else 0.0
    rates = [start + (spec.lr - start) * position / rising for position in range(rising)]
    rates += _falling(schedule, spec.lr, spec.epochs * each - rising, each)
    return rates if by_step else [rate for rate in rates for _ in range(steps)]


def _falling(schedule: Schedule, lr: float, positions: int, each: int) -> list[float]:
    """After the warm-up."""
    if isinstance(schedule, Cosine):
        return [_cosine(schedule, lr, epoch) for epoch in range(positions)]
    if isinstance(schedule, TorchSchedule):
        return _torch_rates(schedule, lr, positions)
    if isinstance(schedule, Stairs):
        stair = schedule.epochs * each
        return [lr * schedule.gamma ** (position // stair) for position in range(positions)]
    return [schedule.rate(lr, position / positions) for position in range(positions)]


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
