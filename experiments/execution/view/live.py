"""The live view: what runs, what it has reached, how long it will take."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.markup import escape

from classifier.basics.progress import Progress, duration
from classifier.config.spec import TrainSpec
from classifier.records.record import BenchmarkRecord, MetricRecord, Record
from experiments.execution.boards import Board, Running
from experiments.execution.engines import Slot
from experiments.execution.view.draw import best, drawn, which_try
from experiments.execution.view.picture import Picture, Row, Table, changes, failure
from experiments.execution.view.remaining import Forecast, Pace, Remaining
from experiments.execution.view.screen import Cell, Screen
from experiments.plan.families import leading
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.store.store import Store

PLAIN_SECONDS = 30.0
"""Without a terminal, a line for each running job this often."""
REFRESHES = 4
"""How often a second a terminal is drawn."""
SHARE = 20
"""How long is left is looked at again once the last look was less than one part in so many."""


@dataclass
class _Running:
    job: Job
    slots: Sequence[Slot]
    pace: Pace
    printed: float


class View:
    """A scheduler's watch that shows. Use it as a context; its methods may come from any thread."""

    def __init__(
        self,
        plan: Plan,
        slots: int,
        store: Store,
        console: Console,
        *,
        begins: Callable[[Job], None] = lambda job: None,
        ends: Callable[[Job, str], None] = lambda job, reason: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begins` hears of a job before it starts, `ends` when it is done or has failed, for that
        reason. `clock`: in seconds."""
        self._plan, self._slots, self._store, self._console = plan, slots, store, console
        self._todo = {job.id: job for job in plan.todo}
        self._begins, self._ends = begins, ends
        self._clock, self._start = clock, clock()
        self._forecast = Forecast(plan.jobs)
        self._finished = 0
        self._failed, self._blocked, self._failure = 0, 0, ""
        self._running: dict[str, _Running] = {}
        self._tries: Counter[str] = Counter()
        self._others: tuple[float, list[Board]] = (0.0, [])
        self._done: frozenset[str] = frozenset()
        """What the store showed when it was looked at last."""
        self._tables: Sequence[Table] = ()
        self._changed: dict[str, int] = {}
        self._looked: tuple[float, float, Remaining] | None = None
        self._lock = threading.RLock()
        self._live: Screen | Cell | None = None
        if console.is_jupyter and not console.quiet:
            self._live = Cell(self._drawn)
            self._console = Console(force_jupyter=False)  # lines are text, and not a display each
        elif console.is_terminal and not console.quiet:
            self._live = Screen(lambda: self._drawn(console), console, REFRESHES, transient=True)

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    # The scheduler's watch

    def started(self, job: Job, slots: Sequence[Slot]) -> None:
        with self._telling() as say:
            pace = Pace(job, self._clock)
            self._running[job.id] = _Running(job, slots, pace, self._clock())
            self._tries[job.id] += 1
            if self._live is None:
                which = which_try(self._tries[job.id])
                course = f", {job.course}" if job.begun and not which else ""
                say(f"started  {_named(job)} on {_where(slots)}{which}{course}")
        self._begins(job)

    def progressed(self, job: Job, progress: Progress) -> None:
        with self._telling() as say:
            running = self._running.get(job.id)
            if running is None:
                return
            running.pace.update(progress)
            due = self._clock() - running.printed >= PLAIN_SECONDS
            if self._live is None and due and self._leads(job):
                running.printed = self._clock()
                say(f"running  {_named(job)}: {self._figures(running)}")

    def finished(self, job: Job, records: list[Record]) -> None:
        with self._telling() as say:
            course = self._running.pop(job.id).pace.course()
            self._todo.pop(job.id)
            self._forecast.ended(job, course)
            self._finished += 1
            result = ", ".join(map(_result, records)) or "by another runner as well"
            say(f"[green]done[/]     {_named(job)}: {result} in {duration(course.seconds)}")
        self._ends(job, "")

    def failed(self, job: Job, reason: str) -> None:
        with self._telling() as say:
            self._running.pop(job.id, None)
            self._todo.pop(job.id)
            self._failed += 1
            self._failure = self._failure or failure(job, reason)
            log = self._store.log(job.spec)
            name = f"{_named(job)}{which_try(self._tries[job.id])}"
            say(f"[red]FAILED[/]   {name}: {escape(reason)}")
            say(f"         its output and traceback: {escape(str(log))}")
        self._ends(job, reason)

    def retried(self, job: Job, reason: str) -> None:
        with self._telling() as say:
            self._running.pop(job.id)
            name = f"{_named(job)}{which_try(self._tries[job.id])}"
            say(f"[yellow]again[/]    {name}: {escape(reason)}; it is tried again")

    def found(self, job: Job) -> None:
        with self._telling() as say:
            self._todo.pop(job.id)
            self._finished += 1
            say(f"[green]done[/]     {_named(job)}: there already")
        self._ends(job, "")

    def blocked(self, job: Job, reason: str) -> None:
        with self._telling() as say:
            self._todo.pop(job.id)
            self._blocked += 1
            say(f"[yellow]blocked[/]  {_named(job)}: {escape(reason)}")

    def stopped(self, job: Job) -> None:
        with self._telling() as say:
            self._running.pop(job.id)
            how = "goes on from here" if job.keeps_state else "begins anew"
            say(f"stopped  {_named(job)}: it {how}")

    def interrupted(self, why: str) -> None:
        with self._telling() as say:
            running = len(self._running)
            say(f"[bold]{why}[/]: {running} running jobs keep their state and stop")

    # What else it is told, and tells

    def show(self, tables: Sequence[Table], done: Collection[str] = ()) -> None:
        """The matrix's tables as they are now, and the jobs that are done, by whomever."""
        with self._lock:
            self._done = frozenset(done)
            for name, row in changes(self._tables, tables):
                self._changed.pop(name, None)  # the latest stands last
                self._changed[name] = row
            self._tables = tables

    def hear(self, boards: list[Board]) -> None:
        """What the other runners of the store say."""
        with self._lock:
            self._others = (self._clock(), boards)

    def running(self) -> list[Running]:
        """This runner's jobs, for its board."""
        with self._lock:
            return [
                Running(
                    job=job_id,
                    device=_where(one.slots),
                    course=one.pace.course(),
                    tries=self._tries[job_id],
                    progress=one.pace.latest,
                    is_speed=one.job.is_speed,
                )
                for job_id, one in self._running.items()
            ]

    @property
    def done(self) -> int:
        return len(self._plan.jobs) - len(self._plan.todo) + self._finished

    def picture(self) -> Picture:
        with self._lock:
            rows = [Row(self._todo[each.job], each, self._left(each)) for each in self.running()]
            rows += [
                Row(self._todo[each.job], each, self._left(each), runner=board.runner.name)
                for board in self._others[1]
                for each in board.jobs
                if each.job in self._todo and each.job not in self._running
            ]
            elsewhere = self._done & (self._todo.keys() - {row.job.id for row in rows})
            return Picture(
                rows=rows,
                done=self.done + len(elsewhere),
                waiting=len(self._todo) - len(rows) - len(elsewhere),
                failed=self._failed,
                blocked=self._blocked,
                failure=self._failure,
                left=self._remaining(rows, elsewhere),
                so_far=self._clock() - self._start,
                tables=self._tables,
                changed=tuple(self._changed.items()),
            )

    def _leads(self, job: Job) -> bool:
        """Whether no other job that runs stands for this one: one training may do several."""
        spec = job.spec
        running = (each.job for each in self._running.values())
        return not isinstance(spec, TrainSpec) or all(
            leading(other) <= leading(job)
            for other in running
            if isinstance(other.spec, TrainSpec) and other.spec.family == spec.family
        )

    def _left(self, running: Running) -> float | None:
        return self._forecast.of(self._todo[running.job], running.course)

    def _remaining(self, rows: Sequence[Row], done: Collection[str]) -> Remaining:
        """Looked at again after a second, or, of many jobs, when that costs little."""
        now = self._clock()
        if self._looked is None or now >= self._looked[1]:
            start = time.perf_counter()
            courses = {row.job.id: row.running.course for row in rows}
            others = sum(board.slots for board in self._others[1])
            todo = {job_id: job for job_id, job in self._todo.items() if job_id not in done}
            left = self._forecast.remaining(courses, todo, self._slots + others)
            took = time.perf_counter() - start
            self._looked = (now, now + max(1.0, SHARE * took), left)
        return self._looked[2]

    # Showing

    @contextmanager
    def _telling(self) -> Iterator[Callable[[str], None]]:
        """Inside, nobody else changes or looks at what is shown. What is said is printed after it:
        rich draws under a lock of its own, and asks for the picture under that."""
        lines: list[str] = []
        with self._lock:
            yield lines.append
            done = len(self._plan.todo) - len(self._todo)
            clock = duration(self._clock() - self._start)
        for line in lines:
            self._console.print(
                f"[dim]{clock:>7} {done:>3}/{len(self._plan.todo)}[/] {line}",
                highlight=False,
                soft_wrap=True,
            )

    def _drawn(self, console: Console) -> RenderableType:
        return drawn(self.picture(), console)

    def _figures(self, running: _Running) -> str:
        latest = running.pace.latest
        assert latest is not None
        parts = [latest.phase]
        if latest.images_per_second:
            parts.append(f"{latest.images_per_second:.0f} images/s")
        if latest.best is not None:
            parts.append(f"best val {best(latest)}")
        left = self._forecast.of(running.job, running.pace.course())
        return ", ".join([*parts, f"about {duration(left)} left"])


def _named(job: Job) -> str:
    """As markup: a name may have brackets, for a run's is in it."""
    return f"{job.spec.kind} {escape(job.name)}"


def _result(record: Record) -> str:
    if isinstance(record, BenchmarkRecord):
        return f"{record.fps:.2f} batches/s ({record.images_per_second:.0f} images/s)"
    if isinstance(record, MetricRecord):
        value = "undefined" if record.value is None else f"{record.value:.5f}"
        return f"{record.metric.name} {value}"
    track = "" if record.track == "raw" or record.kind == "evaluate" else f" ({record.track})"
    part = "val " if record.kind == "train" else ""
    return f"{part}accuracy {record.accuracy:.5f}{track}"


def _where(slots: Sequence[Slot]) -> str:
    return slots[0].name
