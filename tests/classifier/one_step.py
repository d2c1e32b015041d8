"""A training step of many networks with one and two threads, each convolution's gradients held
against float64.

    python -m tests.classifier.one_step [--as-built] [--seconds N] [NAME ...]

A program of its own, because what it looks for may kill it. Prints a line of JSON for each network
before its steps and one after them, with what was wrong; ends itself where they hang. `--as-built`
leaves `onednn.mend` out.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from classifier.models import catalogue
from classifier.models.network import build, prepare_for_gradients

FURTHER = (
    "convnext_atto",
    "deit_tiny_patch16_224",
    "densenetblur121d",
    "edgenext_xx_small",
    "efficientnet_b0",
    "fastvit_t8",
    "fbnetv3_b",
    "gernet_s",
    "hgnetv2_b0",
    "mixnet_s",
    "mobilenetv3_small_050",
    "mobileone_s0",
    "mobilevitv2_050",
    "nf_regnet_b0",
    "poolformerv2_s12",
    "regnety_002",
    "repghostnet_050",
    "resnest14d",
    "resnet18d",
    "shufflenet_v2_x0_5",
    "tf_efficientnetv2_b0",
    "vit_tiny_patch16_224",
    "xcit_nano_12_p16_224",
)
"""Kinds of networks beside the catalogue's."""
NETWORKS = (*catalogue.MODELS, *FURTHER)
IMAGES = 2
SIZE = 224
"""As real trainings have it: with AVX-512, maps of small images are computed by other kernels."""
THREADS = (1, 2)

Operation = Callable[..., tuple[Tensor | None, ...]]


class HeldAgainstFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes each new kind of convolution's gradients a second time, contiguous and in float64,
    from the same input, weights and gradient of the output."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution_backward.default:
            shapes = [tuple(tensor.shape) for tensor in args[:3]]
            threads = torch.get_num_threads()
            kind = f"{shapes[1]} * {shapes[2]} -> {shapes[0]}, {args[4:10]}, {threads} thread(s)"
            if kind not in self.seen:
                self.seen.add(kind)
                self.wrong += self.differences(kind, func, args, result)
        return result

    def differences(
        self, kind: str, func: Operation, args: Any, result: Sequence[Tensor | None]
    ) -> list[str]:
        wide = [tensor.double().contiguous() for tensor in args[:3]]
        exact = func(*wide, *args[3:])
        off = [
            0.0 if found is None or right is None else float((found - right).norm() / right.norm())
            for found, right in zip(result, exact, strict=True)
        ]
        if all(share <= 1e-4 for share in off):  # not so for what is not a number
            return []
        # A sum may be small beside what is added up, and its rounding then large beside the sum.
        added = func(*(tensor.abs() for tensor in wide), *args[3:])
        parts = zip(("input", "weight", "bias"), result, exact, added, off, strict=True)
        return [
            f"{name} of {kind}: off by {share:.1e}"
            for name, found, right, most, share in parts
            if found is not None and right is not None and most is not None
            if not (found - right).norm() <= 1e-4 * right.norm() + 1e-6 * most.norm()
        ]


def step(name: str, held: HeldAgainstFloat64, as_built: bool) -> None:
    """Forward and backward, as a training does it, with each number of threads."""
    network = build(name, 10, seed=0)
    if as_built:
        network.to(memory_format=torch.channels_last)
    else:
        network = prepare_for_gradients(network, torch.device("cpu"))
    network.train()
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, SIZE, SIZE, generator=draw)
    for threads in THREADS:
        torch.set_num_threads(threads)
        with held:
            logits = network(images.contiguous(memory_format=torch.channels_last))
            loss = torch.nn.functional.cross_entropy(logits, torch.arange(IMAGES))
            loss.backward()  # type: ignore[no-untyped-call]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--as-built", action="store_true")
    parser.add_argument("--seconds", type=float, default=240.0, help="the steps of one network")
    options = parser.parse_args()
    faulthandler.enable()  # a crash shows where
    held = HeldAgainstFloat64()
    for name in options.names:
        print(json.dumps({"begun": name}), flush=True)
        faulthandler.dump_traceback_later(options.seconds, exit=True)
        before = len(held.seen)
        step(name, held, options.as_built)
        told = {"ended": name, "held": len(held.seen) - before, "wrong": held.wrong}
        print(json.dumps(told), flush=True)
        held.wrong = []


if __name__ == "__main__":
    main()
