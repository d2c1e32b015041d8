"""Records -> tables, in the changelog's form to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd
from tabulate import DataRow, TableFormat, tabulate

from classifier.records.record import BenchmarkRecord, Record
from experiments.matrix.load import Matrix, Request, Table
from experiments.matrix.schema import Column
from experiments.store.store import Results

FAILED, TODO = "failed", "to do"

_CHANGELOG = TableFormat(
    lineabove=None,
    linebelowheader=None,
    linebetweenrows=None,
    linebelow=None,
    headerrow=DataRow("| ", " | ", " |"),
    datarow=DataRow("| ", " | ", " |"),
    padding=0,
    with_header_hide=None,
)


def fill(
    matrix: Matrix, results: Results, benchmark_units: Sequence[str] = ()
) -> dict[str, pd.DataFrame]:
    """The figures of each table by its name: rows by name, columns by header.

    A cell is the mean over the seeds' records; `failed` where one of the jobs failed, `to do` where
    one has no record. Among speeds of several devices the first of `benchmark_units` is chosen.
    """
    return {
        table.name: pd.DataFrame(
            [
                [
                    _cell(column, cell, results, benchmark_units)
                    for column, cell in zip(table.columns, row, strict=True)
                ]
                for row in table.cells
            ],
            index=pd.Index(table.rows, name=table.row_header),
            columns=[column.header for column in table.columns],
            dtype=object,
        )
        for table in matrix.tables
    }


def find(request: Request, results: Results, benchmark_units: Sequence[str]) -> Record | None:
    """The record that a request asks for, if it is there."""
    signature = request.spec.signature
    if request.unit is not None:
        return results.records.get((signature, request.unit))
    measured = results.benchmarks(signature)
    by_unit = {record.unit: record for record in measured}
    here = [by_unit[unit] for unit in benchmark_units if unit in by_unit]
    return next(iter(here or measured), None)


def value(column: Column, record: Record) -> float:
    """The figure that a column takes from a record."""
    if isinstance(record, BenchmarkRecord):
        return record.fps if column.metric == "fps" else record.images_per_second
    return record.mpa if column.metric == "mpa" else record.accuracy


def text(column: Column, cell: float | str) -> str:
    """Accuracies to 5 decimals, speeds to 2."""
    if isinstance(cell, str):
        return cell
    return f"{cell:.2f}" if column.is_speed else f"{cell:.5f}"


def markdown(table: Table, figures: pd.DataFrame) -> str:
    """The bare table as the changelog has it."""
    header = [table.row_header, *figures.columns]
    rows = [
        [str(name), *map(text, table.columns, row)]
        for name, row in zip(figures.index, figures.to_numpy().tolist(), strict=True)
    ]
    return grid(header, rows)


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Any table in the changelog's form: single spaces, every column centred."""
    lines = [header, [":----:"] * len(header), *rows]
    return tabulate(lines, tablefmt=_CHANGELOG, disable_numparse=True, stralign=None) + "\n"


def _cell(
    column: Column, cell: Sequence[Request], results: Results, benchmark_units: Sequence[str]
) -> float | str:
    records = [find(request, results, benchmark_units) for request in cell]
    found = [value(column, record) for record in records if record is not None]
    if len(found) == len(cell):
        return fmean(found)
    lost = [request for request, record in zip(cell, records, strict=True) if record is None]
    if any(_has_failed(request, results) for request in lost):
        return FAILED
    return TODO


def _has_failed(request: Request, results: Results) -> bool:
    signatures = {request.spec.signature}
    if request.training is not None:
        signatures.add(request.training.signature)
    return not signatures.isdisjoint(results.failures)
