"""Which trainings' curves are drawn together: an arm with those that are compared with it, if they
are of one model, and all weights of one training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classifier.basics.names import printable
from classifier.config.tracks import RAW
from experiments.matrix.arms import Arm
from experiments.matrix.model import Matrix
from reports.page.plots import style
from reports.words import arms

BASELINE, TITLED = "its baseline", "the arm that the title names"
"""What the legend says where arms are too many for a colour each."""


@dataclass(frozen=True)
class Panel:
    name: str
    arms: Mapping[int, str]
    """By place, with what the legend calls them."""


def panels(matrix: Matrix, there: Sequence[int]) -> list[Panel]:
    """`there`: the places of the arms that have curves."""
    of = matrix.arms
    bases = _bases(matrix)
    groups: dict[int, list[int]] = {}
    for place in there:
        groups.setdefault(_root(place, bases), []).append(place)
    names, tricks = _names(of, {place: _root(place, bases) for place in there})
    legend = {tricks[place] for group in groups.values() if len(group) > 1 for place in group}
    if len(legend) <= len(style.SERIES) and all(
        len({tricks[place] for place in group}) == len(group) for group in groups.values()
    ):
        return [
            Panel(names[root], {place: tricks[place] for place in sorted(group, key=root.__ne__)})
            for root, group in groups.items()
        ]
    known, whole = set(there), [printable(name) for name in arms.names(of)]
    found = []
    for place in there:
        base = bases.get(place)
        pair = {base: BASELINE} if base in known and base is not None else {}
        if pair or place not in bases.values():
            found.append(Panel(whole[place], {**pair, place: TITLED}))
    return found


def _bases(matrix: Matrix) -> dict[int, int]:
    """By arm the first that it is compared with, of the same model; without one, the arm with the
    plain weights of the same training."""
    of, models = matrix.arms, [arm.trainings[0].model for arm in matrix.arms]
    place_of = {(arm.trainings[0].signature, arm.track.key): i for i, arm in enumerate(of)}
    bases: dict[int, int] = {}

    def note(place: int, base: int) -> None:
        is_new = place not in bases and models[place] == models[base]
        if is_new and _root(base, bases) != place:
            bases[place] = base

    for table in matrix.tables:
        for (r, c), (base_r, base_c) in table.baseline.items():
            compared = (table.cells[r][c][0], table.cells[base_r][base_c][0])
            keys = [(each.training.signature, each.track.key) for each in compared if each.training]
            places = [place_of[key] for key in keys if key in place_of]
            if len(places) == len(compared):
                note(*places)
    first = {arm.trainings[0].signature: i for i, arm in reversed(list(enumerate(of)))}
    for place, arm in enumerate(of):
        training = arm.trainings[0].signature
        note(place, place_of.get((training, RAW.key), first[training]))
    return bases


def _root(place: int, bases: Mapping[int, int]) -> int:
    while place in bases:
        place = bases[place]
    return place


def _names(of: Sequence[Arm], roots: Mapping[int, int]) -> tuple[list[str], list[str]]:
    """Of each arm that of its panel, if it is its first, and its own in it."""
    axes = list(of[0].where)
    own = [
        axis
        for axis in axes
        if any(of[place].where[axis] != of[root].where[axis] for place, root in roots.items())
    ]
    others = [axis for axis in axes if axis not in own]
    tricks = arms.tricks(of, without=others) if own else [""] * len(of)
    names = arms.names(of, without=own) if others else [arm.trainings[0].model for arm in of]
    firsts = [names[root] for root in dict.fromkeys(roots.values())]
    if len(set(firsts)) < len(firsts):
        names = arms.names(of)
    return list(map(printable, names)), list(map(printable, tricks))
