"""`--reproduce FILE`: what becomes of an archive's figures where its matrices are run again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.files import make_folder, sha256, write_atomically
from classifier.data import datasets
from experiments.matrix.model import Matrix
from experiments.share.archive import MATRICES, Manifest, remake, seen
from experiments.share.sealed import unseal
from experiments.share.verify import wrong_records
from experiments.store.layout import REPRODUCES
from reports import records_json
from reports.records_json import Known, KnownCell

OF_THE_MACHINE = ("fps", "images_per_second", "train_seconds", "peak_memory_mib")
"""Metrics that no other machine need give again."""


class Again(StrEnum):
    EQUAL = "equal to the bit"
    WITHIN = "within its interval"
    NOT = "not"
    MACHINE = "of the machine"
    """Nothing is said of it."""


@dataclass(frozen=True)
class Reproduced:
    """A figure, and what it was the second time."""

    place: str
    """Its table, row and column."""
    then: float
    low: float | None
    high: float | None
    """The 95 % interval that it had."""
    now: float | str
    """Or why there is none."""
    found: Again


@dataclass(frozen=True)
class Unpacked:
    matrices: Sequence[Matrix]
    reports: Sequence[Known]
    """Of each matrix, as the archive's records give it, whatever its report says."""


def unpack(file: Path, folder: Path, data_root: Path) -> Unpacked:
    """Read an archive into a folder, to be run again with the data that are here.

    Raises UserError where it is damaged, or data that are here are not those that it is of.
    """
    opened = unseal(file, Manifest, folder)
    if opened.problems or opened.manifest is None:
        raise UserError(f"{file}: {opened.problems[0]}; --verify {file} names all that is damaged")
    if problem := next(wrong_records(folder), ""):
        raise UserError(f"{problem}; --verify {file} names all that is damaged")
    made = folder / "made"
    selections = remake(folder, opened.manifest, made, data_root)
    differ: dict[str, None] = {}
    for selection in selections:
        for spec, data in seen(selection):
            now = datasets.fingerprint_if_there(spec.whole, data_root)
            if now not in (None, data.fingerprint):
                differ[f"{spec.title}: {data.fingerprint} in the archive, {now} here"] = None
    if differ:
        raise _other_data(file, list(differ))
    matrices = [selection.matrix for selection in selections]
    reports = [records_json.read(made / matrix.name) for matrix in matrices]
    return Unpacked(matrices, reports)


@contextmanager
def in_its_own(runs: Path, file: Path) -> Iterator[None]:
    """While an archive's matrices are run into a folder of runs: what others have put there would
    count as run again. What an interrupted call of this command has put there may stay.

    Raises UserError. Where bad input has let nothing run, the folder is as it was.
    """
    mark, name = runs / REPRODUCES, sha256(file).encode()
    is_its_own = mark.is_file() and mark.read_bytes() == name
    if runs.is_dir() and any(runs.iterdir()) and not is_its_own:
        raise UserError(
            f"--runs {runs} is not empty, and what is done there would not be run again; name a "
            "folder that is not there yet"
        )
    made = [folder for folder in (runs, *runs.parents) if not folder.exists()]
    make_folder(runs)
    write_atomically(mark, name)
    try:
        yield
    except UserError:
        if list(runs.iterdir()) == [mark]:
            mark.unlink()
            for folder in made:
                folder.rmdir()
        raise


def named(error: UserError, file: Path, folder: Path) -> UserError:
    """The same, but what was unpacked into the folder is told as the archive's."""
    place = rf"{re.escape(str(folder))}/(?:{MATRICES}/[^/\n]+/[^/\n]+/)?"
    return UserError(re.sub(place, lambda _: f"{file}: ", str(error)))


def check_data(file: Path, then: Known, now: Known) -> None:
    """Raises UserError where data that were fetched or made only now are other ones."""
    before, after = ({each.fingerprint for each in of.data} for of in (then, now))
    if more := sorted(after - before):
        raise _other_data(file, [f"contents {', '.join(more)} are not in the archive"])


def _other_data(file: Path, differ: Sequence[str]) -> UserError:
    named = "".join(f"\n  {line}" for line in differ)
    return UserError(
        f"the data are not those of {file}:{named}\nput its own under --data-root, or run the "
        "matrix as one of these data"
    )


def compare(then: Known, now: Known) -> Iterator[Reproduced]:
    """Each figure that the archive has."""
    metrics = {(c.table, c.column): c.measure.get("metric", "accuracy") for c in then.columns}
    cells = {(cell.table, cell.row, cell.column): cell for cell in now.cells}
    for cell in then.cells:
        if cell.figure is not None:
            again = cells.get((cell.table, cell.row, cell.column))
            is_machine = metrics[cell.table, cell.column] in OF_THE_MACHINE
            figure: float | str = "no figure"
            if again is not None:
                figure = again.missing or "" if again.figure is None else again.figure
            yield Reproduced(
                place=f"{cell.table}: {cell.row}, {cell.column}",
                then=cell.figure,
                low=cell.low,
                high=cell.high,
                now=figure,
                found=_found(cell, again, is_machine),
            )


def _found(then: KnownCell, now: KnownCell | None, is_machine: bool) -> Again:
    if now is None or now.figure is None or then.figure is None:
        return Again.NOT
    if is_machine:
        return Again.MACHINE
    if (then.figure, then.by_seed) == (now.figure, now.by_seed):
        return Again.EQUAL
    if then.low is not None and then.high is not None and then.low <= now.figure <= then.high:
        return Again.WITHIN
    return Again.NOT
