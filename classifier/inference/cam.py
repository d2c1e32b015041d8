"""Class-activation maps: where in an image a network saw its answer. Needs the extra `cam`."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.data.pillow import Pixel
from classifier.data.transforms import Normalize
from classifier.models.network import Network, maps_of, prepare_for_gradients

METHODS = (
    "GradCAM",
    "GradCAMPlusPlus",
    "GradCAMElementWise",
    "HiResCAM",
    "XGradCAM",
    "LayerCAM",
    "EigenCAM",
    "EigenGradCAM",
    "KPCA_CAM",
    "RandomCAM",
    "ScoreCAM",
    "AblationCAM",
)
"""pytorch-grad-cam's methods that take any network and one layer; the last two run it once for
each channel, which is slow."""


@dataclass(frozen=True)
class Cam:
    """The wish for maps: where the pictures go, and by which of METHODS."""

    folder: Path
    method: str = "GradCAM"


def check(method: str) -> None:
    """Raises UserError for an unknown method, and if the package is not installed."""
    if method not in METHODS:
        raise UserError(f"unknown class-activation map '{method}'{nearest(method, METHODS)}")
    _package()


class Mapper:
    """Draws maps of one network, which is in FP32: in FP16 small gradients would vanish. It is made
    ready for gradients, in place."""

    def __init__(self, network: Network, method: str, size: int, normalize: Normalize) -> None:
        check(method)
        self._normalize = normalize
        self._device = next(network.parameters()).device
        network = prepare_for_gradients(network, self._device)
        layer, channels_last = _last_grid(network, size, self._device)

        def channels_first(activations: Tensor) -> Tensor:
            moved = activations.permute(0, 3, 1, 2) if channels_last else activations
            return moved.clone()  # a ReLU in place may follow the layer

        make = getattr(_package(), method)
        self._method: Any = make(network, [layer], reshape_transform=channels_first)

    def overlay(self, image: Pixel, label: int) -> Image.Image:
        """The crop (size, size, 3) under the map of class `label`, red where it counts most."""
        from pytorch_grad_cam.utils.image import show_cam_on_image
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        batch = self._normalize(torch.tensor(image).unsqueeze(0).to(self._device))
        # A gradient is wanted even where the weights have none (fused blocks).
        batch.requires_grad_(True)
        # Some methods show a bar of their own on stderr.
        with torch.enable_grad(), contextlib.redirect_stderr(io.StringIO()):
            shares = self._method(batch, [ClassifierOutputTarget(label)])[0]
        # A map that is 0/0, of a layer that did not react at all, is shown as cold.
        shares = np.nan_to_num(shares)
        return Image.fromarray(show_cam_on_image(image.astype(np.float32) / 255, shares, True))


def _last_grid(network: Network, size: int, device: torch.device) -> tuple[nn.Module, bool]:
    """The last module of the trunk that gives a square feature map, and if its channels are last.

    Maps of one pixel come after pooling, and say nothing about where, so they count only if there
    are no others.
    """
    features = cast(nn.Linear, network.head[1]).in_features
    grids = []
    for _, module, (images, first, second, third) in maps_of(network, size, device):
        channels_last = third == features != first and first == second
        height, width = (first, second) if channels_last else (second, third)
        if height == width and images == 1:
            grids.append((height, module, channels_last))
    wide = [grid for grid in grids if grid[0] > 1] or grids
    if not wide:
        raise UserError("this model has no layer with a square feature map, so no activation map")
    _, module, channels_last = wide[-1]
    return module, channels_last


def _package() -> Any:
    try:
        import pytorch_grad_cam
    except ImportError as error:
        raise UserError(
            f"class-activation maps need pytorch-grad-cam ({error}): pip install grad-cam, or "
            "pip install 'classifier-ablations[cam]'"
        ) from error
    return pytorch_grad_cam
