"""Columns of what a model costs: whose figures they are, what is said of them, and what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest

import runner
from classifier.records.record import Cost, TrainRecord
from classifier.records.runs import read_cost, read_training
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.schema import COSTS
from experiments.store.store import Results
from reports.figures.select import Missing, select
from reports.figures.tables import mean
from reports.report import write
from reports.statistics.answers import answers
from reports.words.before import at_best
from reports.words.headlines import headline
from tests.records import results_of

STORED = Path(__file__).parent / "stored"
MATRIX = """\
title: T
data: digits
train: {model: ghostnet, image_size: 32, batch_size: 64, epochs: 2}
matrix:
  model: [ghostnet, mobilenetv2]
  ema: [false, true]
seeds: [0, 1, 2]
tables:
  t:
    rows: model
    baseline: {ema: false}
    columns:
      - {header: plain, split: test, where: {ema: false}}
      - {header: ema, split: test, where: {ema: true}}
"""
COLUMNS = "".join(
    f"      - {{header: {metric}{name}, metric: {metric}, where: {{ema: {ema}}}}}\n"
    for metric in COSTS
    for name, ema in (("", "false"), ("(ema)", "true"))
)


def matrix_of(folder: Path, text: str = MATRIX + COLUMNS) -> Matrix:
    file = folder / "m.yaml"
    file.write_text(text)
    return load(file)


def store_of(matrix: Matrix, counted: bool = True, accuracy: float = 0.5) -> Results:
    """Each training takes 10 s more than that of the seed before, and 2 more for ghostnet."""
    results = results_of(matrix, lambda *_: accuracy)
    for key, record in list(results.records.items()):
        if isinstance(record, TrainRecord):
            seconds = 10.0 * (1 + record.spec.seed) + 2.0 * (record.spec.model == "ghostnet")
            results.costs[key] = Cost(seconds=seconds, peak_memory_mib=700 + record.spec.seed)
            counts = {"parameters": 3901399, "multiply_adds": 6_123_456, "checkpoint_bytes": 2**21}
            results.records[key] = record.model_copy(update=counts if counted else {})
    return results


def page(matrix: Matrix, results: Results, folder: Path) -> str:
    write(select(matrix, results), folder)
    return (folder / matrix.name / "report.md").read_text()


def test_figures_are_those_of_the_training(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    write(select(matrix, store_of(matrix)), tmp_path)
    frame = pd.read_csv(tmp_path / "m" / "verdicts.csv")
    # Two epochs of 7,684 images each, in batches of 64: the last has 4.
    shown = (
        "3901399 | 3901399 | 0.006 | 0.006 | 2.00 | 2.00 | {0} | {0} | 15368 | 15368 | 701 | 701"
    )
    table = (tmp_path / "m" / "t.md").read_text().splitlines()
    assert table[2] == f"| ghostnet | 0.50000 | 0.50000 | {shown.format('22.0')} |"
    assert table[3] == f"| mobilenetv2 | 0.50000 | 0.50000 | {shown.format('20.0')} |"
    of = frame[(frame.row == "ghostnet") & (frame.column == "gflops")]
    assert of.figure.item() == pytest.approx(0.006123456), "as it was measured"


def test_they_get_no_verdict_and_change_none(tmp_path: Path) -> None:
    plain, costly = (matrix_of(tmp_path, text) for text in (MATRIX, MATRIX + COLUMNS))
    before, after = (answers(select(matrix, store_of(matrix)))[0] for matrix in (plain, costly))
    assert after.family == before.family > 0
    assert headline(after) == headline(before)
    images = {plain.data[0]: {"train": 1000, "val": 300, "test": 300}}
    assert at_best(costly.tables[0], 3, images) == at_best(plain.tables[0], 3, images)
    verdicts, of_all = (page(m, store_of(m), tmp_path) for m in (plain, costly))
    begin, end = "### t: verdicts", "### t: what would tell"
    assert verdicts[verdicts.index(begin) : verdicts.index(end)] in of_all
    frame = pd.read_csv(tmp_path / "m" / "verdicts.csv")
    costs = frame[frame.metric.isin(COSTS)]
    assert len(costs) == 24 and not costs.best.any()
    nothing = ["low", "difference_low", "verdict", "p", "split", "remarks"]
    assert costs[nothing].isna().all(axis=None)
    assert costs.difference.notna().tolist() == costs.baseline_column.notna().tolist()


def test_a_table_of_costs_alone_trains_and_compares_nothing(tmp_path: Path) -> None:
    columns = COLUMNS.replace("false", "true")
    text = MATRIX[: MATRIX.index("    baseline")] + "    columns:\n" + columns
    matrix = matrix_of(tmp_path, text.replace("(ema)", " again"))
    assert {request.spec.kind for request in matrix.requests()} == {"train"}
    written = page(matrix, store_of(matrix, accuracy=0.001), tmp_path)
    assert "- t: nothing is compared" in written
    assert "verdicts" not in written[: written.index("## Method")]
    assert "guessing" not in written, "nobody asked how accurate they are"


def test_a_shared_training_is_paid_once(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix)
    written = page(matrix, results, tmp_path)
    assert (
        "- 6 of 6 trainings were of several arms (raw, ema-0.9999-2000): the seconds of each are "
        "to its own end, the memory is the whole training's, and both were spent once."
    ) in written
    assert "6 trainings 2 min 06," in written, "10 + 20 + 30, and 2 more for each of ghostnet's"
    # A track that was added later had a training of its own.
    for key, record in results.records.items():
        if isinstance(record, TrainRecord) and record.track != "raw" and record.spec.seed == 0:
            results.costs[key] = Cost(seconds=99.0)
    assert "- 4 of 8 trainings were of several arms" in page(matrix, results, tmp_path)
    alone = matrix_of(tmp_path, MATRIX.replace("ema: [false, true]", "ema: [false]")
        .replace("      - {header: ema, split: test, where: {ema: true}}\n", "")
        .replace("    baseline: {ema: false}\n", "")
        + "      - {header: s, metric: train_seconds}\n")  # fmt: skip
    assert "several arms" not in page(alone, store_of(alone), tmp_path)


def test_seconds_of_several_devices_are_not_compared(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix)
    said = "What trainings took in different places can't be compared."
    assert said not in page(matrix, results, tmp_path)
    key = next(key for key, record in results.records.items() if record.kind == "train")
    other = results.records[key].environment.model_copy(update={"device": "another CPU"})
    results.records[key] = results.records[key].model_copy(update={"environment": other})
    assert said in page(matrix, results, tmp_path)


def test_what_was_not_recorded_is_no_gap(tmp_path: Path) -> None:
    """Running again mends it not, so a report is whole without; one that is to do it is not."""
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, counted=False)
    selection = select(matrix, results)
    cells = {cell.column.header: cell for cell in selection.tables[0].cells[0]}
    assert mean(cells["parameters"]) is mean(cells["gflops(ema)"]) is Missing.NOT_RECORDED
    assert mean(cells["train_seconds"]) == 22.0, "older records have it"
    assert mean(cells["images_seen"]) == 15368
    assert selection.is_whole
    assert "- not recorded: a training from before this was kept" in page(matrix, results, tmp_path)
    training = next(key for key, record in results.records.items() if record.kind == "train")
    del results.records[training]
    left = select(matrix, results)
    assert left.tables[0].cells[0][2].missing is Missing.TODO, "of two reasons what can be mended"
    assert not left.is_whole


def test_results_csv_has_the_costs_that_are_shown(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix)
    write(select(matrix, results), tmp_path)
    frame = pd.read_csv(tmp_path / "m" / "results.csv")
    assert tuple(frame.columns[-6:]) == COSTS
    trained = frame[frame.kind == "train"]
    assert (trained.train_seconds == trained.seconds).all()
    assert trained.parameters.unique().tolist() == [3901399]
    assert frame[frame.kind != "train"][list(COSTS)].isna().all(axis=None)
    plain = matrix_of(tmp_path, MATRIX)
    write(select(plain, results), tmp_path)
    assert not set(COSTS) & set(pd.read_csv(tmp_path / "m" / "results.csv").columns)


def test_an_older_store_shows_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0: nothing that a run could give is missing."""
    store = tmp_path / "runs"
    shutil.copytree(STORED / "runs", store)
    trained = sorted(store.glob("ghostnet-s?-*/train-raw"))
    for unit in trained:
        (unit / "best.safetensors").touch()
    text = (STORED / "stored.yaml").read_text()
    text = text[: text.index("  all:")].replace("[mobilenetv2, ghostnet]", "[ghostnet]")
    text += "  all:\n    rows: model\n    where: {rdrop: false, ema: false}\n    columns:\n"
    text += "".join(f"      - {{header: {metric}, metric: {metric}}}\n" for metric in COSTS)
    file = tmp_path / "older.yaml"
    file.write_text(text)
    options = ["--report", "--runs", str(store), "--reports", str(tmp_path / "reports")]
    assert runner.main([str(file), *options]) == 0, capsys.readouterr().err
    shown = (tmp_path / "reports" / "older" / "all.md").read_text().splitlines()[2].split(" | ")
    costs = [read_cost(unit) for unit in trained]
    seconds = fmean(cost.seconds for cost in costs if cost)
    memory = fmean(cost.peak_memory_mib or 0 for cost in costs if cost)
    seen = [read_training(unit).images_seen for unit in trained]
    assert shown[1:4] == ["not recorded"] * 3
    assert shown[4:] == [f"{seconds:.1f}", f"{fmean(seen):.0f}", f"{memory:.0f} |"]
    images = json.loads((trained[0] / "record.json").read_text())["data"]["train"]
    assert seen == [2 * images] * 2 and images % 16 != 1
