"""Rates by step: timm's and torch's values, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm.scheduler as timms
import torch

from classifier.basics.errors import StoppedError
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.job import train
from classifier.records.record import TrainRecord
from classifier.training.schedule import learning_rates

EPOCHS, STEPS, LR = 12, 7, 0.3
SCHEDULES: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "half_cosine": ({"min_lr": 1e-3}, timms.CosineLRScheduler, {"lr_min": 1e-3}),
    "linear": ({}, timms.PolyLRScheduler, {"power": 1.0}),
    "poly": ({"power": 0.7, "min_lr": 1e-3}, timms.PolyLRScheduler, {"power": 0.7, "lr_min": 1e-3}),
    "poly, at its default": ({}, timms.PolyLRScheduler, {}),
    "step": ({"epochs": 3.0, "gamma": 0.2}, timms.StepLRScheduler, {"decay_rate": 0.2}),
}


def spec_of(tiny: TrainSpec, **changes: Any) -> TrainSpec:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | {"epochs": EPOCHS, "lr": LR} | changes)


def timms_rates(kind: Any, arguments: dict[str, Any], warm: int, positions: int) -> list[float]:
    """timm's own, counted in updates."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    length = {"t_initial": positions - warm} if kind is not timms.StepLRScheduler else arguments
    made = kind(
        optimizer,
        **(arguments | length),
        t_in_epochs=False,
        warmup_t=warm,
        warmup_lr_init=1e-6 if warm else 0.0,
        warmup_prefix=True,
    )
    rates = []
    for position in range(positions):
        made.step_update(position)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("by", ["step", "epoch"])
@pytest.mark.parametrize("warm_epochs", [0, 3])
def test_rates_are_timms(name: str, by: str, warm_epochs: int, tiny: TrainSpec) -> None:
    written, kind, arguments = SCHEDULES[name]
    schedule = {"name": name.partition(",")[0], "by": by, **written}
    warmup = {"epochs": warm_epochs} if warm_epochs else False
    rates = learning_rates(spec_of(tiny, schedule=schedule, warmup=warmup), STEPS)
    assert len(rates) == EPOCHS * STEPS
    each = STEPS if by == "step" else 1
    if kind is timms.StepLRScheduler:
        arguments = arguments | {"decay_t": 3 * each}
    expected = timms_rates(kind, arguments, warm_epochs * each, EPOCHS * each)
    expected = [rate for rate in expected for _ in range(STEPS // each)]
    assert rates == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert len(set(rates)) > 3


def test_by_epoch_a_half_cosine_is_torchs(tiny: TrainSpec) -> None:
    """As torchvision's own training chains the two."""
    warm = 5
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    rising = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=warm)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS - warm)
    chained = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [warm])
    expected = []
    for _ in range(EPOCHS):
        expected.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        chained.step()
    schedule = {"name": "half_cosine", "by": "epoch"}
    warmup = {"epochs": warm, "start_lr": 0.01 * LR}
    assert learning_rates(spec_of(tiny, schedule=schedule, warmup=warmup)) == pytest.approx(
        expected, rel=1e-6
    )


def test_a_ratios_warm_up_is_by_step_too(tiny: TrainSpec) -> None:
    spec = spec_of(tiny, schedule="linear", warmup={"ratio": 0.25})
    rates = learning_rates(spec, STEPS)
    rising = int(0.25 * EPOCHS * STEPS)
    assert rates[:rising] == pytest.approx([1e-6 + (LR - 1e-6) * t / rising for t in range(rising)])
    assert rates[rising] == LR == max(rates)
    longer = spec_of(tiny, epochs=2, schedule="linear", warmup={"epochs": 5})
    assert len(learning_rates(longer, STEPS)) == 2 * STEPS, "a smoke run is shorter than a warm-up"


def test_each_step_has_its_rate(
    tiny: TrainSpec, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tiny, epochs=2, schedule="half_cosine", warmup={"epochs": 1})
    seen: list[float] = []
    stepped = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        seen.extend({group["lr"] for group in self.param_groups})
        return stepped(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    (outcome,) = train(spec, tmp_path, Place(tmp_path))
    steps = len(seen) // 2
    assert seen == learning_rates(spec, steps) and len(set(seen)) == len(seen) == 8
    assert isinstance(outcome.record, TrainRecord)
    assert [row.lr for row in outcome.record.history] == [seen[0], seen[steps]]


def test_a_rate_that_an_optimiser_has_changed_is_there_after_a_resume(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's optimiser may; the schedule sets it anew where an epoch begins."""
    seen: list[float] = []
    stepped = torch.optim.AdamW.step

    def halving(self: torch.optim.AdamW, *args: Any, **kwargs: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        loss = stepped(self, *args, **kwargs)
        for group in self.param_groups:
            group["lr"] /= 2
        return loss

    monkeypatch.setattr(torch.optim.AdamW, "step", halving)
    spec = spec_of(tiny, epochs=2)
    train(spec, tmp_path / "whole", Place(tmp_path))
    whole = [*seen]
    assert len(whole) == 8 and whole[1] == whole[0] / 2 and whole[4] > whole[3]
    seen.clear()
    asked = iter([False] * 5 + [True])
    with pytest.raises(StoppedError):
        train(spec, tmp_path / "parts", Place(tmp_path, stop=lambda: next(asked)))
    train(spec, tmp_path / "parts", Place(tmp_path))
    assert seen == whole


def test_signatures(tiny: TrainSpec) -> None:
    made = [
        spec_of(tiny, **changes).signature
        for changes in (
            {"warmup": True},
            {"warmup": {"epochs": 1}},
            {"schedule": "half_cosine"},
            {"schedule": {"name": "half_cosine", "by": "epoch"}},
            {"schedule": "linear"},
        )
    ]
    assert len(set(made)) == 5
    assert "epochs" not in spec_of(tiny, warmup=True).model_dump()["warmup"]


@pytest.mark.parametrize("epochs", [2, 3, 4])
@pytest.mark.parametrize("by", ["step", "epoch"])
def test_a_warm_up_that_leaves_nothing_is_said(epochs: int, by: str, tiny: TrainSpec) -> None:
    """Where it is said the rate itself is never reached, and where it is not it is."""
    changes = {"epochs": epochs, "schedule": {"name": "half_cosine", "by": by}}
    spec = spec_of(tiny, **changes, warmup={"epochs": 3})
    assert spec.warmup is not None
    said = spec.warmup.remark(epochs)
    assert bool(said) == (max(learning_rates(spec, STEPS)) < LR)
    assert ("squeezed into 2 epochs" in said) == (epochs == 2)
    ratio = spec_of(tiny, **changes, warmup=True).warmup
    assert ratio is not None and ratio.remark(epochs) == ""
