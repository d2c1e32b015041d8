from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.job import Start, train
from classifier.models.network import build
from classifier.models.stages import Output, StageMaps
from classifier.records.record import TrainRecord
from classifier.tricks.base import Beginning
from classifier.tricks.distillation import METHODS, Distill, Distiller, at, soft_target, sp
from classifier.tricks.distillation.mgd import MaskedGenerative

TEACHER = "0123456789ab"
RNG = np.random.default_rng(0)


def maps(*shape: int) -> NDArray[np.float64]:
    return RNG.normal(size=shape)


def test_soft_target_is_hintons() -> None:
    ours, theirs = maps(5, 7), maps(5, 7)
    p = np.exp(theirs / 4) / np.exp(theirs / 4).sum(1, keepdims=True)
    q = np.exp(ours / 4) / np.exp(ours / 4).sum(1, keepdims=True)
    expected = (p * (np.log(p) - np.log(q))).sum() / 5 * 16
    found = soft_target.soft_target(torch.tensor(ours), torch.tensor(theirs))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_similarity_is_tung_and_moris() -> None:
    ours, theirs = maps(4, 3, 2, 2), maps(4, 5, 2, 2)
    matrices = []
    for features in (ours, theirs):
        flat = features.reshape(4, -1)
        matrix = flat @ flat.T
        matrices.append(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
    expected = np.linalg.norm(matrices[0] - matrices[1]) ** 2 / 16
    found = sp.similarity(torch.tensor(ours), torch.tensor(theirs))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_attention_is_zagoruykos() -> None:
    ours, theirs = maps(4, 3, 2, 2), maps(4, 5, 2, 2)
    attended = []
    for features in (ours, theirs):
        flat = (features**2).mean(1).reshape(4, -1)
        attended.append(flat / np.linalg.norm(flat, axis=1, keepdims=True))
    expected = ((attended[0] - attended[1]) ** 2).mean()
    found = at.attention(torch.tensor(ours), torch.tensor(theirs))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def distiller(spec: Distill) -> tuple[Distiller, Output, torch.Tensor]:
    student, teacher = build("mobilenetv2", 5, seed=0), build("ghostnet", 5, seed=1)
    training = TrainSpec(data=DataSpec(name="digits"), model="mobilenetv2")
    cpu = torch.device("cpu")
    made = Distiller(spec, Beginning(training, student, cpu, 5, (teacher, "ghostnet")))
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return made, made.student(images), images


def test_mgd_is_yangs() -> None:
    """Align, drop channels, generate, compare: done again by hand under the same masks."""
    made, output, images = distiller(Distill(method="mgd", ratio=0.5, teacher=TEACHER))
    torch.manual_seed(3)
    found = made.term(output, images)
    teacher = made.teacher(images).stages[-1]
    torch.manual_seed(3)
    mask = (torch.rand(3, teacher.shape[1], 1, 1) >= 0.15).float()
    assert 0 < mask.mean() < 1
    assert isinstance(made.method, MaskedGenerative)
    aligned = made.method.align(output.stages[-1])
    assert aligned.shape == teacher.shape
    assert isinstance(made.method.generation, torch.nn.Sequential)
    generated = made.method.generation[2](torch.relu(made.method.generation[0](aligned * mask)))
    expected = ((generated - teacher) ** 2).sum() / 3 * 7e-5
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    found.backward()  # type: ignore[no-untyped-call]
    layers = made.layers
    assert layers is not None
    assert all(parameter.grad is not None for parameter in layers.parameters())


@pytest.mark.parametrize("method", ["soft_target", "mgd", "sp", "at"])
def test_the_teacher_is_not_trained(method: str) -> None:
    spec = Distill.model_validate({"method": method, "teacher": TEACHER})
    made, output, images = distiller(spec)
    teacher = made.teacher._network
    before = copy.deepcopy(teacher.state_dict())
    made.term(output, images).backward()  # type: ignore[no-untyped-call]
    student = made.student._network
    assert any(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    own = made.layers.parameters() if made.layers is not None else ()
    assert not set(map(id, own)) & set(map(id, teacher.parameters()))


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        ("mobilenetv2", [96, 1280]),
        ("resnet50", [1024, 2048]),
        ("ghostnet", [112, 960]),
        ("densenet121", [1024, 1024]),
        ("efficientnet_v2_s", [160, 1280]),
    ],
)
def test_the_last_two_stages_are_found(model: str, channels: list[int]) -> None:
    network = build(model, 5, seed=0).eval()
    found = StageMaps(network, model)
    output = found(torch.zeros(1, 3, 64, 64))
    assert [stage.shape[-1] for stage in output.stages] == [4, 2]
    assert found.channels == channels == [stage.shape[1] for stage in output.stages]
    plain = build(model, 5, seed=0).eval()(torch.zeros(1, 3, 64, 64))
    assert torch.equal(output.logits, plain), "hooks change nothing"


