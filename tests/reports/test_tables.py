"""The changelog's tables, to the byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.matrix.load import load
from experiments.matrix.overrides import Overrides
from experiments.store.store import Failure, Results
from reports.blocks import Grid
from reports.figures.select import select
from reports.figures.tables import figure, mean, shown, text
from reports.page.markdown import grid
from reports.page.sections import measured
from reports.statistics.answers import answers
from tests.records import results_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"

# The changelog's own lines; its FP16 header has one stray space more, in front of `val`.
CHANGELOG = {
    "fp16": """\
| model | val accuracy(train stage) | val accuracy(test stage) | val accuracy half(test stage) | FP32 FPS(batch_size=64) | FP16 FPS(batch_size=64) |
| :----: | :----: | :----: | :----: | :----: | :----: |
| mobilenetv2 | 0.74284 | 0.74340 | 0.74396 | 52.43 | 92.80 |
| resnext50 | 0.80966 | 0.80966 | 0.80966 | 19.48 | 30.28 |
| RepVGG-A0 | 0.73666 | 0.73666 | 0.73666 | 54.74 | 98.87 |
| densenet121 | 0.77035 | 0.77148 | 0.77035 | 18.87 | 32.75 |
""",
    "rdrop": """\
| model | val accuracy | val accuracy(r-drop) | test accuracy | test accuracy(r-drop) |
| :----: | :----: | :----: | :----: | :----: |
| mobilenetv2 | 0.74340 | 0.75126 | 0.73784 | 0.73741 |
| resnext50 | 0.80966 | 0.81134 | 0.82437 | 0.82092 |
| ghostnet | 0.77597 | 0.76698 | 0.76625 | 0.77012 |
| efficientnet_v2_s | 0.84166 | 0.85289 | 0.84460 | 0.85837 |
""",
    "ema": """\
| model | val accuracy | val accuracy(ema) | test accuracy | test accuracy(ema) |
| :----: | :----: | :----: | :----: | :----: |
| mobilenetv2 | 0.74340 | 0.74958 | 0.73784 | 0.73870 |
| resnext50 | 0.80966 | 0.81246 | 0.82437 | 0.82307 |
| ghostnet | 0.77597 | 0.77765 | 0.76625 | 0.77142 |
| efficientnet_v2_s | 0.84166 | 0.83998 | 0.84460 | 0.83986 |
""",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGELOG)
def test_published_figures_as_records_give_the_changelogs_lines(name: str) -> None:
    """The figures come from published/*.csv, go through records, and come out as these lines."""
    matrix = load(EXPERIMENTS / f"{name}.yaml")
    (asked,) = matrix.tables
    results = results_of(matrix, lambda row, column, seed: asked.published[row, column.header])
    (answer,) = answers(select(matrix, results))
    assert grid(measured(answer)) == CHANGELOG[name]


def test_a_cell_is_the_mean_over_seeds() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(0, 1, 2)))
    results = results_of(matrix, lambda row, column, seed: 0.5 + seed / 10)
    (table,) = select(matrix, results).tables
    assert [[mean(cell) for cell in row] for row in table.cells] == [[pytest.approx(0.6)] * 4] * 4


def test_what_is_missing_says_why() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml")
    whole = results_of(matrix)
    first = next(matrix.requests())
    assert first.training is not None
    lacking = Results({k: r for k, r in whole.records.items() if k[0] != first.spec.signature})
    (answer,) = answers(select(matrix, lacking))
    cell = answer.table.cells[0][0]
    assert text(cell.column, mean(cell)) == "to do"
    assert grid(measured(answer)).splitlines()[2].startswith("| mobilenetv2 | to do | 0.50000 |")
    for signature in (first.spec.signature, first.training.signature):
        lacking.failures = {signature: Failure("no memory", "log.txt")}
        (table,) = select(matrix, lacking).tables
        cell = table.cells[0][0]
        assert text(cell.column, mean(cell)) == "failed"


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["there", "failed", "to do"]), min_size=4, max_size=4))
def test_a_cell_that_lacks_seeds_is_the_mean_of_the_others_with_their_count(
    states: list[str],
) -> None:
    matrix = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(0, 1, 2, 3)))
    whole = results_of(matrix, lambda row, column, seed: 0.1 + seed / 8)
    lacking = Results(dict(whole.records))
    for request, state in zip(matrix.tables[0].cells[0][3], states, strict=True):
        if state != "there":
            del lacking.records[request.spec.signature, request.unit or ""]
        if state == "failed":
            lacking.failures[request.spec.signature] = Failure("no memory", "log.txt")
    (answer,) = answers(select(matrix, lacking))
    cell, there = answer.table.cells[0][3], [i for i in range(4) if states[i] == "there"]
    plain = grid(measured(answer)).splitlines()[2].split(" | ")[4].removesuffix(" |")
    assert plain == shown(cell) == figure(cell)
    if len(there) in (0, 4):
        assert plain == text(cell.column, mean(cell))
    else:
        counts = {name: states.count(name) for name in ("failed", "to do") if name in states}
        why = ", ".join(f"{count} {name}" for name, count in counts.items())
        seen = fmean(0.1 + seed / 8 for seed in there)
        assert plain == f"{seen:.5f} ({len(there)} of 4 seeds; {why})"


def test_a_difference_that_lacks_seeds_is_over_those_that_both_have() -> None:
    matrix = load(EXPERIMENTS / "ema.yaml", Overrides(seeds=(0, 1, 2, 3)))
    factor = {"test accuracy": 1, "test accuracy(ema)": 2}
    results = results_of(
        matrix, lambda r, column, seed: factor.get(column.header, 1) * (seed + 1) / 16
    )
    for column, seed in ((2, 0), (3, 3)):
        request = matrix.tables[0].cells[0][column][seed]
        del results.records[request.spec.signature, request.unit or ""]
    (table,) = select(matrix, results).tables
    cell = table.cells[0][3]
    form = replace(cell.form, is_difference=True)
    said = shown(replace(cell, form=form), (0.0, 1.0))
    assert said == f"{fmean([2 / 16, 3 / 16]):+.5f} (2 of 4 seeds; 2 to do)"


def test_grids_are_the_changelogs_even_with_odd_text() -> None:
    written = grid(Grid(("a", "b"), [("1e5", "  x"), ("teacher->r<br>MGD", "")]))
    assert written == ("| a | b |\n| :----: | :----: |\n| 1e5 |   x |\n| teacher->r<br>MGD |  |\n")
