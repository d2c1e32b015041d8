"""What a job costs that does nothing: here and on Ray, with Ray Tune, with Hydra; two at a time, in
one run.

    python -m tests.benchmarks launchers [COUNT]

Needs the extra [benchmarks]. Each is timed from the first job to the last, without its start; here
two jobs before them have started what starts them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from reports.blocks import Grid
from reports.page.markdown import grid
from tests.benchmarks.scale import no_ops

RAY_TUNE = """
import os, sys, time
os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
import ray
from ray import tune
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _node_ip_address="127.0.0.1")
def nothing(config):
    tune.report({"x": 0})
space = {"x": tune.grid_search(list(range(int(sys.argv[1]))))}
tuner = tune.Tuner(
    nothing,
    param_space=space,
    run_config=tune.RunConfig(verbose=0, storage_path=sys.argv[2]),
)
start = time.perf_counter()
found = tuner.fit()
assert len(found) == int(sys.argv[1]) and not found.errors
print("seconds", time.perf_counter() - start)
"""

HYDRA = """
import sys, time
from pathlib import Path
import hydra
start = time.perf_counter()
@hydra.main(version_base=None)
def nothing(config):
    Path(f"done-{config.x}").touch()
nothing()
print("seconds", time.perf_counter() - start)
"""


def seconds(code: str, folder: Path, *arguments: str) -> float:
    """What the code, run as a script of its own, says that it took."""
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), *arguments]
    ran = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    line = next(line for line in ran.stdout.splitlines() if line.startswith("seconds "))
    return float(line.split()[1])


def hydra(count: int, launcher: str) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = [f"+x=range({count})", f"hydra.sweep.dir={name}/jobs", "hydra.job.chdir=true"]
        chosen = [f"hydra/launcher={launcher}"]
        chosen += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
        taken = seconds(HYDRA, folder, "--multirun", *sweep, *chosen)
        assert len(list(folder.rglob("done-*"))) == count
        return taken


def ray_tune(count: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        return seconds(RAY_TUNE, Path(name), str(count), f"{name}/results")


def here(count: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        return no_ops(Path(name), count)


def on_ray(count: int) -> float:
    from experiments.execution.engines.ray import RayEngine, connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with connect("local", folder, True, 2) as cluster:
            engine = partial(RayEngine, cluster)
            no_ops(folder / "before", 2, engine)
            return no_ops(folder / "jobs", count, engine)


def main(count: int = 200) -> None:
    launchers: dict[str, Callable[[int], float]] = {
        "here: a process a job": here,
        "here, with --engine ray: a process a job": on_ray,
        "Ray Tune: a process a trial": ray_tune,
        "Hydra, joblib launcher: processes are used again": lambda n: hydra(n, "joblib"),
        "Hydra, basic launcher: all in one process": lambda n: hydra(n, "basic"),
    }
    taken = {}
    for name, launch in launchers.items():
        print(f"{name} ...", file=sys.stderr)
        taken[name] = launch(count)
    ours = next(iter(taken.values()))
    table = [
        (name, f"{total / count * 1000:.0f} ms", f"{total / ours:.1f}x")
        for name, total in taken.items()
    ]
    print(grid(Grid((f"{count} jobs that do nothing", "a job", "of ours"), table)), end="")
