"""What the plots of seeds, costs and trainings show."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.records.record import Cost, Epoch, TrainRecord
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.store.store import Results
from reports.blocks import Plot
from reports.figures.select import Missing, SelectedTable, select
from reports.figures.tables import mean
from reports.page.plots import arms, cost, curves, letters, seeds, style
from tests.plots import Read
from tests.records import results_of
from tests.reports.test_answers import fail, matrix_of, store_of
from tests.reports.test_plots import listed

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MODELS = "ghostnet, mobilenetv2"


def of_seeds(table: SelectedTable, matrix: Matrix) -> Plot:
    plot = seeds.plot(table, matrix.seeds)
    assert plot is not None
    return plot


def test_each_dot_is_a_seeds_figure(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    read = Read(of_seeds(table, matrix))
    scale = read.scale(1)
    for column in (0, 1):
        cells = [row[column] for row in table.cells]
        dots = read.paths(f"group-0-seeds-{column}")[0]
        figures = [figure for cell in cells for figure in cell.figures]
        assert [scale(x) for x, _ in dots] == pytest.approx(figures, abs=1e-4)
        assert len({y for _, y in dots}) == len(figures), "none hides another"
    means = [scale(x) for x, _ in read.paths("group-0-means")[0][::2]]
    expected = [mean(cell) for row in table.cells for cell in row]
    assert means == pytest.approx(expected, abs=1e-4)


def test_arms_are_joined_seed_by_seed(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    read = Read(of_seeds(table, matrix))
    ends = read.paths("group-0-pairs")[0]
    plain, rdrop = (read.paths(f"group-0-seeds-{column}")[0] for column in (0, 1))
    pairs = set(zip(ends[::2], ends[1::2], strict=True))
    assert pairs == set(zip(plain, rdrop, strict=True)) and len(pairs) == 6


def test_many_rows_are_not_joined_with_one(tmp_path: Path) -> None:
    """But two rows that are compared with each other alone are."""
    for names in (["one"], ["one", "two"]):
        matrix = listed(tmp_path, names, "[{header: a, split: test}]")
        (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
        read = Read(of_seeds(table, matrix))
        if names == ["one"]:
            assert len(read.paths("group-0-pairs")[0]) == 2 * 3
        else:
            assert read.group("group-0-pairs") is None


def test_a_seed_that_failed_has_no_dot_and_its_cell_no_mean(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs")
    fail(matrix, results, 1, seed=0)
    (table,) = select(matrix, results).tables
    plot = of_seeds(table, matrix)
    read = Read(plot)
    assert len(read.paths("group-0-seeds-1")[0]) == 2
    assert len(read.paths("group-0-means")[0]) == 1 * 2
    assert len(read.paths("group-0-pairs")[0]) == 2 * 2
    assert "failed" in read.texts
    assert plot.data.rows[1][2] == "failed" and plot.data.rows[1][-1] == "failed"


def test_the_data_of_seeds_are_the_cells_figures(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    grid = of_seeds(table, matrix).data
    assert list(grid.header) == ["model", "column", "seed 0", "seed 1", "seed 2", "mean"]
    cells = [cell for row in table.cells for cell in row]
    for cell, row in zip(cells, grid.rows, strict=True):
        figures = [figure for figure in cell.figures if not isinstance(figure, Missing)]
        shown = [f"{figure:.5f}" for figure in (*figures, fmean(figures))]
        assert list(row) == [cell.row, cell.column.header, *shown]


def test_speeds_alone_have_no_seeds(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    file = matrix.source
    text = re.sub(r"split: test, where: {rdrop: (true|false)}", "metric: fps", file.read_text())
    file.write_text(text.replace("r-drop", "again").replace("    baseline: {rdrop: false}\n", ""))
    matrix = load(file)
    (table,) = select(matrix, results_of(matrix)).tables
    assert seeds.plot(table, matrix.seeds) is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30))
def test_the_front_is_what_no_other_beats(points: list[tuple[int, int]]) -> None:
    def beaten(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return other[0] <= one[0] and other[1] >= one[1] and other != one

    kept = cost.front([float(c) for c, _ in points], [float(s) for _, s in points])
    expected = [i for i, one in enumerate(points) if not any(beaten(one, o) for o in points)]
    assert sorted(kept) == expected
    assert [points[i][0] for i in kept] == sorted(points[i][0] for i in kept)


def digits(
    score: Callable[[str, str, int], float] = lambda row, column, seed: 0.5,
) -> tuple[Matrix, Results]:
    """All arms of the digits' matrix, each training of its own length and size."""
    matrix = load(EXPERIMENTS / "digits.yaml")
    results = results_of(matrix, lambda row, column, seed: score(row, column.header, seed))
    for key, record in list(results.records.items()):
        if isinstance(record, TrainRecord):
            size = {"mobilenetv2": 2, "ghostnet": 4, "RepVGG-A0": 8}[record.spec.model]
            seconds = 10.0 * size + record.spec.seed + 5.0 * record.spec.has("rdrop")
            results.costs[key] = Cost(seconds=seconds)
            results.records[key] = record.model_copy(update={"parameters": size * 10**6})
    return matrix, results