def test_ratios_weigh_as_the_protocol_says() -> None:
    weights = {
        (method, ratio): METHODS[method].weight(ratio)
        for method in ("sp", "at")
        for ratio in (0.7, 10.0)
    }
    assert weights == {
        ("sp", 0.7): pytest.approx(0.7 / 0.3),
        ("sp", 10.0): 10.0,
        ("at", 0.7): 0.7,
        ("at", 10.0): 10.0,
    }


def test_rdrop_and_distillation_are_refused(tiny: TrainSpec) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    with pytest.raises(ValidationError, match="'rdrop' and 'distill' can't be combined"):
        TrainSpec.model_validate(
            plain | {"rdrop": True, "distill": {"method": "at", "teacher": TEACHER}}
        )


@pytest.mark.parametrize("method", ["soft_target", "mgd", "sp", "at"])
def test_a_student_learns_from_a_stored_teacher(
    method: str, tiny: TrainSpec, tmp_path: Path
) -> None:
    """Both tracks; equal when done again; not what it is without a teacher."""
    short = tiny.model_copy(update={"epochs": 1})
    place = Place(tmp_path)
    for name in ("teacher", "first", "again", "alone"):
        (tmp_path / name).mkdir()
    train(short.model_copy(update={"model": "ghostnet"}), tmp_path / "teacher", place)
    file = tmp_path / "teacher" / "train-raw" / "best.safetensors"
    distill = Distill.model_validate({"method": method, "teacher": TEACHER})
    spec = short.model_copy(update={"distill": distill})
    losses = {}
    for name in ("first", "again", "alone"):
        taught = spec if name != "alone" else short
        teacher = file if name != "alone" else None
        (outcome,) = train(taught, tmp_path / name, place, start=Start(teacher=teacher))
        assert isinstance(outcome.record, TrainRecord)
        losses[name] = outcome.record.history[0].train_loss
    assert losses["first"] == losses["again"] != losses["alone"]
    weights = [tmp_path / name / "train-raw" / "best.safetensors" for name in ("first", "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_teacher_of_other_classes_is_refused(tiny: TrainSpec, tmp_path: Path) -> None:
    from classifier.models import checkpoint

    network = build("ghostnet", 3, seed=0)
    meta = checkpoint.Meta("ghostnet", ("a", "b", "c"), 32, [0.5] * 3, [0.5] * 3)
    checkpoint.save(tmp_path / "t.safetensors", checkpoint.to_half(network.state_dict()), meta)
    spec = tiny.model_copy(update={"distill": Distill(method="at", teacher=TEACHER)})
    with pytest.raises(UserError, match="trained on other classes"):
        train(spec, tmp_path, Place(tmp_path), start=Start(teacher=tmp_path / "t.safetensors"))


def test_a_loss_that_is_not_finite_names_its_step_and_parts(
    tiny: TrainSpec, tmp_path: Path
) -> None:
    spec = tiny.model_copy(update={"lr": 1e30, "epochs": 4})
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step \d+ of epoch \d"):
        train(spec, tmp_path, Place(tmp_path))
