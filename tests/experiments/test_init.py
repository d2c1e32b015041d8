"""`--init`: each layout gives a matrix that loads, holds by the schema and plans; what can't be
trained on is one line, and nothing is written."""

from __future__ import annotations

import csv
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import runner
from classifier.basics.errors import UserError
from classifier.config.document import Document, scalar
from classifier.data import datasets
from classifier.data.spec import DataSpec
from experiments.begin import choosing, looking, tables, writing
from experiments.begin.choosing import Choice
from experiments.begin.looking import Looked
from experiments.matrix import json_schema
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from reports.statistics.verdicts import same_in_reach

ROOT = Path(__file__).parents[2]


def image(file: Path, level: int = 0, size: tuple[int, int] = (12, 10)) -> None:
    """No two of a folder are alike."""
    file.parent.mkdir(parents=True, exist_ok=True)
    number = sum(map(ord, str(file))) % 100
    Image.new("RGB", size, (level, number, (number * 7) % 256)).save(file, "PNG")


def class_folders(folder: Path, classes: Iterable[str], images: int = 5) -> None:
    for label, name in enumerate(classes):
        for index in range(images):
            image(folder / name / f"{index}.png", level=40 * label)


def table(file: Path, rows: Sequence[Sequence[str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows(rows)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(*options: str) -> Matrix:
    """The matrix of `--init my.yaml`, which loads, holds by the schema and plans."""
    assert runner.main(["--init", "my.yaml", *options]) == 0
    return checked(Path("my.yaml"))


def checked(file: Path) -> Matrix:
    assert not list(
        jsonschema.Draft202012Validator(json_schema.document()).iter_errors(Document(file).data)
    )
    assert runner.main([str(file), "--plan"]) == 0
    return load(file)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of exit code 2; nothing is written."""
    before = sorted(Path.cwd().rglob("*"))
    capsys.readouterr()
    try:
        code = runner.main([*arguments])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sorted(Path.cwd().rglob("*")) == before
    return line.removeprefix("error: ")


def headers(matrix: Matrix) -> list[str]:
    return [column.header for column in matrix.tables[0].columns]


# Layouts -----------------------------------------------------------------------------------------


def test_without_data_the_digits(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = begun()
    assert matrix.data == (DataSpec(name="digits"),)
    assert matrix.seeds == (0, 1, 2)
    said = capsys.readouterr().out
    assert "10 classes, 1,797 images (1,078 train / 362 val / 357 test); 174 of '8'" in said
    assert "\n  python runner.py my.yaml --plan " in said and "reports/my/index.html" in said
    text = Path("my.yaml").read_text()
    assert text.startswith(
        f"# yaml-language-server: $schema={ROOT / 'experiments' / 'matrix.schema.json'}\n"
    )
    assert re.search(r"^# Cost, as estimated on \d{4}-\d\d-\d\d for .+: 3 trainings", text, re.M)
    assert "data_root" not in text and "patient" not in text


def test_class_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(here / "photos", ("a", "b", "c"), images=10)
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="photos"),)
    assert matrix.data_root == Path() and "data_root: . #" in Path("my.yaml").read_text()
    assert headers(matrix) == [
        *("test accuracy", "test accuracy(ema)"),
    ]
    counted = datasets.counts(matrix.data[0], matrix.data_root)
    assert counted == (3, {"train": 18, "val": 6, "test": 6})
    said = capsys.readouterr().out
    assert "3 classes, 30 images (18 train / 6 val / 6 test); 10 of each; 12 x 10 pixels" in said


def test_a_longer_run_goes_on_from_a_short_one(here: Path) -> None:
    """Both warm up for one epoch, so that one training can do both; `true` warms up none of 8."""
    choice = Choice("ghostnet", 32, 32, epochs=8, decay=0.9, tau=1, is_gpu=False)
    text = writing.matrix(looking.digits(), choice, Path("my.yaml"), "run")
    short, longer = (
        load(Path("my.yaml"), text=text.replace("  epochs: 8 ", f"  epochs: {epochs} "))
        for epochs in (8, 50)
    )
    one, other = (next(matrix.requests()).training for matrix in (short, longer))
    assert one is not None and other is not None
    assert one.warmup is not None and one.warmup.length(one.epochs, 10) == 10
    assert (one.epochs, other.epochs) == (8, 50) and one.family == other.family


def test_the_command_works_from_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder lies beside the matrix, or anywhere."""
    class_folders(here / "near" / "photos", "ab")
    class_folders(here / "far" / "photos", "ab")
    monkeypatch.chdir(here / "near")
    assert runner.main(["--init", "my.yaml", "--data", "photos"]) == 0
    assert runner.main(["--init", "other.yaml", "--data", "../far/photos/"]) == 0
    monkeypatch.chdir(here)
    assert load(Path("near/my.yaml")).data_root == Path("near")
    assert "data_root" not in Path("near/other.yaml").read_text(), "it is outside its folder"
    assert runner.main(["near/my.yaml", "--plan"]) == 0
    command = f"python runner.py other.yaml --data-root {here / 'far'}"
    assert f"# Run it: {command}" in Path("near/other.yaml").read_text()
    assert runner.main(["near/other.yaml", "--data-root", str(here / "far"), "--plan"]) == 0


def test_parts(here: Path) -> None:
    for part in ("train", "valid", "test"):
        class_folders(here / "photos" / part, "ab", images=3)
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="photos", split="given"),)
    assert "folds" not in Path("my.yaml").read_text(), "which a given split does not take"


def test_train_and_test_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Test is what is tested on, and an image that both hold is said."""
    for part, count in {"train": 10, "test": 3}.items():
        class_folders(here / "photos" / part, "ab", images=count)
    a = here / "photos" / "test" / "a"
    shutil.copy(here / "photos" / "train" / "a" / "0.png", a / "0.png")
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="photos", split="given"),)
    assert datasets.counts(matrix.data[0], here) == (2, {"train": 16, "val": 4, "test": 6})
    assert headers(matrix) == ["test accuracy", "test accuracy(ema)"]
    said = capsys.readouterr().out
    assert "photos: train and test, val cut from train, 2 classes, 26 images (16 train / 4" in said
    assert "in more than one part, which flatters: test/a/0.png = train/a/0.png" in said


@pytest.mark.parametrize(
    ("train", "test", "beside"),
    [
        ("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred"),
        ("training_set", "test_set", ""),
        ("Training", "Test", "test-multiple_fruits"),
    ],
)
def test_parts_as_kaggle_has_them(
    train: str, test: str, beside: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(here / "photos" / train, "ab", images=10)
    class_folders(here / "photos" / test, "ab", images=3)
    if beside:
        image(here / "photos" / beside / "1.png")
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="photos", split="given"),)
    assert datasets.counts(matrix.data[0], here) == (2, {"train": 16, "val": 4, "test": 6})
    said = capsys.readouterr().out
    left = f"no part by its name, left out: {beside.partition('/')[0]}/"
    assert (left in said) == bool(beside) and "inside a class" not in said


def test_a_train_part_in_a_folder_of_its_name_without_a_test_of_classes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the American sign language alphabet is: 28 images lie in the test part itself."""
    class_folders(here / "asl" / "asl_train" / "asl_train", "ab", images=10)
    image(here / "asl" / "asl_test" / "asl_test" / "a_test.png")
    matrix = begun("--data", "asl")
    assert matrix.data == (DataSpec(folder="asl_train"),)
    counted = datasets.counts(matrix.data[0], matrix.data_root)
    assert counted == (2, {"train": 12, "val": 4, "test": 4})
    said = capsys.readouterr().out
    assert "asl: asl_train/asl_train/ of class folders, 2 classes, 20 images" in said
    assert "asl_test/ has no class folders: left out" in said


def test_parts_that_are_not_all_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kaggle's way: what is called Training is split, and Testing stands beside it."""
    class_folders(here / "photos" / "Training", "ab", images=10)
    class_folders(here / "photos" / "Testing", "ab", images=3)
    class_folders(here / "photos" / "val", "ax", images=3)
    image(here / "photos" / "test" / "1.png")
    (here / "photos" / "notes").mkdir()
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="Training"),)
    assert headers(matrix)[-2:] == ["Testing", "Testing(ema)"]
    said = capsys.readouterr().out
    assert "Testing/ stands in columns of its own" in said
    assert "val/ has classes that Training/ lacks: left out: x" in said
    assert "test/ has no class folders: left out" in said
    assert "no part by its name, left out: notes/" in said


