"""Data sets and keys of `data` as axes: what is trained, compared and said of each."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import runner
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec, titles
from experiments.matrix.load import load
from experiments.matrix.model import Matrix, share_images
from experiments.matrix.overrides import Overrides
from experiments.plan.jobs import unique
from experiments.store.store import Store
from reports.blocks import Bullets
from reports.figures.select import select
from reports.page.sections import settings
from reports.report import write
from reports.statistics.answers import answers
from reports.statistics.intervals import compare
from reports.words.before import at_best
from reports.words.headlines import headline
from reports.words.verdict_notes import verdict_notes
from tests.classifier.test_datasets import make_images
from tests.records import results_of
from tests.reports.test_answers import share, store_of

ROOT = Path(__file__).parents[2]
MATRIX = """\
title: T
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 2, lr: 1e-3}
matrix:
  data: [{name: digits, limit: 10}, {folder: birds}]
  rdrop: [false, true]
seeds: [0, 1, 2]
tables:
  t:
    rows: data
    columns:
      - {header: plain, split: test, where: {rdrop: false}}
      - {header: r-drop, split: test, where: {rdrop: true}}
    baseline: {rdrop: false}
"""
SPLITS = MATRIX.replace("rows: data", "rows: data.split_seed").replace(
    "data: [{name: digits, limit: 10}, {folder: birds}]", "data.split_seed: [0, 1, 2]"
)
SPLITS = SPLITS.replace("matrix:", "data: {name: digits, limit: 10}\nmatrix:")


def matrix_of(folder: Path, text: str = MATRIX, overrides: Overrides | None = None) -> Matrix:
    file = folder / "m.yaml"
    file.write_text(text)
    return load(file, overrides or Overrides())


def test_an_arm_is_trained_on_the_data_of_its_row(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    digits, birds = DataSpec(name="digits", limit=10), DataSpec(folder="birds")
    assert matrix.data == (digits, birds)
    (table,) = matrix.tables
    assert (table.row_header, table.rows) == ("data", ("digits", "birds"))
    for cells, data in zip(table.cells, matrix.data, strict=True):
        assert {r.training.data for cell in cells for r in cell if r.training} == {data}
    assert table.baseline == {(0, 1): (0, 0), (1, 1): (1, 0)}
    names = [job.name for job in unique(matrix.requests()) if job.spec.kind == "train"]
    assert (
        names[0] == "mobilenetv2-s0 (digits, limit 10)" and "mobilenetv2-rdrop-s2 (birds)" in names
    )


def test_its_signature_is_that_of_the_same_training_written_plainly(tmp_path: Path) -> None:
    one = matrix_of(tmp_path, SPLITS.replace("[0, 1, 2]\n  rdrop", "[0]\n  rdrop")).arms[0]
    plain = TrainSpec(
        data=DataSpec(name="digits", limit=10),
        model="mobilenetv2", image_size=32, batch_size=16, epochs=2, lr=1e-3,
    )  # fmt: skip
    assert one.trainings[0].signature == plain.signature


def test_a_run_may_have_data_of_its_own(tmp_path: Path) -> None:
    text = MATRIX[: MATRIX.index("matrix:")] + (
        "data: digits\n"
        "runs: {a: {}, b: {data: {folder: birds}}, c: {data.split_seed: 3, data.limit: 20}}\n"
        "tables: {t: {rows: runs, columns: [{header: test, split: test}]}}\n"
    )
    assert matrix_of(tmp_path, text).data == (
        DataSpec(name="digits"),
        DataSpec(folder="birds"),
        DataSpec(name="digits", split_seed=3, limit=20),
    )


def test_a_set_on_one_axis_and_its_split_on_another(tmp_path: Path) -> None:
    """In whichever order they stand."""
    axes = ("  data.split_seed: [0, 4]\n", "  data: [digits, {folder: birds}]\n")
    text = MATRIX.replace("  data: [{name: digits, limit: 10}, {folder: birds}]\n", "".join(axes))
    text = text.replace("    baseline", "    where: {data.split_seed: 4}\n    baseline")
    matrix = matrix_of(tmp_path, text)
    swapped = matrix_of(tmp_path, text.replace("".join(axes), "".join(axes[::-1])))
    assert set(matrix.data) == set(swapped.data)
    assert {data.split_seed for data in matrix.data} == {0, 4} and len(matrix.data) == 4
    assert {r.training.data.split_seed for r in matrix.requests() if r.training} == {4}


@pytest.mark.parametrize(
    ("sets", "data"),
    [
        (("data=digits",), [DataSpec(name="digits")]),
        (
            ("data.split_seed=2",),
            [
                DataSpec(name="digits", limit=10, split_seed=2),
                DataSpec(folder="birds", split_seed=2),
            ],
        ),
    ],
)
def test_the_command_line_pins_it(
    sets: tuple[str, ...], data: list[DataSpec], tmp_path: Path
) -> None:
    assert list(matrix_of(tmp_path, overrides=Overrides(sets=sets)).data) == data


def test_smoke_puts_digits_in_place_of_all_sets(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, overrides=Overrides(smoke=True))
    assert matrix.data == (DataSpec(name="digits", limit=30),)
    assert matrix.tables[0].rows == ("digits",)
    splits = matrix_of(tmp_path, SPLITS, Overrides(smoke=True))
    assert [data.split_seed for data in splits.data] == [0, 1, 2], "its form is kept"


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    several = "[{name: digits, limit: 10}, {name: digits, limit: 20}, digits, {folder: birds}]"
    text = MATRIX.replace("[{name: digits, limit: 10}, {folder: birds}]", several)
    matrix = matrix_of(tmp_path, text)
    rows = ("digits (limit 10)", "digits (limit 20)", "digits", "birds")
    assert matrix.tables[0].rows == rows
    assert tuple(titles(matrix.data).values()) == rows


def test_sets_of_one_name_at_several_places_are_told_apart(tmp_path: Path) -> None:
    several = "[digits, {folder: digits}, {hf: a/b}, {hf: c/d}, {hf: {name: c/d, config: x}}]"
    matrix = matrix_of(
        tmp_path, MATRIX.replace("[{name: digits, limit: 10}, {folder: birds}]", several)
    )
    rows = ("digits (name digits)", "digits (folder digits)", "a/b", "c/d", "c/d (config x)")
    assert matrix.tables[0].rows == rows
    assert tuple(titles(matrix.data).values()) == rows
    jobs = [job for job in unique(matrix.requests()) if job.spec.kind == "train"]
    labels = dict.fromkeys(job.label for job in jobs)
    assert list(labels) == ["digits", "a/b", "c/d", "c/d, config x"]


def test_two_sets_of_the_hub_share_no_images() -> None:
    one, other = (DataSpec.model_validate({"hf": name}) for name in ("a/b", "c/d"))
    assert not share_images([one, other])
    assert share_images([one, one.model_copy(update={"split_seed": 1})])


def test_rows_of_several_sets_are_paired_each_on_its_own_images(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs", share(0.8))
    (answer,) = answers(select(matrix, results))
    for (base, judged), cells in zip(answer.cells, matrix.tables[0].cells, strict=True):
        assert judged.comparison is not None and judged.comparison.paired
        arms = [np.stack([share(0.8)(request) for request in cell]) for cell in cells]
        found = compare(arms[0], arms[1])
        assert (judged.comparison.low, judged.comparison.high) == (found.low, found.high)
        assert not base.is_best and not judged.is_best, "an easy data set is no best row"
    assert [line.comparison.scope.value for line in answer.lines] == [
        "these models",
        "models like these",
    ]
    page = write(select(matrix, results), tmp_path / "r")[1].read_text()
    assert "2 rows: these data sets" in page and "2 rows: data sets like these" in page
    assert "on average over these 2 data sets" in headline(answer)
    spoken = json.loads((tmp_path / "r/m/verdicts.json").read_text())["verdicts"]
    assert [each["speaks_of"] for each in spoken[-2:]] == [
        "these data sets",
        "data sets like these",
    ]
    notes = " ".join(verdict_notes(answer))
    assert "on test of digits, " in notes and " on test of birds" in notes
    (said,) = settings(select(matrix, results)).blocks
    assert isinstance(said, Bullets)
    items = list(said.items)
    assert {item.partition(": images: ")[0] for item in items if ": images: " in item} == {
        "digits",
        "birds",
    }


def test_split_seeds_are_rows_without_a_line_over_them(tmp_path: Path) -> None:
    """Their test images overlap: no two rows are samples of their own."""
    matrix = matrix_of(tmp_path, SPLITS)
    assert matrix.tables[0].rows == ("0", "1", "2")
    (answer,) = answers(select(matrix, store_of(matrix, tmp_path / "runs")))
    assert all(row[1].comparison is not None for row in answer.cells)
    assert answer.lines == () and answer.family == 3
    (why,) = answer.no_lines
    assert "draws of one data set share images" in why and why.endswith("no line over the rows")
    images = {data: {"test": 20} for data in matrix.data}
    said = at_best(matrix.tables[0], 3, images)
    assert said[0] == "3 comparisons, 3 seeds", "as the report counts them"
    assert [line.partition(":")[0] for line in said[1:]] == [
        f"digits (split_seed {seed})" for seed in range(3)
    ]


def test_costs_are_drawn_for_each_set(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = results_of(matrix, lambda row, column, seed: 0.5 + 0.1 * (row == "birds"))
    for number, key in enumerate(results.costs):  # else all arms cost the same
        results.costs[key] = results.costs[key].model_copy(update={"seconds": 10.0 + number})
    files = {file.name: file for file in write(select(matrix, results), tmp_path)}
    pages = [files[f"cost-{number}.svg"].read_text() for number in range(2)]
    assert "Accuracy against cost: digits" in pages[0]
    assert "Accuracy against cost: birds" in pages[1]
    assert all("2 arms" in page for page in pages)


def test_a_table_of_two_sets_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets of other classes and numbers of images; killed between them by what is asked of the
    first run, and gone on with."""
    monkeypatch.chdir(tmp_path)
    make_images(Path("data/birds"), {"owl": 10, "tit": 8, "wren": 8}, size=(32, 32))
    text = MATRIX.replace("[0, 1, 2]", "[0]")
    Path("m.yaml").write_text(text.replace(", {folder: birds}]", "]"))
    assert runner.main(["m.yaml"]) == 0
    first = Store(Path("runs")).read().records
    Path("m.yaml").write_text(text)
    assert runner.main(["m.yaml", "--plan"]) == 0
    assert runner.main(["m.yaml"]) == 0
    records = Store(Path("runs")).read().records
    assert first.items() <= records.items() and len(records) == 2 * len(first) == 8
    counts = Counter(r.data.classes for r in records.values() if r.kind != "benchmark")
    assert counts == {10: 4, 3: 4}
    lines = Path("reports/m/t.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| digits", "| birds"]
    page = Path("reports/m/index.html").read_text()
    assert "digits: 60 train / 20 val / 20 test images, 10 classes" in page
    assert "birds: 16 train / 6 val / 4 test images, 3 classes" in page


