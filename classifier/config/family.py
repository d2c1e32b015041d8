"""Which trainings one training can do together: those that only look at it differently.

`best` and `patience` say which epoch's weights are kept and when nobody looks any more. A training
of fewer `epochs` is the beginning of one of more where every rate is the same: where the schedule
goes by its own period, not by the share of the whole, and the warm-up has the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.basics.settings import digest_of
from classifier.config.schedules import OverAll, Stairs, Warmup

if TYPE_CHECKING:
    from classifier.config.spec import TrainSettings, TrainSpec
    from classifier.config.tracks import Track

LOOKS = ("best", "patience")
"""Settings of a training that change no step of it."""


@dataclass(frozen=True)
class Member:
    """One of the trainings that are done together, with the tracks that are asked of it."""

    spec: TrainSpec
    tracks: tuple[Track, ...]


def longest(members: Sequence[Member]) -> TrainSpec:
    """The training that goes on to the last end of all: the others' rates are the first of its."""
    return max((member.spec for member in members), key=lambda spec: spec.epochs)


def family(spec: TrainSettings) -> str:
    """12 hex digits, equal for the trainings that one can do together."""
    signed = {"kind": "family", **but_looks(spec)}
    if apart(spec):
        signed["epochs"] = spec.epochs
    elif spec.warmup is not None:
        signed["rising"] = _rising(spec.warmup, spec.epochs)
    return digest_of(signed)


def apart(spec: TrainSettings) -> str:
    """Why a training of other `epochs` is no part of this one, nor this of it; nothing if one may
    be."""
    if isinstance(spec.schedule, OverAll) and not isinstance(spec.schedule, Stairs):
        return f"'{spec.schedule.name}' goes by the share of the whole"
    by_share = spec.warmup is not None and spec.warmup.epochs is None and spec.warmup.ratio > 0
    if by_share and isinstance(spec.schedule, Stairs) and spec.schedule.by == "step":
        return "the warm-up is a share of the whole"
    if spec.own_tricks:
        names = ", ".join(f"'{trick.name}'" for trick in spec.own_tricks)
        return f"{names}, of your own, may look at how many steps there are"
    return ""


def _rising(warmup: Warmup, epochs: int) -> int:
    """Epochs of the warm-up. One that is cut by the training's end rises as the whole would not."""
    return warmup.length(epochs, 1)


def why_apart(one: TrainSettings, other: TrainSettings) -> str:
    """Why two trainings that differ in `epochs`, `best` and `patience` only are two; nothing where
    they are one, or differ in more."""
    if one.family == other.family or but_looks(one) != but_looks(other):
        return ""
    if reason := apart(one):
        return reason
    assert one.warmup is not None and other.warmup is not None
    lengths = sorted(_rising(each.warmup, each.epochs) for each in (one, other) if each.warmup)
    return f"their warm-ups are {' and '.join(map(str, lengths))} epochs long"


def but_looks(spec: TrainSettings) -> dict[str, Any]:
    """What is signed of it, without how it is looked at and for how long."""
    return spec.signed_but(*LOOKS, "epochs")
