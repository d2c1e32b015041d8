"""A command's reports: whole ones at the end, and, while the run lives, as cells arrive."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from classifier.cli.entry import ALL_DONE, SOME_MISSING
from classifier.records.record import benchmark_units
from experiments.execution.view.picture import Table
from experiments.matrix.model import Matrix, data_root_of
from experiments.plan import plan as planning
from experiments.plan.judge import EDITED
from experiments.plan.plan import Plan
from experiments.session.lent import lost
from experiments.session.outcome import Reported
from experiments.store.store import Results, Store
from reports.formats import FormatName

if TYPE_CHECKING:
    from reports.figures.select import Selection
    from reports.statistics.answers import Answer

LEAST_SECONDS = 1.0
"""Between two looks at the store."""
WRITE_SECONDS = 10.0
"""Between two reports."""
SHARE = 50
"""A look is followed by so many times as long without one, and so is a report: 2 % of the time
each."""


@dataclass(frozen=True)
class Wanted:
    """What is printed of a report in place of writing it."""

    format: FormatName
    table: str | None
    """Its name; None for the only one, or for all as JSON."""
    marks: bool
    """Whether verdicts are shown."""


@dataclass(frozen=True)
class Found:
    """What a report is made from."""

    selections: Sequence[Selection]
    left_out: dict[str, int]
    """Records that the plan would replace, by the reason."""
    done: frozenset[str]
    """The jobs' ids."""
    results: Results
    """Without what is left out."""
    edited: str = ""
    """Of what code of the user's was edited since it ran, the first."""

    @property
    def changed(self) -> str:
        """Why records that there were may count no more, if any is known."""
        if self.edited:
            return f"{self.edited} since it ran"
        of_each = self.left_out.items()
        return next((f"its {n} record(s) are left out, for {why}" for why, n in of_each), "")

    def answers(self) -> list[list[Answer]]:
        """Of each matrix, of each of its tables."""
        from reports.statistics.answers import answers

        return [answers(selection) for selection in self.selections]


def _to_nobody(text: str) -> None:
    pass


class Reporter:
    """The reports of some matrices, from one store into one folder."""

    def __init__(
        self,
        matrices: Sequence[Matrix],
        store: Store,
        folder: Path,
        images: bool = True,
    ) -> None:
        """`images`: whether pictures of the data may be shown."""
        self._matrices, self._store, self._images = matrices, store, images
        self._folder, self.data_root = folder, data_root_of(matrices)

    @property
    def name(self) -> str:
        """Of the matrices."""
        return ", ".join(matrix.name for matrix in self._matrices)

    @property
    def runs(self) -> Path:
        """The folder of the store."""
        return self._store.root

    @property
    def pages(self) -> list[Path]:
        """Where each matrix's report lies, or will lie."""
        from reports.report import PAGE

        return [self._folder.absolute() / matrix.name / PAGE for matrix in self._matrices]

    def check_owners(self) -> None:
        """Raises UserError where a report's folder is another matrix's, or holds the records."""
        from reports.report import check_owner

        if self._store.root.resolve() == self._folder.resolve():
            raise UserError(f"--runs and --reports are one folder, {self._folder}; name two")
        for matrix in self._matrices:
            check_owner(matrix, self._folder)

    def plan(self, here: Platform, results: Results) -> Plan:
        """With the states that these results show."""
        return planning.make(self._matrices, results, here, self.data_root)

    def find(self, here: Platform, results: Results | None = None) -> Found:
        """What the store holds now. `here`: whose speeds are shown; `results`: if that is read."""
        from reports.figures.select import select

        results = self._store.read() if results is None else results
        plan = self.plan(here, results)
        left_out = planning.left_out(plan, results)
        results = planning.current(plan, results)
        units = benchmark_units(here)
        selections = [select(matrix, results, units) for matrix in self._matrices]
        done = frozenset(job.id for job in plan.jobs if job.state == "done")
        edited = (job.reason for job in plan.todo if job.reason.startswith(EDITED))
        return Found(selections, left_out, done, results, next(edited, ""))

    def write(
        self, found: Found, answers: Sequence[Sequence[Answer]], is_live: bool = False
    ) -> list[list[Path]]:
        """The files of each report, tables first; a matrix of which nothing has run gets none.
        `is_live`: more will follow. Raises UserError where they can't be written."""
        from reports.report import write

        return [
            write(ran, self._folder, each, images=self._images, is_live=is_live)
            for ran, each in zip(found.selections, answers, strict=True)
            if ran.has_run
        ]

    def tables(self, answers: Sequence[Sequence[Answer]]) -> list[Table]:
        """As the live view has them."""
        from experiments.session.tables import table

        several = len(self._matrices) > 1
        shown = []
        for matrix, each in zip(self._matrices, answers, strict=True):
            for answer in each:
                name = f"{matrix.name}: {answer.table.name}" if several else answer.table.name
                shown.append(table(answer, name))
        return shown

    def report(self, here: Platform, tell: Callable[[str], None] = _to_nobody) -> Reported:
        """Write every matrix's report, or none. `tell` gets its text in two parts: the tables and
        answers as soon as they are known, for the pages take longer to draw. They are written
        whatever it raises."""
        from reports.report import make_folder
        from reports.words.headlines import headline

        self.check_owners()
        found = self.find_some(here)
        answers = found.answers()
        folders = [make_folder(matrix, self._folder) for matrix in self._matrices]
        text = "".join(map(_answered, folders, answers))
        try:
            tell(text)
        finally:
            files = self.write(found, answers)
        where = "".join(_where(each, len(of)) for each, of in zip(files, answers, strict=True))
        tell(where)
        return Reported(
            is_whole=all(selection.is_whole for selection in found.selections),
            files=tuple(map(tuple, files)),
            headlines=tuple(headline(answer) for each in answers for answer in each),
            text=text + where,
        )

    def show(self, here: Platform, wanted: Wanted) -> int:
        """Print one table, or JSON of all, and nothing else on stdout; write nothing. The exit code
        says whether every figure of what is printed is there."""
        from reports.formats import every

        every.check_table(self._matrices, wanted.table)
        found = self.find_some(here)
        every_table = list(zip(found.selections, found.answers(), strict=True))
        pairs = every.chosen(every_table, wanted.table)
        print(every.text(pairs, wanted.format, wanted.marks), end="")
        whole = all(answer.table.is_whole for _, answers in pairs for answer in answers)
        return ALL_DONE if whole else SOME_MISSING

    def find_some(self, here: Platform) -> Found:
        """As `find`; what is left out is said on stderr. Raises UserError where a matrix has
        nothing to report."""
        from reports.report import check_records

        found = self.find(here)
        for selection in found.selections:
            if found.changed and not selection.has_run:
                raise UserError(
                    f"{selection.matrix.source}: nothing to report: {found.changed}; run it again, "
                    "or put back what was changed"
                )
            check_records(selection)
        for reason, count in found.left_out.items():
            print(f"{count} record(s) are left out of the report: {reason}", file=sys.stderr)
        for line in dict.fromkeys(line for each in found.selections for line in lost(each)):
            print(line, file=sys.stderr)
        return found


