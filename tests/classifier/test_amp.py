"""The AMP path on the CPU: FP16 autocast, gradient scaler, a skipped step. Only the device's name
is untried for CUDA."""

from __future__ import annotations

import torch

from classifier.config.optimizers import AdamW
from classifier.models.network import build
from classifier.training.optimizer import make_optimizer
from classifier.training.step import Step
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import RDrop, TwoPasses


def test_amp_trains_and_skips_a_step_that_overflows() -> None:
    network = build("mobilenetv2", 4, seed=0).train()
    optimizer = make_optimizer(network, AdamW(), 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100, growth_interval=1000)
    autocast = torch.autocast("cpu", torch.float16)
    acts = [TwoPasses(RDrop(), 1)]
    step = Step(network, optimizer, CrossEntropy().make(), autocast, scaler, acts)
    images = torch.randn(4, 3, 32, 32)
    labels = torch.tensor([0, 1, 2, 3])

    kinds = set()
    network.trunk.register_forward_hook(lambda module, args, output: kinds.add(output.dtype))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    step(images, labels)
    assert kinds == {torch.float16}, "the trunk ran under autocast"
    assert scaler.get_scale() == 2.0**99, "the overflow halved the scale"
    assert all(map(torch.equal, before, network.parameters())), "and the step was skipped"

    scaler.update(2.0**8)
    losses = [float(step(images, labels)) for _ in range(15)]
    assert not any(map(torch.equal, before[-1:], list(network.parameters())[-1:]))
    assert losses[-1] < losses[0]
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
