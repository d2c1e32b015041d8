"""`--mlflow URI`: runs of one experiment, named as MLflow itself has it (MLFLOW_EXPERIMENT_NAME).

Runs are found by the tag `ablations.key`, the digest of what a run is of.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.tracking.options import SQLITE, file_of
from experiments.tracking.tracker import EPOCH, Known, Report, Run, Status, Step, name_of

# A server that is away is to cost seconds; what the user has set himself stands. A run tells
# nobody but the tracker.
for name, value in {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}.items():
    os.environ.setdefault(name, value)

from mlflow import MlflowClient  # noqa: E402  (it reads these)
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

# How a new database is made, and that a request is tried again.
for each in ("mlflow.store.db.utils", "alembic", "urllib3.connectionpool"):
    logging.getLogger(each).setLevel(logging.ERROR)

EXPERIMENT = "classifier-ablations"
KEY, DIGEST = "ablations.key", "ablations.digest"
NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""
MOST_METRICS, MOST_PARAMS = 1000, 100
"""In a request, as its REST API has it."""
MOST_VALUE, MOST_NOTE = 5000, 5000
"""Characters."""
STATUS: Mapping[Status, str] = {
    "running": "RUNNING",
    "done": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
}
_BACK: Mapping[str, Status] = {value: status for status, value in STATUS.items()}


class Mlflow:
    """A tracker. Raises MlflowException where it can't be reached or refuses."""

    def __init__(self, uri: str) -> None:
        file = file_of(uri)
        if file is not None and not file.exists():
            _make(file)
        self._client = MlflowClient(tracking_uri=uri)
        self._experiment = self._experiment_of(uri)
        self._ids: dict[str, str] = {}

    def known(self, run: Run) -> Known:
        found = self._find(run.key)
        if found is None:
            self._make(run)
            return Known()
        there = self._client.get_run(found)
        if not there.data.params:  # a runner was killed just there
            self._log_settings(found, run)
        names = set(there.data.metrics)
        epochs = self._client.get_metric_history(found, EPOCH) if EPOCH in names else []
        return Known({each.step for each in epochs}, names, _BACK[there.info.status])

    def log(self, run: Run, steps: Sequence[Step]) -> None:
        now = int(time.time() * 1000)
        metrics = [
            [Metric(name, value, now, step.at) for name, value in step.values.items()]
            for step in steps
        ]
        for batch in _whole(metrics):
            self._client.log_batch(self._ids[run.key], metrics=batch)

    def mark(self, run: Run, status: Status, about: Mapping[str, str]) -> None:
        run_id = self._ids[run.key]
        self._client.log_batch(run_id, tags=_tags(about))
        if status == "running":
            self._client.update_run(run_id, status=STATUS[status])
        else:
            self._client.set_terminated(run_id, STATUS[status])

    def report(self, report: Report) -> None:
        key = f"report {report.matrix}"
        digest = _digest(report.text)
        run_id = self._find(key)
        if run_id is None:
            run_id = self._create(key, key, {})
        elif self._client.get_run(run_id).data.tags.get(DIGEST) == digest:
            return
        now = int(time.time() * 1000)
        metrics = [[Metric(name, value, now, 0)] for name, value in report.values.items()]
        for batch in _whole(metrics):
            self._client.log_batch(run_id, metrics=batch)
        for file in report.files:
            self._client.log_artifact(run_id, str(file))
        # Last: with it all is there.
        self._client.log_batch(run_id, tags=_tags({NOTE: report.text[:MOST_NOTE], DIGEST: digest}))
        self._client.set_terminated(run_id)

    def close(self) -> None:
        """It holds nothing open."""

    def _experiment_of(self, uri: str) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                made: str = self._client.create_experiment(name, artifact_location=_beside(uri))
            except MlflowException:  # another runner was quicker
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
            else:
                return made
        experiment: str = found.experiment_id
        return experiment

    def _find(self, key: str) -> str | None:
        if key not in self._ids:
            told = f"tags.`{KEY}` = '{_digest(key)}'"
            found = self._client.search_runs([self._experiment], told, max_results=1)
            for run in found:
                self._ids[key] = run.info.run_id
        return self._ids.get(key)

    def _make(self, run: Run) -> None:
        run_id = self._create(run.key, f"{run.folder} {run.name}", run.about)
        self._log_settings(run_id, run)

    def _log_settings(self, run_id: str, run: Run) -> None:
        params = [Param(name_of(name), v[:MOST_VALUE]) for name, v in run.settings.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(run_id, params=params[start : start + MOST_PARAMS])

    def _create(self, key: str, name: str, about: Mapping[str, str]) -> str:
        tags = {tag.key: tag.value for tag in _tags(about)} | {KEY: _digest(key)}
        made: str = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        self._ids[key] = made
        return made


def _digest(text: str) -> str:
    """Without what a search would take for its own: a matrix may be called anything."""
    return hashlib.sha256(text.encode()).hexdigest()


def _tags(about: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name_of(name), value[:MOST_VALUE]) for name, value in about.items()]


def _whole(steps: Sequence[Sequence[Metric]]) -> Iterator[list[Metric]]:
    """In as few requests as may be, no step in two."""
    batch: list[Metric] = []
    for step in steps:
        if batch and len(batch) + len(step) > MOST_METRICS:
            yield batch
            batch = []
        batch += step
    if batch:
        yield batch


def _make(file: Path) -> None:
    """A new database, whole or not at all: its tables take seconds, in which a runner may be
    killed or another one begin, and MLflow mends no half of one."""
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as folder:
        made = Path(folder, file.name)
        MlflowClient(tracking_uri=f"{SQLITE}{made.absolute()}")
        with suppress(FileExistsError):  # the other one was quicker
            os.link(made, file)


def _beside(uri: str) -> str | None:
    """A server has a place for files of its own; a database has none but the working folder."""
    file = file_of(uri)
    return None if file is None else f"{file.absolute().with_suffix('')}-artifacts"
