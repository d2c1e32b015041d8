"""The options of runner.py."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, TypeAlias, get_args

from classifier.basics.errors import UserError
from classifier.basics.program import COMMAND, called, version
from classifier.cli.entry import WORKERS, Parser, at_least, not_empty, one_of, path
from experiments.cli.completion import Shell
from experiments.execution.engines import MOST_CPU_JOBS, EngineName
from experiments.matrix.load import DATA_ROOT
from experiments.matrix.overrides import Overrides
from experiments.session.options import MOST_MINUTES, RunOptions, devices_of
from experiments.session.reporting import Wanted
from reports.formats import FormatName

Group: TypeAlias = argparse._ArgumentGroup  # argparse's own name for what add_argument_group gives

RUN = """\
  %(prog)s --init my.yaml --data photos
  %(prog)s my.yaml                 run it, write reports/my/
  %(prog)s my.yaml --smoke         the same on tiny data, in a minute
  %(prog)s my.yaml --devices 0,1   two GPUs, a job on each
  %(prog)s my.yaml --set train.epochs=10 --seeds 0,1,2
  %(prog)s my.yaml --notify 'mail -s my me@example.org'
A run that was interrupted goes on with the same command; what is done is
not done again.
"""
LOOK = """\
  %(prog)s *.yaml --plan           what would run, at what cost
  %(prog)s my.yaml --watch         from another terminal or machine
  %(prog)s my.yaml --report        the tables anew, from the records
"""
SHARE = """\
  %(prog)s my.yaml --format latex --marks
  %(prog)s --diff last-week/my reports/my
  %(prog)s my.yaml --archive my.zip   for a colleague, or a paper
  %(prog)s --reproduce my.zip         does each figure come again?
"""
CARE = """\
  %(prog)s --doctor                is this machine fit?
  %(prog)s --status                what lies in runs/
  %(prog)s --verify my.zip         do its records give its report?
  %(prog)s *.yaml --prune          keep only what these need
"""
CODES = """\
exit codes: 0 all done, 1 some jobs failed, 2 bad input, 130 interrupted;
3 all done, but figures are missing; of --report where some or all are;
of --diff 0 where all figures are the same, else 1;
of --doctor 0 where nothing is bad, else 1;
of --reproduce 0 where every figure is equal or within its interval, else 1
"""

RUNS, REPORTS = Path("runs"), Path("reports")
"""Where no other was named: these very objects, so that who names `runs` is told apart."""

NOT_PRINTED = (
    *("init", "plan", "watch", "published", "try", "schema", "doctor", "completion"),
    *("status", "verify", "archive", "reproduce", "prune", "json"),
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


def data_root(options: argparse.Namespace) -> Path:
    """Where no matrix says one."""
    return options.data_root or DATA_ROOT


def overrides(options: argparse.Namespace) -> Overrides:
    """Of the matrices."""
    return Overrides(options.smoke, tuple(options.set), options.seeds)


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What `experiments.run` is told, by its arguments' names."""
    given = {name: getattr(options, name, None) for name in RunOptions.model_fields}
    return given | {"images": not options.no_images}


