"""Files of a user's: the built-in SAM, mixup and focal loss as a user would write them, and one
object of each other kind."""

from __future__ import annotations

from pathlib import Path

from classifier.basics.users import Plugin
from classifier.plugins.brought import Brought, bring
from classifier.plugins.spec import as_setting

TRICKS = '''\
"""What a user writes."""

import random

import numpy as np
import torch
from helpers import climb
from torchvision.transforms import v2

from classifier.plugins import Act, augmentation, loss, model, optimizer, trick


@trick(takes_over=["step"])
class my_sam(Act):
    def __init__(self, *, rho: float = 0.05):
        self.rho = rho

    def step(self, update, inner):
        with torch.random.fork_rng([]):
            value = update.gradients()
        buffers = [(buffer, buffer.clone()) for buffer in update.network.buffers()]
        weights = [(weight, weight.detach().clone()) for weight in update.weights]
        climb([weight for weight, _ in weights], update.scale, self.rho)
        update.gradients()
        with torch.no_grad():
            for tensor, before in [*weights, *buffers]:
                tensor.copy_(before)
        update.apply()
        return value


@trick(apart=["mixing"])
class my_mixup(Act):
    def __init__(self, training, *, alpha: float = 1.0, probability: float = 0.5):
        self.mix = v2.MixUp(alpha=alpha, num_classes=training.classes)
        self.probability = probability

    def batch(self, images, targets):
        if float(torch.rand(())) >= self.probability:
            return images, targets
        mixed, soft = self.mix(images, targets)
        return mixed.contiguous(memory_format=torch.channels_last), soft


@trick
class noisy(Act):
    """Keeps a state, and draws from NumPy and `random`: adds noise to a running mean of losses."""

    def __init__(self, *, share: float = 0.5):
        self.share, self.mean = share, torch.zeros(())

    def step(self, update, inner):
        value = inner()
        self.mean = self.share * self.mean + (1 - self.share) * value
        with torch.no_grad():
            for weight in update.weights:
                weight.mul_(1 - 1e-3 * float(self.mean) * np.random.rand() * random.random())
        return value

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


@loss
def my_focal(logits, targets, weight, *, gamma: float = 2.0):
    if targets.ndim == 1:
        targets = torch.nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    log_p = logits.log_softmax(dim=1)
    each = targets * (1 - log_p.exp()) ** gamma * -log_p
    if weight is not None:
        each = each * weight
    return each.sum(dim=1).mean()


@augmentation
def flip(image, *, how: str = "numpy"):
    numpys, pythons = np.random.rand(), random.random()
    draws = {"numpy": numpys, "random": pythons, "torch": float(torch.rand(()))}
    return image[:, ::-1] if draws[how] < 0.5 else image


@optimizer
def plain(groups, lr, *, momentum: float = 0.9, nesterov: bool = True, weight_decay: float = 5e-4):
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)


@optimizer
class Sign(torch.optim.Optimizer):
    """Down by the sign of a running mean of the gradients."""

    def __init__(self, groups, lr, *, beta: float = 0.9):
        super().__init__(groups, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                    mean.lerp_(weight.grad, 1 - group["beta"])
                    weight.sub_(mean.sign(), alpha=group["lr"])


@model
def tiny_net(classes, *, width: int = 8):
    from torch import nn

    convolution = nn.Conv2d(3, width, 3, 2)
    pooled = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(convolution, nn.BatchNorm2d(width), pooled), width
'''

HELPERS = """\
import torch


def climb(weights, scale, rho):
    with torch.no_grad():
        gradients = [weight.grad / scale for weight in weights if weight.grad is not None]
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        if norm.isfinite():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.add_(gradient, alpha=float(rho / (norm + 1e-12)))
"""


def written(folder: Path, tricks: str = TRICKS, helpers: str = HELPERS) -> Brought:
    """The files in that folder, read."""
    (folder / "tricks.py").write_text(tricks)
    (folder / "helpers.py").write_text(helpers)
    return bring(folder, ["tricks.py"])


def setting(brought: Brought, name: str, **settings: object) -> Plugin:
    """One of their objects with these settings, for a training's."""
    return as_setting(brought.declared[name], settings)


def digests(brought: Brought) -> dict[str, str]:
    return {name: each.digest for name, each in brought.declared.items()}
