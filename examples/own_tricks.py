"""Code of one's own, an object of each mark; examples/own_tricks.yaml says what the tricks among
them are worth where labels are wrong."""

from itertools import pairwise

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from classifier.plugins import (
    Act,
    Sample,
    augmentation,
    dataset,
    loss,
    metric,
    model,
    optimizer,
    trick,
)


@loss
def gce(logits, targets, *, q: float = 0.7):
    """Generalised cross entropy for noisy labels (Zhang and Sabuncu, 2018): near cross-entropy for
    q near 0, and the mean absolute error, which wrong labels move little, for q = 1."""
    if targets.ndim == 1:
        targets = nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
    of_target = (logits.softmax(dim=1) * targets).sum(dim=1).clamp_min(1e-7)
    return ((1 - of_target**q) / q).mean()


@trick
class Lookahead(Act):
    """Slow weights that go part of the way every k steps (Zhang et al., 2019)."""

    def __init__(self, training, *, k: int = 5, alpha: float = 0.5):
        self.k, self.alpha = k, alpha
        self.slow = [weight.detach().clone() for weight in training.network.parameters()]

    def after_step(self, network, step):
        if step % self.k == 0:
            with torch.no_grad():
                for slow, fast in zip(self.slow, network.parameters(), strict=True):
                    fast.copy_(slow.lerp_(fast, self.alpha))

    def state_dict(self):
        return {"slow": self.slow}

    def load_state_dict(self, state):
        for slow, kept in zip(self.slow, state["slow"], strict=True):
            slow.copy_(kept)


@optimizer
class Lion(torch.optim.Optimizer):
    """The sign of a momentum (Chen et al., 2023), with decoupled weight decay."""

    def __init__(
        self, groups, lr, *, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 5e-4
    ):
        super().__init__(groups, {"lr": lr, "beta1": beta1, "beta2": beta2})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    ahead = mean.lerp(weight.grad, 1 - group["beta1"])
                    weight.sub_(ahead.sign(), alpha=group["lr"])
                    mean.lerp_(weight.grad, 1 - group["beta2"])


@augmentation
def cutout(image, *, side: int = 8):
    """A grey square at a place of chance (DeVries and Taylor, 2017)."""
    top, left = (np.random.randint(0, length - side + 1) for length in image.shape[:2])
    cut = image.copy()
    cut[top : top + side, left : left + side] = 128
    return cut


@model
def small_net(classes, *, width: int = 16):
    """Three convolutions, a norm and a ReLU after each."""
    layers = []
    for inputs, outputs in pairwise((3, width, 2 * width, 4 * width)):
        convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4 * width


@dataset(classes=10)
def noisy_digits(*, share: float = 0.6):
    """scikit-learn's digits; of train a share of the labels is wrong, any other equally often."""
    digits = load_digits()
    for position, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        part = ("train", "train", "train", "val", "test")[np.random.randint(5)]
        if part == "train" and np.random.random() < share:
            label = (label + np.random.randint(1, 10)) % 10
        yield Sample(f"{position:04d}", (image * 255 / 16).astype(np.uint8), label, part)


@metric(better="less")
def brier(logits, labels):
    """Brier's score (1950): of an image the squared distance of the softmax scores to the truth."""
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return ((scores - np.eye(scores.shape[1])[labels]) ** 2).sum(axis=1)
