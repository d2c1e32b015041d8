"""The tracks of a training: what looks at it without touching it, each with its own best epoch.

A training carries the union of the tracks that are asked of it; carrying one changes no other.
"""

from __future__ import annotations

from classifier.basics.settings import Settings
from classifier.tricks.ema import Ema


class Raw(Settings):
    """The weights themselves."""

    @property
    def key(self) -> str:
        return "raw"


RAW = Raw()

Track = Raw | Ema
"""`key` is its name, in records and as a folder."""


def track_of(key: str) -> Track:
    """The track of that name. Raises ValueError for one that is none."""
    track = RAW if key == RAW.key else Ema.of_key(key)
    if track is None:
        raise ValueError(f"'{key}' is no track")
    return track
