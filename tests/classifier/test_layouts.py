"""Folders as people have them: which are taken, and what is said of the others."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import runner
from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.sources.folder import parts_among
from classifier.data.spec import DataSpec
from classifier.records.record import Data
from tests.classifier.test_datasets import make_images

BIRDS = DataSpec(folder="birds")
GIVEN = DataSpec(folder="birds", split="given")
MATRIX = """\
title: T
data: {{folder: birds, split: given}}
train: {{model: mobilenetv2, image_size: 16, batch_size: 4, epochs: 1, augment: null}}
matrix: {{rdrop: [false]}}
tables:
  t:
    rows: rdrop
    columns:
      - {{header: a, split: val}}
      - {{header: b, split: {split}, metric: mpa}}
"""


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev"])
def test_train_and_val_are_enough(val: str, root: Path) -> None:
    for part, count in {"train": 4, val: 2}.items():
        make_images(root / "birds" / part, {"a": count, "b": count})
    listed = datasets.listing(GIVEN, root)
    assert listed.counts() == {"train": 8, "val": 4, "test": 0}
    assert {path.split("/")[0] for path in listed.paths} == {"train", val}
    assert datasets.counts(GIVEN, root) == (2, listed.counts())


@pytest.mark.parametrize("names", [("Training", "Testing"), ("TRAIN", "Val", "Test")])
def test_parts_as_others_call_them(names: tuple[str, ...], root: Path) -> None:
    for name in names:
        make_images(root / "birds" / name, {"a": 5, "b": 5})
    listed = datasets.listing(GIVEN, root)
    assert {path.split("/")[0] for path in listed.paths} == set(names)
    cut = 2 if len(names) == 2 else 0
    assert listed.counts() == {"train": 10 - cut, "val": cut or 10, "test": 10}
    with pytest.raises(UserError, match=f"is split already \\({', '.join(names)}\\)"):
        datasets.listing(BIRDS, root)


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        ("seg_train seg_test seg_pred", {"seg_train": "train", "seg_test": "test"}),
        ("training_set test_set", {"training_set": "train", "test_set": "test"}),
        ("Train-Images valid-images", {"Train-Images": "train", "valid-images": "val"}),
        ("train test train_old test_old", {"train": "train", "test": "test"}),
        ("train_images test_images train_masks test_masks", {}),
        ("bullet_train crash_test station", {}),
        ("train constraint testament", {}),
        ("test val", {}),
    ],
)
def test_parts_are_known_by_what_they_are_called_beside(
    folders: str, parts: dict[str, str]
) -> None:
    assert parts_among(folders.split()) == parts


def test_parts_as_archives_are_unpacked(root: Path) -> None:
    """Intel's scenes and the cats and dogs of a course: each in a folder of its own name."""
    for part, count in {"seg_train": 5, "seg_test": 2}.items():
        make_images(root / "birds" / part / part, {"a": count, "b": count})
    make_images(root / "birds" / "seg_pred", {"seg_pred": 3})
    listed = datasets.listing(GIVEN, root)
    assert listed.classes == ("a", "b")
    assert listed.counts() == {"train": 8, "val": 2, "test": 4}
    assert {path.rpartition("/")[0] for path in listed.paths} == {
        f"{part}/{part}/{label}" for part in ("seg_train", "seg_test") for label in "ab"
    }
    assert datasets.left_out(GIVEN, root) == {}
    with pytest.raises(UserError, match=r"is split already \(seg_train, seg_test\): set 'split"):
        datasets.listing(BIRDS, root)


@pytest.mark.parametrize("twice", [("val", "valid"), ("Val", "val"), ("dev", "validation")])
def test_a_part_that_is_there_twice_is_refused(twice: tuple[str, ...], root: Path) -> None:
    for part in ("train", *twice):
        make_images(root / "birds" / part, {"a": 1, "b": 1})
    with pytest.raises(UserError, match=f"{' and '.join(twice)}, which are both val; keep one"):
        datasets.listing(GIVEN, root)


