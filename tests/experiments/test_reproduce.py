"""--reproduce: an archive's matrix is run again, with its data, and each figure compared."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

import runner
from classifier.basics.errors import UserError
from experiments.cli.sharing import code_of
from experiments.share.reproduce import Again, Reproduced, compare, named, unpack
from reports import records_json
from tests.experiments.test_init import class_folders
from tests.experiments.test_share import members, resealed
from tests.experiments.test_upkeep import MATRIX


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("small.yaml").write_text(MATRIX)
        assert runner.main(["small.yaml"]) == 0
        assert runner.main(["small.yaml", "--archive", "small.zip"]) == 0
    return folder / "small.zip"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_same_machine_gives_the_same_bits(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["--reproduce", str(archive)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-2] == "5 of 5 jobs were run now"
    assert said.splitlines()[-1] == "2 equal to the bit, 2 of the machine"
    assert len(list(Path().glob("small-reproduced/runs/*/train-raw"))) == 2
    page = Path("small-reproduced/reports/small/index.html").read_text()
    label = f"{archive.parent.name}/small.yaml"
    assert f"{label} --report" in page and f"{tempfile.gettempdir()}/" not in page
    assert sorted(path.name for path in Path().iterdir()) == ["small-reproduced"]
    shutil.rmtree(next(Path().glob("small-reproduced/runs/*/evaluate-*")))  # as if interrupted
    assert runner.main(["--reproduce", str(archive)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-2] == "1 of 5 jobs were run now, the others by this command before"


def test_what_is_done_already_is_not_said_to_come_again(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the folder that it was run in nothing would be run; that it has the usual name is no
    reason to take another. Nor may what another archive's reproduction has run count."""
    monkeypatch.chdir(archive.parent)
    before = sorted(archive.parent.rglob("*"))
    assert runner.main(["--reproduce", "small.zip", "--runs", "runs"]) == 2
    said = "error: --runs runs is not empty, and what is done there would not be run again"
    assert capsys.readouterr().err.startswith(said)
    assert sorted(archive.parent.rglob("*")) == before


