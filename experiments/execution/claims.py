"""May this runner do these jobs? Asked before each start, for others may share the store."""

from __future__ import annotations

from collections.abc import Sequence

from classifier.basics.errors import UserError
from experiments.execution.scheduler import Claim
from experiments.plan.bundles import Bundle
from experiments.plan.jobs import Job
from experiments.plan.judge import Judge
from experiments.store.leases import Leases
from experiments.store.store import Results, Store


class Claims:
    """A scheduler's claims by leases. Use it as a context."""

    def __init__(self, store: Store, judge: Judge, leases: Leases | None = None) -> None:
        self._store, self._judge = store, judge
        self._leases = leases or Leases(store.root)
        self._since = 0.0

    def __enter__(self) -> Claims:
        try:
            self._leases.__enter__()
            self._since = self._leases.now()
        except OSError as error:
            raise UserError(
                f"the runs folder {self._store.root} can't be written: {error}"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._leases.__exit__()

    def take(self, bundle: Bundle) -> dict[str, Claim] | None:
        """None: another runner has the bundle, perhaps with other jobs in it; ask again later. Else
        it must be given back, and of each job by its id: `mine`: do it. `done` or `failed`: another
        runner has done it, or could not, since this one began."""
        if not self._leases.take(bundle.id, [job.id for job in bundle.jobs]):
            return None
        try:
            return self._looked_at(bundle.jobs)
        except BaseException:
            self._leases.release(bundle.id)
            raise

    def _looked_at(self, jobs: Sequence[Job]) -> dict[str, Claim]:
        runs = {job.spec.run.signature: job.spec for job in jobs}
        held = {signature: self._store.read_run(spec) for signature, spec in runs.items()}
        return {job.id: self._of(job, held[job.spec.run.signature]) for job in jobs}

    def _of(self, job: Job, results: Results) -> Claim:
        if self._judge.standing(job, results).state == "done":
            return Claim("done")
        failed_at = self._store.failed_at(job.spec)
        if failed_at is not None and self._since < failed_at <= self._leases.now():
            return Claim("failed", results.failures[job.id].reason)
        return Claim("mine")

    def keep(self, bundle: Bundle) -> None:
        """What is left of a bundle that was taken: its other jobs failed, or can't be done."""
        self._leases.keep(bundle.id, [job.id for job in bundle.jobs])

    def give_back(self, bundle: Bundle) -> None:
        self._leases.release(bundle.id)
