"""Sharpness-Aware Minimization, against a reference in float64, and with all that it may meet."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import runner
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from classifier.job import Start, train
from classifier.models.network import Network, build
from classifier.training.step import Step
from classifier.tricks.base import Act
from classifier.tricks.ema import Ema
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import RDrop, TwoPasses
from classifier.tricks.sam import SharpnessAware

TARGETS = torch.tensor([0, 1, 2, 3, 0, 1])
RATE = 0.1
MATRIX = """\
title: SAM
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 2, lr: 1e-3}
matrix:
  sam: [false, true]
tables:
  sam:
    rows: sam
    columns:
      - {header: test accuracy, split: test}
"""


def images() -> Tensor:
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()


def network() -> Network:
    """With dropout, which draws, and batch norm, which keeps statistics."""
    return build("mobilenetv2", 4, seed=0).double().train()


def stepped(
    acts: list[Act], scaler: torch.amp.GradScaler | None = None, micro_batch: int | None = None
) -> tuple[Network, float]:
    made = network()
    step = Step(
        made,
        torch.optim.SGD(made.parameters(), lr=RATE),
        CrossEntropy().make(),
        torch.autocast("cpu", enabled=False),
        scaler or torch.amp.GradScaler("cpu", enabled=False),
        acts,
        micro_batch,
    )
    torch.manual_seed(3)
    return made, float(step(images(), TARGETS))


def reference(rho: float) -> tuple[Network, float]:
    """The paper's two passes, written out on the functions that torch differentiates."""
    made = network()
    weights = list(made.parameters())

    def gradients() -> tuple[float, list[Tensor]]:
        torch.manual_seed(3)
        loss = torch.nn.functional.cross_entropy(made(images()), TARGETS, label_smoothing=0.1)
        return float(loss.detach()), list(torch.autograd.grad(loss, weights))

    loss, first = gradients()
    statistics = copy.deepcopy(dict(made.named_buffers()))
    norm = torch.cat([gradient.flatten() for gradient in first]).norm()
    with torch.no_grad():
        for weight, gradient in zip(weights, first, strict=True):
            weight.add_(rho * gradient / norm)
    _, second = gradients()
    with torch.no_grad():
        for weight, up, down in zip(weights, first, second, strict=True):
            weight.sub_(rho * up / norm).sub_(RATE * down)
    made.load_state_dict({**made.state_dict(), **statistics})
    return made, loss


def difference(one: Network, other: Network) -> float:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def test_a_step_is_the_papers() -> None:
    """Weights, running statistics and the loss; the same dropout masks in both passes."""
    ours, loss = stepped([SharpnessAware(0.05)])
    theirs, expected = reference(0.05)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert difference(ours, theirs) < 1e-10
    plain, _ = stepped([])
    assert difference(ours, plain) > 1e-6, "and it is not a plain step"
    counted = {int(v) for n, v in ours.named_buffers() if n.endswith("num_batches_tracked")}
    assert counted == {1}, "running statistics move once"


def test_the_draws_afterwards_are_those_of_a_plain_step() -> None:
    stepped([])
    after = torch.get_rng_state()
    stepped([SharpnessAware(0.05)])
    assert torch.equal(torch.get_rng_state(), after)


def test_a_scaler_is_taken_out_before_the_norm() -> None:
    scaled, _ = stepped([SharpnessAware(0.05)], torch.amp.GradScaler("cpu", init_scale=2.0**10))
    assert difference(scaled, stepped([SharpnessAware(0.05)])[0]) < 1e-12


def test_an_overflow_skips_the_step_and_leaves_the_weights() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38)
    made, _ = stepped([SharpnessAware(0.05), _Overflow()], scaler)
    before = dict(network().named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in made.named_parameters())
    assert scaler.get_scale() == pytest.approx(1.5e38)


class _Overflow(Act):
    def loss(self, batch: Any, inner: Any) -> Any:
        plain = inner()
        return type(plain)(plain.mean * 1e300)


def test_parts_of_a_batch_climb_together() -> None:
    """With `micro_batch`: batch norm sees the parts, the climb sees the whole gradient. Without
    batch norm and dropout the parts are the whole."""
    for size in (None, 3):
        made, _ = stepped([SharpnessAware(0.05), _Still()], micro_batch=size)
        if size is None:
            whole = made
    assert difference(made, whole) < 1e-10


class _Still(Act):
    """The network without what sees the whole batch or draws."""

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images, targets

    def loss(self, batch: Any, inner: Any) -> Any:
        batch.network.eval()
        return inner()


