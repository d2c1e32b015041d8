"""The tables of the live view: what an unfinished cell and a whole comparison show."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.execution.view.picture import Table
from experiments.matrix.model import Matrix
from experiments.session.tables import COMPARED, SEEDS, table
from experiments.store.store import Failure, Results
from reports.figures.select import select
from reports.formats.printed import printed
from reports.page.sections import measured
from reports.statistics.answers import answers
from reports.statistics.verdicts import Word
from tests.reports.test_answers import share, store_of
from tests.reports.test_form import matrix_of, of_column

PLAIN, RDROP = 0, 1


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    """One row: plain and R-Drop, which is better in every seed; three seeds."""
    return matrix_of(tmp_path)


def without(matrix: Matrix, folder: Path, *gone: tuple[int, int]) -> Results:
    """All records but these, by column and seed."""
    results = store_of(matrix, folder / "runs", share(0.6))
    for column, seed in gone:
        request = matrix.tables[0].cells[0][column][seed]
        del results.records[request.spec.signature, request.unit or ""]
    return results


def shown(matrix: Matrix, results: Results) -> Table:
    (answer,) = answers(select(matrix, results))
    return table(answer, "t")


def test_a_whole_comparison_has_its_sign(matrix: Matrix, tmp_path: Path) -> None:
    results = without(matrix, tmp_path)
    (answer,) = answers(select(matrix, results))
    ((name, plain, rdrop),) = measured(answer).rows
    found = table(answer, "t")
    assert printed(answer, "T", marks=True).verdicts == {(0, 2): Word.BETTER}
    assert found.rows == ((name, plain, f"{rdrop} †"),)
    assert found.legend == (COMPARED, "† better")


@pytest.mark.parametrize(
    ("gone", "plain", "rdrop"),
    [
        ([(RDROP, 2)], "0.", "(2/3)"),
        ([(RDROP, 0), (RDROP, 2)], "0.", "(1/3)"),
        ([(RDROP, 0), (RDROP, 1), (RDROP, 2)], "0.", "to do"),
        ([(PLAIN, 1)], "(2/3)", "0."),
        ([(PLAIN, 1), (RDROP, 1)], "(2/3)", "(2/3)"),
    ],
)
def test_an_unfinished_cell_says_how_many_seeds_it_has(
    gone: list[tuple[int, int]], plain: str, rdrop: str, matrix: Matrix, tmp_path: Path
) -> None:
    found = shown(matrix, without(matrix, tmp_path, *gone))
    (row,) = found.rows
    assert row[1].startswith(plain) and row[2].startswith(rdrop)
    assert "†" not in row[2], "no sign before the comparison is whole"
    assert found.legend == ((SEEDS,) if "(" in plain + rdrop else ())


def test_a_difference_counts_the_seeds_of_what_it_waits_for(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, of_column("show: difference"))
    assert shown(matrix, without(matrix, tmp_path, (PLAIN, 0))).rows[0][2] == "(2/3)"


def test_a_cell_of_which_a_seed_failed_says_so(matrix: Matrix, tmp_path: Path) -> None:
    results = without(matrix, tmp_path, (RDROP, 2))
    request = matrix.tables[0].cells[0][RDROP][2]
    results.failures[request.spec.signature] = Failure("no memory", "log.txt")
    found = shown(matrix, results)
    said = found.rows[0][2]
    assert said.startswith("0.") and said.endswith(" (2 of 3 seeds; 1 failed)")
    assert found.legend == ()
