"""Run matrices of image-classification experiments and write their tables.

python runner.py experiments/ema.yaml
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics import machine
from classifier.basics.console import show_any_name
from classifier.basics.errors import UserError
from classifier.basics.progress import duration
from classifier.config.spec import TrainSpec, Weights
from classifier.data import datasets
from classifier.data.prepare import prepare
from classifier.data.split import Part
from experiments.matrix.load import Matrix, Overrides, load
from experiments.plan import plan as planning
from experiments.plan.plan import Plan, Site
from experiments.run.engines import MOST_CPU_JOBS, Engine
from experiments.store.store import Store

if TYPE_CHECKING:
    from experiments.run.engines.ray import Cluster
    from experiments.run.scheduler import Outcome

ALL_DONE, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

MOST_MINUTES = 30_000
"""Below what the system's longest wait takes."""

EXAMPLES = """\
examples:
  python runner.py experiments/digits.yaml             run it, write reports/digits/
  python runner.py experiments/*.yaml --plan           what would run, and at what cost
  python runner.py experiments/ema.yaml --smoke        the same matrix on tiny data, in a minute
  python runner.py experiments/ema.yaml --devices 0,1  two GPUs, a job on each
  python runner.py experiments/ema.yaml --set train.epochs=10 --seeds 0,1,2
  python runner.py experiments/ema.yaml --report       rebuild the tables from the records
  python runner.py --status                            what lies in runs/, how old, how large
  python runner.py --verify                            is all of it whole?
  python runner.py experiments/*.yaml --prune          delete what these matrices do not need

A run that was interrupted goes on with the same command; what is done is not done again.
exit codes: 0 all done, 1 some jobs failed, 2 bad input, 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    show_any_name()
    try:
        code = _main(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `runner.py --plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ALL_DONE
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return SOME_FAILED


def _main(options: argparse.Namespace) -> int:
    _check_folders(options)
    if options.status or options.verify:
        from experiments.store import housekeeping

        store = _existing_store(options)
        return housekeeping.show(store) if options.status else housekeeping.check(store)
    if not options.matrices:
        raise UserError("name a matrix, as experiments/digits.yaml; --help has examples")
    overrides = Overrides(options.smoke, tuple(options.set), options.seeds)
    matrices = [load(path, overrides, options.data_root) for path in options.matrices]
    names = [matrix.name for matrix in matrices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two matrices are named {name}, and would write one report")
    _check_engine(options)
    runner = Runner(matrices, options)
    if options.prune:
        from experiments.store import housekeeping

        return housekeeping.prune(_existing_store(options), runner.plan(), options.yes)
    if options.plan or options.json:
        _print_plan(matrices, runner.plan(), options.json)
        return ALL_DONE
    return runner.report() if options.report else runner.run()


class Runner:
    """One command's matrices, with the store and the device that it uses."""

    def __init__(self, matrices: Sequence[Matrix], options: argparse.Namespace) -> None:
        self.matrices, self.options = matrices, options
        self.store = Store(options.runs)
        self.site = _site(options.devices)

    def plan(self) -> Plan:
        """With the states that the store shows now."""
        return planning.make(self.matrices, self.store.read(), self.site, self.options.data_root)

    def run(self) -> int:
        """Do what is not done, then report. The exit code."""
        self._check_owners()
        for matrix in self.matrices:
            for note in matrix.notes:
                print(f"{matrix.source}: {note}", file=sys.stderr)
        if self.options.engine == "local":
            return self._run_on(None)
        from experiments.run.engines import ray

        options = self.options
        print("connecting to Ray ...", file=sys.stderr)
        with ray.connected(
            options.address,
            options.runs.absolute(),
            options.devices == ["cpu"],
            options.jobs_per_device,
        ) as cluster:
            self.site = cluster.site
            return self._run_on(cluster)

    def _run_on(self, cluster: Cluster | None) -> int:
        plan, lost = self.plan(), 0
        if plan.todo:
            folders = _check_data(plan, self.options.data_root)
            if cluster is not None:
                cluster.check_data(folders)
            engine = self._engine(cluster, _starts(plan))
            outcome = self._run_jobs(plan, engine)
            if outcome.interrupted:
                raise KeyboardInterrupt
            lost = outcome.lost or outcome.left
            _print_outcome(outcome, len(plan.todo))
        else:
            print(f"nothing to do: all {len(plan.jobs)} jobs are done in {self.store.root}")
        self.report()
        return SOME_FAILED if lost else ALL_DONE

    def _engine(self, cluster: Cluster | None, starts: list[TrainSpec]) -> Engine:
        from experiments.run.worker import Settings, check_starts, perform

        options = self.options
        settings = Settings(
            options.runs.absolute(),
            options.data_root.absolute(),
            options.workers,
            options.checkpoint_minutes,
        )
        if cluster is not None:
            from experiments.run.engines.ray import RayEngine

            if starts:
                cluster.on_each_node(check_starts, starts, settings.data_root)
            return RayEngine(cluster, settings, perform, options.stall_minutes)
        from experiments.run.engines.local import LocalEngine, in_a_child

        devices, jobs_per_device = _devices(options)
        if starts:
            in_a_child(check_starts, starts, options.data_root)
        return LocalEngine(devices, jobs_per_device, settings, perform, options.stall_minutes)

    def _run_jobs(self, plan: Plan, engine: Engine) -> Outcome:
        from experiments.run import scheduler
        from experiments.run.claims import Claims
        from experiments.run.live_view import QuietOnBrokenPipe, View

        judge = planning.Judge(self.site, self.options.data_root)
        with (
            Claims(self.store, judge) as claims,
            View(plan, len(engine.slots), self.store, QuietOnBrokenPipe()) as view,
        ):
            return scheduler.run(
                plan,
                engine,
                view,
                claims,
                retries=self.options.retries,
                fail_fast=self.options.fail_fast,
            )

    def _check_owners(self) -> None:
        from reports.report import check_owner

        for matrix in self.matrices:
            check_owner(matrix, self.options.reports)

    def report(self) -> int:
        """Write every matrix's report, or none; print the tables."""
        from reports.report import check_records, write

        self._check_owners()
        results = self.store.read()
        plan = planning.make(self.matrices, results, self.site, self.options.data_root)
        results = planning.current(plan, results)
        for matrix in self.matrices:
            check_records(matrix, results, self.site.benchmark_units)
        for matrix in self.matrices:
            files = write(matrix, results, self.options.reports, self.site.benchmark_units)
            for file in files[: len(matrix.tables)]:
                print(f"\n{file}\n\n{file.read_text(encoding='utf-8')}", end="")
            print(f"\nand {', '.join(map(str, files[len(matrix.tables) :]))}")
        return ALL_DONE


