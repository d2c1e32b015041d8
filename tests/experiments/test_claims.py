"""Claims: what another runner has done, failed or is doing, before a job is started."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.basics import machine
from classifier.basics.machine import Platform
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from experiments.execution import scheduler, worker
from experiments.execution.claims import Claims
from experiments.execution.engines import EngineOptions
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


def test_a_runner_that_shows_no_life_loses_its_job_and_one_result_counts(
    store: Store, tiny: TrainSpec
) -> None:
    """Two runners do one training, since the first one's lease is over: it is done twice, which is
    counted, and one of the two is accepted."""
    job = job_of(tiny)
    outcomes: list[Summary] = []

    def run(leases: Leases) -> None:
        with Claims(store, judge(store), leases) as claims:
            engine = LocalEngine(on_cpu(store), worker.perform)
            outcomes.append(scheduler.run(Plan((job,)), engine, fakes.Watcher(), claims))

    silent = Leases(store.root, seconds=0.3)
    silent._over.set()  # its heart does not beat
    runners = [threading.Thread(target=run, args=(silent,))]
    runners[0].start()
    while not list(store.root.glob(".leases/*.000001")):
        time.sleep(0.01)
    time.sleep(0.5)
    runners.append(threading.Thread(target=run, args=(Leases(store.root, seconds=0.3),)))
    runners[1].start()
    for runner in runners:
        runner.join()
    assert [outcome.failed for outcome in outcomes] == [0, 0]
    assert sum(outcome.twice for outcome in outcomes) == 1
    assert len(store.read().records) == 1


def test_done_by_another_runner_is_found(store: Store, tiny: TrainSpec) -> None:
    job = job_of(tiny.model_copy(update={"epochs": 1}))
    assert len(list(worker.perform([job], on_cpu(store).place))) == 1
    watch = fakes.Watcher()
    with Claims(store, judge(store)) as claims:
        engine = LocalEngine(on_cpu(store), worker.perform)
        assert scheduler.run(Plan((job,)), engine, watch, claims).lost == 0
    assert watch.events == [("found", job.id)]
