"""`--archive`: what a file holds of a report, and the report that its records give.

    manifest.json                             what it is, and the SHA-256 of each other member
    matrices/ema/experiments/ema.yaml         a matrix, with the files beside it that it names
    runs/mobilenetv2-s0-3f9c01ab77e2/...      the records that its figures rest on, as in a store
    reports/ema/report.md                     the report, as these records give it

Without checkpoints, which are large and can be trained again, without images, logs and paths.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from classifier.basics.errors import UserError
from classifier.basics.files import NAME
from classifier.basics.machine import commit, versions
from classifier.config.document import Document
from classifier.data.spec import DataSpec
from classifier.plugins.brought import SOURCES
from classifier.records.record import (
    BenchmarkRecord,
    Data,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)
from classifier.records.runs import (
    CHECKPOINT,
    COST,
    PREDICTIONS,
    RECORD,
    SCORES,
    work_name,
)
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.plan.jobs import unique
from experiments.share.sealed import Content, Sealed, member, seal, wrong_name
from experiments.store.damage import problem_of
from experiments.store.layout import FAILURE, run_name
from experiments.store.store import Results, Store
from reports import report
from reports.figures.select import Selection, select

MATRICES, RUNS, REPORTS = "matrices", "runs", "reports"
TELLING = ("numpy", "scipy", "matplotlib")
"""Packages whose version can change a byte of a report, beside this one."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchivedMatrix(_Plain):
    name: str
    """The report's folder."""
    file: str
    """The member."""


class Given(_Plain):
    """What the command line changed in the matrices."""

    smoke: bool = False
    sets: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None


class DataSeen(_Plain):
    """Data that records were made of, to be told from others without an image."""

    name: str
    fingerprint: str
    classes: int
    train: int
    val: int
    test: int


class LeftOut(_Plain):
    """The checkpoints that are not in the archive."""

    count: int
    size: int
    """Bytes."""


class Manifest(Sealed):
    format: Literal[1] = 1
    """Rises where an older or newer `--verify` could not read it."""
    made_with: dict[str, str | None]
    """Versions: where all are the same, the report is to the byte."""
    matrices: tuple[ArchivedMatrix, ...] = Field(min_length=1)
    given: Given
    speeds: tuple[str, ...]
    """The names of the units whose speeds the report shows, first choice first."""
    data: tuple[DataSeen, ...]
    checkpoints: LeftOut


def made_with() -> dict[str, str | None]:
    """Of what makes a report here."""
    try:
        own: str | None = importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        own = None
    of_each = {name: importlib.metadata.version(name) for name in TELLING}
    return {NAME: own, "commit": commit(), "python": versions()["python"], **of_each}


@dataclass(frozen=True)
class Archived:
    manifest: Manifest
    size: int
    """Bytes."""
    lenders: tuple[str, ...]
    """The other runs folders that checkpoints which are left out lie in, as the user calls them;
    an empty one is the user's own."""


def make(
    file: Path,
    selections: Sequence[Selection],
    results: Results,
    speeds: Sequence[str],
    overrides: Overrides,
    data_root: Path,
) -> Archived:
    """Write the archive of these reports, whole or not at all.

    `results`: what the selections were made from; `speeds`: the units of whose speeds.
    Raises UserError where it can't be written, a record that it needs is damaged, or a matrix or a
    plugin was edited since it was read.
    """
    contents: dict[str, Content] = {}
    left_out: dict[tuple[str, str], int] = {}
    matrices = []
    for selection in selections:
        matrix = selection.matrix
        base = f"{MATRICES}/{matrix.name}/{_parent(matrix)}"
        file_name = f"{base}/{matrix.source.name}"
        matrices.append(ArchivedMatrix(name=matrix.name, file=file_name))
        contents |= {file_name: matrix.source.read_bytes()} | {
            f"{base}/{path}": content for path, content in _beside(matrix)
        }
        for record in _behind(selection, results):
            contents |= _of_record(record, results)
            key = record.signature, record.unit
            checkpoint = results.folders[key] / CHECKPOINT
            if isinstance(record, TrainRecord) and checkpoint.exists():
                left_out[key] = checkpoint.stat().st_size
        contents |= _failures(matrix, results)
    manifest = Manifest(
        made_with=made_with(),
        matrices=tuple(matrices),
        given=Given(smoke=overrides.smoke, sets=overrides.sets, seeds=overrides.seeds),
        speeds=tuple(speeds),
        data=data_of(selections),
        checkpoints=LeftOut(count=len(left_out), size=sum(left_out.values())),
        members={},
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, content in contents.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.read_bytes()
            target.write_bytes(data)
        remake(folder, manifest, folder / REPORTS, data_root)
        packed = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file()
        }
        members = {name: member(path) for name, path in sorted(packed.items())}
        manifest = manifest.model_copy(update={"members": members})
        lenders = tuple(dict.fromkeys(results.origins.get(key, "") for key in left_out))
        return Archived(manifest, seal(file, manifest, packed), lenders)


