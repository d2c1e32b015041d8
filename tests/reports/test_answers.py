"""What is compared with what, and what a report says where something is missing."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    cohen_kappa_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from classifier.records.record import BenchmarkRecord, EvaluateRecord, TrainRecord
from classifier.records.runs import PREDICTIONS
from experiments.matrix.load import load
from experiments.matrix.model import Matrix, Request
from experiments.matrix.schema import NO_INTERVAL
from experiments.store.store import Failure, Results
from reports import verdict_files
from reports.figures.metrics import OF_THE_WHOLE, WITHOUT_INTERVAL, Confusion, auc, ece
from reports.figures.select import Missing, select
from reports.figures.tables import mean
from reports.report import write
from reports.statistics.answers import Answer, answers, noise
from reports.statistics.intervals import Scope, compare
from reports.statistics.verdicts import Word
from reports.words.before import at_best
from reports.words.headlines import headline
from reports.words.verdict_notes import verdict_notes
from reports.words.would_tell import rough, would_tell
from tests.records import results_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
IMAGES, CLASSES = 600, 4
MATRIX = """\
title: T
data: digits
train: {{model: ghostnet, image_size: 32, batch_size: 32, epochs: 2}}
matrix:
  model: [{models}]
  rdrop: [false, true]
seeds: [{seeds}]
tables:
  t:
    rows: model
    columns:
      - {{header: plain, split: test, where: {{rdrop: false}}{metric}}}
      - {{header: r-drop, split: test, where: {{rdrop: true}}{metric}}}
    baseline: {{rdrop: false}}
    margin: 0.02
"""

Array = NDArray[Any]
Right = Callable[[Request], NDArray[np.bool_]]


def matrix_of(
    folder: Path, models: str = "ghostnet", seeds: str = "0, 1, 2", metric: str = ""
) -> Matrix:
    file = folder / "m.yaml"
    file.write_text(MATRIX.format(models=models, seeds=seeds, metric=metric))
    return load(file)


def share(of: float) -> Right:
    """So many right; R-Drop makes one in twelve of the wrong ones right."""

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        rng = np.random.default_rng(request.training.seed)
        answers = rng.random(IMAGES) < of
        better = np.arange(IMAGES) % 12 == 0
        return answers | better if request.training.has("rdrop") else answers

    return right


def store_of(matrix: Matrix, folder: Path, right: Right | None = None) -> Results:
    """Records of digits-like data with their predictions in `folder`."""
    right = right or share(0.8)
    results = results_of(matrix)
    labels = np.arange(IMAGES) % CLASSES
    for request in matrix.requests():
        key = (request.spec.signature, request.unit or "")
        record = results.records.get(key)
        if not isinstance(record, EvaluateRecord):
            continue
        answers = right(request)
        logits = np.eye(CLASSES, dtype=np.float32)[
            np.where(answers, labels, (labels + 1) % CLASSES)
        ]
        unit = folder / "-".join(key)
        unit.mkdir(parents=True, exist_ok=True)
        paths = np.array([f"{label}/{image:04}.png" for image, label in enumerate(labels)])
        with (unit / PREDICTIONS).open("wb") as opened:
            np.savez_compressed(opened, logits=logits, labels=labels, paths=paths)
        mpa = float(np.mean([answers[labels == label].mean() for label in range(CLASSES)]))
        update = {
            "accuracy": float(answers.mean()),
            "mpa": mpa,
            "images": IMAGES,
            "data": record.data.model_copy(update={"classes": CLASSES, "test": IMAGES}),
        }
        results.records[key] = record.model_copy(update=update)
        results.folders[key] = unit
    return results


def the_answer(matrix: Matrix, results: Results) -> Answer:
    return answers(select(matrix, results))[0]


def requests_of(matrix: Matrix, column: int) -> tuple[Request, ...]:
    """Of the first row's cell, by seed."""
    return matrix.tables[0].cells[0][column]


def key_of(request: Request) -> tuple[str, str]:
    return request.spec.signature, request.unit or ""


def fail(matrix: Matrix, results: Results, column: int, seed: int) -> None:
    request = requests_of(matrix, column)[seed]
    del results.records[key_of(request)]
    results.failures[request.spec.signature] = Failure("it broke", "log.txt")


