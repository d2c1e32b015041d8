"""A matrix's report: the bare tables, a page about them, and every record as a row.

Made from records alone: the same records give the same bytes, but for the line of index.html that
says when it was made.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.files import write_atomically
from classifier.basics.program import USUAL, called
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import options
from reports import records_json, results_csv, verdict_files
from reports.figures.select import Selection
from reports.page import html, markdown
from reports.page.contents import contents, state
from reports.page.plots import kept, svg
from reports.page.sections import OWNER, measured, sections
from reports.statistics.answers import Answer, answers

PAGE, INDEX = "report.md", "index.html"


def write(
    selection: Selection,
    folder: Path,
    found: Sequence[Answer] | None = None,
    *,
    images: bool = True,
    is_live: bool = False,
    is_dated: bool = True,
) -> list[Path]:
    """Write `folder`/<matrix>/: <table>.md for each table, report.md, index.html, results.csv,
    verdicts.csv, verdicts.json and records.json, in this order, then <plot>.svg for each plot.
    `found`: its answers, if they are known already.
    `images`: whether pictures of the data may be shown. `is_live`: a runner works on the matrix, so
    that index.html reloads itself while a job of it is left, and nothing need have run. `is_dated`:
    whether index.html says when it was made, and by which call: else it is the same from each.

    Each file is written whole or not at all. Raises UserError where they can't be, and, before any
    is written, where no job of the matrix has run.
    """
    if not is_live:
        check_records(selection)
    found = answers(selection) if found is None else found
    files = {f"{each.table.name}.md": markdown.grid(measured(each)) for each in found}
    plots = kept.plots(selection, found, folder / selection.matrix.name)
    rows = verdict_files.rows_of(found)
    beside = {
        PAGE: markdown.page(sections(selection, found, plots)),
        "results.csv": results_csv.text(selection),
        "verdicts.csv": verdict_files.as_csv(rows),
        "verdicts.json": verdict_files.as_json(rows),
        records_json.NAME: records_json.text(selection, found),
    }
    page = html.page(
        contents(selection, found, plots, images),
        made=datetime.now(UTC) if is_dated else None,
        state=state(selection.jobs, selection.open_jobs, is_live),
        reloads=is_live and any(job.state != "failed" for job in selection.open_jobs),
        files=list(beside),
        again=" ".join([called() if is_dated else USUAL, *again(selection.matrix)]),
    )
    files |= {PAGE: beside[PAGE], INDEX: page} | beside
    files |= {f"{plot.name}.svg": svg.as_file(plot) for plot in plots}
    target = make_folder(selection.matrix, folder)
    with _written(target):
        for name, content in files.items():
            write_atomically(target / name, content.encode())
    return [target / name for name in files]


def make_folder(matrix: Matrix, folder: Path) -> Path:
    """The one of its report. Raises UserError where it can't be made."""
    target = folder / matrix.name
    with _written(target):
        target.mkdir(parents=True, exist_ok=True)
    return target


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """Raises UserError where a report can't be."""
    try:
        yield
    except OSError as error:
        raise UserError(f"the report {target} can't be written: {error}") from error


def again(matrix: Matrix) -> list[str]:
    """What makes its report anew in this folder, as a shell has to be given it."""
    file = matrix.source
    if file.is_absolute() and file.is_relative_to(Path.cwd()):
        file = file.relative_to(Path.cwd())
    return list(map(shlex.quote, [str(file), *options(matrix.overrides), "--report"]))


def check_records(selection: Selection) -> None:
    """Raise UserError where no job of the matrix has run, with or without success."""
    if not selection.has_run:
        file = selection.matrix.source
        raise UserError(f"no job of {file} has run: nothing to report; run it first")


def check_owner(matrix: Matrix, folder: Path) -> None:
    """Raise UserError where the report's folder holds that of another matrix of the same name, or
    somebody's own."""
    page = folder / matrix.name / PAGE
    if (page.parent / "__init__.py").exists():
        raise UserError(
            f"{page.parent} is a part of this program; rename {matrix.source}, or choose another "
            "folder with --reports"
        )
    if not page.exists():
        return
    mark = markdown.item(OWNER)
    try:
        lines = page.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"the report {page} can't be read: {error.strerror}; remove it") from error
    if markdown.item(f"{OWNER}{matrix.label}") in lines:
        return
    owner = next((line.removeprefix(mark) for line in lines if line.startswith(mark)), None)
    if owner is None:
        raise UserError(
            f"{page} is no report of a matrix, and would be written over; move it away, or choose "
            "another folder with --reports"
        )
    raise UserError(
        f"{page} is the report of {owner}, another matrix; rename {matrix.source}, or choose "
        "another folder with --reports"
    )