@pytest.mark.parametrize("inside", ["", "train_images"])
def test_labels_from_a_csv(inside: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("image_id", "breed", "patient_id", "width")]
    for index in range(20):
        image(here / "dogs" / inside / f"x{index}.png")
        rows.append((f"x{index}", "ab"[index % 2], f"p{index // 2}", str(index // 3)))
    table(here / "dogs" / "train.csv", rows)
    table(here / "dogs" / "sample_submission.csv", [("image_id", "breed"), ("y1", "a")])
    image(here / "dogs" / "test_images" / "y1.png")
    matrix = begun("--data", "dogs")
    labels = matrix.data[0].labels
    assert labels is not None
    named = {"path": "image_id", "label": "breed", "group": "patient_id"}
    assert labels.model_dump(exclude_defaults=True) == {"file": "train.csv"} | named
    assert "not used: sample_submission.csv" in capsys.readouterr().out
    assert "Are several images of one patient" not in Path("my.yaml").read_text()


def test_labels_from_a_csv_beside_the_images_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Kaggle has them: train.csv beside train_images/."""
    for index in range(20):
        image(here / "dogs" / "train_images" / f"x{index}.png")
    rows = [(f"x{index}", "ab"[index % 2]) for index in range(20)]
    table(here / "dogs" / "train.csv", [("image_id", "breed"), *rows])
    table(here / "dogs" / "other.csv", [("image_id", "breed"), ("y", "a")])
    matrix = begun("--data", "dogs/train_images")
    (data,) = matrix.data
    assert data.labels is not None and data.folder == "train_images"
    assert (data.labels.file, data.labels.label) == ("train.csv", "breed")
    assert datasets.counts(data, matrix.data_root) == (2, {"train": 12, "val": 4, "test": 4})
    assert "labels from train.csv, which lies beside it, 2 classes" in capsys.readouterr().out
    table(
        here / "dogs" / "train.csv", [("image_id", "size"), *((f"x{i}", str(i)) for i in range(20))]
    )
    Path("my.yaml").unlink()
    said = refused(capsys, "--init", "my.yaml", "--data", "dogs/train_images")
    assert "no CSV that says their classes: train.csv: beside 'image_id' no column has" in said


def test_a_column_by_any_name_where_nothing_else_can_be_the_class(here: Path) -> None:
    """As examples/labels.yaml has it."""
    rows = [("id", "digit", "writer")]
    for index in range(24):
        image(here / "files" / "images" / f"{index:04d}.png")
        rows.append((f"{index:04d}", str(index % 2), f"writer {index // 4}"))
    table(here / "files" / "labels.csv", rows)
    labels = begun("--data", "files").data[0].labels
    assert labels is not None
    assert (labels.path, labels.label, labels.group) == ("id", "digit", "writer")


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (("train", "train", "val", "test"), {"train": 12, "val": 6, "test": 6}),
        (("Training", "TRAIN", "train", "Testing"), {"train": 15, "val": 3, "test": 6}),
    ],
)
def test_a_csv_with_parts(names: Sequence[str], counts: dict[str, int], here: Path) -> None:
    rows = [("file", "kind", "split")]
    for index in range(24):
        image(here / "dogs" / "all" / f"{index}.png")
        rows.append((f"{index}.png", "ab"[index % 2], names[index // 2 % 4]))
    table(here / "dogs" / "labels.tsv", [["\t".join(row)] for row in rows])
    matrix = begun("--data", "dogs")
    assert matrix.data[0].split == "given"
    assert datasets.counts(matrix.data[0], matrix.data_root) == (2, counts)


def test_a_csv_beside_class_folders_is_not_their_labels(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(here / "photos", "ab")
    names = [f"{c}/{index}.png" for c in "ab" for index in range(5)]
    table(here / "photos" / "sizes.csv", [("path", "wide"), *((n, n[2]) for n in names)])
    assert begun("--data", "photos").data == (DataSpec(folder="photos"),)
    said = capsys.readouterr().out
    assert "odd: not used: sizes.csv: beside 'path' no column has classes: " in said
    assert "in a column that is called so, as 'label'\n" in said


NO_LABELS: dict[str, tuple[str | bytes, str]] = {
    "no images": (
        "path,label\nx1.png,a\nx2.png,b\n",
        "no column of it names images that are there",
    ),
    "one class": ("path,label\n0.png,a\n1.png,a\n", "beside 'path' no column has classes: "),
    "header": ("path,label\n", "it has no rows below its header"),
    "other mark": ("path;label\n0.png;a\n", "it has no two columns with commas between them"),
    "twice": ("path,path\n0.png,a\n", "its first line names a column twice"),
    "uneven": ("path,label\n0.png,a\n1.png\n", "its rows are not all as long as its first line"),
    "quotes": ('path,label\n"0.png,a\n', "it is not CSV: "),
    "UTF-16": ("path,label\n0.png,a\n".encode("utf-16"), "it is not UTF-8 text"),
    "one-hot": (
        "path,a,b,c\n0.png,1,0,0\n1.png,0,1,0\n2.png,0,0,1\n3.png,1,0,0\n",
        "it has a column for each class ('a', 'b', 'c'); make one of them, with a class's name",
    ),
}


@pytest.mark.parametrize("case", NO_LABELS)
def test_why_a_csv_is_not_used(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside images, and beside a folder that is no class: what its CSV lacks is what to mend."""
    text, why = NO_LABELS[case]
    content = text.encode() if isinstance(text, str) else text
    for index in range(4):
        image(here / "flat" / f"{index}.png")
        image(here / "deep" / "images" / f"{index}.png")
    for place in ("flat", "deep"):
        (here / place / "all.csv").write_bytes(content)
    said = refused(capsys, "--init", "my.yaml", "--data", "flat")
    assert f"flat has 4 images and no CSV that says their classes: all.csv: {why}" in said
    said = refused(capsys, "--init", "my.yaml", "--data", "deep")
    assert "one class only, 'images'" in said
    assert f"; its CSV is not used (all.csv: {why}" in said


def test_a_csv_without_a_header_loses_no_image(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"{index}.png", "ab"[index % 2]) for index in range(20)]
    for name, _ in rows:
        image(here / "dogs" / name)
    table(here / "dogs" / "all.csv", rows)
    said = refused(capsys, "--init", "my.yaml", "--data", "dogs")
    assert said.endswith(
        "all.csv: its first line names an image, '0.png': put a line with the columns' names "
        "before it, as path,label"
    )
    table(here / "dogs" / "all.csv", [("path", "label"), *rows])
    matrix = begun("--data", "dogs")
    counted = datasets.counts(matrix.data[0], matrix.data_root)
    assert counted is not None and sum(counted[1].values()) == 20


def test_which_column_is_the_class(tmp_path: Path) -> None:
    for index in range(8):
        image(tmp_path / f"{index}.png")
    paths, twos = [f"{index}.png" for index in range(8)], list("abababab")
    found = tables.columns(tables.Head({"x": twos, "y": twos, "p": paths}), tmp_path, False)
    assert isinstance(found, tables.Columns) and found.named == {"path": "p", "label": "x"}
    assert found.odd == ("'x' is taken for the class; it may also be 'y'",)
    called = tables.columns(tables.Head({"x": twos, "p": paths, "Class": twos}), tmp_path, True)
    assert isinstance(called, tables.Columns) and called.label == "Class" and not called.odd
    for lacking in ({"x": twos, "p": paths}, {"label": twos, "p": twos}):
        assert isinstance(tables.columns(tables.Head(lacking), tmp_path, True), str)
    one_hot = tables.Head({"p": paths, "label": ["a"] * 8})
    assert isinstance(tables.columns(one_hot, tmp_path, False), str), "one class"


def test_wrapped_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(here / "archive" / "v2" / "PetImages", ("Cat", "Dog"))
    matrix = begun("--data", "archive")
    assert matrix.data == (DataSpec(folder="PetImages"),)
    assert f"odd: all lies in {here / 'archive' / 'v2' / 'PetImages'}" in capsys.readouterr().out


# What is odd -------------------------------------------------------------------------------------


def test_what_is_odd_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = here / "photos"
    class_folders(photos, "ab", images=8)
    (photos / "a" / "empty.jpg").touch()
    (photos / "a" / "text.jpg").write_text("no image")
    cut = (photos / "b" / "0.png").read_bytes()[:50]
    (photos / "b" / "cut.png").write_bytes(cut)
    (photos / "a" / "notes.txt").touch()
    (photos / ".DS_Store").touch()
    (photos / "b" / ".thumbs").mkdir()
    (photos / "b" / ".thumbs" / "1.png").touch()
    image(photos / "b" / "puppies" / "1.png")
    image(photos / "loose.png")
    matrix = begun("--data", "photos")
    assert matrix.data == (DataSpec(folder="photos", on_bad_image="skip"),)
    said = capsys.readouterr().out
    assert (
        "3 images of photos can't be read: a/empty.jpg (it is empty), a/text.jpg (its conten"
        in said
    )
    assert "b/cut.png (" in said
    assert "1 file .txt, 1 file outside the class folders (loose.png, a/notes.txt)\n" in said
    assert "hidden files and folders, left out: .DS_Store, b/.thumbs (2 in all)" in said
    assert "folders inside a class, whose images are the class's: b/puppies" in said
    assert "fewer than 20 images: a (8), b (9)" in said
    assert "8 of 'a' to 9 of 'b'" in said, "without those that can't be read"


def test_copies_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = here / "photos"
    class_folders(photos, "abc", images=8)
    copy = (photos / "a" / "0.png").read_bytes()
    (photos / "a" / "again.png").write_bytes(copy)
    begun("--data", "photos")
    said = capsys.readouterr().out
    assert (
        "odd: 1 set of equal images: a/0.png = a/again.png; "
        "`duplicates: together` keeps them in one part\n" in said
    )
    assert "several classes" not in said
    (photos / "b" / "wrong.png").write_bytes(copy)
    Path("my.yaml").unlink()
    begun("--data", "photos")
    said = capsys.readouterr().out
    assert (
        "odd: 1 set of equal images in several classes, one at most is right: "
        "a/0.png = a/again.png = b/wrong.png\n" in said
    )
    assert "keeps them" not in said


def test_of_many_files_that_are_left_out_three_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val", "test"):
        class_folders(here / "photos" / part, "ab", images=3)
        (here / "photos" / part / "about.txt").touch()
    (here / "photos" / "train" / "a" / "0.txt").touch()
    (here / "photos" / "more").mkdir()
    (here / "photos" / "more" / "0.txt").touch()
    begun("--data", "photos")
    assert (
        "left out: 1 file .txt, 3 files outside the class folders "
        "(train/about.txt, val/about.txt, test/about.txt, ...)\n"
    ) in capsys.readouterr().out


def test_beside_a_csv_what_is_no_image_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(20):
        image(here / "dogs" / f"{index}.png")
    rows = [(f"{index}.png", "ab"[index % 2]) for index in range(19)]
    table(here / "dogs" / "all.csv", [("path", "label"), *rows])
    begun("--data", "dogs")
    assert "left out: 1 file not in all.csv\n" in capsys.readouterr().out
    (here / "dogs" / "about.md").touch()
    Path("my.yaml").unlink()
    begun("--data", "dogs")
    assert "1 file .md, 1 file not in all.csv (about.md)\n" in capsys.readouterr().out


def test_links_are_followed(here: Path) -> None:
    class_folders(here / "store", "ab")
    (here / "photos").mkdir()
    for name in "ab":
        (here / "photos" / name).symlink_to(here / "store" / name)
    (here / "again").symlink_to(here / "photos")
    matrix = begun("--data", "again")
    assert matrix.data == (DataSpec(folder="again"),), "by the name that was given"
    assert datasets.counts(matrix.data[0], matrix.data_root) == (
        *(2, {"train": 6, "val": 2, "test": 2}),
    )


def test_of_many_images_some_are_opened_by_their_headers(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_DECODED", 10)
    monkeypatch.setattr(datasets, "unreadable", None)
    class_folders(here / "photos", "ab", images=20)
    (here / "photos" / "a" / "empty.png").touch()
    counts: list[tuple[int, int]] = []
    looked = looking.look(here / "photos", lambda: lambda *count: counts.append(count))
    assert len(looked.sizes) in (9, 10) and counts[-1] == (10, 10) and not looked.is_whole
    assert looked.data.on_bad_image == "skip", "nobody knows of the others"
    assert "a/empty.png (it is empty)" in " ".join(looked.odd)
    assert runner.main(["--init", "my.yaml", "--data", "photos"]) == 0, "nor is one decoded to plan"
    assert "10 were opened" in capsys.readouterr().out or len(set(looked.sizes)) == 1
    assert load(Path("my.yaml")).data == (looked.data,)
    assert "nor were equal ones looked for" in Path("my.yaml").read_text()


def test_a_sample_is_spread() -> None:
    paths = [f"{name}/{index}" for name in "abc" for index in range(100)]
    sample = looking.spread(paths, 30)
    assert [sum(path.startswith(name) for path in sample) for name in "abc"] == [10, 10, 10]
    assert looking.spread(paths, 1000) == paths and len(set(sample)) == 30


# What can't be trained on ------------------------------------------------------------------------


def test_folders_that_can_t_be_trained_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(folder: str) -> str:
        return refused(capsys, "--init", "my.yaml", "--data", folder)

    (here / "empty").mkdir()
    assert "empty has no images and no folders: nothing to train on" in said("empty")
    (here / "hollow" / "a").mkdir(parents=True)
    (here / "hollow" / "b").mkdir()
    assert "class 'a' has 0 image(s), too few" in said("hollow")
    image(here / "single" / "1.png")
    assert "single has 1 image and nothing that says their classes: put" in said("single")
    for name in ("cat", "dog"):
        for index in range(5):
            image(here / "flat" / f"{name}.{index}.png")
    assert "(by the beginnings of their names these may be cat, dog)" in said("flat")
    (here / "wrapped").mkdir()
    (here / "flat").rename(here / "wrapped" / "train")
    assert "(by the beginnings of their names these may be cat, dog)" in said("wrapped")
    class_folders(here / "one", ["only"])
    assert "one has one class only, 'only'; two are needed" in said("one")
    class_folders(here / "few", "ab")
    image(here / "few" / "c" / "1.png")
    assert "class 'c' has 1 image(s), too few to give train, val and test one each" in said("few")
    class_folders(here / "broken", "ab")
    for file in (here / "broken").rglob("*.png"):
        file.write_text("")
    assert "broken: no image can be read: a/0.png" in said("broken")
    class_folders(here / "deep" / "a", "xy")
    class_folders(here / "deep" / "b", "xy")
    assert "the classes lie one level too deep" in said("deep")
    assert said("emty") == f"--data {here / 'emty'} is not there; did you mean 'empty'?"
    (here / "file").touch()
    assert said("file").endswith("file is a file, not a folder; name the folder of images")
    assert "is a whole file system" in said("/")
    (here / "loop" / "a").mkdir(parents=True)
    (here / "loop" / "b").symlink_to(here / "loop")
    assert "is a link to a folder that holds it" in said("loop")


def test_a_class_that_becomes_too_small_without_what_can_t_be_read(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class_folders(here / "photos", "ab", images=4)
    (here / "photos" / "a" / "0.png").write_text("")
    for most in (1000, 4):
        monkeypatch.setattr(looking, "MOST_DECODED", most)
        said = refused(capsys, "--init", "my.yaml", "--data", "photos")
        assert "class 'a' has 3 image(s), too few" in said


def test_no_permission(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root there is nothing that can't be read, so the refusal is played."""
    class_folders(here / "photos", "ab")
    real = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("photos/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="photos/b can't be read: Permission denied"):
        looking.look(here / "photos")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    Path("locked").mkdir()

    open_it = Path.open

    def refuse(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == "my.yaml":
            raise PermissionError(13, "Permission denied")
        return open_it(path, *how, **more)

    monkeypatch.setattr(Path, "open", refuse)
    said = refused(capsys, "--init", "locked/my.yaml")
    assert said == "locked/my.yaml can't be written: Permission denied"


def test_runs_and_reports_never_become_classes(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside the folder of photos itself a run would add two."""
    class_folders(here / "photos", "ab")
    monkeypatch.chdir(here / "photos")
    begin, outside = ("--init", "my.yaml", "--data", "."), ("--runs", "../runs")
    why = f"lies in the data's folder, {here / 'photos'}, whose folders are its classes: call this"
    assert refused(capsys, *begin).startswith(f"--runs runs {why} from outside of it")
    assert refused(capsys, *begin, *outside).startswith(f"--reports reports {why}")
    monkeypatch.chdir(here)
    assert runner.main(["--init", "my.yaml", "--data", "photos"]) == 0
    monkeypatch.chdir(here / "photos")
    for what in ((), ("--plan",), ("--report",)):
        assert refused(capsys, "../my.yaml", *what).startswith(f"--runs runs {why}")
        assert refused(capsys, "../my.yaml", *outside, *what).startswith(f"--reports reports {why}")


def test_files_that_are_not_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("my.yaml").write_text("mine")
    assert refused(capsys, "--init", "my.yaml") == (
        "my.yaml is there already, and --init never overwrites: name another file"
    )
    assert Path("my.yaml").read_text() == "mine"
    for option in ("--runs", "--reports"):
        said = refused(capsys, "--init", "new.yaml", option, "my.yaml")
        assert said == f"{option} my.yaml is a file, not a folder; name a folder"
    Path("link.yaml").symlink_to("nowhere.yaml")
    assert "is there already" in refused(capsys, "--init", "link.yaml")
    assert "the folder no is not there" in refused(capsys, "--init", "no/my.yaml")
    assert "a file that ends in .yaml" in refused(capsys, "--init", "photos")
    assert "--init writes a matrix, and takes no matrix" in refused(
        capsys, "my.yaml", "--init", "other.yaml"
    )
    assert "takes no --data-root" in refused(capsys, "--init", "o.yaml", "--data-root", ".")
    assert "takes no --seeds" in refused(capsys, "--init", "o.yaml", "--seeds", "0,1")
    assert refused(capsys, "my.yaml", "--data", "photos").startswith("--data names a folder for")
    assert "not allowed with" in refused(capsys, "--init", "o.yaml", "--plan")


def test_a_file_that_comes_meanwhile_stays(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing.matrix

    def slow(*arguments: Any) -> str:
        Path("my.yaml").write_text("another's")
        return real(*arguments)

    monkeypatch.setattr(writing, "matrix", slow)
    assert runner.main(["--init", "my.yaml"]) == 2
    assert "my.yaml is there already" in capsys.readouterr().err
    assert Path("my.yaml").read_text() == "another's"


# Names -------------------------------------------------------------------------------------------

NAMES = [
    *("a b", "ü", "图像", "it's", 'say "x"', "a: b", "a #b", "-x", "--init", "null", "yes", "~"),
    *("1", "1e-4", "010", "1:30", "true", "2020-01-01", "{a}", "[a", "*x", "&x", "!x", "%x", "@x"),
    *(
        "'",
        "`x`",
        " x",
        "x ",
        "...",
        "\x7f",
        "\x85",
        "😀",
        "=",
        "<<",
        "0x1",
        ".5",
        "a,b",
        "|",
        "\u2028",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_given_back(name: str, here: Path) -> None:
    classes = ["c.", "c2"] if name.startswith(".") else [name, f"{name}2"]
    class_folders(here / "data here" / name, classes, images=4)
    matrix = begun("--data", f"data here/{name}")
    assert matrix.data == (DataSpec(folder=name),)
    assert matrix.data_root == Path("data here")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_given_back(text: str) -> None:
    assert scalar(writing.written(text)) == text
    assert Document(Path("x"), f"a: {writing.written({'b': text})}").data == {"a": {"b": text}}


def test_names_that_a_matrix_can_t_hold(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(here / "a\nb", "xy")
    assert "a folder of this name can't be data: 'a\\nb'" in refused(
        capsys, "--init", "my.yaml", "--data", "a\nb"
    )
    raw = os.fsdecode(b"a\xff")
    class_folders(here / raw / "photos", "xy")
    for folder in (raw, f"{raw}/photos"):
        said = refused(capsys, "--init", "my.yaml", "--data", folder)
        assert f"a\\xff{folder[2:]}' is not UTF-8; rename it" in said
    class_folders(here / "c", [raw, "b", "d"])
    assert "' in " in (said := refused(capsys, "--init", "my.yaml", "--data", "c"))
    assert said.startswith("the name b'a\\xff/0.png'")
    class_folders(here / "photos", ["a\nb", "x"], images=4)
    assert runner.main(["--init", "my.yaml", "--data", "photos"]) == 0
    checked(Path("my.yaml"))


def test_a_file_s_name_as_a_shell_takes_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--init=-my one.yaml"]) == 0
    assert "python runner.py './-my one.yaml' --plan" in capsys.readouterr().out


def test_the_schema_s_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = ROOT / "experiments" / "matrix.schema.json"
    assert writing.schema_from(ROOT / "examples" / "x.yaml") == (
        "../experiments/matrix.schema.json"
    )
    assert writing.schema_from(tmp_path / "x.yaml") == str(schema)
    monkeypatch.setattr(writing, "SCHEMA", Path("/a b/experiments/matrix.schema.json"))
    assert writing.schema_from(tmp_path / "x.yaml") == (
        "file:///a%20b/experiments/matrix.schema.json"
    )


# The data root of a matrix -----------------------------------------------------------------------


def test_one_command_has_one_data_root(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in ("one", "two"):
        class_folders(here / place / "photos", "ab")
        assert runner.main(["--init", f"{place}.yaml", "--data", f"{place}/photos"]) == 0
    said = refused(capsys, "one.yaml", "two.yaml", "--plan")
    assert said == (
        "these matrices have several data roots (one.yaml: one and two.yaml: two); name one: "
        "--data-root"
    )
    assert runner.main(["one.yaml", "two.yaml", "--plan", "--data-root", "two"]) == 0
    assert load(Path("one.yaml"), data_root=Path("two")).data_root == Path("two")
    text = Path("one.yaml").read_text()
    digits = str(ROOT / "experiments" / "digits.yaml")
    for several in (["one.yaml", digits], [digits, "one.yaml"]):
        assert runner.main([*several, "--plan"]) == 0, "of data that come along nothing lies there"
    for outside in ("..", "one/../..", "/tmp"):
        Path("one.yaml").write_text(text.replace("data_root: one", f"data_root: {outside}"))
        said = refused(capsys, "one.yaml", "--plan")
        assert re.match(r"one\.yaml:\d+: 'data_root' lies in the matrix's folder; name anoth", said)
    Path("one.yaml").write_text(text.replace("data_root: one", "data_root: one/photos/a/0.png"))
    said = refused(capsys, "one.yaml", "--plan")
    assert re.match(
        r"one\.yaml:\d+: 'data_root' one/photos/a/0\.png is a file; name a folder", said
    )


# What is chosen ----------------------------------------------------------------------------------


def looked_at(images: int, side: int, classes: int = 10, split: str = "strict") -> Looked:
    each = images // classes
    parts = {"train": images * 3 // 5, "val": images // 5, "test": images // 5}
    return Looked(
        *("x", "class folders", DataSpec.model_validate({"folder": "x", "split": split})),
        *(Path("/x"), (), {str(c): each for c in range(classes)}),
        parts,  # type: ignore[arg-type]
        ((side, side + 5),),
        False,
    )


@given(st.integers(40, 10**6), st.integers(1, 5000), st.booleans(), st.integers(1, 8))
def test_what_is_chosen_fits(images: int, side: int, is_gpu: bool, jobs: int) -> None:
    looked = looked_at(images, side)
    choice = choosing.choose(looked, is_gpu, jobs)
    assert choice.image_size in choosing.SIDES and choice.image_size <= max(side, 32)
    assert 2 <= choice.batch_size <= 64 and 0 < choice.decay < 1 and choice.tau > 0
    assert choosing.LEAST_EPOCHS <= choice.epochs <= choosing.MOST_EPOCHS
    if not is_gpu:
        assert choice.minutes is not None
        within = choice.minutes <= choosing.MINUTES
        smallest = (choice.limit or 0) < 2 * choosing.LEAST_OF_CLASS
        assert within or smallest
        assert choice.limit is None or choice.limit >= choosing.LEAST_OF_CLASS


def test_a_split_that_is_given_keeps_all() -> None:
    choice = choosing.choose(looked_at(10**6, 300, split="given"), False, 2)
    assert choice.limit is None and choice.epochs == choosing.LEAST_EPOCHS
    assert choice.minutes is not None and choice.minutes > choosing.MINUTES
    few = choosing.choose(looked_at(10**6, 300), False, 2)
    assert few.limit is not None and few.minutes is not None and few.minutes <= choosing.MINUTES


def test_margins_are_what_so_many_images_can_show() -> None:
    for margin, images in choosing.LEAST_IMAGES.items():
        assert same_in_reach(images, margin) and not same_in_reach(images - 1, margin)
    assert [choosing.margin_in_reach(n) for n in (10, 357, 5000)] == [0.1, 0.02, 0.005]


def test_uneven_classes_have_a_metric_that_sees_the_small(here: Path) -> None:
    """Beside the two columns that answer, as comments: each more makes all verdicts stricter."""
    class_folders(here / "photos", ["a"], images=15)
    class_folders(here / "photos", ["a", "b"], images=5)
    matrix = begun("--data", "photos")
    assert [column.metric for column in matrix.tables[0].columns] == ["accuracy", "accuracy"]
    more = here / "more.yaml"
    more.write_text(matrix.source.read_text().replace("# - {", "- {"))
    columns = load(more).tables[0].columns
    assert [(column.split, column.metric) for column in columns] == [
        (part, metric) for part in ("test", "val") for metric in ("accuracy", "mpa") for _ in "12"
    ]


def test_the_margin_is_nobodys_who_looked_at_how_many_images_there_are(here: Path) -> None:
    """Else "same" would be in reach of any few."""
    class_folders(here / "photos", ["a", "b"], images=15)
    matrix = begun("--data", "photos")
    assert set(matrix.tables[0].margins) == {choosing.MARGIN}
    assert "so few images (6) can at best show that it is below 0.1" in matrix.source.read_text()


# Whatever lies there -----------------------------------------------------------------------------

FILES = st.tuples(
    st.lists(st.sampled_from(["a", "b", "train", "val", "test", "b c", ".x"]), max_size=3),
    st.sampled_from(["1.png", "2.png", "3.jpg", "4.JPG", "5.txt", ".hidden.png", "labels.csv"]),
    st.sampled_from(["image", "image", "image", "empty", "junk"]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FILES, max_size=30), st.lists(st.sampled_from("abc"), max_size=3), st.booleans())
def test_a_folder_gives_a_matrix_or_a_reason(
    files: list[tuple[list[str], str, str]], full: list[str], has_table: bool
) -> None:
    """Of whatever is thrown into a folder."""
    with tempfile.TemporaryDirectory() as made:
        folder, file = Path(made, "photos"), Path(made, "my.yaml")
        folder.mkdir()
        class_folders(folder, full, images=6)
        for place, name, kind in files:
            put(folder.joinpath(*place) / name, kind)
        if has_table:
            each = [path.relative_to(folder).as_posix() for path in folder.rglob("?.png")]
            rows = [(path, "ab"[index % 2]) for index, path in enumerate(each)]
            table(folder / "all.csv", [("path", "label"), *rows])
        try:
            looked = looking.look(folder)
        except UserError as error:
            assert str(folder) in str(error) or "'" in str(error), "it names what"
            assert "\n" not in str(error)
            return
        choice = choosing.choose(looked, False, 2)
        file.write_text(writing.matrix(looked, choice, file, "run"), encoding="utf-8")
        assert checked(file).data[0].folder == looked.data.folder


def put(file: Path, kind: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "image":
        image(file, size=(9, 8))
    else:
        file.write_text("" if kind == "empty" else "junk")


# From a folder to a page -------------------------------------------------------------------------


def test_it_runs_as_written(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder with photos in it, one of them cut short: two commands, and a page with
    verdicts."""
    monkeypatch.setattr(choosing, "LEAST_EPOCHS", 1)
    monkeypatch.setattr(choosing, "MOST_EPOCHS", 1)
    class_folders(here / "my photos", ["null", "dogs: big"], images=6)
    (here / "my photos" / "null" / "cut.png").write_text("x")
    assert runner.main(["--init", "my.yaml", "--data", "my photos"]) == 0
    said = capsys.readouterr().out
    (command,) = re.findall(r"^  python runner\.py (\S+) +run it; then open (\S+)$", said, re.M)
    assert runner.main([command[0], "--devices", "cpu", "--workers", "0"]) == 0
    page = Path(command[1]).read_text()
    assert "test accuracy(ema)" in page and "can't tell" in page
    assert "null/cut.png" in page
    assert (here / "reports" / "my" / "verdicts.csv").is_file()
