"""Some matrices with the store that they use: what `runner.py` and `experiments.run` start."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from classifier.basics.errors import UserError, told_of
from classifier.basics.machine import Platform
from classifier.basics.settings import Weights
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.data.prepare import prepare, prepare_other
from classifier.data.spec import DataSpec
from classifier.models import catalogue
from classifier.plugins.brought import Brought
from classifier.tricks.distillation import Distill
from experiments.execution.engines import EngineOptions, open_engine
from experiments.execution.engines.local import jobs_at_a_time, platform_of
from experiments.matrix.model import Matrix, data_root_of
from experiments.plan import plan as planning
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.session import show_plan, trials
from experiments.session.lent import borrow
from experiments.session.options import RunOptions
from experiments.session.outcome import Outcome
from experiments.session.reporting import Found, Reporter
from experiments.session.show_plan import Places, Planned
from experiments.store.store import Store


def check_names(matrices: Sequence[Matrix]) -> None:
    """Raises UserError for two matrices of one name."""
    names = [matrix.name for matrix in matrices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two matrices are named {name}, and would write one report")


def check_apart(data: Iterable[DataSpec], root: Path, runs: Path, reports: Path) -> None:
    """Raises UserError where runs or reports would lie among the images: as classes of their own,
    or as images of others."""
    for name, place in (("runs", runs), ("reports", reports)):
        for folder in filter(None, (each.source.folder(root) for each in data)):
            if place.resolve().is_relative_to(folder.resolve()):
                raise UserError(
                    f"--{name} {place} lies in the data's folder, {folder.resolve()}, whose "
                    "folders are its classes: call this from outside of it, or name another as "
                    f"--{name}"
                )


class Runner:
    """Raises UserError for matrices that can't go together."""

    def __init__(self, matrices: Sequence[Matrix], options: RunOptions) -> None:
        check_names(matrices)
        self.matrices, self.options = matrices, options
        self.data_root = data_root_of(matrices)
        for matrix in matrices:
            check_apart(matrix.data, self.data_root, options.runs, options.reports)
        self._lent = borrow(options.also, matrices, options.runs, self.data_root)
        self.store = Store(options.runs, lent=self._lent)
        self.reporter = Reporter(matrices, self.store, options.reports, options.images)

    def plan(self, here: Platform | None = None) -> Plan:
        """With the states that the store shows now. `here`: where speeds are measured; this one,
        if nothing else is given."""
        here = here or platform_of(self.options.devices)
        return planning.make(self.matrices, self.store.read(), here, self.data_root)

    def planned(self) -> Planned:
        """The plan, to be shown."""
        return Planned(
            **vars(self.plan()),
            matrices=tuple(self.matrices),
            places=self._places(),
            keeps_all=self.options.keep_states,
        )

    def find(self) -> Found:
        """What there is to report. Raises UserError where a matrix has nothing."""
        return self.reporter.find_some(platform_of(self.options.devices))

    def _places(self) -> Places | None:
        """Where the jobs would run, if the options name it."""
        devices = self.options.devices
        if devices == ("auto",) or self.options.engine != "local":
            return None
        return Places(devices, jobs_at_a_time(devices, self.options.jobs_per_device))

    def run(self, progress: bool = True) -> Outcome:
        """Do what is not done, then report. `progress`: whether it is shown."""
        from experiments.execution.worker import perform
        from experiments.session import running

        console = Console(quiet=not progress)
        self.reporter.check_owners()
        for matrix in self.matrices:
            for note in matrix.notes:
                print(f"{matrix.source}: {note}", file=sys.stderr)
        if any(brought.plugins for brought in self.plugins):
            self._check_trusted(self.plan().todo)
        with open_engine(self._engine_options(), perform) as engine:
            plan = self.plan(engine.platform)
            left_out = show_plan.left_out(plan, self.data_root)
            for line in (*left_out.values(), *show_plan.remarks(plan)):
                print(line, file=sys.stderr)
            if plan.todo:
                plan = self._with_data_made(plan, engine.platform)
                tried = trials.trials(plan.todo)
                starts = [*_starts(plan), *tried]
                engine.check(starts, self._check_data(plan))
                trials.keep(tried)
            elif progress:
                print(f"nothing to do: all {len(plan.jobs)} jobs are done in {self.store.root}")
            return running.run(plan, engine, self.reporter, self.store, self.options, console)

    def try_plugins(self) -> list[str]:
        """Try all code of the user's that these matrices name, and do nothing else. What was
        tried."""
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
        with open_engine(self._engine_options(), perform) as engine:
            engine.check(tried, self._check_data(Plan(tuple(jobs))))
        trials.keep(tried)
        made = (own for job in jobs for own in trials.datasets_of(job.spec))
        of_each = (each for spec in tried for each in trials.plugins_of(spec))
        return list(dict.fromkeys(map(trials.named, (*made, *of_each))))

    @property
    def plugins(self) -> tuple[Brought, ...]:
        return tuple(matrix.plugins for matrix in self.matrices)

    def _engine_options(self) -> EngineOptions:
        made = self.options.engine_options(self.data_root, self.plugins)
        lent = {signature: each[0].run.absolute() for signature, each in self._lent.items()}
        return replace(made, place=replace(made.place, lent=lent))

    def _check_trusted(self, jobs: Iterable[Job]) -> None:
        from classifier.cli.trust import check_trusted

        jobs = list(jobs)
        used = {(each.name, each.digest) for job in jobs for each in trials.plugins_of(job.spec)}
        used |= {(own.name, own.digest) for own in trials.unmade(jobs, self.data_root)}
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

        unmade = trials.unmade(jobs, self.data_root)
        if unmade:
            in_a_child(make_data, unmade, self._engine_options().place)
        for own in unmade:
            print(f"made: {self.data_root / own.folder}", file=sys.stderr)
        return bool(unmade)

    def _check_data(self, plan: Plan) -> list[Path]:
        """What is not there, or can't be split, is said before anything runs. The data's
        folders."""
        root = self.data_root
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
