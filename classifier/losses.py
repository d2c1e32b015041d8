"""The training losses and R-Drop."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from classifier.models import Network
from classifier.spec import CrossEntropy, RDrop

TaskLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits (N, C), labels (N,)) -> the mean over the batch."""


def task_loss(spec: CrossEntropy) -> TaskLoss:
    return nn.CrossEntropyLoss(label_smoothing=spec.label_smoothing)


def rdrop_loss(
    first: Tensor, second: Tensor, labels: Tensor, task: TaskLoss, spec: RDrop
) -> Tensor:
    """Mean of the two task losses + weight * (KL(p||q) + KL(q||p)) / 2 (Liang et al., 2021).

    first, second: logits (N, C) of two passes. The KL terms are summed over batch and classes, as
    the changelog's program does.
    """
    p, q = F.log_softmax(first, dim=1), F.log_softmax(second, dim=1)
    divergence = F.kl_div(p, q, reduction="sum", log_target=True) + F.kl_div(
        q, p, reduction="sum", log_target=True
    )
    task_part = (task(first, labels) + task(second, labels)) / 2
    return task_part + spec.weight * divergence / 2


def two_passes(network: Network, images: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """Logits of two passes in train mode.

    With `passes` = 1 the trunk runs once and the head twice. Where `trunk_passes` allows that,
    loss, gradients and running statistics are those of two whole passes.
    """
    if passes == 2:
        return network(images), network(images)
    with _batch_norm_counts_twice(network.trunk):
        features = network.trunk(images)
    return network.head(features), network.head(features)


def trunk_passes(network: Network, images: Tensor) -> int:
    """1 if the trunk gives the same in every pass over one batch, else 2. Found by trying.

    On a copy in train mode, a pass over `images` (N, 3, H, W) must leave every random generator as
    it was, and may change no buffers but those of batch norms with a numeric momentum.
    """
    trunk = copy.deepcopy(network.trunk).train()
    before = {name: buffer.clone() for name, buffer in trunk.named_buffers()}
    states = _generator_states(images.device)
    with torch.no_grad():
        trunk(images)
    if _generator_states(images.device) != states:
        return 2
    for name, buffer in trunk.named_buffers():
        owner = trunk.get_submodule(name.rpartition(".")[0])
        known = isinstance(owner, _BatchNorm) and owner.momentum is not None
        if not known and not torch.equal(buffer, before[name]):
            return 2
    return 1


def _generator_states(device: torch.device) -> list[object]:
    states: list[object] = [torch.get_rng_state().tolist(), random.getstate()]
    states.append(pickle.dumps(np.random.get_state()))
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device).tolist())
    return states


@contextmanager
def _batch_norm_counts_twice(trunk: nn.Module) -> Iterator[None]:
    """One forward pass moves running statistics as two passes over the same batch would.

    r <- (1 - m) r + m s, done twice, is one step with 1 - (1 - m)^2.
    """
    norms = [module for module in trunk.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        if norm.momentum is not None:
            norm.momentum = 1 - (1 - norm.momentum) ** 2
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
