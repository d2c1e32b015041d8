"""What a training's `epochs`, `best` and `patience` make of a history.

They only look: of one history each spec has its own best epoch and its own end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.config.spec import TrainSpec
from classifier.records.record import Epoch


@dataclass(frozen=True)
class Chosen:
    """Of the rows so far."""

    best_epoch: int
    """From 0; -1 before the first one has ended."""
    best_score: float
    """The greater the better: a loss has its sign turned."""
    epochs: int
    """How many it looked at."""
    stopped: bool
    """By its `patience`."""
    least: int
    """After how many it ends if nothing gets better from here on."""

    @property
    def ended(self) -> bool:
        return self.epochs == self.least


def choose(spec: TrainSpec, rows: Sequence[Epoch]) -> Chosen:
    """Better is strictly greater, the first best wins; `patience` epochs without one stop."""
    best, best_score = -1, -math.inf
    for epoch, row in enumerate(rows[: spec.epochs]):
        score = _score(spec, row)
        if score > best_score or best < 0:
            best, best_score = epoch, score
        elif spec.patience and epoch - best >= spec.patience:
            return Chosen(best, best_score, epoch + 1, True, epoch + 1)
    least = spec.epochs
    if spec.patience:  # the first epoch is the best where no other is
        least = min(max(best, 0) + 1 + spec.patience, spec.epochs)
    return Chosen(best, best_score, min(len(rows), spec.epochs), False, least)


def _score(spec: TrainSpec, row: Epoch) -> float:
    score = {"accuracy": row.val_accuracy, "mpa": row.val_mpa, "loss": -row.val_loss}[spec.best]
    return -math.inf if math.isnan(score) else score
