"""Networks tried on data that they were not trained on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import runner
from classifier.basics.errors import UserError
from classifier.basics.place import Place
from classifier.cli.main import main
from classifier.config.spec import TrainSpec
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.job import train
from classifier.records.runs import read_evaluation
from reports.figures.guessing import Guess, guess
from tests.classifier.test_datasets import make_images

MATRIX = """\
title: T
data: {folder: birds}
train: {model: mobilenetv2, image_size: 16, batch_size: 4, epochs: 1, augment: null}
matrix: {rdrop: [false]}
tables:
  t:
    rows: rdrop
    columns:
      - {header: test, split: test}
      - {header: shifted, data: {folder: shifted}, against: test}
"""
RUN = ["m.yaml", "--data-root", ".", "--devices", "cpu"]
CLASSES = {"a": 10, "b": 10, "c": 10}


@pytest.fixture
def birds(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    make_images(root / "birds", CLASSES, (16, 16))
    make_images(root / "shifted", {"c": 6, "b": 3}, (20, 16))
    Path("m.yaml").write_text(MATRIX)
    return root


def test_a_column_of_other_data(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All its images, with labels by name: what the record says is what its predictions are."""
    assert runner.main(RUN) == 0
    (file,) = Path("runs").glob("*/evaluate-*-on-shifted-*/record.json")
    record = json.loads(file.read_text())
    with np.load(file.with_name("predictions.npz")) as stored:
        paths, labels = stored["paths"].tolist(), stored["labels"].tolist()
        right = stored["logits"].argmax(axis=1) == stored["labels"]
    assert len(paths) == record["images"] == record["data"]["test"] == 9
    assert labels == [{"b": 1, "c": 2}[path.split("/")[0]] for path in paths]
    assert record["accuracy"] == right.mean()
    assert record["data"]["lacking"] == {"test": ["a"]}
    page = Path("reports/m/report.md").read_text()
    assert f"| {right.mean():.5f} |" in Path("reports/m/t.md").read_text()
    assert "- all of shifted: 9 images, 3 classes; contents " in page
    assert "- all of shifted has no image of 1 class: a" in page
    rows = list(csv.DictReader(Path("reports/m/results.csv").read_text().splitlines()))
    assert [row["split"] for row in rows] == ["val", "test", "all of shifted"]
    assert runner.main([*RUN, "--plan"]) == 0
    assert "all of shifted: 9 images\n" in capsys.readouterr().out