FOLDS = """\
title: T
data: {name: digits, limit: 8, folds: 3}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 4, lr: 1e-3}
matrix: {ema: [false, &average {decay: 0.9, tau: 5}]}
tables:
  t:
    rows: [{name: mobilenetv2, where: {}}]
    columns:
      - {header: plain, split: test, where: {ema: false}}
      - {header: ema, split: test, where: {ema: *average}}
      - {header: mpa, split: test, metric: mpa, where: {ema: false}}
      - {header: val, split: val, where: {ema: false}}
      - {header: seconds, metric: train_seconds, where: {ema: false}}
    baseline: {ema: false}
"""


def test_a_smoke_run_has_the_folds(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(FOLDS.replace("name: digits, limit: 8", "folder: birds"))
    matrix = load(tmp_path / "m.yaml", Overrides(smoke=True))
    assert [data.whole for data in matrix.data] == [DataSpec(name="digits", limit=30, folds=3)]
    requested = (request.training for request in matrix.requests())
    assert {spec.data.fold for spec in requested if spec} == {0, 1, 2}


def published() -> dict[str, int]:
    files = Path("runs").glob("*/*/record.json")
    return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.mark.usefixtures("no_process_remains")
def test_folds_end_to_end_killed_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(FOLDS)
    command = [sys.executable, str(ROOT / "runner.py"), "m.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while len(published()) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = published()
    assert 2 <= len(done) < 15
    assert runner.main(["m.yaml", "--report"]) == 3
    part = Path("reports/m/t.md").read_text()
    assert "to do" in part, "a fold that is missing leaves its seed out"
    capsys.readouterr()
    assert runner.main(["m.yaml", "--plan"]) == 0
    said = "digits (strict, 3 folds): 80 images, each once in test; the first fold has "
    assert f"{said}43 train / 10 val / 27 test images" in capsys.readouterr().out
    assert runner.main(["m.yaml"]) == 0
    after = published()
    assert len(after) == 15, "two tracks of three folds, and each on test, one on val"
    assert done.items() <= after.items()
    tested: Counter[str] = Counter()
    figures = []
    for record in Store(Path("runs")).read().records.values():
        if record.kind == "evaluate" and record.unit.startswith("evaluate-raw-test"):
            with np.load(next(Path("runs").glob(f"*/{record.unit}/predictions.npz"))) as kept:
                tested.update(kept["paths"].tolist())
                figures += (kept["logits"].argmax(axis=1) == kept["labels"]).tolist()
    assert len(tested) == 80 and set(tested.values()) == {1}
    assert f"| mobilenetv2 | {np.mean(figures):.5f} |" in Path("reports/m/t.md").read_text()
    assert "digits: 80 images in 3 folds, 10 classes" in Path("reports/m/index.html").read_text()
