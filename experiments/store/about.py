"""What runs are about, where their folders' names don't tell them apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from classifier.config.spec import TrainSpec
from classifier.data.spec import titles

MOST_TOLD = 60
"""Characters of what a run has otherwise than those of the same name."""
OFF = "off"


def about(runs: Mapping[str, TrainSpec]) -> dict[str, str]:
    """Of each, by its folder's name: its data, and what it has otherwise than most others of
    the same model, tricks and seed on these data."""
    data = titles(dict.fromkeys(spec.data.whole for spec in runs.values()))
    settings = {
        name: _flat(spec.told() | {"data": None, "seed": None}) for name, spec in runs.items()
    }
    alike: dict[tuple[str, object], list[str]] = {}
    for name, spec in runs.items():
        alike.setdefault((spec.slug, spec.data), []).append(name)
    found = {}
    for names in alike.values():
        keys = dict.fromkeys(key for name in names for key in settings[name])
        usual = {key: _usual([settings[name].get(key, OFF) for name in names]) for key in keys}
        for name in names:
            its = {key: settings[name].get(key, OFF) for key in keys}
            others = {key: value for key, value in its.items() if value != usual[key]}
            on = {key.split(".")[0] for key in settings[name]}
            said = [f"{key} {value}" for key, value in others.items() if value != OFF]
            off = dict.fromkeys(key.split(".")[0] for key, v in others.items() if v == OFF)
            own = ", ".join([*said, *(f"{setting} {OFF}" for setting in off if setting not in on)])
            own = own if len(own) <= MOST_TOLD else f"{own[:MOST_TOLD]}..."
            title = data[runs[name].data.whole]
            found[name] = f"{title}: {own}" if own else title
    return found


def _usual(values: Sequence[str]) -> str | None:
    """What more than half have."""
    ((value, count),) = Counter(values).most_common(1)
    return value if 2 * count > len(values) else None


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings of settings by their names with a dot; what is off is not there."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif value is not None:
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            flat[before + name] = said
    return flat
