"""One line of what the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GIB = 2**30
Grade = Literal["ok", "note", "bad"]
"""As it should be; worth knowing, a run works all the same; a run will fail, or be wrong."""


@dataclass(frozen=True)
class Finding:
    grade: Grade
    about: str
    """What was looked at, in a word or two."""
    found: str
    advice: str = ""
    """What to do, where there is something."""

    def __str__(self) -> str:
        """`about: found; advice`, on one line whatever they hold."""
        told = f"{self.found}; {self.advice}" if self.advice else self.found
        return " ".join(f"{self.about}: {told}".split())


def size(count: float) -> str:
    """Bytes as people say them: `512 MiB`, `1.5 GiB`."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.0f} MiB"