def test_only_what_changed_is_done_again(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = MATRIX[: MATRIX.rindex("      - {header: shifted")]
    Path("m.yaml").write_text(without)
    assert runner.main(RUN) == 0
    Path("m.yaml").write_text(MATRIX)
    assert runner.main([*RUN, "--plan"]) == 0
    assert "1 training, 2 evaluations, 0 benchmarks; 1 to do" in capsys.readouterr().out
    assert runner.main(RUN) == 0
    Image.new("RGB", (16, 16), (9, 9, 9)).save("shifted/b/0.png")
    assert runner.main([*RUN, "--plan"]) == 0
    said = capsys.readouterr().out
    assert "1 to do" in said and said.count("the data changed") == 1
    Image.new("RGB", (16, 16), (9, 9, 9)).save("birds/b/0.png")
    assert runner.main([*RUN, "--plan"]) == 0
    assert "3 to do" in capsys.readouterr().out


def test_a_class_that_was_not_trained_is_an_error_with_its_line(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(birds / "shifted", {"d": 1})
    for option in ([], ["--plan"]):
        assert runner.main([*RUN, *option]) == 2
        error = capsys.readouterr().err
        assert "m.yaml:10: " in error and "class 'd' is none of those that were trained" in error
    assert not Path("runs").exists()


def test_data_that_are_not_there_or_broken(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (birds / "shifted" / "c" / "1.png").write_bytes(b"no image")
    assert runner.main(RUN) == 2
    assert "1 of 9 images can't be read" in capsys.readouterr().err
    (birds / "shifted").rename(birds / "elsewhere")
    assert runner.main(RUN) == 2
    assert "the data folder shifted is not there" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_of_a_given_split_its_test_part_and_of_a_limit_so_many(root: Path) -> None:
    for part, count in {"train": 4, "val": 2, "test": 3}.items():
        make_images(root / "shifted" / part, {"a": count, "b": count})
    given = DataSpec(folder="shifted", split="given")
    listed = datasets.other(given, root, ("x", "b", "a"))
    assert listed.counts() == {"train": 0, "val": 0, "test": 6}
    assert all(path.startswith("test/") for path in listed.paths)
    of = zip(listed.paths, listed.labels, strict=True)
    assert {(path.split("/")[1], label) for path, label in of} == {("a", 2), ("b", 1)}
    assert datasets.count_other(given, root) == 6
    (root / "shifted" / "test" / "a" / "0.png").write_text("no image")
    skip = given.model_copy(update={"on_bad_image": "skip"})
    assert (
        datasets.count_other(skip, root) == datasets.other(skip, root, "ab").counts()["test"] == 5
    )
    digits = DataSpec(name="digits", limit=7)
    names = tuple(map(str, range(10)))
    assert datasets.other(digits, root, names).counts()["test"] == 70
    assert datasets.count_other(digits, root) == 70
    for path in (root / "shifted" / "test").glob("*/*"):
        path.unlink()
    with pytest.raises(UserError, match="test has no image"):
        datasets.other(given, root, ("a", "b"))


def test_smoke_keeps_the_column(birds: Path) -> None:
    assert runner.main([*RUN, "--smoke", "--plan"]) == 0


def test_metrics_takes_another_test_path(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(RUN) == 0
    (run,) = Path("runs").glob("*/train-raw")
    (file,) = Path("runs").glob("*/evaluate-*-on-shifted-*/record.json")
    before = file.stat().st_mtime_ns
    command = ["metrics", "--save_path", str(run.parent), "--device", "cpu", "--test_path"]
    assert main([*command, "shifted"]) == 0
    assert file.stat().st_mtime_ns == before, "the matrix has done it already"
    accuracy = json.loads(file.read_text())["accuracy"]
    assert f"{round(accuracy * 9)} of 9 images are classified correctly" in capsys.readouterr().out
    Path("shifted").rename("harder")
    assert main([*command, "harder"]) == 0
    assert len(list(Path("runs").glob("*/evaluate-*-on-harder-*/record.json"))) == 1
    for flags, message in (
        (["--task", "val"], "is other data than the run's: it is for --task test"),
        (["--data-root", "."], "is other data than the run's; leave out --data-root"),
        (["--val_path", "x"], "is other data than the run's; leave out --val_path"),
    ):
        assert main([*command, "harder", *flags]) == 2
        assert message in capsys.readouterr().err
    for path, message in {"nothing": "is not there", "m.yaml": "is no folder"}.items():
        assert main([*command, path]) == 2
        assert f"--test_path {path} {message}\n" in capsys.readouterr().err


def test_images_that_were_trained_on_are_named(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = datasets.listing(DataSpec(folder="birds"), birds)
    by_part = {part: listed.paths[listed.indices(part)[0]] for part in ("train", "val", "test")}
    for part, path in by_part.items():
        shutil.copy(birds / "birds" / path, birds / "shifted" / "b" / f"{part}.png")
    assert runner.main(RUN) == 0
    assert (
        "all of shifted: 2 images of train or val of birds among them: " in capsys.readouterr().err
    )
    page = Path("reports/m/report.md").read_text()
    assert (
        f"in train or val too, and a copy of what was learnt flatters: 2: b/train.png = "
        f"{by_part['train']}, b/val.png = {by_part['val']}"
    ) in page


def test_a_network_that_a_shift_breaks_has_learnt_something(birds: Path) -> None:
    assert runner.main(RUN) == 0
    (file,) = Path("runs").glob("*/evaluate-*-on-shifted-*")
    record = read_evaluation(file).model_copy(update={"accuracy": 0.0})
    assert guess(record, {}) is None
    own = record.spec.model_copy(update={"data": None})
    assert guess(record.model_copy(update={"spec": own}), {}) == Guess("")


def test_an_evaluation_of_data_that_changed_under_it_is_no_result(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its training saw other data: the record goes, and the job that would make one fails."""
    assert runner.main(RUN) == 0
    Image.new("RGB", (16, 16), (9, 9, 9)).save("birds/b/0.png")
    assert runner.main([*RUN, "--plan"]) == 0
    assert "3 to do" in capsys.readouterr().out
    (run,) = Path("runs").glob("*/train-raw")
    command = ["metrics", "--save_path", str(run.parent), "--device", "cpu", "--task"]
    assert main([*command, "test"]) == 2
    assert "birds has changed since this was trained" in capsys.readouterr().err
    Path("birds/a").rename("birds/z")
    assert main([*command, "val"]) == 2
    assert "birds has other classes now than those that were trained" in capsys.readouterr().err


def test_data_that_change_while_they_are_looked_at(
    birds: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look = datasets.listing

    def change(*arguments: Any) -> Any:
        found = look(*arguments)
        Image.new("RGB", (16, 16), (9, 9, 9)).save("birds/b/0.png")
        return found

    data = DataSpec(folder="birds")
    spec = TrainSpec(data=data, model="mobilenetv2", image_size=16, batch_size=4, epochs=1)
    monkeypatch.setattr(datasets, "listing", change)
    with pytest.raises(UserError, match="birds changed while it was looked at; run it again"):
        train(spec, tmp_path / "out", Place(birds))


def test_two_columns_of_one_folder_are_told_apart(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = "      - {header: few, data: {folder: shifted, limit: 2}, against: test}\n"
    Path("m.yaml").write_text(MATRIX + few)
    assert runner.main([*RUN, "--plan"]) == 0
    said = capsys.readouterr().out
    assert "all of shifted: 9 images\nall of shifted, 2 a class: 4 images\n" in said


def test_other_images_of_the_same_names_are_not_paired(birds: Path) -> None:
    shutil.copytree("shifted", "harder")
    for file in Path("harder").glob("*/*.png"):
        Image.new("RGB", (16, 16), (0, 90, 9)).save(file)
    column = "      - {header: harder, data: {folder: harder}, against: shifted}\n"
    Path("m.yaml").write_text(MATRIX + column)
    assert runner.main(RUN) == 0
    rows = csv.DictReader(Path("reports/m/verdicts.csv").read_text().splitlines())
    (harder,) = [row for row in rows if row["column"] == "harder"]
    assert harder["paired"] == "0" and "not paired: other images" in harder["remarks"]


def test_a_test_folder_of_another_place_is_other_data(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    for part, count in {"train": 6, "val": 3, "test": 3}.items():
        make_images(root / "birds" / part, {"a": count, "b": count}, (16, 16))
    make_images(root / "else" / "birds" / "test", {"b": 5}, (16, 16))
    Path("m.yaml").write_text(
        MATRIX.replace("birds}", "birds, split: given}").split("      - {header: s")[0]
    )
    assert runner.main(RUN) == 0
    (run,) = Path("runs").glob("*/train-raw")
    command = ["metrics", "--save_path", str(run.parent), "--device", "cpu", "--test_path"]
    assert main([*command, "birds/test"]) == 0
    assert " of 6 images" in capsys.readouterr().out
    assert main([*command, "else/birds/test/"]) == 0
    assert " of 5 images" in capsys.readouterr().out
    assert len(list(Path("runs").glob("*/evaluate-raw-test-fp32-on-test-*"))) == 1
