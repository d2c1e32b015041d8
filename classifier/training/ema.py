"""Exponential moving average of a network's weights and buffers."""

from __future__ import annotations

import copy
import math

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from classifier.config.spec import Ema
from classifier.models.network import Network


def decay_at(spec: Ema, step: int) -> float:
    """decay * (1 - exp(-step / tau)), `step` from 1: the first steps nearly copy the network."""
    return spec.decay * (1 - math.exp(-step / spec.tau))


class Average:
    """A network that follows another. Floating tensors are averaged, integer buffers copied."""

    def __init__(self, network: Network, spec: Ema) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._spec = spec

    @torch.no_grad()
    def update(self, followed: Network, step: int) -> None:
        """After the optimiser's step number `step` (from 1, skipped ones counted too)."""
        averaged, current = [], []
        pairs = zip(self.network.state_dict().values(), followed.state_dict().values(), strict=True)
        for mine, theirs in pairs:
            if mine.is_floating_point():
                averaged.append(mine)
                current.append(theirs.detach())
            else:
                mine.copy_(theirs)
        average = get_ema_multi_avg_fn(decay_at(self._spec, step))  # type: ignore[no-untyped-call]
        average(averaged, current, step)