def _print_outcome(outcome: Outcome, todo: int) -> None:
    if outcome.lost:
        print(f"{outcome.lost} of {todo} jobs failed or were skipped", file=sys.stderr)
    if outcome.left:
        print(f"{outcome.left} of {todo} jobs were not begun or not finished", file=sys.stderr)
    if outcome.twice:
        print(
            f"{outcome.twice} jobs were done by another runner as well, which had seen no sign of "
            "life from this one",
            file=sys.stderr,
        )


def _devices(options: argparse.Namespace) -> tuple[list[str], int]:
    """The devices to use, each checked, and how many jobs run on one at a time."""
    from experiments.run.engines.local import probe

    print("starting (torch takes some seconds) ...", file=sys.stderr)
    gpus = probe().gpus
    wanted: list[str] = options.devices
    if wanted == ["auto"]:
        wanted = [str(index) for index in range(len(gpus))] or ["cpu"]
    for device in wanted:
        if device != "cpu" and int(device) >= len(gpus):
            seen = f"{len(gpus)} GPU(s): {', '.join(gpus)}" if gpus else "no GPU"
            raise UserError(f"--devices {device}: that device is not there; torch sees {seen}")
    default = min(machine.cores(), MOST_CPU_JOBS) if wanted == ["cpu"] else 1
    return wanted, options.jobs_per_device or default


def _site(devices: Sequence[str]) -> Site:
    """Where speeds would be measured, found without torch."""
    gpus = machine.gpu_names()
    first = devices[0] if devices != ["auto"] else ("0" if gpus else "cpu")
    there = first != "cpu" and int(first) < len(gpus)
    name = gpus[int(first)] if there else machine.cpu_device()
    return Site(name, machine.cores(), machine.versions()["torch"])


