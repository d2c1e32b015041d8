"""All settings of a training at once: it repeats, and goes on from a kept state bit for bit. What
autocast and torch.compile promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.job import train
from classifier.training.trainer import amp_of, check_settings
from classifier.tricks.ema import Ema
from tests.classifier.test_resume import Result, result

ALL_ON: dict[str, Any] = {
    "model": "test_resnet",
    "epochs": 3,
    "batch_size": 13,
    "micro_batch": 7,
    "optimizer": {"name": "lamb", "weight_decay": 0.02, "decay_on": "all_but_norms"},
    "schedule": "half_cosine",
    "warmup": {"epochs": 1},
    "clip_grad": 0.5,
    "crop": "random_resized",
    "hflip": 0.5,
    "augment": {"name": "timm", "policy": "rand-m7-mstd0.5-inc1"},
    "sampler": "balanced",
    "repeats": 2,
    "erasing": {"value": "noise", "probability": 0.5},
    "mixing": {"name": "mixup_or_cutmix", "alpha": 0.2, "probability": 0.8},
    "loss": {"name": "bce", "label_smoothing": 0.1},
    "eval_size": 40,
    "eval_crop": 0.9,
    "amp": "bfloat16",
}
ROOT = Path(__file__).parents[2]
TRACKS = (RAW, Ema(decay=0.9, tau=3.0, every=2))


def spec_of(tiny: TrainSpec, **changes: Any) -> TrainSpec:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | changes)


def trained(spec: TrainSpec, folder: Path, **settings: Any) -> Result:
    folder.mkdir(exist_ok=True)
    place = Place(folder, checkpoint_minutes=60.0, **settings)
    return result(train(spec, folder, place, tracks=TRACKS), folder)


def stopped(spec: TrainSpec, folder: Path, after: int, **settings: Any) -> None:
    asked = iter([False] * after + [True])
    with pytest.raises(StoppedError):
        trained(spec, folder, stop=lambda: next(asked), **settings)


def test_it_goes_on_bit_for_bit_and_workers_change_nothing(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = spec_of(tiny, **ALL_ON)
    whole = trained(spec, tmp_path / "whole")
    assert [len(record.history) for record, _ in whole] == [3, 3]
    for after in (3, 8):  # in the first epoch, and in the second
        folder = tmp_path / str(after)
        stopped(spec, folder, after)
        assert trained(spec, folder, workers=2) == whole
    assert whole[0][0].environment.precision == "bf16 autocast"


@pytest.mark.parametrize("setting", [name for name in ALL_ON if name not in ("epochs", "model")])
def test_each_setting_moves_the_training(setting: str, tiny: TrainSpec, tmp_path: Path) -> None:
    """Else one that is on would do nothing, and no test above would tell."""
    base = spec_of(tiny, model="test_resnet", epochs=1, batch_size=20, augment=None)
    changes = {setting: ALL_ON[setting]}
    if setting == "eval_crop":
        changes["eval_size"] = 40
        base = spec_of(base, eval_size=40)
    if setting == "warmup":
        changes["warmup"] = {"epochs": 1, "start_lr": 1e-4}
    if setting == "schedule":
        changes["schedule"] = {"name": "linear"}
    found = []
    for name, spec in (("plain", base), ("changed", spec_of(base, **changes))):
        (record, weights), *_ = trained(spec, tmp_path / name)
        row = record.history[0]
        found.append((weights, row.train_loss, row.val_loss))
    index = 2 if setting in ("eval_size", "eval_crop") else 0
    assert found[0][index] != found[1][index]


def test_bfloat16_is_for_every_device_and_signed(tiny: TrainSpec) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [amp_of(spec_of(tiny, amp="bfloat16"), each) for each in (cpu, cuda)] == ["bf16"] * 2
    assert [amp_of(spec_of(tiny, amp=True), each) for each in (cpu, cuda)] == [None, "fp16"]
    assert [amp_of(tiny, each) for each in (cpu, cuda)] == [None, None]
    signatures = {spec_of(tiny, amp=amp).signature for amp in (False, True, "bfloat16")}
    assert len(signatures) == 3
    for wrong in (1, 0, "bf16", None):
        with pytest.raises(ValidationError, match="'amp' must be true, false or bfloat16"):
            spec_of(tiny, amp=wrong)


def test_bfloat16_computes_in_it(tiny: TrainSpec, tmp_path: Path) -> None:
    kinds = set()
    linear = nn.Linear.forward

    def noted(self: nn.Linear, images: torch.Tensor) -> torch.Tensor:
        made = linear(self, images)
        if self.training:
            kinds.add((made.dtype, self.weight.dtype))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Linear, "forward", noted)
        trained(spec_of(tiny, model="test_resnet", epochs=1, amp="bfloat16"), tmp_path / "run")
    assert kinds == {(torch.bfloat16, torch.float32)}


def eagerly(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """torch.compile follows the network, and no compiler makes code of it: that takes minutes."""
    asked: list[dict[str, Any]] = []
    compiled = nn.Module.compile

    def follow(self: nn.Module, **settings: Any) -> None:
        asked.append(settings)
        compiled(self, backend="eager", dynamic=settings["dynamic"])

    patch.setattr(nn.Module, "compile", follow)
    return asked


def test_a_compiled_training_goes_on_bit_for_bit(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = eagerly(monkeypatch)
    spec = spec_of(tiny, model="test_resnet", epochs=2, compile=True)
    assert spec.signature != spec_of(spec, compile=False).signature
    whole = trained(spec, tmp_path / "whole")
    assert asked == [{"dynamic": False, "options": {"fallback_random": True}}] * 2
    stopped(spec, tmp_path / "again", 6)
    assert trained(spec, tmp_path / "again") == whole
    plain = trained(spec_of(spec, compile=False), tmp_path / "plain")
    found, expected = (each[0][0].history[-1].train_loss for each in (whole, plain))
    assert found == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_compiled_training_by_the_compiler(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = spec_of(tiny, model="test_resnet", epochs=2, compile=True)
    whole = trained(spec, tmp_path / "whole")
    stopped(spec, tmp_path / "again", 6)
    assert trained(spec, tmp_path / "again") == whole
    plain = trained(spec_of(spec, compile=False), tmp_path / "plain")
    found, expected = (each[0][0].history[-1].train_loss for each in (whole, plain))
    assert found == pytest.approx(expected, rel=1e-3), "rounding, and the same dropout"


MATRIX = """\
title: T
data: {name: digits, limit: 10}
train: {model: test_resnet, image_size: 32, batch_size: 16, epochs: 1}
runs:
  one: {WRITTEN}
