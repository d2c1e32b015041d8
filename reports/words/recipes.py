"""What a matrix's recipes bring, and what its arms have otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from classifier.basics.names import counted
from classifier.basics.told import plain
from experiments.matrix.arms import Arm
from experiments.matrix.recipes import RECIPES
from reports.words.arms import names

MOST_SAID = 12
"""Changes of a recipe, each with the arms that have it."""


def recipes(arms: Sequence[Arm]) -> list[str]:
    """Of each recipe a line of what it brings, then of what all of its arms change in it, then of
    what some of them do."""
    lines = []
    for recipe in dict.fromkeys(arm.recipe for arm in arms if arm.recipe):
        of = [arm for arm in arms if arm.recipe == recipe]
        lines.append(f"recipe {recipe}: {_said(RECIPES[recipe])}")
        shared = {n: v for n, v in of[0].changed.items() if all(_has(arm, n, v) for arm in of)}
        if shared:
            lines.append(f"recipe {recipe}, here with: {_said(shared)}")
        of_some: dict[str, list[str]] = {}
        for arm, name in zip(of, names(of, without=["recipe"]), strict=True):
            if own := {n: v for n, v in arm.changed.items() if n not in shared}:
                of_some.setdefault(_said(own), []).append(f"“{name}”")
        said = [f"recipe {recipe}, in {', '.join(n)} with: {own}" for own, n in of_some.items()]
        lines += said[:MOST_SAID]
        if len(said) > MOST_SAID:
            lines.append(f"recipe {recipe}: and {counted(len(said) - MOST_SAID, 'other change')}")
    return lines


def _has(arm: Arm, name: str, value: Any) -> bool:
    return name in arm.changed and arm.changed[name] == value


def _said(settings: Mapping[str, Any]) -> str:
    """Those that were left to their defaults last."""
    said = [f"{name} {plain(value)}" for name, value in settings.items() if value is not None]
    left = [name for name, value in settings.items() if value is None]
    return ", ".join([*said, *(f"{name} at its default" for name in left)])