class OneThing(argparse.Action):
    """An option that says what is to be done: one at a time, in whichever group it stands.

    argparse's own exclusive groups lie in one titled group each.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        (name,) = self.option_strings
        first = vars(namespace).setdefault("one_thing", name)
        if first != name:
            raise argparse.ArgumentError(self, f"not allowed with argument {first}")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


SWITCH: Any = {"action": OneThing, "nargs": 0, "default": False}
"""Arguments of `add_argument` for a thing to be done that takes no value."""


def parser(program: str | None = None) -> Parser:
    """Of all options, in groups by what they are for. `program`: its name, if not as called."""
    made = Parser(
        prog=program or called(),
        usage="%(prog)s [MATRIX.yaml ...] [options]",
        description="Run a matrix of image-classification experiments and write its tables.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_everywhere(made)
    run = made.add_argument_group("run (train what is not done, write the tables)", RUN)
    _add_matrix(run)
    _add_devices(run)
    _add_patience(run)
    _add_trackers(run)
    _add_look(made.add_argument_group("look (nothing is trained)", LOOK))
    _add_share(
        made.add_argument_group("share (tables to paste, archives, and what changed)", SHARE)
    )
    _add_care(made.add_argument_group("care (of this machine and its runs)", CARE))
    return made


def _add_everywhere(made: Parser) -> None:
    add = made.add_argument
    add("matrices", nargs="*", type=path, metavar="MATRIX.yaml", help="one or more matrix files")
    add("--version", action="version", version=f"%(prog)s {version()}")
    add("--runs", type=path, default=RUNS, metavar="DIR", help="records and checkpoints")
    add("--reports", type=path, default=REPORTS, metavar="DIR", help="tables")
    add(
        "--data-root", type=path, metavar="DIR", help="data sets (default: the matrix's, else data)"
    )


def _add_matrix(group: Group) -> None:
    """What of the matrix is run."""
    add = group.add_argument
    add(
        "--init",
        action=OneThing,
        type=path,
        metavar="FILE.yaml",
        help="look at a folder of images, write a matrix that fits it",
    )
    add(
        "--data",
        type=path,
        metavar="DIR",
        help="with --init: the folder (default: the embedded digits)",
    )
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
    add("--trust", action="store_true", help="run the matrix's plugins: code of yours; do not ask")
    add(
        "--keep-states",
        action="store_true",
        help="keep each training's last state, so that one of more epochs goes on from it; where "
        "epochs are an axis that is done anyway",
    )
    add(
        "--no-images",
        action="store_true",
        help="no pictures of the data in the report: for data that may not be shown",
    )


def _add_devices(group: Group) -> None:
    """Where it runs."""
    add = group.add_argument
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


def _add_patience(group: Group) -> None:
    """What is done where something goes wrong, or takes long."""
    add = group.add_argument
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
        "--notify",
        type=_command,
        metavar="COMMAND",
        help="run this in a shell at the first failure and at the end, with a text on its stdin",
    )


def _add_trackers(group: Group) -> None:
    add = group.add_argument
    add("--tensorboard", type=path, metavar="DIR", help="log epochs and the report to TensorBoard")
    add("--mlflow", metavar="URI", help="log them to MLflow: sqlite:///FILE, or a server")


def _add_look(group: Group) -> None:
    add = group.add_argument
    add("--plan", **SWITCH, help="show what would run, and run nothing")
    add("--json", action="store_true", help="with --plan: one JSON object")
    add("--report", **SWITCH, help="rebuild the reports, run nothing")
    add(
        "--watch",
        **SWITCH,
        help="show what all runners of --runs do for these matrices, and run nothing",
    )
    add(
        "--published",
        **SWITCH,
        help="what the published figures of these matrices can say; needs no run and no data",
    )
    add("--try", **SWITCH, dest="trial", help="try the matrix's plugins, and run nothing")
    add(
        "--schema",
        **SWITCH,
        help="print the JSON Schema of a matrix, by which editors complete and mark",
    )


def _add_share(group: Group) -> None:
    add = group.add_argument
    add(
        "--format",
        **one_of(get_args(FormatName)),
        help="print one table, run and write nothing; json: all tables, for scripts",
    )
    add("--table", metavar="NAME", help="with --format: which table")
    add("--marks", action="store_true", help="with --format: show verdicts, and what they mean")
    add(
        "--diff",
        action=OneThing,
        nargs=2,
        type=path,
        metavar=("A", "B"),
        help="what differs between two reports: their folders, or their records.json",
    )
    add(
        "--archive",
        action=OneThing,
        type=path,
        metavar="FILE.zip",
        help="write one file of the report, its records, the matrices and their plugins",
    )
    add(
        "--reproduce",
        action=OneThing,
        type=path,
        metavar="FILE.zip",
        help="run an archive's matrices again, and say of each figure whether it is the same",
    )
    add(
        "--also",
        action="append",
        type=not_empty,
        default=[],
        metavar="DIR|URL",
        help="use what is finished in this runs folder too, a colleague's, or s3://BUCKET/runs: "
        "it is only read; repeatable",
    )


def _add_care(group: Group) -> None:
    add = group.add_argument
    add(
        "--doctor",
        **SWITCH,
        help="look at this machine, its folders and devices: what is bad, and what to do",
    )
    add("--status", **SWITCH, help="show all runs of --runs")
    add(
        "--verify",
        action=OneThing,
        nargs="?",
        const=True,
        type=path,
        metavar="FILE",
        help="read all of --runs, or an archive, and name the damaged",
    )
    add("--prune", **SWITCH, help="delete runs that no given matrix needs")
    add("--yes", action="store_true", help="with --prune: do not ask")
    add(
        "--completion",
        action=OneThing,
        **one_of(get_args(Shell)),
        help=f"print what a shell completes of `{COMMAND}`: docs/install.md",
    )


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
