"""Cross-validation in a report: the folds of a seed are joined before arms are compared."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    log_loss,
    roc_auc_score,
)
from statsmodels.stats.contingency_tables import mcnemar

from classifier.data.spec import DataSpec
from classifier.records.record import EvaluateRecord
from classifier.records.runs import PREDICTIONS
from experiments.matrix.load import load
from experiments.matrix.model import Matrix, Request
from experiments.store.store import Failure, Results
from reports.figures import scores
from reports.figures.disagreements import disagreement
from reports.figures.folds import Folded
from reports.figures.metrics import LeftOut
from reports.figures.select import Missing, select
from reports.figures.tables import shown
from reports.formats import json as as_json
from reports.report import write
from reports.statistics.answers import Answer, answers
from reports.statistics.intervals import Scope, compare
from reports.words.before import at_best
from reports.words.notes import notes
from reports.words.verdict_notes import FOLDS
from tests.records import results_of

IMAGES, CLASSES, COUNT = 300, 4, 3
LABELS = np.arange(IMAGES) % CLASSES
FOLD_OF = np.random.default_rng(0).permutation(IMAGES) % COUNT
PATHS = np.array([f"{label}/{image:04}.png" for image, label in enumerate(LABELS)])
MATRIX = """\
title: T
data: {name: digits, folds: 3}
train: {model: ghostnet, image_size: 32, batch_size: 32, epochs: 2}
matrix:
  model: [ghostnet, mobilenetv2]
  rdrop: [false, true]
seeds: [0, 1, 2]
tables:
  t:
    rows: model
    columns:
      - {header: plain, split: test, where: {rdrop: false}}
      - {header: r-drop, split: test, where: {rdrop: true}}
    baseline: {rdrop: false}
    margin: 0.02
