"""The order in which jobs start, and what it comes to: against Graham's bounds (1969), all orders
that there are, and the scheduler's own loop."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.spec import BenchmarkSpec, EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from experiments.execution.engines import Slot
from experiments.plan.bundles import bundles
from experiments.plan.jobs import Estimate, Job
from experiments.plan.order import (
    Span,
    longest_ways,
    lower_bound,
    ordered,
    schedule,
    simulate,
    whole,
)
from experiments.plan.plan import Plan, in_order
from tests.benchmarks import order as benchmark
from tests.experiments.fakes import Timed


@dataclass(frozen=True)
class Piece:
    id: str
    needs: tuple[str, ...] = ()
    is_speed: bool = False
    others: tuple[str, ...] = ()
    """Jobs beside the one of its name."""
    are_one: bool = True

    def ends(self, seconds: Mapping[str, float]) -> list[tuple[float, str]]:
        jobs = (self.id, *self.others)
        each = [seconds[job] for job in jobs]
        return sorted(zip(each if self.are_one else accumulate(each), jobs, strict=True))


Costs = dict[str, float]
Made = tuple[list[Piece], Costs]
SLOTS = st.integers(1, 5)


@st.composite
def plans(draw: st.DrawFn, most: int = 20, speeds: int = 3) -> Made:
    """Each has one to three jobs, as one or one after the other, and may need up to two of those
    before it; costs may be equal, or none at all."""
    made: list[Piece] = []
    jobs: list[str] = []
    for index in range(draw(st.integers(1, most))):
        needs = draw(st.lists(st.sampled_from(jobs), max_size=2, unique=True)) if jobs else []
        name = f"job {index}"
        others = tuple(f"{name}.{other}" for other in range(draw(st.integers(0, 2))))
        made.append(Piece(name, tuple(needs), others=others, are_one=draw(st.booleans())))
        jobs += (name, *others)
    made += [
        Piece(f"speed {index}", is_speed=True) for index in range(draw(st.integers(0, speeds)))
    ]
    made = draw(st.permutations(made))
    some = st.integers(0, 9).map(float) | st.floats(0.0, 100.0)
    names = [job for piece in made for job in (piece.id, *piece.others)]
    return made, {job: draw(some) for job in names}


def ended(pieces: Sequence[Piece], costs: Costs, spans: Mapping[str, Span]) -> Costs:
    """When each job has ended."""
    return {job: spans[piece.id].start + end for piece in pieces for end, job in piece.ends(costs)}


def brute_force(pieces: Sequence[Piece], costs: Costs, slots: int) -> float:
    return min(simulate(each, costs, slots) for each in permutations(pieces))


@given(plans(), SLOTS)
def test_nothing_starts_before_its_needs_or_without_a_place(made: Made, slots: int) -> None:
    pieces, costs = made
    spans = schedule(ordered(pieces, costs, slots, are_sure=True), costs, slots)
    last = max((spans[p.id].end for p in pieces if not p.is_speed), default=0.0)
    ends = ended(pieces, costs, spans)
    for piece in pieces:
        span = spans[piece.id]
        assert span.end == max(ends[job] for job in (piece.id, *piece.others))
        assert all(ends[need] <= span.start for need in piece.needs)
        at_once = [p for p in pieces if spans[p.id].start <= span.start < spans[p.id].end]
        assert len(at_once) <= (1 if piece.is_speed else slots)
        assert not piece.is_speed or span.start >= last


@given(plans(speeds=0), SLOTS, st.booleans())
def test_no_place_is_idle_while_something_is_ready(made: Made, slots: int, is_given: bool) -> None:
    pieces, costs = made
    spans = schedule(
        pieces if is_given else ordered(pieces, costs, slots, are_sure=True), costs, slots
    )
    ends = ended(pieces, costs, spans)
    for piece in pieces:
        ready = max((ends[need] for need in piece.needs), default=0.0)
        for moment in {*ends.values(), 0.0}:
            if ready <= moment < spans[piece.id].start:
                busy = [s for s in spans.values() if s.start <= moment < s.end]
                assert len(busy) == slots, f"{piece.id} was ready at {moment}"


@given(plans(), SLOTS, st.booleans())
def test_graham(made: Made, slots: int, is_given: bool) -> None:
    """Work / m + (1 - 1/m) of the longest way, for any list."""
    pieces, costs = made
    until = simulate(
        pieces if is_given else ordered(pieces, costs, slots, are_sure=True), costs, slots
    )
    before = [piece for piece in pieces if not piece.is_speed]
    speeds = sum(costs[piece.id] for piece in pieces if piece.is_speed)
    work = sum(whole(piece, costs) for piece in pieces)
    bound = lower_bound(before, costs, slots)
    assert lower_bound(pieces, costs, slots) == pytest.approx(bound + speeds)
    assert bound + speeds <= until * (1 + 1e-9)
    assert until - speeds <= (2 - 1 / slots) * bound * (1 + 1e-9) + 1e-9
    assert simulate(pieces, costs, 1) == pytest.approx(work)


@given(plans(speeds=0))
def test_a_way_goes_on_with_the_longest_of_those_that_need_it(made: Made) -> None:
    pieces, costs = made
    ways = longest_ways(pieces, costs)
    of = {job: piece.id for piece in pieces for job in (piece.id, *piece.others)}
    for piece in pieces:
        assert ways[piece.id] == max(
            end + max((ways[each.id] for each in pieces if job in each.needs), default=0.0)
            for end, job in piece.ends(costs)
        )
        assert all(ways[of[need]] >= ways[piece.id] for need in piece.needs), "a teacher is first"
    ids = {piece.id for piece in pieces[1:]}
    assert longest_ways(pieces[1:], costs).keys() == ids, "what it needs may be done"


@given(plans(), SLOTS)
def test_what_is_tried_makes_nothing_longer(made: Made, slots: int) -> None:
    pieces, costs = made
    sure = ordered(pieces, costs, slots, are_sure=True)
    assert simulate(sure, costs, slots) <= simulate(by_way(pieces, costs), costs, slots)
    assert sure == ordered(pieces, costs, slots, are_sure=True), "the same each time"
    assert ordered(pieces, costs, slots, are_sure=False) == by_way(pieces, costs)


def by_way(pieces: Sequence[Piece], costs: Mapping[str, float]) -> list[Piece]:
    ways = longest_ways(pieces, costs)
    return sorted(pieces, key=lambda piece: (piece.is_speed, -ways[piece.id]))


@given(plans(most=5, speeds=0), st.integers(1, 3))
def test_the_benchmarks_optimum_is_the_least_of_all_orders(made: Made, slots: int) -> None:
    """Also where it pays to wait while something is ready, which the scheduler never does."""
    pieces, costs = made
    found = benchmark.optimum(pieces, costs, slots, simulate(pieces, costs, 1))
    assert found == pytest.approx(min(waiting(each, costs, slots) for each in permutations(pieces)))
    assert found <= brute_force(pieces, costs, slots) * (1 + 1e-9)


def waiting(pieces: Sequence[Piece], costs: Costs, slots: int) -> float:
    """How long they take where each has its place before the next one has."""
    free, ends = [0.0] * slots, Costs()
    for piece in pieces:
        if not ends.keys() >= set(piece.needs):
            return math.inf
        ready = max((ends[need] for need in piece.needs), default=0.0)
        place = max((each for each in free if each <= ready), default=min(free))
        free.remove(place)
        ends |= {job: max(place, ready) + end for end, job in piece.ends(costs)}
        free.append(max(place, ready) + whole(piece, costs))
    return max(free)


def test_it_may_pay_to_wait() -> None:
    """Found among 12,000 plans of up to five jobs with a need at most: three were like it."""
    chain = [Piece("1", ("0",)), Piece("2", ("0",)), Piece("4", ("1",))]
    pieces = [Piece("0"), *chain, Piece("3")]
    costs = {"0": 1.0, "1": 5.0, "2": 9.0, "3": 8.0, "4": 3.0}
    assert benchmark.optimum(pieces, costs, 2, 26.0) == 14
    assert brute_force(pieces, costs, 2) == 15


def test_small_plans_come_near_the_optimum(tmp_path: Path) -> None:
    """At most 1.05 times, where costs are known; the benchmark has more of them."""
    chance = random.Random(0)
    for slots in (2, 3, 4) * 5:
        case = benchmark.small(chance, tmp_path, slots, benchmark.KNOWN)
        assert simulate(in_order(case.bundles, slots), case.seconds, slots) <= 1.05 * case.least


def independent(*costs: float) -> Made:
    pieces = [Piece(f"{index}") for index in range(len(costs))]
    return pieces, dict(zip((piece.id for piece in pieces), costs, strict=True))


def test_what_longest_first_misses() -> None:
    """The worst case of longest first on two places, 4/3 - 1/6 of the best (Graham 1969)."""
    pieces, costs = independent(2, 3, 2, 3, 2)
    assert simulate(by_way(pieces, costs), costs, 2) == 7
    assert simulate(ordered(pieces, costs, 2, are_sure=True), costs, 2) == 6


def test_what_is_good_enough_stays_and_equal_ones_stay_as_they_came() -> None:
    pieces, costs = independent(3, 2, 3, 2, 3, 2, 3, 2)
    speed = Piece("speed", is_speed=True)
    made = ordered([speed, *pieces], {**costs, "speed": 99}, 2, are_sure=True)
    assert [piece.id for piece in made] == ["0", "2", "4", "6", "1", "3", "5", "7", "speed"]


def test_a_teacher_starts_before_what_takes_longer() -> None:
    """The longest first starts the teacher last, and the student when all others have ended."""
    pieces = [
        *(Piece(f"{index}") for index in range(20)),
        Piece("teacher"),
        Piece("student", ("teacher",)),
    ]
    costs = {**{piece.id: 10.0 for piece in pieces}, "teacher": 8.0}
    made = ordered(pieces, costs, 8, are_sure=False)
    assert made[0].id == "teacher"
    assert simulate(made, costs, 8) == 30
    longest_first = sorted(pieces, key=lambda piece: -costs[piece.id])
    assert simulate(longest_first, costs, 8) == 38


Drawn = tuple[list[Job], Costs]


@st.composite
def jobs(draw: st.DrawFn) -> Drawn:
    """Families of trainings that one training does, which may need others' teachers, evaluations of
    each, and speeds; in any order, known by records, by the catalogue or not at all."""
    data, made = DataSpec(name="digits"), list[Job]()
    for seed in range(draw(st.integers(1, 6))):
        teachers = [job.id for job in made if job.spec.kind == "train"]
        for epochs in draw(st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True)):
            spec = TrainSpec(data=data, model="ghostnet", seed=seed, epochs=epochs)
            needs = draw(st.lists(st.sampled_from(teachers), max_size=1)) if teachers else []
            made.append(Job(spec, needs=tuple(needs)))
            for split in draw(st.sampled_from(((), ("val",), ("val", "test")))):
                made.append(Job(EvaluateSpec.of(spec, RAW, split=split), needs=(spec.signature,)))
    for size in range(draw(st.integers(0, 2))):
        made.append(
            Job(BenchmarkSpec(model="ghostnet", classes=10, image_size=32, batch_size=size + 1))
        )
    some = st.integers(0, 9).map(float) | st.floats(0.0, 100.0)
    known = draw(st.sampled_from(((some,), (some, st.none()))))
    made = [
        replace(job, estimate=Estimate(draw(some), draw(st.one_of(known)), "records"))
        for job in draw(st.permutations(made))
    ]
    return made, {job.id: draw(some) for job in made}


@given(jobs(), st.lists(st.sampled_from(["0", "1", "cpu"]), min_size=1, max_size=4))
def test_the_scheduler_does_what_is_simulated(made: Drawn, devices: list[str]) -> None:
    todo, seconds = made
    engine = Timed(seconds, [Slot(device, index) for index, device in enumerate(devices)])
    engine.run(Plan(tuple(todo)))
    order = in_order(bundles(todo), len(devices))
    spans = schedule(order, seconds, len(devices))
    assert engine.starts == {each: span.start for each, span in spans.items()}
    assert engine.ends == {
        job: spans[each.id].start + end for each in order for end, job in each.ends(seconds)
    }
    assert engine.ends.keys() == seconds.keys()


@given(jobs(), st.integers(1, 4), st.data())
def test_what_runs_goes_on_beside_the_rest(made: Drawn, slots: int, data: st.DataObject) -> None:
    """Looked at again while it runs, with what is left of each, all ends when it did at first."""
    todo, seconds = made
    order = in_order(bundles(todo), slots)
    spans = schedule(order, seconds, slots)
    until = max(span.end for span in spans.values())
    ends = {job: spans[b.id].start + end for b in order for end, job in b.ends(seconds)}
    now = data.draw(st.sampled_from(sorted({0.0, *(end for end in ends.values())})))
    open_ = {job for job, end in ends.items() if end > now}
    begun = {b.id for b in order if spans[b.id].start <= now and not b.is_speed}
    left, running = dict(seconds), set[str]()
    rest = [each for each in (bundle.only(open_) for bundle in order) if each.jobs]
    for each in rest:
        if each.id in begun:
            running |= {job.id for job in each.jobs}
            before = now
            for end, job in sorted((ends[job.id], job.id) for job in each.jobs):
                left[job] = end - now if each.is_one_training else end - before
                before = end
    speeds = {bundle.id for bundle in order if bundle.is_speed}
    if any(spans[each].start < now for each in speeds):
        return
    again = simulate(rest, left, slots, running=running)
    assert now + again == pytest.approx(until)
