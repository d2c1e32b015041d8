"""Images whose classes a CSV says, against a reading by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.basics.errors import UserError
from classifier.basics.files import sha256
from classifier.data import datasets
from classifier.data.prepare import prepare
from classifier.data.sources import folder as folder_source
from classifier.data.spec import DataSpec, Labels
from tests.classifier.test_datasets import make_images

DOGS = DataSpec(folder="dogs", labels=Labels(file="labels.csv", path="id", label="breed"))
BREEDS = ("beagle", "poodle")


@pytest.fixture
def dogs(root: Path) -> Path:
    """As competitions give it: train/ and test/ flat, ids without an ending."""
    make_images(root / "dogs", {"train": 20, "test": 5})
    lines = [f"{index},{BREEDS[index % 2]}" for index in range(20)]
    for file in (root / "dogs" / "test").iterdir():
        file.rename(file.with_name(f"t{file.name}"))
    write(root, "id,breed", *lines)
    return root


def write(root: Path, *lines: str, name: str = "dogs/labels.csv") -> None:
    (root / name).write_text("\n".join((*lines, "")))


def test_ids_mean_the_one_image_of_that_name(dogs: Path) -> None:
    listed = datasets.listing(DOGS, dogs)
    assert listed.classes == BREEDS
    assert listed.counts() == {"train": 12, "val": 4, "test": 4}
    for path, label in zip(listed.paths, listed.labels, strict=True):
        folder, name = path.split("/")
        assert folder == "train" and label == int(name.removesuffix(".png")) % 2
    assert datasets.left_out(DOGS, dogs) == {"not in labels.csv": 5}
    assert datasets.counts(DOGS, dogs) == (2, listed.counts())


@pytest.mark.parametrize("named", ["train/{}.png", "./train/{}.png", "train\\{}.png", "{}.png"])
def test_paths_from_the_folder_and_ends_of_them(named: str, dogs: Path) -> None:
    expected = datasets.listing(DOGS, dogs)
    write(dogs, "id,breed", *(f"{named.format(i)},{BREEDS[i % 2]}" for i in range(20)))
    assert datasets.listing(DOGS, dogs) == expected


def test_other_columns_order_and_spaces_are_free(dogs: Path) -> None:
    expected, before = datasets.listing(DOGS, dogs), datasets.fingerprint(DOGS, dogs)
    lines = [f'"{BREEDS[i % 2]}", {i} ,"a, b"' for i in reversed(range(20))]
    text = "\ufeff" + "\r\n".join(["breed,id,note", *lines, "", ""])
    (dogs / "dogs" / "labels.csv").write_text(text, newline="")
    assert datasets.listing(DOGS, dogs) == expected
    assert datasets.fingerprint(DOGS, dogs) == before
    write(dogs, "id,breed", *(f"{i},{BREEDS[(i + (i == 3)) % 2]}" for i in range(20)))
    assert datasets.fingerprint(DOGS, dogs) != before, "a mended label is other data"


def test_the_file_may_lie_beside_the_folder_and_have_tabs(dogs: Path) -> None:
    expected = datasets.listing(DOGS, dogs)
    (dogs / "dogs" / "labels.csv").unlink()
    lines = [f"{i}\t{BREEDS[i % 2]}" for i in range(20)]
    write(dogs, "id\tbreed", *lines, name="labels.tsv")
    beside = DataSpec(folder="dogs", labels=Labels(file="labels.tsv", path="id", label="breed"))
    assert datasets.listing(beside, dogs) == expected


def test_parts_and_groups_of_its_own(dogs: Path) -> None:
    parts = [("train", "valid", "test")[max(0, i - 17)] for i in range(20)]
    lines = [f"{i},{BREEDS[i % 2]},{part.upper()},{i // 2}" for i, part in enumerate(parts)]
    write(dogs, "id,breed,fold,video", *lines)
    labels = Labels(file="labels.csv", path="id", label="breed", part="fold")
    given = DataSpec(folder="dogs", split="given", labels=labels)
    listed = datasets.listing(given, dogs)
    assert listed.counts() == {"train": 18, "val": 1, "test": 1}
    assert listed.lacking() == {"test": ("beagle",), "val": ("poodle",)} or listed.lacking() == {
        "test": ("poodle",),
        "val": ("beagle",),
    }
    torn = given.model_copy(update={"labels": labels.model_copy(update={"group": "video"})})
    with pytest.raises(UserError, match=r"group '9' is in val .* and in test .*; a group belongs"):
        datasets.listing(torn, dogs)
    labels = Labels(file="labels.csv", path="id", label="breed", group="video")
    listed = datasets.listing(DataSpec(folder="dogs", labels=labels), dogs)
    part_of = {
        int(path.split("/")[1].removesuffix(".png")): part
        for path, part in zip(listed.paths, listed.parts, strict=True)
    }
    assert all(part_of[i] == part_of[i + 1] for i in range(0, 20, 2))
    assert len(set(part_of.values())) == 3


def test_a_line_that_names_an_image_is_no_header(dogs: Path) -> None:
    """It would be lost as one; a column may be called as an image that has a line of its own."""
    lines = [f"{i},{BREEDS[i % 2]}" for i in range(20)]
    write(dogs, *lines)
    by_first = DataSpec(folder="dogs", labels=Labels(file="labels.csv", path="0", label="beagle"))
    with pytest.raises(UserError, match=r"csv:1: '0' names an image: put a line .* as path,label$"):
        datasets.listing(by_first, dogs)
    with pytest.raises(UserError, match=r"csv:1: no column 'id'.*is no header, put one before it$"):
        datasets.listing(DOGS, dogs)
    (dogs / "dogs" / "train" / "0.png").rename(dogs / "dogs" / "train" / "id.png")
    write(dogs, "id,breed", "id,beagle", *lines[1:])
    assert len(datasets.listing(DOGS, dogs).paths) == 20


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda r: write(r, "id,breed", "0,beagle", "77,poodle"), r"csv:3: .*no image '77'"),
    "twice": (
        lambda r: write(r, "id,breed", "0,beagle", "train/0.png,beagle"),
        r"csv:3: train/0.png has a line already, 2",
    ),
    "no label": (lambda r: write(r, "id,breed", "0,beagle", "1, "), r"csv:3: .*has no breed"),
    "ambiguous": (
        lambda r: [make_images(r / "dogs", {"more": 1}), write(r, "id,breed", "0,beagle")],  # type: ignore[func-returns-value]
        r"csv:2: '0' may be any of 2 images: more/0.png, train/0.png; write its path",
    ),
    "no column": (
        lambda r: write(r, "id,race", "0,beagle"),
        r"csv:1: no column 'breed'; it can be id, race; say in labels .* as label: NAME",
    ),
    "column twice": (
        lambda r: write(r, "id,breed,id", "0,a,1"),
        r"csv:1: the column 'id' is there",
    ),
    "fields": (lambda r: write(r, "id,breed", "0,beagle,x"), r"csv:2: 3 fields where 2 belong"),
    "quotes": (lambda r: write(r, "id,breed", '0,"beagle'), r"csv:2: not CSV"),
    "outside": (lambda r: write(r, "id,breed", "../secret.png,a"), r"csv:2: .*is no path of an im"),
    "absolute": (lambda r: write(r, "id,breed", "/etc/passwd,a"), r"csv:2: .*is no path of an im"),
    "no id": (lambda r: write(r, "id,breed", ",a"), r"csv:2: '' is no path of an image"),
    "nothing": (lambda r: write(r, "id,breed"), r"labels.csv names no image"),
    "empty": (lambda r: write(r, ""), r"csv:1: no column 'id'"),
    "one class": (lambda r: write(r, "id,breed", "0,beagle"), r"dogs has one class only, 'beagle'"),
    "not there": (lambda r: (r / "dogs/labels.csv").unlink(), r"labels are not there: neither"),
    "there twice": (lambda r: write(r, "x", name="labels.csv"), r"are there twice, as"),
    "not text": (lambda r: (r / "dogs/labels.csv").write_bytes(b"\xff\xfe,"), r"is not UTF-8 text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_line(case: str, dogs: Path) -> None:
    change, message = WRONG[case]
    change(dogs)
    with pytest.raises(UserError, match=message):
        datasets.listing(DOGS, dogs)


def test_labels_that_lead_out_of_the_root_are_refused(dogs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    (dogs / "dogs" / "labels.csv").rename(outside)
    (dogs / "dogs" / "labels.csv").symlink_to(outside)
    with pytest.raises(UserError, match="leads out of the data root"):
        prepare(DOGS, dogs)


def test_a_part_or_a_group_that_is_no_word_for_one(dogs: Path) -> None:
    write(dogs, "id,breed,fold,video", "0,beagle,train,a", "1,poodle,holdout,")
    labels = Labels(file="labels.csv", path="id", label="breed", part="fold")
    with pytest.raises(
        UserError, match=r"csv:3: the part is 'holdout'; it can be train, training, val, val"
    ):
        datasets.listing(DataSpec(folder="dogs", split="given", labels=labels), dogs)
    labels = Labels(file="labels.csv", path="id", label="breed", group="video")
    with pytest.raises(UserError, match=r"csv:3: no video; an image of no group needs its own"):
        datasets.listing(DataSpec(folder="dogs", labels=labels), dogs)


def test_names_as_a_mac_writes_them(root: Path) -> None:
    """An umlaut as two characters on the disk, as one in the CSV; and the other way round."""
    apart, whole = "Bla\u0308tter", "Bl\u00e4tter"
    make_images(root / "dogs", {apart: 15})
    lines = [f"{whole}/{i}.png,{(apart, whole, 'x')[i % 3]}" for i in range(15)]
    write(root, "id,breed", *lines)
    listed = datasets.listing(DOGS, root)
    assert listed.classes == (whole, "x") and len(listed.paths) == 15
    assert {path.split("/")[0] for path in listed.paths} == {apart}, "as it lies there"
    other = datasets.other(DataSpec(folder="dogs"), root, ("z", whole))
    assert set(other.labels) == {1}


def test_semicolons_are_named(root: Path) -> None:
    make_images(root / "dogs", {"a": 10})
    write(root, "id;breed", "0;x")
    with pytest.raises(
        UserError, match=r"csv:1: its fields are separated by ';': save it with com"
    ):
        datasets.listing(DOGS, root)


def test_links_by_their_own_path(dogs: Path) -> None:
    """The folder may be a link, its CSV inside it; and a line may name a link to an image."""
    (dogs / "dogs").rename(dogs.parent / "elsewhere")
    (dogs / "dogs").symlink_to(dogs.parent / "elsewhere")
    expected = datasets.listing(DOGS, dogs)
    (dogs / "dogs" / "linked.png").symlink_to(dogs.parent / "elsewhere" / "train" / "0.png")
    lines = [f"{i if i else 'linked.png'},{BREEDS[i % 2]}" for i in range(20)]
    write(dogs, "id,breed", *lines)
    assert datasets.listing(DOGS, dogs) == expected


def test_hashes_of_other_files_of_the_folder_are_kept(
    dogs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables of one folder do not make each other read everything again."""
    few = DataSpec(folder="dogs", labels=Labels(file="few.csv", path="id", label="breed"))
    write(dogs, "id,breed", "0,a", "1,b", name="dogs/few.csv")
    read: list[Path] = []

    def counted(file: Path) -> str:
        read.append(file)
        return sha256(file)

    monkeypatch.setattr(folder_source, "sha256", counted)
    for _ in range(2):
        DOGS.source.fingerprint(dogs)
        few.source.fingerprint(dogs)
    assert len(read) == 20
