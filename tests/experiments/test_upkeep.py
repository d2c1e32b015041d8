"""--status, --verify and --prune on a store of real runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runner
from classifier.config.spec import TrainSpec
from experiments.store.about import about
from experiments.store.leases import Leases

MATRIX = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 1}
matrix:
  lr: [1e-3, 1e-2]
benchmark: {seconds: 0.1}
tables:
  small:
    rows: lr
    columns:
      - {header: val, split: val}
      - {header: FPS, metric: fps, batch_size: 2}
"""
HALF = MATRIX.replace("[1e-3, 1e-2]", "[1e-3]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("all.yaml").write_text(MATRIX)
        Path("half.yaml").write_text(HALF)
        assert runner.main(["all.yaml"]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def units(kind: str) -> list[Path]:
    return sorted(Path("runs").glob(f"*/{kind}-*"))


def test_status_shows_every_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = units("train")[0].parent / "work-train-0123456789ab"
    work.mkdir()
    (work / "failure.json").write_text('{"reason": "x"}')
    assert runner.main(["--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("mobilenetv2-")]) == 3
    assert sum("failed" in line for line in lines) == 1
    assert lines[-1].startswith("3 runs in runs, ")


def test_status_tells_runs_of_one_name_apart() -> None:
    """By their data, and by what most of them do not have."""
    base = {"model": "ghostnet", "image_size": 32, "data": {"name": "digits", "limit": 20}}
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "mixed": {"mixing": True},
        "other": {"data": {"name": "digits", "limit": 30}},
        "lr": {"lr": 0.5},
        "decay": {"optimizer": {"weight_decay": 0.1}},
        "seed": {"seed": 1},
    }
    specs = {name: TrainSpec.model_validate(base | of) for name, of in changes.items()}
    assert about(specs) == {
        "plain": "digits (limit 20)",
        "mixed": "digits (limit 20): mixing.name mixup, mixing.alpha 1.0, mixing.probability 0.5",
        "other": "digits (limit 30)",
        "lr": "digits (limit 20): lr 0.5",
        "decay": "digits (limit 20): optimizer.weight_decay 0.1",
        "seed": "digits (limit 20)",
    }
    assert about({n: specs[n] for n in ("plain", "mixed")})["plain"] == "digits: mixing off"


def test_a_whole_store_is_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--verify"]) == 0
    assert capsys.readouterr().out == "all that runs holds is whole\n"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def other_signature(record: Path) -> None:
    content = json.loads(record.read_bytes())
    content["spec"]["seed"] = 5
    record.write_text(json.dumps(content))


def other_labels(predictions: Path) -> None:
    with np.load(predictions) as kept:
        np.savez(
            predictions,
            logits=kept["logits"],
            labels=kept["logits"].argmax(axis=1),
            paths=kept["paths"],
        )


def other_figure(record: Path) -> None:
    """One that predictions give too, beside the accuracy."""
    content = json.loads(record.read_bytes())
    record.write_text(json.dumps(content | {"mpa": 0.123}))


@pytest.mark.parametrize(
    ("kind", "file", "damage", "message"),
    [
        ("train", "best.safetensors", flip, "is not the checkpoint that was trained"),
        ("train", "best.safetensors", Path.unlink, "best.safetensors is missing"),
        ("train", "record.json", other_signature, "is not what its name and settings say"),
        ("train", "record.json", Path.unlink, "record.json is missing"),
        ("evaluate", "predictions.npz", other_labels, "gives accuracy"),
        ("evaluate", "predictions.npz", empty, "can't be read: "),
        ("evaluate", "predictions.npz", flip, "can't be read: "),
        ("evaluate", "predictions.npz", Path.unlink, "predictions.npz is missing"),
        ("evaluate", "record.json", other_figure, "predictions.npz gives mpa"),
    ],
)
def test_what_is_damaged_is_named(
    kind: str,
    file: str,
    damage: Callable[[Path], None],
    message: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unit = units(kind)[0]
    damage(unit / file)
    assert runner.main(["--verify"]) == 1
    out = capsys.readouterr().out
    assert message in out and str(unit) in out and out.endswith("1 damaged\n")


def test_figures_that_are_missing_though_all_is_done_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("reports")  # of the folder that this one is a copy of
    lost = units("evaluate")[0]
    (lost / "predictions.npz").unlink()
    Path("all.yaml").write_text(f"{MATRIX}      - {{header: nll, split: val, metric: nll}}\n")
    assert runner.main(["all.yaml"]) == 3
    said = f"figures are missing: {lost / 'predictions.npz'} is missing; delete {lost} to have it"
    assert said in capsys.readouterr().err
    shutil.rmtree(lost)
    assert runner.main(["all.yaml"]) == 0


def test_prune_deletes_what_no_matrix_needs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/by-hand").mkdir()
    before = sorted(map(str, Path("runs").rglob("*")))
    assert runner.main(["all.yaml", "--prune"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    assert runner.main(["half.yaml", "--prune"]) == 0
    out = capsys.readouterr().out
    assert "1 folders that the given matrices do not need" in out
    assert "runs/by-hand was named by hand" in out and "nothing was deleted" in out
    assert sorted(map(str, Path("runs").rglob("*"))) == before, "it says first"
    assert runner.main(["half.yaml", "--prune", "--yes"]) == 0
    assert len(units("train")) == len(units("evaluate")) == len(units("benchmark")) == 1
    assert Path("runs/by-hand").exists()
    capsys.readouterr()
    assert runner.main(["half.yaml"]) == 0
    assert "nothing to do" in capsys.readouterr().out, "what it needs is there"


def test_without_a_store_or_a_matrix_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for option in ("--status", "--verify"):
        assert runner.main([option]) == 2
        assert "runs is not there" in capsys.readouterr().err
    assert runner.main([]) == 2
    assert "name a matrix" in capsys.readouterr().err
    assert runner.main(["--prune"]) == 2
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_used_by_nobody(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = units("train")[0]
    flip(unit / "best.safetensors")
    Path("all.yaml").write_text(MATRIX + "      - {header: test, split: test}\n")
    shutil.rmtree("reports")  # of the folder that this one is a copy of
    assert runner.main(["all.yaml"]) == 1
    said = f"best.safetensors is damaged: it is not what was trained; delete {here / unit}"
    assert said in capsys.readouterr().out
    shutil.rmtree(unit)
    assert runner.main(["all.yaml"]) == 0


def test_prune_leaves_links_and_hand_made_runs_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one whose name ends as a runner's would: with a date."""
    units("train")[0].parent.rename("runs/mine-202511250315")
    Path("apart/mobilenetv2-s0-aaaaaaaaaaaa/train-raw").mkdir(parents=True)
    link = Path("runs/mobilenetv2-s0-aaaaaaaaaaaa")
    link.symlink_to(Path("apart/mobilenetv2-s0-aaaaaaaaaaaa").absolute())
    Path("runs/notes").mkdir()
    Path("runs/notes/train-log.txt").touch()
    Path("runs/mobilenetv2-s9-bbbbbbbbbbbb/train-raw").mkdir(parents=True)
    assert runner.main(["half.yaml", "--prune", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "left alone: runs/mine-202511250315 was named by hand" in out
    assert f"left alone: {link} is a link" in out
    assert link.exists() and Path("runs/mine-202511250315/train-raw/record.json").exists()
    assert not Path("runs/mobilenetv2-s9-bbbbbbbbbbbb").exists()


def test_prune_deletes_runs_of_the_longest_name(here: Path) -> None:
    """It gets a beginning while it is deleted."""
    for run in {unit.parent for unit in units("train")}:
        run.rename(run.with_name(f"{'m' * 242}-{run.name.rpartition('-')[2]}"))
    assert runner.main(["half.yaml", "--prune", "--yes"]) == 0
    (left,) = {unit.parent for unit in units("train")}
    assert len(left.name) == 255
    assert not list(Path("runs").glob(".deleted*"))


def test_what_has_begun_while_prune_asked_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Leases(Path("runs")) as leases:

        def answer(prompt: str) -> str:
            for unit in units("train"):
                leases.take(unit.parent.name.rpartition("-")[2])
            return "y"

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        assert runner.main(["half.yaml", "--prune"]) == 0
    assert "they are in use now" in capsys.readouterr().out
    assert len(units("train")) == 2
