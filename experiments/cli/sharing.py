"""`--archive`, `--verify FILE`, `--reproduce`: what they print, and their exit codes."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.basics.names import counted
from classifier.cli.entry import ALL_DONE, SOME_FAILED, SOME_MISSING
from classifier.records.record import benchmark_units
from experiments import api
from experiments.cli.options import REPORTS, RUNS, data_root, run_options
from experiments.matrix.overrides import Overrides
from experiments.session.outcome import Outcome
from experiments.session.reporting import Reporter

if TYPE_CHECKING:
    from experiments.share.reproduce import Reproduced

_OTHER_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zst")


def archive(file: Path, reporter: Reporter, here: Platform, overrides: Overrides) -> int:
    """Write it. The exit code says whether every figure is there."""
    from experiments.share import archive as archives

    if file.is_dir():
        raise UserError(f"--archive {file} is a folder; name a file in it, as {file / 'ema.zip'}")
    if file.suffix.lower() in _OTHER_ARCHIVES:
        raise UserError(f"--archive {file}: it writes a zip file; name it so, as ema.zip")
    found = reporter.find_some(here)
    units = benchmark_units(here)
    made = archives.make(
        file, found.selections, found.results, units, overrides, reporter.data_root
    )
    members, left = made.manifest.members, made.manifest.checkpoints
    records = sum(name.endswith("/record.json") for name in members)
    files = counted(len(members), "file")
    print(f"{file}: {counted(records, 'record')}, {files}, {made.size / 1e6:,.1f} MB")
    if left.count:
        number = counted(left.count, "checkpoint")
        also = " ".join(f"--also {lender or reporter.runs}" for lender in made.lenders)
        print(f"left out: {number}, {left.size / 1e6:,.1f} MB; {also} uses them")
    whole = all(selection.is_whole for selection in found.selections)
    return ALL_DONE if whole else SOME_MISSING


def verify(file: Path, data_root: Path) -> int:
    """Print what of an archive is damaged. The exit code."""
    from experiments.share import verify as verifying

    found = verifying.verify(file, data_root)
    for problem in found.problems:
        print(problem)
    if found.problems:
        if found.others:
            print(f"it says that others made it: {found.others}; with these it may be whole")
        print(f"{len(found.problems)} damaged")
        return SOME_FAILED
    for left_out in found.not_compared:
        print(f"not compared: {left_out}")
    weaker = f"; that is weaker than to the byte, for others made it: {found.others}"
    how = f"in every figure and verdict{weaker}" if found.others else "to the byte"
    print(f"{file} is whole: {counted(found.records, 'record')}, and they give its report {how}")
    return ALL_DONE


def reproduce(options: argparse.Namespace) -> int:
    """Run an archive's matrices again and print what became of each figure. The exit code."""
    from experiments.share import reproduce as again
    from reports import records_json

    file: Path = options.reproduce
    if options.matrices or options.also:
        raise UserError("--reproduce takes an archive, and no matrix and no --also")
    for name in ("smoke", "set", "seeds", "json"):
        if getattr(options, name):
            raise UserError(f"--reproduce runs what the archive has, and takes no --{name}")
    own = Path(f"{file.stem}-reproduced")
    runs = own / RUNS if options.runs is RUNS else options.runs
    reports = own / REPORTS if options.reports is REPORTS else options.reports
    given = run_options(options) | {"runs": runs, "reports": reports}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            unpacked = again.unpack(file, folder, data_root(options))
            with again.in_its_own(runs, file):
                outcome = api.run(unpacked.matrices, **given)
            print(outcome, end="")
            found = []
            for matrix, then in zip(unpacked.matrices, unpacked.reports, strict=True):
                now = records_json.read(reports / matrix.name)
                again.check_data(file, then, now)
                found += list(again.compare(then, now))
        except UserError as error:
            raise again.named(error, file, folder) from error
    _print_reproduced(found, outcome)
    cells = sum(len(then.cells) for then in unpacked.reports)
    if cells > len(found):
        print(f"figures that the archive lacks: {cells - len(found)} of {cells}")
    code = code_of(found)
    if code == SOME_MISSING:
        print("nothing was compared")
    return code


def code_of(found: Sequence[Reproduced]) -> int:
    """Done only where a figure came again, and none did not: that a speed is shown beside another
    compares nothing."""
    from experiments.share.reproduce import Again

    each = {figure.found for figure in found}
    if Again.NOT in each:
        return SOME_FAILED
    return ALL_DONE if each & {Again.EQUAL, Again.WITHIN} else SOME_MISSING


def _print_reproduced(found: Sequence[Reproduced], outcome: Outcome) -> None:
    from tabulate import tabulate

    rows = [
        (
            each.place,
            f"{each.then:.6g}",
            "" if each.low is None else f"{each.low:.6g} to {each.high:.6g}",
            each.now if isinstance(each.now, str) else f"{each.now:.6g}",
            each.found.value,
        )
        for each in found
    ]
    print()
    print(tabulate(rows, ("figure", "then", "95 %", "now", "again"), disable_numparse=True))
    before = ", the others by this command before" if outcome.todo < outcome.jobs else ""
    print(f"\n{outcome.todo} of {counted(outcome.jobs, 'job')} were run now{before}")
    if counts := Counter(each.found.value for each in found):
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
