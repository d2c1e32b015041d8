"""Run matrices of image-classification experiments and write their tables.

python runner.py experiments/ema.yaml
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from classifier.basics import console, interruptions
from classifier.basics.errors import UserError
from classifier.basics.program import COMMAND
from classifier.cli.entry import ALL_DONE, SOME_FAILED, SOME_MISSING, exit_code_of
from experiments import api
from experiments.cli import sharing
from experiments.cli.options import data_root, overrides, parser, run_options, wanted
from experiments.execution.engines.local import platform_of
from experiments.matrix.model import Matrix
from experiments.session.options import check_folder, checked
from experiments.session.reporting import Wanted
from experiments.session.runner import Runner, check_names
from experiments.store.store import Results, Store

SAME, DIFFERENT = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all done, 1 some jobs failed, 2 bad input, 3 a report lacks some figures,
    130 interrupted."""
    options = parser().parse_args(arguments)
    interruptions.raised()
    goes_on = "interrupted; the same command goes on from here"
    return exit_code_of(lambda: _main(options), interrupted=goes_on)


def _main(options: argparse.Namespace) -> int:
    printed = wanted(options)
    done = _without_matrices(options)
    if done is not None:
        return done
    matrices = _matrices(options)
    if options.published:
        return _show_published(matrices)
    return _with(Runner(matrices, checked(**run_options(options))), options, printed)


def _without_matrices(options: argparse.Namespace) -> int | None:
    """What needs none; None where something else is to be done."""
    if options.doctor:
        from experiments.cli import doctor

        return doctor.show(options, _matrices(options) if options.matrices else [])
    for name in ("runs", "reports", "data_root"):
        if (folder := getattr(options, name)) is not None:
            check_folder(name, folder)
    if options.init is not None or options.data is not None:
        from experiments.cli import begin

        return begin.write(options)
    if options.diff:
        return _show_diff(options)
    if options.schema:
        from experiments.matrix import json_schema

        print(json_schema.text(), end="")
        return ALL_DONE
    if options.completion:
        from experiments.cli import completion

        print(completion.script(parser(COMMAND), options.completion))
        return ALL_DONE
    if isinstance(options.verify, Path):
        return sharing.verify(options.verify, data_root(options))
    if options.reproduce:
        return sharing.reproduce(options)
    if options.status or options.verify:
        from experiments.store import housekeeping

        store = _existing_store(options)
        return housekeeping.show(store) if options.status else housekeeping.check(store)
    return None


def _with(runner: Runner, options: argparse.Namespace, printed: Wanted | None) -> int:
    here = platform_of(runner.options.devices)
    if options.prune:
        from experiments.store import housekeeping

        return housekeeping.prune(_existing_store(options), runner.plan().needed(), options.yes)
    if options.plan or options.json:
        plan = runner.planned()
        print(json.dumps(plan.as_json(), indent=1) if options.json else plan)
        return ALL_DONE
    if options.trial:
        for name in runner.try_plugins():
            print(f"tried: {name}")
        return ALL_DONE
    if options.watch:
        from experiments.cli.watch import watch

        return watch(runner.reporter, runner.store, here)
    if options.archive:
        return sharing.archive(options.archive, runner.reporter, here, overrides(options))
    if printed:
        return runner.reporter.show(here, printed)
    if options.report:
        reported = runner.reporter.report(here, lambda text: print(text, end="", flush=True))
        return ALL_DONE if reported.is_whole else SOME_MISSING
    console.outlive_readers()
    outcome = runner.run()
    print(outcome, end="")
    if not outcome.is_done:
        return SOME_FAILED
    return ALL_DONE if outcome.report.is_whole else SOME_MISSING


def _matrices(options: argparse.Namespace) -> list[Matrix]:
    if not options.matrices:
        raise UserError("name a matrix, as experiments/digits.yaml; --help has examples")
    changed = {"smoke": options.smoke, "set": options.set, "seeds": options.seeds}
    matrices = [api.load(path, **changed, data_root=options.data_root) for path in options.matrices]
    check_names(matrices)
    checked(**run_options(options))
    return matrices


def _show_diff(options: argparse.Namespace) -> int:
    """0 where all figures are the same, 1 where some are not, as diff has it."""
    from reports.diff.changes import diff
    from reports.diff.text import as_json, as_text
    from reports.records_json import read

    if options.matrices:
        raise UserError("--diff takes two reports, and no matrix")
    a, b = options.diff
    found = diff(read(a), read(b))
    print(as_json(found) if options.format else as_text(found, (a, b)), end="")
    return SAME if found.is_same else DIFFERENT


def _show_published(matrices: Sequence[Matrix]) -> int:
    from classifier.data import datasets
    from reports.figures.select import select
    from reports.page import markdown
    from reports.words import published

    named = [matrix for matrix in matrices if any(table.published for table in matrix.tables)]
    if not named:
        raise UserError("none of these matrices has published figures: a table names them")
    for matrix in named:
        root = matrix.data_root
        counted = {data: datasets.counts(data, root) for data in matrix.data}
        images = {data: each[1] for data, each in counted.items() if each is not None}
        for table in select(matrix, Results()).tables:
            if table.is_published:
                print(markdown.page(published.sections(table, images)))
    return ALL_DONE


def _existing_store(options: argparse.Namespace) -> Store:
    store = Store(options.runs)
    store.check_there()
    return store
