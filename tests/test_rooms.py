"""Imports go one way: runner -> reports -> experiments -> classifier; torch stays in a job."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "classifier": set(),
    "experiments": {"classifier"},
    "reports": {"classifier", "experiments"},
}
ROOMS = {*MAY_IMPORT, "runner", "tests"}
NO_TORCH = [
    "runner.py",
    *(
        str(file.relative_to(ROOT))
        for room in ("experiments", "reports", "classifier/config", "classifier/records")
        for file in (ROOT / room).rglob("*.py")
        if "engines" not in file.parts and file.stem != "preload"
    ),
    *(
        f"classifier/basics/{name}.py"
        for name in ("errors", "files", "names", "progress", "console", "machine", "interruptions")
    ),
    "classifier/models/catalogue.py",
    "classifier/cli/main.py",
    "classifier/cli/train_flags.py",
    *(
        f"classifier/data/{name}.py"
        for name in ("datasets", "split", "download", "arrange", "prepare")
    ),
]


def imported(file: Path, top_level_only: bool) -> set[str]:
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        reached = imported(file, top_level_only=False) & ROOMS - {room}
        assert reached <= MAY_IMPORT[room], f"{file} imports {reached - MAY_IMPORT[room]}"


@pytest.mark.parametrize("file", NO_TORCH)
def test_what_plans_and_reports_imports_no_torch(file: str) -> None:
    heavy = {"torch", "torchvision", "timm", "sklearn"}
    assert not imported(ROOT / file, top_level_only=True) & heavy
