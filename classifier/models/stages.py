"""Feature maps of a network's last two stages.

They are taken by hooks, at places found by a dry run, so that any pair of convolutional networks
works without editing either. A network's stages are the resolutions of its maps; a stage's map is
the last one that a module of the least depth makes at that resolution (a deeper one may be the
start of the next stage's first block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.models.network import Network

_DRY_SIZE = 224
"""Large enough to tell a last map of 7 x 7 from a pooled one of 1 x 1."""


@dataclass(frozen=True)
class Output:
    logits: Tensor
    stages: tuple[Tensor, ...]
    """Feature maps (N, C, H, W) of the last two stages, the last one last."""


class StageMaps:
    """Runs a network and keeps the feature maps of its last two stages."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._kept: dict[int, Tensor] = {}
        self._logits: Tensor | None = None
        self.channels: list[int] = []
        modules = dict(network.trunk.named_modules())
        for position, (path, channels) in enumerate(_last_stages(network, name)):
            self.channels.append(channels)
            modules[path].register_forward_hook(self._keeper(position))
        network.register_forward_hook(self._keep_logits)

    def __call__(self, images: Tensor) -> Output:
        self._network(images)
        return self.latest()

    def latest(self) -> Output:
        """Of the network's last pass."""
        assert self._logits is not None
        return Output(self._logits, tuple(self._kept[place] for place in sorted(self._kept)))

    def _keep_logits(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._logits = output

    def _keeper(self, position: int) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._kept[position] = output

        return keep


def _last_stages(network: Network, name: str) -> list[tuple[str, int]]:
    """Path and width of the modules whose outputs end the last two stages."""
    ends: dict[int, tuple[int, str, int]] = {}
    hooks = []

    def watch(path: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
                side, depth = output.shape[-1], path.count(".")
                if side not in ends or depth <= ends[side][0]:
                    ends[side] = (depth, path, output.shape[1])

        return note

    for path, module in network.trunk.named_modules():
        if path:
            hooks.append(module.register_forward_hook(watch(path)))
    was_training = network.training
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, _DRY_SIZE, _DRY_SIZE, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if len(ends) < 2:
        raise UserError(f"{name} has no two stages of feature maps to distil from or into")
    smaller, larger = sorted(ends)[:2]
    return [ends[larger][1:], ends[smaller][1:]]
