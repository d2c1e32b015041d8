"""How long it will take: a running job by its own pace, one that waits by jobs like it, and all of
them by the places for jobs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from classifier.basics.progress import Progress
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec
from experiments.plan.bundles import Bundle, bundles
from experiments.plan.estimate import comparable_work
from experiments.plan.families import led
from experiments.plan.jobs import Job
from experiments.plan.order import simulate
from experiments.plan.plan import in_order

EARLY, EARLY_SECONDS = 0.02, 5.0
"""Below this share of its work, and within these seconds of its first step, a running job says
nothing of others: the first steps are slow."""

Group = tuple[object, ...]
"""Jobs whose seconds for some work are alike."""


@dataclass(frozen=True)
class Course:
    """How far a running job is. Shares are of its whole work, from 0 to 1."""

    seconds: float
    """Since it was started here."""
    before: float = 0.0
    """Of these, what went by before its first step."""
    share: float = 0.0
    began: float = 0.0
    """Where it went on from: a training that was interrupted begins in its middle."""
    pace: float | None = None
    """Seconds that all of its work would take at the pace so far; None while that is not known."""
    least: float = 1.0
    """The share at which it ends if nothing gets better from here on; before that it can't."""

    @property
    def whole(self) -> float | None:
        """Seconds of the whole job from its start; None while it says nothing of others."""
        early = self.share < EARLY and self.seconds - self.before < EARLY_SECONDS
        return None if early or self.pace is None else self.before + self.pace


class Pace:
    """Hears what a running job says, and tells its course. `clock`: seconds."""

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        self.job, self._clock, self._start = job, clock, clock()
        self.latest: Progress | None = None
        self._first: tuple[float, int] | None = None
        """When its first step was done, and which that was."""

    def update(self, progress: Progress) -> None:
        before, self.latest = self.latest, progress
        if not progress.is_work:
            self._first = None
        elif before is None or self._first is None or before.total != progress.total:
            self._first = (self._clock(), progress.done)

    def course(self) -> Course:
        now = self._clock()
        seconds = now - self._start
        if self.latest is None or self._first is None:
            return Course(seconds, before=seconds)
        (since, first), total = self._first, max(self.latest.total, 1)
        steps, began = self.latest.done - first, max(first - 1, 0) / total
        share = self.latest.done / total
        pace = (now - since) / steps * total if steps > 0 else None
        least = self.latest.least or total
        return Course(seconds, since - self._start, share, began, pace, least / total)


class Rates:
    """Seconds that jobs of a kind take for their work, from those that ended or are well under
    way."""

    def __init__(self, taken: Iterable[tuple[Job, float]] = ()) -> None:
        self._sums: dict[Group, tuple[float, float]] = {}
        for job, seconds in taken:
            self.add(job, seconds)

    def add(self, job: Job, seconds: float) -> None:
        """A job that takes so long for all of its work."""
        for group, work in _measures(job):
            before = self._sums.get(group, (0.0, 0.0))
            self._sums[group] = (before[0] + work, before[1] + seconds)

    def joined(self, others: Rates) -> Rates:
        made = Rates()
        made._sums = dict(self._sums)
        for group, (work, seconds) in others._sums.items():
            before = made._sums.get(group, (0.0, 0.0))
            made._sums[group] = (before[0] + work, before[1] + seconds)
        return made

    def expected(self, job: Job) -> float | None:
        """Seconds of the whole job: by jobs of its own kind and model where there are any, else by
        what earlier records say, else by work. None while nothing is known."""
        for group, work in _measures(job):
            rated, seconds = self._sums.get(group, (0.0, 0.0))
            if rated > 0:
                return work * seconds / rated
            if group[0] == "records":
                return work
        return 0.0 if job.spec.kind == "metric" else None  # no network computes


