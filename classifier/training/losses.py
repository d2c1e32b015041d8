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
from torchvision.transforms import v2

from classifier.config.spec import CrossEntropy, Focal, Mixing, Poly, RDrop
from classifier.models.network import Network

TaskLoss = Callable[[Tensor, Tensor], Tensor]
"""(logits (N, C), class indices (N,) or probabilities (N, C)) -> the mean over the batch."""


def task_loss(spec: CrossEntropy | Poly | Focal, weight: Tensor | None = None) -> TaskLoss:
    """The loss that is trained on. `weight`: one for each class (C,), or none."""
    if isinstance(spec, CrossEntropy):
        return nn.CrossEntropyLoss(weight, label_smoothing=spec.label_smoothing)
    if isinstance(spec, Poly):
        return lambda logits, targets: _poly(logits, targets, spec, weight)
    return lambda logits, targets: _focal(logits, targets, spec, weight)


def _poly(logits: Tensor, targets: Tensor, spec: Poly, weight: Tensor | None) -> Tensor:
    """Poly-1: the cross-entropy + epsilon * (1 - the targets' probability), both under label
    smoothing (Leng et al., 2022)."""
    smooth = spec.label_smoothing
    soft = _soft(targets, logits) * (1 - smooth) + smooth / logits.shape[1]
    missed = (soft * (1 - logits.softmax(dim=1))).sum(dim=1)
    if weight is not None:
        missed = missed * (_soft(targets, logits) * weight).sum(dim=1)
    cross_entropy = F.cross_entropy(logits, targets, weight, label_smoothing=smooth)
    return cross_entropy + spec.epsilon * missed.mean()


def _focal(logits: Tensor, targets: Tensor, spec: Focal, weight: Tensor | None) -> Tensor:
    """(1 - p)^gamma * cross-entropy of each image, weighted, then the mean (Lin et al., 2017)."""
    soft = _soft(targets, logits)
    log_p = logits.log_softmax(dim=1)
    each = soft * (1 - log_p.exp()) ** spec.gamma * -log_p
    if weight is not None:
        each = each * weight
    return each.sum(dim=1).mean()


def _soft(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as probabilities (N, C)."""
    if targets.ndim == 2:
        return targets
    return F.one_hot(targets, logits.shape[1]).to(logits.dtype)


def balance(labels: Tensor, classes: int) -> Tensor:
    """Class weights (C,): the square root of images / (classes * images of the class)."""
    counts = torch.bincount(labels, minlength=classes).double()
    return (len(labels) / (classes * counts)).sqrt().float()


class Mixer:
    """torchvision's MixUp or CutMix, applied to a batch with a probability.

    Draws from torch's global CPU generator, which each training step keys.
    """

    def __init__(self, spec: Mixing, classes: int) -> None:
        kind = v2.MixUp if spec.name == "mixup" else v2.CutMix
        self._mix = kind(alpha=spec.alpha, num_classes=classes)
        self._probability = spec.probability

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images and probabilities (N, C), or the images and labels as they are."""
        if float(torch.rand(())) >= self._probability:
            return images, labels
        mixed, soft = self._mix(images, labels)
        return mixed.contiguous(memory_format=torch.channels_last), soft


def rdrop_loss(
    first: Tensor, second: Tensor, targets: Tensor, task: TaskLoss, spec: RDrop
) -> tuple[Tensor, Tensor]:
    """The mean of the two task losses, and weight * (KL(p||q) + KL(q||p)) / 2 (Liang et al., 2021).

    first, second: logits (N, C) of two passes. The first part is a mean over the batch; the KL
    terms are summed over batch and classes, as the changelog's program does.
    """
    p, q = F.log_softmax(first, dim=1), F.log_softmax(second, dim=1)
    divergence = F.kl_div(p, q, reduction="sum", log_target=True) + F.kl_div(
        q, p, reduction="sum", log_target=True
    )
    task_part = (task(first, targets) + task(second, targets)) / 2
    return task_part, spec.weight * divergence / 2


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
