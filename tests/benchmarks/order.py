"""The order in which jobs start, against the least time that any order takes.

    python -m tests.benchmarks order [PLANS]

Plans of matrices are simulated on 2, 4, 8 and 64 devices: large ones, against what no order is
below, and small ones, against the best order, which is searched. What is known of a job before it
runs, and so its place in the order, may differ from what it then takes.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Literal, get_args

from classifier.models.catalogue import MODELS
from experiments.plan.bundles import Bundle, bundles, group_of
from experiments.plan.costs import costs
from experiments.plan.jobs import Estimate, Job
from experiments.plan.order import Item, longest_ways, lower_bound, simulate, whole
from experiments.plan.plan import in_order
from reports.blocks import Grid
from reports.page.markdown import grid
from tests.benchmarks.remaining import DIGITS, costs_of_digits, planned

DEVICES = (2, 4, 8, 64)
TRAININGS = 10
"""On each device, of a large plan; at least, and at most twice as many."""
SMALL = 8
"""Processes of a small plan; at most."""
PROMISED = 1.05
"""Times the least."""
OF_MODELS = 0.3
"""How far the catalogue's relative costs are off for a model: the deviation of the logarithm."""
OF_JOBS = 0.03
"""The same of a job against others of its kind."""
SHORTER = 0.25
"""How many trainings are wanted after half of their epochs too."""
Known = Literal["known", "by records", "by the catalogue"]
KNOWN: Known = "known"
"""What a job takes, before it runs: exactly, or as where jobs like it have records."""

Costs = dict[str, float]


@dataclass(frozen=True)
class Case:
    """What is known of the jobs, and what they take in truth."""

    bundles: Sequence[Bundle]
    seconds: Costs
    slots: int
    least: float
    """What no order is below, or the best one."""

    def ratio(self, order: Callable[[Sequence[Bundle], int], list[Bundle]]) -> float:
        return simulate(order(self.bundles, self.slots), self.seconds, self.slots) / self.least


def before(bundles: Sequence[Bundle], slots: int) -> list[Bundle]:
    """The most operations first, as the order was once."""

    def urgency(bundle: Bundle) -> tuple[bool, float]:
        gflop = {job.id: job.estimate.gflop for job in bundle.jobs}
        known = {each: math.inf if work is None else work for each, work in gflop.items()}
        return bundle.is_speed, -whole(bundle, known)

    return sorted(bundles, key=urgency)


# Plans -----------------------------------------------------------------------------------------


