"""The live view: what runs, what it has reached, how long it will take."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from classifier.basics.progress import Progress, duration
from classifier.records.record import BenchmarkRecord, Record
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.run.engines import Slot
from experiments.run.short_names import least_room, told_apart
from experiments.store.store import Store

PLAIN_SECONDS = 30.0
"""Without a terminal, a line for each running job this often."""

HEADERS = ("device", "at", "images/s", "best val", "time left")
GIVE_WAY = ("images/s", "device", "best val", "time left", "at")
"""In which order these columns leave a terminal that is too narrow for all."""
ROOM = 16
"""Cells of a name for which columns give way, though fewer would tell the names apart."""
GAP = 2
"""Cells between columns."""


@dataclass
class _Running:
    job: Job
    slots: Sequence[Slot]
    start: float = field(default_factory=time.monotonic)
    latest: Progress | None = None
    first: tuple[float, int] | None = None
    """When the counting began and at which step: a resumed training begins in its middle."""
    printed: float = field(default_factory=time.monotonic)

    def update(self, progress: Progress) -> None:
        same_count = self.latest is not None and self.latest.total == progress.total
        if self.first is None or not same_count:
            self.first = (time.monotonic(), progress.done)
        self.latest = progress

    @property
    def fraction(self) -> float:
        return self.latest.done / self.latest.total if self.latest else 0.0

    @property
    def seconds_left(self) -> float | None:
        if self.latest is None or self.first is None:
            return self.job.estimate.seconds
        since, steps = time.monotonic() - self.first[0], self.latest.done - self.first[1]
        return since / steps * (self.latest.total - self.latest.done) if steps > 0 else None


_ORDINALS = {2: "second try", 3: "third try"}


class View:
    """A scheduler's watch that shows. Use it as a context; its methods may come from any thread."""

    def __init__(self, plan: Plan, slots: int, store: Store, console: Console) -> None:
        self._plan, self._slots, self._store, self._console = plan, slots, store, console
        self._todo = {job.id: job for job in plan.todo}
        self._finished = 0
        self._lost = 0
        self._running: dict[str, _Running] = {}
        self._tries: Counter[str] = Counter()
        self._work_done = 0.0
        self._busy = 0.0
        self._start = time.monotonic()
        self._lock = threading.RLock()
        self._live = (
            Live(
                get_renderable=self._rendered, console=console, refresh_per_second=4, transient=True
            )
            if console.is_terminal
            else None
        )

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    # The scheduler's watch

    def started(self, job: Job, slots: Sequence[Slot]) -> None:
        with self._lock:
            self._running[job.id] = _Running(job, slots)
            self._tries[job.id] += 1
            if self._live is None:
                which = self._which_try(job)
                self._say(f"started  {_named(job)} on {_where(slots)}{which}")

    def progressed(self, job: Job, progress: Progress) -> None:
        with self._lock:
            running = self._running.get(job.id)
            if running is None:
                return
            running.update(progress)
            if self._live is None and time.monotonic() - running.printed >= PLAIN_SECONDS:
                running.printed = time.monotonic()
                self._say(f"running  {_named(job)}: {_figures(running)}")

    def finished(self, job: Job, records: list[Record]) -> None:
        with self._lock:
            seconds = self._ended(job)
            self._finished += 1
            result = ", ".join(map(_result, records)) or "by another runner as well"
            self._say(f"[green]done[/]     {_named(job)}: {result} in {duration(seconds)}")

    def failed(self, job: Job, reason: str) -> None:
        with self._lock:
            self._running.pop(job.id, None)
            self._todo.pop(job.id)
            self._lost += 1
            log = self._store.log(job.spec)
            name = f"{_named(job)}{self._which_try(job)}"
            self._say(f"[red]FAILED[/]   {name}: {escape(reason)}")
            self._say(f"         its output and traceback: {escape(str(log))}")

    def retried(self, job: Job, reason: str) -> None:
        with self._lock:
            self._running.pop(job.id)
            name = f"{_named(job)}{self._which_try(job)}"
            self._say(f"[yellow]again[/]    {name}: {escape(reason)}; it is tried again")

    def found(self, job: Job) -> None:
        with self._lock:
            self._todo.pop(job.id)
            self._finished += 1
            self._say(f"[green]done[/]     {_named(job)}: there already")

    def skipped(self, job: Job, reason: str) -> None:
        with self._lock:
            self._todo.pop(job.id)
            self._lost += 1
            self._say(f"[yellow]skipped[/]  {_named(job)}: {escape(reason)}")

    def stopped(self, job: Job) -> None:
        with self._lock:
            self._running.pop(job.id)
            self._say(f"stopped  {_named(job)}: it goes on from here")

    def interrupted(self, why: str) -> None:
        with self._lock:
            running = len(self._running)
            self._say(f"[bold]{why}[/]: {running} running jobs keep their state and stop")

    def _which_try(self, job: Job) -> str:
        """Said of all but the first."""
        tries = self._tries[job.id]
        return f" ({_ORDINALS.get(tries, f'try {tries}')})" if tries > 1 else ""

    # Figures

    def _ended(self, job: Job) -> float:
        running = self._running.pop(job.id)
        self._todo.pop(job.id)
        seconds = time.monotonic() - running.start
        if job.estimate.gflop:
            self._work_done += job.estimate.gflop
            self._busy += seconds
        return seconds

    def _seconds_left(self) -> float | None:
        """Of the whole matrix: what runs by its own pace, what waits by earlier records or by the
        pace of this run; None while nothing is known."""
        work, busy = self._work_done, self._busy
        for running in self._running.values():
            if running.job.estimate.gflop and running.fraction > 0:
                work += running.job.estimate.gflop * running.fraction
                busy += time.monotonic() - running.start
        shared, alone = 0.0, 0.0
        for running in self._running.values():
            shared += running.seconds_left or 0.0
        for job in self._todo.values():
            if job.id in self._running:
                continue
            seconds = job.estimate.seconds
            if seconds is None and job.estimate.gflop is not None and work > 0:
                seconds = job.estimate.gflop * busy / work
            if seconds is None:
                return None
            if job.is_speed:
                alone += seconds
            else:
                shared += seconds
        return shared / self._slots + alone

    # Showing

    def _say(self, line: str) -> None:
        done = len(self._plan.todo) - len(self._todo)
        clock = duration(time.monotonic() - self._start)
        self._console.print(
            f"[dim]{clock:>7} {done:>3}/{len(self._plan.todo)}[/] {line}",
            highlight=False,
            soft_wrap=True,
        )

    def _rendered(self) -> RenderableType:
        with self._lock:
            return Group(self._summary(), self._table(self._console.width))

    def _table(self, width: int) -> Table:
        """A row for each running job, in `width` cells: columns give way, the least needed first,
        until the names can be told apart in what is left."""
        names = self._names()
        columns = _columns(self._running.values())
        wanted = max(least_room(names), min(max(map(cell_len, ("running", *names))), ROOM))
        leaving = iter(GIVE_WAY)
        while _room(columns, width) < wanted and (gone := next(leaving, None)):
            del columns[gone]
        shown = told_apart(names, tuple(self._running), max(_room(columns, width), 1))
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        for header in ("running", *columns):
            table.add_column(header, no_wrap=True)
        for row in zip(map(Text, shown), *columns.values(), strict=True):
            table.add_row(*row)
        return table

    def _names(self) -> tuple[str, ...]:
        """Of what runs, each another: those of two data sets may be the same, which `--plan` tells
        apart by their ids."""
        names = [one.job.name + self._which_try(one.job) for one in self._running.values()]
        often = Counter(names)
        named = zip(names, self._running, strict=True)
        return tuple(f"{name} {job_id}" if often[name] > 1 else name for name, job_id in named)

    def _summary(self) -> Text:
        waiting = len(self._todo) - len(self._running)
        already = len(self._plan.jobs) - len(self._plan.todo)
        parts = [
            f"{already + self._finished} done",
            f"{len(self._running)} running",
            f"{waiting} waiting",
            *([f"{self._lost} failed or skipped"] if self._lost else []),
            f"{duration(time.monotonic() - self._start)} so far",
            f"about {duration(self._seconds_left())} left",
        ]
        return Text("  ".join(parts), style="bold")


