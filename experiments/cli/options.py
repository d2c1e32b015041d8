"""The options of runner.py."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, get_args

from classifier.basics.errors import UserError
from classifier.cli.entry import WORKERS, Parser, at_least, one_of
from experiments.execution.engines import MOST_CPU_JOBS, EngineName
from experiments.session.options import MOST_MINUTES, RunOptions, devices_of
from experiments.session.reporting import Wanted
from reports.formats import FormatName

EXAMPLES = """\
examples:
  python runner.py --init my.yaml --data photos        a first matrix for a folder of images
  python runner.py experiments/digits.yaml             run it, write reports/digits/
  python runner.py experiments/*.yaml --plan           what would run, and at what cost
  python runner.py experiments/ema.yaml --smoke        the same matrix on tiny data, in a minute
  python runner.py experiments/ema.yaml --devices 0,1  two GPUs, a job on each
  python runner.py experiments/ema.yaml --set train.epochs=10 --seeds 0,1,2
  python runner.py experiments/ema.yaml --report       rebuild the tables from the records
  python runner.py experiments/ema.yaml --format latex --marks    its table, to be pasted
  python runner.py experiments/ema.yaml --published    what the changelog's own figures can say
  python runner.py experiments/ema.yaml --watch        look on from another terminal or machine
  python runner.py experiments/ema.yaml --notify 'mail -s ema me@example.org'
  python runner.py --diff last-week/ema reports/ema    which figures moved, and what is different
  python runner.py --doctor                            is this machine fit? for a bug report too
  python runner.py --status                            what lies in runs/, how old, how large
  python runner.py --verify                            is all of it whole?
  python runner.py experiments/*.yaml --prune          delete what these matrices do not need

A run that was interrupted goes on with the same command; what is done is not done again.
exit codes: 0 all done, 1 some jobs failed, 2 bad input, 130 interrupted; of --report 0 where every
figure is there, 3 while some or all are missing; of --diff 0 where all figures are the same, else
1; of --doctor 0 where nothing is bad, else 1
"""

NOT_PRINTED = (
    *("init", "plan", "watch", "published", "try", "schema", "doctor"),
    *("status", "verify", "prune", "json"),
)


def wanted(options: argparse.Namespace) -> Wanted | None:
    """What is to be printed of a report. Raises UserError for options that don't go together."""
    if options.format is None:
        if options.table is not None or options.marks:
            raise UserError("--table and --marks are for --format, as --format latex")
        return None
    if options.diff and (options.format != "json" or options.table or options.marks):
        raise UserError("--diff prints text, or --format json")
    others = [name for name in NOT_PRINTED if getattr(options, {"try": "trial"}.get(name, name))]
    if others:
        raise UserError(f"--format prints a report's table, and not what --{others[0]} does")
    if options.diff:
        return None
    if options.marks and options.format == "json":
        raise UserError("--marks is for tables; --format json has the verdicts")
    return Wanted(options.format, options.table, options.marks)


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What `experiments.run` is told, by its arguments' names."""
    given = {name: getattr(options, name, None) for name in RunOptions.model_fields}
    return given | {"images": not options.no_images}


def parser() -> Parser:
    made = Parser(
        prog="python runner.py",
        description="Run a matrix of image-classification experiments and write its tables.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("matrices", nargs="*", type=Path, metavar="MATRIX.yaml", help="one or more matrix files")
    what = made.add_mutually_exclusive_group()
    what.add_argument(
        "--init", type=Path, metavar="FILE.yaml", help="look at --data, write a matrix that fits it"
    )
    what.add_argument("--plan", action="store_true", help="show what would run, and run nothing")
    what.add_argument("--report", action="store_true", help="rebuild the reports, run nothing")
    what.add_argument(
        "--watch",
        action="store_true",
        help="show what all runners of --runs do for these matrices, and run nothing",
    )
    what.add_argument(
        "--published",
        action="store_true",
        help="what the published figures of these matrices can say; needs no run and no data",
    )
    what.add_argument(
        "--try", action="store_true", dest="trial", help="try the matrix's plugins, and run nothing"
    )
    what.add_argument(
        "--diff",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="what differs between two reports: their folders, or their records.json",
    )
    what.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of a matrix, by which editors complete and mark",
    )
    what.add_argument("--status", action="store_true", help="show all runs of --runs")
    what.add_argument(
        "--doctor",
        action="store_true",
        help="look at this machine, its folders and devices: what is bad, and what to do",
    )
    what.add_argument("--verify", action="store_true", help="read all of --runs, name the damaged")
    what.add_argument("--prune", action="store_true", help="delete runs that no given matrix needs")
    add("--trust", action="store_true", help="run the matrix's plugins: code of yours; do not ask")
    add("--yes", action="store_true", help="with --prune: do not ask")
    add("--json", action="store_true", help="with --plan: one JSON object")
    add(
        "--format",
        **one_of(get_args(FormatName)),
        help="print one table, run and write nothing; json: all tables, for scripts",
    )
    add("--table", metavar="NAME", help="with --format: which table")
    add("--marks", action="store_true", help="with --format: show verdicts, and what they mean")
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
        **one_of(get_args(EngineName)),
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
        type=at_least(1),
        metavar="N",
        help="jobs at a time on one device (default: 1 on a GPU, one a core on the CPU, at most "
        f"{MOST_CPU_JOBS}); with Ray on each GPU or node",
    )
    add("--workers", **WORKERS)
    add(
        "--retries",
        type=at_least(0),
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
    add(
        "--keep-states",
        action="store_true",
        help="keep each training's last state, so that one of more epochs goes on from it; where "
        "epochs are an axis that is done anyway",
    )
    add(
        "--notify",
        type=_command,
        metavar="COMMAND",
        help="run this in a shell at the first failure and at the end, with a text on its stdin",
    )
    add("--runs", type=Path, default=Path("runs"), metavar="DIR", help="records and checkpoints")
    add(
        "--no-images",
        action="store_true",
        help="no pictures of the data in the report: for data that may not be shown",
    )
    add("--reports", type=Path, default=Path("reports"), metavar="DIR", help="tables")
    add(
        "--data-root", type=Path, metavar="DIR", help="data sets (default: the matrix's, else data)"
    )
    add("--data", type=Path, metavar="DIR", help="with --init: the folder of images to look at")
    return made


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(at_least(0)(part) for part in text.split(","))


def _command(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a command is expected")
    return text


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 <= minutes <= MOST_MINUTES:
        most = f"{MOST_MINUTES:,} (three weeks)"
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes from 0 to {most}")
    return minutes


def _device_list(text: str) -> list[str]:
    try:
        return list(devices_of(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
