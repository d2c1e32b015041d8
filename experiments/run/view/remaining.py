"""How long it will take: a running job by its own pace, one that waits by jobs like it, and all of
them by the places for jobs."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from classifier.basics.progress import Progress
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec
from experiments.plan.bundles import Bundle, bundles
from experiments.plan.estimate import comparable_work
from experiments.plan.jobs import Job
from experiments.run.scheduler import urgency

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
        if _is_led(job):
            return
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
        if _is_led(job):
            return 0.0
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
    work, by_records = comparable_work(job), job.estimate.seconds
    measures: list[tuple[Group, float]] = []
    for group in (own, of_model):
        measures += [((*group, "work"), work)] if work else [((*group, "jobs"), 1.0)]
    measures += [(("records", kind), by_records)] if by_records else []
    measures += [((kind, "work"), work)] if work else []
    measures += [((kind, "jobs"), 1.0)]
    return [*measures, *([(("work",), work)] if work else [])]


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


End = tuple[float, int, str, bool]
"""When a job ends, the rank of its bundle, its id, and whether it is the bundle's last."""


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
        """`jobs`: all of the plan; those that are done count with what records like theirs say."""
        self._rates = Rates()
        self._reaches: dict[Group, tuple[int, float]] = {}
        self._took: dict[str, float] = {}
        self._jobs = {job.id: job for job in jobs}

    def ended(self, job: Job, course: Course) -> None:
        """It was done: a training at less than all of its work, where it stopped early."""
        reached = course.share if job.spec.kind == "train" and course.share >= EARLY else 1.0
        moved = reached - course.began
        if moved > 0:
            whole = course.before + (course.seconds - course.before) / moved * reached
            self._took[job.id] = course.seconds
            self._rates.add(job, whole)
        if (like_it := _may_stop(job)) is not None:
            count, total = self._reaches.get(like_it, (0, 0.0))
            self._reaches[like_it] = (count + 1, total + reached)

    def of(self, job: Job, course: Course | None = None) -> float | None:
        """Seconds that one job still takes; None while nothing is known."""
        if course is None:
            return self._rates.expected(job)
        if course.pace is not None:
            return max(self._work(job, course) - course.share * course.pace, 0.0)
        expected = self._rates.expected(job)
        return None if expected is None else max(expected - course.seconds, 0.0)

    def _work(self, job: Job, course: Course) -> float:
        """Seconds of a running job from its first step to its end, at the pace so far."""
        assert course.pace is not None
        seconds = self._reach(job, course) * course.pace
        # A speed's measuring ends when its time is over, however few passes that were.
        return min(seconds, job.spec.seconds) if isinstance(job.spec, BenchmarkSpec) else seconds

    def _reach(self, job: Job, course: Course) -> float:
        """The share of its steps at which a running job ends: as those like it did, if any has, but
        not before it can. The longer nothing got better, the likelier it ends as soon as that."""
        like_it = _may_stop(job)
        if like_it is None:
            return 1.0
        count, total = self._reaches.get(like_it, (0, 0.0))
        usual = max(total / count if count else 1.0, course.least)
        waited = _waited(job, course)
        return waited * course.least + (1 - waited) * usual

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
            seconds = rates.expected(job) if seconds is None else seconds
            if seconds is None:
                return Remaining(None, self._share_of_jobs(todo, courses))
            left[job.id] = seconds
        return Remaining(
            until_all_are_done(list(todo.values()), set(courses), left, slots),
            self._share_of_time(todo, courses, left, rates),
        )

    def _of_running(self, courses: Mapping[str, Course], todo: Mapping[str, Job]) -> Rates:
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
                so_far[job.id] = self._took.get(job.id) or rates.expected(job) or 0.0
        spent, open_ = _together(self._jobs.values(), so_far), _together(todo.values(), left)
        return spent / (spent + open_) if spent + open_ > 0 else self._share_of_jobs(todo, courses)


def _is_led(job: Job) -> bool:
    """Whether another training of its family has the cost of them all."""
    return job.spec.kind == "train" and job.estimate.gflop == 0.0


def _together(jobs: Iterable[Job], seconds: Mapping[str, float]) -> float:
    """Of all jobs, those that are one training counted once."""
    return sum(
        bundle.whole({job.id: seconds.get(job.id, 0.0) for job in bundle.jobs})
        for bundle in bundles(jobs)
    )


def until_all_are_done(
    todo: Collection[Job], running: Collection[str], left: Mapping[str, float], slots: int
) -> float:
    """Seconds until the last job ends, in the scheduler's order: each bundle on one of the `slots`
    as soon as what it needs is done, then speeds, one after the other. `left`: of each job by its
    id."""
    ranked = sorted(bundles(job for job in todo if not job.is_speed), key=urgency)
    rank = {job.id: index for index, bundle in enumerate(ranked) for job in bundle.jobs}
    open_, dependents = _needs(ranked, rank)
    ends: list[End] = []
    ready: list[int] = []
    for index, bundle in enumerate(ranked):
        if any(job.id in running for job in bundle.jobs):
            ends += _ends(bundle, index, 0.0, left)
            open_[index] = -1  # it is not begun once more
        elif not open_[index]:
            ready.append(index)
    heapq.heapify(ends)
    now, taken = 0.0, sum(is_last for *_, is_last in ends)
    while ends or ready:
        while ready and taken < max(slots, 1):
            index, taken = heapq.heappop(ready), taken + 1
            for end in _ends(ranked[index], index, now, left):
                heapq.heappush(ends, end)
        now, _, job_id, is_last = heapq.heappop(ends)
        taken -= is_last
        for index in dependents.get(job_id, ()):
            open_[index] -= 1
            if not open_[index]:
                heapq.heappush(ready, index)
    return now + sum(left[job.id] for job in todo if job.is_speed)


def _ends(bundle: Bundle, index: int, start: float, left: Mapping[str, float]) -> list[End]:
    """When each of a bundle's jobs ends that starts then."""
    if bundle.is_one_training:
        at = sorted((left[job.id], job.id) for job in bundle.jobs)
    else:
        sums = itertools.accumulate(left[job.id] for job in bundle.jobs)
        at = [(end, job.id) for end, job in zip(sums, bundle.jobs, strict=True)]
    last = len(at) - 1
    return [(start + end, index, job_id, place == last) for place, (end, job_id) in enumerate(at)]


def _needs(
    ranked: Sequence[Bundle], rank: Mapping[str, int]
) -> tuple[list[int], dict[str, list[int]]]:
    """How many jobs each bundle still waits for, and by job the bundles that wait for it."""
    waits, dependents = [], dict[str, list[int]]()
    for index, bundle in enumerate(ranked):
        needs = {need for job in bundle.jobs for need in job.needs if need in rank}
        outside = [need for need in needs if rank[need] != index]
        waits.append(len(outside))
        for need in outside:
            dependents.setdefault(need, []).append(index)
    return waits, dependents
