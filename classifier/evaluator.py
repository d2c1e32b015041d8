"""Evaluate a stored checkpoint on val or test, in FP32 or FP16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifier import checkpoint, metrics
from classifier.data.loader import EvalLoader
from classifier.data.transforms import Normalize
from classifier.losses import TaskLoss
from classifier.models import Network, reparameterized
from classifier.spec import Precision


@dataclass(frozen=True)
class Scores:
    accuracy: float
    mpa: float
    loss: float


def logits_of(
    network: Network,
    loader: EvalLoader,
    normalize: Normalize,
    device: torch.device,
    *,
    dtype: torch.dtype = torch.float32,
    autocast: torch.autocast | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """FP32 logits (N, C) on the CPU, in the loader's order. Leaves the network in eval mode."""
    network.eval()
    found, done = [], 0
    with torch.inference_mode(), autocast or torch.autocast(device.type, enabled=False):
        for images, _ in loader:
            batch = normalize(images.to(device, non_blocking=True)).to(dtype)
            found.append(network(batch).float())
            done += len(images)
            progress(done, len(loader))
    return torch.cat(found).cpu()


def scores(logits: Tensor, labels: Tensor, loss: TaskLoss) -> Scores:
    predicted, truth = logits.argmax(dim=1).numpy(), labels.numpy()
    return Scores(
        metrics.accuracy(predicted, truth),
        metrics.mpa(predicted, truth),
        float(loss(logits, labels)),
    )


def prepared(
    file: Path, precision: Precision, device: torch.device
) -> tuple[Network, checkpoint.Meta, torch.dtype]:
    """A checkpoint ready for inference: fused in FP32 where it can be, then cast."""
    network, meta = checkpoint.load(file)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    fused = reparameterized(network).eval()
    return fused.to(device, dtype).to(memory_format=torch.channels_last), meta, dtype


def save_predictions(file: Path, logits: Tensor, loader: EvalLoader) -> None:
    """logits (N, C), labels (N,) and relative paths (N,) as .npz that needs no pickle."""
    np.savez_compressed(
        file,
        logits=logits.numpy(),
        labels=loader.labels.numpy(),
        paths=np.array(loader.paths, dtype=np.str_),
    )
