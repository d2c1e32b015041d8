"""Run matrices of image-classification experiments and write their tables.

python runner.py experiments/ema.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from classifier.basics import console, interruptions
from classifier.basics.errors import UserError, told_of
from classifier.basics.machine import Platform
from classifier.basics.settings import Weights
from classifier.cli.entry import ALL_DONE, exit_code_of
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.data.prepare import prepare, prepare_other
from classifier.data.spec import DataSpec
from classifier.models import catalogue
from classifier.plugins.brought import Brought
from classifier.tricks.distillation import Distill
from experiments.cli import show_plan, trials
from experiments.cli.options import engine_options, parser, wanted
from experiments.cli.reporting import Reporter
from experiments.cli.show_plan import Places
from experiments.execution.engines import open_engine
from experiments.execution.engines.local import jobs_at_a_time, platform_of
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.plan import plan as planning
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
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
    if options.doctor:
        from experiments.cli import doctor

        return doctor.show(options, _matrices(options) if options.matrices else [])
    _check_folders(options)
    if options.diff:
        return _show_diff(options)
    if options.schema:
        from experiments.matrix import json_schema

        print(json_schema.text(), end="")
        return ALL_DONE
    if options.status or options.verify:
        from experiments.store import housekeeping

        store = _existing_store(options)
        return housekeeping.show(store) if options.status else housekeeping.check(store)
    matrices = _matrices(options)
    if options.published:
        return _show_published(matrices, options.data_root)
    runner = Runner(matrices, options)
    if options.prune:
        from experiments.store import housekeeping

        return housekeeping.prune(_existing_store(options), runner.plan().needed(), options.yes)
    if options.plan or options.json:
        places = _places(options)
        show_plan.show(runner.matrices, runner.plan(), options.data_root, options.json, places)
        return ALL_DONE
    if options.trial:
        return runner.try_plugins()
    if options.watch:
        from experiments.cli.watch import watch

        store = Store(options.runs)
        return watch(runner.reporter, store, platform_of(options.devices))
    here = platform_of(options.devices)
    if printed:
        return runner.reporter.show(here, printed)
    return runner.reporter.report(here).code if options.report else runner.run()


def _matrices(options: argparse.Namespace) -> list[Matrix]:
    if not options.matrices:
        raise UserError("name a matrix, as experiments/digits.yaml; --help has examples")
    overrides = Overrides(options.smoke, tuple(options.set), options.seeds)
    matrices = [load(path, overrides, options.data_root) for path in options.matrices]
    names = [matrix.name for matrix in matrices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two matrices are named {name}, and would write one report")
    engine_options(options).check()
    return matrices


class Runner:
    """One command's matrices, with the store that it uses."""

    def __init__(self, matrices: Sequence[Matrix], options: argparse.Namespace) -> None:
        self.matrices, self.options = matrices, options
        self.store = Store(options.runs)
        self.reporter = Reporter(
            matrices, self.store, options.reports, options.data_root, not options.no_images
        )

    def plan(self, here: Platform | None = None) -> Plan:
        """With the states that the store shows now. `here`: where speeds are measured; this one,
        if nothing else is given."""
        here = here or platform_of(self.options.devices)
        return planning.make(self.matrices, self.store.read(), here, self.options.data_root)

    def run(self) -> int:
        """Do what is not done, then report. The exit code."""
        from experiments.cli import running
        from experiments.execution.worker import perform

        console.outlive_readers()
        self.reporter.check_owners()
        for matrix in self.matrices:
            for note in matrix.notes:
                print(f"{matrix.source}: {note}", file=sys.stderr)
        if any(brought.plugins for brought in self.plugins):
            self._check_trusted(self.plan().todo)
        with open_engine(engine_options(self.options, self.plugins), perform) as engine:
            plan = self.plan(engine.platform)
            left_out = show_plan.left_out(plan, self.options.data_root)
            for line in (*left_out.values(), *show_plan.remarks(plan)):
                print(line, file=sys.stderr)
            if plan.todo:
                plan = self._with_data_made(plan, engine.platform)
                tried = trials.trials(plan.todo)
                starts = [*_starts(plan), *tried]
                engine.check(starts, self._check_data(plan))
                trials.keep(tried)
            else:
                print(f"nothing to do: all {len(plan.jobs)} jobs are done in {self.store.root}")
            return running.run(plan, engine, self.reporter, self.store, self.options)

    def try_plugins(self) -> int:
        """Try all code of the user's that these matrices name, and do nothing else."""
        from experiments.execution.worker import perform

        planned = self.plan().jobs
        jobs = [
            replace(job, state="todo")
            for job in planned
            if trials.plugins_of(job.spec) or trials.datasets_of(job.spec)
        ]
        if not jobs:
            raise UserError("these matrices use no plugins: there is nothing to try")
        self._check_trusted(jobs)
        self._make_data(jobs)
        tried = trials.trials(jobs, again=True)
        with open_engine(engine_options(self.options, self.plugins), perform) as engine:
            engine.check(tried, self._check_data(Plan(tuple(jobs))))
        trials.keep(tried)
        made = (own for job in jobs for own in trials.datasets_of(job.spec))
        of_each = (each for spec in tried for each in trials.plugins_of(spec))
        for name in dict.fromkeys(map(trials.named, (*made, *of_each))):
            print(f"tried: {name}")
        return ALL_DONE

    @property
    def plugins(self) -> tuple[Brought, ...]:
        return tuple(matrix.plugins for matrix in self.matrices)

    def _check_trusted(self, jobs: Iterable[Job]) -> None:
        from classifier.cli.trust import check_trusted

        jobs = list(jobs)
        used = {(each.name, each.digest) for job in jobs for each in trials.plugins_of(job.spec)}
        used |= {(own.name, own.digest) for own in trials.unmade(jobs, self.options.data_root)}
        brought = [
            each
            for each in self.plugins
            if used & {(d.name, d.digest) for d in each.declared.values()}
        ]
        check_trusted(brought, self.options.trust)

    def _with_data_made(self, plan: Plan, here: Platform) -> Plan:
        """Only then is it known what there is to do: how many images, and which records hold."""
        return self.plan(here) if self._make_data(plan.todo) else plan

    def _make_data(self, jobs: Iterable[Job]) -> bool:
        """Whether any data set of the user's was to be made. Raises UserError."""
        from experiments.execution.engines.child import in_a_child
        from experiments.execution.worker import make_data

        unmade = trials.unmade(jobs, self.options.data_root)
        if unmade:
            in_a_child(make_data, unmade, engine_options(self.options, self.plugins).place)
        for own in unmade:
            print(f"made: {self.options.data_root / own.folder}", file=sys.stderr)
        return bool(unmade)

    def _check_data(self, plan: Plan) -> list[Path]:
        """What is not there, or can't be split, is said before anything runs. The data's
        folders."""
        root = self.options.data_root
        used: dict[DataSpec, None] = {}
        others: dict[tuple[DataSpec, DataSpec], None] = {}
        for spec in (job.spec for job in plan.todo):
            if spec.trained is not None:
                used[spec.trained.data] = None
            if isinstance(spec, EvaluateSpec) and spec.data is not None:
                others[spec.data, spec.training.data] = None
        at = {data: place for matrix in self.matrices for data, place in matrix.data_at.items()}
        classes = {}
        for data in used:
            with told_of(at[data]):
                classes[data] = prepare(data, root).classes
        for data, trained_on in others:
            prepare_other(data, root, classes[trained_on], trained_on)
        folders = (data.source.folder(root) for data in (*used, *(data for data, _ in others)))
        return [folder.absolute() for folder in dict.fromkeys(folders) if folder is not None]


