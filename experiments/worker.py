"""One job inside its own process, whichever engine started it: execute, then publish.

The only module of this room that reaches torch, and only when it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from classifier.progress import Report
from classifier.record import Record, train_unit
from classifier.spec import EvaluateSpec, track_key
from experiments.plan import Job
from experiments.store import Store

RAW = train_unit(track_key(None))
"""A teacher is the best of its raw weights."""


@dataclass(frozen=True)
class Settings:
    """What a job's process must know and a spec must not."""

    runs: Path
    data_root: Path
    workers: int


def perform(
    job: Job, settings: Settings, device: str, threads: int, report: Report
) -> list[Record]:
    """Do the job on `device` (a torch device) and publish what comes of it, record by record."""
    from classifier.job import Place, execute

    store = Store(settings.runs)
    place = Place(settings.data_root, device, threads, settings.workers)
    with store.work(job.spec, job.run) as work:
        store.forget_failure(work)
        if isinstance(job.spec, EvaluateSpec):
            record, file = store.training(job.run.signature, train_unit(track_key(job.spec.ema)))
            outcomes = execute(job.spec, work, place, report, training=record, checkpoint_file=file)
        else:
            teacher = store.training(job.needs[0], RAW)[1] if job.needs else None
            outcomes = execute(
                job.spec, work, place, report, emas=job.emas, checkpoint_file=teacher
            )
        for outcome in outcomes:
            store.publish(outcome.record, outcome.cost, work)
        store.clear(work)
    return [outcome.record for outcome in outcomes]
