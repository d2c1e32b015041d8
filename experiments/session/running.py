"""A run: jobs, with all who look on, then the reports."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from classifier.basics.names import counted
from experiments.execution import scheduler
from experiments.execution.boards import Board, Boards
from experiments.execution.claims import Claims
from experiments.execution.engines import Engine
from experiments.execution.scheduler import Summary
from experiments.execution.view.live import View
from experiments.plan.jobs import Job
from experiments.plan.judge import Judge
from experiments.plan.plan import Plan
from experiments.session import tracked
from experiments.session.notify import Notifier
from experiments.session.options import RunOptions
from experiments.session.outcome import FailedJob, Outcome
from experiments.session.reporting import Growing, Reporter
from experiments.store import leases
from experiments.store.store import Store
from experiments.tracking.track import Trackers


def run(
    plan: Plan,
    engine: Engine,
    reporter: Reporter,
    store: Store,
    options: RunOptions,
    console: Console,
) -> Outcome:
    """Do what is to do, then report. KeyboardInterrupt where that came. `console`: shows how it
    goes."""
    notifier = Notifier(options.notify, _warn)
    telling = _Telling(plan, reporter, notifier)
    trackers = tracked.trackers(options, store)
    try:
        # Another runner that lives logs what it has done.
        is_alone = not leases.living(store.root)
        trackers.start([job for job in plan.jobs if job.state == "done" and is_alone])
        if plan.todo:
            telling.summary = _jobs(
                plan, engine, reporter, store, options, telling, trackers, console
            )
            if telling.summary.interrupted:
                raise KeyboardInterrupt
        for line in telling.summary.lines(len(plan.todo)):
            print(line, file=sys.stderr)
        reported = reporter.report(engine.platform)
    except BaseException as error:
        telling.ended(error)
        trackers.end()
        raise
    trackers.end(lambda: tracked.reports(reported))
    telling.ended(headlines=reported.headlines)
    return Outcome(
        jobs=len(plan.jobs),
        todo=len(plan.todo),
        failed=tuple(telling.failures),
        blocked=telling.summary.blocked,
        left=telling.summary.left,
        report=reported,
    )


def _jobs(
    plan: Plan,
    engine: Engine,
    reporter: Reporter,
    store: Store,
    options: RunOptions,
    telling: _Telling,
    trackers: Trackers,
    console: Console,
) -> Summary:
    slots, judge = len(engine.slots), Judge(engine.platform, reporter.data_root)
    others: list[Board] = []

    def hear(boards: list[Board]) -> None:
        before = {job.job for board in others for job in board.jobs}
        if before - {job.job for board in boards for job in board.jobs}:
            growing.one_ended()
        others[:] = boards
        view.hear(boards)

    def is_quiet() -> bool:
        here = (board for board in others if board.runner.is_here)
        mine = any(job.is_speed for job in view.running())
        return not mine and all(job.disturbs_nobody for board in here for job in board.jobs)

    def begins(job: Job) -> None:
        trackers.begins(job)
        if job.is_speed:
            growing.quiet()

    def ends(job: Job, reason: str) -> None:
        growing.one_ended()
        trackers.ends(job, reason)
        if reason:
            telling.failed(job, reason, store.log(job.spec), view)

    view = View(plan, slots, store, console, begins=begins, ends=ends)
    growing = Growing(reporter, engine.platform, view.show, _warn, is_quiet)
    with (
        Claims(store, judge) as claims,
        growing,
        Boards(store.root, slots, engine.platform, view.running, hear),
        view,
    ):
        retries, fail_fast = options.retries, options.fail_fast
        summary = scheduler.run(plan, engine, view, claims, retries=retries, fail_fast=fail_fast)
    if summary.interrupted:  # no report follows
        growing.write_last()
    return summary


def _warn(line: str) -> None:
    """The live view, where there is one, prints it above itself."""
    print(f"warning: {line}", file=sys.stderr)


@dataclass
class _Telling:
    """What is said of a run at its end, and by `--notify`."""

    plan: Plan
    reporter: Reporter
    notifier: Notifier

    def __post_init__(self) -> None:
        self.summary = Summary()
        self.failures: list[FailedJob] = []

    def failed(self, job: Job, reason: str, log: Path, view: View) -> None:
        self.failures.append(FailedJob(job.id, f"{job.spec.kind} {job.name}", reason, log))

        def text() -> str:
            return (
                f"{self.reporter.name}: a job failed\n"
                f"{job.spec.kind} {job.name}: {reason}\n"
                f"its output and traceback: {log}\n"
                f"{view.done} of {counted(len(self.plan.jobs), 'job')} are done; the run goes on\n"
            )

        self.notifier.failed(text)

    def ended(self, error: BaseException | None = None, headlines: Sequence[str] = ()) -> None:
        """`headlines`: the report's, where there is one."""
        self.notifier.ended(lambda: self._text(error, headlines))

    def _text(self, error: BaseException | None, headlines: Sequence[str]) -> str:
        summary = self.summary
        if isinstance(error, KeyboardInterrupt):
            how = "interrupted; the same command goes on from here"
        elif error is not None:
            how = f"ended with an error: {error}"
        else:
            how = "done in part" if summary.lost or summary.left else "done"
        done = len(self.plan.jobs) - summary.lost - summary.left
        lines = [
            f"{self.reporter.name}: {how}",
            f"{done} of {counted(len(self.plan.jobs), 'job')} done",
        ]
        lines += [f"{summary.failed} failed"] if summary.failed else []
        lines += [f"{summary.blocked} blocked: what they need failed"] if summary.blocked else []
        lines += headlines
        lines += [f"report: {page}" for page in self.reporter.pages if page.exists()]
        return "\n".join(lines) + "\n"
