"""Whether what is installed is what this project asks for."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from classifier.basics.machine import PACKAGES, commit
from classifier.basics.program import DISTRIBUTION, version
from experiments.doctor.finding import Finding

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True)
class Asked:
    python: str
    needed: Sequence[Requirement]
    optional: Sequence[Requirement] = ()
    """Of extras: wrong only where it is there and too old."""


def look() -> Iterable[Finding]:
    code = commit()
    yield Finding("ok", "this project", f"commit {code}" if code else f"version {version()}")
    asked = wanted()
    if asked is None:
        found = "neither pyproject.toml nor the package's own data say which versions are asked for"
        yield Finding("note", "versions", found, "install it with pip")
        return
    installed = {each.name: _version(each.name) for each in (*asked.needed, *asked.optional)}
    yield from judge(asked, platform.python_version(), installed)
    yield from pair(installed.get("torch"), _torch_of_torchvision())


def judge(asked: Asked, python: str, installed: Mapping[str, str | None]) -> Iterable[Finding]:
    """`installed`: versions by name, None for what is not there."""
    shown = ", ".join(f"{name} {installed.get(name) or 'none'}" for name in PACKAGES)
    wrong = []
    if not SpecifierSet(asked.python).contains(python, prereleases=True):
        advice = f"Python {asked.python} is needed: make an environment with it"
        wrong.append(Finding("bad", "versions", f"Python {python}", advice))
    for each in (*asked.needed, *asked.optional):
        has = installed.get(each.name)
        if has is None and each in asked.needed:
            found = f"{each.name} is not installed"
        elif has is not None and not each.specifier.contains(has, prereleases=True):
            found = f"{each.name} {has} is out of bounds"
        else:
            continue
        wrong.append(Finding("bad", "versions", found, f"python -m pip install '{each}'"))
    yield Finding("ok", "versions", f"Python {python} ({platform.machine()}), {shown}")
    yield from wrong


def pair(torch: str | None, by_torchvision: Requirement | None) -> Iterable[Finding]:
    """torchvision's operators are compiled against one torch."""
    if torch is None or by_torchvision is None:
        return
    if not by_torchvision.specifier.contains(torch, prereleases=True):
        found = f"torchvision is built for torch{by_torchvision.specifier}, and torch is {torch}"
        yield Finding("bad", "versions", found, "install the two in one command of pip")


def wanted() -> Asked | None:
    """What pyproject.toml beside the code says, which is newer than what an installation of it
    noted; where there is none, what the installed package says."""
    try:
        project = tomllib.loads(PROJECT.read_text())["project"]
        if project["name"] == DISTRIBUTION:
            extras = chain(*project.get("optional-dependencies", {}).values())
            return _asked(project["requires-python"], project["dependencies"], extras)
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        pass
    try:
        python = metadata.metadata(DISTRIBUTION)["Requires-Python"]
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    extra = [line for line in lines if "extra ==" in line]
    return _asked(python or "", [line for line in lines if line not in extra], extra)


def _asked(python: str, needed: Iterable[str], optional: Iterable[str]) -> Asked:
    """Without what other systems or Pythons need, and without the project itself."""

    def read(lines: Iterable[str]) -> list[Requirement]:
        all_of_them = map(Requirement, dict.fromkeys(lines))
        return [each for each in all_of_them if each.name != DISTRIBUTION and _is_for_here(each)]

    return Asked(python, read(needed), read(optional))


def _is_for_here(each: Requirement) -> bool:
    """An extra's own mark is no matter of the machine."""
    marker = str(each.marker or "")
    return not marker or "extra ==" in marker or bool(each.marker and each.marker.evaluate())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch_of_torchvision() -> Requirement | None:
    try:
        lines = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    each = (Requirement(line) for line in lines)
    return next((one for one in each if one.name == "torch" and one.marker is None), None)
