"""A data set is one file: what each of them keeps, and one more that nothing else knows of."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

import runner
from classifier.basics.errors import UserError
from classifier.cli.train_flags import add_flags
from classifier.data import datasets, sources
from classifier.data.cache import pixels
from classifier.data.images import BadImageError
from classifier.data.prepare import prepare
from classifier.data.sources import Source, by_name
from classifier.data.sources.folder import Folder
from classifier.data.spec import DataSpec
from tests.classifier import made_up
from tests.classifier.test_datasets import make_images

MATRIX = """\
title: Squares
data: squares
train: {model: mobilenetv2, image_size: 32}
matrix: {ema: [false, true]}
tables:
  squares: {rows: ema, columns: [{header: val, split: val}, {header: fps, metric: fps}]}
"""


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """The made-up data set, its file among the others'."""
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, *made_up.__path__])
    sources.by_name.cache_clear()
    yield sources.by_name()["squares"]
    sources.by_name.cache_clear()
    del sys.modules["classifier.data.sources.squares"]


def check_missing(source: Source, root: Path) -> None:
    """What is not there is said in the same words whatever is asked of it."""
    said = str(source.not_there(root))
    for ask in (source.classes, source.fingerprint, lambda root: source.open(root, "a/0.png")):
        with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
            ask(root)
    folder = source.folder(root)
    assert folder is not None and str(folder) in said


def check_present(source: Source, root: Path) -> None:
    classes, sizes = source.classes(root), source.sizes()
    assert sizes is None or sizes == {name: len(paths) for name, paths in classes.items()}
    paths = [path for paths in classes.values() for path in paths]
    assert len(set(paths)) == len(paths) > 0
    assert not any(path.startswith("/") or "\\" in path for path in paths)
    assert source.open(root, paths[0]).mode == "RGB"
    assert re.fullmatch("[0-9a-f]{16}", source.fingerprint(root))
    assert source.fingerprint(root) == source.fingerprint(root)


@pytest.mark.parametrize("source", [*sources.by_name().values(), Folder("birds")])
def test_what_each_source_keeps(source: Source, root: Path) -> None:
    assert isinstance(source, Source)
    sizes, folder = source.sizes(), source.folder(root)
    assert sizes is None or min(sizes.values()) > 0
    assert folder is None or folder.is_relative_to(root)
    (check_present if source.is_there(root) else check_missing)(source, root)


def test_a_folder_that_is_there(root: Path) -> None:
    make_images(root / "birds", {"a": 2, "b": 3})
    check_present(Folder("birds"), root)


def test_a_data_set_is_one_file(
    squares: Source, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_missing(squares, root)
    data = DataSpec(name="squares", on_bad_image="skip")
    assert datasets.counts(data, root) is None
    assert datasets.fingerprint_if_there(data, root) is None
    listed = prepare(data, root)
    said = capsys.readouterr().err
    assert said.endswith("left out, for they can't be read: 1 image: dark/unknown\n")
    check_present(squares, root)
    assert listed.classes == ("dark", "light")
    assert listed.counts() == {"train": 8, "val": 2, "test": 2}
    assert datasets.counts(data, root) == (2, listed.counts())
    contents = squares.fingerprint(root)
    kept = pixels(data, root, listed, "val", 16, contents)
    levels = [int(listed.paths[index].partition("/")[2]) for index in listed.indices("val")]
    assert [kept[position].mean() for position in range(2)] == levels
    with pytest.raises(BadImageError, match="'unknown' is no number"):
        squares.open(root, "dark/unknown")
    (root / "squares" / "levels.txt").write_text("dark 1 2 3 4 5\nlight 250 251\n")
    assert squares.fingerprint(root) != contents
    with pytest.raises(UserError, match=rf"^{root}/squares: class 'light' has 2 image"):
        datasets.listing(data, root)


def test_the_command_line_takes_its_name(
    squares: Source,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root.parent)
    Path("m.yaml").write_text(MATRIX)
    assert runner.main(["m.yaml", "--plan"]) == 2
    assert capsys.readouterr().err == "error: data/squares/levels.txt is not there\n"
    prepare(DataSpec(name="squares", on_bad_image="skip"), Path("data"))
    assert runner.main(["m.yaml", "--plan"]) == 0
    assert "squares (strict): 8 train / 3 val / 2 test images" in capsys.readouterr().out
    Path("m.yaml").write_text(MATRIX.replace("data: squares", "data: square"))
    assert runner.main(["m.yaml", "--plan"]) == 2
    assert "m.yaml:2: unknown data 'square'; did you mean 'squares'?" in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    add_flags(parser)
    assert f"{', '.join(by_name())} or a folder" in " ".join(parser.format_help().split())


@pytest.mark.parametrize("name", ["squares", "folder", "", 5, True, ["digits"]])
def test_other_names_are_refused_as_a_literals_would_be(name: object) -> None:
    with pytest.raises(ValidationError) as caught:
        DataSpec.model_validate({"name": name})
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("literal_error", ("name",))
    names = [repr(name) for name in by_name()]
    assert error["msg"] == f"Input should be {', '.join(names[:-1])} or {names[-1]}"


def test_names_are_found_without_what_takes_long_to_import() -> None:
    program = (
        "import sys; from classifier.data.spec import DataSpec; DataSpec(name='digits').source; "
        "print({'torch', 'torchvision', 'timm', 'sklearn', 'pandas', 'PIL'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
