"""What a network costs, counted; and that counting changes no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from classifier import job
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.job import train
from classifier.models.network import build
from classifier.models.size import multiply_adds, trainable_parameters
from classifier.records.runs import CHECKPOINT
from classifier.training.step import Step
from classifier.tricks.ema import Ema
from classifier.tricks.rdrop import RDrop


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2", "resnet50", "densenet121", "efficientnet_v2_s", "vit_b_16", "swin_t"],
)
def test_counts_are_the_published_ones(name: str) -> None:
    """torchvision documents each of its weights with the GFLOPs, as multiply-adds to 3 decimals,
    and the parameters (https://pytorch.org/vision/stable/models.html)."""
    weights = next(iter(torchvision.models.get_model_weights(name)))
    (side,) = weights.transforms().crop_size
    network = build(name, 1000, seed=0)
    counted = multiply_adds(network, side)
    assert counted is not None
    assert counted / 1e9 == pytest.approx(weights.meta["_ops"], abs=5.001e-4)
    assert trainable_parameters(network) == weights.meta["num_params"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mobilenetv2", 24461312), ("ghostnet", 13935872), ("RepVGG-A0", 123384320)],
)
def test_counts_are_fvcores(name: str, expected: int) -> None:
    """conv + linear of fvcore 0.1.5.post20221221's FlopCountAnalysis; 10 classes, 64 x 64."""
    assert multiply_adds(build(name, 10, seed=0), 64) == expected


def test_a_convolution_by_hand() -> None:
    """Each of 8 x 8 x 5 outputs takes 3 x 3 x 3 multiply-adds, the layer behind them 320 x 2."""
    layers = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(320, 2)
    )
    assert multiply_adds(layers, 8) == 8 * 8 * 5 * 27 + 640
    assert trainable_parameters(layers) == (27 * 5 + 5) + (640 + 2)
    layers[0].requires_grad_(False)
    assert trainable_parameters(layers) == 642


def test_counting_touches_nothing() -> None:
    network = build("mobilenetv2", 7, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = list(map(id, network.parameters()))
    drawn = torch.get_rng_state()
    multiply_adds(network, 32)
    assert torch.equal(torch.get_rng_state(), drawn)
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert list(map(id, network.parameters())) == parameters
    assert all(module.training for module in network.modules())
    assert multiply_adds(network.eval(), 32) and not network.training


class Peeking(nn.Module):
    """Looks at a number, which a pass of shapes has not."""

    def forward(self, images: Tensor) -> Tensor:
        return images if float(images.sum()) > 0 else -images


def test_what_cannot_be_followed_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    network = Peeking()
    assert multiply_adds(network, 8) is None
    assert network.training
    assert "its multiply-adds can't be counted" in capsys.readouterr().err


@pytest.mark.parametrize("batch_size", [16, 59])
def test_a_record_says_what_its_training_cost(
    batch_size: int, tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 images in batches of 59 one is left out; R-Drop's second pass is no other image."""
    seen = []
    step = Step.__call__

    def counted(self: Any, images: Tensor, targets: Tensor) -> Tensor:
        seen.append(len(images))
        return step(self, images, targets)

    monkeypatch.setattr(Step, "__call__", counted)
    spec = tiny.model_copy(update={"batch_size": batch_size, "rdrop": RDrop(), "epochs": 2})
    outcomes = train(spec, tmp_path, Place(tmp_path), tracks=(RAW, Ema(decay=0.9, tau=3.0)))
    for record in (outcome.record for outcome in outcomes):
        file = tmp_path / record.unit / CHECKPOINT
        assert record.images_seen == sum(seen) == (120 if batch_size == 16 else 118)
        assert record.checkpoint_bytes == file.stat().st_size
        assert record.checkpoint_mib == pytest.approx(file.stat().st_size / 1024 / 1024)
        # 3,504,872 with 1,000 classes, torchvision says; each class has 1,280 weights and a bias.
        assert record.parameters == 3504872 - 990 * 1281
        assert record.multiply_adds == multiply_adds(build("mobilenetv2", 10, seed=3), 32)
        assert record.gflops is not None and record.multiply_adds is not None
        assert record.gflops * 1e9 == pytest.approx(record.multiply_adds)


def test_counting_changes_no_training(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("counted", "plain"):
        if name == "plain":
            monkeypatch.setattr(job, "multiply_adds", lambda network, image_size: None)
        (outcome,) = train(tiny, tmp_path / name, Place(tmp_path))
        found.append((outcome.record.history, outcome.record.checkpoint))
        assert (outcome.record.multiply_adds is None) == (name == "plain")
    assert found[0] == found[1]


def test_layers_that_are_shared_are_left_as_they_are() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = self.first
            self.head = nn.Linear(3, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.second(self.first(images)).mean((2, 3))
            return nn.functional.linear(features, self.head.weight, self.head.bias)

    network = Shared().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert multiply_adds(network, 8) == 2 * 9 * 64 + 6
    assert network.training and network.first is network.second
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert trainable_parameters(network) == 12 + 8