def _measures(job: Job) -> list[tuple[Group, float]]:
    """The groups that a job is in with its work in each, the nearest first: its own arm's kind, its
    model's, then all of its kind, measured by records or by operations, then any job at all."""
    own, of_model, kind = _kinds(job)
    work, by_records = _whole(job, comparable_work(job)), _whole(job, job.estimate.seconds)
    measures: list[tuple[Group, float]] = []
    for group in (own, of_model):
        measures += [((*group, "work"), work)] if work else [((*group, "jobs"), 1.0)]
    measures += [(("records", kind), by_records)] if by_records else []
    measures += [((kind, "work"), work)] if work else []
    measures += [((kind, "jobs"), 1.0)]
    return [*measures, *([(("work",), work)] if work else [])]


def _whole(job: Job, rest: float | None) -> float | None:
    """Of all of a job, from that of what its kept state has not done; None where that has all."""
    return rest / (1 - job.begun) if rest is not None and job.begun < 1 else None


def _kinds(job: Job) -> tuple[Group, Group, str]:
    match job.spec:
        case TrainSpec() as spec:
            tricks = tuple(trick.setting for trick in spec.tricks)
            model = ("train", spec.model, spec.image_size)
            return (*model, spec.batch_size, spec.amp, tricks), model, "train"
        case EvaluateSpec(training=training) as spec:
            kind = f"evaluate {spec.precision}"
            model = (kind, training.model, training.image_size)
            return (*model, spec.tta), model, kind
        case MetricSpec() as spec:
            return ("metric", spec.metric.name), ("metric",), "metric"
        case BenchmarkSpec() as spec:
            model = ("benchmark", spec.model, spec.image_size)
            return (*model, spec.precision, spec.batch_size), model, "benchmark"
    raise TypeError(f"{job.spec.kind} is no kind of job")


def _may_stop(job: Job) -> Group | None:
    """The trainings of its arm's kind, which end early alike; None where it can't. Those of other
    arms tell nothing: one that learns nothing ends first."""
    spec = job.spec
    if not isinstance(spec, TrainSpec) or not 0 < spec.patience < spec.epochs:
        return None
    return _kinds(job)[0], spec.epochs, spec.patience


def _waited(job: Job, course: Course) -> float:
    """The share of its patience that has gone by since something got better, from 0 to 1."""
    assert isinstance(job.spec, TrainSpec)
    patience = job.spec.patience / job.spec.epochs
    return min(max(1 - (course.least - course.share) / patience, 0.0), 1.0)


@dataclass(frozen=True)
class Remaining:
    """Of all jobs together."""

    seconds: float | None
    """Until the last one ends; None while nothing is known of some."""
    share: float
    """Of the whole that is done, by time where that is known of all, else by jobs; 0 to 1."""


