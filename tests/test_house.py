"""The house as a whole: what is built of it, and what its first rooms leave alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from classifier import tricks
from classifier.basics.errors import UserError
from classifier.basics.plugins import found
from classifier.cli.main import main
from classifier.tricks.base import Trick

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "reports" / "stored"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--schema"],
        ["--init", "digits.yaml"],
        [str(ROOT / "experiments" / "ema.yaml"), "--plan"],
        [str(STORED / "stored.yaml"), "--report", "--runs", "runs", "--reports", "reports"],
        ["--status", "--runs", "runs"],
        [str(STORED / "stored.yaml"), "--watch", "--runs", "runs"],
    ],
    ids=lambda arguments: arguments[-1] if len(arguments) == 1 else arguments[1],
)
def test_what_plans_and_reports_imports_no_torch(arguments: list[str], tmp_path: Path) -> None:
    shutil.copytree(STORED / "runs", tmp_path / "runs")
    code = (
        "import sys, runner\n"
        "try: code = runner.main(sys.argv[1:])\n"
        "except SystemExit as ended: code = ended.code\n"
        "assert code in (0, 3), code\n"  # the stored report lacks some figures
        "assert not {'torch', 'torchvision', 'timm', 'sklearn'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    if "--watch" in arguments:
        assert "nobody runs" in ended.stdout
        assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"], "nothing is written"


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    """Built, installed into a folder of its own, and planning a matrix that it brings."""
    source, site = tmp_path / "source", tmp_path / "site"
    rubbish = shutil.ignore_patterns("__pycache__")
    for room in ("classifier", "experiments", "reports"):
        shutil.copytree(ROOT / room, source / room, ignore=rubbish)
    shutil.rmtree(source / "reports" / "digits")
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    for file in ("runner.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        file.relative_to(source).as_posix()
        for room in ("classifier", "experiments", "reports")
        for file in (source / room).rglob("*.*")
        if file.suffix in (".py", ".csv", ".json", ".yaml", ".typed")
        or file.parent.name == "templates"
    }
    assert sources <= packed and not any(name.startswith("tests") for name in packed)
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True
    )
    code = (
        "import runner, sys, experiments.cli.main as main, classifier.data.sources as data\n"
        "assert all(m.__file__.startswith(sys.argv[1]) for m in (runner, main, data))\n"
        "sys.exit(runner.main([f'{sys.argv[1]}/experiments/ema.yaml', '--plan']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(site)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "4 trainings" in ended.stdout and "7,684 train" in ended.stdout


def test_the_page_of_tricks_is_what_the_tricks_say(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: python -m classifier tricks > docs/tricks.md"""
    assert main(["tricks"]) == 0
    assert (ROOT / "docs" / "tricks.md").read_text() == capsys.readouterr().out


def test_two_files_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "sam_draft.py"
    shutil.copy(ROOT / "classifier" / "tricks" / "sam.py", copy)
    monkeypatch.setattr(tricks, "__path__", [*tricks.__path__, str(tmp_path)])
    with pytest.raises(UserError, match=r"'sam' is defined twice, in classifier\.tricks\.sam and"):
        found("classifier.tricks", Trick, name=lambda trick: trick.setting)
