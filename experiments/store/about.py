"""What runs are about, where their folders' names don't tell them apart."""

from __future__ import annotations

from collections.abc import Mapping

from classifier.basics.told import flat, usual
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
        name: flat(spec.told() | {"data": None, "seed": None}) for name, spec in runs.items()
    }
    alike: dict[tuple[str, object], list[str]] = {}
    for name, spec in runs.items():
        alike.setdefault((spec.slug, spec.data), []).append(name)
    found = {}
    for names in alike.values():
        keys = dict.fromkeys(key for name in names for key in settings[name])
        shared = {key: usual([settings[name].get(key, OFF) for name in names]) for key in keys}
        for name in names:
            its = {key: settings[name].get(key, OFF) for key in keys}
            others = {key: value for key, value in its.items() if value != shared[key]}
            on = {key.split(".")[0] for key in settings[name]}
            said = [f"{key} {value}" for key, value in others.items() if value != OFF]
            off = dict.fromkeys(key.split(".")[0] for key, v in others.items() if v == OFF)
            own = ", ".join([*said, *(f"{setting} {OFF}" for setting in off if setting not in on)])
            own = own if len(own) <= MOST_TOLD else f"{own[:MOST_TOLD]}..."
            title = data[runs[name].data.whole]
            found[name] = f"{title}: {own}" if own else title
    return found
