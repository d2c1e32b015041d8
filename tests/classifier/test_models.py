from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from classifier.models.catalogue import MODELS, library_models
from classifier.models.network import build, fuse


@pytest.mark.parametrize("model", sorted(MODELS))
def test_the_catalogue_counts_right(model: str) -> None:
    network = build(model, 1000, seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() / 1e9 == pytest.approx(MODELS[model].gflop, abs=5e-4)
    assert sum(p.numel() for p in network.parameters()) == MODELS[model].parameters
    layers = sum(not list(module.children()) for module in network.modules())
    assert layers == MODELS[model].layers


@pytest.mark.parametrize("model", ["mobilenetv2", "ghostnet", "swin_t", "vgg11", "resnet18d"])
def test_every_network_ends_in_our_head(model: str) -> None:
    network = build(model, 7, seed=0)
    dropout, linear = network.head
    assert isinstance(dropout, nn.Dropout) and dropout.p == 0.2
    assert isinstance(linear, nn.Linear) and linear.out_features == 7
    size = 224 if model == "swin_t" else 64
    assert network.eval()(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_the_head_brings_the_only_dropout_of_mobilenet() -> None:
    trunk = build("mobilenetv2", 7, seed=0).trunk
    assert not any(isinstance(module, nn.Dropout) for module in trunk.modules())


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    first = build("ghostnet", 7, seed=0).state_dict()
    state = torch.get_rng_state()
    torch.manual_seed(6)
    again = build("ghostnet", 7, seed=0).state_dict()
    other = build("ghostnet", 7, seed=1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.1.weight"], other["head.1.weight"])
    torch.manual_seed(5)
    build("ghostnet", 7, seed=0)
    assert torch.equal(torch.get_rng_state(), torch.manual_seed(5).get_state()), "draws nothing"
    assert state is not None


def test_repvgg_is_fused_and_gives_the_same() -> None:
    network = build("RepVGG-A0", 7, seed=0).train()
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))  # statistics that are not those of a new network
    network.eval()
    fused = fuse(copy.deepcopy(network))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(fused(images), network(images), atol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def test_other_models_are_listed_once_a_version() -> None:
    assert {"resnet18", "resnet18d", "swin_t"} <= set(library_models())
