"""Plots are drawn again where they may look otherwise, and only there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import runner
from classifier.basics.files import cache_folder
from reports.page.plots import kept, svg
from reports.page.plots.letters import text_width
from tests.disks import small_disk
from tests.reports.test_stored import STORED

Files = dict[str, str]


class Report:
    """That of the stored matrix, made again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        shutil.copytree(STORED / "runs", self.runs)
        for unit in self.runs.glob("*/train-*"):
            (unit / "best.safetensors").touch()

    def files(self) -> Files:
        """But for the page, which says when it was made."""
        at = ["--runs", str(self.runs), "--reports", str(self.folder / "reports")]
        assert runner.main([str(STORED / "stored.yaml"), "--report", *at]) == 3
        made = (self.folder / "reports" / "stored").iterdir()
        return {file.name: file.read_text() for file in made if file.name != "index.html"}

    @property
    def page(self) -> str:
        return (self.folder / "reports" / "stored" / "index.html").read_text()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is drawn."""
    names, really = list[str](), svg.drawn

    def draw(name: str, *arguments: object, **options: object) -> str:
        names.append(name)
        return really(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(svg, "drawn", draw)
    return names


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Report(tmp_path)


def test_what_did_not_change_is_not_drawn_again(report: Report, drawn: list[str]) -> None:
    first, all_of_them = report.files(), drawn.copy()
    svgs = report.page.count("<svg")
    assert len(all_of_them) > 3
    assert report.files() == first and report.page.count("<svg") == svgs
    assert drawn == all_of_them


def test_another_figure_is_drawn(report: Report, drawn: list[str]) -> None:
    report.files()
    drawn.clear()
    (file, *_) = sorted(report.runs.rglob("train-*/record.json"))
    record = json.loads(file.read_text())
    record["history"][0]["val_loss"] += 0.5
    file.write_text(json.dumps(record))
    report.files()
    assert "curves" in drawn


def test_another_hand_draws(
    report: Report, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report.files()
    all_of_them = drawn.copy()
    monkeypatch.setattr(kept, "HAND", "another matplotlib")
    report.files()
    assert drawn == 2 * all_of_them


@pytest.mark.parametrize("damage", ["empty", "cut", "a letter", "no text", "a pipe"])
def test_a_damaged_file_is_written_anew(damage: str, report: Report, drawn: list[str]) -> None:
    first, all_of_them = report.files(), drawn.copy()
    (file,) = cache_folder("plots").iterdir()
    whole = file.read_bytes()
    file.unlink()
    if damage == "a pipe":
        os.mkfifo(file)
    else:
        other = {"empty": b"", "cut": whole[:-9], "a letter": whole.replace(b"</svg>", b"</sVg>")}
        file.write_bytes(other.get(damage, b"\xff" * len(whole)))
    assert report.files() == first and drawn == 2 * all_of_them
    assert file.read_bytes() == whole


def test_a_name_that_is_no_text(report: Report, drawn: list[str]) -> None:
    report.folder = Path(os.fsdecode(os.fsencode(report.folder) + b"/\xff"))
    report.folder.mkdir()
    assert report.files() == report.files() and len(set(drawn)) == len(drawn)


def test_a_users_matplotlibrc_moves_nothing() -> None:
    import matplotlib as mpl

    text_width.cache_clear()
    usual = text_width("Width", 12)
    text_width.cache_clear()
    with mpl.rc_context({"font.weight": "bold", "font.style": "italic"}):
        assert text_width("Width", 12) == usual


def test_without_a_cache_they_are_drawn_each_time(
    report: Report, drawn: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert report.files() == report.files()
    assert len(set(drawn)) == len(drawn) // 2


def test_a_full_disk_costs_no_report(
    report: Report, drawn: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = report.files()
    with small_disk(tmp_path / "disk", "32k") as disk:
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
        assert report.files() == first
        assert not list(disk.rglob("*.plots")) and list(disk.rglob("plots"))
    assert len(set(drawn)) == len(drawn) // 2
