"""A batch in parts: the same loss and gradients, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from classifier.basics.place import Place
from classifier.config.spec import LOSSES, TrainSpec
from classifier.data.spec import DataSpec
from classifier.job import train
from classifier.models.network import Network, build
from classifier.records.record import TrainRecord
from classifier.training.step import Step, micro_sizes
from classifier.tricks.base import Act, Beginning
from classifier.tricks.distillation import Distill, Distiller, mgd
from classifier.tricks.losses.class_balance import balance
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import RDrop, TwoPasses

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2])
CHOICES: dict[str, dict[str, Any]] = {
    **{loss.__name__: {"loss": loss.model_validate({})} for loss in LOSSES},
    **{
        f"{loss.__name__}, balanced": {"loss": loss.model_validate({}), "balanced": True}
        for loss in LOSSES
        if loss.balanced_reduction == "mean"
    },
    "R-Drop": {"rdrop": RDrop()},
    "soft_target": {"method": "soft_target"},
    "mgd": {"method": "mgd"},
    "at": {"method": "at"},
}


def still(network: Network) -> Network:
    """Without what sees the whole batch or draws: batch norm fixed, dropout off."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.Dropout):
            module.eval()
    return network


def distiller(settings: Distill, network: Network) -> Distiller:
    """In float64."""
    teacher = build("mobilenetv2", 4, seed=1)
    spec = TrainSpec(data=DataSpec(name="digits"), model="ghostnet")
    cpu = torch.device("cpu")
    made = Distiller(settings, Beginning(spec, network, cpu, 4, (teacher, "mobilenetv2")))
    teacher.double()
    if made.method.layers is not None:
        made.method.layers.double()
    return made


def gradients(micro_batch: int | None, choice: dict[str, Any]) -> tuple[float, list[Tensor]]:
    network = still(build("ghostnet", 4, seed=0).train())
    acts: list[Act] = []
    if "method" in choice:
        settings = Distill(method=choice["method"], teacher="0" * 12)
        acts = [distiller(settings, network)]
        still(network)
    elif "rdrop" in choice:
        acts = [TwoPasses(choice["rdrop"], 1)]
    network.double()
    weight = balance(LABELS, 4).double() if choice.get("balanced") else None
    step = Step(
        network,
        torch.optim.SGD(network.parameters(), lr=0.0),
        choice.get("loss", CrossEntropy()).make(weight),
        torch.autocast("cpu", enabled=False),
        torch.amp.GradScaler("cpu", enabled=False),
        acts,
        micro_batch,
    )
    images = torch.randn(7, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    loss = float(step(images, LABELS))
    return loss, [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", CHOICES)
def test_parts_add_up_to_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, of seven images in parts of three (three and four)."""
    monkeypatch.setattr(mgd, "MGD_DROP", 0.0)
    whole, parts = (gradients(size, CHOICES[name]) for size in (None, 3))
    assert parts[0] == pytest.approx(whole[0], rel=1e-10)
    assert len(parts[1]) == len(whole[1]) > 100
    scale = max(float(gradient.abs().max()) for gradient in whole[1])
    for found, expected in zip(parts[1], whole[1], strict=True):
        assert torch.allclose(found, expected, rtol=1e-7, atol=1e-10 * scale)


@pytest.mark.parametrize(
    ("images", "micro_batch", "sizes"),
    [(8, None, [8]), (8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (3, 4, [3]), (5, 4, [5])],
)
def test_no_part_has_a_single_image(images: int, micro_batch: int | None, sizes: list[int]) -> None:
    assert micro_sizes(images, micro_batch) == sizes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"distill": {"method": "sp", "teacher": "0" * 12}},
            "compares the images of a whole batch",
        ),
        ({"class_balance": True}, "divides by the weights of a whole batch"),
        ({"micro_batch": 16}, "must be smaller than the batch_size of 16"),
    ],
)
def test_what_needs_the_whole_batch_refuses(
    changes: dict[str, Any], message: str, tiny: TrainSpec
) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate({**tiny.model_dump(), "micro_batch": 8, **changes})


def test_it_trains_and_is_part_of_the_signature(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = tiny.model_copy(update={"micro_batch": 8, "epochs": 1})
    assert spec.signature != tiny.model_copy(update={"epochs": 1}).signature
    (outcome,) = train(spec, tmp_path, Place(tmp_path))
    assert isinstance(outcome.record, TrainRecord) and len(outcome.record.history) == 1


def test_memory_that_runs_out_says_what_helps(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's error, raised here by hand: there is no GPU to fill. The machine's own is tried for
    real in tests/test_faults.py."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Step, "__call__", full)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    with pytest.raises(
        Exception, match=r"out of memory on a GPU, at a peak of .* Set 'micro_batch'"
    ):
        train(tiny, tmp_path, Place(tmp_path))
