"""`--verify FILE`: whether an archive is what was written, and its report what its records give."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.records.runs import CHECKPOINT, PREDICTIONS, RECORD, read_record
from experiments.share.archive import (
    REPORTS,
    RUNS,
    Manifest,
    data_of,
    made_with,
    remake,
)
from experiments.share.sealed import NoArchiveError, Opened, unseal
from experiments.store.housekeeping import problem_of
from experiments.store.layout import folders, is_unit, run_name
from reports import records_json
from reports.records_json import Known

TOLERANCE = 1e-9
"""Between the figures of two versions of numpy, of the figure."""


@dataclass(frozen=True)
class Verified:
    """What an archive turned out to be."""

    problems: tuple[str, ...]
    """What is damaged, by name, a line each; none where all is whole."""
    records: int
    is_to_the_byte: bool
    """Whether the report was made anew to the byte, or only its figures were compared, as its
    words and plots may be another version's."""


def verify(file: Path, data_root: Path) -> Verified:
    """Check every hash, every record, and the report against these. `data_root`: looked at only
    for what a matrix can't be read without. Raises UserError where the file is not there."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, made = Path(temporary, "archive"), Path(temporary, "made")
        folder.mkdir()
        try:
            opened = unseal(file, Manifest, folder)
        except NoArchiveError as error:
            return Verified((str(error),), 0, False)
        units = [u for run in folders(folder / RUNS) for u in folders(run) if is_unit(u)]
        problems = [f"{file}: {problem}" for problem in _problems(opened, folder, made, data_root)]
        same = opened.manifest is not None and opened.manifest.made_with == made_with()
    return Verified(tuple(problems), len(units), same)


def _problems(opened: Opened[Manifest], folder: Path, made: Path, data_root: Path) -> Iterator[str]:
    """The first kind of them that there is: each rests on what comes before it."""
    manifest = opened.manifest
    if opened.problems or manifest is None:
        yield from opened.problems
        return
    looks: list[Callable[[], Iterator[str]]] = [
        lambda: _wrong_records(folder),
        lambda: _wrong_reports(folder, manifest, made, data_root),
    ]
    for look in looks:
        if problems := [problem.replace(f"{folder}/", "") for problem in look()]:
            yield from problems
            return


def _wrong_records(folder: Path) -> Iterator[str]:
    for run in folders(folder / RUNS):
        for unit in filter(is_unit, folders(run)):
            if problem := problem_of(unit, (CHECKPOINT, PREDICTIONS)):
                yield problem
            elif run_name(read_record(unit).spec.run) != run.name:
                yield f"{unit / RECORD} lies in the folder of another run"


def _wrong_reports(folder: Path, manifest: Manifest, made: Path, data_root: Path) -> Iterator[str]:
    try:
        selections = remake(folder, manifest, made, data_root)
    except UserError as error:
        yield f"its report can't be made anew: {error}"
        return
    if data_of(selections) != manifest.data:
        yield "the manifest's data are not those of the records"
    names = [
        {p.relative_to(of).as_posix() for p in of.rglob("*") if p.is_file()}
        for of in (folder / REPORTS, made)
    ]
    for name in sorted(names[0] ^ names[1]):
        yield f"{REPORTS}/{name} is {'missing' if name in names[1] else 'of no matrix'}"
    if manifest.made_with == made_with():
        for name in sorted(names[0] & names[1]):
            if (folder / REPORTS / name).read_bytes() != (made / name).read_bytes():
                yield f"{REPORTS}/{name} is not what its records give"
        return
    for each in manifest.matrices:
        a, b = (records_json.read(of / each.name) for of in (folder / REPORTS, made))
        for place in other_figures(a, b):
            yield f"{REPORTS}/{each.name}: {place} is not what its records give"


def other_figures(a: Known, b: Known) -> Iterator[str]:
    """The cells whose figures or verdicts two reports do not share."""
    cells = [{(c.table, c.row, c.column): c for c in of.cells} for of in (a, b)]
    for key in dict.fromkeys([*cells[0], *cells[1]]):
        x, y = (of.get(key) for of in cells)
        if (
            x is None
            or y is None
            or x.verdict != y.verdict
            or not _alike(
                (x.figure, x.low, x.high, *x.by_seed), (y.figure, y.low, y.high, *y.by_seed)
            )
        ):
            yield f"{key[0]}: {key[1]}, {key[2]}"


def _alike(a: tuple[float | None, ...], b: tuple[float | None, ...]) -> bool:
    return len(a) == len(b) and all(
        x == y or (x is not None and y is not None and math.isclose(x, y, rel_tol=TOLERANCE))
        for x, y in zip(a, b, strict=True)
    )
