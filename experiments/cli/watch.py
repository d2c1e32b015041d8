"""`--watch`: what all runners of a store do for some matrices, as a look from outside. It runs
nothing, writes nothing and imports no torch."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.cli.entry import ALL_DONE
from experiments.execution import boards
from experiments.execution.boards import Board, Running
from experiments.execution.view.draw import drawn
from experiments.execution.view.picture import Picture, Row, Table, changes, failure
from experiments.execution.view.remaining import Course, Forecast
from experiments.execution.view.screen import Screen
from experiments.plan.jobs import Job
from experiments.session.reporting import Reporter
from experiments.store import leases
from experiments.store.leases import SECONDS, Holder
from experiments.store.store import Results, Store

LOOK_SECONDS = 1.0
STORE_SECONDS, SHARE = 2.0, 20
"""The store is read so often, and takes at most one part in so many of the time."""
WIDE = 160
"""Cells of a line, where no terminal says how many there are."""


def watch(reporter: Reporter, store: Store, here: Platform) -> int:
    """Show it until nothing is left to do, or Ctrl-C; without a terminal once. The exit code is 0.
    Raises UserError where there is no store to be looked at once.

    `here`: whose speeds count while no runner lives.
    """
    console, onlooker = Console(), Onlooker(reporter, store, here)
    if not console.is_terminal:
        if not store.root.is_dir():
            why = "no run has begun, or --runs names its folder"
            raise UserError(f"{store.root} is not there: {why}; in a terminal --watch waits for it")
        wide = Console(width=max(console.width, WIDE), height=10**6)
        wide.print(drawn(onlooker.look(), wide))
        return ALL_DONE
    with suppress(KeyboardInterrupt):
        _wait_for(store, console)
        picture = onlooker.look()
        with Screen(lambda: drawn(picture, console), console, 1 / LOOK_SECONDS):
            while picture.is_unfinished:
                time.sleep(LOOK_SECONDS)
                picture = onlooker.look()
    return ALL_DONE


def _wait_for(store: Store, console: Console) -> None:
    """Until its first runner has made its folder."""
    if not store.root.is_dir():
        console.print(f"waiting for a run: {store.root} is not there yet", markup=False)
    while not store.root.is_dir():
        time.sleep(LOOK_SECONDS)


@dataclass
class _Read:
    """What the store said when it was read last."""

    jobs: Sequence[Job]
    done: frozenset[str]
    forecast: Forecast
    tables: Sequence[Table]
    due: float
    """When it is to be read again, by the monotonic clock."""


class Onlooker:
    """Looks at a store, its leases and its boards."""

    def __init__(self, reporter: Reporter, store: Store, here: Platform) -> None:
        self._reporter, self._store, self._here = reporter, store, here
        self._read: _Read | None = None
        self._changed: dict[str, int] = {}
        self._alive = _Alive()

    def look(self) -> Picture:
        """What is so now."""
        holders = leases.holders(self._store.root)
        said = boards.read(self._store.root)
        living = [board for board in said if self._alive(board.file, board.runner)]
        read = self._store_now(living)
        todo = {job.id: job for job in read.jobs if job.id not in read.done}
        at = {
            job: name
            for name, holder in holders.items()
            for job in _at(name, holder, said, todo.keys())
        }
        rows = [
            self._row(todo[each], at[each], holders[at[each]], said, read)
            for each in todo
            if each in at
        ]
        busy = {row.job.id for row in rows}
        open_ = [job for job in todo.values() if job.id not in busy]
        failed = [job for job in open_ if job.state == "failed"]
        blocked = [job for job in open_ if job.state == "blocked"]
        courses = {row.job.id: row.running.course for row in rows if not row.is_lost}
        gone = {job.id for job in (*failed, *blocked)}
        waits = {job_id: job for job_id, job in todo.items() if job_id not in gone}
        slots = sum(board.slots for board in living)
        return Picture(
            rows=sorted(rows, key=lambda row: (row.is_lost, row.runner)),
            done=len(read.done),
            waiting=len(waits) - len(rows),
            failed=len(failed),
            blocked=len(blocked),
            failure=failure(failed[0], failed[0].reason) if failed else "",
            left=read.forecast.remaining(courses, waits, slots),
            runners=len(living),
            tables=read.tables,
            changed=tuple(self._changed.items()),
        )

    def _row(self, job: Job, lease: str, holder: Holder, said: Sequence[Board], read: _Read) -> Row:
        running = next((each for each in _said_by(holder, said) if each.job == job.id), None)
        running = running or Running(job.id, device="", course=Course(0.0))
        if not self._alive(f"lease {lease}", holder):
            return Row(job, running, runner=holder.name, is_lost=True)
        left = read.forecast.of(job, running.course)
        return Row(job, running, left, runner=holder.name)

    def _store_now(self, living: Sequence[Board]) -> _Read:
        """Read anew when it is time, and no speed is measured on this machine."""
        beside = (board for board in living if board.runner.is_here)
        is_quiet = all(job.disturbs_nobody for board in beside for job in board.jobs)
        start = time.monotonic()
        if self._read is not None and (start < self._read.due or not is_quiet):
            return self._read
        results = self._store.read()
        here = living[0].platform if living else self._here
        jobs = self._reporter.plan(here, results).jobs
        tables = self._reporter.tables(self._reporter.find(here, results).answers())
        for name, row in changes(self._read.tables if self._read else (), tables):
            self._changed.pop(name, None)  # the latest stands last
            self._changed[name] = row
        took = time.monotonic() - start
        due = time.monotonic() + max(STORE_SECONDS, SHARE * took)
        done = frozenset(job.id for job in jobs if _is_done(job, results, bool(living)))
        self._read = _Read(jobs, done, Forecast(jobs), tables, due)
        return self._read


def _said_by(holder: Holder, said: Sequence[Board]) -> list[Running]:
    """What the runner that has a lease says of its jobs."""
    return [each for board in said if board.runner.is_of(holder) for each in board.jobs]


def _at(lease: str, holder: Holder, said: Sequence[Board], todo: Collection[str]) -> Sequence[str]:
    """Which of a lease's jobs are done now: those that its runner names, or the first, where it has
    not yet said so."""
    left = [job for job in holder.jobs or (lease,) if job in todo]
    named = {each.job for each in _said_by(holder, said)}
    return [job for job in left if job in named] or left[:1]


def _is_done(job: Job, results: Results, is_run: bool) -> bool:
    """A speed that was measured elsewhere is to do for a runner only."""
    measured = job.is_speed and not is_run and bool(results.benchmarks(job.id))
    return job.state == "done" or measured


class _Alive:
    """Whether the holder of a file lives: by its process, where that is of this machine, and by
    when the file was touched; where a clock is wrong, by whether it is touched while one looks."""

    def __init__(self) -> None:
        self._seen: dict[str, _Touched] = {}

    def __call__(self, name: str, holder: Holder) -> bool:
        now, before = time.monotonic(), self._seen.get(name)
        if before is None or before.at != holder.touched:
            before = _Touched(holder.touched, now, was_seen=before is not None)
            self._seen[name] = before
        by_clock = before.was_seen or time.time() - holder.touched <= SECONDS
        return not holder.is_dead() and by_clock and now - before.since <= SECONDS


@dataclass(frozen=True)
class _Touched:
    at: float
    """By the file server's clock."""
    since: float
    """When it was first seen to be so, by the monotonic clock."""
    was_seen: bool
    """Whether it was touched while one looked."""