def _check_engine(options: argparse.Namespace) -> None:
    """Options that one engine has and the other has not."""
    if options.engine == "local" and options.address is not None:
        raise UserError("--address is for --engine ray")
    if options.engine == "ray" and options.devices not in (["auto"], ["cpu"]):
        raise UserError(
            f"--devices {','.join(options.devices)}: Ray chooses the GPUs; to leave some out, set "
            "CUDA_VISIBLE_DEVICES where Ray is started"
        )


def _check_data(plan: Plan, data_root: Path) -> list[Path]:
    """What is not there, or can't be split, is said before anything runs. The data's folders."""
    trainings = [job.run for job in plan.todo]
    folders = []
    for data in dict.fromkeys(spec.data for spec in trainings if isinstance(spec, TrainSpec)):
        prepare(data, data_root)
        if data.name != "digits":
            folders.append(datasets.folder_of(data, data_root).absolute())
    return folders


def _starts(plan: Plan) -> list[TrainSpec]:
    """One training for each start from pretrained weights, or from files of weights and teachers:
    they are fetched and tried before anything runs."""
    starts = {}
    for spec in [job.spec for job in plan.todo if isinstance(job.spec, TrainSpec)]:
        teacher = spec.distill.teacher if spec.distill else None
        file = teacher if isinstance(teacher, Weights) else None
        if spec.pretrained or spec.weights or file:
            starts[spec.data, spec.model, spec.pretrained, spec.weights, file] = spec
    return list(starts.values())


def _check_folders(options: argparse.Namespace) -> None:
    for flag in ("--runs", "--reports", "--data-root"):
        folder: Path = getattr(options, flag.strip("-").replace("-", "_"))
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{flag} {folder} is a file, not a folder; name a folder")


def _existing_store(options: argparse.Namespace) -> Store:
    if not options.runs.is_dir():
        raise UserError(f"{options.runs} is not there; name the folder of runs with --runs")
    return Store(options.runs)


def _print_plan(matrices: Sequence[Matrix], plan: Plan, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plan.as_json(), indent=1))
        return
    from tabulate import tabulate

    names = {job.id: f"{job.spec.kind} {job.name}" for job in plan.jobs}
    rows = [
        (
            names[job.id],
            job.id,
            job.state,
            ", ".join(job.needs),
            _operations(job.cost.gflop),
            _estimated(job.cost.seconds),
            job.reason,
        )
        for job in plan.jobs
    ]
    headers = ("job", "id", "state", "needs", "work (est.)", "time (est.)", "reason")
    right = ("left", "left", "left", "left", "right", "right", "left")
    print(tabulate(rows, headers, disable_numparse=True, colalign=right))
    print()
    for matrix in matrices:
        for name, value in matrix.overrides.items():
            print(f"{matrix.name}: {name} = {json.dumps(value)} (override)")
        for note in matrix.notes:
            print(f"{matrix.name}: {note}")
    for title, parts in plan.data.items():
        print(f"{title}: {_images(parts)}")
    _print_totals(plan)


def _print_totals(plan: Plan) -> None:
    totals = plan.totals()
    saved = plan.separate_trainings - totals["train"]
    instead = f" (one command for each arm would train {plan.separate_trainings} times)"
    print(
        f"{totals['train']} trainings{instead if saved > 0 else ''}, "
        f"{totals['evaluate']} evaluations, {totals['benchmark']} benchmarks; "
        f"{totals['todo']} to do"
    )
    todo = plan.todo
    gflop = sum(job.cost.gflop or 0.0 for job in todo)
    known = [job.cost.seconds for job in todo if job.cost.basis == "records"]
    unknown = [job for job in todo if job.cost.seconds is None]
    seconds = sum(job.cost.seconds or 0.0 for job in todo)
    if gflop:
        print(f"estimated work to do: {_operations(gflop)}", end="")
        if known:
            least = "at least " if unknown else ""
            print(f", {least}{_estimated(seconds)} of job time by this store's records")
        else:
            print("; its time is known once jobs like these have records here")


