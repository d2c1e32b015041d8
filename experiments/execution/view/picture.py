"""What is shown of a matrix while it runs, as plain data: of this runner or of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from classifier.config.spec import TrainSpec
from experiments.execution.boards import Running
from experiments.execution.view.remaining import Remaining
from experiments.plan.families import leading
from experiments.plan.jobs import Job


@dataclass(frozen=True)
class Table:
    """A table of the matrix, as its report has it now."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0
    """Rows that there is no room for."""
    legend: tuple[str, ...] = ()
    """What the signs in its cells mean."""


@dataclass(frozen=True)
class Row:
    """A running job; or one whose runner shows no sign of life."""

    job: Job
    running: Running
    left: float | None = None
    """Seconds."""
    runner: str = ""
    """Which has it, if that must be said."""
    is_lost: bool = False
    more: int = 0
    """Jobs that the same training does."""


def together(rows: Sequence[Row]) -> list[Row]:
    """Jobs that one training does in one row, that of the longest."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        spec = row.job.spec
        name = spec.family if isinstance(spec, TrainSpec) else row.job.id
        found.setdefault((name, row.runner), []).append(row)
    leads = (max(of, key=lambda row: leading(row.job)) for of in found.values())
    return [replace(lead, more=len(of) - 1) for lead, of in zip(leads, found.values(), strict=True)]


@dataclass(frozen=True)
class Picture:
    rows: Sequence[Row]
    done: int
    waiting: int
    failed: int
    left: Remaining
    blocked: int = 0
    """Those that need one that failed."""
    failure: str = ""
    """Of the first that failed, its name and why."""
    now: datetime = field(default_factory=datetime.now)
    so_far: float | None = None
    """Seconds since this runner began."""
    runners: int | None = None
    """How many work, if that must be said."""
    tables: Sequence[Table] = ()
    changed: Sequence[tuple[str, int]] = ()
    """Of which tables a row changed, and which: the latest last."""

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.rows or self.waiting)


def failure(job: Job, reason: str) -> str:
    """A job that failed and why, in a line."""
    why = reason.strip().splitlines() or ["its log says why"]
    return f"{job.spec.kind} {job.name}: {why[0]}"


def changes(before: Sequence[Table], now: Sequence[Table]) -> list[tuple[str, int]]:
    """The tables with a row that says something else than before, and the last one of these."""
    old = {table.name: table.rows for table in before}
    found = []
    for table in now:
        rows = [
            index
            for index, row in enumerate(table.rows)
            if table.name in old and old[table.name][index : index + 1] != (row,)
        ]
        found += [(table.name, rows[-1])] if rows else []
    return found
