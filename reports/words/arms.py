"""What arms are called where they have no row of a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from classifier.config.explanations import text
from experiments.matrix.arms import Arm
from experiments.matrix.model import names_of

PLAIN = "plain"
"""What an arm without any trick is called beside arms with one."""
WEIGHTS = "plain weights"
"""The same where the others are averages of its weights."""


def names(arms: Sequence[Arm], without: Collection[str] = (), plain: str = "") -> list[str]:
    """Each by what not all have: `ghostnet, rdrop`. `without`: axes that don't count. `plain`: what
    one is called that has nothing on, in place of `without rdrop`."""
    axes = [axis for axis in (arms[0].where if arms else ()) if axis not in without]
    values = {axis: list(dict.fromkeys(text(arm.where[axis]) for arm in arms)) for axis in axes}
    telling = [axis for axis in axes if len(values[axis]) > 1] or axes[:1]
    shown = _with_data_named(arms)
    short = [_short(where, telling, values) or plain or _off(telling) for where in shown]
    wholes = [text({axis: arm.where[axis] for axis in telling}) for arm in arms]
    is_clear = len(set(short)) == len(set(wholes))
    return short if is_clear else wholes


def tricks(arms: Sequence[Arm], without: Collection[str]) -> list[str]:
    """What each is called among arms that differ in all axes but these: `rdrop`, `ema`, `plain`."""
    axes = {axis.split(".")[0] for axis in (arms[0].where if arms else ()) if axis not in without}
    return names(arms, without, WEIGHTS if axes == {"ema"} else PLAIN)


def _with_data_named(arms: Sequence[Arm]) -> list[Mapping[str, Any]]:
    """The values of their axes, with data sets by their names."""
    if not arms or "data" not in arms[0].where:
        return [arm.where for arm in arms]
    named = names_of("data", [arm.where["data"] for arm in arms])
    return [{**arm.where, "data": name} for arm, name in zip(arms, named, strict=True)]


def _off(axes: Sequence[str]) -> str:
    return f"without {', '.join(axes)}"


def _short(
    where: Mapping[str, Any], axes: Sequence[str], values: Mapping[str, Sequence[str]]
) -> str:
    said = []
    for axis in axes:
        value = where[axis]
        is_on = isinstance(value, Mapping | bool)
        if isinstance(value, str):
            said.append(value)
        elif is_on and value and sum(each[0] in "{t" for each in values[axis]) == 1:
            said.append(axis)
        elif value is not False and value is not None:
            said.append(f"{axis} {text(value)}")
    return ", ".join(said)
