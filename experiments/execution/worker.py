"""Jobs inside their process, whichever engine started it: do them, and publish what comes.

Torch is imported only when a job is done, or a start is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.basics.console import Growing
from classifier.basics.errors import TogetherError, UserError
from classifier.basics.place import Place
from classifier.basics.settings import Weights
from classifier.config.family import Member
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.sources.made import UserDataset
from classifier.records.kept import read_seen
from classifier.records.record import Record, evaluate_unit
from classifier.records.runs import DamagedRecordError, read_training
from classifier.tricks.distillation import Distill
from experiments.plan.jobs import Job
from experiments.store.store import Lent, Store

if TYPE_CHECKING:
    from classifier.job import Outcome, Start


def perform(jobs: Sequence[Job], place: Place) -> Iterator[tuple[Job, list[Record]]]:
    """Do the jobs at that place, as one, and publish what comes of them, record by record, in
    `place.runs`. Gives each job when its last record is there.

    With the records that were published: one that another runner has published is left out.
    """
    elsewhere = {signature: (Lent(str(run), run),) for signature, run in place.lent.items()}
    store = Store(place.runs, lent=elsewhere)
    of = {job.id: job for job in jobs}
    awaited = {job.id: max(len(job.tracks), 1) for job in jobs}
    published: dict[str, list[Record]] = {job.id: [] for job in jobs}
    with ExitStack() as attempts:
        attempts.enter_context(_lenders_left_alone(place))
        out = {}
        for job in jobs:
            store.forget_failure(job.spec)
            out[job.id] = attempts.enter_context(store.attempt(job.spec))
        for outcome in _outcomes(jobs, out, place, store):
            record = outcome.record
            if store.publish(record, outcome.cost, out[record.signature]):
                published[record.signature].append(record)
            awaited[record.signature] -= 1
            if not awaited[record.signature]:
                job = of[record.signature]
                store.clear(job.spec)
                yield job, published[job.id]


@contextmanager
def _lenders_left_alone(place: Place) -> Iterator[None]:
    """What is damaged in a folder that is only read is not to be deleted."""
    try:
        yield
    except DamagedRecordError as error:
        if error.unit.parent not in place.lent.values():
            raise
        raise UserError(
            f"{error.problem}; that folder has changed since this began: run the same command again"
        ) from error


def _outcomes(
    jobs: Sequence[Job], out: Mapping[str, Path], place: Place, store: Store
) -> Iterator[Outcome[Any]]:
    """As they come: of several jobs in any order. `out`: a folder for each, by its id."""
    if isinstance(jobs[0].spec, TrainSpec):  # a round has no others then
        return _trained(jobs, out, place, store)
    return (_done(job, out[job.id], place, store) for job in jobs)


def _trained(
    jobs: Sequence[Job], out: Mapping[str, Path], place: Place, store: Store
) -> Iterator[Outcome[Any]]:
    """Of one family. Its state is kept while some are not done, and afterwards where it may be of
    use."""
    from classifier.job import train_together

    first = jobs[0].trained
    keep_end = place.keep_states or any(job.keeps_end for job in jobs)
    yield from train_together(
        [Member(job.trained, job.tracks) for job in jobs],
        place,
        lambda spec: out[spec.signature],
        states_in=store.states(first),
        start=_start(first, place.data_root, store),
        keep_end=keep_end,
    )
    seen = read_seen(store.states(first))
    if seen is None or not seen.keep:  # this run need not keep it, an earlier one may
        store.forget_states(first)


def _done(job: Job, out: Path, place: Place, store: Store) -> Outcome[Any]:
    from classifier.job import benchmark, evaluate, measure_own

    match job.spec:
        case EvaluateSpec() as spec:
            weights = store.checkpoint(spec.training.signature, spec.track)
            trained_on = read_training(weights.parent).data.fingerprint
            return evaluate(spec, out, place, weights, trained_on)
        case MetricSpec() as spec:
            evaluation = _evaluation(store, spec)
            return measure_own(spec, out, place, evaluation)
        case BenchmarkSpec() as spec:
            return benchmark(spec, place)
    raise TypeError(f"{job.spec.kind} is no kind of job")


def _evaluation(store: Store, spec: MetricSpec) -> Path:
    """Where that lies which a metric is asked of; in this store if it was done here."""
    unit = evaluate_unit(spec.evaluation)
    own = store.folder(spec) / unit
    return own if own.exists() else store.run(spec.run.signature) / unit


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
