"""One job inside its own process, whichever engine started it: execute, then publish.

The only module of this room that reaches torch, and only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
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
    workers: int = 0
    checkpoint_minutes: float = 10.0


def perform(
    job: Job,
    settings: Settings,
    device: str,
    threads: int,
    report: Report,
    stop: Callable[[], bool],
) -> list[Record]:
    """Do the job on `device` (a torch device) and publish what comes of it, record by record.

    Gives the records that were published: one that another runner has published is left out.
    """
    from classifier.job import Place, execute

    store = Store(settings.runs)
    place = Place(
        settings.data_root, device, threads, settings.workers, settings.checkpoint_minutes, stop
    )
    store.forget_failure(job.spec, job.run)
    with store.attempt(job.spec, job.run) as out:
        if isinstance(job.spec, EvaluateSpec):
            record, file = store.training(job.run.signature, train_unit(track_key(job.spec.ema)))
            outcomes = execute(job.spec, out, place, report, training=record, checkpoint_file=file)
        else:
            teacher = store.training(job.needs[0], RAW)[1] if job.needs else None
            outcomes = execute(
                job.spec,
                out,
                place,
                report,
                states_in=out.parent,
                emas=job.emas,
                checkpoint_file=teacher,
            )
        published = [o.record for o in outcomes if store.publish(o.record, o.cost, out, job.run)]
    store.clear(job.spec, job.run)
    return published
