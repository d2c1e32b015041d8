"""The optimiser that a training names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from classifier.basics.errors import UserError
from classifier.config.optimizers import SGD, AdamW, RMSProp
from classifier.models.network import Network
from classifier.plugins.spec import UserOptimizer


def make_optimizer(
    trained: nn.Module,
    spec: AdamW | SGD | RMSProp | UserOptimizer,
    lr: float,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """Weight decay on weights, none on biases and norm layers. `trained`: the network, and behind
    it tricks' own layers. `layer_decay`: what a layer's learning rate is of the next one's, in a
    group's `lr_scale`."""
    if layer_decay is None:
        groups = param_groups_weight_decay(trained, weight_decay=spec.weight_decay)
    else:
        groups = layered(trained, spec.weight_decay, layer_decay)
    if isinstance(spec, UserOptimizer):
        return spec.make(groups, lr)
    if isinstance(spec, AdamW):
        betas = (spec.beta1, spec.beta2)
        return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=0.0, fused=True)
    if isinstance(spec, SGD):
        return torch.optim.SGD(groups, lr=lr, momentum=spec.momentum, nesterov=spec.nesterov)
    return torch.optim.RMSprop(groups, lr=lr, alpha=spec.alpha, momentum=spec.momentum)


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