"""
Array = NDArray[Any]


def matrix_of(folder: Path, change: Callable[[str], str] = lambda text: text) -> Matrix:
    file = folder / "m.yaml"
    file.write_text(change(MATRIX))
    return load(file)


def logits_of(request: Request) -> Array:
    """Of all images, whatever the fold: by the arm and the seed."""
    training = request.training
    assert training is not None
    rng = np.random.default_rng([training.seed, training.has("rdrop"), len(training.model)])
    logits = rng.normal(size=(IMAGES, CLASSES))
    logits[np.arange(IMAGES), LABELS] += 1.6 if training.has("rdrop") else 1.2
    return logits.astype(np.float32)


def store_of(matrix: Matrix, folder: Path) -> Results:
    """Records of the folds with their predictions."""
    results = results_of(matrix)
    for request in matrix.requests():
        key = (request.spec.signature, request.unit or "")
        record = results.records.get(key)
        if not isinstance(record, EvaluateRecord):
            continue
        data = record.training.data
        inside = (
            np.equal(FOLD_OF, data.fold or 0)
            if record.spec.split == "test"
            else data.fold != FOLD_OF
        )
        logits, labels = logits_of(request)[inside], LABELS[inside]
        unit = folder / "-".join(key)
        unit.mkdir(parents=True, exist_ok=True)
        order = np.random.default_rng(1).permutation(len(labels))
        with (unit / PREDICTIONS).open("wb") as file:
            np.savez_compressed(
                file, logits=logits[order], labels=labels[order], paths=PATHS[inside][order]
            )
        accuracy = float(np.mean(logits.argmax(axis=1) == labels))
        counts = {
            "train": int(np.not_equal(FOLD_OF, data.fold or 0).sum()),
            "val": 0,
            "test": len(labels),
        }
        results.records[key] = record.model_copy(
            update={
                "accuracy": accuracy,
                "images": len(labels),
                "data": record.data.model_copy(update={"classes": CLASSES, **counts}),
            }
        )
        results.folders[key] = unit
    return results


def the_answer(matrix: Matrix, results: Results) -> Answer:
    return answers(select(matrix, results))[0]


def right(cell: tuple[Request, ...]) -> Array:
    """(seeds, images): of a cell all folds together."""
    first = [request for request in cell if request.training and request.training.data.fold == 0]
    return np.stack([logits_of(request).argmax(axis=1) == LABELS for request in first])


def test_a_cell_is_a_training_for_each_fold_of_each_seed(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    cell = matrix.tables[0].cells[0][0]
    of = [(r.training.seed, r.training.data.fold) for r in cell if r.training]
    assert of == [(seed, fold) for seed in range(3) for fold in range(3)]
    assert len({r.spec.signature for r in cell}) == 9
    assert {r.looked_at for r in cell} == {DataSpec(name="digits", folds=3)} == set(matrix.data)


def test_arms_are_compared_over_all_images_of_all_folds(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    for (base, judged), cells in zip(answer.cells, matrix.tables[0].cells, strict=True):
        arms = [right(cell) for cell in cells]
        assert base.cell.figures == pytest.approx(arms[0].mean(axis=1), abs=1e-15)
        found, expected = judged.comparison, compare(arms[0], arms[1])
        assert found is not None and found.paired and found.scope is Scope.MODEL
        assert (found.seeds, found.images) == (3, IMAGES)
        assert (found.difference, found.low, found.high, found.p) == pytest.approx(
            (expected.difference, expected.low, expected.high, expected.p), rel=1e-9
        )
    assert len(answer.lines) == 2, "rows are judged by the same images"
    assert answer.lines[0].comparison.images == IMAGES


def test_one_seed_of_folds_is_mcnemar_of_the_joined_answers(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, lambda text: text.replace("[0, 1, 2]", "[0]"))
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    before, after = (right(cell)[0] for cell in matrix.tables[0].cells[0])
    table = [
        [(before & after).sum(), (before & ~after).sum()],
        [(~before & after).sum(), (~before & ~after).sum()],
    ]
    expected = mcnemar(table, exact=False, correction=False).pvalue
    comparison = answer.cells[0][1].comparison
    assert comparison is not None and comparison.scope is Scope.TRAININGS
    assert comparison.p == pytest.approx(expected)


def softmax(logits: Array) -> Array:
    of = np.exp(logits.astype(np.float64))
    shares: Array = of / of.sum(axis=1, keepdims=True)
    return shares


def of_sklearn(metric: str, logits: Array) -> float:
    predicted, share = logits.argmax(axis=1), softmax(logits)
    match metric:
        case "mpa":
            return float(balanced_accuracy_score(LABELS, predicted))
        case "kappa":
            return float(cohen_kappa_score(LABELS, predicted))
        case "f1":
            return float(f1_score(LABELS, predicted, average="macro"))
        case "nll":
            return float(log_loss(LABELS, share))
    of_folds = [np.equal(FOLD_OF, fold) for fold in range(COUNT)]
    each = [roc_auc_score(LABELS[of], share[of], multi_class="ovr") for of in of_folds]
    return float(np.average(each, weights=[of.sum() for of in of_folds]))


@pytest.mark.parametrize("metric", ["mpa", "kappa", "f1", "nll", "auc"])
def test_figures_are_of_the_joined_answers_and_auc_is_the_folds_mean(
    metric: str, tmp_path: Path
) -> None:
    matrix = matrix_of(
        tmp_path, lambda text: text.replace("split: test,", f"split: test, metric: {metric},")
    )
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    for row, cells in zip(answer.cells, matrix.tables[0].cells, strict=True):
        for judged, cell in zip(row, cells, strict=True):
            expected = [of_sklearn(metric, logits_of(request)) for request in cell[::COUNT]]
            assert judged.cell.figures == pytest.approx(expected, rel=1e-6)
            assert judged.estimate is not None
            assert judged.estimate.figure == pytest.approx(np.mean(expected), rel=1e-6)
        assert row[1].comparison is not None and row[1].comparison.images == IMAGES


def test_joined_answers_are_those_of_each_fold(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    cell = select(matrix, results).tables[0].cells[0][0]
    (seed, *_), request = cell.seeds, matrix.tables[0].cells[0][0][0]
    assert isinstance(seed, Folded) and len(seed.folds) == COUNT
    found = scores.read_all(results.folders, seed.folds, "auc")
    positions = np.concatenate([np.flatnonzero(fold == FOLD_OF) for fold in range(COUNT)])
    positions = np.concatenate(
        [
            of[np.argsort(PATHS[of])]
            for of in np.split(positions, np.bincount(FOLD_OF).cumsum()[:-1])
        ]
    )
    logits = logits_of(request)[positions]
    assert (found.labels == LABELS[positions]).all()
    assert (found.predicted == logits.argmax(axis=1)).all()
    assert (found.right == (found.predicted == found.labels)).all()
    assert found.nll == pytest.approx(-np.log(softmax(logits))[np.arange(IMAGES), found.labels])
    assert seed.accuracy == found.right.mean() and seed.images == IMAGES
    assert found.auc is not None and len(found.auc.pseudo_values) == IMAGES
    assert found.auc.pseudo_values.mean() == pytest.approx(found.auc.figure)


def test_pseudo_values_of_folds_are_kept() -> None:
    rng = np.random.default_rng(0)
    folds = [LeftOut(rng.random(), rng.random(n)) for n in (5, 8, 6)]
    found = LeftOut.joined(folds)
    expected = np.concatenate([of.pseudo_values for of in folds])
    assert found.pseudo_values == pytest.approx(expected)
    assert found.figure == pytest.approx(
        np.average([of.figure for of in folds], weights=[len(of.without) for of in folds])
    )


@pytest.mark.parametrize("why", [Missing.TODO, Missing.FAILED])
def test_a_seed_without_one_of_its_folds_is_not_whole(why: Missing, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    request = matrix.tables[0].cells[0][1][COUNT + 1]  # seed 1, fold 1
    del results.records[request.spec.signature, request.unit or ""]
    if why is Missing.FAILED:
        results.failures[request.spec.signature] = Failure("it broke", "log.txt")
    judged = the_answer(matrix, results).cells[0][1]
    assert [isinstance(seed, Folded) for seed in judged.cell.seeds] == [True, False, True]
    assert judged.cell.missing is why and f"(2 of 3 seeds; 1 {why.value})" in shown(judged.cell)
    assert judged.comparison is not None and judged.comparison.seeds == 2
    said = f"seed 1 {why.value} in r-drop"
    assert judged.doubts == ((said,) if why is Missing.FAILED else ())
    assert judged.remarks == (() if why is Missing.FAILED else (f"{said}, left out",))
    selection = select(matrix, results)
    (table,) = selection.tables
    assert len(table.accuracies) > len({r.signature for c in table.cells[0] for r in c.records})
    assert notes(selection, table), "the folds that are there stand in no cell"


def test_val_parts_overlap_so_their_figures_are_means_without_a_verdict(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, lambda text: text.replace("split: test", "split: val"))
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    judged = answer.cells[0][1]
    folds = [results.records[r.spec.signature, r.unit or ""] for r in matrix.tables[0].cells[0][1]]
    of_seed = [(r.accuracy, r.images) for r in folds[:COUNT] if isinstance(r, EvaluateRecord)]
    expected = np.average([a for a, _ in of_seed], weights=[n for _, n in of_seed])
    assert judged.cell.figures[0] == pytest.approx(expected)
    assert (judged.comparison, judged.verdict, judged.estimate, answer.lines) == (None,) * 3 + ((),)
    assert judged.remarks == (
        "accuracy has no interval: the folds' val parts overlap, so an image is in several or in "
        "none",
    )
    told = at_best(matrix.tables[0], 3, {matrix.data[0]: {"val": 60, "test": IMAGES}})
    assert told[0].startswith("0 comparisons") and told[-1].startswith("val has no interval: ")


def test_a_report_says_what_folds_are(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    selection = select(matrix, results)
    files = {file.name: file.read_text() for file in write(selection, tmp_path / "reports")}
    page = files["report.md"]
    note = "a figure of test is of all folds' test parts together, every image once"
    assert f"- Cross-validation of 3 folds: {note}." in page and f"- {FOLDS}" in page
    assert "Bengio and Grandvalet 2004" in FOLDS and "may be too narrow" in FOLDS
    assert all(f"- fold {fold}: images: " in page for fold in range(COUNT))
    assert '"folds": 3' in page and '"fold": ' not in page
    rows = list(csv.DictReader(files["results.csv"].splitlines()))
    assert {row["fold"] for row in rows} == {"0", "1", "2"}
    known = json.loads(files["records.json"])
    assert all(len(cell["records"]) == 9 and len(cell["by_seed"]) == 3 for cell in known["cells"])
    told = json.loads(as_json.text([(selection, answers(selection))]))
    of_seed = told["matrices"][0]["tables"][0]["cells"][0]["by_seed"][0]
    assert len(of_seed["folds"]) == 3 and of_seed["figure"] == pytest.approx(
        right(matrix.tables[0].cells[0][0])[0].mean()
    )
    assert "seed 0, fold 2" in files["index.html"]


def test_arms_disagree_on_the_images_of_all_folds(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    selection = select(matrix, store_of(matrix, tmp_path / "runs"))
    found = disagreement([row[1] for row in selection.tables[0].cells], selection.folders, 24)
    pairs = [[right(cell) for cell in row] for row in matrix.tables[0].cells]
    assert found.compared == 2 * 3 * IMAGES
    assert found.counts == (
        sum(int((after & ~before).sum()) for before, after in pairs),
        sum(int((before & ~after).sum()) for before, after in pairs),
    )
    label_of = dict(zip(PATHS.tolist(), LABELS.tolist(), strict=True))
    assert all(label_of[seen.path] == seen.label for seen in (*found.gained, *found.lost))


def test_other_folds_of_one_set_are_rows_without_a_line(tmp_path: Path) -> None:
    def change(text: str) -> str:
        text = text.replace("data: {name: digits, folds: 3}", "data: digits")
        return text.replace("model: [ghostnet, mobilenetv2]", "data.folds: [3, 5]").replace(
            "rows: model", "rows: data.folds"
        )

    matrix = matrix_of(tmp_path, change)
    assert [len(row[0]) for row in matrix.tables[0].cells] == [9, 15]
    answer = the_answer(matrix, results_of(matrix))
    assert answer.lines == () and "share images" in answer.no_lines[0]
