"""What other runs folders lend: `--also`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from classifier.config.spec import TrainSpec
from classifier.data import datasets
from classifier.data.spec import DataSpec
from experiments.matrix.model import Matrix
from experiments.plan.jobs import unique
from experiments.store.store import Lent


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
