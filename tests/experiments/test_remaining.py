"""How long it will take, on plans whose truth is known, by a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.basics.progress import Progress
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from experiments.execution.view.remaining import Course, Forecast, Pace, Rates
from experiments.plan.costs import costs
from experiments.plan.jobs import Estimate, Job, JobState
from experiments.plan.plan import Plan
from tests.benchmarks import remaining as benchmark
from tests.benchmarks.remaining import STARTING, Cost, Replay

DATA = DataSpec(name="digits")


def training(model: str = "mobilenetv2", seed: int = 0, gflop: float | None = 100.0) -> Job:
    spec = TrainSpec(data=DATA, model=model, seed=seed)
    return Job(spec, tracks=(RAW,), estimate=Estimate(gflop, None, "table" if gflop else None))


def evaluation(of: Job, gflop: float = 2.0, split: str = "val") -> Job:
    assert isinstance(of.spec, TrainSpec)
    spec = EvaluateSpec.of(of.spec, RAW, split=split)
    return Job(spec, needs=(of.id,), estimate=Estimate(gflop, None, "table"))


def speed(bound: float, batch_size: int = 64) -> Job:
    spec = BenchmarkSpec(model="mobilenetv2", classes=10, image_size=224, batch_size=batch_size)
    return Job(spec, estimate=Estimate(None, bound, "table"))


def error(jobs: list[Job], costs: Mapping[str, Cost], slots: int, moment: float = 0.1) -> float:
    replay = Replay(Plan(tuple(jobs)), costs, slots)
    replay.run()
    found = replay.error(moment)
    assert found is not None, "nothing was known"
    return abs(found)


def all_alike(jobs: list[Job], seconds: float = 100.0, epochs: int = 10) -> dict[str, Cost]:
    return {job.id: Cost(seconds, epochs, epochs, validating=0.1) for job in jobs}


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("gflop", [100.0, None], ids=["catalogue", "another model"])
def test_equal_jobs(slots: int, gflop: float | None) -> None:
    jobs = [training(seed=seed, gflop=gflop) for seed in range(12)]
    assert error(jobs, all_alike(jobs), slots) < 0.1
    assert error(jobs, all_alike(jobs), slots, moment=0.5) < 0.05


def test_jobs_that_wait_go_by_their_own_kind_and_model() -> None:
    """ghostnet takes ten times what its operations say, and both have run once."""
    rates = Rates()
    quick, slow = training(), training("ghostnet", gflop=50.0)
    rates.add(quick, 10.0)
    assert rates.expected(training(seed=1)) == 10.0
    by_work = rates.expected(training("ghostnet", seed=1, gflop=50.0))
    assert by_work is not None and by_work < 20.0
    rates.add(slow, 100.0)
    rates.add(training("ghostnet", seed=2, gflop=50.0), 110.0)
    assert rates.expected(training("ghostnet", seed=1, gflop=50.0)) == pytest.approx(105.0)
    assert rates.expected(training(seed=1)) == 10.0, "the other's stays"
    assert rates.expected(training(seed=1, gflop=200.0)) == 20.0, "of twice the epochs"


def test_records_are_believed_before_work_is() -> None:
    rates = Rates([(training(), 10.0)])
    known = training("ghostnet", gflop=50.0)
    known = replace(known, estimate=Estimate(50.0, 70.0, "records"))
    assert rates.expected(known) == 70.0
    recorded = replace(training("resnet50", gflop=50.0), estimate=Estimate(50.0, 40.0, "records"))
    rates.add(recorded, 80.0)
    assert rates.expected(known) == 140.0, "all take twice what records say today"


def test_nothing_is_said_of_what_is_not_known() -> None:
    job = training(gflop=None)
    left = Forecast([job]).remaining({}, {job.id: job}, 1)
    assert (left.seconds, left.share) == (None, 0.0)


def test_slots_and_what_waits_for_what() -> None:
    """All take what records say, and one of the places is taken."""
    first, second = (
        replace(training(seed=seed), estimate=said(s)) for seed, s in ((0, 10), (1, 4))
    )
    others = [evaluation(first), evaluation(first, split="test"), evaluation(second)]
    after = [replace(job, estimate=said(s)) for job, s in zip(others, (3, 3, 1), strict=True)]
    jobs = {job.id: job for job in (first, second, *after)}
    # On two: 4, then 1, while the first takes 10, then its two evaluations, one after the other.
    assert Forecast(jobs.values()).remaining({}, jobs, 2).seconds == 16.0
    assert Forecast(jobs.values()).remaining({}, jobs, 1).seconds == 21.0
    begun = {first.id: Course(9.0)}
    assert Forecast(jobs.values()).remaining(begun, jobs, 2).seconds == 7.0


def said(seconds: float) -> Estimate:
    return Estimate(None, seconds, "records")


def test_speeds_come_last_and_one_by_one() -> None:
    jobs = [training(), training(seed=1), speed(30.0), speed(20.0, batch_size=8)]
    costs = {**all_alike(jobs), jobs[2].id: Cost(30.0), jobs[3].id: Cost(20.0)}
    assert error(jobs, costs, 2) < 0.1


def test_a_training_that_goes_on_from_its_middle() -> None:
    """Its pace is of what it does now, and tells what the others take from their beginning."""
    jobs = [training(seed=seed) for seed in range(6)]
    costs = all_alike(jobs)
    costs[jobs[0].id] = replace(costs[jobs[0].id], seconds=40.0, began=0.6)
    assert error(jobs, costs, 1) < 0.1
    assert error(jobs, costs, 2, moment=0.25) < 0.1


def patient(seed: int = 0, model: str = "mobilenetv2") -> Job:
    """It ends early after 3 of 10 epochs without a better one."""
    spec = TrainSpec(data=DATA, model=model, seed=seed, epochs=10, patience=3)
    return Job(spec, tracks=(RAW,))


EARLY = Cost(50.0, 5, 10, validating=0.1, better=(1, 2), patience=3)


@pytest.mark.parametrize("moment", [0.1, 0.15, 0.5])
def test_trainings_that_stop_early_are_expected_to(moment: float) -> None:
    jobs = [patient(seed) for seed in range(10)]
    assert error(jobs, {job.id: EARLY for job in jobs}, 1, moment) < 0.15


@pytest.mark.parametrize("moment", benchmark.MOMENTS)
@pytest.mark.parametrize("ends", benchmark.PATIENT)
def test_early_ends_cost_the_estimate_little(ends: str, moment: float) -> None:
    mixed = benchmark.planned(benchmark.DIGITS)
    costs = benchmark.costs_of_digits(mixed)
    plan, costs = benchmark.patient(mixed, costs, benchmark.PATIENT[ends])
    assert error(list(plan.jobs), costs, 2, moment) < 0.25


def test_an_arm_that_learns_nothing_says_nothing_of_others() -> None:
    """It ends as soon as it can."""
    forecast, other = Forecast([patient()]), patient(model="ghostnet")
    forecast.ended(patient(), Course(40.0, share=0.4, pace=100.0, least=0.4))
    early = Course(5.0, share=0.05, pace=100.0, least=0.4)
    assert forecast.of(patient(1), early) == pytest.approx(35.0)
    assert forecast.of(other, early) == pytest.approx(95.0)


def test_no_training_is_said_to_end_before_it_can() -> None:
    """All like it ended after half; this one got better after 6 epochs, which is 9 at least."""
    job, forecast = patient(), Forecast([patient()])
    for seed in (1, 2):
        forecast.ended(patient(seed), Course(50.0, share=0.5, pace=100.0, least=0.5))

    def left(share: float, least: float) -> float:
        course = Course(100 * share, share=share, pace=100.0, least=least)
        seconds = forecast.of(job, course)
        assert seconds is not None
        return seconds

    assert left(0.6, least=0.9) == pytest.approx(30.0)
    assert left(0.3, least=0.6) == pytest.approx(30.0)
    assert left(0.2, least=0.4) == pytest.approx(0.5 * 100 - 20 - 10 / 3), "a third has gone by"
    assert left(0.6, least=1.0) == pytest.approx(40.0)


@given(st.floats(0.0, 1.0), st.floats(0.1, 1.0))
def test_the_longer_nothing_gets_better_the_nearer_its_end(share: float, least: float) -> None:
    """With none like it that has ended: between the soonest end and the latest."""
    if least < share or least - share > 0.3:
        return
    course = Course(100 * share, share=share, pace=100.0, least=least)
    left = Forecast([patient()]).of(patient(), course)
    assert left is not None and 100 * (least - share) - 1e-6 <= left <= 100 * (1 - share) + 1e-6
    if least == share:
        assert left == pytest.approx(0.0)


@pytest.mark.parametrize(("patience", "epochs"), [(0, 10), (10, 10), (30, 8)])
def test_without_patience_nothing_ends_early(patience: int, epochs: int) -> None:
    spec = TrainSpec(data=DATA, model="mobilenetv2", epochs=epochs, patience=patience)
    job = Job(spec, tracks=(RAW,))
    course = Course(50.0, share=0.5, pace=100.0)
    assert Forecast([job]).of(job, course) == pytest.approx(50.0)


def test_a_speed_ends_when_its_time_is_over() -> None:
    """After two of 300 passes that take 3 s each, of half a minute."""
    spec = BenchmarkSpec(model="mobilenetv2", classes=10, image_size=224, seconds=30.0)
    job = Job(spec, estimate=Estimate(None, 30.0, "table"))
    course = Course(8.0, before=2.0, share=2 / 300, pace=900.0)
    assert Forecast([job]).of(job, course) == pytest.approx(24.0)
    other = Job(spec.model_copy(update={"batch_size": 8}), estimate=job.estimate)
    todo = {each.id: each for each in (job, other)}
    left = Forecast([job, other]).remaining({job.id: course}, todo, 1).seconds
    assert left == pytest.approx(24.0 + 32.0), "and so will the next"
    quick = Course(2.0, before=1.0, share=0.5, pace=2.0)
    assert Forecast([job]).of(job, quick) == pytest.approx(1.0)


def test_what_comes_before_the_first_step_is_no_pace() -> None:
    clock = [0.0]
    pace = Pace(training(), lambda: clock[0])
    assert pace.course() == Course(0.0)
    for clock[0], said in (
        (5.0, Progress("decoding", 400, 800)),
        (9.0, Progress("decoding", 800, 800)),
        (10.0, Progress("epoch 1/10", 1, 100)),
        (30.0, Progress("epoch 1/10", 11, 100)),
    ):
        pace.update(said)
    course = pace.course()
    assert (course.before, course.share, course.began, course.pace) == (10.0, 0.11, 0.0, 200.0)
    assert course.whole == 210.0
    left = Forecast([pace.job]).of(pace.job, course)
    assert left == pytest.approx(0.89 * 200)


@pytest.mark.parametrize("state", ["todo", "done"])
def test_the_whole_is_told_by_time(state: JobState) -> None:
    """Of one job of 100 and one of 2 seconds, the long one's half is half of it all."""
    long = training()
    short = replace(evaluation(long, gflop=2.0), state=state)
    forecast = Forecast([long, short])
    todo = {job.id: job for job in (long, short) if job.state == "todo"}
    half = {long.id: Course(50.0, share=0.5, pace=100.0)}
    assert forecast.remaining(half, todo, 1).share == pytest.approx(0.5, abs=0.02)


