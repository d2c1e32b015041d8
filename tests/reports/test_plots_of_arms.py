"""What the plots of seeds, costs and trainings show."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from classifier.records.record import Cost, Epoch, TrainRecord
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.store.store import Results
from reports.blocks import Plot
from reports.figures.select import Missing, SelectedTable, select
from reports.figures.tables import mean
from reports.page.plots import cost, curves, legends, letters, marks, panels, seeds, style
from reports.page.plots.apart import apart
from reports.statistics.answers import answers
from reports.words import arms
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
        means = [scale(x) for x, _ in read.paths(f"group-0-means-{column}")[0][::2]]
        assert means == pytest.approx([mean(cell) for cell in cells], abs=1e-4)
        colours = {read.style(f"group-0-{kind}-{column}")["stroke"] for kind in ("seeds", "means")}
        assert colours == {style.SERIES[column].lower()}, "a mean has its arm's colour"
    assert {"plain", "r-drop", "a seed", "mean"} <= set(read.texts)


def test_a_cell_tells_its_seeds_on_hover(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    read = Read(of_seeds(table, matrix))
    cells = [cell for row in table.cells for cell in row]
    for number, cell in enumerate(cells):
        figures = [figure for figure in cell.figures if not isinstance(figure, Missing)]
        each = ", ".join(f"{figure:.5f}" for figure in figures)
        told, area = read.areas()[number]
        name = f"{cell.row}: {cell.column.header}"
        assert told == f"{name}: {each} (seeds 0, 1, 2); mean {fmean(figures):.5f}"
        dots = read.paths(f"group-0-seeds-{number % 2}")[0][3 * (number // 2) :][:3]
        assert all(area["y"] < y < area["y"] + area["height"] for _, y in dots)


def test_arms_are_joined_seed_by_seed(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    read = Read(of_seeds(table, matrix))
    ends = read.paths("group-0-pairs")[0]
    plain, rdrop = (read.paths(f"group-0-seeds-{column}")[0] for column in (0, 1))
    pairs = set(zip(ends[::2], ends[1::2], strict=True))
    assert pairs == set(zip(plain, rdrop, strict=True)) and len(pairs) == 6


def test_more_lines_than_can_be_followed_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    (table,) = select(matrix, store_of(matrix, tmp_path / "runs")).tables
    for most, is_joined in ((6, True), (5, False)):
        monkeypatch.setattr(seeds, "MOST_PAIRS", most)
        plot = of_seeds(table, matrix)
        assert (Read(plot).group("group-0-pairs") is not None) == is_joined
        assert ("join" in plot.caption) == is_joined


def test_seeds_in_a_row_are_named_by_their_ends() -> None:
    named = [seeds._named(of) for of in ([3], [0, 1, 2], [4, 5, 6, 7], [0, 1, 2, 4])]
    assert named == ["seed 3", "seeds 0, 1, 2", "seeds 4 to 7", "seeds 0, 1, 2, 4"]


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
    assert len(read.paths("group-0-means-0")[0]) == 1 * 2 and read.group("group-0-means-1") is None
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


def point_of(cost_: int, low: int, high: int, trained_with: tuple[int, ...] = ()) -> cost._Point:
    score = cost._Score((low + high) / 2, low, high, "")
    line = (score.low, score.high)
    return cost._Point("", {}, None, (cost_,) * 3, score.figure, line, {"": score}, trained_with)


Some = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2), st.booleans())


@given(st.lists(Some, max_size=20), st.booleans(), st.booleans())
def test_beaten_is_what_one_that_costs_no_more_is_shown_to_beat(
    some: list[tuple[int, int, int, bool]], less_is_better: bool, more_scores: bool
) -> None:
    """And whoever overlaps is not, nor what was trained with others."""
    points = [
        point_of(price, low, low + wide, (0, 1) if is_shared else ())
        for price, low, wide, is_shared in some
    ]
    found = cost.beaten(points, less_is_better=less_is_better, more_scores=more_scores)

    def is_beaten(price: int, low: int, high: int) -> bool:
        for other_price, other_low, wide, _ in some:
            other_high = other_low + wide
            is_no_dearer = other_price <= price if less_is_better else other_price >= price
            if is_no_dearer and (other_low > high if more_scores else other_high < low):
                return True
        return False

    assert found == {
        place
        for place, (price, low, wide, is_shared) in enumerate(some)
        if not is_shared and is_beaten(price, low, low + wide)
    }


def test_models_are_compared_arm_by_arm() -> None:
    """One is beaten where each arm that both have is, whatever its others do."""

    def model(price: int, **arms: int) -> cost._Point:
        scores = {name: cost._Score(at, at - 0.4, at + 0.4, "") for name, at in arms.items()}
        return cost._Point("", {}, None, (price,) * 3, 0.0, (0.0, 0.0), scores)

    def beaten(*points: cost._Point) -> set[int]:
        return cost.beaten(points, less_is_better=True, more_scores=True)

    assert beaten(model(1, plain=5, ema=9), model(2, plain=3, ema=7)) == {1}
    assert beaten(model(1, plain=5, ema=6), model(2, plain=3, ema=7)) == set()
    assert beaten(model(1, plain=5, rdrop=0), model(2, plain=3, ema=7)) == {1}
    assert beaten(model(1, plain=5), model(2, ema=3)) == set(), "they have nothing in common"


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
    selection = select(matrix, results)
    plot = cost.plot(selection, answers(selection))
    assert plot is not None
    return plot


def test_points_lie_at_the_means_of_their_arms() -> None:
    plot = against_cost(*digits(scored))
    read = Read(plot)
    across, up = read.scale(1), read.scale(1, axis=2)
    found = {}
    for place in range(9):
        ((x, y),) = read.marks(f"panel-0-{place}")
        found[plot.data.rows[place][0]] = (round(across(x), 1), round(up(y), 3))
    # The mean of seeds 0, 1, 2; a track costs what its training does.
    assert found["mobilenetv2"] == (21.0, 0.701) and found["mobilenetv2, ema"] == (21.0, 0.751)
    assert found["ghostnet, rdrop"] == (46.0, 0.801)
    assert found["RepVGG-A0, ema"] == (81.0, 0.851)
    for name in ("train seconds", "parameters", "FPS (fp32, batches of 64)"):
        assert f"{name} ({'better →' if 'FPS' in name else '← better'})" in read.texts


def test_costs_stand_side_by_side_where_there_is_room() -> None:
    """The same points, a kind of cost beside the other."""
    plot = against_cost(*digits(scored))
    places = {}
    for name, drawing in (("cost", plot.svg), ("cost-wide", plot.wide)):
        read = Read(replace(plot, name=name, svg=drawing))
        places[name] = [read.marks(f"panel-{panel}-0")[0] for panel in range(3)]
        assert [read.told(f"panel-{panel}-0") for panel in range(3)] == [
            Read(plot).told(f"panel-{panel}-0") for panel in range(3)
        ]
    below, beside = places["cost"], places["cost-wide"]
    assert below[0][1] < below[1][1] < below[2][1]
    assert beside[0][0] < beside[1][0] < beside[2][0]
    assert max(y for _, y in beside) < below[1][1]


def test_one_epoch_has_one_tick() -> None:
    matrix = load(EXPERIMENTS / "digits.yaml", Overrides(seeds=(0,)))
    read = Read(of_trainings(matrix, trained(matrix, noisy(1))))
    end = read.texts.index("epoch")
    assert read.texts[end - 2 : end] == ["loss", "1"], "and no parts of epochs"


def test_arms_of_one_training_are_joined_and_not_called_beaten_by_time() -> None:
    plot = against_cost(*digits(scored))
    read = Read(plot)
    across, up = read.scale(1), read.scale(1, axis=2)
    ends = [(round(across(x), 1), round(up(y), 3)) for x, y in read.paths("panel-0-together")[0]]
    assert ends == [
        (21.0, 0.701), (21.0, 0.751), (41.0, 0.901), (41.0, 0.951), (81.0, 0.801), (81.0, 0.851),
    ]  # fmt: skip
    assert "arms of one training" in read.texts and "theirs together" in plot.caption
    rows = {row[0]: place for place, row in enumerate(plot.data.rows)}
    hollow = {name for name, place in rows.items() if (place, 3) not in plot.data.strong}
    # RepVGG's plain weights are far below ghostnet's, but what they cost alone is not known.
    assert hollow == {"mobilenetv2, rdrop", "ghostnet, rdrop", "RepVGG-A0, rdrop"}
    for name, place in rows.items():
        told = read.told(f"panel-0-{place}")
        assert told.startswith(f"{name}: 0.") and ("shown to be beaten" in told) == (name in hollow)
        assert ("fill-opacity" in read.style(f"panel-0-{place}")) == (name in hollow)
        assert ("of one training with others" in told) == ("rdrop" not in name)


def test_seconds_that_arms_share_are_not_their_models(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models=MODELS)
    text = matrix.source.read_text().replace("rdrop", "ema")
    matrix.source.write_text(text)
    matrix = load(matrix.source)
    results = store_of(
        matrix, tmp_path / "runs", lambda asked: np.arange(600) % (4 + len(asked.unit or "")) > 0
    )
    for key, record in results.records.items():
        seconds = 10.0 * len(record.spec.model) if isinstance(record, TrainRecord) else 1.0
        results.costs[key] = Cost(seconds=seconds)
    plot = against_cost(matrix, results)
    read = Read(plot)
    assert [row[0] for row in plot.data.rows] == [
        "ghostnet", "ghostnet, ema", "mobilenetv2", "mobilenetv2, ema",
    ]  # fmt: skip
    assert {"plain weights", "ema", "arms of one training"} <= set(read.texts)
    assert len(read.paths("panel-0-together")[0]) == 4 and "is a model" not in plot.caption


def test_a_training_of_its_own_is_its_own_cost() -> None:
    """An average that was added later took a training of its own."""
    matrix, results = digits(scored)
    for key, of in list(results.costs.items()):
        if key[1].startswith("train-ema"):
            results.costs[key] = Cost(seconds=of.seconds + 1)
    plot = against_cost(matrix, results)
    assert Read(plot).group("panel-0-together") is None and "together" not in plot.caption


def test_what_the_model_decides_is_drawn_by_model() -> None:
    plot = against_cost(*digits(scored))
    read = Read(plot)
    for panel, costs in ((1, (2e6, 4e6, 8e6)), (2, (90.0, 60.0, 30.0))):
        assert read.group(f"panel-{panel}-3") is None
        axis = [text for text in read.texts if text in ("2M", "4M", "6M", "8M")]
        assert axis == ["2M", "4M", "6M", "8M"]
        for place, (model, score) in enumerate(
            (("mobilenetv2", 0.701), ("ghostnet", 0.901), ("RepVGG-A0", 0.801))
        ):
            told = read.told(f"panel-{panel}-{place}")
            assert told.startswith(f"{model}: plain {score:.5f} (95 % interval ")
            assert f"; ema {score + 0.05:.5f} (" in told and f"; rdrop {score - 0.1:.5f} (" in told
            assert f" {costs[place]:{'.0f' if panel == 1 else '.2f'}}" in told
            ((_, y),) = read.marks(f"panel-{panel}-{place}")
            middle = fmean((score, score + 0.05, score - 0.1))
            assert read.scale(panel + 1, axis=2)(y) == pytest.approx(middle, abs=1e-3)
    assert "By parameters and FPS a point is a model" in plot.caption
    hollow = {row[0] for r, row in enumerate(plot.data.rows) if (r, 4) not in plot.data.strong}
    assert hollow == {"RepVGG-A0", "RepVGG-A0, ema", "RepVGG-A0, rdrop"}


def test_the_legend_names_every_trick_and_model() -> None:
    read = Read(against_cost(*digits(scored)))
    names = ["plain", "ema", "rdrop", "mobilenetv2", "ghostnet", "RepVGG-A0"]
    assert [text for text in read.texts if text in names] == names


def test_arms_that_are_too_many_for_colours_have_numbers(tmp_path: Path) -> None:
    names = [f"row {i}" for i in range(8)]
    matrix = listed(tmp_path, names, "[{header: a, split: test}]")
    results = store_of(matrix, tmp_path / "runs")
    for i, (key, record) in enumerate(list(results.records.items())):
        if isinstance(record, TrainRecord):
            results.costs[key] = Cost(seconds=10.0 + i)
    plot = against_cost(matrix, results)
    read = Read(plot)
    whole = arms.names(matrix.arms)
    assert len(whole) == 9 and set(whole) <= set(read.texts), "no name is dropped"
    for place, name in enumerate(whole):
        group = read.group(f"panel-0-{place}")
        assert group is not None and read.told(f"panel-0-{place}").startswith(f"{name}: ")
        assert [each.text for each in read.all("text", group)] == [f"{place + 1}"]


def test_a_wide_interval_makes_no_row_of_all_points() -> None:
    points = [point_of(1, 0, 100), point_of(2, 51, 53), point_of(3, 53, 55)]
    low, high = cost._limits(points)
    assert low < 50 and high > 54 and high - low < 15


def test_an_axis_reaches_as_far_as_most_intervals_do() -> None:
    """Two arms that are nearly alike, each with an interval far wider than what is between them."""
    low, high = cost._limits([point_of(1, 40, 60), point_of(2, 41, 61)])
    assert low <= 40 and high >= 61
    low, high = cost._limits([point_of(1, 40, 60), point_of(2, 41, 61), point_of(3, 0, 100)])
    assert 30 <= low <= 40 and 61 <= high <= 71, "and the widest goes on"


def test_an_interval_that_goes_on_has_arrows() -> None:
    matrix, results = digits(scored)
    plot = against_cost(matrix, results)
    read = Read(plot)
    assert read.marks("panel-0-cut-below") == [] and "An arrow" not in plot.caption
    figure = Figure(figsize=(1, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_ylim(0, 10)
    marks.draw_cuts(axes, [(1, 2, 8), (2, -1, 5), (3, 5, 11), (4, -math.inf, math.inf)], "key")
    drawn = {line.get_gid(): line.get_xdata().tolist() for line in axes.lines}  # type: ignore[union-attr]
    assert drawn == {"key-cut-below": [2], "key-cut-above": [3]}


def test_figures_at_the_left_leave_room_for_what_they_are(tmp_path: Path) -> None:
    """Scores so near to each other that their axis needs many digits."""
    matrix = listed(tmp_path, ["a", "b"], "[{header: a, split: test}]")
    near = {"a": 0.5012345, "b": 0.5012346}
    results = results_of(matrix, lambda row, column, seed: near.get(row, 0.5012345))
    for i, key in enumerate(list(results.costs)):
        results.costs[key] = Cost(seconds=10.0 + i)
    plot = against_cost(matrix, results)
    read = Read(plot)
    label = next(e for e in read.all("text") if (e.text or "").startswith("accuracy (better"))
    turned = re.search(r"rotate\(\S+ (\S+) ", label.attrib.get("transform", ""))
    assert turned and float(turned[1]) >= style.SMALL, "its letters begin inside the picture"


@given(
    places=st.lists(st.tuples(st.floats(0, 200), st.sampled_from([10.0, 15.0, 40.0])), max_size=10),
    digits_=st.integers(1, 2),
)
def test_numbers_stand_side_by_side(places: list[tuple[float, float]], digits_: int) -> None:
    widths, room = [8.0 * digits_] * len(places), 600.0
    at = [(x + 20, y) for x, y in places]
    moved = apart(at, widths, 11, room)
    for i, (x, y) in enumerate(at):
        others = [j for j in range(len(at)) if j != i and abs(at[j][1] - y) < 11]
        assert all(abs(moved[i] - moved[j]) >= widths[i] for j in others), "none covers another"
        assert widths[i] / 2 <= moved[i] <= room - widths[i] / 2
        if all(abs(at[j][0] - x) >= widths[i] + 2 for j in others):
            assert moved[i] == x, "what covers nothing stays"
    assert apart([(5.0, 0.0)] * 9, [20.0] * 9, 11, 50.0).count(5.0) >= 1, "too many: some stay"


def test_the_data_of_costs_are_means_over_seeds() -> None:
    grid = against_cost(*digits(scored)).data
    name = "accuracy on test"
    assert list(grid.header) == [
        "arm", name, "95 % interval", "train seconds", "parameters", "FPS (fp32, batches of 64)",
    ]  # fmt: skip
    rows = {row[0]: list(row[1:]) for row in grid.rows}
    assert len(rows) == 9
    assert rows["ghostnet, ema"] == [
        "0.95100", "0.94113 to 0.95943", "41.0 (40.0 to 42.0)", "4000000", "60.00",
    ]  # fmt: skip


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
    selection = select(alone, results_of(alone))
    assert cost.plot(selection, answers(selection)) is None, "all took the same time"


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
    assert arms.tricks(matrix.arms, without=["model"])[:3] == ["plain", "ema", "rdrop"]
    alone = arms.tricks(matrix.arms, without=["model", "rdrop"])
    assert alone[:2] == ["plain weights", "ema"], "all else is an average of them"


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
    (line,) = read.paths("panel-0-accuracy-0")
    starts = [place for place, (x, _) in enumerate(line) if round(across(x)) == 1]
    assert len(starts) == 2 and starts[0] == 0
    dots = read.paths("panel-0-accuracy-0-best")[0]
    told = []
    for number, record in enumerate(records):
        of = line[starts[1] :] if number else line[: starts[1]]
        assert len(of) <= curves.MOST_POINTS
        shown = {round(across(x)): up(y) for x, y in of}
        assert {record.best_epoch + 1, 1, 1000} <= set(shown), "people count from 1"
        for epoch, figure in shown.items():
            assert figure == pytest.approx(record.history[epoch - 1].val_accuracy, abs=2e-3)
        x, y = dots[number]
        assert round(across(x)) == record.best_epoch + 1
        assert up(y) == pytest.approx(max(shown.values()), abs=2e-3)
        best = record.history[record.best_epoch]
        told.append(f"{best.val_accuracy:.5f} at {best.epoch + 1} (seed {number})")
    for key in ("panel-0-accuracy-0", "panel-0-accuracy-0-best"):
        assert read.told(key) == f"ghostnet, plain, at the best epoch: {', '.join(told)}"
    ((end, _),) = read.marks("panel-0-accuracy-0-stopped")
    assert round(across(end)) == 1000
    assert read.told("panel-0-accuracy-0-stopped") == "Stopped early, after epoch 1000"
    assert {"best epoch", "stopped early", "epoch"} <= set(read.texts)


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
            epoch = record.history[int(row[2]) - 1]
            assert row[3 + seed] == f"{epoch.val_accuracy:.5f}"
            assert row[5 + seed] == f"{epoch.val_loss:.5f}"
            assert ((place, 3 + seed) in grid.strong) == (record.best_epoch == epoch.epoch)


def test_arms_of_a_model_share_a_panel() -> None:
    matrix = load(EXPERIMENTS / "digits.yaml", Overrides(seeds=(0,)))
    plot = of_trainings(matrix, trained(matrix, noisy(4)))
    read = Read(plot)
    names = ["mobilenetv2", "ghostnet", "RepVGG-A0"]
    assert [text for text in read.texts if text in names] == names
    assert {"plain", "ema", "rdrop", "best epoch"} <= set(read.texts)
    assert "stopped early" not in read.texts
    assert [row[:3] for row in plot.data.rows[::4]] == [
        (name, arm, "1") for name in names for arm in ("plain", "ema", "rdrop")
    ]
    for panel in range(3):
        for curve in range(3):
            assert read.group(f"panel-{panel}-loss-{curve}") is not None
        assert read.group(f"panel-{panel}-loss-3") is None


def test_three_panels_stand_side_by_side_where_there_is_room(tmp_path: Path) -> None:
    matrix = load(EXPERIMENTS / "digits.yaml", Overrides(seeds=(0,)))
    plot = of_trainings(matrix, trained(matrix, noisy(4)))
    wide = Read(replace(plot, name="curves-wide", svg=plot.wide))
    narrow = Read(plot)
    tops = []
    for read, across in ((narrow, 2), (wide, 3)):
        ends = [read.paths(f"panel-{place}-accuracy-0")[0][0] for place in range(3)]
        lefts = [x for x, _ in ends]
        assert len(set(lefts)) == across
        tops.append(float(read.root.attrib["viewBox"].split()[2]))
        assert read.texts.count("accuracy") == 3 // across + (3 % across > 0)
        assert read.texts.count("epoch") == across, "below the last of each column"
    assert tops[0] == style.WIDTH < tops[1]
    assert plot.svg != plot.wide
    few = matrix_of(tmp_path, models=MODELS)
    assert of_trainings(few, trained(few, noisy(3))).wide == ""


def test_arms_that_are_too_many_for_colours_stand_beside_their_baseline(tmp_path: Path) -> None:
    names = [f"row {i}" for i in range(8)]
    matrix = listed(tmp_path, names, "[{header: a, split: test}]")
    found = panels.panels(matrix, range(9))
    whole = arms.names(matrix.arms)
    assert [(panel.name, list(panel.arms.items())) for panel in found] == [
        (whole[place], [(0, panels.BASELINE), (place, panels.TITLED)]) for place in range(1, 9)
    ]
    without_base = panels.panels(matrix, range(1, 9))
    assert [list(panel.arms) for panel in without_base] == [[place] for place in range(1, 9)]


def test_arms_that_nothing_compares_have_a_panel_each(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {image_size: 32}\nmatrix:\n"
        "  model: [ghostnet, resnet50]\n  rdrop: [false, true]\ntables:\n  t:\n    rows: model\n"
        "    columns:\n      - {header: a, split: val, where: {rdrop: false}}\n"
        "      - {header: b, split: val, where: {rdrop: true}}\n"
    )
    matrix = load(file)
    names = ["ghostnet", "ghostnet, rdrop", "resnet50", "resnet50, rdrop"]
    assert [panel.name for panel in panels.panels(matrix, range(4))] == names


def test_a_legend_breaks_its_lines_and_cuts_no_word() -> None:
    keys = [legends.Key(f"a word {i} " + "x" * i, {"linestyle": "none"}) for i in range(12)]
    ends: dict[int, float] = {}
    for line, left, key, word in legends._places(keys, style.WIDTH):
        assert word == key.word and left >= ends.get(line, 0.0)
        ends[line] = left + 27 + letters.text_width(word, style.SMALL)
    assert max(ends.values()) <= style.WIDTH
    assert legends.height(keys) == style.LINE * len(ends) and len(ends) > 1
    assert legends.height([]) == 0.0


def test_a_loss_that_is_no_number_is_a_gap(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, seeds="0")
    losses = [1.0, math.nan, math.inf, 2.0, 300.0]
    plot = of_trainings(
        matrix, trained(matrix, lambda _: [(0.1 * i, x) for i, x in enumerate(losses)])
    )
    read = Read(plot)
    group = read.group("panel-0-loss-0")
    assert group is not None
    (path,) = read.all("path", group)
    assert re.sub("[^ML]", "", path.attrib["d"]) == "MML", "no line goes over what is missing"
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
    matrix = matrix_of(tmp_path, models=f"{MODELS}, resnet50", seeds="0")
    plot = of_trainings(matrix, trained(matrix, noisy(3)))
    assert "1 more panel is not shown." in plot.caption
    assert {row[0] for row in plot.data.rows} == {"ghostnet", "mobilenetv2"}


def test_nothing_trained_no_curves(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    assert curves.plot(select(matrix, Results())) is None
