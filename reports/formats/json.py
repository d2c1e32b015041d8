"""All cells of tables for scripts, with what they rest on: one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from classifier.records.record import Record
from reports.figures.folds import Folded
from reports.figures.select import Cell, Missing, Selection
from reports.figures.tables import deviation, finite
from reports.page.sections import measured
from reports.statistics.answers import Answer
from reports.statistics.intervals import LEVEL
from reports.verdict_files import of_cell, of_line

FORMAT = 1
"""Rises where a script that reads it would break; what is only added does not count."""


def text(found: Sequence[tuple[Selection, Sequence[Answer]]]) -> str:
    """Of each matrix the answers that are wanted. What does not exist, or is no number, is null;
    docs/share.md lists the fields."""
    content = {
        "format": FORMAT,
        "level": LEVEL,
        "matrices": [_matrix(selection, answers) for selection, answers in found],
    }
    return json.dumps(finite(content), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _matrix(selection: Selection, answers: Sequence[Answer]) -> dict[str, Any]:
    matrix = selection.matrix
    return {
        "matrix": matrix.label,
        "name": matrix.name,
        "title": matrix.title,
        "seeds": list(matrix.seeds),
        "tables": [_table(selection, answer) for answer in answers],
    }


def _table(selection: Selection, answer: Answer) -> dict[str, Any]:
    shown = measured(answer)
    return {
        "name": answer.table.name,
        "header": list(shown.header),
        "rows": [list(row) for row in shown.rows],
        "cells": [
            of_cell(answer, judged) | _rests_on(selection, judged.cell)
            for row in answer.cells
            for judged in row
        ],
        "lines": [of_line(answer, line) for line in answer.lines],
    }


def _rests_on(selection: Selection, cell: Cell) -> dict[str, Any]:
    return {
        "missing": cell.missing.value if cell.missing else None,
        "published": cell.published,
        "deviation": deviation(cell),
        "is_hidden": cell.form.is_hidden,
        "by_seed": list(_by_seed(selection, cell)),
    }


def _by_seed(selection: Selection, cell: Cell) -> Iterator[dict[str, Any]]:
    """Of a speed once, without a seed: the seeds share it."""
    seeds = [None] if cell.column.is_speed else selection.matrix.seeds
    for seed, record, figure in zip(seeds, cell.seeds, cell.figures, strict=True):
        told = {
            "seed": seed,
            "figure": None if isinstance(figure, Missing) else figure,
            "missing": figure.value if isinstance(figure, Missing) else None,
        }
        if isinstance(record, Folded):
            yield told | {"folds": [_source(selection, each) for each in record.folds]}
        else:
            yield told | _source(selection, None if isinstance(record, Missing) else record)


def _source(selection: Selection, record: Record | None) -> dict[str, str | None]:
    folder = selection.folders.get((record.signature, record.unit)) if record else None
    return {
        "signature": record.signature if record else None,
        "unit": record.unit if record else None,
        "folder": folder.as_posix() if folder else None,
    }
