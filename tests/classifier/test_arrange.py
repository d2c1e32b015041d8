"""A folder of class folders becomes train/, val/ and test/."""

from __future__ import annotations

import csv
import errno
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from classifier.basics.errors import UserError
from classifier.basics.progress import OnCount, uncounted
from classifier.data import arrange as arranging
from classifier.data import datasets
from classifier.data.arrange import Arrangement, How
from classifier.data.sources.cub200 import class_sizes
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, Part, Rule


def arrange(
    data_path: Path, out: Path, *, progress: OnCount = uncounted, **settings: Any
) -> dict[Part, int]:
    return arranging.arrange(Arrangement(data_path, out, **settings), progress)


CLASSES = {"blue tit & co": 10, "äsche": 7, "wren": 25}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Files of distinct contents; nothing here opens them as images."""
    folder = tmp_path / "birds"
    for name, images in CLASSES.items():
        (folder / name / "more").mkdir(parents=True)
        for index in range(images):
            where = folder / name / ("more" if index % 3 == 0 else "")
            (where / f"photo {index}, {name}.jpg").write_text(f"{name} {index}")
    (folder / "wren" / "notes.txt").write_text("no image")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Text of every image by its relative path."""
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*.jpg")}


def placed(out: Path) -> dict[str, str]:
    """The same of all parts together; an image in two parts fails."""
    found: dict[str, str] = {}
    for part in PARTS:
        here = contents(out / part)
        assert not here.keys() & found.keys()
        found |= here
    return found


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "split.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("how", ["copy", "move", "symlink"])
def test_each_way_places_each_image_once(birds: Path, tmp_path: Path, how: How) -> None:
    before = contents(birds)
    out = tmp_path / "split here"
    calls: list[tuple[int, int]] = []
    count = arrange(birds, out, how=how, progress=lambda *call: calls.append(call))
    assert count == {"train": 25, "val": 9, "test": 8}
    assert placed(out) == before
    assert contents(birds) == ({} if how == "move" else before)
    assert calls == [(done, 42) for done in range(1, 43)]
    assert (out / "label.txt").read_text() == "blue tit & co\nwren\näsche\n"
    links = [file for file in out.rglob("*.jpg") if file.is_symlink()]
    assert len(links) == (42 if how == "symlink" else 0)
    assert {row["path"]: f"{row['class']}/" for row in rows(out)} == {
        path: path[: path.index("/") + 1] for path in before
    }
    for row in rows(out):
        assert (out / row["part"] / row["path"]).is_file()
    names = {entry.name for entry in out.iterdir()}
    assert names == {"train", "val", "test", "split.csv", "label.txt"}
    listed = datasets.listing(DataSpec(folder=out.name, split="given"), tmp_path)
    assert listed.counts() == count


def test_it_is_the_split_of_a_matrix(birds: Path, tmp_path: Path) -> None:
    for rule in ("strict", "sequential"):
        out = tmp_path / rule
        arrange(birds, out, how="csv", rule=rule, seed=3)
        listed = datasets.listing(DataSpec(folder="birds", split=rule, split_seed=3), tmp_path)
        assert [(row["path"], row["part"]) for row in rows(out)] == list(
            zip(listed.paths, listed.parts, strict=True)
        )


def test_csv_writes_the_plan_and_nothing_else(birds: Path, tmp_path: Path) -> None:
    out, label = tmp_path / "out", tmp_path / "labels" / "birds.txt"
    arrange(birds, out, how="csv", label_path=label)
    assert [path.name for path in out.iterdir()] == ["split.csv"]
    assert label.read_text().splitlines() == sorted(CLASSES)


@pytest.mark.parametrize(("rule", "expected"), [("strict", (19, 3, 3)), ("sequential", (21, 2, 2))])
def test_other_sizes(birds: Path, tmp_path: Path, rule: Rule, expected: tuple[int, ...]) -> None:
    out = tmp_path / "out"
    shutil.rmtree(birds / "blue tit & co")
    shutil.rmtree(birds / "äsche")
    arrange(birds, out, how="csv", val_size=0.11, test_size=0.11, rule=rule)
    wrens = Counter(row["part"] for row in rows(out) if row["class"] == "wren")
    assert tuple(wrens[part] for part in PARTS) == expected


def test_cubs_classes_under_the_older_rule(tmp_path: Path) -> None:
    for name, images in class_sizes().items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(images):
            (tmp_path / "images" / name / f"{index}.jpg").touch()
    count = arrange(tmp_path / "images", tmp_path / "out", rule="sequential", how="csv")
    assert count == {"train": 7684, "val": 1781, "test": 2323}


class Stop(Exception):  # noqa: N818
    """Stands for Ctrl-C, or a kill, after so many images."""


def stop_at(images: int) -> OnCount:
    def progress(done: int, total: int) -> None:
        if done == images:
            raise Stop

    return progress


