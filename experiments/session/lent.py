"""What other runs folders lend: `--also`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.matrix.model import Matrix
from experiments.plan.jobs import unique
from experiments.store.store import Lent


def borrow(
    names: Sequence[str], matrices: Sequence[Matrix], runs: Path
) -> Mapping[str, Sequence[Lent]]:
    """What other runs folders have of these matrices' jobs, by signature; what is damaged there is
    said. `runs`: where what lies on a server is copied. Raises UserError where one can't be read.
    """
    if not names:
        return {}
    from experiments.store import others, remote

    jobs = unique(request for matrix in matrices for request in matrix.requests())
    wanted: dict[str, frozenset[str]] = {}
    for job in jobs:
        units = frozenset(job.units) if job.spec.kind == "train" else frozenset[str]()
        of = job.spec.run.signature
        wanted[of] = wanted.get(of, frozenset()) | units
    folders = {
        name: remote.copy(name, wanted, runs) if remote.is_remote(name) else Path(name)
        for name in dict.fromkeys(names)
    }
    found = others.borrow(folders, wanted)
    for line in found.damaged:
        print(f"warning: {line}", file=sys.stderr)
    return found.lent
