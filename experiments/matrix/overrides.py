"""What the command line changes in a matrix."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier.basics.errors import UserError
from classifier.config.document import Document, scalar
from classifier.config.explanations import text

SMOKE: dict[str, Any] = {
    "data": {"name": "digits", "limit": 30},
    "train.image_size": 32,
    "train.batch_size": 16,
    "train.epochs": 2,
    "train.lr": 1e-3,
    "train.pretrained": False,
    "train.patience": 0,
    "benchmark.seconds": 1.0,
}
"""What `--smoke` overrides, so that a whole matrix runs in a minute or two on any machine. Folds
stay folds."""


@dataclass(frozen=True)
class Overrides:
    """What the command line changes in a matrix."""

    smoke: bool = False
    sets: tuple[str, ...] = ()
    """`train.epochs=1` and the like."""
    seeds: tuple[int, ...] | None = None


NO_OVERRIDES = Overrides()


def apply(document: Document, overrides: Overrides) -> dict[str, Any]:
    """Put the command line's values into the document; they pin an axis of their name."""
    applied = copy.deepcopy(SMOKE) if overrides.smoke else {}
    written = document.data.get("data")
    if overrides.smoke and isinstance(written, dict) and "folds" in written:
        applied["data"]["folds"] = written["folds"]
    for name, value in applied.items():
        _pin(document, name, value, "--smoke")
    for given in overrides.sets:
        name, equals, value_text = given.partition("=")
        name = name.strip()
        if not equals or not all(name.split(".")) or name == "train":
            raise UserError(f"--set {given}: expected a setting and a value, as train.epochs=1")
        try:
            applied[name] = scalar(value_text)
        except UserError as error:
            shown = value_text if len(value_text) < 60 else f"{value_text[:60]}..."
            why = str(error).removeprefix("value:1: ")
            raise UserError(f"--set {name}: '{shown}' is not a YAML value: {why}") from error
        _pin(document, name, applied[name], f"--set {given}")
    if overrides.seeds is not None:
        applied["seeds"] = list(overrides.seeds)
        _pin(document, "seeds", applied["seeds"], "--seeds")
    return applied


def _pin(document: Document, name: str, value: Any, place: str) -> None:
    document.set(tuple(name.split(".")), value, place)
    axes = document.data.get("matrix")
    axis = name.removeprefix("train.")
    if is_of_arms(name) and isinstance(axes, dict) and axis in axes:
        document.set(("matrix", axis), [value], place)


def is_of_arms(name: str) -> bool:
    """Whether it is a setting that arms may differ in."""
    return name.startswith(("train.", "data.")) or name == "data"


def options(applied: Mapping[str, Any]) -> list[str]:
    """Of the command line, that apply the same."""
    given = {name: value for name, value in applied.items() if name != "seeds"}
    is_smoke = given.keys() >= SMOKE.keys()
    if is_smoke:
        given = {name: value for name, value in given.items() if SMOKE.get(name) != value}
    found = ["--smoke"] if is_smoke else []
    for name, value in given.items():
        found += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    if "seeds" in applied:
        found += ["--seeds", ",".join(map(str, applied["seeds"]))]
    return found


def mark(overrides: Overrides, applied: Mapping[str, Any]) -> str:
    """A changed matrix never writes the real one's report."""
    made = "-smoke" if overrides.smoke else ""
    if overrides.sets or overrides.seeds is not None:
        changed = {k: v for k, v in applied.items() if not overrides.smoke or SMOKE.get(k) != v}
        made += "+" + hashlib.sha256(text(changed).encode()).hexdigest()[:8]
    return made
