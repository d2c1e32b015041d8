"""One job inside its own process, whichever engine started it: execute, then publish.

The only module of this room that reaches torch, and only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.progress import Report
from classifier.config.spec import EvaluateSpec, Spec, TrainSpec, Weights, track_key
from classifier.records.record import Record, train_unit
from experiments.plan.plan import Job
from experiments.store.store import Store

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
            teacher, weights = _files(job.spec, settings.data_root)
            outcomes = execute(
                job.spec,
                out,
                place,
                report,
                states_in=out.parent,
                emas=job.emas,
                checkpoint_file=store.training(job.needs[0], RAW)[1] if job.needs else teacher,
                weights_file=weights,
            )
        published = [o.record for o in outcomes if store.publish(o.record, o.cost, out, job.run)]
    store.clear(job.spec, job.run)
    return published


def check_starts(specs: Iterable[TrainSpec], data_root: Path) -> None:
    """Fetch and try what trainings start from, before any of them does. Raises UserError."""
    from classifier.job import check_start

    for spec in specs:
        check_start(spec, data_root, *_files(spec, data_root))


def _files(spec: Spec, data_root: Path) -> tuple[Path | None, Path | None]:
    """Of a training: the checkpoint file of its teacher, and the file of its weights."""
    teacher = spec.distill.teacher if isinstance(spec, TrainSpec) and spec.distill else None
    weights = spec.weights if isinstance(spec, TrainSpec) else None
    return (
        data_root / teacher.file if isinstance(teacher, Weights) else None,
        data_root / weights.file if weights is not None else None,
    )
