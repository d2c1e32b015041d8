"""What became of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from classifier.basics.names import counted


@dataclass(frozen=True)
class FailedJob:
    id: str
    name: str
    """As the plan names it: `train ghostnet seed 0`."""
    reason: str
    log: Path
    """Its output and traceback."""


@dataclass(frozen=True)
class Reported:
    """What became of the reports of some matrices."""

    is_whole: bool
    """Whether every figure is there."""
    files: tuple[tuple[Path, ...], ...]
    """Of each matrix's report, tables first."""
    headlines: tuple[str, ...]
    """The answer of each table, in a sentence or two."""
    text: str
    """Its tables and answers, as Markdown, and where the files lie."""

    @property
    def folders(self) -> list[Path]:
        """Where each matrix's report lies."""
        return [files[0].parent for files in self.files]


@dataclass(frozen=True, repr=False)
class Outcome:
    """A run's: what failed, and its reports. As text the reports' tables and answers, in a notebook
    too."""

    jobs: int
    """How many the matrices have."""
    todo: int
    """How many of them were not done before."""
    failed: tuple[FailedJob, ...]
    blocked: int
    """How many jobs were not done because what they need failed."""
    left: int
    """How many were not begun or not finished, as with `fail_fast`."""
    report: Reported

    @property
    def is_done(self) -> bool:
        """Whether all jobs are: runner.py's exit code is 1 where not; else 0, or 3 where figures
        are missing all the same."""
        return not (self.failed or self.blocked or self.left)

    def __str__(self) -> str:
        return self.report.text

    def __repr__(self) -> str:
        done = self.jobs - len(self.failed) - self.blocked - self.left
        failed = "".join(f"; failed: {each.name}: {each.reason}" for each in self.failed)
        where = ", ".join(map(str, self.report.folders))
        return f"<{done} of {counted(self.jobs, 'job')} done{failed}; report: {where}>"

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self.report.text
