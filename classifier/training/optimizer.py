"""The optimiser that a training names."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_weight_decay
from torch import nn

from classifier.basics.errors import UserError
from classifier.config.optimizers import SGD, AdamW, DecayOn, LibraryOptimizer, RMSProp
from classifier.plugins.spec import UserOptimizer

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.LocalResponseNorm,
)
"""Those that torchvision's own training takes for norm layers, by their base classes."""


def make_optimizer(
    network: nn.Module,
    spec: AdamW | SGD | RMSProp | LibraryOptimizer | UserOptimizer,
    lr: float,
) -> torch.optim.Optimizer:
    """Weight decay on weights, none on biases and norm layers, unless `decay_on` says else."""
    if isinstance(spec, UserOptimizer):
        return spec.make(_groups(network, spec.weight_decay, "weights"), lr)
    groups = _groups(network, spec.weight_decay, spec.decay_on)
    if isinstance(spec, AdamW):
        betas = (spec.beta1, spec.beta2)
        return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=0.0, fused=True)
    if isinstance(spec, SGD):
        return torch.optim.SGD(groups, lr=lr, momentum=spec.momentum, nesterov=spec.nesterov)
    if isinstance(spec, RMSProp):
        return torch.optim.RMSprop(groups, lr=lr, alpha=spec.alpha, momentum=spec.momentum)
    return _of_a_library(groups, spec, lr)


def try_optimizer(spec: LibraryOptimizer, lr: float) -> None:
    """A step of a tiny layer, for some look at their arguments only then. Raises UserError."""
    layer = nn.Linear(2, 2)
    try:
        optimizer = make_optimizer(layer, spec, lr)
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    except Exception as error:  # whatever a library makes of another kind of argument
        why = str(error).partition("\n")[0] or type(error).__name__
        message = f"optimizer {spec.name} does not take its arguments: {why}"
        raise UserError(message) from error


def _groups(network: nn.Module, weight_decay: float, on: DecayOn) -> list[dict[str, Any]]:
    if on == "weights":
        groups: list[dict[str, Any]] = param_groups_weight_decay(network, weight_decay=weight_decay)
        return groups
    norms = (module for module in network.modules() if isinstance(module, NORMS))
    free = {id(each) for norm in norms for each in norm.parameters()} if on != "all" else set()
    learning = [each for each in network.parameters() if each.requires_grad]
    return [
        {"params": [each for each in learning if id(each) in free], "weight_decay": 0.0},
        {
            "params": [each for each in learning if id(each) not in free],
            "weight_decay": weight_decay,
        },
    ]


def _of_a_library(
    groups: list[dict[str, Any]], spec: LibraryOptimizer, lr: float
) -> torch.optim.Optimizer:
    if spec.name in vars(torch.optim):
        kind = getattr(torch.optim, spec.name)
        made: torch.optim.Optimizer = kind(groups, lr=lr, **spec.arguments)
    else:
        made = create_optimizer_v2(groups, opt=spec.name, lr=lr, **spec.arguments)
    return made