def test_a_job_of_a_second_more_costs_the_estimate_nothing() -> None:
    jobs = [training(seed=seed) for seed in range(4)]
    jobs += [evaluation(job, split=split) for job in jobs for split in ("val", "test")]
    costs = {job.id: Cost(100.0 if job.spec.kind == "train" else 2.0) for job in jobs}
    replay = Replay(Plan(tuple(jobs)), costs, 2)
    replay.run()
    truth = (4 * (100.0 + STARTING) + 4 * (2 * 2.0 + STARTING)) / 2
    assert replay.said[-1][0] == pytest.approx(truth), "the scheduler's own order"


@pytest.mark.parametrize("slots", [1, 2])
def test_the_digits_own_costs(slots: int) -> None:
    """Three models, of which a tenth of the time shows one; docs/numbers.md has more moments."""
    plan = benchmark.planned(benchmark.DIGITS)
    assert error(list(plan.jobs), benchmark.costs_of_digits(plan), slots) < 0.25


def test_who_looks_from_outside_says_what_the_runner_says() -> None:
    """The plan is made anew meanwhile: what is done is known by its record, and what runs has a
    kept state, so that its estimate is of the rest."""
    done, running, waiting, other = (training(seed=seed) for seed in range(4))
    todo = {job.id: job for job in (running, waiting, other)}
    course = {running.id: Course(45.0, share=0.75, pace=60.0)}
    runner = Forecast([done, *todo.values()])
    runner.ended(done, Course(60.0, share=1.0))
    rest = replace(running, estimate=Estimate(25.0, None, "table"), begun=0.75)
    ended = replace(done, state="done", took=60.0)
    outside = Forecast([ended, rest, waiting, other])
    said = runner.remaining(course, todo, 1)
    assert said.seconds == 135.0 and said.share == pytest.approx(105 / 240)
    assert outside.remaining(course, todo | {rest.id: rest}, 1) == said


def test_what_goes_on_from_a_state_takes_its_rest() -> None:
    """Of the training, and of shorter ones that end on its way; what it takes tells of others how
    long a whole one is."""
    long = replace(training(gflop=50.0), begun=0.5)
    assert isinstance(long.spec, TrainSpec)
    short = Job(long.spec.model_copy(update={"epochs": long.spec.epochs * 3 // 4}))
    fresh, before = training(seed=1), replace(training(seed=2), state="done", took=80.0)
    forecast = Forecast([before, long, short, fresh])
    assert [forecast.of(job) for job in (fresh, long, short)] == [
        80.0,
        40.0,
        pytest.approx(20.0, abs=1),
    ]
    assert costs([long, short, fresh])[short.id] == pytest.approx(
        0.5 * costs([long])[long.id], abs=1
    )
    course = Course(5.0, share=0.6, began=0.5, pace=50.0)
    assert forecast.of(long, course) == 20.0 and forecast.of(short, course) == pytest.approx(
        7, abs=1
    )
    forecast.ended(long, Course(25.0, share=1.0, began=0.5))
    assert forecast.of(fresh) == 65.0, "25 s for a half is 50 s for a whole: the mean of 80 and 50"
