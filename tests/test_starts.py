"""What trainings start from, by the command line: weights, teachers' files, pretrained weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import runner
from classifier.basics.files import sha256
from classifier.models import checkpoint
from classifier.models.network import build
from classifier.records.record import TrainRecord
from experiments.store.store import Store

ROOT = Path(__file__).parents[1]
DIGITS = tuple("0123456789")
MATRIX = """\
title: Starts
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 1}
runs:
  loaded: {weights: backbones/w.pth}
  scratch: {}
  taught: {distill: {method: soft_target, teacher: {file: teachers/t.safetensors}}}
tables:
  starts: {rows: runs, columns: [{header: val, stage: train}]}
"""


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A matrix with a file of weights, as torchvision names them, and a teacher's checkpoint."""
    monkeypatch.chdir(tmp_path)
    Path("starts.yaml").write_text(MATRIX)
    Path("data/backbones").mkdir(parents=True)
    Path("data/teachers").mkdir()
    torch.save(build("mobilenetv2", 10, seed=5).trunk.state_dict(), "data/backbones/w.pth")
    write_teacher(DIGITS)
    return tmp_path


def write_teacher(classes: tuple[str, ...]) -> None:
    meta = checkpoint.Meta("ghostnet", classes, 32, [0.5] * 3, [0.5] * 3)
    state = checkpoint.to_half(build("ghostnet", len(classes), seed=0).state_dict())
    checkpoint.save(Path("data/teachers/t.safetensors"), state, meta)


def planned(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert runner.main(["starts.yaml", "--plan", "--json"]) == 0
    jobs: list[dict[str, object]] = json.loads(capsys.readouterr().out)["jobs"]
    return jobs


def test_files_start_and_teach_trainings(starts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = planned(capsys)
    assert [(job["kind"], job["needs"]) for job in jobs] == [("train", [])] * 3
    assert runner.main(["starts.yaml", "--devices", "cpu"]) == 0
    specs = [r.spec for r in Store(Path("runs")).read().records.values() if r.kind == "train"]
    (loaded,) = (spec.weights for spec in specs if spec.weights)
    assert (loaded.file, loaded.sha256) == ("backbones/w.pth", sha256(Path("data", loaded.file)))
    losses = {
        record.history[0].train_loss
        for record in Store(Path("runs")).read().records.values()
        if isinstance(record, TrainRecord)
    }
    assert len(losses) == 3
    Path("data/backbones/w.pth").rename("data/moved.pth")
    Path("starts.yaml").write_text(MATRIX.replace("backbones/w.pth", "moved.pth"))
    assert {job["state"] for job in planned(capsys)} == {"done"}, "a file may move"
    torch.save({}, "data/moved.pth")
    assert sorted(str(job["state"]) for job in planned(capsys)) == ["done", "done", "todo"]


def test_what_does_not_fit_is_said_before_anything_runs(
    starts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_teacher(("a", "b"))
    before = sorted(Path.cwd().iterdir())
    assert runner.main(["starts.yaml"]) == 2
    said = capsys.readouterr().err
    assert "teachers/t.safetensors was trained on other classes than the student" in said
    write_teacher(DIGITS)
    torch.save({"features.0.0.weight": torch.ones(1)}, "data/backbones/w.pth")
    assert runner.main(["starts.yaml"]) == 2
    said = capsys.readouterr().err
    assert "error: data/backbones/w.pth does not fit mobilenetv2: size mismatch for" in said
    assert sorted(Path.cwd().iterdir()) == before, "nothing is written"


def test_a_link_may_not_leave_the_data_root(
    starts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/backbones/w.pth").rename("outside.pth")
    Path("data/backbones/w.pth").symlink_to(Path("outside.pth").resolve())
    assert runner.main(["starts.yaml", "--plan"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: starts.yaml:5: a file that lies under the data root data (links")
    assert said.endswith('is expected, not "backbones/w.pth"\n')
    Path("data/backbones/w.pth").unlink()
    Path("data/backbones/w.pth").symlink_to("w.pth")
    assert runner.main(["starts.yaml", "--plan"]) == 2


def test_weights_and_pretrained_exclude_each_other(
    starts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["starts.yaml", "--plan", "--set", "train.pretrained=true"]) == 2
    said = capsys.readouterr().err
    assert "'weights' stand in place of 'pretrained'; leave one out" in said


def test_pretrained_weights_without_a_network(starts: Path) -> None:
    """One error and exit code 2, before anything is written."""
    Path("starts.yaml").write_text(MATRIX.replace("scratch: {}", "scratch: {pretrained: true}"))
    environment = {**os.environ, "TORCH_HOME": str(starts), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, str(ROOT / "runner.py"), "starts.yaml", "--devices", "cpu"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: the pretrained weights of mobilenetv2 can't be had: mobilenet_v2-b0353104"
    )
    assert (
        "312 of 312 tensors loaded into mobilenetv2; left: nothing; missing: head." in done.stderr
    )
    assert "Traceback" not in done.stderr and "weights: FILE" in last
    assert not Path("runs").exists() and not Path("reports").exists()