def test_records_of_the_same_images_are_compared_paired(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    base, judged = answer.cells[0]
    expected = compare(
        np.stack([share(0.8)(request) for request in requests_of(matrix, 0)]),
        np.stack([share(0.8)(request) for request in requests_of(matrix, 1)]),
    )
    assert judged.comparison == expected
    assert judged.adjusted == expected.p
    assert judged.verdict is not None and judged.verdict.word is Word.BETTER
    assert base.comparison is None and base.estimate is not None
    assert (judged.remarks, judged.doubts) == ((), ())


def test_the_order_of_stored_images_does_not_matter(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    expected = the_answer(matrix, results).cells[0][1].comparison
    file = results.folders[key_of(requests_of(matrix, 0)[0])] / PREDICTIONS
    with np.load(file) as stored:
        turned = {name: stored[name][::-1] for name in stored.files}
    np.savez_compressed(file, **turned)
    assert the_answer(matrix, results).cells[0][1].comparison == expected


def test_mean_per_class_accuracy_weighs_classes(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=", metric: mpa")
    judged = the_answer(matrix, store_of(matrix, tmp_path / "runs")).cells[0][1]
    assert judged.comparison is not None
    assert judged.estimate is not None
    figures = [figure for figure in judged.cell.figures if isinstance(figure, float)]
    assert judged.estimate.figure == pytest.approx(np.mean(figures))


def macro(score: Callable[..., float]) -> Callable[[Array, Array], float]:
    return lambda labels, scores: score(
        labels, scores.argmax(axis=1), average="macro", zero_division=0
    )


OF_PREDICTIONS: dict[str, Callable[[Array, Array], float]] = {
    "top5": lambda labels, scores: top_k_accuracy_score(labels, scores, k=5),
    "nll": log_loss,
    "kappa": lambda labels, scores: cohen_kappa_score(labels, scores.argmax(axis=1)),
    "f1": macro(f1_score),
    "precision": macro(precision_score),
    "recall": macro(recall_score),
    "auc": lambda labels, scores: roc_auc_score(labels, scores, multi_class="ovr"),
    "ece": lambda labels, scores: ece(labels == scores.argmax(axis=1), scores.max(axis=1)),
    "worst_class": lambda labels, scores: min(
        recall_score(labels, scores.argmax(axis=1), average=None)
    ),
}
"""Of labels and softmax scores; the calibration error's own test is in test_metrics.py."""


def predict_at_random(
    matrix: Matrix, results: Results, column: int = 1
) -> list[tuple[Array, Array]]:
    """For each seed of the first row's cell: labels and softmax scores of 12 classes."""
    rng, found = np.random.default_rng(column), []
    for request in requests_of(matrix, column):
        key = key_of(request)
        file = results.folders[key] / PREDICTIONS
        with np.load(file) as stored:
            kept = {name: stored[name] for name in stored.files}
        kept["labels"] = np.arange(IMAGES) % 12
        logits = rng.normal(size=(IMAGES, 12)) + 2 * np.eye(12)[kept["labels"]]
        kept["logits"] = logits.astype(np.float32)
        np.savez_compressed(file, **kept)
        seen = float(np.mean(kept["logits"].argmax(axis=1) == kept["labels"]))
        results.records[key] = results.records[key].model_copy(update={"accuracy": seen})
        scores = np.exp(kept["logits"].astype(float))
        found.append((kept["labels"], scores / scores.sum(axis=1, keepdims=True)))
    return found


@pytest.mark.parametrize("metric", OF_PREDICTIONS)
def test_columns_from_predictions_are_scikit_learns(metric: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=f", metric: {metric}")
    results = store_of(matrix, tmp_path / "runs")
    drawn = predict_at_random(matrix, results)
    expected = [OF_PREDICTIONS[metric](*each) for each in drawn]
    for _ in range(2):  # the second time from what was kept
        judged = the_answer(matrix, results).cells[0][1]
        assert judged.cell.figures == pytest.approx(expected, abs=1e-12)
    if metric in WITHOUT_INTERVAL:
        assert judged.estimate is None
    else:
        assert judged.estimate is not None
        assert judged.estimate.figure == pytest.approx(np.mean(expected))
    shares = "top5", "f1", "precision", "recall"
    assert judged.cell.margin == (0.02 if metric in shares else None)
    assert judged.cell.column.more_is_better == (metric not in ("nll", "ece"))


@pytest.mark.parametrize("metric", OF_THE_WHOLE)
def test_figures_of_the_whole_are_compared_by_their_pseudo_values(
    metric: str, tmp_path: Path
) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2", metric=f", metric: {metric}")
    results = store_of(matrix, tmp_path / "runs")
    arms = []
    for column in (0, 1):
        drawn = predict_at_random(matrix, results, column)
        left = [
            auc(scores, labels)
            if metric == "auc"
            else Confusion(labels, scores.argmax(axis=1)).without(metric)
            for labels, scores in drawn
        ]
        arms.append(np.stack([each.pseudo_values for each in left]))
    answer = the_answer(matrix, results)
    judged = answer.cells[0][1]
    assert judged.comparison is not None
    bounds = (-1.0, 1.0) if metric == "kappa" else (0.0, 1.0)
    expected = compare(arms[0], arms[1], bounds=bounds)
    for level in (0.9, 0.95):
        assert judged.comparison.at(level) == pytest.approx(expected.at(level), abs=1e-9)
    base, variant = (mean(each.cell) for each in answer.cells[0])
    assert isinstance(base, float) and isinstance(variant, float)
    assert judged.comparison.difference == pytest.approx(variant - base)
    assert judged.verdict is not None and judged.verdict.word is Word.CANT_TELL
    assert len(answer.lines) == 2
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert f"No mean over images: {metric}. There an image's part is its jackknife" in page
    assert "Each figure is the mean over seeds 0, 1, 2." in page


@pytest.mark.parametrize("metric", WITHOUT_INTERVAL)
def test_what_has_no_interval_is_shown_without_a_verdict(metric: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2", metric=f", metric: {metric}")
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    why = f"{metric} has no interval: {WITHOUT_INTERVAL[metric]}"
    for judged in answer.compared:
        assert judged.remarks == (why,)
        assert (judged.estimate, judged.comparison, judged.verdict) == (None, None, None)
        assert judged.cell.missing is None and not judged.is_best
    assert (answer.family, answer.lines, answer.no_lines) == (0, (), ())
    files = {file.name: file for file in write(select(matrix, results), tmp_path)}
    page = files["report.md"].read_text()
    assert "t: of 2 compared cells 2 without an interval." in page and f"| {why} |" in page
    rows = json.loads(files["verdicts.json"].read_text())["verdicts"]
    assert all(row["figure"] is not None and row["low"] is None for row in rows)
    assert at_best(matrix.tables[0], 3, {matrix.data[0]: {"val": 10, "test": 10}})[-1] == why


def test_a_figure_that_is_undefined_says_so(tmp_path: Path) -> None:
    """All images are of one class, and taken for it."""
    matrix = matrix_of(tmp_path, metric=", metric: kappa")
    results = store_of(matrix, tmp_path / "runs")
    for request in requests_of(matrix, 1):
        key = key_of(request)
        file = results.folders[key] / PREDICTIONS
        with np.load(file) as stored:
            kept = {name: stored[name] for name in stored.files}
        kept["labels"][:] = 0
        kept["logits"] = np.eye(CLASSES, dtype=np.float32)[kept["labels"]]
        np.savez_compressed(file, **kept)
        results.records[key] = results.records[key].model_copy(update={"accuracy": 1.0})
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.cell.missing is Missing.UNDEFINED
    assert judged.remarks == (
        "not paired: predictions of seed 0 have no kappa; kappa has no interval without them",
    )


def test_a_column_from_predictions_that_are_gone_says_so(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=", metric: top5")
    results = store_of(matrix, tmp_path / "runs")
    (results.folders[key_of(requests_of(matrix, 1)[1])] / PREDICTIONS).unlink()
    files = write(select(matrix, results), tmp_path)
    assert (
        "| ghostnet | 1.00000 | 1.00000 (2 of 3 seeds; 1 no predictions) |" in files[0].read_text()
    )
    assert "predictions of seed 1 are missing; top5 has no interval" in files[1].read_text()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.unlink(), "not paired: predictions of seed 1 are missing"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:400]),
            "not paired: predictions of seed 1 are damaged",
        ),
        (lambda file: file.write_bytes(b""), "not paired: predictions of seed 1 are damaged"),
    ],
)
def test_a_prediction_that_cannot_be_read_is_said(
    harm: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    paired = the_answer(matrix, results).cells[0][1].comparison
    harm(results.folders[key_of(requests_of(matrix, 1)[1])] / PREDICTIONS)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == (said,)
    assert judged.comparison is not None and paired is not None
    assert not judged.comparison.paired
    assert judged.comparison.difference == pytest.approx(paired.difference)
    assert judged.comparison.high - judged.comparison.low > paired.high - paired.low


def test_predictions_that_are_not_the_records_are_damaged(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    key = key_of(requests_of(matrix, 1)[1])
    results.records[key] = results.records[key].model_copy(update={"accuracy": 0.5})
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == ("not paired: predictions of seed 1 are damaged",)


def test_what_was_kept_of_predictions_is_never_trusted_blindly(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    expected = the_answer(matrix, results).cells[0][1].comparison
    from classifier.basics.files import cache_folder

    kept = list(cache_folder("answers-3").iterdir())
    assert len(kept) >= 6
    for file in kept:
        file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\7")
    assert the_answer(matrix, results).cells[0][1].comparison == expected


def test_two_test_sets_are_not_paired(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    for request in requests_of(matrix, 1):
        file = results.folders[key_of(request)] / PREDICTIONS
        with np.load(file) as stored:
            moved = {name: stored[name] for name in stored.files}
        moved["paths"] = np.char.add("other/", moved["paths"])
        np.savez_compressed(file, **moved)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == ("not paired: other images",)
    assert judged.comparison is not None and not judged.comparison.paired


def test_a_training_keeps_no_predictions(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        MATRIX.format(models="ghostnet", seeds="0, 1", metric="").replace(
            "split: test", "stage: train"
        )
    )
    matrix = load(file)
    judged = the_answer(matrix, results_of(matrix, lambda row, column, seed: 0.7)).cells[0][1]
    assert judged.remarks == ("not paired: a training keeps no predictions",)
    assert judged.comparison is not None and judged.comparison.difference == 0


def test_mean_per_class_accuracy_without_predictions_has_no_verdict(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=", metric: mpa")
    judged = the_answer(matrix, results_of(matrix)).cells[0][1]
    assert judged.comparison is None and judged.verdict is None
    assert "mpa has no interval without them" in judged.remarks[0]


def test_a_seed_that_is_to_do_in_one_arm_is_left_out(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    del results.records[key_of(requests_of(matrix, 1)[2])]
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == ("seed 2 to do in r-drop, left out",)
    assert judged.comparison is not None and judged.comparison.seeds == 2
    assert judged.verdict is not None and judged.doubts == ()


@pytest.mark.parametrize(("column", "name"), [(0, "plain"), (1, "r-drop")])
def test_a_seed_that_failed_forbids_better(column: int, name: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    whole = the_answer(matrix, results).cells[0][1]
    assert whole.verdict is not None and whole.verdict.word is Word.BETTER
    fail(matrix, results, column, 1)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.verdict is not None and judged.verdict.word is Word.CANT_TELL
    assert judged.verdict.remarks == (f"seed 1 failed in {name}",)
    assert judged.comparison is not None and judged.comparison.seeds == 2


def test_a_seed_that_failed_in_both_arms_is_left_out(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    for column in (0, 1):
        fail(matrix, results, column, 1)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == ("seed 1 failed in both arms, left out",)
    assert judged.doubts == () and judged.comparison is not None and judged.comparison.seeds == 2


def test_a_seed_that_only_guesses_forbids_better(tmp_path: Path) -> None:
    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        guesses = not request.training.has("rdrop") and request.training.seed == 2
        return np.arange(IMAGES) % CLASSES == 0 if guesses else share(0.8)(request)

    matrix = matrix_of(tmp_path)
    judged = the_answer(matrix, store_of(matrix, tmp_path / "runs", right)).cells[0][1]
    assert judged.doubts == ("seed 2 only guesses in plain",)
    assert judged.verdict is not None and judged.verdict.word is Word.CANT_TELL


def test_arms_that_ran_on_different_devices_say_so(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    for request in requests_of(matrix, 1):
        assert request.training is not None
        key = (request.training.signature, "train-raw")
        record = results.records[key]
        assert isinstance(record, TrainRecord)
        moved = record.environment.model_copy(update={"device": "another CPU"})
        results.records[key] = record.model_copy(update={"environment": moved})
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.remarks == ("its arms ran on different devices, threads or versions",)


def test_lines_over_the_rows(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2, RepVGG-A0")
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    these, like_these = answer.lines
    assert these.comparison.scope is Scope.MODELS
    assert like_these.comparison.scope is Scope.POPULATION
    assert answer.family == 5
    assert [each.cell.row for each in these.rows] == ["ghostnet", "mobilenetv2", "RepVGG-A0"]


def test_one_seed_speaks_of_these_trainings(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2", seeds="0")
    results = store_of(matrix, tmp_path / "runs")
    write(select(matrix, results), tmp_path)
    page = (tmp_path / "m" / "report.md").read_text()
    assert "1 seed each, so of these trainings" in page
    assert "Verdicts from one seed speak of these trainings" in page


def test_one_row_is_answered_with_its_difference(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    found = answer.cells[0][1].comparison
    assert found is not None
    figures = f"{found.difference:+.5f}, 95 % interval {found.low:+.5f} to {found.high:+.5f}"
    said = f"t: in ghostnet “r-drop” is better than “plain”: {figures} (3 seeds each; 600 images)."
    assert headline(answer) == said
    file = matrix.source
    more = "".join(
        f"      - {{header: mpa {name}, metric: mpa, split: test, where: {{rdrop: {name}}}}}\n"
        for name in ("false", "true")
    )
    file.write_text(file.read_text().replace("    baseline", f"{more}    baseline"))
    several = headline(the_answer(load(file), store_of(load(file), tmp_path / "more")))
    assert several == (
        f"t: it can't be told whether in ghostnet “r-drop” differs from “plain”: {figures} "
        "(3 seeds each; 600 images); alone yes, among 2 no. "
        "Column by column: r-drop: 1 can't tell; mpa true: 1 can't tell."
    )


def test_rows_that_share_one_baseline_get_no_line(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    rows = "".join(
        f"\n      - {{name: {name}, where: {{run: {name}}}{base}}}"
        for name, base in (("a", ""), ("b", ", baseline: a"), ("c", ", baseline: a"))
    )
    file.write_text(
        "title: T\ndata: digits\nruns:\n"
        "  a: {model: ghostnet}\n  b: {model: ghostnet, rdrop: true}\n"
        f"  c: {{model: mobilenetv2}}\ntables:\n  t:\n    rows:{rows}\n"
        "    columns: [{header: acc, split: test}]\n"
    )
    matrix = load(file)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    assert answer.lines == ()
    assert answer.family == 2
    assert "different tricks" in answer.no_lines[0]
    bases = [row[0].cell.baseline for row in answer.cells]
    assert [base.row if base else None for base in bases] == [None, "a", "a"]


ROWS = """\
title: T
data: digits
runs:
  a: {model: ghostnet}
  b: {model: ghostnet, rdrop: true}
  c: {model: mobilenetv2}
  d: {model: mobilenetv2, rdrop: true}
tables:
  t:
    columns: [{header: acc, split: test}]
    rows:
"""


@pytest.mark.parametrize(
    ("baselines", "why"),
    [
        ("ab bc", "an arm is in more than one of its comparisons"),  # a chain
        ("ab ba", "an arm is in more than one of its comparisons"),  # a circle
        ("ba ca", "rows that share one baseline are different tricks"),
        ("ab cd", ""),
    ],
)
def test_a_line_is_over_comparisons_that_share_no_arm(
    baselines: str, why: str, tmp_path: Path
) -> None:
    of = {pair[0]: pair[1] for pair in baselines.split()}  # each row with its baseline
    rows = "".join(
        f"      - {{name: {name}, where: {{run: {name}}}"
        + (f", baseline: {of[name]}}}\n" if name in of else "}\n")
        for name in "abcd"
    )
    file = tmp_path / "m.yaml"
    file.write_text(ROWS + rows)
    matrix = load(file)
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    assert len(answer.lines) == (0 if why else 2)
    assert answer.no_lines == ((f"acc: {why}, so there is no line over the rows",) if why else ())
    page = write(select(matrix, results), tmp_path)[1].read_text()
    for name, base in of.items():
        assert f"“{name}” with “{base}”" in page


EPOCHS = """\
title: T
data: digits
train: {model: ghostnet}
matrix:
  epochs: [15, 19, 21]
  ema: [false, true]
seeds: [0, 1, 2]
tables:
  t:
    rows: epochs
    columns:
      - {header: acc, split: test, where: {ema: false}}
      - {header: acc(ema), split: test, where: {ema: true}}
    baseline: {ema: false}
"""


def test_rows_of_one_training_are_no_trainings_of_their_own(tmp_path: Path) -> None:
    """They are averaged seed by seed: test_statistics.py holds the figures."""
    (tmp_path / "m.yaml").write_text(EPOCHS)
    matrix = load(tmp_path / "m.yaml")
    store = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, store)
    pairs = [row[1].pair for row in answer.cells]
    assert len({pair.draws for pair in pairs if pair}) == 1
    _, like_these = answer.lines
    assert "rows of one network, which are no sample" in like_these.verdict.remarks
    spoken = [row["speaks_of"] for row in verdict_files.rows_of([answer]) if row["row"] is None]
    assert spoken == ["these rows", "rows like these"], "they are epochs, and no models"
    gone = next(key for key in store.records if key[1].startswith("evaluate"))
    del store.records[gone]
    assert "start from the same weights" in the_answer(matrix, store).no_lines[0]


def test_a_line_is_over_comparisons_of_one_kind(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\n"
        "matrix: {model: [ghostnet, mobilenetv2], ema: [false, true]}\ntables:\n  t:\n"
        "    rows:\n      - {name: a, where: {model: ghostnet}}\n"
        "      - {name: b, where: {model: mobilenetv2}, baseline: a}\n"
        "    columns:\n      - {header: raw, split: test, where: {ema: false}}\n"
        "      - {header: ema, split: test, where: {ema: true}}\n    baseline: {ema: false}\n"
    )
    matrix = load(file)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    bases = [row[1].cell.baseline for row in answer.cells]
    assert [(b.row, b.column.header) if b else None for b in bases] == [("a", "raw"), ("a", "ema")]
    assert answer.lines == ()


def test_columns_of_one_arm_are_each_compared(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    file = tmp_path / "m.yaml"
    again = "      - {header: again, split: test, where: {rdrop: true}, margin: 0.3}\n"
    file.write_text(file.read_text().replace("    baseline:", f"{again}    baseline:"))
    matrix = load(file)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    assert [each.cell.margin for each in answer.compared] == [0.02, 0.3]
    assert all(each.comparison is not None for each in answer.compared)


def test_logits_that_are_not_finite_give_no_nll(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=", metric: nll")
    results = store_of(matrix, tmp_path / "runs")
    file = results.folders[key_of(requests_of(matrix, 1)[1])] / PREDICTIONS
    with np.load(file) as stored:
        kept = {name: stored[name].copy() for name in stored.files}
    kept["logits"][kept["logits"] == 1] = np.inf
    np.savez_compressed(file, **kept)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.cell.missing is not None
    assert "predictions of seed 1 are not finite" in judged.remarks[0]


@pytest.mark.parametrize("at", range(40, 140, 7))
def test_a_wrong_byte_is_damage(at: int, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    file = results.folders[key_of(requests_of(matrix, 1)[1])] / PREDICTIONS
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.comparison is not None  # paired still, where the byte says nothing
    assert judged.comparison.paired or judged.remarks[0].endswith("seed 1 are damaged")


def test_images_a_second_are_compared_as_such(tmp_path: Path) -> None:
    """A batch of 64 takes longer than one of 8, and yet more images a second pass."""
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {model: [ghostnet]}\n"
        "tables:\n  t:\n    rows: model\n    columns:\n"
        "      - {header: small, metric: images_per_second, batch_size: 8}\n"
        "      - {header: large, metric: images_per_second, batch_size: 64, against: small}\n"
    )
    matrix = load(file)
    results = results_of(matrix)
    for key, record in results.records.items():
        assert isinstance(record, BenchmarkRecord)
        rng = np.random.default_rng(record.spec.batch_size)
        typical = 0.01 if record.spec.batch_size == 8 else 0.04
        seconds = tuple((typical * np.exp(0.01 * rng.normal(size=60))).tolist())
        results.records[key] = record.model_copy(update={"seconds": seconds})
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.comparison is not None
    assert judged.comparison.difference == pytest.approx(1, abs=0.02)
    assert judged.verdict is not None and judged.verdict.word is Word.BETTER


def test_published_figures_are_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import runner

    (tmp_path / "p.csv").write_text("model,plain\nghostnet,96.5\n")
    matrix_of(tmp_path)
    file = tmp_path / "m.yaml"
    file.write_text(file.read_text() + "    published: p.csv\n")
    assert runner.main([str(file), "--published"]) == 2
    said = capsys.readouterr().err
    assert "p.csv:2: '96.5' under 'plain' is no share of images, from 0 to 1" in said


@pytest.mark.parametrize("metric", ["auc", "kappa", "f1", "worst_class"])
def test_published_figures_of_predictions_get_a_sentence(
    metric: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import runner

    (tmp_path / "p.csv").write_text("model,plain,r-drop\nghostnet,0.5,0.6\n")
    matrix_of(tmp_path, metric=f", metric: {metric}")
    file = tmp_path / "m.yaml"
    file.write_text(file.read_text() + "    published: p.csv\n")
    assert runner.main([str(file), "--published"]) == 0
    page = capsys.readouterr().out
    assert "| ghostnet | 0.50000 | 0.60000 |" in page
    assert f"- {metric} gets no verdict: " in page


def test_all_that_cannot_be_told_from_the_best_are_marked(tmp_path: Path) -> None:
    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        shares = {"ghostnet": 0.9, "mobilenetv2": 0.895, "RepVGG-A0": 0.4}
        rng = np.random.default_rng(request.training.seed)
        return rng.random(IMAGES) < shares[request.training.model]

    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2, RepVGG-A0")
    results = store_of(matrix, tmp_path / "runs", right)
    answer = the_answer(matrix, results)
    assert [row[0].is_best for row in answer.cells] == [True, True, False]
    files = write(select(matrix, results), tmp_path)
    page, bare = files[1].read_text(), files[0].read_text()
    cell = answer.cells[0][0].cell
    figure = np.mean([cell.column.figure(record) for record in cell.records])
    assert f"| ghostnet | plain | **{figure:.5f}** |" in page
    assert "**" not in bare


def test_nothing_is_bold_where_no_row_is_told_from_another(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2, RepVGG-A0")
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    assert all(row[0].is_best and not row[0].stands_out for row in answer.cells)
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert "**" not in page and "Bold:" not in page


def test_rows_that_tie_exactly_say_nothing_of_models_like_them(tmp_path: Path) -> None:
    """Two arms with the same answers in every row."""

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        return np.random.default_rng(request.training.seed).random(IMAGES) < 0.8

    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2, RepVGG-A0")
    these, like_these = the_answer(matrix, store_of(matrix, tmp_path / "runs", right)).lines
    assert these.comparison.difference == 0 and these.verdict.word is Word.SAME
    assert like_these.verdict.word is Word.CANT_TELL
    assert like_these.verdict.remarks == ("rows that differ too little to show how models do",)


@pytest.mark.parametrize(
    ("table", "column", "said"),
    [
        ("0.02", "", "0.02, set by this matrix (the default is 0.005)."),
        ("", "", "0.005, the default."),
        ("0.005", "", "0.005, the default."),
        ("", "0.03", "0.03, set by this matrix (the default is 0.005)."),
        ("", ", metric: kappa, margin: 0.1", "0.1, set by this matrix."),
    ],
)
def test_a_note_says_whose_the_margin_is(
    table: str, column: str, said: str, tmp_path: Path
) -> None:
    metric = column if column.startswith(",") else f", margin: {column}" if column else ""
    matrix = matrix_of(tmp_path, metric=metric)
    file = tmp_path / "m.yaml"
    own = f"    margin: {table}\n" if table else ""
    file.write_text(file.read_text().replace("    margin: 0.02\n", own))
    matrix = load(file)
    page = write(select(matrix, store_of(matrix, tmp_path / "runs")), tmp_path)[1].read_text()
    assert f"\n- Margin for `same`: {said}\n" in page


def test_a_table_without_a_baseline_compares_nothing(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    text = MATRIX.format(models="ghostnet", seeds="0", metric="")
    file.write_text(text.replace("    baseline: {rdrop: false}\n", ""))
    matrix = load(file)
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    assert answer.compared == [] and answer.family == 0
    assert all(each.estimate is not None for each in answer.cells[0])
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert "nothing is compared, for no cell has a baseline in its table" in page


def test_a_column_that_nothing_is_compared_with_is_named(tmp_path: Path) -> None:
    """A column of another trick: its arm is the baseline's own, and no other column's."""
    matrix = matrix_of(tmp_path)
    assert at_best(matrix.tables[0], 3, {})[0] == "1 comparison, 3 seeds"
    assert not any("compared with nothing" in line for line in at_best(matrix.tables[0], 3, {}))
    file = tmp_path / "m.yaml"
    text = file.read_text().replace("rdrop: false}}", "rdrop: false, hflip: 0.1}}")
    text = text.replace("rdrop: true}}", "rdrop: true, hflip: 0.1}}").replace(
        "    baseline:",
        "      - {header: val, split: val, where: {rdrop: false, hflip: 0.1}}\n"
        "      - {header: flips, split: test, where: {rdrop: false, hflip: 0.5}}\n    baseline:",
    )
    file.write_text(text.replace("seeds:", "  hflip: [0.1, 0.5]\nseeds:"))
    matrix = load(file)
    lines = at_best(matrix.tables[0], 3, {})
    assert lines[1].startswith("compared with nothing: flips; a column is compared that ")
    page = write(select(matrix, store_of(matrix, tmp_path / "runs")), tmp_path)[1].read_text()
    assert "\n- Compared with nothing: flips; a column is compared that " in page


def speeds_of(tmp_path: Path, passes: int | None) -> tuple[Matrix, Results]:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {model: [ghostnet]}\n"
        "tables:\n  t:\n    rows: model\n    columns:\n"
        "      - {header: full, metric: fps}\n"
        "      - {header: half, metric: fps, precision: fp16, against: full}\n"
    )
    matrix = load(file)
    results = results_of(matrix, lambda row, column, seed: 200.0 if column.precision else 100.0)
    rng = np.random.default_rng(0)
    for key, record in results.records.items():
        assert isinstance(record, BenchmarkRecord)
        if passes is not None:
            seconds = tuple((1 / record.fps * np.exp(0.01 * rng.normal(size=passes))).tolist())
            results.records[key] = record.model_copy(update={"seconds": seconds})
    return matrix, results


def test_speeds_are_compared_by_their_passes(tmp_path: Path) -> None:
    matrix, results = speeds_of(tmp_path, 100)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.comparison is not None
    assert judged.comparison.difference == pytest.approx(1, abs=0.02)
    assert judged.verdict is not None and judged.verdict.word is Word.BETTER
    assert judged.comparison.scope is Scope.PROCESS
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert re.search(
        r"- t: in ghostnet “half” is better than “full”: \+[\d.]+ %, "
        r"95 % interval \+[\d.]+ to \+[\d.]+ %\.\n",
        page,
    ), "a number, and no images or seeds, which it has not"


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        (None, "no interval: an older record, without its passes' seconds"),
        (4, "no interval: 4 passes, below 20"),
    ],
)
def test_speeds_without_enough_passes_have_no_interval(
    passes: int | None, said: str, tmp_path: Path
) -> None:
    matrix, results = speeds_of(tmp_path, passes)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.comparison is None and judged.remarks == (said,)
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert "t: of 1 compared cell 1 without an interval." in page


def test_a_large_family_is_said(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\n"
        "matrix:\n  model: [ghostnet, mobilenetv2]\n"
        f"  loss.label_smoothing: [{', '.join(f'{i / 100:.2f}' for i in range(40))}]\n"
        "tables:\n  t:\n    rows: model\n    baseline: {loss.label_smoothing: 0.00}\n    columns:\n"
        + "".join(
            f"      - {{header: '{i}', split: test, "
            f"where: {{loss.label_smoothing: {i / 100:.2f}}}}}\n"
            for i in range(40)
        )
    )
    matrix = load(file)
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    assert answer.family == 2 * 39 + 2 * 39
    page = write(select(matrix, results), tmp_path)[1].read_text()
    assert "With 156 comparisons in one table, Holm's correction asks the first of them" in page


def test_files_for_scripts_hold_the_same_figures(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2")
    results = store_of(matrix, tmp_path / "runs")
    answer = the_answer(matrix, results)
    files = {file.name: file for file in write(select(matrix, results), tmp_path)}
    rows = list(csv.DictReader(files["verdicts.csv"].open()))
    typed = json.loads(files["verdicts.json"].read_text())["verdicts"]
    assert len(rows) == len(typed) == 4 + 2
    judged = answer.cells[0][1]
    assert judged.comparison is not None
    for name, value in (
        ("difference", judged.comparison.difference),
        ("difference_low", judged.comparison.low),
        ("p", judged.comparison.p),
        ("holm_p", judged.adjusted),
        ("seeds", 3),
        ("margin", 0.02),
    ):
        assert float(rows[1][name]) == typed[1][name] == value
    assert judged.verdict is not None
    assert rows[1]["verdict"] == typed[1]["verdict"] == judged.verdict.word.value
    assert (rows[0]["difference"], typed[0]["difference"]) == ("", None)
    assert (rows[4]["row"], typed[4]["speaks_of"]) == ("", "these models")


def test_the_noise_of_seeds_and_what_pairing_saved(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    arms = [
        np.array([each.cell.column.figure(record) for record in each.cell.records])
        for each in the_answer(matrix, results).cells[0]
    ]
    variances = [float(np.var(arm, ddof=1)) for arm in arms]
    paired = float(np.var(arms[1] - arms[0], ddof=1))
    page = write(select(matrix, results), tmp_path)[1].read_text()
    between = np.sqrt(2 * np.mean(variances))
    assert f"Changing only the seed moves a figure by {between:.5f} on test (root mean" in page
    ratio = sum(variances) / paired
    assert ratio > 2
    assert f"would have needed about {ratio:.0f} times as many" in page


def test_only_rows_that_have_a_line_over_them_are_a_sample(tmp_path: Path) -> None:
    """Nothing is said of models like these where no line speaks of them."""
    for models, is_said in (("ghostnet", False), ("ghostnet, mobilenetv2", True)):
        matrix = matrix_of(tmp_path, models=models)
        found = the_answer(matrix, store_of(matrix, tmp_path / "runs", share(0.8)))
        assert rough(found).endswith("Of models like these only more rows tell.") == is_said
        notes = list(verdict_notes(found))
        assert ("Holm's p is over 1 comparison." in notes) == (not is_said)


def test_a_ratio_without_bounds_is_not_said(tmp_path: Path) -> None:
    """Differences that are nearly equal in all seeds, by chance, make it as large as you like."""
    matrix = matrix_of(tmp_path)

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        rights = 300 + 60 * request.training.seed + 20 * request.training.has("rdrop")
        rights += request.training.has("rdrop") and request.training.seed == 2
        return np.arange(IMAGES) < rights

    found = the_answer(matrix, store_of(matrix, tmp_path / "runs", right))
    ((_, times),) = noise(found).unpaired_trainings
    assert times > 100 and not any("times as many" in note for note in verdict_notes(found))


def test_what_would_tell_has_a_price(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)

    def right(request: Request) -> NDArray[np.bool_]:
        return rng.random(IMAGES) < 0.8

    matrix = matrix_of(tmp_path)
    page = write(select(matrix, store_of(matrix, tmp_path / "runs", right)), tmp_path)[
        1
    ].read_text()
    assert "### t: what would tell" in page
    assert "of job time" in page


def test_where_no_more_is_needed_the_difference_is_in_the_way(tmp_path: Path) -> None:
    """14 images gained, 6 lost, with each seed: that of a spread that shows `same`, were it 0."""

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        images, is_variant = np.arange(IMAGES), request.training.has("rdrop")
        return (images >= 6 * is_variant) & (images < 480 + 14 * is_variant)

    file = matrix_of(tmp_path).source
    file.write_text(file.read_text().replace("margin: 0.02", "margin: 0.025"))
    found = the_answer(load(file), store_of(load(file), tmp_path / "runs", right))
    grid = would_tell(found, {})
    assert grid is not None
    ((_, _, see, same),) = grid.rows
    assert "more)" in see or "images" in see
    assert same == (
        "no more than there are, four times of five; but the difference measured is too large"
    )


def test_seeds_added_later_are_all_that_runs(tmp_path: Path) -> None:
    first = matrix_of(tmp_path, seeds="0")
    asked = {key_of(request) for request in first.requests()}
    more = matrix_of(tmp_path, seeds="0, 1, 2")
    assert asked < {key_of(request) for request in more.requests()}


@pytest.mark.parametrize("name", ["ema", "rdrop", "fp16", "distillation"])
def test_published_figures_are_judged_without_a_run(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runner

    monkeypatch.chdir(tmp_path)
    assert runner.main([str(EXPERIMENTS / f"{name}.yaml"), "--published"]) == 0
    page = capsys.readouterr().out
    lines = (EXPERIMENTS / "published" / f"{name}.csv").read_text().splitlines()
    for line in lines:
        assert f"| {' | '.join(line.split(','))} |" in page
    assert "can't tell" in page
    assert not list(tmp_path.iterdir())


def test_published_figures_alone_seldom_tell(capsys: pytest.CaptureFixture[str]) -> None:
    import runner

    assert runner.main([str(EXPERIMENTS / "ema.yaml"), "--published"]) == 0
    page = capsys.readouterr().out
    lines = [line for line in page.splitlines() if "| test accuracy(ema) | t" in line]
    verdicts = [line.split(" | ")[-1] for line in lines]
    assert verdicts == ["can't tell |"] * 4


def test_without_published_figures_there_is_nothing_to_judge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import runner

    assert runner.main([str(EXPERIMENTS / "digits.yaml"), "--published"]) == 2
    assert "none of these matrices has published figures" in capsys.readouterr().err


def test_a_column_in_two_forms_is_one_comparison(tmp_path: Path) -> None:
    plain = matrix_of(tmp_path, models="ghostnet, mobilenetv2")
    before = the_answer(plain, store_of(plain, tmp_path / "a"))
    file = tmp_path / "m.yaml"
    twice = "      - {header: twice, split: test, where: {rdrop: true}, show: difference}\n"
    file.write_text(file.read_text().replace("    baseline:", f"{twice}    baseline:"))
    formed = load(file)
    after = the_answer(formed, store_of(formed, tmp_path / "b"))
    assert after.family == before.family == 2 + 2
    assert [row[1].adjusted for row in after.cells] == [row[1].adjusted for row in before.cells]
    assert [row[2].adjusted for row in after.cells] == [row[1].adjusted for row in before.cells]
    assert len(after.lines) == 2 * len(before.lines) == 4
    images = {plain.data[0]: {"train": 1000, "val": 300, "test": 300}}
    assert at_best(formed.tables[0], 3, images) == at_best(plain.tables[0], 3, images)


@pytest.mark.parametrize("metric", ["top5", "kappa", "worst_class", "ece", "auc"])
def test_logits_that_are_no_numbers_give_nothing(metric: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, metric=f", metric: {metric}")
    results = store_of(matrix, tmp_path / "runs")
    file = results.folders[key_of(requests_of(matrix, 1)[1])] / PREDICTIONS
    with np.load(file) as stored:
        kept = {name: stored[name].copy() for name in stored.files}
    wrong = np.flatnonzero(kept["logits"].argmax(axis=1) != kept["labels"])[0]
    kept["logits"][wrong] = np.where(np.arange(CLASSES) == kept["labels"][wrong], 0, np.inf)
    np.savez_compressed(file, **kept)
    judged = the_answer(matrix, results).cells[0][1]
    assert judged.cell.missing is Missing.NOT_FINITE


def test_names_of_what_has_no_interval_agree() -> None:
    assert set(WITHOUT_INTERVAL) == set(NO_INTERVAL)