def _places(options: argparse.Namespace) -> Places | None:
    """Where the jobs would run, if the options name it."""
    devices = tuple(options.devices)
    if devices == ("auto",) or options.engine != "local":
        return None
    return Places(devices, jobs_at_a_time(devices, options.jobs_per_device))


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


def _show_published(matrices: Sequence[Matrix], data_root: Path) -> int:
    from classifier.data import datasets
    from reports.figures.select import select
    from reports.page import markdown
    from reports.words import published

    named = [matrix for matrix in matrices if any(table.published for table in matrix.tables)]
    if not named:
        raise UserError("none of these matrices has published figures: a table names them")
    for matrix in named:
        counted = {data: datasets.counts(data, data_root) for data in matrix.data}
        images = {data: each[1] for data, each in counted.items() if each is not None}
        for table in select(matrix, Results()).tables:
            if table.is_published:
                print(markdown.page(published.sections(table, images)))
    return ALL_DONE


def _starts(plan: Plan) -> list[TrainSpec]:
    """One training for each start from pretrained weights, from files of weights and teachers, of a
    network of which nothing is known, and for what only its library can check: they are fetched and
    tried before anything runs."""
    starts = {}
    for spec in [job.spec for job in plan.todo if isinstance(job.spec, TrainSpec)]:
        distill = spec.trick(Distill)
        teacher = distill.teacher if distill is not None else None
        file = teacher if isinstance(teacher, Weights) else None
        unknown = spec.own_model is None and catalogue.known_of(spec.model) is None
        tried = (spec.pretrained, spec.weights, file, spec.checked_by_libraries)
        if any(tried) or unknown:
            network = spec.model, spec.image_size if unknown else 0
            starts[spec.data, *network, *tried] = spec
    return list(starts.values())


def _check_folders(options: argparse.Namespace) -> None:
    for flag in ("--runs", "--reports", "--data-root"):
        folder: Path = getattr(options, flag.strip("-").replace("-", "_"))
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{flag} {folder} is a file, not a folder; name a folder")


def _existing_store(options: argparse.Namespace) -> Store:
    store = Store(options.runs)
    store.check_there()
    return store