@pytest.mark.parametrize("how", ["copy", "move", "symlink"])
@pytest.mark.parametrize("images", [1, 20, 42])
def test_an_interrupted_run_is_finished_by_the_same_call(
    birds: Path, tmp_path: Path, how: How, images: int
) -> None:
    before, out = contents(birds), tmp_path / "out"
    with pytest.raises(Stop):
        arrange(birds, out, how=how, progress=stop_at(images))
    assert len(placed(out)) == images
    plan = rows(out)
    calls: list[tuple[int, int]] = []
    count = arrange(birds, out, how=how, progress=lambda *call: calls.append(call))
    assert count == {"train": 25, "val": 9, "test": 8}
    assert placed(out) == before
    assert rows(out) == plan
    assert calls[-1] == (42, 42)
    assert not [entry for entry in out.iterdir() if entry.name.startswith(".")]
    with pytest.raises(UserError, match="is not empty"):
        arrange(birds, out, how=how)


def test_a_copy_that_was_cut_inside_a_file(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, out = contents(birds), tmp_path / "out"
    whole = shutil.copy2
    copied = 0

    def full(source: Path, target: Path) -> None:
        nonlocal copied
        copied += 1
        if copied == 20:
            target.write_text(source.read_text()[:2])
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        whole(source, target)

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(UserError, match=r"\.placing: No space left.*same command goes on"):
        arrange(birds, out)
    assert placed(out).items() <= before.items(), "no half image has a name of its own"
    monkeypatch.setattr(shutil, "copy2", whole)
    arrange(birds, out)
    assert placed(out) == before


@pytest.mark.parametrize("stage", ["replace", "unlink"])
def test_a_move_to_another_disk(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Interrupted before the copy has its name, or between that and the source's removal."""
    before, out = contents(birds), tmp_path / "out"

    def other_disk(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    original = getattr(Path, stage)
    calls = 0

    def interrupted(self: Path, *args: object, **named: object) -> object:
        nonlocal calls
        if self.suffix == ".jpg" or self.name == ".placing":
            calls += 1
            if calls == 10:
                raise Stop
        return original(self, *args, **named)

    monkeypatch.setattr(Path, "rename", other_disk)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Path, stage, interrupted)
        arrange(birds, out, how="move")
    assert placed(out) | contents(birds) == before, "each image is somewhere, whole"
    arrange(birds, out, how="move")
    assert placed(out) == before
    assert contents(birds) == {}


def test_moving_a_link_moves_what_it_shows(birds: Path, tmp_path: Path) -> None:
    (tmp_path / "store.jpg").write_text("wren 99")
    (birds / "wren" / "linked.jpg").symlink_to("../../store.jpg")
    out = tmp_path / "out"
    arrange(birds, out, how="move")
    assert placed(out)["wren/linked.jpg"] == "wren 99"
    assert (tmp_path / "store.jpg").exists()


def test_other_arguments_do_not_go_on_with_an_unfinished_split(birds: Path, tmp_path: Path) -> None:
    """Symlinks, then a move, would remove the images that the links show."""
    before, out = contents(birds), tmp_path / "out"
    with pytest.raises(Stop):
        arrange(birds, out, how="symlink", progress=stop_at(5))
    for other in ({"how": "move"}, {"seed": 1}, {"rule": "sequential"}, {"val_size": 0.3}):
        with pytest.raises(UserError, match=r'with other arguments.*"how": "symlink"'):
            arrange(birds, out, **{"how": "symlink", **other})  # type: ignore[arg-type]
    assert contents(birds) == before


def test_the_source_may_not_change_on_the_way(birds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stop):
        arrange(birds, out, progress=stop_at(5))
    (birds / "wren" / "new.jpg").touch()
    with pytest.raises(UserError, match=r"wren/new\.jpg .*came after the split was begun"):
        arrange(birds, out)
    (birds / "wren" / "new.jpg").unlink()
    last = birds / rows(out)[-1]["path"]
    last.rename(tmp_path / "away.jpg")
    with pytest.raises(UserError, match="is gone since the split was begun"):
        arrange(birds, out)
    (tmp_path / "away.jpg").rename(last)
    arrange(birds, out)


def test_what_is_refused(birds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"nowhere is not there"):
        arrange(tmp_path / "nowhere", out)
    for inside in (birds, birds / "out", tmp_path):
        with pytest.raises(UserError, match="must not lie in one another"):
            arrange(birds, inside)
    with pytest.raises(UserError, match="leave nothing for training"):
        arrange(birds, out, val_size=0.5, test_size=0.5)
    with pytest.raises(UserError, match=r"val_size is 1\.5"):
        arrange(birds, out, val_size=1.5)
    (tmp_path / "label.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="holds other class names"):
        arrange(birds, out, label_path=tmp_path / "label.txt")
    (birds / "empty").mkdir()
    with pytest.raises(UserError, match="class 'empty' has 0 image"):
        arrange(birds, out)
    (birds / "empty").rmdir()
    assert not out.exists(), "nothing was written"
    (birds / "wren" / "two\nlines.jpg").touch()
    with pytest.raises(UserError, match="line break"):
        arrange(birds, out)


def test_a_full_folder_is_not_written_to(birds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    arrange(birds, out, how="csv")
    with pytest.raises(UserError, match="is not empty"):
        arrange(birds, out)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not a folder"):
        arrange(birds, tmp_path / "file")


def test_a_folder_that_is_split_already_is_refused(birds: Path, tmp_path: Path) -> None:
    arrange(birds, tmp_path / "out")
    with pytest.raises(UserError, match="is split already"):
        arrange(tmp_path / "out", tmp_path / "again")
    (birds / "wren").rename(birds / "train")
    assert arrange(birds, tmp_path / "vehicles")["test"] == 8, "a class may be named train"
