"""What is run, where and when. Imports torch nowhere but in a job's process.

From Python: `from experiments import load, make_plan, results, run` (api.py, docs/python.md).

matrix      a YAML file: settings, arms, tables
axis        a setting with several values; named runs are the values of the axis `run`
arm         one combination of values: a training for every seed, and the track to look at
track       what looks at a training without touching it: the raw weights, an average of them
job         one training, evaluation or benchmark; its spec says which, its id is its signature
bundle      jobs that one process does: all that looks at one training, or the trainings of a family
signature   12 hex digits of all that can change a job's numbers
run         a training's folder, which holds its evaluations too; or a benchmark's
unit        what a job publishes by one rename: a folder in a run's
record      what a unit says: numbers, and all that is needed to do it again
attempt     one try at a job; of several the first to publish counts
claim       whether this runner may do a bundle now; a lease is the file that says it to others
cell        a table's row and column: one arm's record for each seed
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.api import UserError, load, make_plan, results, run

__all__ = ["UserError", "load", "make_plan", "results", "run"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: a job's process imports rooms of this one, and needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from experiments import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
