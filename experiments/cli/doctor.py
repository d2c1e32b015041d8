"""`--doctor`: this machine, its folders and its devices, a line each. Nothing is left behind."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from classifier.basics.errors import UserError
from classifier.basics.files import cache_root
from experiments.cli.options import data_root
from experiments.doctor import devices, folders, machine, versions
from experiments.doctor.finding import Finding
from experiments.matrix.model import Matrix, data_root_of

ALL_WELL, SOMETHING_BAD = 0, 1
ABSENT_ROOT = "put data of your own there, or name its folder; downloads make it themselves"
ABSENT = "a run fetches it first, or says what to do"
STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


def show(options: argparse.Namespace, matrices: Sequence[Matrix]) -> int:
    """Print what is found, as it is found. 0 where nothing is bad, else 1."""
    console, code = Console(), ALL_WELL
    for finding in _findings(options, matrices):
        grade = Text(f"{finding.grade:<4}", style=STYLES[finding.grade])
        line = Text.assemble(grade, "  ", str(finding))
        console.print(line, soft_wrap=True)
        code = SOMETHING_BAD if finding.grade == "bad" else code
    return code


def _findings(options: argparse.Namespace, matrices: Sequence[Matrix]) -> Iterable[Finding]:
    yield from versions.look()
    yield from machine.look(options.jobs_per_device)
    yield from _folders(options, matrices)
    yield from devices.look(options.devices)


def _folders(options: argparse.Namespace, matrices: Sequence[Matrix]) -> Iterable[Finding]:
    yield from folders.look("runs", options.runs, "--runs", folders.RUNS)
    try:
        cache = cache_root()
    except UserError as error:
        yield Finding("bad", "cache", str(error))
    else:
        yield from folders.look("cache", cache, "XDG_CACHE_HOME", folders.CACHE)
    yield from folders.look("reports", options.reports, "--reports", folders.REPORTS)
    try:
        root = data_root_of(matrices) if matrices else data_root(options)
    except UserError as error:
        yield Finding("bad", "data", str(error))
        return
    yield from folders.read("data", root, "--data-root", ABSENT_ROOT)
    for folder in _of_data(matrices, root):
        yield from folders.read("data", folder, "--data-root", ABSENT)


def _of_data(matrices: Sequence[Matrix], data_root: Path) -> list[Path]:
    """The folders of data that matrices name; a set that lies in a package has none."""
    named = (data.source.folder(data_root) for matrix in matrices for data in matrix.data)
    return [folder for folder in dict.fromkeys(named) if folder is not None]