def test_val_is_needed(root: Path) -> None:
    make_images(root / "birds" / "train", {"a": 1, "b": 1})
    with pytest.raises(
        UserError, match="has no test/ and no val/ or valid/ or validation/ or dev/"
    ):
        datasets.listing(GIVEN, root)
    make_images(root / "birds" / "train" / "train", {"a": 1, "b": 1})
    for name in "ab":
        shutil.rmtree(root / "birds" / "train" / name)
    with pytest.raises(
        UserError, match=r"--data-root .*/birds/train with data: \{folder: train\}$"
    ):
        datasets.listing(GIVEN, root)


def test_what_asks_for_test_is_an_error_with_its_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "valid"):
        make_images(root / "birds" / part, {"a": 4, "b": 4}, (16, 16))
    monkeypatch.chdir(root)
    Path("m.yaml").write_text(MATRIX.format(split="test"))
    assert runner.main(["m.yaml", "--plan", "--data-root", "."]) == 2
    assert "m.yaml:10: birds has no test/, so there are no test images" in capsys.readouterr().err


def test_a_class_that_val_lacks_is_named_and_does_not_count(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest runs: two of three classes have val images; mpa is the mean over these two."""
    make_images(root / "birds" / "train", {"a": 4, "b": 4, "rare": 4}, (16, 16))
    make_images(root / "birds" / "valid", {"a": 6, "b": 2}, (16, 16))
    monkeypatch.chdir(root)
    Path("m.yaml").write_text(MATRIX.format(split="val"))
    assert runner.main(["m.yaml", "--data-root", ".", "--devices", "cpu"]) == 0
    page = Path("reports/m/report.md").read_text()
    assert "- val has no image of 1 class: rare" in page
    (file,) = Path("runs").glob("*/evaluate-*/record.json")
    record = json.loads(file.read_text())
    with np.load(file.with_name("predictions.npz")) as stored:
        right = stored["logits"].argmax(axis=1) == stored["labels"]
        per_class = [right[stored["labels"] == label].mean() for label in (0, 1)]
    assert record["mpa"] == pytest.approx(np.mean(per_class))
    assert record["data"]["lacking"] == {"val": ["rare"]}


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "valid", "test"), ("train", "test")])
def test_parts_are_not_taken_for_classes(parts: tuple[str, ...], root: Path) -> None:
    for part in parts:
        make_images(root / "birds" / part, {"a": 10, "b": 10})
    with pytest.raises(UserError, match=r"is split already \(.*set 'split: given' in data"):
        datasets.listing(BIRDS, root)


def test_classes_one_level_too_deep_are_refused(root: Path) -> None:
    make_images(root / "birds" / "birds", {"a": 10, "b": 10})
    with pytest.raises(UserError, match="the classes lie one level too deep; move them up"):
        datasets.listing(BIRDS, root)


def test_classes_that_hold_the_same_folders_are_refused(root: Path) -> None:
    for label in ("a", "b"):
        make_images(root / "birds" / label, {"left": 10, "right": 10})
    with pytest.raises(UserError, match=r"hold the same folders \(left, right\)"):
        datasets.listing(BIRDS, root)
    make_images(root / "birds", {"a": 1})  # an image beside them: they are sorted in some way
    assert datasets.listing(BIRDS, root).classes == ("a", "b")


def test_what_is_said_for_people_makes_no_other_data() -> None:
    old = Data(fingerprint="f" * 16, classes=2, train=4, val=2, test=2)
    new = old.model_copy(update={"left_out": {".txt": 1}, "lacking": {"val": ("a",)}})
    assert old != new and old.contents == new.contents
    assert "left_out" not in old.model_dump_json()


def test_folders_named_as_parts_are_no_classes(root: Path) -> None:
    make_images(root / "birds", {"train_images": 10, "test_images": 10})
    with pytest.raises(
        UserError, match=r"named as parts, not as classes .*: if a CSV has the clas"
    ):
        datasets.listing(BIRDS, root)
    make_images(root / "birds", {"owl": 10})
    assert datasets.listing(BIRDS, root).classes == ("owl", "test_images", "train_images")


def test_a_val_that_a_folder_lacks_is_cut_from_train(root: Path) -> None:
    for part in ("train", "test"):
        make_images(root / "birds" / part, {"a": 10, "b": 20})
    listed = datasets.listing(GIVEN, root)
    assert listed.counts() == {"train": 24, "val": 6, "test": 30}
    val = {listed.paths[index] for index in listed.indices("val")}
    assert Counter(path.rpartition("/")[0] for path in val) == {"train/a": 2, "train/b": 4}
    assert all(listed.paths[index].startswith("test/") for index in listed.indices("test"))
    other = datasets.listing(GIVEN.model_copy(update={"split_seed": 1}), root)
    assert {other.paths[index] for index in other.indices("val")} != val
    assert other.indices("test") == listed.indices("test")


def test_a_part_is_lacking(root: Path) -> None:
    make_images(root / "birds" / "train", {"a": 10, "b": 10})
    with pytest.raises(UserError, match=r"has no test/ and no val/ or .*data: \{folder: train\}"):
        datasets.listing(GIVEN, root)
    make_images(root / "birds" / "val", {"a": 10, "b": 10})
    assert datasets.listing(GIVEN, root).counts() == {"train": 20, "val": 20, "test": 0}
    with pytest.raises(UserError, match="'split_seed' would draw a val, and it has its own"):
        datasets.listing(GIVEN.model_copy(update={"split_seed": 1}), root)
    (root / "birds" / "train").rename(root / "birds" / "old")
    with pytest.raises(UserError, match="has no train/, which split 'given' takes"):
        datasets.listing(GIVEN, root)


CLASSES = ("ash", "elm", "oak")
TRAIN = """\
train: {model: mobilenetv2, image_size: 16, batch_size: 4, epochs: 2, augment: null}
matrix: {rdrop: [false]}
tables:
  t: {rows: rdrop, columns: [{header: val, split: val}, {header: mpa, split: val, metric: mpa}]}
"""


def _folder(root: Path) -> str:
    make_images(root / "trees", {"oak": 20, "ash": 10, "elm": 7}, (16, 16))
    return "{folder: trees}"


def _given(root: Path) -> str:
    make_images(root / "trees" / "train", {"oak": 6, "ash": 6, "elm": 6}, (16, 16))
    make_images(root / "trees" / "valid", {"oak": 5, "elm": 3}, (16, 16))
    return "{folder: trees, split: given}"


def _labels(root: Path) -> str:
    make_images(root / "trees", {"images": 30, "unknown": 3}, (16, 16))
    rows = (f"images/{i}.png,{CLASSES[i % 3]},{i // 3}" for i in range(30))
    (root / "trees" / "l.csv").write_text("\n".join(("path,label,site", *rows)))
    return "{folder: trees, labels: {file: l.csv, group: site}}"


@pytest.mark.parametrize("layout", [_folder, _given, _labels])
def test_a_tables_figures_are_those_counted_by_hand(
    layout: Callable[[Path], str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the stored predictions, with each image's class as it was made."""
    monkeypatch.chdir(root)
    Path("m.yaml").write_text(f"title: T\ndata: {layout(root)}\n{TRAIN}")
    assert runner.main(["m.yaml", "--data-root", ".", "--devices", "cpu"]) == 0
    (file,) = Path("runs").glob("*/evaluate-*/predictions.npz")
    right: dict[str, list[bool]] = {}
    with np.load(file) as stored:
        for path, logits in zip(stored["paths"].tolist(), stored["logits"], strict=True):
            folder, name = path.split("/")[-2:]
            of = folder if folder in CLASSES else CLASSES[int(name.removesuffix(".png")) % 3]
            right.setdefault(of, []).append(CLASSES[int(np.argmax(logits))] == of)
    each = [answer for answers in right.values() for answer in answers]
    accuracy = sum(each) / len(each)
    mpa = sum(sum(answers) / len(answers) for answers in right.values()) / len(right)
    row = f"| false | {accuracy:.5f} | {mpa:.5f} |\n"
    assert Path("reports/m/t.md").read_text().endswith(row)
