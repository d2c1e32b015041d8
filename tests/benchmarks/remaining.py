"""Time left, as the view says it, against the truth: stored records' costs are replayed.

    python -m tests.benchmarks remaining [RUNS MATRIX.yaml ...]

The scheduler's own loop starts jobs, and a clock that is moved by hand passes from one thing that a
job says to the next: a training speaks at every step but while it validates, and each process
starts before it works. Costs are those of digits.csv, a results.csv of digits.yaml that is kept for
this, or of the records in RUNS for the matrices.
"""

from __future__ import annotations

import csv
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from classifier.basics.machine import Platform
from classifier.basics.progress import Progress
from classifier.config.spec import TrainSpec
from classifier.records.record import TrainRecord
from experiments.execution import scheduler
from experiments.execution.engines import Ended, Heard, Slot
from experiments.execution.view.remaining import Forecast, Pace
from experiments.matrix.load import load
from experiments.matrix.overrides import Overrides
from experiments.plan import plan as planning
from experiments.plan.bundles import Bundle, bundles
from experiments.plan.jobs import Estimate, Job
from experiments.plan.plan import Plan
from experiments.store.store import Results, Store
from reports.blocks import Grid
from reports.page.markdown import grid
from tests.experiments.fakes import Alone, Watcher

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "experiments" / "digits.yaml"
MOMENTS = (0.1, 0.25, 0.5)
STARTING = 0.15
"""Seconds between a process's start and its first step."""
SAYS = 60
"""How often a job says how far it is."""
PATIENT: dict[str, list[tuple[int, ...]]] = {
    "trainings that stop at 5 of 8 epochs": [(1, 2)],
    "every other stops at 6, the rest not at all": [(1, 3), (1, 2, 4, 7)],
    "none stops, though it may": [(1, 2, 4, 6)],
}
"""As `patient` has it."""


@dataclass(frozen=True)
class Cost:
    """What a job takes in a replay."""

    seconds: float
    epochs: int = 1
    planned: int = 1
    """Epochs of a training that does not stop early."""
    began: float = 0.0
    """The share of its work that was kept when it was interrupted."""
    validating: float = 0.0
    """The share of each epoch that is no step."""
    better: tuple[int, ...] = ()
    """After which epochs the val figure was better than before."""
    patience: int = 0


class Replay:
    """An engine whose jobs take what they cost by a clock of its own. What is asked of the forecast
    at each thing that a job says: (seconds by the clock, seconds left)."""

    def __init__(self, plan: Plan, costs: Mapping[str, Cost], slots: int) -> None:
        self.slots = [Slot("cpu", index) for index in range(slots)]
        self.said: list[tuple[float, float | None]] = []
        self._plan, self._costs, self._now = plan, costs, 0.0
        self._forecast = Forecast(plan.jobs)
        self._todo = {job.id: job for job in plan.todo}
        self._paces: dict[str, Pace] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def run(self) -> None:
        loop = scheduler._Loop(self._plan, self, Watcher(), Alone(), 0, False)  # type: ignore[arg-type]
        while loop.is_unfinished:
            loop.start()
            self._now, _, happens = heapq.heappop(self._events)
            happens()
            courses = {job_id: pace.course() for job_id, pace in self._paces.items()}
            left = self._forecast.remaining(courses, self._todo, len(self.slots))
            self.said.append((self._now, left.seconds))
            if loop._bell.done() or any(future.done() for future in loop._running):
                loop.wait()

    def submit(self, bundle: Bundle, slots: Sequence[Slot], heard: Heard) -> Future[None]:
        future: Future[None] = Future()
        self._begin(bundle.jobs, self._now + STARTING, heard, future)
        return future

    def _begin(self, jobs: Sequence[Job], start: float, heard: Heard, future: Future[None]) -> None:
        """The first of these, the others after it."""
        job = jobs[0]
        pace = self._paces[job.id] = Pace(job, lambda: self._now)
        cost = self._costs[job.id]
        for after, said in _says(cost, "epoch" if job.spec.kind == "train" else "working"):
            self._at(start + after, partial(pace.update, said))
        self._at(start + cost.seconds, lambda: self._end(jobs, heard, future))

    def _at(self, when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._count), happens))

    def _end(self, jobs: Sequence[Job], heard: Heard, future: Future[None]) -> None:
        job, *others = jobs
        self._forecast.ended(job, self._paces.pop(job.id).course())
        del self._todo[job.id]
        heard(Ended(job.id, []))
        if others:
            self._begin(others, self._now, heard, future)
        else:
            future.set_result(None)

    def error(self, moment: float) -> float | None:
        """Of what was said last before that share of the time, as a share of the truth."""
        end = self.said[-1][0]
        before = [each for each in self.said if each[0] <= moment * end]
        now, left = before[-1] if before else (0.0, None)
        return None if left is None else left / (end - now) - 1


