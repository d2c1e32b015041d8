"""Names of files that are made from a user's: whole where they fit, shortened where they do not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from classifier.basics.files import LONGEST_NAME, cache_folder, short_name, write_atomically
from classifier.cli.main import main
from classifier.data import cache, datasets
from classifier.data.cache import pixels
from classifier.data.pixels import Pixels
from classifier.data.spec import DataSpec
from tests.classifier.test_datasets import make_images

LONG = ("鳥" * 80, "鳥" * 85, "a" * 240, "b" * 255, "é" * 127 + "x")
"""Of 240 to 255 bytes, as long as a folder's name can be."""
each_long_name = pytest.mark.parametrize("name", LONG, ids=[f"{len(n)} of {n[0]}" for n in LONG])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), max_size=300)


@given(TEXT, st.integers(12, 300))
@example("鳥" * 80, 240)
@example("鳥" * 80, 239)
def test_a_name_stays_or_fits(name: str, most: int) -> None:
    short = short_name(name, most)
    size = len(name.encode())
    if size <= most:
        assert short == name
        return
    assert most - 3 <= len(short.encode()) <= most, "no more than a character's rest is lost"
    assert name.startswith(short[:-9]) and short[-9] == "-"
    assert short_name(name + "x", most) != short


def test_bytes_that_are_no_text_fit_too() -> None:
    assert len(os.fsencode(short_name(os.fsdecode(b"\xff" * 300)))) <= LONGEST_NAME


@each_long_name
def test_a_file_of_any_name_is_written(name: str, tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_atomically(tmp_path / name, content)
        assert [file.name for file in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_bytes() == content


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / f"{tmp_path.name}-cache"))


def cached(root: Path, name: str) -> Pixels:
    data = DataSpec(folder=name)
    listed = datasets.listing(data, root)
    return pixels(data, root, listed, "val", 9, data.source.fingerprint(root))


def kept(pattern: str) -> list[str]:
    found = cache_folder("pixels").glob(pattern)
    return sorted(path.name for path in found if path.is_dir())


@each_long_name
def test_images_of_a_folder_of_any_name_are_cached(name: str, root: Path) -> None:
    make_images(root / name, {"a": 5, "b": 5})
    shutil.copytree(root / name, root / "birds")
    found, expected = cached(root, name), cached(root, "birds")
    assert len(found) == len(expected) == 2
    assert all(np.array_equal(found[position], expected[position]) for position in range(2))
    (folder,) = kept(f"{name[:9]}*")
    assert folder.startswith(name[: len(name) * 2 // 3]), "it can still be recognised"


def test_names_that_fit_are_as_they_were(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-val-9-` and 12 digits, and around it two dots and tempfile's eight characters."""
    most = LONGEST_NAME - len("-val-9-") - 12 - 10
    for length in (most, most + 1):
        make_images(root / ("c" * length), {"a": 5, "b": 5})
        cached(root, "c" * length)
    whole, shortened = sorted(kept("c*"), key=lambda name: "c" * most not in name)
    assert whole.startswith(f"{'c' * most}-val-9-") and len(whole) == LONGEST_NAME - 10
    assert not shortened.startswith("c" * most) and len(shortened) == LONGEST_NAME - 10
    made: list[object] = []
    monkeypatch.setattr(cache, "_make", lambda *arguments: made.append(arguments))
    cached(root, "c" * most)
    cached(root, "c" * (most + 1))
    assert not made, "found again"


def test_a_file_system_of_shorter_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where names are encrypted they have 143 bytes."""
    monkeypatch.setattr(os, "pathconf", lambda folder, what: 143 if what == "PC_NAME_MAX" else 0)
    make_images(root / ("d" * 140), {"a": 5, "b": 5})
    cached(root, "d" * 140)
    (folder,) = kept("d*")
    assert len(folder) == 143 - 10


def test_a_split_beside_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*LONG, "birds"):
        make_images(tmp_path / name, {"a": 5, "b": 5})
        assert main(["split", "--data_path", name]) == 0
    assert len(list(tmp_path.glob("*-split/train"))) == len(LONG) + 1
    assert Path("birds-split/train").is_dir()


@pytest.mark.parametrize(
    "flags",
    [
        "split --data_path birds --out {long}",
        "split --data_path birds --out out --label_path {long}",
        "split --data_path {long}",
        "metrics --save_path {long}",
        "predict --save_path {long} --source birds",
    ],
)
def test_a_name_too_long_is_one_line(
    flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "birds", {"a": 5, "b": 5})
    assert main(flags.format(long="x" * 300).split()) == 2
    error = capsys.readouterr().err
    assert "x" * 300 in error and "too long for a file's name" in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["birds"], "nothing is written"