def test_another_archive_s_reproduction_is_another(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs").mkdir()
    Path("runs/.reproduces").write_text("0" * 64)
    assert runner.main(["--reproduce", str(archive), "--runs", "runs"]) == 2
    assert "--runs runs is not empty" in capsys.readouterr().err


def test_other_data_are_refused_first(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = members(archive)
    (was,) = {line for text in held.values() for line in _fingerprints(text)}
    edited = {n: c.replace(was, b"0" * 16) for n, c in held.items() if "record.json" in n}
    assert edited
    file = resealed(archive, edited, Path("other.zip"))
    assert runner.main(["--reproduce", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"digits: {'0' * 16} in the archive, {was.decode()} here" in said
    assert not Path("other-reproduced").exists()


def _fingerprints(text: bytes) -> list[bytes]:
    lines = [line.strip() for line in text.splitlines()]
    return [line.split(b'"')[3] for line in lines if line.startswith(b'"fingerprint": "')]


def test_damage_and_a_matrix_beside_it_are_refused(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("half.zip").write_bytes(archive.read_bytes()[:5000])
    assert runner.main(["--reproduce", "half.zip"]) == 2
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    Path("bad.zip").write_bytes(content)
    assert runner.main(["--reproduce", "bad.zip"]) == 2
    assert "--verify bad.zip names all that is damaged" in capsys.readouterr().err
    assert runner.main(["m.yaml", "--reproduce", str(archive)]) == 2
    assert not list(Path().glob("*-reproduced"))


def test_records_of_other_weights_are_refused(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = members(archive)
    name = next(n for n in held if "/evaluate-" in n and n.endswith("record.json"))
    record = json.loads(held[name]) | {"checkpoint": "0" * 16}
    file = resealed(archive, {name: json.dumps(record).encode()}, Path("other.zip"))
    assert runner.main(["--reproduce", str(file)]) == 2
    said = f"error: other.zip: {name} is not of the training in the archive; --verify other.zip"
    assert capsys.readouterr().err.startswith(said)
    assert not Path("other-reproduced").exists()


def test_what_is_said_of_a_figure(archive: Path) -> None:
    """Equal, within, outside, gone; a speed is never judged."""
    file = Path("records.json")
    file.write_bytes(members(archive)["reports/small/records.json"])
    then = records_json.read(file)
    cell = then.cells[0]
    assert cell.column == "val" and cell.figure is not None
    assert cell.low is not None and cell.high is not None and cell.high < 1

    def found(**changes: object) -> Again:
        first = cell.model_copy(update=changes)
        now = then.model_copy(update={"cells": (first, *then.cells[1:])})
        return next(iter(compare(then, now))).found

    middle = (cell.low + cell.high) / 2
    assert found() is Again.EQUAL
    assert found(by_seed=(0.5,)) is Again.WITHIN
    assert found(figure=cell.high) is found(figure=cell.low) is found(figure=middle) is Again.WITHIN
    assert found(figure=cell.high + 1e-9) is found(figure=cell.low - 1e-9) is Again.NOT
    assert found(figure=None, missing="failed") is Again.NOT
    speed = next(each for each in then.cells if each.column == "FPS")
    assert speed.figure is not None
    faster = speed.model_copy(update={"figure": speed.figure * 2})
    now = then.model_copy(update={"cells": (faster,)})
    of_speed = next(each for each in compare(then, now) if each.place.endswith("FPS"))
    assert of_speed.found is Again.MACHINE


def test_figures_are_compared_with_what_the_records_give(archive: Path, tmp_path: Path) -> None:
    """Whatever the archive's report says: with a wide interval any figure would lie in it."""
    name = "reports/small/records.json"
    told = json.loads(members(archive)[name])
    forged = {**told, "cells": [c | {"figure": 0.97, "low": 0, "high": 1} for c in told["cells"]]}
    file = resealed(archive, {name: json.dumps(forged).encode()}, Path("wide.zip"))
    (tmp_path / "folder").mkdir()
    (then,) = unpack(file, tmp_path / "folder", Path("data")).reports
    assert [cell.figure for cell in then.cells] == [cell["figure"] for cell in told["cells"]]


OWN = """\
title: Own
data_root: kept
data: {folder: photos}
train: {model: mobilenetv2, image_size: 32, batch_size: 4, epochs: 1}
matrix: {lr: [1e-3]}
tables:
  t: {rows: lr, columns: [{header: val, split: val}]}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a matrix of its own data, run and archived."""
    folder = tmp_path_factory.mktemp("own")
    class_folders(folder / "kept" / "photos", "ab")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("my.yaml").write_text(OWN)
        assert runner.main(["my.yaml"]) == 0
        assert runner.main(["my.yaml", "--archive", "my.zip"]) == 0
    return folder


def test_of_data_that_are_not_there_the_archive_s_matrix_is_named(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(own / "my.zip", ".")
    assert runner.main(["--reproduce", "my.zip"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: my.zip: my.yaml:3: the data folder data/photos is not there")
    assert "--data-root" in said and tempfile.gettempdir() not in said
    assert [path.name for path in Path().iterdir()] == ["my.zip"]
    assert runner.main(["--reproduce", "my.zip", "--data-root", str(own / "kept")]) == 0
    assert "1 equal to the bit" in capsys.readouterr().out


def test_where_nothing_was_compared_nothing_came_again(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an archive that was made when the training was done, and its evaluation not yet."""
    left_out = {name: None for name in members(own / "my.zip") if "/evaluate-" in name}
    file = resealed(own / "my.zip", left_out, Path("half.zip"))
    assert runner.main(["--reproduce", str(file), "--data-root", str(own / "kept")]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["figures that the archive lacks: 1 of 1", "nothing was compared"]


def test_the_exit_code_is_that_of_what_was_compared() -> None:
    codes = [
        ([], 3),
        ([Again.MACHINE], 3),
        ([Again.MACHINE, Again.EQUAL], 0),
        ([Again.WITHIN], 0),
        ([Again.EQUAL, Again.NOT], 1),
        ([Again.MACHINE, Again.NOT], 1),
    ]
    for found, code in codes:
        assert code_of([Reproduced("", 0, None, None, 0, each) for each in found]) == code, found


def test_what_was_unpacked_is_named_as_the_archive_s() -> None:
    said = "/tmp/x.y/matrices/my/a b/sub/mine.py:3: no; /tmp/x.y/runs/r is not /tmp/xzy/runs"
    error = named(UserError(said), Path("m/my.zip"), Path("/tmp/x.y"))
    assert str(error) == "m/my.zip: sub/mine.py:3: no; m/my.zip: runs/r is not /tmp/xzy/runs"


PLUGIN = """\
from classifier.plugins import loss
from helper import half


@loss
def mine(logits, targets, *, weight: float = 1.0):
    import torch
    return weight * half() * torch.nn.functional.cross_entropy(logits, targets)
"""


def test_plugins_go_with_it_and_run_only_where_they_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("mine.py").write_text(PLUGIN)
    Path("helper.py").write_text("def half():\n    return 0.5\n")
    text = MATRIX.replace("epochs: 1}", "epochs: 1, loss: mine}").replace("[1e-3, 1e-2]", "[1e-3]")
    Path("own.yaml").write_text(f"plugins: [mine.py]\n{text}")
    assert runner.main(["own.yaml", "--trust"]) == 0
    assert runner.main(["own.yaml", "--archive", "own.zip"]) == 0
    held = members(Path("own.zip"))
    for name in ("mine.py", "helper.py"):
        assert held[f"matrices/own/own/{name}"] == Path(name).read_bytes()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    assert runner.main(["--verify", "../own/own.zip"]) == 0
    capsys.readouterr()
    assert runner.main(["--reproduce", "../own/own.zip"]) == 2
    said = capsys.readouterr().err
    assert "code that is not this program's would run:" in said and "mine.py  sha256" in said
    assert tempfile.gettempdir() not in said
    assert not list(Path().glob("*"))
    assert runner.main(["--reproduce", "../own/own.zip", "--trust"]) == 0
    assert "1 equal to the bit, 1 of the machine" in capsys.readouterr().out
