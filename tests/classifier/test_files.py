"""Which files of a folder are its images: endings, links, what systems leave there, no files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import runner
from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.images import (
    IMAGE_SUFFIXES,
    NEEDS,
    BadImageError,
    images_in,
    look_through,
    open_file,
)
from classifier.data.spec import DataSpec

BIRDS = DataSpec(folder="birds")


def draw(file: Path, shade: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (shade % 256, 80, 200)).save(file)
    return file


@pytest.fixture
def birds(root: Path) -> Path:
    """Two classes of ten images."""
    for label in ("a", "b"):
        for index in range(10):
            draw(root / "birds" / label / f"{index}.png", index * 9 + ord(label))
    return root / "birds"


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in images_in(folder)]


def test_what_systems_leave_is_no_image_and_no_class(birds: Path, root: Path) -> None:
    before = datasets.listing(BIRDS, root)
    for name in ("._0.png", ".hidden.png", "Thumbs.db", "desktop.ini"):
        (birds / "a" / name).write_bytes(b"no image")
    for folder in ("__MACOSX", ".ipynb_checkpoints", "@eaDir"):
        draw(birds / folder / "x.png")
        draw(birds / "a" / folder / "x.png")
    assert datasets.listing(BIRDS, root) == before
    assert datasets.left_out(BIRDS, root) == {}


def test_what_is_left_out_is_counted_by_its_ending(birds: Path, root: Path) -> None:
    for name in ("notes.txt", "more.TXT", "scan.pdf", "README"):
        (birds / "a" / name).write_text("no image")
    draw(birds / "alone.png")
    assert datasets.left_out(BIRDS, root) == {
        ".txt": 2,
        ".pdf": 1,
        "no ending": 1,
        "outside the class folders": 1,
    }


def test_what_is_left_out_is_named(
    birds: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (birds / "a" / "notes.txt").write_text("no image")
    monkeypatch.chdir(root)
    Path("m.yaml").write_text(
        "title: T\ndata: {folder: birds}\ntrain: {model: ghostnet}\nmatrix: {rdrop: [false]}\n"
        "tables:\n  t: {rows: rdrop, columns: [{header: h, split: val}]}\n"
    )
    assert runner.main(["m.yaml", "--plan", "--data-root", "."]) == 0
    assert "birds (strict): left out: 1 file .txt" in capsys.readouterr().out


@pytest.mark.parametrize("ending", sorted(IMAGE_SUFFIXES))
def test_every_ending_is_an_image(ending: str, root: Path) -> None:
    file = root / "c" / f"x{ending.upper()}"
    file.parent.mkdir(parents=True)
    if ending in NEEDS:
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.register_heif_opener()
    forms = {".apng": "PNG", ".pbm": "PPM", ".pgm": "PPM", ".pnm": "PPM", ".jfif": "JPEG"}
    forms |= {".heic": "HEIF", ".heif": "HEIF", ".jpe": "JPEG"}
    Image.new("RGB", (32, 32), (10, 80, 200)).save(file, forms.get(ending))
    assert images_in(file.parent) == (file,)
    assert open_file(file).size == (32, 32)


def test_a_plugin_that_is_missing_is_named_once(
    birds: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (birds / "a" / "x.heic").write_bytes(b"?")
    (birds / "b" / "y.heic").write_bytes(b"?")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "registered_extensions", lambda: {".png": "PNG"})
    with pytest.raises(UserError, match=r"images that end in \.heic: pip install -U pillow-heif"):
        datasets.listing(BIRDS, root)


def test_a_linked_folder_is_followed(birds: Path, root: Path) -> None:
    draw(root / "more" / "x.png")
    (birds / "a" / "linked").symlink_to(root / "more")
    assert names(birds / "a")[-1] == "linked/x.png"
    assert len(images_in(birds / "a")) == 11


def test_of_a_file_and_a_link_to_it_the_file_counts(birds: Path) -> None:
    before = names(birds / "a")
    (birds / "a" / "00.png").symlink_to("5.png")
    (birds / "a" / "twice").symlink_to(birds / "a" / "..", target_is_directory=True)
    (birds / "a" / "inner").mkdir()
    (birds / "a" / "inner" / "0.png").symlink_to("../0.png")
    assert names(birds / "a") == before


def test_of_two_links_to_a_file_the_first_counts(birds: Path, root: Path) -> None:
    draw(root / "more" / "x.png")
    (birds / "a" / "v.png").symlink_to(root / "more" / "x.png")
    (birds / "a" / "w.png").symlink_to(root / "more" / "x.png")
    assert names(birds / "a")[10:] == ["v.png"]


def test_links_in_a_circle_end(birds: Path) -> None:
    before = names(birds / "a")
    (birds / "a" / "up").symlink_to(birds)
    (birds / "a" / "me").symlink_to(".")
    assert names(birds / "a") == before


def test_a_class_that_links_to_its_parent_is_refused(birds: Path, root: Path) -> None:
    (birds / "c").symlink_to(birds)
    with pytest.raises(UserError, match=r"birds/c is a link to a folder that holds it"):
        datasets.listing(BIRDS, root)


def test_a_part_may_be_a_link_to_another(root: Path) -> None:
    for part in ("train", "val"):
        for label in ("a", "b"):
            draw(root / "birds" / part / label / "0.png", len(part))
    (root / "birds" / "test").symlink_to("val")
    given = DataSpec(folder="birds", split="given")
    assert datasets.listing(given, root).counts() == {"train": 2, "val": 2, "test": 2}


def test_what_is_no_file_is_left_out_and_said(birds: Path, root: Path) -> None:
    os.mkfifo(birds / "a" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(birds / "a")  # a socket's path is short
        try:
            bound.bind("socket.png")
        finally:
            os.chdir(here)
        assert datasets.left_out(BIRDS, root) == {"no file": 2}
        assert len(look_through(birds / "a").images) == 10


def test_names_that_were_swapped_are_seen(birds: Path, root: Path) -> None:
    """Of one size and one time: what changes is the inode."""
    first, second = birds / "a" / "0.png", birds / "b" / "0.png"
    second.write_bytes(first.read_bytes()[:-1] + b"\0")
    for file in (first, second):
        os.utime(file, ns=(0, 0))
    before = BIRDS.source.fingerprint(root)
    first.rename(root / "kept.png")
    second.rename(first)
    (root / "kept.png").rename(second)
    assert BIRDS.source.fingerprint(root) != before


def test_contents_that_changed_under_an_old_time_are_seen(birds: Path, root: Path) -> None:
    file = birds / "a" / "0.png"
    os.utime(file, ns=(0, 0))
    before = BIRDS.source.fingerprint(root)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\0")
    os.utime(file, ns=(0, 0))
    assert BIRDS.source.fingerprint(root) != before


def test_a_line_of_pixels_counts_as_unreadable(birds: Path, root: Path) -> None:
    Image.new("RGB", (1, 1500)).save(birds / "a" / "line.png")
    with pytest.raises(BadImageError, match=r"line\.png .*it is 1 x 1500 pixels, and at most 50"):
        open_file(birds / "a" / "line.png")
    Image.new("RGB", (10, 500)).save(birds / "a" / "long.png")
    assert open_file(birds / "a" / "long.png").size == (10, 500)
    listed = datasets.listing(DataSpec(folder="birds", on_bad_image="skip"), root)
    assert "a/line.png" not in listed.paths and "a/long.png" in listed.paths


def test_without_a_home_folder_the_error_says_what_to_set(
    birds: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UserError, match="set XDG_CACHE_HOME"):
        BIRDS.source.fingerprint(root)


def test_files_heed_the_umask(root: Path) -> None:
    code = (
        "import os; os.umask(0o027); from pathlib import Path;"
        "from classifier.basics.files import write_atomically;"
        "write_atomically(Path('x'), b'')"
    )
    root.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True)
    assert (root / "x").stat().st_mode & 0o777 == 0o640
