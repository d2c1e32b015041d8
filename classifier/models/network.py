"""Networks of torchvision and timm as one shape: a trunk that gives features, and our head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from classifier.basics.randomness import keyed
from classifier.models import onednn
from classifier.models.trunks import Trunk, Wish, trunk_of

DROPOUT = 0.2


class Network(nn.Module):
    """`trunk`: images (N, 3, H, W) -> features (N, F). `head`: Dropout, Linear(F, classes).

    `final` is the library's path of the layer that the head stands for, as `classifier.1`; `side`
    the only image size that it takes, where there is one.
    """

    def __init__(self, trunk: Trunk, classes: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.trunk = trunk.module
        self.classes = classes
        self.final = trunk.final
        self.side = trunk.side
        self.frozen = False
        """Whether the trunk stays as it is while the head is trained."""
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(trunk.features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return cast(Tensor, self.head(self.trunk(images)))

    def freeze_trunk(self) -> Network:
        """Its weights get no gradients and it stays in eval mode, whatever mode the network is in:
        batch norms keep their statistics and nothing is dropped, so that an image's features are
        always the same (a linear probe, as of He et al., 2020, MoCo, and what Keras does for
        layers that are not trainable)."""
        self.frozen = True
        self.trunk.requires_grad_(False).eval()
        return self

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self


MakeTrunk = Callable[[int], tuple[nn.Module, int]]
"""Classes -> a trunk, and how many features it makes."""


def build(
    model: str,
    classes: int,
    *,
    seed: int,
    wish: Wish = Wish(),  # noqa: B008
    dropout: float = DROPOUT,
    trunk: MakeTrunk | None = None,
) -> Network:
    """A network with initial weights that depend on `seed` alone, or pretrained ones. `dropout`:
    the head's. `trunk`: makes that of a model which is the user's.

    Raises UserError for a name that neither library has, for a model that gives no row of features,
    and for weights that can't be had.
    """
    with keyed(seed, "initial weights"):
        made = trunk_of(model, wish) if trunk is None else Trunk(*trunk(classes))
        return Network(made, classes, dropout)


def maps_of(
    network: Network, size: int, device: torch.device
) -> list[tuple[str, nn.Module, torch.Size]]:
    """Path, module and shape of all that the trunk makes of an image and has four dimensions, in
    the order in which it is made. Found by hooks in a pass over `size` x `size` zeros."""
    maps: list[tuple[str, nn.Module, torch.Size]] = []

    def watch(path: str, module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            maps.append((path, module, output.shape))

    modules = network.trunk.named_modules()
    hooks = [module.register_forward_hook(partial(watch, path)) for path, module in modules]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval().trunk(torch.zeros(1, 3, size, size, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return maps


def prepare_for_gradients(network: Network, device: torch.device) -> Network:
    """The network itself on its device, in channels_last memory, its gradients right:
    for a training, and for whatever else asks for some."""
    if device.type == "cpu":
        onednn.mend(network)
    return network.to(device).to(memory_format=torch.channels_last)


def fuse(network: Network) -> Network:
    """The network itself for inference, its multi-branch blocks (RepVGG) fused."""
    return cast(Network, reparameterize_model(network, inplace=True))