def remake(folder: Path, manifest: Manifest, reports: Path, data_root: Path) -> Sequence[Selection]:
    """Write the reports that the records of an archive give, once it lies in a folder. What they
    were made from.

    Raises UserError where a matrix or a record can't be read.
    """
    results = Store(folder / RUNS, has_checkpoints=False).read()
    selections = []
    for matrix in _loaded(folder, manifest, data_root):
        selection = select(matrix, results, manifest.speeds)
        report.write(selection, reports, images=False, is_dated=False)
        selections.append(selection)
    return selections


def _loaded(folder: Path, manifest: Manifest, data_root: Path) -> list[Matrix]:
    """The matrices of an archive that lies in a folder, which may be gone tomorrow: they are called
    as where they were archived. Raises UserError."""
    for said in manifest.matrices:  # no file outside it is read, whatever the manifest says
        if wrong_name(said.file) or not (folder / said.file).is_file():
            raise UserError(f"the manifest names {said.file!r}, which is no member of the archive")
        if [each.name for each in manifest.matrices].count(said.name) > 1:
            raise UserError(f"the manifest names the matrix {said.name!r} twice")
    given = manifest.given
    overrides = Overrides(given.smoke, given.sets, given.seeds)
    loaded = [load(folder / each.file, overrides, data_root) for each in manifest.matrices]
    for matrix, said in zip(loaded, manifest.matrices, strict=True):
        if matrix.name != said.name:
            raise UserError(f"{said.file} is named {matrix.name}, and its report {said.name}")
    return [replace(matrix, source=Path(matrix.label)) for matrix in loaded]


def seen(selection: Selection) -> Iterator[tuple[DataSpec, Data]]:
    """What each record of a report was made of, but for speeds."""
    for record in (used.record for used in selection.used):
        if isinstance(record, BenchmarkRecord):
            continue
        asked = record.evaluation if isinstance(record, MetricRecord) else record
        other = asked.spec.data if isinstance(asked, EvaluateRecord) else None
        yield other or selection.is_on(record), record.data


def data_of(selections: Sequence[Selection]) -> tuple[DataSeen, ...]:
    """Each once."""
    found = dict.fromkeys(
        DataSeen(name=spec.title, **data.model_dump(include=_COUNTED))
        for selection in selections
        for spec, data in seen(selection)
    )
    return tuple(sorted(found, key=lambda each: each.model_dump_json()))


_COUNTED = set(DataSeen.model_fields) - {"name"}


def _parent(matrix: Matrix) -> str:
    """The name of its folder, which its report tells."""
    return matrix.source.parent.resolve().name or "_"


def _beside(matrix: Matrix) -> Iterator[tuple[str, Content]]:
    """The files that a matrix names, by their paths from its folder: plugins as they were read,
    what these read, published figures."""
    brought, folder = matrix.plugins, matrix.source.parent
    for path, text in brought.texts.items():
        yield path, text.encode()
    for path, sha256 in brought.data.items():
        if member(folder / path).sha256 != sha256:
            raise UserError(f"{folder / path} was edited just now; try again")
        yield path, folder / path
    tables: dict[str, Any] = Document(matrix.source).data["tables"]
    for table in tables.values():
        if named := table.get("published"):
            file = Path(os.path.normpath(folder.resolve() / named))  # a link has its own name
            yield file.relative_to(folder.resolve()).as_posix(), file


def _behind(selection: Selection, results: Results) -> list[Record]:
    """The records that a report rests on; of what was trained all, for they share its cost."""
    used = {(each.record.signature, each.record.unit): each.record for each in selection.used}
    for together in results.trainings():
        keys = {(record.signature, record.unit): record for record in together}
        if used.keys() & keys.keys():
            used |= keys
    return list(used.values())


def _of_record(record: Record, results: Results) -> Mapping[str, Content]:
    """The members of a unit. What a figure follows from must be whole: `--verify` asks for no
    less. Of its cost the data's folder is left out, which is this machine's."""
    key = record.signature, record.unit
    base, folder = f"{RUNS}/{run_name(record.spec.run)}/{record.unit}", results.folders[key]
    if not isinstance(record, TrainRecord) and (problem := problem_of(folder)):
        raise UserError(f"{problem}; no archive of it would be whole")
    files: dict[str, Content] = {f"{base}/{RECORD}": folder / RECORD}
    if (cost := results.costs.get(key)) is not None:
        told = cost.model_copy(update={"data_root": None}).model_dump_json(indent=1)
        files[f"{base}/{COST}"] = f"{told}\n".encode()
    kept = [folder / name for name in (PREDICTIONS, SCORES)]
    kept += sorted((folder / SOURCES).rglob("*"))
    return files | {
        f"{base}/{file.relative_to(folder).as_posix()}": file for file in kept if file.is_file()
    }


def _failures(matrix: Matrix, results: Results) -> Mapping[str, Content]:
    return {
        f"{RUNS}/{run_name(job.spec.run)}/{work_name(job.spec)}/{FAILURE}": json.dumps(
            {"reason": results.failures[job.id].reason}
        ).encode()
        for job in unique(matrix.requests())
        if job.id in results.failures
    }