def _columns(running: Iterable[_Running]) -> dict[str, list[str]]:
    """What is said of each running job beside its name, by the column's header."""
    columns: dict[str, list[str]] = {header: [] for header in HEADERS}
    for one in running:
        latest = one.latest or Progress("starting", 0, 1)
        count = "" if latest.phase.startswith("epoch") else f" {latest.done}/{latest.total}"
        cells = (
            _where(one.slots),
            latest.phase + (count if one.latest else ""),
            f"{latest.images_per_second:.0f}" if latest.images_per_second else "",
            f"{latest.best:.5f}" if latest.best is not None else "",
            duration(one.seconds_left),
        )
        for header, cell in zip(HEADERS, cells, strict=True):
            columns[header].append(cell)
    return columns


def _room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Cells that the other columns leave for the names."""
    return width - sum(
        GAP + max(map(cell_len, (header, *cells))) for header, cells in columns.items()
    )


def _figures(running: _Running) -> str:
    latest = running.latest
    assert latest is not None
    parts = [latest.phase]
    if latest.images_per_second:
        parts.append(f"{latest.images_per_second:.0f} images/s")
    if latest.best is not None:
        parts.append(f"best val {latest.best:.5f}")
    return ", ".join([*parts, f"about {duration(running.seconds_left)} left"])


def _named(job: Job) -> str:
    """As markup: a name may have brackets, for a run's is in it."""
    return f"{job.spec.kind} {escape(job.name)}"


def _result(record: Record) -> str:
    if isinstance(record, BenchmarkRecord):
        return f"{record.fps:.2f} batches/s ({record.images_per_second:.0f} images/s)"
    track = "" if record.track == "raw" or record.kind == "evaluate" else f" ({record.track})"
    return f"accuracy {record.accuracy:.5f}{track}"


def _where(slots: Sequence[Slot]) -> str:
    return slots[0].name
