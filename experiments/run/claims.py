"""May this runner do a job now? Asked before each start, for other runners may share the store."""

from __future__ import annotations

from classifier.basics.errors import UserError
from experiments.plan.jobs import Job
from experiments.plan.judge import Judge
from experiments.run.scheduler import Claim
from experiments.store.leases import Leases
from experiments.store.store import Store


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

    def take(self, job: Job) -> Claim:
        """`mine`: do it, and give it back. `elsewhere`: another runner has it, ask again later.
        `done` or `failed`: another runner has done it, or could not, since this one began."""
        if not self._leases.take(job.id):
            return Claim("elsewhere")
        answer = Claim("mine")
        try:
            answer = self._looked_at(job)
        finally:
            if answer.state != "mine":
                self._leases.release(job.id)
        return answer

    def _looked_at(self, job: Job) -> Claim:
        results = self._store.read_run(job.spec)
        if self._judge.standing(job, results).state == "done":
            return Claim("done")
        failed_at = self._store.failed_at(job.spec)
        if failed_at is not None and self._since < failed_at <= self._leases.now():
            return Claim("failed", results.failures[job.id].reason)
        return Claim("mine")

    def give_back(self, job: Job) -> None:
        self._leases.release(job.id)
