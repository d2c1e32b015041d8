"""A run as its trackers see it: an observer of jobs with a thread for each tracker.

Nothing waits for a tracker, and no values are queued for it: its thread looks every few seconds at
what the store says of the jobs that this runner does (the epochs in the kept state of a training,
the records at its end), asks the tracker what it has, and logs the rest. So what a tracker missed,
while it was away or because a runner was killed, is logged by a later look, or a later run.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from classifier.basics.names import counted
from classifier.config.spec import TrainSpec
from classifier.records.chosen import choose
from classifier.records.kept import Seen, read_seen
from classifier.records.record import (
    BenchmarkRecord,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
    train_unit,
)
from experiments.plan.jobs import Job
from experiments.store.store import Results, Store
from experiments.tracking import told
from experiments.tracking.options import without_password
from experiments.tracking.tracker import EPOCH, Known, Report, Run, Status, Step, Tracker

LOOK_SECONDS = 2.0
RETRY_SECONDS = 60.0
"""After a tracker failed."""
END_SECONDS = 8.0
"""At the end a tracker that shows no sign of life for so long is given up."""
MOST_SECONDS = 60.0
"""And so is one that does, after so long."""
MOST_SAID = 300
"""Characters of an error."""


class Trackers:
    """Those of a run. Its methods may come from any thread, and wait for nothing but `end`."""

    def __init__(self, each: Iterable[Feed]) -> None:
        self._each = list(each)

    def start(self, done: Iterable[Job]) -> None:
        """`done`: jobs that were done before; what is not logged of them is logged now."""
        done = list(done)
        for feed in self._each:
            feed.start(done)

    def begins(self, job: Job) -> None:
        """This runner does it now."""
        for feed in self._each:
            feed.begins(job)

    def ends(self, job: Job, reason: str) -> None:
        """It is done, by whomever, or has failed for that reason."""
        for feed in self._each:
            feed.ends(job, reason)

    def end(self, reports: Callable[[], Sequence[Report]] = tuple) -> None:
        """The run is over, with these reports. Comes back when all is logged, or in seconds."""
        made = reports() if self._each else ()
        for feed in self._each:
            feed.last(made)
        start = time.monotonic()
        for feed in self._each:
            feed.wait(start)


class Feed:
    """What one tracker is told, by a thread of its own."""

    def __init__(
        self,
        name: str,
        opened: Callable[[], Tracker],
        store: Store,
        say: Callable[[str], None],
        *,
        look_seconds: float = LOOK_SECONDS,
        end_seconds: float = END_SECONDS,
    ) -> None:
        """`name`: as the user gave it. `opened`: called by the thread, for that may hang too.
        `say`: a line to the user."""
        self._name, self._open, self._store, self._say = name, opened, store, say
        self._look_seconds, self._end_seconds = look_seconds, end_seconds
        self._tracker: Tracker | None = None
        self._known: dict[str, Known] = {}
        self._running: dict[str, Job] = {}
        self._ended: dict[str, tuple[Job, Status]] = {}
        """What is to be logged of jobs that are over."""
        self._reports: list[Report] = []
        self._before: dict[str, Seen | None] = {}
        """What kept states had seen when their jobs began."""
        self._opened: dict[str, dict[str, Run]] = {}
        """The runs of jobs that run, by the jobs' ids and theirs."""
        self._lock = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._again = 0.0
        """When it is tried again after a failure, by the monotonic clock."""
        self._sign = time.monotonic()
        """When the tracker last took something."""
        self._has_warned = False
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    # From the runner's threads

    def start(self, done: Iterable[Job]) -> None:
        self._ended = {job.id: (job, "done") for job in done}
        self._wake.set()
        self._thread.start()

    def begins(self, job: Job) -> None:
        with self._lock:
            self._running[job.id] = job
        self._wake.set()

    def ends(self, job: Job, reason: str) -> None:
        with self._lock:
            if self._running.pop(job.id, None) is not None:  # else another runner did it
                self._ended[job.id] = job, "failed" if reason else "done"

    def last(self, reports: Sequence[Report]) -> None:
        self._reports = list(reports)
        self._over.set()
        self._wake.set()

    def wait(self, start: float) -> None:
        """Until all is logged, or the tracker shows no sign of life; say what is not logged.
        `start`: when the run was over, by the monotonic clock."""
        why = ""
        while self._thread.is_alive() and not why:
            self._thread.join(0.05)
            now = time.monotonic()
            if now - max(start, self._sign) > self._end_seconds:
                why = "it does not answer"
            elif now - start > MOST_SECONDS:
                why = "it is too slow"
        if left := self._left():
            lost = f"not logged: {left}; the same command logs it later"
            self._say(f"{self._name}: {lost}" if self._has_warned else self._warning(why, lost))

    def _left(self) -> str:
        """What is not logged, for people."""
        with self._lock:
            kinds = Counter(
                [job.spec.kind for job, _ in self._ended.values()]
                + [f"unfinished {job.spec.kind}" for job in self._running.values()]
            )
        parts = [counted(count, f"{kind} job") for kind, count in kinds.items()]
        return ", ".join([*parts, *(f"the report of {each.matrix}" for each in self._reports)])

    def _warning(self, *parts: str) -> str:
        self._has_warned = True
        return f"warning: {self._name}: {'; '.join(filter(None, parts))}"

    # In its thread

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(self._look_seconds)
            self._wake.clear()
            is_last = self._over.is_set()
            if not is_last and time.monotonic() < self._again:
                continue
            try:
                self._look(is_last)
            except Exception as error:  # whatever a tracker raises, it costs no training
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Ask it anew the next time: it may have taken a part of what was logged."""
        self._tracker, self._known = None, {}
        self._again = time.monotonic() + RETRY_SECONDS
        if not self._has_warned:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            self._say(self._warning(without_password(said)[:MOST_SAID], "the run goes on"))

    def _look(self, is_last: bool) -> None:
        with self._lock:
            running, ended = list(self._running.values()), list(self._ended.values())
        if any(job.is_speed for job in running) and not is_last:
            return  # a speed is measured here
        tracker = self._asked
        for job in running:
            self._log_seen(job)
        for folder in _by_folder(ended):
            results = self._store.read_run(folder[0][0].spec)
            for job, status in folder:
                self._log_ended(job, status, results)
                with self._lock:
                    del self._ended[job.id]
        if is_last:
            for job in running:
                self._mark_opened(job, "stopped")
                with self._lock:
                    del self._running[job.id]
            while self._reports:
                tracker.report(self._reports[0])
                del self._reports[0]
                self._sign = time.monotonic()
            tracker.close()

    @property
    def _asked(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self._open()
            self._sign = time.monotonic()
        return self._tracker

    def _log_seen(self, job: Job) -> None:
        """The epochs that a kept state has seen, of what is this job's of it. What it had seen
        before the job began may be of other data; a state that goes on from it has all of it."""
        if not isinstance(job.spec, TrainSpec):
            return
        seen = read_seen(self._store.states(job.spec))
        if seen is None or seen == self._before.setdefault(job.id, seen):
            return
        for track in job.tracks:
            history = seen.tracks[track.key].history if track.key in seen.tracks else ()
            rows = history[: choose(job.spec, history).epochs]
            if rows:
                run = told.training(self._store, job.spec, track.key, seen.data)
                self._opened.setdefault(job.id, {})[run.key] = run
                self._mark(run, "running")
                self._log(run, told.epochs(rows))

    def _log_ended(self, job: Job, status: Status, results: Results) -> None:
        if status == "failed":
            self._log_seen(job)
            self._mark_opened(job, status)
        for record in _records(job, results):
            self._log_record(record, results)

    def _log_record(self, record: Record, results: Results) -> None:
        match record:
            case TrainRecord():
                cost = results.costs.get((record.signature, record.unit))
                run = self._run_of(record)
                self._log(run, [*told.epochs(record.history), told.best(record, cost)])
                self._mark(run, "done", told.environment(record.environment))
            case EvaluateRecord() | MetricRecord():
                training = results.records.get(
                    (record.training.signature, train_unit(record.track))
                )
                if isinstance(training, TrainRecord):
                    step = told.evaluated(record, training.best_epoch)
                    self._log(self._run_of(training), [step])
            case BenchmarkRecord():
                run = told.speed(self._store, record)
                self._log(run, [told.measured(record)])
                self._mark(run, "done", told.environment(record.environment))

    def _run_of(self, record: TrainRecord) -> Run:
        return told.training(self._store, record.spec, record.track, record.data.fingerprint)

    def _log(self, run: Run, steps: Sequence[Step]) -> None:
        """What it has not."""
        known = self._knows(run)
        new = [step for step in steps if not _is_known(step, known)]
        if new:
            self._asked.log(run, new)
            self._sign = time.monotonic()
        for step in new:
            known.names |= step.values.keys()
            known.epochs |= {step.at} if EPOCH in step.values else set()

    def _mark(self, run: Run, status: Status, about: Mapping[str, str] | None = None) -> None:
        known = self._knows(run)
        if known.status != status:
            self._asked.mark(run, status, about or {})
            known.status = status

    def _mark_opened(self, job: Job, status: Status) -> None:
        for run in self._opened.pop(job.id, {}).values():
            self._mark(run, status)

    def _knows(self, run: Run) -> Known:
        if run.key not in self._known:
            self._known[run.key] = self._asked.known(run)
            self._sign = time.monotonic()
        return self._known[run.key]


def _is_known(step: Step, known: Known) -> bool:
    return step.at in known.epochs if EPOCH in step.values else step.values.keys() <= known.names


def _by_folder(
    ended: Iterable[tuple[Job, Status]],
) -> Iterable[list[tuple[Job, Status]]]:
    """Those of a run together, for it is read once."""
    folders: dict[str, list[tuple[Job, Status]]] = {}
    for job, status in ended:
        folders.setdefault(job.spec.run.signature, []).append((job, status))
    return folders.values()


def _records(job: Job, results: Results) -> list[Record]:
    """What is there of a job's."""
    if job.is_speed:
        return [*results.benchmarks(job.id)]
    found = (results.records.get((job.id, unit)) for unit in job.units)
    return [record for record in found if record is not None]