def test_with_rdrop_one_trunk_is_two_passes() -> None:
    shared, _ = stepped([TwoPasses(RDrop(), 1), SharpnessAware(0.05)])
    whole, _ = stepped([TwoPasses(RDrop(), 2), SharpnessAware(0.05)])
    assert difference(shared, whole) < 1e-9
    assert difference(shared, stepped([TwoPasses(RDrop(), 1)])[0]) > 1e-6


@pytest.mark.parametrize("others", [{}, {"rdrop": True, "micro_batch": 8}, {"mixing": "mixup"}])
def test_trainings_repeat_and_an_average_changes_nothing(
    others: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields} | {"epochs": 1, **others}
    spec = TrainSpec.model_validate(plain | {"sam": {"rho": 0.1}})
    alone = train(spec, tmp_path / "alone", Place(tmp_path))
    both = train(spec, tmp_path / "both", Place(tmp_path), tracks=(RAW, Ema(decay=0.9, tau=3.0)))
    assert alone[0].record == both[0].record
    without = train(TrainSpec.model_validate(plain), tmp_path / "without", Place(tmp_path))
    assert without[0].record.checkpoint != alone[0].record.checkpoint


@pytest.mark.parametrize("method", ["soft_target", "mgd"])
def test_a_student_climbs_too(method: str, tiny: TrainSpec, tmp_path: Path) -> None:
    short = tiny.model_copy(update={"epochs": 1, "data": DataSpec(name="digits", limit=5)})
    train(short, tmp_path / "teacher", Place(tmp_path))
    teacher = tmp_path / "teacher" / "train-raw" / "best.safetensors"
    plain = {name: getattr(short, name) for name in TrainSpec.model_fields}
    settings = plain | {"sam": True, "distill": {"method": method, "teacher": short.signature}}
    spec = TrainSpec.model_validate(settings)
    start = Start(teacher=teacher)
    first, again = (
        train(spec, tmp_path / name, Place(tmp_path), start=start)[0].record for name in "ab"
    )
    assert first == again and first.history[-1].train_loss > 0


def test_two_that_take_over_one_place_are_refused(
    tiny: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    both = TrainSpec.model_validate(plain | {"sam": True, "rdrop": True, "mixing": "mixup"})
    assert [trick.setting for trick in both.tricks] == ["rdrop", "sam", "mixing"], "innermost first"
    monkeypatch.setattr(RDrop, "takes_over", ("step",))
    with pytest.raises(ValidationError, match="'rdrop' and 'sam' each take over the step"):
        TrainSpec.model_validate(plain | {"sam": True, "rdrop": True})


def test_signatures_and_records_without_it_stay_as_they_were(tiny: TrainSpec) -> None:
    assert "sam" not in tiny.signed() and "sam" not in tiny.model_dump()
    on = TrainSpec.model_validate({"data": DataSpec(name="digits"), "model": "x", "sam": True})
    assert on.signed()["sam"] == {"rho": 0.05} == on.model_dump()["sam"]
    assert on.slug == "x-sam-s0"
    assert TrainSpec.model_validate_json(on.model_dump_json()) == on


def test_a_matrix_runs_and_its_plan_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sam.yaml").write_text(MATRIX)
    assert runner.main(["sam.yaml", "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "train mobilenetv2-sam-s0" in shown and "evaluate mobilenetv2-sam-s0 " in shown
    assert runner.main(["sam.yaml", "--plan", "--json"]) == 0
    plain, sam = json.loads(capsys.readouterr().out)["jobs"][:2]
    assert sam["cost"]["gflop"] / plain["cost"]["gflop"] == pytest.approx(380 / 200, abs=0.05)
    assert runner.main(["sam.yaml"]) == 0
    table = Path("reports/sam/sam.md").read_text()
    assert len(table.splitlines()) == 4 and "to do" not in table and "failed" not in table
    page = Path("reports/sam/report.md").read_text()
    assert '- arm sam {"rho": 0.05}' in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{rho: 0}", "m.yaml:3: 'rho' must be greater than 0"),
        ("{roh: 0.1}", "m.yaml:3: unknown setting 'roh'; did you mean 'rho'?"),
        ("5", "m.yaml:3: 'sam' must be true, false or a mapping of its settings"),
    ],
)
def test_bad_settings(
    given: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.yaml"
    text = MATRIX.replace("train: {", f"train: {{sam: {given}, ").replace("  sam: [", "  seed: [")
    file.write_text(
        text.replace("seed: [false, true]", "lr: [1e-3]").replace("rows: sam", "rows: lr")
    )
    assert runner.main([str(file), "--plan", "--runs", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