def made(chance: random.Random, trainings: int, folder: Path, most: int | None = None) -> list[Job]:
    """A matrix of one to seven models, some taught by others, some wanted after fewer epochs too,
    which one training does, with one to four evaluations of each, sometimes of ten crops; as many
    seeds as `trainings` take. `most`: processes in all."""
    models = chance.sample(sorted(MODELS), chance.randint(1, min(len(MODELS), trainings)))
    runs = {model: f"{{model: {model}}}" for model in models}
    for _ in range(chance.choice((0, 0, 1, 2, len(models)))):
        student, teacher = chance.choice(sorted(MODELS)), chance.choice(models)
        if len(runs) < trainings:
            taught = f"distill: {{method: soft_target, teacher: {teacher}}}"
            runs[f"{teacher} {student}"] = f"{{model: {student}, {taught}}}"
    epochs = chance.choice((8, 50))
    shorter = {
        f"{name} shorter": f"{run[:-1]}, epochs: {epochs // 2}}}"
        for name, run in runs.items()
        if chance.random() < SHORTER
    }
    columns = chance.sample(COLUMNS, chance.randint(1, len(COLUMNS)))
    lines = [
        "title: Made",
        "data: {name: digits}",
        f"train: {{image_size: {chance.choice((32, 96, 224))}, epochs: {epochs}}}",
        "runs:",
        *(f"  {name}: {run}" for name, run in (runs | shorter).items()),
        "tables:",
        "  made:",
        "    rows: run",
        "    columns:",
        *(f"      - {column}" for column in columns),
    ]
    file = folder / "made.yaml"
    file.write_text("\n".join(lines))
    seeds = tuple(range(-(-trainings // len(runs))))
    return [job for each in bundles(planned(file, seeds=seeds).jobs)[:most] for job in each.jobs]


COLUMNS = (
    "{header: val, split: val}",
    "{header: test, split: test}",
    "{header: half, split: test, precision: fp16}",
    "{header: crops, split: test, tta: true}",
)


def in_truth(chance: random.Random, jobs: Sequence[Job]) -> Costs:
    """By the catalogue, which is off for a model, with what waits for it, and less for a job."""
    off: dict[str, float] = {}
    seconds = costs(jobs)
    for job in jobs:
        one = group_of(job) if job.spec.kind == "train" else job.id
        for name, by in ((job.trained.model, OF_MODELS), (one, OF_JOBS)):
            if name not in off:
                off[name] = chance.lognormvariate(0, by)
            seconds[job.id] *= off[name]
    return seconds


def told(chance: random.Random, jobs: Sequence[Job], seconds: Costs, known: Known) -> list[Job]:
    """With what is known of them before they run."""
    if known == "by the catalogue":
        return list(jobs)
    off = OF_JOBS if known == "by records" else 0.0
    by_id = {each: took * chance.lognormvariate(0, off) for each, took in seconds.items()}
    estimates = (Estimate(job.estimate.gflop, by_id[job.id], "records") for job in jobs)
    return [replace(job, estimate=each) for job, each in zip(jobs, estimates, strict=True)]


def large(chance: random.Random, folder: Path, slots: int, known: Known) -> Case:
    jobs = made(chance, chance.randint(TRAININGS * slots, 2 * TRAININGS * slots), folder)
    seconds = in_truth(chance, jobs)
    all_told = bundles(told(chance, jobs, seconds, known))
    return Case(all_told, seconds, slots, lower_bound(all_told, seconds, slots))


def small(chance: random.Random, folder: Path, slots: int, known: Known) -> Case:
    jobs = made(chance, chance.randint(1, SMALL - 2), folder, most=SMALL)
    seconds = in_truth(chance, jobs)
    all_told = bundles(told(chance, jobs, seconds, known))
    most = simulate(before(all_told, slots), seconds, slots)
    return Case(all_told, seconds, slots, optimum(all_told, seconds, slots, most))


def of_digits(slots: int) -> Case:
    """The digits' matrix with as many seeds as it takes: costs as they were, and nothing known."""
    arms = sum(job.spec.kind == "train" for job in planned(DIGITS, seeds=(0,)).jobs)
    plan = planned(DIGITS, seeds=tuple(range(-(-TRAININGS * slots // arms))))
    seconds = {each: cost.seconds for each, cost in costs_of_digits(plan).items()}
    of_all = bundles(plan.jobs)
    return Case(of_all, seconds, slots, lower_bound(of_all, seconds, slots))


def optimum(items: Sequence[Item], seconds: Costs, slots: int, most: float) -> float:
    """The least time of any plan, also of those in which a place waits though an item is ready; it
    is at most `most`. By branch and bound: the next to start, with no start before the last."""
    ways, jobs = longest_ways(items, seconds), {item.id: item.ends(seconds) for item in items}
    known = {job for each in jobs.values() for _, job in each}
    needs = {item.id: known.intersection(item.needs) for item in items}
    needed = set[str]().union(*needs.values())
    leaves = {each for each, of in jobs.items() if needed.isdisjoint(job for _, job in of)}
    takes = {each: of[-1][0] for each, of in jobs.items()}
    least = lower_bound(items, seconds, slots) * (1 + 1e-9)

    def look(left: list[str], free: tuple[float, ...], ends: Costs, now: float, b: float) -> float:
        if not left:
            return min(b, max(free))
        work = sum(max(each, now) for each in free) + sum(takes[each] for each in left)
        if work / slots >= b or b <= least:
            return b
        ready = [each for each in left if needs[each] <= ends.keys()]
        at = {each: max(free[0], now, *(ends[need] for need in needs[each])) for each in ready}
        tried = set[object]()
        for item in ready:
            like_it = (at[item], takes[item]) if item in leaves else item
            if like_it in tried:
                continue
            tried.add(like_it)
            if any(at[item] + ways[each] >= b * (1 - 1e-9) for each in left):
                continue  # none starts before this one
            place = max(i for i in range(slots) if free[i] <= at[item])
            places = sorted((*free[:place], *free[place + 1 :], at[item] + takes[item]))
            others = [each for each in left if each != item]
            ended = ends | {job: at[item] + end for end, job in jobs[item]}
            b = look(others, tuple(places), ended, at[item], b)
        return b

    by_way = sorted(ways, key=lambda each: -ways[each])
    return look(by_way, (0.0,) * slots, {}, 0.0, most)


def row(name: str, slots: int, cases: Iterable[Case]) -> tuple[str, ...]:
    both = [(case.ratio(before), case.ratio(in_order)) for case in cases]
    figures = (figure for each in zip(*both, strict=True) for figure in (mean(each), max(each)))
    over = sum(now > PROMISED for _, now in both)
    return (name, f"{len(both)}", f"{slots}", *(f"{each:.3f}" for each in figures), f"{over}")


def main(plans: int = 200) -> None:
    chance, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for called, made_by, most in (("large", large, 64), ("small", small, 8)):
            for known in get_args(Known):
                for slots in (each for each in DEVICES if each <= most):
                    count = plans if slots < 64 else max(plans // 4, 1)
                    cases = (made_by(chance, folder, slots, known) for _ in range(count))
                    rows.append(row(f"{called}, costs {known}", slots, cases))
    rows += [row("the digits' matrix", slots, [of_digits(slots)]) for slots in DEVICES]
    over = f"above {PROMISED}"
    titles = ("", "plans", "devices", "before: mean", "worst", "now: mean", "worst", over)
    print(grid(Grid(titles, rows)), end="")
