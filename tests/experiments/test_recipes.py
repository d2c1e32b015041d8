"""Recipes: what their publications' tables say, expanded into settings that an arm may override."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import runner
from classifier.config.spec import TrainSpec
from classifier.tricks.mixing import Mixing
from experiments.matrix import recipes
from experiments.matrix.load import load
from experiments.matrix.overrides import Overrides
from experiments.matrix.recipes import RECIPES, expanded

HEAD = "title: T\ndata: {name: digits, limit: 10}\n"
TABLE = "tables: {t: {rows: runs, columns: [{header: val, split: val}]}}\n"


def arm(tmp_path: Path, run: str, train: str = "model: resnet18d", *sets: str) -> TrainSpec:
    """The training of a single named run."""
    file = tmp_path / "m.yaml"
    file.write_text(f"{HEAD}train: {{{train}}}\nruns: {{one: {{{run}}}}}\n{TABLE}")
    return load(file, Overrides(sets=sets)).arms[0].trainings[0]


COLUMNS = (
    *("train", "test", "epochs", "batch", "lr", "decay", "warm", "smooth", "repeats", "policy"),
    *("mixup", "share", "paths"),
)
M7, M6 = "rand-m7-mstd0.5-inc1", "rand-m6-mstd0.5-inc1"
SAID: dict[str, tuple[Any, ...]] = {
    # Table 2 of "ResNet strikes back".
    "a1": (224, 224, 600, 2048, 5e-3, 0.01, 5, 0.1, 3, M7, 0.2, 0.95, 0.05),
    "a2": (224, 224, 300, 2048, 5e-3, 0.02, 5, 0.0, 3, M7, 0.1, 0.95, 0.05),
    "a3": (160, 224, 100, 2048, 8e-3, 0.02, 5, 0.0, 1, M6, 0.1, 0.95, None),
    # torchvision's blog, of its ResNet50's new recipe.
    "torchvision": (176, 224, 600, 1024, 0.5, 2e-5, 5, 0.1, 4, None, 0.2, 224 / 232, None),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_tables(name: str, tmp_path: Path) -> None:
    spec = arm(tmp_path, f"recipe: {name}")
    plain = spec.model_dump()
    found = {
        "train": spec.image_size,
        "test": spec.eval_side,
        "epochs": spec.epochs,
        "batch": spec.batch_size,
        "lr": spec.lr,
        "decay": plain["optimizer"]["weight_decay"],
        "warm": plain["warmup"]["epochs"],
        "smooth": plain["loss"]["label_smoothing"],
        "repeats": spec.repeats,
        "policy": plain["augment"]["policy"] if isinstance(plain["augment"], dict) else None,
        "mixup": plain["mixing"]["alpha"],
        "share": spec.eval_crop,
        "paths": spec.drop_path_rate,
    }
    assert found == dict(zip(COLUMNS, SAID[name], strict=True))
    mixing = spec.trick(Mixing)
    assert mixing is not None and (mixing.cutmix_alpha, mixing.switch) == (1.0, 0.5)
    assert mixing.probability == 1.0 and spec.hflip == 0.5
    assert plain["crop"]["scale"] == (0.08, 1.0) and plain["schedule"]["name"] == "half_cosine"
    assert plain["optimizer"]["name"] == ("sgd" if name == "torchvision" else "lamb")
    assert plain["loss"]["name"] == ("cross_entropy" if name == "torchvision" else "bce")


@pytest.mark.parametrize("name", RECIPES)
def test_signatures_are_those_of_the_settings(name: str, tmp_path: Path) -> None:
    written = {key: value for key, value in RECIPES[name].items() if key != "ema"}
    spelled = json.dumps(written)[1:-1]
    assert arm(tmp_path, f"recipe: {name}").signature == arm(tmp_path, spelled).signature
    assert arm(tmp_path, "recipe: false").signature == arm(tmp_path, "lr: 1e-3").signature


def test_each_part_is_an_override_away(tmp_path: Path) -> None:
    whole = arm(tmp_path, "recipe: a2")
    changes: dict[str, dict[str, Any]] = {
        "mixing: false": {"mixing": None},
        "mixing: null": {"mixing": None},
        "repeats: null": {"repeats": 1},
        "clip_grad: 1.0": {"clip_grad": 1.0},
        "lr: 1e-3": {"lr": 1e-3},
        "hflip: null": {"hflip": 0.0},
        "eval_size: null": {"eval_size": None},
        "image_size: 64": {"image_size": 64, "eval_size": None},
        "image_size: 64, eval_size: 96": {"image_size": 64, "eval_size": 96},
    }
    for written, changed in changes.items():
        spec = arm(tmp_path, f"recipe: a2, {written}")
        assert spec == whole.model_copy(update=changed), written
    assert arm(tmp_path, "recipe: a2", "model: resnet18d, amp: false").amp is False, "train's too"
    assert arm(tmp_path, "recipe: a2", "model: resnet18d", "train.epochs=2").epochs == 2


def test_parts_of_a_part(tmp_path: Path) -> None:
    def optimizer(run: str) -> dict[str, Any]:
        plain: dict[str, Any] = arm(tmp_path, f"recipe: a2, {run}").model_dump()["optimizer"]
        return plain

    assert optimizer("optimizer: {weight_decay: 0.0}") == {"name": "lamb", "weight_decay": 0.0}
    assert optimizer("optimizer: {eps: 1e-7}")["weight_decay"] == 0.02
    assert optimizer("optimizer: {weight_decay: null}")["weight_decay"] == 0.0
    assert optimizer("optimizer: sgd")["weight_decay"] == 5e-4
    assert optimizer("optimizer: null")["name"] == "adamw", "the setting's default"
    assert optimizer("optimizer: {name: NAdam}") == {"name": "NAdam", "weight_decay": 0.0}
    assert optimizer("optimizer: lamb")["weight_decay"] == 0.02, "a name alone, which is its own"
    before = json.dumps(RECIPES)
    expanded("a1", {"optimizer": {"weight_decay": 0.5}})
    assert json.dumps(RECIPES) == before


def test_a_name_alone_or_true_is_the_recipes_own(tmp_path: Path) -> None:
    whole = arm(tmp_path, "recipe: a1")
    for same in ("loss: bce", "schedule: half_cosine", "crop: random_resized", "augment: timm"):
        assert arm(tmp_path, f"recipe: a1, {same}") == whole, same
    for same in ("mixing: mixup_or_cutmix", "mixing: true", "warmup: true"):
        assert arm(tmp_path, f"recipe: a1, {same}") == whole, same
    assert arm(tmp_path, "recipe: a1, augment: RandAugment").augment == "RandAugment"
    erasing = arm(tmp_path, "recipe: torchvision, erasing: true").model_dump()["erasing"]
    assert erasing["probability"] == 0.1


MATRIX = """\
title: T
data: {name: digits, limit: 10}
train: {model: ghostnet, image_size: 32, batch_size: 16, epochs: 1, recipe: a3}
matrix:
  optimizer.weight_decay: [0.0, 0.02]
  mixing: [false, mixup]