tables: {t: {rows: runs, columns: [{header: val, split: val}]}}
"""


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("compile: true", "'compile: true' can't be done here: torch.compile finds no compiler that works ("),
        ("optimizer: {name: Adam, betas: [2.0, 0.9]}", "optimizer Adam does not take its arguments: Invalid beta parameter"),
        ("optimizer: {name: lamb, betas: high}", "optimizer lamb does not take its arguments: "),
        ("schedule: {name: StepLR, arguments: {steps: 3}}", "schedule StepLR does not take its arguments: "),
    ],
)  # fmt: skip
def test_what_only_a_library_can_check_is_tried_before_anything_runs(
    written: str, message: str, tmp_path: Path
) -> None:
    """One error, exit code 2, nothing written. In a process of its own, for jobs' processes have
    the surroundings of the first one."""
    (tmp_path / "m.yaml").write_text(MATRIX.replace("WRITTEN", written))
    kept = str(tmp_path.parent / f"{tmp_path.name}-kept")
    environment = {**os.environ, "CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": kept}
    command = [sys.executable, str(ROOT / "runner.py"), "m.yaml", "--devices", "cpu"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 2 and ended.stdout == ""
    assert len(errors) == 1 and message in errors[0] and "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


def test_compile_is_not_for_distillation(tiny: TrainSpec) -> None:
    distill = {"method": "at", "teacher": "0" * 12}
    with pytest.raises(ValidationError, match="'compile' and 'distill', which looks into"):
        spec_of(tiny, compile=True, distill=distill)
    with pytest.raises(UserError, match="optimizer lamb does not take"):
        wrong = spec_of(tiny, optimizer={"name": "lamb", "betas": "high"})
        check_settings(wrong, torch.device("cpu"))
    assert "compile" not in tiny.signed()