def scored(row: str, column: str, seed: int) -> float:
    if "FPS" in column:
        return {"mobilenetv2": 90.0, "ghostnet": 60.0, "RepVGG-A0": 30.0}[row]
    high = {"mobilenetv2": 0.7, "ghostnet": 0.9, "RepVGG-A0": 0.8}[row]
    return high + 0.001 * seed + 0.05 * ("ema" in column) - 0.1 * ("r-drop" in column)


def against_cost(matrix: Matrix, results: Results) -> Plot:
    plot = cost.plot(select(matrix, results))
    assert plot is not None
    return plot


def test_points_lie_where_the_arms_do_best_for_their_cost() -> None:
    plot = against_cost(*digits(scored))
    read = Read(plot)
    across, up = read.scale(1), read.scale(1, axis=2)
    found = {(round(across(x), 1), round(up(y), 3)) for x, y in read.marks("panel-0-best")}
    # The mean of seeds 0, 1, 2; a track costs what its training does.
    assert found == {(21.0, 0.751), (41.0, 0.951)}
    assert len(read.marks("panel-0-others")) == 7
    line = read.paths("panel-0-front")[0]
    assert [(round(across(x), 1), round(up(y), 3)) for x, y in line] == [
        (21.0, 0.751), (41.0, 0.751), (41.0, 0.751), (41.0, 0.951),
    ]  # fmt: skip
    for panel, name in enumerate(("train seconds", "parameters", "FPS (fp32, batches of 64)")):
        better = "(better →)" if "FPS" in name else "(← better)"
        assert f"{name} {better}" in read.texts
        assert read.group(f"panel-{panel}-best") is not None


def test_the_data_of_costs_are_means_over_seeds() -> None:
    grid = against_cost(*digits(scored)).data
    name = "accuracy on test"
    assert list(grid.header) == [
        "arm", name, "train seconds", "parameters", "FPS (fp32, batches of 64)",
    ]  # fmt: skip
    rows = {row[0]: list(row[1:]) for row in grid.rows}
    assert len(rows) == 9
    assert rows["ghostnet, ema"] == [
        "0.95100 (0.95000 to 0.95200)", "41.0 (40.0 to 42.0)", "4000000", "60.00",
    ]  # fmt: skip
    places = {row[0]: place for place, row in enumerate(grid.rows)}
    best = {(places["mobilenetv2, ema"], c) for c in (2, 3, 4)}
    assert grid.strong == best | {(places["ghostnet, ema"], c) for c in (2, 3, 4)}


def test_names_of_points_lie_apart() -> None:
    """Neither on each other nor on a point; those that find no room are left out."""
    rng = np.random.default_rng(0)
    plot = against_cost(*digits(lambda *_: float(rng.uniform(0.5, 0.6))))
    read = Read(plot)
    names = {row[0] for row in plot.data.rows}
    for panel in range(3):
        axes = read.group(f"axes_{panel + 1}")
        assert axes is not None
        boxes = []
        for text in read.all("text", axes):
            if (name := "".join(text.itertext())) in names:
                left, low = float(text.attrib["x"]), float(text.attrib["y"])
                width = letters.text_width(name, style.SMALL)
                boxes.append((left, low - 8, left + width, low))
        points = [p for kind in ("best", "others") for p in read.marks(f"panel-{panel}-{kind}")]
        assert boxes and len(points) == 9
        for i, (left, high, right, low) in enumerate(boxes):
            assert right <= style.WIDTH
            assert not any(left < x < right and high < y < low for x, y in points)
            for other in boxes[:i]:
                apart = right <= other[0] or other[2] <= left or low <= other[1] or other[3] <= high
                assert apart, (boxes[i], other)


