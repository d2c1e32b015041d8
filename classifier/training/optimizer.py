"""The optimiser that a training names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm.optim import create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from classifier.basics.errors import UserError
from classifier.config.optimizers import SGD, AdamW, DecayOn, LibraryOptimizer, RMSProp
from classifier.models.network import Network
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
    trained: nn.Module,
    spec: AdamW | SGD | RMSProp | LibraryOptimizer | UserOptimizer,
    lr: float,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """Weight decay on weights, none on biases and norm layers, unless `decay_on` says else.
    `trained`: the network, and behind it tricks' own layers. `layer_decay`: what a layer's learning
    rate is of the next one's, in a group's `lr_scale`.

    Raises UserError for a network that does not say in which order its layers are."""
    on: DecayOn = "weights" if isinstance(spec, UserOptimizer) else spec.decay_on
    if layer_decay is None:
        groups = _groups(trained, spec.weight_decay, on)
    else:
        groups = layered(trained, spec.weight_decay, layer_decay)
    if isinstance(spec, UserOptimizer):
        return spec.make(groups, lr)
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


def layered(trained: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """timm's groups by depth (Bao et al., 2022, BEiT): the head and tricks' own layers have
    the whole learning rate, each layer before them `layer_decay` of the next one's.

    Raises UserError for a network that does not say in which order its layers are.
    """
    network = next(each for each in trained.modules() if isinstance(each, Network))
    if not hasattr(network.trunk, "group_matcher"):
        raise UserError(
            f"'layer_decay' needs a network that names its layers' order, as timm's do; "
            f"{type(network.trunk).__name__} does not"
        )
    groups: list[dict[str, Any]] = param_groups_layer_decay(
        _AsTimms(network), weight_decay=weight_decay, layer_decay=layer_decay
    )
    in_network = set(network.parameters())
    own = [each for each in trained.parameters() if each not in in_network]
    plain = [{"params": own, "lr_scale": 1.0, "weight_decay": weight_decay}] if own else []
    return [*groups, *plain]


class _AsTimms:
    """A network under timm's names: its trunk's, and the head's those of the layer it stands for.
    timm sorts parameters into layers by their names."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.group_matcher = network.trunk.group_matcher

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self._network.trunk.named_parameters()
        final = self._network.final or "head"
        for name, parameter in self._network.head[1].named_parameters():
            yield f"{final}.{name}", parameter


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
