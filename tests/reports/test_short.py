"""The page's answers in short: figures, verdicts and sentences are those of the comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.matrix.load import load
from experiments.matrix.model import Matrix, Request
from experiments.store.store import Results
from reports.blocks import Finding
from reports.figures.select import select
from reports.figures.tables import mean
from reports.page.facts import facts
from reports.statistics.answers import Answer, Judged, answers
from reports.words.notes import notes
from reports.words.short import MOST_LINES, finding, findings
from tests.records import results_of
from tests.reports.test_answers import IMAGES, fail, matrix_of, store_of, the_answer

TRICKS = """
title: Tricks
data: digits
train: {{model: ghostnet, image_size: 32}}
runs: {{plain: {{lr: 0.001}}, a: {{lr: 0.002}}, b: {{lr: 0.003}}, c: {{lr: 0.004}}}}
tables:
  t: {{rows: runs, columns: [{{header: figure, split: test{metric}}}]{baseline}}}
"""
RIGHT = {0.001: 0.5, 0.002: 0.4, 0.003: 0.9, 0.004: 0.51}


def tricks(
    folder: Path,
    metric: str = "",
    baseline: str = ", baseline: {run: plain}",
    shares: Mapping[float, float] = RIGHT,
) -> Answer:
    """Of four runs with these shares of right answers, by learning rate; the last has other images
    right than the first."""
    file = folder / "tricks.yaml"
    file.write_text(TRICKS.format(metric=metric and f", metric: {metric}", baseline=baseline))
    matrix = load(file)

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        images = np.arange(IMAGES) + (50 if request.training.lr == 0.004 else 0)
        return images % 100 < 100 * shares[request.training.lr]

    return the_answer(matrix, store_of(matrix, folder / "runs", right))


def in_points(figure: float) -> str:
    return f"{100 * figure:+.2f}".replace("-", "−")


def only(answer: Answer) -> list[Judged]:
    return [each for each in answer.compared if each.comparison]


def test_the_mean_over_the_rows_stands_first_with_its_interval(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2")
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    line = answer.lines[0]
    found = finding(answer)
    (outcome,) = found.outcomes
    assert outcome.figure == f"{in_points(line.comparison.difference)} points"
    assert outcome.mark.word == line.verdict.word.value
    bar = outcome.mark.bar
    assert bar is not None
    assert (bar.low, bar.at, bar.high) == (
        line.comparison.low,
        line.comparison.difference,
        line.comparison.high,
    )
    low, high = map(in_points, (line.comparison.low, line.comparison.high))
    assert found.details[0] == f"95 % interval {low} to {high} points"
    assert found.details[1:3] == (
        f"p {line.comparison.p:.4f}, Holm's {line.adjusted:.4f}",
        f"3 seeds each; {IMAGES} images",
    )
    assert "higher in 2, equal in 0, lower in 0 rows" in found.details
    assert found.counts == {}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (0.08, "On average over these 2 models, “r-drop” is better than “plain”."),
        (0.0, "On average over these 2 models, “r-drop” differs from “plain” by less than 2.00 "
              "points, the margin."),
    ],
)  # fmt: skip
def test_a_sentence_says_what_the_verdict_does(word: float, said: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2")

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        share = 0.7 + (word if request.training.has("rdrop") else 0.0)
        return np.arange(IMAGES) % 100 < 100 * share

    found = finding(the_answer(matrix, store_of(matrix, tmp_path / "runs", right)))
    assert found.said == said
    # What decides "same" is the interval of 90 %; the one of 95 % may be wider than the margin.
    assert f"{90 if 'the margin' in said else 95} % interval" in found.details[0]


def test_one_cell_answers_for_its_table(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    found = finding(answer)
    comparison = answer.cells[0][1].comparison
    assert comparison is not None
    assert found.said == "In ghostnet, “r-drop” is better than “plain”."
    assert found.outcomes[0].figure == f"{in_points(comparison.difference)} points"


def test_of_different_tricks_the_best_is_named_and_verdicts_are_counted(tmp_path: Path) -> None:
    answer = tricks(tmp_path)
    found = finding(answer)
    words = Counter(each.verdict.word.value for each in answer.compared if each.verdict)
    assert found.counts == words == {"better": 1, "worse": 1, "can't tell": 1}
    best = max(only(answer), key=lambda each: each.comparison.difference if each.comparison else 0)
    assert found.outcomes[0].of == best.cell.row == "b"
    assert found.outcomes[0].figure == "+40.00 points"
    assert found.outcomes[0].mark.word == "better"
    assert found.said == "The best of 3 compared cells is b; being chosen flatters it."


def test_best_that_are_equal_are_all_named(tmp_path: Path) -> None:
    answer = tricks(tmp_path, shares=RIGHT | {0.002: 0.9})
    found = finding(answer)
    assert found.said == "The best of 3 compared cells are a, b; being chosen flatters it."
    assert [each.of for each in found.outcomes] == ["a", "b"]
    assert {each.figure for each in found.outcomes} == {"+40.00 points"}


def test_what_is_compared_with_guessing_is_no_best(tmp_path: Path) -> None:
    """One of four classes is right by chance: nothing is praised that is compared with that."""
    found = finding(tricks(tmp_path, shares=RIGHT | {0.001: 0.25}))
    assert found.said == (
        "Of 3 compared cells none is shown to be better: in all of them seeds failed or only guess."
    )
    assert not found.outcomes and sum(found.counts.values()) == 3
    found = finding(tricks(tmp_path, shares=RIGHT | {0.003: 0.25}))
    assert "the best with all its seeds above guessing is c" in found.said


def test_of_several_metrics_the_first_answers_by_its_name(tmp_path: Path) -> None:
    """One arm in three columns has no best one."""
    file = tmp_path / "columns.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {image_size: 32, model: ghostnet}\n"
        "matrix: {loss.label_smoothing: [0.0, 0.1]}\nseeds: [0, 1]\ntables:\n  t:\n"
        "    rows: loss.label_smoothing\n    columns:\n"
        "      - {header: test accuracy, split: test}\n"
        "      - {header: nll, metric: nll, split: test}\n"
        "    baseline: {loss.label_smoothing: 0.0}\n"
    )
    matrix = load(file)
    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs"))
    found = finding(answer)
    assert "best" not in found.said
    assert "“0.1”" in found.said and "“0.0”" in found.said and "“test accuracy”" in found.said
    (_, (accuracy, nll)) = answer.cells
    assert accuracy.verdict is not None and nll.verdict is not None
    assert found.outcomes[0].mark.word == accuracy.verdict.word.value
    assert found.details[-1] == f"nll: 1 {nll.verdict.word.value}"


def test_where_less_is_better_the_best_is_the_lowest(tmp_path: Path) -> None:
    answer = tricks(tmp_path, metric="nll")
    found = finding(answer)
    best = min(only(answer), key=lambda each: each.comparison.difference if each.comparison else 0)
    assert found.outcomes[0].of == best.cell.row == "b"
    assert best.comparison is not None and best.comparison.difference < 0
    assert found.outcomes[0].figure == f"{best.comparison.difference:+.5f}".replace("-", "−")


@pytest.mark.parametrize(("metric", "end"), [("", "highest"), ("nll", "lowest")])
def test_without_baselines_the_best_figure_is_named(metric: str, end: str, tmp_path: Path) -> None:
    answer = tricks(tmp_path, metric=metric, baseline="")
    found = finding(answer)
    best = {str(each[0].cell.row): mean(each[0].cell) for each in answer.cells}["b"]
    assert found.outcomes[0].figure == f"{best:.5f}"
    assert found.said == (
        "Nothing is compared, for no cell has a baseline in its table. "
        f"The {end} “figure” is that of b, which is no verdict."
    )
    assert not found.counts and found.outcomes[0].mark.word is None


def test_what_is_to_do_gives_no_answer(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    nothing = finding(the_answer(matrix, Results()))
    assert nothing == Finding("t", "Nothing can be said yet. Of 1 compared cell: 1 to do.")
    results = store_of(matrix, tmp_path / "runs")
    for seed in range(3):
        fail(matrix, results, column=1, seed=seed)
    said = finding(the_answer(matrix, results)).said
    assert said == "There are no verdicts. Of 1 compared cell: 1 failed."


def test_speeds_are_in_percent_of_the_baseline(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {model: [ghostnet]}\n"
        "tables:\n  t:\n    rows: model\n    columns:\n      - {header: slow, metric: fps}\n"
        "      - {header: fast, metric: fps, precision: fp16, against: slow}\n"
    )
    matrix = load(file)
    results = results_of(matrix)
    for key, record in results.records.items():
        assert record.kind == "benchmark"
        times = 1.0 if record.spec.precision == "fp32" else 0.5
        rng = np.random.default_rng(len(record.spec.precision))
        seconds = tuple(times * rng.normal(1, 0.01, 200))
        results.records[key] = record.model_copy(update={"seconds": seconds})
    answer = the_answer(matrix, results)
    comparison = answer.cells[0][1].comparison
    assert comparison is not None and comparison.difference == pytest.approx(1.0, abs=0.05)
    (outcome,) = finding(answer).outcomes
    assert outcome.figure == f"{100 * comparison.difference:+.1f} %"
    assert findings([answer]).scale.startswith(
        "Bars: 95 % intervals (thick: 90 %) on an axis that ends at ±"
    )


def test_several_lines_say_what_their_verdicts_leave_open(tmp_path: Path) -> None:
    """A row that learnt nothing stands in the answer, not in the table alone."""
    matrix = _wide(tmp_path)

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        share = 0.1 if request.training.model == "ghostnet" else 0.5
        return np.random.default_rng(request.training.seed).random(IMAGES) < share

    results = store_of(matrix, tmp_path / "runs", right)
    answer = the_answer(matrix, results)
    said = finding(answer).said
    assert said.count("seeds that failed or only guess in ghostnet") == 1
    (note,) = [n for n in notes(select(matrix, results), answer.table) if "guessing" in n]
    assert note == (
        "6 of 12 accuracies are those of guessing: what they belong to has learnt nothing yet: "
        "ghostnet."
    )


def _wide(folder: Path) -> Matrix:
    """Five variants of two models."""
    file = folder / "wide.yaml"
    rates = [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
    columns = "".join(
        f"      - {{header: c{i}, split: test, where: {{lr: {rate}}}}}\n"
        for i, rate in enumerate(rates)
    )
    file.write_text(
        "title: T\ndata: digits\ntrain: {image_size: 32}\n"
        f"matrix: {{model: [ghostnet, mobilenetv2], lr: {rates}}}\n"
        f"tables:\n  t:\n    rows: model\n    baseline: {{lr: 0.001}}\n    columns:\n{columns}"
    )
    return load(file)


def test_several_variants_have_a_line_each_on_one_axis(tmp_path: Path) -> None:
    matrix = _wide(tmp_path)

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        share = 0.5 + 10 * (request.training.lr - 0.001)
        return np.random.default_rng(request.training.seed).random(IMAGES) < share

    answer = the_answer(matrix, store_of(matrix, tmp_path / "runs", right))
    (found,) = findings([answer]).items
    assert [each.of for each in found.outcomes] == ["c1", "c2", "c3", "c4"]
    assert found.said == (
        "Differences to “c0”, on average over these 2 models; 1 more is in the table; “c2”: alone "
        "yes, among 20 no."
    )
    lines = {line.column.header: line.comparison for line in reversed(answer.lines)}
    reach = max(
        abs(end)
        for header in ("c1", "c2", "c3", "c4")
        for end in (lines[header].low, lines[header].high)
    )
    margin = answer.compared[0].cell.margin
    assert margin is not None
    bars = [each.mark.bar for each in found.outcomes]
    assert len(bars) == MOST_LINES
    assert {bar.extent for bar in bars if bar} == {max(reach, 1.15 * margin)}
    scale = findings([answer]).scale
    assert f"±{100 * max(reach, 1.15 * margin):.2f} points; shaded: within the margin." in scale


def test_tables_share_an_axis_too(tmp_path: Path) -> None:
    found: list[Answer] = []
    for name, share in (("a", 0.5), ("b", 0.9)):
        folder = tmp_path / name
        folder.mkdir()
        matrix = matrix_of(folder)

        def right(request: Request, share: float = share) -> NDArray[np.bool_]:
            assert request.training is not None
            rng = np.random.default_rng(request.training.seed + 7 * request.training.has("rdrop"))
            return rng.random(IMAGES) < share

        found += answers(select(matrix, store_of(matrix, folder / "runs", right)))
    bars = [each.outcomes[0].mark.bar for each in findings(found).items]
    own = [each.outcomes[0].mark.bar for each in map(finding, found)]
    assert all(bars) and all(own)
    extents = {bar.extent for bar in bars if bar}
    assert len(extents) == 1 and extents == {max(bar.extent for bar in own if bar)}
    assert len({bar.extent for bar in own if bar}) == 2


# The line under the title


def test_facts_say_what_was_run_on_what(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2, resnet18", seeds="0, 1")
    results = results_of(matrix)
    (device,) = {record.environment.device for record in results.records.values()}
    data = next(r.data for r in results.records.values() if r.kind == "train")
    assert facts(select(matrix, results)) == [
        f"digits: {data.train:,} train / {data.val:,} val / {data.test:,} test images, "
        f"{data.classes} classes",
        "3 models",
        "2 seeds",
        "2 epochs",
        device,
    ]
    assert facts(select(matrix, Results())) == ["digits", "3 models", "2 seeds", "2 epochs"]


def test_facts_name_what_is_one_and_a_range_of_epochs(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nseeds: [3]\n"
        "runs: {a: {epochs: 5}, b: {epochs: 1200}}\n"
        "tables: {t: {rows: runs, columns: [{header: h, split: test}]}}\n"
    )
    assert facts(select(load(file), Results())) == [
        "digits",
        "ghostnet",
        "1 seed",
        "5 to 1,200 epochs",
    ]


def test_speeds_have_no_data(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {model: [ghostnet]}\n"
        "tables: {t: {rows: model, columns: [{header: FPS, metric: fps}]}}\n"
    )
    assert facts(select(load(file), Results())) == ["ghostnet"]