def test_what_costs_the_same_has_no_panel(tmp_path: Path) -> None:
    matrix, results = digits(scored)
    for key, record in list(results.records.items()):
        if isinstance(record, TrainRecord):
            results.records[key] = record.model_copy(update={"parameters": 7})
            results.costs.pop(key)
    read = Read(against_cost(matrix, results))
    assert "FPS (fp32, batches of 64) (better →)" in read.texts
    assert read.group("axes_1") is not None and read.group("axes_2") is None
    alone = matrix_of(tmp_path)
    assert cost.plot(select(alone, results_of(alone))) is None, "all took the same time"


def test_arms_are_named_by_what_differs(tmp_path: Path) -> None:
    matrix = load(EXPERIMENTS / "digits.yaml")
    names = arms.names(matrix.arms)
    assert names[:3] == ["mobilenetv2", "mobilenetv2, ema", "mobilenetv2, rdrop"]
    assert len(set(names)) == len(names) == 9
    assert arms.names(matrix.arms, without=["ema"])[:2] == ["mobilenetv2"] * 2
    assert of_axes(tmp_path, "rdrop: [false, true], image_size: [32, 64]") == [
        "image_size 32", "image_size 64", "rdrop, image_size 32", "rdrop, image_size 64",
    ]  # fmt: skip
    assert of_axes(tmp_path, "loss.label_smoothing: [0.0, 0.1]") == [
        "loss.label_smoothing 0.0", "loss.label_smoothing 0.1",
    ]  # fmt: skip
    assert of_axes(tmp_path, "ema: [false, {decay: 0.9}, {decay: 0.8}]") == [
        "without ema", 'ema {"decay": 0.9}', 'ema {"decay": 0.8}',
    ]  # fmt: skip
    assert of_axes(tmp_path, "rdrop: [false, {weight: 0.5}]") == ["without rdrop", "rdrop"]


def of_axes(folder: Path, axes: str) -> list[str]:
    file = folder / "m.yaml"
    where = "{image_size: 32}" if "image_size" in axes else "{}"
    file.write_text(
        f"title: T\ndata: digits\ntrain: {{model: ghostnet}}\nmatrix: {{{axes}}}\ntables:\n  t:\n"
        f"    rows: {axes.split(':')[0]}\n"
        f"    columns: [{{header: a, split: val, where: {where}}}]\n"
    )
    return arms.names(load(file).arms)


def trained(
    matrix: Matrix, history: Callable[[TrainRecord], list[tuple[float, float]]], stopped: int = -1
) -> Results:
    """With histories of (val accuracy, val loss); the seed `stopped` stopped early."""
    results = results_of(matrix)
    for key, record in list(results.records.items()):
        if isinstance(record, TrainRecord):
            epochs = [
                Epoch(epoch=e, lr=1, train_loss=1, val_loss=loss, val_accuracy=share, val_mpa=share)
                for e, (share, loss) in enumerate(history(record))
            ]
            best = max(epochs, key=lambda e: e.val_accuracy).epoch
            update = {"history": tuple(epochs), "best_epoch": best}
            is_stopped = record.spec.seed == stopped
            results.records[key] = record.model_copy(update={**update, "stopped_early": is_stopped})
    return results


def of_trainings(matrix: Matrix, results: Results) -> Plot:
    plot = curves.plot(select(matrix, results))
    assert plot is not None
    return plot


def noisy(epochs: int) -> Callable[[TrainRecord], list[tuple[float, float]]]:
    def history(record: TrainRecord) -> list[tuple[float, float]]:
        rng = np.random.default_rng([record.spec.seed, len(record.spec.model)])
        return [(float(rng.random()), float(1 + rng.random())) for _ in range(epochs)]

    return history


