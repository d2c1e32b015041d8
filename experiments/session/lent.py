"""What other runs folders lend: `--also`; and what is no more as it was when they did."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.config.spec import TrainSpec
from classifier.data import datasets
from classifier.data.spec import DataSpec
from experiments.matrix.model import Matrix
from experiments.plan.jobs import unique
from experiments.store.store import Lent

if TYPE_CHECKING:
    from reports.figures.select import Selection


def borrow(
    names: Sequence[str], matrices: Sequence[Matrix], runs: Path, data_root: Path
) -> Mapping[str, Sequence[Lent]]:
    """What other runs folders have of these matrices' jobs, by signature; what is damaged there is
    said. `runs`: where what lies on a server is copied. Raises UserError where one can't be read.
    """
    if not names:
        return {}
    from experiments.store import others, remote

    now: dict[DataSpec, str | None] = {}
    wanted: dict[str, others.Asked] = {}
    for job in unique(request for matrix in matrices for request in matrix.requests()):
        if isinstance(job.spec, TrainSpec):
            data = job.spec.data.whole
            if data not in now:
                now[data] = datasets.fingerprint_if_there(data, data_root)
            wanted[job.id] = others.Asked(frozenset(job.units), now[data])
        elif job.is_speed:
            wanted[job.id] = others.Asked()
    folders = {
        name: remote.copy(name, wanted, runs) if remote.is_remote(name) else Path(name)
        for name in dict.fromkeys(names)
    }
    found = others.borrow(folders, wanted)
    for line in found.damaged:
        print(f"warning: {line}", file=sys.stderr)
    return found.lent


def lost(selection: Selection) -> Iterator[str]:
    """Why a report lacks figures that predictions tell: a line for each evaluation that has none
    any more, or others."""
    from experiments.store.damage import problem_of
    from reports.figures.select import Missing

    cells = (cell for table in selection.tables for row in table.cells for cell in row)
    lacking = (cell for cell in cells if Missing.NO_PREDICTIONS in cell.figures)
    for key in dict.fromkeys((r.signature, r.unit) for cell in lacking for r in cell.records):
        unit, lender = selection.folders[key], selection.origins.get(key)
        if problem := problem_of(unit):
            own = f"delete {unit} to have it done again"
            changed = f"{lender} has changed since this began: run the same command again"
            yield f"figures are missing: {problem}; {changed if lender else own}"
