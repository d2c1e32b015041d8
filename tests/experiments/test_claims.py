"""Claims: what another runner has done, failed or is doing, before a job is started."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.basics import machine
from classifier.basics.machine import Platform
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.records.record import Record
from experiments.execution import scheduler, worker
from experiments.execution.claims import Claims
from experiments.execution.engines import EngineOptions, Perform
from experiments.execution.engines.local import LocalEngine
from experiments.execution.scheduler import Claim, Summary
from experiments.plan.bundles import bundles
from experiments.plan.jobs import Job
from experiments.plan.judge import Judge
from experiments.plan.plan import Plan
from experiments.store.leases import Leases
from experiments.store.store import Store
from tests.experiments import fakes

pytestmark = pytest.mark.usefixtures("no_process_remains")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "runs").mkdir()
    return Store(tmp_path / "runs")


def judge(store: Store) -> Judge:
    here = Platform(machine.cpu_device(), machine.cores(), machine.versions()["torch"])
    return Judge(here, store.root)


def on_cpu(store: Store) -> EngineOptions:
    place = Place(store.root, runs=store.root)
    return EngineOptions(place, devices=("cpu",), jobs_per_device=1)


def job_of(spec: TrainSpec) -> Job:
    return Job(spec, tracks=(RAW,))


def test_what_another_runner_does_did_or_could_not_do(store: Store) -> None:
    job = replace(fakes.jobs(1)[0], tracks=(RAW,))
    (bundle,) = bundles([job])
    with Claims(store, judge(store)) as first, Claims(store, judge(store)) as second:
        assert first.take(bundle) == {job.id: Claim("mine")}
        assert second.take(bundle) is None
        time.sleep(0.02)
        store.fail(job.spec, "no luck")
        first.give_back(bundle)
        assert second.take(bundle) == {job.id: Claim("failed", "no luck")}
        second.give_back(bundle)
    failure = store.work_folder(job.spec) / "failure.json"
    for age in (10.0, -10_000.0):
        os.utime(failure, (time.time() - age,) * 2)
        with Claims(store, judge(store)) as later:
            mine = {job.id: Claim("mine")}
            assert later.take(bundle) == mine, "an old one is tried again, one of 'tomorrow'"
            later.give_back(bundle)


def test_who_deletes_the_leases_stops_nobody(store: Store) -> None:
    first, second = bundles(replace(job, tracks=(RAW,)) for job in fakes.jobs(2))
    with Claims(store, judge(store)) as claims:
        assert claims.take(first)
        shutil.rmtree(store.root / ".leases")
        assert claims.take(second)
        claims.give_back(first)
        claims.give_back(second)


def outrun(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """After a step it waits until another runner is done and has cleared up."""

    def report(progress: Progress) -> None:
        place.report(progress)
        while progress.is_work and list(place.runs.glob("*/work-*")):
            time.sleep(0.02)

    return worker.perform(jobs, replace(place, report=report))


def upset(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """Likewise, and its folder was cleared up while it wrote there."""
    for _ in outrun(jobs, place):
        raise FileNotFoundError(2, "No such file or directory")
    yield from ()


@pytest.mark.parametrize("slow", [outrun, upset])
def test_a_runner_that_shows_no_life_loses_its_job_and_one_result_counts(
    slow: Perform, store: Store, tiny: TrainSpec
) -> None:
    """Two runners do one training, since the first one's lease is over: it is done twice, which is
    counted, and one of the two is accepted."""
    job = job_of(tiny)
    outcomes: dict[str, Summary] = {}
    watches = {"silent": fakes.Watcher(), "quick": fakes.Watcher()}

    def run(name: str, leases: Leases, perform: Perform) -> None:
        with Claims(store, judge(store), leases) as claims:
            engine = LocalEngine(on_cpu(store), perform)
            outcomes[name] = scheduler.run(Plan((job,)), engine, watches[name], claims)

    silent = Leases(store.root, seconds=0.3)
    silent._over.set()  # its heart does not beat
    runners = [threading.Thread(target=run, args=("silent", silent, slow))]
    runners[0].start()
    while not list(store.root.glob("*/work-*/attempt-*")):
        time.sleep(0.01)
    time.sleep(0.5)
    quick = ("quick", Leases(store.root, 0.3), worker.perform)
    runners.append(threading.Thread(target=run, args=quick))
    runners[1].start()
    for runner in runners:
        runner.join()
    assert {name: (of.failed, of.twice) for name, of in outcomes.items()} == {
        "silent": (0, 1),
        "quick": (0, 0),
    }
    for watch in watches.values():
        assert [event for event, _ in watch.events] == ["started", "finished"], "none is retried"
    assert len(store.read().records) == 1


def test_done_by_another_runner_is_found(store: Store, tiny: TrainSpec) -> None:
    job = job_of(tiny.model_copy(update={"epochs": 1}))
    assert len(list(worker.perform([job], on_cpu(store).place))) == 1
    watch = fakes.Watcher()
    with Claims(store, judge(store)) as claims:
        engine = LocalEngine(on_cpu(store), worker.perform)
        assert scheduler.run(Plan((job,)), engine, watch, claims).lost == 0
    assert watch.events == [("found", job.id)]