def _says(cost: Cost, phase: str) -> list[tuple[float, Progress]]:
    """After how many seconds it says what. After its steps an epoch validates."""
    each = max(SAYS // cost.planned, 1)
    first, total = round(cost.began * each * cost.planned), each * cost.planned
    begins = first // each + first % each / each * (1 - cost.validating)
    epoch, training = cost.seconds / (cost.epochs - begins), 1 - cost.validating
    steps = range(first, each * cost.epochs)
    ends = (step // each + (step % each + 1) / each * training for step in steps)
    return [
        (epoch * (end - begins), Progress(phase, step + 1, total, least=_least(cost, step, each)))
        for end, step in zip(ends, steps, strict=True)
    ]


def _least(cost: Cost, step: int, each: int) -> int | None:
    """As the trainer says it, after a step of `each` an epoch."""
    best = max((epoch for epoch in cost.better if epoch * each <= step), default=1)
    least = best + cost.patience
    return least * each if cost.patience and least < cost.planned else None


# Matrices --------------------------------------------------------------------------------------


def planned(file: Path, results: Results | None = None, **overrides: Any) -> Plan:
    """All to do; with estimates by the records, if these are given."""
    known = results or Results()
    device = next((r.environment.device for r in known.records.values()), "a CPU")
    matrix = load(file, Overrides(**overrides), ROOT / "data")
    made = planning.make([matrix], known, Platform(device, 2, "2.14.1"), ROOT / "data")
    return Plan(tuple(replace(job, state="todo") for job in made.jobs), made.data)


def costs_of_digits(plan: Plan) -> dict[str, Cost]:
    """As in digits.csv; a seed that did not run takes as long as one that did, in turn."""
    with Path(__file__).with_name("digits.csv").open() as file:
        seconds = {row["signature"]: float(row["seconds"]) for row in csv.DictReader(file)}
    alike: dict[object, list[float]] = {}
    for job in planned(DIGITS).jobs:
        alike.setdefault(_but_seed(job), []).append(seconds[job.id])
    turns = {key: itertools.cycle(each) for key, each in alike.items()}
    return {job.id: cost(job, plan, next(turns[_but_seed(job)])) for job in plan.jobs}


def _but_seed(job: Job) -> object:
    training = job.spec.trained
    if training is None:
        return job.id
    arm = training.model_copy(update={"seed": 0}).signature
    return job.spec.kind, arm, "" if training is job.spec else job.spec.slug


def cost(job: Job, plan: Plan, seconds: float, epochs: int | None = None) -> Cost:
    """`epochs`: of a training that stopped early."""
    if not isinstance(job.spec, TrainSpec):
        return Cost(seconds)
    parts = next(iter(plan.data.values()))
    assert parts is not None
    validated = parts["val"] * len(job.tracks)
    share = validated / (3 * parts["train"] + validated)
    return Cost(seconds, epochs or job.spec.epochs, job.spec.epochs, validating=share)


def costs_of_store(plan: Plan, results: Results) -> dict[str, Cost]:
    costs = {}
    for job in plan.jobs:
        records = [record for key, record in results.records.items() if key[0] == job.id]
        seconds = max(results.costs[job.id, record.unit].seconds for record in records)
        epochs = max(
            len(record.history) if isinstance(record, TrainRecord) else 1 for record in records
        )
        costs[job.id] = cost(job, plan, seconds, epochs)
        if isinstance(job.spec, TrainSpec):
            better = _better(job.spec, [each for each in records if isinstance(each, TrainRecord)])
            costs[job.id] = replace(costs[job.id], better=better, patience=job.spec.patience)
    return costs


def _better(spec: TrainSpec, tracks: Sequence[TrainRecord]) -> tuple[int, ...]:
    """After which epochs the track that went on longest was better than before."""
    history = max((record.history for record in tracks), key=len)
    scores = [
        {"accuracy": row.val_accuracy, "mpa": row.val_mpa, "loss": -row.val_loss}[spec.best]
        for row in history
    ]
    better = (i for i, score in enumerate(scores) if all(score > each for each in scores[:i]))
    return tuple(i + 1 for i in better)


Scenario = tuple[str, Plan, dict[str, Cost], int]
"""What it is called, what is to do at what cost, and on how many slots."""


def scenarios() -> Iterator[Scenario]:
    mixed = planned(DIGITS)
    costs = costs_of_digits(mixed)
    for slots in (1, 2, 8):
        yield "the digits' matrix", mixed, costs, slots
    for model in ("mobilenetv2", "ghostnet", "RepVGG-A0"):
        equal = planned(DIGITS, sets=(f"train.model={model}",), seeds=tuple(range(8)))
        yield f"{model} alone, 8 seeds", equal, costs_of_digits(equal), 2
    yield "its trainings alone", *_part(mixed, costs, lambda job: job.spec.kind == "train"), 2
    speeds = _part(mixed, costs, lambda job: job.is_speed or job.spec.kind == "evaluate")
    yield "its evaluations and speeds alone", *speeds, 2
    long = {job.id: replace(costs[job.id], seconds=30.0) for job in mixed.jobs if job.is_speed}
    yield "half a minute for each speed", _bounded(mixed, 30.0), {**costs, **long}, 2
    yield "two trainings resumed, five done", *_resumed(mixed, costs), 2
    for called, ends in PATIENT.items():
        yield called, *patient(mixed, costs, ends), 2


def of_store(runs: Path, file: Path) -> Iterator[Scenario]:
    """What a store holds of a matrix: done without what it knows, and with that."""
    results = Store(runs).read()
    there = {signature for signature, _ in results.records}
    for known, called in ((None, "as the first"), (results, "once more")):
        whole = planned(file, known)
        kept = (job for job in whole.jobs if there >= {job.id, *job.needs})
        plan = Plan(tuple(kept), whole.data)
        for slots in (1, 2):
            yield f"{file.name}, {called}", plan, costs_of_store(plan, results), slots


def _part(
    plan: Plan, costs: dict[str, Cost], keep: Callable[[Job], bool]
) -> tuple[Plan, dict[str, Cost]]:
    """Some of the jobs; the others are done, or where they need one of these left out."""
    kept = {job.id for job in plan.jobs if keep(job)}
    jobs = [replace(job, state="todo" if job.id in kept else "done") for job in plan.jobs]
    wait = {job.id for job in jobs if job.id not in kept and kept & set(job.needs)}
    return Plan(tuple(job for job in jobs if job.id not in wait), plan.data), costs


def _bounded(plan: Plan, seconds: float) -> Plan:
    bound = Estimate(None, seconds, "table")
    jobs = (replace(job, estimate=bound) if job.is_speed else job for job in plan.jobs)
    return Plan(tuple(jobs), plan.data)


def _resumed(plan: Plan, costs: dict[str, Cost]) -> tuple[Plan, dict[str, Cost]]:
    """As after an interruption: of what goes first five are done, two are in their middle."""
    ranked = planning.in_order(bundles(plan.jobs), slots=2)
    first = [job.id for bundle in ranked for job in bundle.jobs]
    jobs = tuple(replace(job, state="done" if job.id in first[:5] else "todo") for job in plan.jobs)
    middle = {
        job_id: replace(costs[job_id], seconds=costs[job_id].seconds * (1 - began), began=began)
        for job_id, began in zip(first[5:7], (0.45, 0.8), strict=True)
    }
    return Plan(jobs, plan.data), {**costs, **middle}


def patient(
    plan: Plan, costs: Mapping[str, Cost], ends: Sequence[tuple[int, ...]]
) -> tuple[Plan, dict[str, Cost]]:
    """With a patience of 3 of 8 epochs; a training is better after these epochs, in turn."""
    made = planned(DIGITS, sets=("train.patience=3",))
    turns, of = itertools.cycle(ends), {}
    for job, same in zip(made.jobs, plan.jobs, strict=True):
        cost = costs[same.id]
        if job.spec.kind == "train":
            better = next(turns)
            epochs = min(better[-1] + 3, cost.planned)
            seconds = cost.seconds * epochs / cost.planned
            cost = replace(cost, epochs=epochs, seconds=seconds, better=better, patience=3)
        of[job.id] = cost
    return made, of


def main(runs: str = "", *matrices: str) -> None:
    given = itertools.chain.from_iterable(of_store(Path(runs), Path(file)) for file in matrices)
    rows = []
    for name, plan, costs, slots in given if runs else scenarios():
        replay = Replay(plan, costs, slots)
        replay.run()
        errors = (replay.error(moment) for moment in MOMENTS)
        shown = ("unknown" if error is None else f"{error:+.0%}" for error in errors)
        rows.append((name, f"{len(plan.todo)}", f"{slots}", f"{replay.said[-1][0]:.0f} s", *shown))
    after = (f"after {moment:.0%}" for moment in MOMENTS)
    print(grid(Grid(("", "jobs", "at a time", "in truth", *after), rows)), end="")
