"""An object of a user's file as a setting has it: by name, settings and content.

It is checked against the file where a matrix is read, and no more afterwards: a record is read
where the file is gone or says something else. What it does is in the file; see classifier/plugins/.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from classifier.basics.settings import UNSIGNED, Arguments, Settings

Kind = Literal["trick", "loss", "optimizer", "augmentation", "model", "dataset", "metric"]
"""What a mark makes of a function or class."""


class Plugin(Settings):
    """An object of a user's file."""

    kind: ClassVar[Kind]
    under: ClassVar[str] = ""
    """The setting that names it; a trick's is its own."""

    name: str
    settings: Arguments = Field(default_factory=dict)
    """All of them, with their defaults."""
    digest: str = Field(pattern="^[0-9a-f]{16}$")
    """Of what it says, and of all that it reaches; see `classifier.plugins.reach`."""
    file: str = Field(json_schema_extra=UNSIGNED)
    """Its path from the matrix's folder."""
    line: int = Field(json_schema_extra=UNSIGNED)
    takes: int = Field(json_schema_extra=UNSIGNED)
    """How many things it is given before its settings."""

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.digest, repr(self.settings)))

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def written(self) -> dict[str, Any]:
        """As it is written, with the file and the digest of what is run."""
        name = {"name": self.name} if self.under else {}
        return {**name, **self.settings, "code": f"{self.file} {self.digest}"}
