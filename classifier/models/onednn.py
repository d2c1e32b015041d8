"""A convolution that torch's oneDNN computes wrongly on a CPU, computed another way.

uxlfoundation/oneDNN#6035 (open; seen with oneDNN 3.12, in torch 2.14.1): the gradient of the
weights of a 1 x 1 convolution that has a stride, one group, channels_last memory and fewer input
channels than a block writes past its workspace. The process crashes or hangs, or goes on with wrong
gradients. Blocks are of 8 channels with AVX2, and of 16 with AVX-512, where small maps are computed
by other kernels, which are right. RepVGG, MobileOne and FastViT begin with such a layer, of three
channels; GERNet-S has one of 13.

To delete with its calls once every torch that pyproject.toml admits has a oneDNN with the mend:
`python -m tests.classifier.one_step --as-built` then finds nothing, with and without
ONEDNN_MAX_CPU_ISA=AVX2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from classifier.basics.errors import UserError

LARGEST_BLOCK = 16
"""Channels that oneDNN's kernels take at a time: 8 with AVX2, 16 with AVX-512."""


class SubsampledConv2d(nn.Conv2d):
    """A 1 x 1 convolution with a stride: every n-th pixel is read first, then convolved with
    stride 1, which is the same function. Weights, their names and `stride` are as before."""

    def _conv_forward(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        around: list[int] = self._reversed_padding_repeated_twice
        if any(around):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            images = F.pad(images, around, mode)
        rows, columns = self.stride
        return F.conv2d(images[..., ::rows, ::columns], weight, bias)


def mend(network: nn.Module) -> None:
    """Give a network's layers of this kind a forward pass whose gradients are right, before any
    are asked for on a CPU.

    Raises UserError, with the layer's name, where such a layer has a forward pass of its own.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, SubsampledConv2d) or not _is_concerned(layer):
            continue
        if type(layer) is not nn.Conv2d:
            raise UserError(
                f"the layer {name} ({type(layer).__name__}) is a 1 x 1 convolution with a stride "
                f"and fewer than {LARGEST_BLOCK} input channels, whose gradients torch may compute "
                "wrongly on a CPU (uxlfoundation/oneDNN#6035): use a GPU, or another model"
            )
        layer.__class__ = SubsampledConv2d


def _is_concerned(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv1d | nn.Conv2d)
        and set(layer.kernel_size) == {1}
        and max(layer.stride) > 1
        and layer.groups == 1
        and layer.in_channels < LARGEST_BLOCK
    )
