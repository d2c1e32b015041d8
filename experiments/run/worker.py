"""One job inside its own process, whichever engine started it: do it, then publish.

Torch is imported only when a job is done, or a start is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.basics.errors import TogetherError, UserError
from classifier.basics.place import Place
from classifier.basics.settings import Weights
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.records.record import Record
from classifier.records.runs import read_training
from classifier.tricks.distillation import Distill
from experiments.plan.jobs import Job
from experiments.store.store import Store

if TYPE_CHECKING:
    from classifier.job import Outcome, Start


def perform(job: Job, place: Place) -> list[Record]:
    """Do the job at that place and publish what comes of it, record by record, in `place.runs`.

    Gives the records that were published: one that another runner has published is left out.
    """
    store = Store(place.runs)
    store.forget_failure(job.spec)
    with store.attempt(job.spec) as out:
        outcomes = _done(job, out, place, store)
        published = [o.record for o in outcomes if store.publish(o.record, o.cost, out)]
    store.clear(job.spec)
    return published


def _done(job: Job, out: Path, place: Place, store: Store) -> Iterable[Outcome[Any]]:
    from classifier.job import benchmark, evaluate, train

    match job.spec:
        case TrainSpec() as spec:
            start = _start(spec, place.data_root, store)
            return train(spec, out, place, tracks=job.tracks, start=start, states_in=out.parent)
        case EvaluateSpec() as spec:
            weights = store.checkpoint(spec.training.signature, spec.track)
            trained_on = read_training(weights.parent).data.fingerprint
            return [evaluate(spec, out, place, weights, trained_on)]
        case BenchmarkSpec() as spec:
            return [benchmark(spec, place)]
    raise TypeError(f"{job.spec.kind} is no kind of job")


def check_starts(specs: Iterable[TrainSpec], place: Place) -> None:
    """Fetch and try what trainings start from, before any of them does. Raises UserError, with all
    that fails."""
    from classifier.job import check_start

    errors = []
    for spec in specs:
        try:
            check_start(spec, place, _start(spec, place.data_root))
        except UserError as error:
            errors.append(error)
    if errors:
        raise TogetherError(errors)


def _start(spec: TrainSpec, data_root: Path, store: Store | None = None) -> Start:
    """The files that a training starts from. A teacher that is a training is the best of its raw
    weights; without a store it is left out."""
    from classifier.job import Start

    distill = spec.trick(Distill)
    teacher = distill.teacher if distill is not None else None
    by: Path | None = None
    if isinstance(teacher, Weights):
        by = data_root / teacher.file
    elif teacher is not None and store is not None:
        by = store.checkpoint(teacher, RAW)
    return Start(by, data_root / spec.weights.file if spec.weights else None)
