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

import torch

from classifier.models import catalogue
from classifier.models.network import build, prepare_for_gradients
from classifier.training.float64 import HeldAgainstFloat64

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
