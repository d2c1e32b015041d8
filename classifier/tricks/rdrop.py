"""R-Drop: two passes over a batch, whose answers must agree."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from classifier.basics.settings import Positive
from classifier.models import catalogue
from classifier.tricks.base import Act, Batch, BatchLoss, Beginning, Flag, Trick

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from classifier.models.network import Network


class RDrop(Trick):
    """Two passes that must agree; `weight` of the KL term."""

    setting: ClassVar = "rdrop"
    paper: ClassVar = "Liang et al., 2021"
    apart: ClassVar = ("distill",)
    takes_over: ClassVar = ("loss",)
    after: ClassVar = "amp"
    signed_when_off: ClassVar = True
    told_by_slug: ClassVar = True
    flags: ClassVar = (Flag("rdrop", "rdrop", "two passes that must agree"),)

    weight: Positive = 0.3

    @property
    def term(self) -> str:
        return "R-Drop"

    def passes(self, model: str) -> int:
        entry = catalogue.MODELS.get(model)
        return entry.rdrop_passes if entry else 1

    def begin(self, training: Beginning) -> TwoPasses:
        import torch

        from classifier.basics.randomness import generator

        size = training.spec.image_size
        draws = generator(training.spec.seed, "rdrop probe")
        images = torch.randn((2, 3, size, size), generator=draws).to(training.device)
        return TwoPasses(self, trunk_passes(training.network, images))


class TwoPasses(Act):
    def __init__(self, settings: RDrop, passes: int) -> None:
        self._settings, self._passes = settings, passes
        self.rdrop_passes = passes

    def loss(self, batch: Batch, inner: Callable[[], BatchLoss]) -> BatchLoss:
        first, second = two_passes(batch.network, batch.images, self._passes)
        return rdrop_loss(first, second, batch, self._settings)


def rdrop_loss(first: Tensor, second: Tensor, batch: Batch, settings: RDrop) -> BatchLoss:
    """The mean of the two task losses, and weight * (KL(p||q) + KL(q||p)) / 2.

    first, second: logits (N, C) of two passes. The first part is a mean over the batch; the KL
    terms are summed over batch and classes, as the changelog's program does.
    """
    import torch.nn.functional as F

    p, q = F.log_softmax(first, dim=1), F.log_softmax(second, dim=1)
    divergence = F.kl_div(p, q, reduction="sum", log_target=True) + F.kl_div(
        q, p, reduction="sum", log_target=True
    )
    task_part = (batch.task(first, batch.targets) + batch.task(second, batch.targets)) / 2
    return BatchLoss(task_part, settings.weight * divergence / 2)


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
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    trunk = copy.deepcopy(network.trunk).train(not network.frozen)
    before = {name: buffer.clone() for name, buffer in trunk.named_buffers()}
    states = _generator_states(images.device)
    with torch.no_grad():
        trunk(images)
    if _generator_states(images.device) != states:
        return 2
    for name, buffer in trunk.named_buffers():
        owner = trunk.get_submodule(name.rpartition(".")[0])
        is_norms = isinstance(owner, _BatchNorm) and owner.momentum is not None
        if not is_norms and not torch.equal(buffer, before[name]):
            return 2
    return 1


def _generator_states(device: torch.device) -> list[object]:
    import numpy as np
    import torch

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
    from torch.nn.modules.batchnorm import _BatchNorm

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
