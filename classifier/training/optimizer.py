"""The optimiser that a training names."""

from __future__ import annotations

import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from classifier.config.optimizers import SGD, AdamW, RMSProp
from classifier.plugins.spec import UserOptimizer


def make_optimizer(
    network: nn.Module, spec: AdamW | SGD | RMSProp | UserOptimizer, lr: float
) -> torch.optim.Optimizer:
    """Weight decay on weights, none on biases and norm layers."""
    groups = param_groups_weight_decay(network, weight_decay=spec.weight_decay)
    if isinstance(spec, UserOptimizer):
        return spec.make(groups, lr)
    if isinstance(spec, AdamW):
        betas = (spec.beta1, spec.beta2)
        return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=0.0, fused=True)
    if isinstance(spec, SGD):
        return torch.optim.SGD(groups, lr=lr, momentum=spec.momentum, nesterov=spec.nesterov)
    return torch.optim.RMSprop(groups, lr=lr, alpha=spec.alpha, momentum=spec.momentum)
