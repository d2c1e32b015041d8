"""What the kept state of a training has seen, in a file beside it: for plans, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from classifier.config.spec import TrainSpec
from classifier.config.tracks import Track
from classifier.records.chosen import choose
from classifier.records.record import Epoch

STATES = "state-*.pt"
"""The files of states; the newest comes last."""
FOLDER = ".states"


def states_folder(runs: Path, spec: TrainSpec) -> Path:
    """Where a runner keeps, in its folder of runs, the state of the training that a spec is done
    in: by its family's name."""
    return runs / FOLDER / f"{spec.slug}-{spec.family}"


class SeenTrack(BaseModel):
    """A track's history, and the epochs whose weights are there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    history: tuple[Epoch, ...]
    best: tuple[int, ...]
    follows: bool
    """To the state's own step; nobody looked at it any more where it does not."""

    def has(self, spec: TrainSpec) -> bool:
        """Whether it is all that a spec would have looked at and kept until then."""
        chosen = choose(spec, self.history)
        is_kept = chosen.best_epoch < 0 or chosen.best_epoch in self.best
        return (chosen.ended or self.follows) and is_kept


class Seen(BaseModel):
    """Of a training's state: the fingerprint of its data, and what it has of each track."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    epoch: int
    """How many have ended."""
    keep: bool
    """Whether it outlives its training, for one that goes on from it."""
    tracks: dict[str, SeenTrack]
    spec: TrainSpec | None = None
    """The longest of those that were trained; older states do not say it."""

    def has(self, spec: TrainSpec, track: Track) -> bool:
        """Whether a training can go on from the state as if it had been here from the start."""
        seen = self.tracks.get(track.key)
        return seen is not None and seen.has(spec)


def seen_of(state: Mapping[str, Any], spec: TrainSpec, data: str, keep: bool) -> Seen:
    """What a training's state (`Trainer.state`) has seen."""
    tracks = {
        key: SeenTrack(
            history=track["history"], best=tuple(track["best_states"]), follows=track["follows"]
        )
        for key, track in state["tracks"].items()
    }
    return Seen(data=data, epoch=state["epoch"], keep=keep, tracks=tracks, spec=spec)


def read_seen(folder: Path) -> Seen | None:
    """Of the newest state in a folder that says it; None where none does."""
    for state in sorted(folder.glob(STATES), reverse=True):
        try:
            return Seen.model_validate_json(state.with_suffix(".json").read_bytes())
        except (OSError, ValidationError):
            continue
    return None
