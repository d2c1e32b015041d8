"""The house as a whole: what is built of it, and what its first rooms leave alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from classifier import tricks
from classifier.basics.errors import UserError
from classifier.basics.plugins import found
from classifier.cli.main import main
from classifier.tricks.base import Trick

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "reports" / "stored"
PAIR = ROOT / "constraints.txt"


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


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
SMALL = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 1}
runs: {plain: {}}
tables:
  small:
    rows: runs
    columns: [{header: val, split: val}]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    rubbish = shutil.ignore_patterns("__pycache__")
    for room in ("classifier", "experiments", "reports"):
        shutil.copytree(ROOT / room, source / room, ignore=rubbish)
    shutil.rmtree(source / "reports" / "digits")
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    for file in ("runner.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*PIP, "wheel", *offline, "-w", folder, source], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """The wheel, installed into a folder of its own."""
    into = wheel.parent / "site"
    options = ["--no-deps", "--no-index", "--target"]
    subprocess.run([*PIP, "install", *options, into, wheel], check=True)
    return into


def ablate(site: Path, folder: Path, *arguments: str) -> str:
    """What the installed command prints, in a folder that is far from the sources."""
    ended = subprocess.run(
        [site / "bin" / "ablate", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_is_whole(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        file.relative_to(ROOT).as_posix()
        for room in ("classifier", "experiments", "reports")
        for file in (ROOT / room).rglob("*.*")
        if file.suffix in (".py", ".csv", ".json", ".yaml", ".typed")
        or file.parent.name == "templates"
    }
    ours = {name for name in sources if not name.startswith("reports/digits/")}
    assert ours <= packed and not any(name.startswith("tests") for name in packed)


def test_the_installed_command_answers_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    """And it is the installation's code that answers."""
    assert "usage: ablate [MATRIX.yaml ...]" in ablate(site, tmp_path, "--help")
    assert ablate(site, tmp_path, "--version").split()[0] == "ablate"
    schema = ablate(site, tmp_path, "--schema")
    assert schema == (ROOT / "experiments" / "matrix.schema.json").read_text()
    planned = ablate(site, tmp_path, str(site / "experiments" / "ema.yaml"), "--plan")
    assert "4 trainings" in planned and "7,684 train" in planned
    assert not list(tmp_path.iterdir()), "nothing is written"
    code = (
        "import runner, sys, experiments.cli.main as main, classifier.data.sources as data\n"
        "assert all(m.__file__.startswith(sys.argv[1]) for m in (runner, main, data))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", code, str(site)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)


@pytest.mark.slow
def test_the_installed_command_trains_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(SMALL)
    ablate(site, tmp_path, "my.yaml", "--devices", "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.yaml", "reports", "runs"]
    assert "plain" in (tmp_path / "reports" / "my" / "small.md").read_text()
    page = (tmp_path / "reports" / "my" / "index.html").read_text()
    assert "<code>ablate my.yaml --report</code>" in page
    assert "nothing to do" in ablate(site, tmp_path, "my.yaml", "--devices", "cpu")


def test_the_lowest_versions_are_pyprojects() -> None:
    """If this fails: pip install uv && make lowest-versions"""
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    lowest = {each.name.lower(): each for each in map(Requirement, lines_of(lines))}
    of_the_pair = {Requirement(line).name for line in lines_of(PAIR.read_text().splitlines())}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dev = project["optional-dependencies"]
    extras = (
        dev[name]
        for name in (
            "cam",
            "dev",
            "heif",
            "hf",
            "mlflow",
            "ray",
            "remote",
            "similar",
            "tensorboard",
        )
    )
    for each in map(Requirement, chain(project["dependencies"], *extras)):
        if each.name == project["name"]:
            continue
        (bound,) = each.specifier
        (pin,) = lowest[each.name.lower().replace("_", "-")].specifier
        assert bound.operator == ">=" and each.specifier.contains(pin.version), each
        least = Version(bound.version).release
        if each.name not in of_the_pair:
            assert Version(pin.version).release[: len(least)] == least, f"{each}: {pin}"


def lines_of(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if line.strip() and not line.lstrip().startswith("#"))


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