def _answered(folder: Path, answers: Sequence[Answer]) -> str:
    """A report's tables and what they say."""
    from reports.page.markdown import grid
    from reports.page.sections import measured
    from reports.words.headlines import headline

    tables = [f"\n{folder / each.table.name}.md\n\n{grid(measured(each))}" for each in answers]
    return "".join(tables) + "\n" + "".join(f"{headline(answer)}\n" for answer in answers)


def _where(files: Sequence[Path], tables: int) -> str:
    """What lies beside a report's tables, of which there are so many."""
    others = [file for file in files[tables:] if file.suffix not in (".svg", ".html")]
    lines = [f"\nand in {others[0].parent}: {', '.join(file.name for file in others)}\n"]
    # It has the plots too.
    lines += [f"to look at: {page}" for page in files if page.suffix == ".html"]
    return "".join(f"{line}\n" for line in lines)


class Growing:
    """Has the tables shown and the reports written as jobs end, by a thread of this process. Use it
    as a context.

    Looks and reports take at most 2 % of the time each, so that a report, which takes longer, does
    not keep the tables back; and none of that in which a speed is measured: who starts a benchmark
    asks for `quiet` first.
    """

    def __init__(
        self,
        reporter: Reporter,
        here: Platform,
        show: Callable[[Sequence[Table], frozenset[str]], None],
        warn: Callable[[str], None],
        is_quiet: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_quiet`: whether no speed is being measured on this machine. `clock`: in seconds."""
        self._reporter, self._here = reporter, here
        self._show, self._warn, self._is_quiet = show, warn, is_quiet
        self._clock, self._lock = clock, threading.Lock()
        self._ended, self._over = threading.Event(), threading.Event()
        self._is_unwritten, self._has_failed = False, False
        self._says_live = False
        """What is written says that more will follow."""
        self._due = -math.inf
        """When the next report may be written."""
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> Growing:
        self._ended.set()  # what is there already is shown at once
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._ended.set()
        self._thread.join()

    def one_ended(self) -> None:
        """A job was done, or failed."""
        self._is_unwritten = True
        self._ended.set()

    def quiet(self) -> None:
        """Waits until nothing is being written."""
        with self._lock:
            pass

    def write_last(self) -> None:
        """What is not in the reports yet, where no others will follow, which they then say."""
        with self._lock:
            if (self._is_unwritten or self._says_live) and (seen := self._look()):
                self._write(*seen, is_live=False)

    def _run(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            due = max(self._due - self._clock(), 0.0)
            self._ended.wait(due if self._is_unwritten else None)
            pause = self._turn()

    def _turn(self) -> float:
        """Look, unless it would disturb. How many seconds to wait after it."""
        with self._lock:
            if self._over.is_set() or not self._is_quiet():
                return LEAST_SECONDS
            start = self._clock()
            seen = self._look()
            end = self._clock()
            if seen and self._is_unwritten and end >= self._due:
                self._write(*seen, is_live=True)
        return max(LEAST_SECONDS, SHARE * (end - start))

    def _look(self) -> tuple[Found, list[list[Answer]]] | None:
        """Show what there is; None where it can't be read."""
        self._ended.clear()
        try:
            found = self._reporter.find(self._here)
            answers = found.answers()
            self._show(self._reporter.tables(answers), found.done)
        except (OSError, UserError) as error:
            self._tell(error)
            return None
        return found, answers

    def _write(self, found: Found, answers: Sequence[Sequence[Answer]], is_live: bool) -> None:
        start = self._clock()
        self._is_unwritten, self._due = False, start + WRITE_SECONDS
        try:
            self._reporter.write(found, answers, is_live)
            self._says_live = is_live
        except (OSError, UserError) as error:
            self._tell(error)
        end = self._clock()
        self._due = max(self._due, end + SHARE * (end - start))

    def _tell(self, error: Exception) -> None:
        """Said once."""
        if not self._has_failed:
            self._has_failed = True
            self._warn(f"while this runs the report can't be written: {error}")