tables:
  t: {rows: mixing, columns: [{header: none, split: val, where: {optimizer.weight_decay: 0.0}},
    {header: some, split: val, where: {optimizer.weight_decay: 0.02}}]}
"""


def test_a_matrix_may_leave_parts_out_and_the_plan_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MATRIX)
    assert runner.main(["m.yaml", "--plan"]) == 0
    out = capsys.readouterr().out
    said = [line for line in out.splitlines() if line.startswith("m: recipe ")]
    assert said[0].startswith("m: recipe a3: image_size 160, epochs 100, batch_size 2048, ")
    assert 'optimizer {"name": "lamb", "weight_decay": 0.02}, lr 0.008' in said[0]
    assert said[1:] == [
        "m: recipe a3, here with: image_size 32, epochs 1, batch_size 16, eval_size at its default",
        "m: recipe a3, in “optimizer.weight_decay 0.0” with: optimizer.weight_decay 0.0, "
        "mixing false",
        "m: recipe a3, in “optimizer.weight_decay 0.0, mixup” with: "
        "optimizer.weight_decay 0.0, mixing mixup",
        "m: recipe a3, in “optimizer.weight_decay 0.02” with: mixing false",
        "m: recipe a3, in “optimizer.weight_decay 0.02, mixup” with: mixing mixup",
    ]
    assert "4 trainings" in out
    assert out.count("the warm-up of 5 epochs is longer than the training") == 1
    assert runner.main(["m.yaml", "--plan", "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    decays = [j["settings"]["optimizer"]["weight_decay"] for j in jobs if j["kind"] == "train"]
    assert sorted(decays) == [0.0, 0.0, 0.02, 0.02]
    assert all(job["settings"].get("recipe") is None for job in jobs)
    assert runner.main(["m.yaml", "--plan", "--smoke"]) == 0
    assert "train.epochs = 2 (override)" in capsys.readouterr().out


def test_recipes_on_an_axis_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them, with the image's size and the batch made small."""
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(
        HEAD + "train: {model: test_resnet, image_size: 32, batch_size: 16, epochs: 1}\n"
        "matrix: {recipe: [false, a1, a3, torchvision]}\n"
        "tables: {t: {rows: recipe, columns: [{header: val, split: val}]}}\n"
    )
    assert runner.main(["m.yaml", "--devices", "cpu"]) == 0
    report = Path("reports/m/t.md").read_text()
    assert all(f"| {name} |" in report for name in RECIPES if name != "a2")
    page = Path("reports/m/report.md").read_text()
    assert "- recipe torchvision: image_size 176, " in page
    assert "- recipe torchvision, here with: image_size 32, epochs 1, batch_size 16, " in page
    assert (
        "The warm-up of 5 epochs is longer than the training: it is squeezed into 1 epoch" in page
    )


def test_what_is_not_a_recipes_is_all_that_an_arm_changes(tmp_path: Path) -> None:
    """What a recipe brings with the changes over it is the whole again."""
    for written in (
        {},
        {"mixing": False, "lr": 1e-4, "clip_grad": 1.0},
        {"optimizer": {"weight_decay": None}, "image_size": 64, "repeats": None},
        {"optimizer": {"name": "sgd"}, "warmup": {"start_lr": 1e-3}, "loss": "poly"},
    ):
        whole = expanded("a2", written)
        again: dict[str, Any] = json.loads(json.dumps(RECIPES["a2"]))
        for name, value in recipes.changed("a2", whole).items():
            setting, _, part = name.partition(".")
            place = again[setting] if part else again
            place[part or setting] = value
            if value is None:
                del place[part or setting]
        assert again == {name: value for name, value in whole.items() if name != "clip_grad"}
    assert recipes.changed("a2", RECIPES["a2"]) == {}
