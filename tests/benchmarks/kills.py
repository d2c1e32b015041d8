"""Kill a matrix and its jobs again and again; are its results those of an undisturbed run?

    python -m tests.benchmarks kills [COUNT]

SIGKILL strikes at random moments: a job's process three times of four, else the runner. A matrix
that has come to its end is compared, checkpoint by checkpoint and prediction by prediction, and
begun anew, until the kills are done.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from classifier.basics.files import digest
from reports.blocks import Grid
from reports.page.markdown import grid

ROOT = Path(__file__).parents[2]
MATRIX = ROOT / "experiments" / "ema.yaml"
COMMAND = [sys.executable, str(ROOT / "runner.py"), str(MATRIX), "--smoke"]
PATIENT = ["--retries", "1000000", "--checkpoint-minutes", "0"]

Results = dict[str, str]


@dataclass
class Tally:
    """What was done and found."""

    jobs: int = 0
    runners: int = 0
    finished: int = 0
    lost: int = 0
    orphans: int = 0
    busy: float = 0.0
    """Seconds that job processes lived."""
    seen: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Job processes of this runner: when they were first and last seen."""

    @property
    def kills(self) -> int:
        return self.jobs + self.runners

    def look(self, runner: psutil.Process) -> list[psutil.Process]:
        """The job processes that live now: the fork server's children."""
        now = time.monotonic()
        found = list(job_processes(runner))
        for process in found:
            self.seen[process.pid] = (self.seen.get(process.pid, (now, now))[0], now)
        return found

    def close(self) -> None:
        """The runner has ended: add up how long its jobs lived."""
        self.busy += sum(last - first for first, last in self.seen.values())
        self.seen.clear()


def job_processes(runner: psutil.Process) -> Iterator[psutil.Process]:
    try:
        for server in runner.children():
            yield from server.children()
    except psutil.NoSuchProcess:
        return


def results(folder: Path) -> Results:
    """The table, and what each checkpoint and each prediction hashes to."""
    files = [*folder.rglob("best.safetensors"), *folder.rglob("predictions.npz")]
    found = {str(file.relative_to(folder)): digest(file) for file in files}
    table = folder / "reports" / "ema-smoke" / "ema.md"
    return {**found, "table": table.read_text() if table.exists() else "none"}


def start(folder: Path, *options: str) -> psutil.Popen:
    return psutil.Popen(
        [*COMMAND, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def undisturbed(folder: Path) -> tuple[Results, float]:
    """Its results, and the seconds that its jobs took."""
    tally = Tally()
    runner = start(folder)
    while runner.poll() is None:
        tally.look(runner)
        time.sleep(0.02)
    assert runner.returncode == 0
    tally.close()
    return results(folder), tally.busy


def until_it_ends(folder: Path, draw: random.Random, most: int, tally: Tally) -> bool:
    """One runner, until it ends or is killed. Whether it came to its end."""
    runner = start(folder, *PATIENT)
    family: list[psutil.Process] = []
    strike = time.monotonic() + draw.uniform(4.0, 12.0)  # it needs four seconds to start
    while runner.poll() is None:
        jobs = tally.look(runner)
        if time.monotonic() >= strike and tally.kills < most:
            if draw.random() < 0.25:
                family = runner.children(recursive=True)
                runner.send_signal(signal.SIGKILL)
                tally.runners += 1
            elif jobs:
                os.kill(draw.choice(jobs).pid, signal.SIGKILL)
                tally.jobs += 1
            strike = time.monotonic() + draw.uniform(0.2, 3.0)
        time.sleep(0.02)
    tally.close()
    tally.orphans += len(psutil.wait_procs(family, timeout=10)[1])
    return bool(runner.returncode == 0)


def main(count: int = 200) -> None:
    draw, tally = random.Random(0), Tally()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        (Path(name) / "undisturbed").mkdir()
        expected, plain = undisturbed(Path(name) / "undisturbed")
        print(f"undisturbed: {len(expected)} results, {plain:.0f} s of jobs", file=sys.stderr)
        while tally.kills < count:
            folder = Path(name) / f"matrix{tally.finished}"
            folder.mkdir(exist_ok=True)
            if until_it_ends(folder, draw, count, tally):
                tally.finished += 1
                tally.lost += sum(results(folder).get(k) != v for k, v in expected.items())
            print(f"{tally.kills} of {count} kills, {tally.finished} ended", file=sys.stderr)
        while not until_it_ends(folder, draw, count, tally):
            pass
        tally.finished += 1
        tally.lost += sum(results(folder).get(key) != value for key, value in expected.items())
    repeated = (tally.busy - tally.finished * plain) / tally.kills
    headers = (
        "kills of jobs",
        "kills of the runner",
        "matrices ended",
        "results lost or changed",
        "processes left",
        "job time repeated, a kill",
    )
    row = (
        tally.jobs,
        tally.runners,
        tally.finished,
        tally.lost,
        tally.orphans,
        f"{repeated:.1f} s",
    )
    print(grid(Grid(headers, [tuple(map(str, row))])), end="")
