"""How large a network is, and how much work a forward pass of it takes."""

from __future__ import annotations

import copy
import logging

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

_log = logging.getLogger(__name__)

COUNTED_AS = 2
"""Operations that torch's counter takes a multiply-add for."""


def trainable_parameters(network: nn.Module) -> int:
    """Numbers that a training may move; those that layers share count once."""
    return sum(each.numel() for each in network.parameters() if each.requires_grad)


def multiply_adds(network: nn.Module, image_size: int) -> int | None:
    """Of one forward pass of one image (1, 3, `image_size`, `image_size`), in eval mode, as papers
    and torchvision count "FLOPs": those of convolutions, linear layers and attention, and nothing
    for norms, activations and pooling. None, with a line in the log, for a network that can't be
    followed without numbers.

    The pass is that of a copy, of shapes only: the network is not touched, nothing is drawn, and it
    takes a fraction of a second.
    """
    try:
        shapes = copy.deepcopy(network).eval().to("meta")
        image = torch.empty(1, 3, image_size, image_size, device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes(image)
    except Exception as error:  # whatever it does with shapes is no reason not to train it
        _log.warning("its multiply-adds can't be counted: %r", error)
        return None
    return int(counter.get_total_flops()) // COUNTED_AS
