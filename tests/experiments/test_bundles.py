"""Jobs that one process does: what belongs together, and that each has its own fate."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import job as classifying
from classifier.basics import machine
from classifier.basics.machine import Platform
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, Precision, TrainSpec
from classifier.config.tracks import RAW
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.inference.evaluate import load_for_inference
from classifier.models import checkpoint
from classifier.plugins.spec import UserMetric
from classifier.records.record import Record
from classifier.tricks.ema import Ema
from experiments.cli.watch import _at
from experiments.execution import scheduler, worker
from experiments.execution.boards import Board, Running
from experiments.execution.claims import Claims
from experiments.execution.engines import EngineOptions, Perform
from experiments.execution.engines.local import LocalEngine
from experiments.execution.scheduler import Summary
from experiments.execution.view.remaining import Course, Forecast
from experiments.plan import bundles as bundling
from experiments.plan.bundles import bundles, group_of
from experiments.plan.costs import costs
from experiments.plan.families import leading
from experiments.plan.jobs import Estimate, Job
from experiments.plan.judge import Judge
from experiments.plan.order import longest_ways, simulate
from experiments.plan.plan import Plan
from experiments.store.housekeeping import _busy
from experiments.store.leases import Holder, Leases, held, me
from experiments.store.store import Store
from tests.experiments import fakes

pytestmark = pytest.mark.usefixtures("no_process_remains")

EMA = Ema()
PARTS: list[dict[str, Any]] = [
    {"split": "val", "precision": "fp16"},
    {"split": "val"},
    {"split": "test"},
    {"split": "val", "tta": True},
    {"split": "test", "data": DataSpec(name="digits", limit=3)},
]


def evaluations(of: Job) -> list[Job]:
    assert isinstance(of.spec, TrainSpec)
    made = [EvaluateSpec.of(of.spec, RAW, **settings) for settings in PARTS]
    return [Job(spec, needs=(of.id,)) for spec in made]


def test_what_looks_at_one_training_is_one_bundle() -> None:
    first, second = fakes.jobs(2)
    assert isinstance(first.spec, TrainSpec)
    asked = evaluations(first)
    assert isinstance(asked[0].spec, EvaluateSpec)
    averaged = Job(EvaluateSpec.of(first.spec, EMA, split="val"), needs=(first.id,))
    digest = "0" * 16
    metric = UserMetric(name="mine", file="m.py", line=1, digest=digest, takes=2, better="more")
    of_it = Job(MetricSpec(evaluation=asked[0].spec, metric=metric), needs=(asked[0].id,))
    speeds = [Job(BenchmarkSpec(model="ghostnet", classes=n)) for n in (2, 3)]
    todo = [first, second, *asked[1:], of_it, asked[0], averaged, *evaluations(second), *speeds]
    found = bundles(todo)
    assert [bundle.jobs for bundle in found] == [
        (first,),
        (second,),
        (averaged, *asked, of_it),
        tuple(evaluations(second)),
        *((speed,) for speed in speeds),
    ]
    assert len({bundle.id for bundle in found}) == 6
    assert Counter(job.id for bundle in found for job in bundle.jobs) == Counter(
        job.id for job in todo
    )
    assert [bundle.id for bundle in bundles([asked[3]])] == [found[2].id], "whatever is done of it"


def test_trainings_of_a_family_are_one_bundle() -> None:
    one, other = fakes.jobs(2)
    patient = Job(one.spec.model_copy(update={"patience": 3}))
    assert [each.jobs for each in bundles([one, other, patient])] == [(one, patient), (other,)]
    assert bundles([one])[0].id == bundles([patient])[0].id == f"train-{one.trained.family}"


# On a real engine --------------------------------------------------------------------------------


def engine(runs: Path, perform: Perform, slots: int = 1) -> LocalEngine:
    runs.mkdir(exist_ok=True)
    place = Place(runs, runs=runs)
    return LocalEngine(EngineOptions(place, devices=("cpu",), jobs_per_device=slots), perform)


def run(made: LocalEngine, watch: fakes.Watcher, *jobs: Job, **settings: Any) -> Summary:
    claims = fakes.Alone()
    outcome = scheduler.run(fakes.plan(*jobs), made, watch, claims, **settings)
    assert not claims.held, "all claims are given back"
    return outcome


def done(job: Job) -> Job:
    return replace(job, state="done")


def ids(jobs: Sequence[Job]) -> list[str]:
    return [job.id for job in jobs]


def test_one_that_fails_does_not_cost_the_others(tmp_path: Path) -> None:
    """Each try has a process, and the log of each job what it printed."""
    training, watch = fakes.jobs(1)[0], fakes.Watcher()
    asked = evaluations(training)
    fakes.tell(tmp_path, asked[1], "refuse")
    fakes.tell(tmp_path, asked[2], "raise")
    outcome = run(engine(tmp_path, fakes.as_told), watch, training, *asked)
    assert (outcome.failed, outcome.blocked, outcome.left) == (1, 0, 0)
    assert watch.events[2:] == [
        ("started", asked[0].id),
        ("finished", asked[0].id),
        ("started", asked[1].id),
        ("failed", asked[1].id),
        ("started", asked[2].id),
        ("retried", asked[2].id),
        ("started", asked[3].id),
        ("finished", asked[3].id),
        ("started", asked[4].id),
        ("finished", asked[4].id),
        ("started", asked[2].id),
        ("finished", asked[2].id),
    ]
    pids = Counter(note["pid"] for note in fakes.notes(tmp_path))
    assert sorted(pids.values()) == [1, 1, 5], "the training, the evaluations, and one once more"
    store = Store(tmp_path)
    assert set(store.read().failures) == {asked[1].id, asked[2].id}, "which a worker forgets"
    assert "set lr lower" in store.log(asked[1].spec).read_text()
    told = store.log(asked[2].spec).read_text()
    assert told.count("Traceback") == 1 and told.count("thread(s)") == 2
    assert "Traceback" not in store.log(asked[3].spec).read_text()


def test_a_process_that_dies_costs_what_it_was_at(tmp_path: Path) -> None:
    training, watch = fakes.jobs(1)[0], fakes.Watcher()
    asked = evaluations(training)
    fakes.tell(tmp_path, asked[2], "die")
    assert run(engine(tmp_path, fakes.as_told), watch, done(training), *asked).lost == 0
    assert watch.order("retried") == [asked[2].id]
    assert watch.reasons[asked[2].id].startswith("its process was ended by SIGKILL")
    assert watch.order("finished") == ids(asked)
    assert [note["job"] for note in fakes.notes(tmp_path)] == ids([*asked[:3], *asked[2:]])
    fakes.tell(tmp_path, asked[2], "die")
    again = fakes.Watcher()
    assert (
        run(engine(tmp_path, fakes.as_told), again, done(training), *asked, retries=0).failed == 1
    )
    assert again.order("failed") == [asked[2].id]
    assert again.order("finished") == ids([*asked[:2], *asked[3:]]), "no failure of theirs"


def test_one_that_failed_is_nobodys_while_the_others_go_on(tmp_path: Path) -> None:
    """For other runners, `--watch` and `--status`; one that is tried again still is this one's."""
    training, store = done(fakes.jobs(1)[0]), Store(tmp_path)
    asked = evaluations(training)
    fakes.tell(tmp_path, asked[1], "refuse")
    fakes.tell(tmp_path, asked[2], "raise")
    seen: dict[str, tuple[set[str], list[str]]] = {}
    judge = Judge(Platform("A CPU", 2, "2.14.1"), tmp_path)

    class Looking(fakes.Watcher):
        def started(self, job: Job, slots: Any) -> None:
            super().started(job, slots)
            results = store.read()
            states = [judge.judged(each, results, {training.id: training}).state for each in asked]
            seen[job.id] = held(tmp_path), list(states)

    with Claims(store, judge) as claims:
        plan, made = fakes.plan(training, *asked), engine(tmp_path, fakes.as_told)
        assert scheduler.run(plan, made, Looking(), claims).failed == 1
    assert seen[asked[1].id] == (set(ids(asked)), ["running"] * 5)
    assert seen[asked[4].id] == (set(ids(asked[2:])), ["todo", "failed", *["running"] * 3])
    assert not list((tmp_path / ".leases").iterdir())