@given(st.integers(1, 5_000), st.integers(1, 3_000), st.data())
def test_thinning_keeps_the_best_and_the_last_epoch(
    count: int, of: int, data: st.DataObject
) -> None:
    best = data.draw(st.integers(0, count - 1))
    step = curves._step(count, of)
    kept = curves.thinned(count, best, step)
    assert {0, best, count - 1} <= set(kept) and kept == sorted(set(kept)) and kept[-1] < count
    assert len(kept) <= curves.MOST_POINTS
    assert len(kept) * of <= max(curves.MOST_IN_ALL, 10 * of)
    assert set(range(0, count, step)) <= set(kept)
    most = min(curves.MOST_POINTS, curves.MOST_IN_ALL // of)
    assert step == 1 or count > most - 2, "nothing is left out in vain"


def test_a_long_curve_has_200_points_and_its_best(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, seeds="0, 1")
    results = trained(matrix, noisy(1_000), stopped=1)
    plot = of_trainings(matrix, results)
    read = Read(plot)
    assert "Of 6 epochs one is shown" in plot.caption
    records = [
        record
        for training in matrix.arms[0].trainings
        for record in results.records.values()
        if isinstance(record, TrainRecord) and record.signature == training.signature
    ]
    across, up = read.scale(2), read.scale(1, axis=2)
    best = read.paths("panel-0-accuracy-best-0")[0]
    for number, record in enumerate(records):
        (line,) = read.paths(f"panel-0-accuracy-{number}")
        assert len(line) <= curves.MOST_POINTS
        shown = {round(across(x)): up(y) for x, y in line}
        assert {record.best_epoch, 0, 999} <= set(shown)
        for epoch, figure in shown.items():
            assert figure == pytest.approx(record.history[epoch].val_accuracy, abs=1e-3)
        assert round(across(best[number][0])) == record.best_epoch
        assert up(best[number][1]) == pytest.approx(max(shown.values()), abs=1e-3)
    ((end, _),) = read.marks("panel-0-accuracy-stopped-0")
    assert round(across(end)) == 999 and "stopped early" in plot.caption


def test_the_data_of_curves_are_the_histories(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS, seeds="0, 1")
    results = trained(matrix, noisy(5))
    grid = of_trainings(matrix, results).data
    assert list(grid.header)[3:] == [
        "val accuracy, seed 0", "val accuracy, seed 1", "val loss, seed 0", "val loss, seed 1",
    ]  # fmt: skip
    assert len(grid.rows) == 4 * 5 and len(grid.strong) == 4 * 2
    for place, row in enumerate(grid.rows):
        arm = matrix.arms[place // 5]
        for seed, training in enumerate(arm.trainings):
            record = results.records[training.signature, "train-raw"]
            assert isinstance(record, TrainRecord)
            epoch = record.history[int(row[2])]
            assert row[3 + seed] == f"{epoch.val_accuracy:.5f}"
            assert row[5 + seed] == f"{epoch.val_loss:.5f}"
            assert ((place, 3 + seed) in grid.strong) == (record.best_epoch == epoch.epoch)


def test_tracks_share_a_panel() -> None:
    matrix = load(EXPERIMENTS / "digits.yaml", Overrides(seeds=(0,)))
    plot = of_trainings(matrix, trained(matrix, noisy(4)))
    read = Read(plot)
    names = ["mobilenetv2", "mobilenetv2, rdrop", "ghostnet", "ghostnet, rdrop"]
    assert [text for text in read.texts if text in names] == names
    assert {"raw", "ema-0.98-25"} <= set(read.texts)
    for panel in (0, 1):
        for track in (0, 1):
            drawn = read.group(f"panel-{panel}-loss-best-{track}")
            assert (drawn is None) == (panel == 1 and track == 1), "R-Drop has no average"


def test_a_loss_that_is_no_number_is_a_gap(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, seeds="0")
    losses = [1.0, math.nan, math.inf, 2.0, 300.0]
    plot = of_trainings(
        matrix, trained(matrix, lambda _: [(0.1 * i, x) for i, x in enumerate(losses)])
    )
    read = Read(plot)
    (line,) = read.paths("panel-0-loss-0")
    assert len(line) == 3
    assert "The losses' axis is logarithmic." in plot.caption
    assert [row[4] for row in plot.data.rows[:5]] == [
        "1.00000",
        "nan",
        "inf",
        "2.00000",
        "300.00000",
    ]


def test_trainings_that_are_left_out_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MOST_PANELS", 2)
    matrix = matrix_of(tmp_path, models=MODELS, seeds="0")
    plot = of_trainings(matrix, trained(matrix, noisy(3)))
    assert "2 more trainings are not shown." in plot.caption
    assert len({row[0] for row in plot.data.rows}) == 2


def test_nothing_trained_no_curves(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    assert curves.plot(select(matrix, Results())) is None
