"""Feature maps of a network's last two stages.

They are taken by hooks, at places found by a dry run, so that any pair of convolutional networks
works without editing either. A network's stages are the resolutions of its maps; a stage's map is
the last one that a module of the least depth makes at that resolution (a deeper one may be the
start of the next stage's first block).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.models.network import Network, maps_of

_DRY_SIZE = 224
"""Large enough to tell a last map of 7 x 7 from a pooled one of 1 x 1."""


@dataclass(frozen=True)
class Output:
    logits: Tensor
    stages: tuple[Tensor, ...]
    """Feature maps (N, C, H, W) of the last two stages, the last one last."""


class StageMaps:
    """Runs a network and keeps the feature maps of its last two stages; none where they are not
    `wanted`, which a network without stages allows too."""

    def __init__(self, network: Network, name: str, wanted: bool = True) -> None:
        self._network = network
        self.channels: list[int] = []
        self._stages: list[nn.Module] = []
        for module, channels in _last_stages(network, name) if wanted else ():
            self.channels.append(channels)
            self._stages.append(module)
        self._outputs: dict[nn.Module, Tensor] = {}
        for module in (*self._stages, network):
            module.register_forward_hook(self._keep)

    def __call__(self, images: Tensor) -> Output:
        self._network(images)
        return self.latest()

    def latest(self) -> Output:
        """Of the network's last pass."""
        kept = self._outputs
        return Output(kept[self._network], tuple(kept[stage] for stage in self._stages))

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._outputs[module] = output


def _last_stages(network: Network, name: str) -> list[tuple[nn.Module, int]]:
    """The modules whose outputs end the last two stages, and their widths."""
    ends: dict[int, tuple[int, nn.Module, int]] = {}
    device = next(network.parameters()).device
    dry = network.side or _DRY_SIZE
    for path, module, (_, channels, height, side) in maps_of(network, dry, device):
        depth = path.count(".")
        if path and height == side > 1 and (side not in ends or depth <= ends[side][0]):
            ends[side] = (depth, module, channels)
    if len(ends) < 2:
        raise UserError(f"{name} has no two stages of feature maps to distil from or into")
    smaller, larger = sorted(ends)[:2]
    return [ends[larger][1:], ends[smaller][1:]]