def test_fail_fast_begins_no_other(tmp_path: Path) -> None:
    training, watch = fakes.jobs(1)[0], fakes.Watcher()
    asked = evaluations(training)
    fakes.tell(tmp_path, asked[1], "refuse")
    fakes.tell(tmp_path, asked[2], "linger")
    made = engine(tmp_path, fakes.as_told)
    outcome = run(made, watch, done(training), *asked, fail_fast=True)
    assert (outcome.failed, outcome.left, outcome.interrupted) == (1, 3, False)
    assert watch.order("finished") == [asked[0].id]


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    training, watch = fakes.jobs(1)[0], fakes.Watcher()
    asked = evaluations(training)
    fakes.tell(tmp_path, asked[1], "linger")

    def press() -> None:
        while len(fakes.notes(tmp_path)) < 2:
            over.wait(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    over = threading.Event()
    threading.Thread(target=press).start()
    outcome = run(engine(tmp_path, fakes.as_told), watch, done(training), *asked)
    assert outcome.interrupted and (outcome.lost, outcome.left) == (0, 4)
    assert watch.order("finished") == [asked[0].id]
    assert watch.order("stopped") == [asked[1].id]
    assert watch.order("started") == ids(asked[:2])
    assert not Store(tmp_path).read().failures, "what was stopped has not failed"


def test_jobs_that_are_one_end_in_any_order_and_each_releases_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As trainings that one training does: one ends, and what needs it is done at once, while the
    process goes on; then it fails, with all that have not ended."""
    trainings, watch = fakes.jobs(3), fakes.Watcher()
    asked = [evaluations(job)[0] for job in trainings]
    families = {job.id: "family" for job in trainings}
    monkeypatch.setattr(bundling, "group_of", lambda job: families.get(job.id) or group_of(job))
    made = engine(tmp_path, fakes.as_one, slots=2)

    def let_go() -> None:
        while ("finished", asked[2].id) not in watch.events:
            over.wait(0.02)
        (tmp_path / "go").touch()

    over = threading.Event()
    waiting = threading.Thread(target=let_go)
    waiting.start()
    outcome = run(made, watch, *trainings, *asked, retries=0)
    waiting.join()
    assert (outcome.failed, outcome.blocked, outcome.left) == (2, 2, 0)
    assert watch.order("started") == ids([*trainings, asked[2]])
    assert watch.order("finished") == ids([trainings[2], asked[2]])
    assert watch.order("failed") == ids(trainings[:2])
    for job in trainings[:2]:
        assert "ZeroDivisionError: one by zero" in Store(tmp_path).log(job.spec).read_text()


def test_what_one_training_takes_is_counted_once() -> None:
    """The longest has the cost, and tells how long it takes."""
    spec = fakes.jobs(1)[0].spec
    alike = [Job(spec.model_copy(update={"patience": n})) for n in (0, 2, 3, 4)]
    lead = max(alike, key=leading)
    nothing = Estimate(0.0, 0.0, "records")
    led = [replace(job, estimate=nothing) for job in alike if job is not lead]
    lead = replace(lead, estimate=Estimate(100.0, 50.0, "records"))
    todo = {job.id: job for job in (*led, lead)}
    whole = Forecast(todo.values()).remaining({}, todo, 1)
    assert (whole.seconds, whole.share) == (50.0, 0.0)
    course = Course(30.0, share=0.5, pace=60.0)
    half = Forecast(todo.values()).remaining(dict.fromkeys(todo, course), todo, 1)
    assert (half.seconds, half.share) == (30.0, 0.5)
    forecast = Forecast(todo.values())
    forecast.ended(led[0], course)
    rest = {job_id: todo[job_id] for job_id in todo if job_id != led[0].id}
    after = forecast.remaining(dict.fromkeys(rest, course), rest, 1)
    assert (after.seconds, after.share) == (30.0, 0.5), "its own seconds are the others' too"


def test_a_shorter_training_ends_at_its_part_of_the_longest() -> None:
    """Its evaluation is not released before that, and what it costs is counted once."""
    spec = fakes.jobs(1)[0].spec.model_copy(update={"epochs": 60})
    lead = Job(spec, estimate=Estimate(100.0, 60.0, "records"))
    short = Job(spec.model_copy(update={"epochs": 15}), estimate=Estimate(0.0, 0.0, "records"))
    of_it = replace(evaluations(short)[0], estimate=Estimate(1.0, 50.0, "records"))
    todo = {job.id: job for job in (lead, short, of_it)}
    assert costs(todo.values()) == {lead.id: 60.0, short.id: 15.0, of_it.id: 50.0}
    assert longest_ways(bundles(todo.values()), costs(todo.values()))[group_of(lead)] == 65
    unseen = [replace(job, estimate=Estimate()) for job in (lead, of_it)]
    assert costs([*unseen, short]) == {lead.id: 1.0, short.id: 0.25, of_it.id: 1.0}
    forecast = Forecast(todo.values())
    assert forecast.of(short) == 15.0
    assert forecast.remaining({}, todo, 2).seconds == 65.0
    assert forecast.remaining({}, todo, 1).seconds == 110.0
    course = Course(6.0, share=0.1, pace=60.0)
    both = {lead.id: course, short.id: course}
    assert forecast.of(short, course) == pytest.approx(9.0)
    left = forecast.remaining(both, todo, 2)
    assert left.seconds == pytest.approx(59.0) and left.share == pytest.approx(6 / 110)
    forecast.ended(short, replace(course, seconds=15.0, share=0.25))
    assert forecast.of(lead) == 60.0, "the part tells nothing of the whole"


def test_one_training_holds_its_place_until_its_last_end(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = fakes.jobs(3)
    asked = [evaluations(job)[0] for job in trainings]
    left = dict(zip(ids([*trainings, *asked]), (10.0, 4.0, 7.0, 1.0, 5.0, 2.0), strict=True))
    families = {job.id: "family" for job in trainings}
    monkeypatch.setattr(bundling, "group_of", lambda job: families.get(job.id) or group_of(job))
    todo = [*trainings, *asked]
    # Ends at 4, 7, 10; on the other place 4 to 9, 9 to 11, and the last on the first, 10 to 11.
    order = bundles(todo)
    assert simulate(order, left, 2) == 11.0
    assert simulate(order, left, 1) == 18.0
    assert simulate(order, left, 1, running=ids(trainings[:1])) == 18.0


# With real evaluations ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("trained") / "runs"
    runs.mkdir()
    list(worker.perform([training()], Place(runs, runs=runs)))
    return runs


def training() -> Job:
    spec = TrainSpec(
        data=DataSpec(name="digits", limit=10),
        model="mobilenetv2",
        image_size=32,
        batch_size=16,
        epochs=1,
    )
    return Job(spec, tracks=(RAW,))


def copied(trained: Path, to: Path) -> Path:
    shutil.copytree(trained, to)
    return to


def files(runs: Path) -> dict[str, bytes]:
    """What was evaluated, but for what it took."""
    found = runs.glob("*/evaluate-*/*")
    return {str(f.relative_to(runs)): f.read_bytes() for f in found if f.name != "cost.json"}


@pytest.fixture(scope="module")
def one_by_one(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A process for each."""
    runs = copied(trained, tmp_path_factory.mktemp("alone") / "runs")
    for job in evaluations(training()):
        assert run(engine(runs, worker.perform), fakes.Watcher(), done(training()), job).lost == 0
    return files(runs)


def test_together_they_say_what_they_say_one_by_one(
    trained: Path, one_by_one: dict[str, bytes], tmp_path: Path
) -> None:
    runs = copied(trained, tmp_path / "runs")
    watch = fakes.Watcher()
    assert run(engine(runs, worker.perform), watch, done(training()), *evaluations(training()))
    assert files(runs) == one_by_one and len(one_by_one) == 2 * len(PARTS)
    assert not list(runs.glob("*/work-*"))


def test_a_network_is_loaded_once_and_the_data_are_looked_at_once(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as both are the same."""
    runs = copied(trained, tmp_path / "runs")
    classifying._network_of.cache_clear()
    classifying._seen.cache_clear()
    loaded, looked = Counter[str](), Counter[str]()
    load, listing = load_for_inference, datasets.listing

    def counted_load(file: Path, precision: Precision, device: Any) -> Any:
        loaded[precision] += 1
        return load(file, precision, device)

    def counted_listing(data: DataSpec, root: Path) -> Any:
        looked[data.title] += 1
        return listing(data, root)

    monkeypatch.setattr(classifying, "load_for_inference", counted_load)
    monkeypatch.setattr(datasets, "listing", counted_listing)
    (bundle,) = bundles(evaluations(training())[:4])
    for each in bundle.jobs:
        list(worker.perform([each], Place(runs, runs=runs)))
    assert loaded == {"fp16": 1, "fp32": 1} and looked == {"digits": 1}
    (weights,) = runs.glob("*/train-raw/best.safetensors")
    device = torch.device("cpu")
    classifying._kept_network(weights, "fp32", device)
    assert loaded["fp32"] == 1
    network, meta = checkpoint.load(weights)
    checkpoint.save(
        weights, checkpoint.to_half(network.state_dict()), replace(meta, mean=[0.1] * 3)
    )
    classifying._kept_network(weights, "fp32", device)
    assert loaded["fp32"] == 2, "the file says something else"


def killed_at_the_third(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """Once, in the middle of its work."""
    third, mark = evaluations(training())[2], place.runs / "killed"

    def report(progress: Progress) -> None:
        if jobs[0].id == third.id and progress.is_work and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    yield from worker.perform(jobs, replace(place, report=report))


def test_a_kill_in_the_middle_of_the_third_of_five(
    trained: Path, one_by_one: dict[str, bytes], tmp_path: Path
) -> None:
    runs, asked = copied(trained, tmp_path / "runs"), evaluations(training())
    watch = fakes.Watcher()
    outcome = run(engine(runs, killed_at_the_third), watch, done(training()), *asked, retries=0)
    assert outcome.failed == 1 and watch.order("failed") == [asked[2].id]
    assert watch.events.index(("finished", asked[1].id)) < watch.events.index(
        ("failed", asked[2].id)
    )
    (runs / "killed").unlink()
    again = fakes.Watcher()
    store = copied(trained, tmp_path / "again")
    assert run(engine(store, killed_at_the_third), again, done(training()), *asked).lost == 0
    assert again.order("started") == ids([*asked[:3], *asked[2:]])
    assert files(store) == one_by_one


def killed_before_it_told(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """After the second was published."""
    for job, records in worker.perform(jobs, place):
        if job.id == evaluations(training())[1].id:
            os.kill(os.getpid(), signal.SIGKILL)
        yield job, records


def test_what_was_published_and_not_told_counts_as_this_runs(
    trained: Path, one_by_one: dict[str, bytes], tmp_path: Path
) -> None:
    runs, asked = copied(trained, tmp_path / "runs"), evaluations(training())
    watch = fakes.Watcher()
    outcome = run(engine(runs, killed_before_it_told), watch, done(training()), *asked, retries=0)
    assert (outcome.lost, outcome.left, outcome.twice) == (0, 0, 0)
    assert watch.order("finished") == watch.order("started") == ids(asked)
    assert files(runs) == one_by_one


def test_two_runners_with_other_sets_do_each_job_once(
    trained: Path, one_by_one: dict[str, bytes], tmp_path: Path
) -> None:
    runs, asked = copied(trained, tmp_path / "runs"), evaluations(training())
    judge = Judge(
        Platform(machine.cpu_device(), machine.cores(), machine.versions()["torch"]), runs
    )
    watches = [fakes.Watcher(), fakes.Watcher()]
    sets = [asked[:4], asked[1:]]
    outcomes: list[Summary] = []

    def work(watch: fakes.Watcher, todo: Sequence[Job]) -> None:
        with Claims(Store(runs), judge) as claims:
            plan, made = Plan((done(training()), *todo)), engine(runs, worker.perform)
            outcomes.append(scheduler.run(plan, made, watch, claims))

    runners = [threading.Thread(target=work, args=each) for each in zip(watches, sets, strict=True)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert all((o.lost, o.left, o.twice) == (0, 0, 0) for o in outcomes) and len(outcomes) == 2
    finished = [job for watch in watches for job in watch.order("finished")]
    assert sorted(finished) == sorted(ids(asked))
    assert sum(len(watch.order("found")) for watch in watches) == 3
    assert files(runs) == one_by_one


# What others see of it ---------------------------------------------------------------------------


def test_a_lease_tells_its_jobs_and_keeps_their_run(tmp_path: Path) -> None:
    (bundle,) = bundles(evaluations(training()))
    with Leases(tmp_path) as leases:
        leases.take(bundle.id, ids(bundle.jobs))
        assert held(tmp_path) == set(ids(bundle.jobs))
        assert Store(tmp_path).read().running == set(ids(bundle.jobs))
        assert training().id in _busy(Store(tmp_path))
    assert not held(tmp_path) and not _busy(Store(tmp_path))


def test_of_a_lease_the_job_is_shown_that_is_done_now() -> None:
    asked = ids(evaluations(training()))
    holder = Holder(me(), 0.0, tuple(asked))

    def board(*jobs: str) -> Board:
        running = tuple(Running(job, "cpu", Course(1.0)) for job in jobs)
        return Board(holder, 1, Platform("", 1, ""), running, "board", 0.0)

    assert _at("evaluate", holder, [board(asked[2], "another")], asked) == [asked[2]]
    assert _at("evaluate", holder, [board()], asked[1:]) == [asked[1]], "it has not said so yet"
    assert _at("evaluate", holder, [], []) == []