def _operations(gflop: float | None) -> str:
    """`2.40 PFLOP`: floating-point operations, a thousand a step."""
    if gflop is None:
        return ""
    for unit in ("GFLOP", "TFLOP", "PFLOP"):
        if gflop < 1000:
            return f"{gflop:.3g} {unit}"
        gflop /= 1000
    return f"{gflop:,.3g} EFLOP"


def _estimated(seconds: float | None) -> str:
    return "" if seconds is None else f"~{duration(seconds)}"


def _images(parts: Mapping[Part, int] | None) -> str:
    if parts is None:
        return "not there yet, so not counted"
    return f"{parts['train']:,} train / {parts['val']:,} val / {parts['test']:,} test images"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python runner.py",
        description="Run a matrix of image-classification experiments and write its tables.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("matrices", nargs="*", type=Path, metavar="MATRIX.yaml", help="one or more matrix files")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="show what would run, and run nothing")
    what.add_argument("--report", action="store_true", help="rebuild the reports, run nothing")
    what.add_argument("--status", action="store_true", help="show all runs of --runs")
    what.add_argument("--verify", action="store_true", help="read all of --runs, name the damaged")
    what.add_argument("--prune", action="store_true", help="delete runs that no given matrix needs")
    add("--yes", action="store_true", help="with --prune: do not ask")
    add("--json", action="store_true", help="with --plan: one JSON object")
    add("--smoke", action="store_true", help="tiny real data, two epochs; --plan --smoke shows how")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, as "
        "train.epochs=1 or data.split_seed=2; repeatable; pins an axis of that name",
    )
    add("--seeds", type=_seeds, metavar="0,1,2", help="override the matrix's seeds")
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where jobs run: on this machine (default), or on a Ray cluster",
    )
    add(
        "--address",
        metavar="HOST:PORT",
        help="of a Ray cluster (default: RAY_ADDRESS, else this machine's, else a new one)",
    )
    add(
        "--devices",
        type=_device_list,
        default=["auto"],
        metavar="auto|cpu|0,1",
        help="GPUs, counted within CUDA_VISIBLE_DEVICES (default: all, else the CPU)",
    )
    add(
        "--jobs-per-device",
        type=_positive,
        metavar="N",
        help="jobs at a time on one device (default: 1 on a GPU, one a core on the CPU, at most "
        f"{MOST_CPU_JOBS}); with Ray on each GPU or node",
    )
    add(
        "--workers",
        type=_count,
        default=0,
        metavar="N",
        help="loader processes of a training (default: 0); changes no result",
    )
    add(
        "--retries",
        type=_count,
        default=1,
        metavar="N",
        help="how often a job that fails is tried again, from its last state (default: 1)",
    )
    add("--fail-fast", action="store_true", help="stop at the first job that fails")
    add(
        "--stall-minutes",
        type=_minutes,
        default=30.0,
        metavar="M",
        help="end a job that makes no progress for so long (default: 30; 0: never)",
    )
    add(
        "--checkpoint-minutes",
        type=_minutes,
        default=10.0,
        metavar="M",
        help="keep a training's state so often inside an epoch, beside each epoch's (default: 10)",
    )
    add("--runs", type=Path, default=Path("runs"), metavar="DIR", help="records and checkpoints")
    add("--reports", type=Path, default=Path("reports"), metavar="DIR", help="tables")
    add("--data-root", type=Path, default=Path("data"), metavar="DIR", help="data sets")
    return parser


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _count(text: str) -> int:
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 up")
    return int(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= MOST_MINUTES:
        most = f"{MOST_MINUTES:,} (three weeks)"
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes from 0 to {most}")
    return minutes


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _device_list(text: str) -> list[str]:
    devices = [part.strip() for part in text.split(",")]
    numbers = all(device.isdecimal() for device in devices)
    if devices not in (["auto"], ["cpu"]) and not numbers:
        raise argparse.ArgumentTypeError(f"'{text}' is not auto, cpu or a list of GPUs as 0,1")
    if len(set(devices)) < len(devices):
        raise argparse.ArgumentTypeError(f"'{text}' names a device twice")
    return devices
