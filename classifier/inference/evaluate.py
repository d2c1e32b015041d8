"""Evaluate a stored checkpoint on a part of the data, in FP32 or FP16."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import ten_crop

from classifier.basics.files import write_whole
from classifier.basics.progress import OnCount, uncounted
from classifier.config.spec import Precision
from classifier.data.loader import EvalLoader
from classifier.data.pillow import Pixel
from classifier.data.pixels import Pixels
from classifier.data.transforms import Normalize
from classifier.inference import metrics
from classifier.models import checkpoint
from classifier.models.network import fuse
from classifier.plugins.spec import trunk_maker
from classifier.tricks.base import TaskLoss


@dataclass(frozen=True)
class Scores:
    accuracy: float
    mpa: float
    loss: float


@dataclass(frozen=True)
class Inference:
    """A network with all that a batch of images goes through on its way."""

    network: Any
    """An nn.Module: a `Network`, or its trunk."""
    normalize: Normalize
    device: torch.device
    dtype: torch.dtype = torch.float32
    autocast: torch.autocast | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 images (N, H, W, 3) -> FP32 logits (N, C), or features (N, F), on the
        device. Leaves the network in eval mode."""
        self.network.eval()
        with (
            torch.inference_mode(),
            self.autocast or torch.autocast(self.device.type, enabled=False),
        ):
            batch = self.normalize(images.to(self.device, non_blocking=True)).to(self.dtype)
            return cast(Tensor, self.network(batch).float())


def outputs_of(inference: Inference, loader: EvalLoader, progress: OnCount = uncounted) -> Tensor:
    """FP32 logits (N, C) of a network, or features (N, F) of its trunk, on the CPU, in the
    loader's order."""
    outputs, done = [], 0
    for images, _ in loader:
        outputs.append(inference(images))
        done += len(images)
        progress(done, len(loader))
    return torch.cat(outputs).cpu()


def ten_crop_logits(
    inference: Inference,
    images: Pixels,
    image_size: int,
    batch_size: int,
    progress: OnCount = uncounted,
) -> Tensor:
    """FP32 logits (N, C) on the CPU, each the mean of an image's ten crops, in the images' order.

    `images` have more than `image_size` as their short side (`TrainSpec.eval_short_side`).
    """
    logits = []
    for start in range(0, len(images), batch_size):
        end = min(start + batch_size, len(images))
        batch = [images[position] for position in range(start, end)]
        logits.append(ten_crop_batch(inference, batch, image_size))
        progress(end, len(images))
    return torch.cat(logits)


def ten_crop_batch(inference: Inference, images: Sequence[Pixel], image_size: int) -> Tensor:
    """Mean FP32 logits (N, C) on the CPU over four corners, centre and their mirror images.

    The network sees one crop of every image at a time, so it takes no more memory than without.
    """
    crops = [
        ten_crop(torch.tensor(image).permute(2, 0, 1), [image_size, image_size]) for image in images
    ]
    logits = [inference(torch.stack(crop).permute(0, 2, 3, 1)) for crop in zip(*crops, strict=True)]
    return torch.stack(logits).mean(dim=0).cpu()


def scores(logits: Tensor, labels: Tensor, loss: TaskLoss) -> Scores:
    predicted, truth = logits.argmax(dim=1).numpy(), labels.numpy()
    return Scores(
        metrics.accuracy(predicted, truth),
        metrics.mpa(predicted, truth),
        float(loss(logits, labels)),
    )


def load_for_inference(
    file: Path, precision: Precision, device: torch.device
) -> tuple[Inference, checkpoint.Meta]:
    """A checkpoint ready for inference: fused in FP32 where it can be, then cast."""
    network, meta = checkpoint.load(file, trunk_maker)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    fused = fuse(network).eval()
    fused = fused.to(device, dtype).to(memory_format=torch.channels_last)
    return Inference(fused, Normalize(meta.mean, meta.std, device), device, dtype), meta


def save_predictions(file: Path, logits: Tensor, loader: EvalLoader) -> None:
    """logits (N, C), labels (N,) and relative paths (N,) as .npz that needs no pickle."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        logits=logits.numpy(),
        labels=loader.labels.numpy(),
        paths=np.array(loader.paths, dtype=np.str_),
    )
    write_whole(file, content.getvalue())
