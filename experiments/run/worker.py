"""One job inside its own process, whichever engine started it: do it, then publish.

Torch is imported only when a job is done, or a start is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.basics.console import Growing
from classifier.basics.errors import TogetherError, UserError
from classifier.basics.place import Place
from classifier.basics.settings import Weights
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.sources.made import UserDataset
from classifier.records.record import Record, evaluate_unit
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
    if isinstance(job.spec, TrainSpec) and not (place.keep_states or job.keeps_end):
        store.forget_states(job.spec)
    return published


def _done(job: Job, out: Path, place: Place, store: Store) -> Iterable[Outcome[Any]]:
    from classifier.job import benchmark, evaluate, measure_own, train_together
    from classifier.training.trainer import Member

    match job.spec:
        case TrainSpec() as spec:
            start = _start(spec, place.data_root, store)
            members, keeps_end = [Member(spec, job.tracks)], place.keep_states or job.keeps_end
            return train_together(
                members,
                place,
                lambda _: out,
                start=start,
                states_in=store.states(spec),
                keep_end=keeps_end,
            )
        case EvaluateSpec() as spec:
            weights = store.checkpoint(spec.training.signature, spec.track)
            trained_on = read_training(weights.parent).data.fingerprint
            return [evaluate(spec, out, place, weights, trained_on)]
        case MetricSpec() as spec:
            evaluation = store.folder(spec) / evaluate_unit(spec.evaluation)
            return [measure_own(spec, out, place, evaluation)]
        case BenchmarkSpec() as spec:
            return [benchmark(spec, place)]
    raise TypeError(f"{job.spec.kind} is no kind of job")


def check_starts(specs: Iterable[TrainSpec | MetricSpec], place: Place) -> None:
    """Fetch and try what trainings start from, and metrics of the user's, before any job runs.
    Raises UserError, with all that fails."""
    from classifier.job import check_metric, check_start

    errors = []
    for spec in specs:
        try:
            if isinstance(spec, MetricSpec):
                check_metric(spec, place)
            else:
                check_start(spec, place, _start(spec, place.data_root))
        except UserError as error:
            errors.append(error)
    if errors:
        raise TogetherError(errors)


def make_data(owns: Iterable[UserDataset], place: Place) -> None:
    """Have the user's data sets made that are not there. Raises UserError."""
    from classifier.plugins.load import use
    from classifier.plugins.making import make

    use(place.plugins)
    for own in owns:
        shown = Growing(f"making {own.name}")
        make(own, place.data_root, shown)
        shown.close()


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