class Forecast:
    """What is known of the jobs that end, for those that do not yet."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """`jobs`: all of the plan; those that are done count with what they took, where that is
        known, else with what records like theirs say."""
        self._rates = Rates()
        self._reaches: dict[Group, tuple[int, float]] = {}
        self._took: dict[str, float] = {}
        self._jobs = {job.id: job for job in jobs}
        self._led = led(self._jobs.values())
        self._orders: dict[int, list[Bundle]] = {}
        """By the number of slots."""
        for job in self._jobs.values():
            if job.state == "done" and job.took is not None:
                self.ended(job, Course(job.took, share=job.reached))

    def ended(self, job: Job, course: Course) -> None:
        """It was done: a training at less than all of its work, where it stopped early."""
        reached = course.share if job.spec.kind == "train" and course.share >= EARLY else 1.0
        moved = reached - course.began
        if moved > 0:
            whole = course.before + (course.seconds - course.before) / moved * reached
            self._took[job.id] = course.seconds
            if job.id not in self._led:
                self._rates.add(job, whole)
        if (like_it := _may_stop(job)) is not None:
            count, total = self._reaches.get(like_it, (0, 0.0))
            self._reaches[like_it] = (count + 1, total + reached)

    def of(self, job: Job, course: Course | None = None) -> float | None:
        """Seconds that one job still takes; None while nothing is known."""
        if course is None:
            return self._expected(job, self._rates)
        if course.pace is not None:
            return max(self._work(job, course) - course.share * course.pace, 0.0)
        expected = self._expected(job, self._rates)
        return None if expected is None else max(expected - course.seconds, 0.0)

    def _expected(self, job: Job, rates: Rates) -> float | None:
        """Seconds of what is to do of a job: of one that another training does, its part of
        that."""
        lead, part = self._led.get(job.id, (job, 1.0))
        expected = rates.expected(lead)
        return None if expected is None else part * (1 - lead.begun) * expected

    def _work(self, job: Job, course: Course) -> float:
        """Seconds of a running job from its first step to its end, at the pace so far."""
        assert course.pace is not None
        seconds = self._reach(job, course) * course.pace
        # A speed's measuring ends when its time is over, however few passes that were.
        return min(seconds, job.spec.seconds) if isinstance(job.spec, BenchmarkSpec) else seconds

    def _reach(self, job: Job, course: Course) -> float:
        """The share of its steps at which a running job ends: as those like it did, if any has, but
        not before it can. The longer nothing got better, the likelier it ends as soon as that."""
        lead, part = self._led.get(job.id, (job, 1.0))
        end = lead.begun + part * (1 - lead.begun)
        like_it = _may_stop(job)
        if like_it is None:
            return end
        count, total = self._reaches.get(like_it, (0, 0.0))
        usual = max(total / count if count else 1.0, course.least)
        waited = _waited(job, course)
        return min(waited * course.least + (1 - waited) * usual, end)

    def remaining(
        self, courses: Mapping[str, Course], todo: Mapping[str, Job], slots: int
    ) -> Remaining:
        """`courses` of what runs, and `todo`, what is not done with what runs, both by job's id;
        `slots`: places for jobs."""
        rates = self._rates.joined(self._of_running(courses, todo))
        left: dict[str, float] = {}
        for job in todo.values():
            course = courses.get(job.id)
            seconds = self.of(job, course) if course is not None else None
            seconds = self._expected(job, rates) if seconds is None else seconds
            if seconds is None:
                return Remaining(None, self._share_of_jobs(todo, courses))
            left[job.id] = seconds
        return Remaining(
            simulate(self._in_order(todo, slots), left, slots, running=courses.keys()),
            self._share_of_time(todo, courses, left, rates),
        )

    def _in_order(self, todo: Mapping[str, Job], slots: int) -> list[Bundle]:
        """As the scheduler has them, which looked once, before the first started."""
        if slots not in self._orders:
            at_first = [job for job in self._jobs.values() if job.state != "done"]
            self._orders[slots] = in_order(bundles(at_first), slots)
        left = (bundle.only(todo) for bundle in self._orders[slots])
        return [bundle for bundle in left if bundle.jobs]

    def _of_running(self, courses: Mapping[str, Course], todo: Mapping[str, Job]) -> Rates:
        courses = {each: course for each, course in courses.items() if each not in self._led}
        known = [(todo[each], course) for each, course in courses.items() if course.whole]
        return Rates((job, course.before + self._work(job, course)) for job, course in known)

    def _share_of_jobs(self, todo: Mapping[str, Job], courses: Mapping[str, Course]) -> float:
        done = len(self._jobs) - len(todo) + sum(course.share for course in courses.values())
        return done / max(len(self._jobs), 1)

    def _share_of_time(
        self,
        todo: Mapping[str, Job],
        courses: Mapping[str, Course],
        left: Mapping[str, float],
        rates: Rates,
    ) -> float:
        so_far = {job_id: course.seconds for job_id, course in courses.items()}
        for job in self._jobs.values():
            if job.id not in todo:
                so_far[job.id] = self._took.get(job.id) or self._expected(job, rates) or 0.0
        spent, open_ = _together(self._jobs.values(), so_far), _together(todo.values(), left)
        return spent / (spent + open_) if spent + open_ > 0 else self._share_of_jobs(todo, courses)


def _together(jobs: Iterable[Job], seconds: Mapping[str, float]) -> float:
    """Of all jobs, those that are one training counted once."""
    known = defaultdict(float, seconds)
    return sum(bundle.ends(known)[-1][0] for bundle in bundles(jobs))
