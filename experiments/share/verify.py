"""`--verify FILE`: whether an archive is what was written, and its report what its records give.

The report is made anew and compared to the byte. Where it is not the same and the manifest says
that other versions made it, words and plots may be theirs; then what it tells is compared
(`told.py`). Who forges a report can say so too: what was not compared is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.records.record import EvaluateRecord, MetricRecord, Record, TrainRecord
from classifier.records.runs import RECORD, DamagedRecordError
from experiments.share.archive import (
    REPORTS,
    RUNS,
    Manifest,
    data_of,
    made_with,
    remake,
)
from experiments.share.sealed import NoArchiveError, Opened, unseal
from experiments.share.told import not_compared, tell_the_same
from experiments.store.damage import read_whole
from experiments.store.layout import run_name, units
from experiments.store.store import Results


@dataclass(frozen=True)
class Verified:
    """What an archive turned out to be."""

    problems: tuple[str, ...]
    """What is damaged, by name, a line each; none where all is whole."""
    records: int
    others: str = ""
    """The versions that it says made its report, where that is not made anew to the byte here."""
    not_compared: tuple[str, ...] = ()
    """What of such a report was left out, a line a file."""


def verify(file: Path, data_root: Path) -> Verified:
    """Check every hash, every record, and the report against these. `data_root`: looked at only
    for what a matrix can't be read without. Raises UserError where the file is not there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, made = Path(temporary, "archive"), Path(temporary, "made")
        folder.mkdir()
        try:
            opened = unseal(file, Manifest, folder)
        except NoArchiveError as error:
            return Verified((str(error),), 0)
        problems = [f"{file}: {problem}" for problem in _problems(opened, folder, made, data_root)]
        differ = _differ(folder, made)
        others = _others(opened.manifest) if opened.manifest and differ else ""
        left_out = (f"{REPORTS}/{name}: {what}" for name in differ if (what := not_compared(name)))
        return Verified(tuple(problems), len(units(folder / RUNS)), others, tuple(left_out))


def _problems(opened: Opened[Manifest], folder: Path, made: Path, data_root: Path) -> Iterator[str]:
    """The first kind of them that there is: each rests on what comes before it."""
    manifest = opened.manifest
    if opened.problems or manifest is None:
        yield from opened.problems
        return
    looks: list[Callable[[], Iterator[str]]] = [
        lambda: wrong_records(folder),
        lambda: _wrong_reports(folder, manifest, made, data_root),
    ]
    for look in looks:
        if problems := [problem.replace(f"{folder}/", "") for problem in look()]:
            yield from problems
            return


def wrong_records(folder: Path) -> Iterator[str]:
    """What of the records is damaged, else what fits no other, once an archive lies in a folder."""
    records: dict[Path, Record] = {}
    damaged = []
    for unit in units(folder / RUNS):
        try:
            records[unit] = record = read_whole(unit, has_checkpoint=False)
        except DamagedRecordError as error:
            damaged.append(error.problem)
            continue
        if run_name(record.spec.run) != unit.parent.name:
            damaged.append(f"{unit / RECORD} lies in the folder of another run")
    yield from damaged or _misfits(records)


def _misfits(records: Mapping[Path, Record]) -> Iterator[str]:
    """Of one training all figures must be of its weights, and those of its own data of these."""
    found = Results()
    data: dict[str, str] = {}
    for record in records.values():
        found.add(record)
        if isinstance(record, TrainRecord):
            data[record.signature] = record.data.fingerprint
    for unit, record in records.items():
        if not found.fits(record):
            beside = "evaluation" if isinstance(record, MetricRecord) else "training"
            yield f"{unit / RECORD} is not of the {beside} in the archive"
        elif (
            isinstance(record, EvaluateRecord)
            and record.spec.data is None
            and record.data.fingerprint != data[record.training.signature]
        ):
            yield f"{unit / RECORD} is of other data than its training"


def _wrong_reports(folder: Path, manifest: Manifest, made: Path, data_root: Path) -> Iterator[str]:
    try:
        selections = remake(folder, manifest, made, data_root)
    except UserError as error:
        yield f"its report can't be made anew: {error}"
        return
    if data_of(selections) != manifest.data:
        yield "the manifest's data are not those of the records"
    there, again = _files(folder / REPORTS), _files(made)
    for name in sorted(there ^ again):
        yield f"{REPORTS}/{name} is {'missing' if name in again else 'of no matrix'}"
    by_others = bool(_others(manifest))
    for name in _differ(folder, made):
        if not (by_others and tell_the_same(folder / REPORTS / name, made / name)):
            yield f"{REPORTS}/{name} is not what its records give"


def _files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def _differ(folder: Path, made: Path) -> list[str]:
    """The files of the reports that were made anew with other bytes."""
    both = _files(folder / REPORTS) & _files(made)
    there = folder / REPORTS
    return sorted(n for n in both if (there / n).read_bytes() != (made / n).read_bytes())


def _others(manifest: Manifest) -> str:
    """The versions that it says made its reports, where they are not those here."""
    of = manifest.made_with
    return ", ".join(
        f"{name} {of.get(name)} (here {here})"
        for name, here in made_with().items()
        if of.get(name) != here
    )
