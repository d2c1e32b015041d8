"""What plots show: read back from their SVG, whatever drew it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifier.config.spec import EvaluateSpec
from experiments.matrix.load import load
from experiments.matrix.model import Matrix, Request
from reports.blocks import Grid, Plot, Section
from reports.figures.select import select
from reports.page import markdown
from reports.page.plots import forest, letters, style
from reports.page.plots.every import plots
from reports.page.plots.svg import SVG, as_file
from reports.report import write
from reports.statistics.answers import Answer, answers
from reports.statistics.verdicts import Word
from reports.verdict_files import rows_of
from tests.plots import Read
from tests.records import results_of
from tests.reports.test_answers import IMAGES, matrix_of, share, store_of, the_answer

NAMES = ("<b>&\"'", "$a_b$ \\alpha", "a_b^c", "x" * 90, "ßüß 漢字")


def drawn(answer: Answer) -> Plot:
    plot = forest.plot(answer)
    assert plot is not None
    return plot


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Three models, one of which R-Drop spoils and one it leaves as it is."""
    folder = tmp_path_factory.mktemp("three")
    matrix = matrix_of(folder, models="ghostnet, mobilenetv2, resnet50")
    plain, every_sixth = share(0.8), np.arange(IMAGES) % 6 == 0

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        alike = request.training.model_copy(update={"rdrop": None})
        answers: NDArray[np.bool_] = plain(Request(alike))
        if not request.training.has("rdrop") or alike.model == "mobilenetv2":
            return answers
        return np.where(every_sixth, alike.model == "ghostnet", answers)

    return the_answer(matrix, store_of(matrix, folder / "runs", right))


def test_a_forests_marks_lie_at_the_differences(three: Answer) -> None:
    plot = drawn(three)
    read = Read(plot)
    scale = read.scale(1)
    judged = [row[1] for row in three.cells]
    assert [each.verdict and each.verdict.word for each in judged] == [
        Word.BETTER, Word.SAME, Word.WORSE,
    ]  # fmt: skip
    heights = []
    for each in judged:
        assert each.verdict is not None and each.comparison is not None
        key = f"group-0-{each.verdict.word.name.lower()}"
        ((x, y),) = read.marks(f"{key}-differences")
        assert scale(x) == pytest.approx(each.comparison.difference, abs=1e-4)
        heights.append(y)
        for level in (0.95, 0.90):
            ((left, right),) = read.paths(f"{key}-{100 * level:.0f}")
            assert left[1] == right[1] == y
            limits = scale(left[0]), scale(right[0])
            assert limits == pytest.approx(each.comparison.at(level), abs=1e-4)
    assert np.diff(heights).tolist() == pytest.approx([style.ROW, style.ROW], abs=0.02)


def test_a_diamond_is_as_wide_as_its_interval(three: Answer) -> None:
    read = Read(drawn(three))
    scale = read.scale(1)
    assert len(three.lines) == 2
    for place, line in enumerate(three.lines, start=3):
        ((left, top, right, bottom),) = read.paths(f"group-0-over-rows-{place}")
        assert top[0] == bottom[0]
        assert scale(top[0]) == pytest.approx(line.comparison.difference, abs=1e-4)
        limits = line.comparison.low, line.comparison.high
        assert (scale(left[0]), scale(right[0])) == pytest.approx(limits, abs=1e-4)


def test_the_margin_is_shaded(three: Answer) -> None:
    read = Read(drawn(three))
    scale = read.scale(1)
    ends = {round(float(scale(x)), 3) for x, _ in read.paths("group-0-margin")[0]}
    assert ends == {-0.02, 0.02}


def test_a_forests_data_are_those_of_the_verdict_files(three: Answer) -> None:
    grid = drawn(three).data
    rows = [row for row in rows_of([three]) if row["verdict"]]
    assert len(rows) == len(grid.rows) == 5
    for shown, row in zip(grid.rows, rows, strict=True):
        low, high = row["difference_low"], row["difference_high"]
        narrow = f"{row['low_90']:+.5f} to {row['high_90']:+.5f}"
        figures = f"{row['difference']:+.5f}", f"{low:+.5f} to {high:+.5f}", narrow
        assert shown[1:] == ("r-drop", "plain", *figures, "0.02", row["verdict"])
    assert [row[0] for row in grid.rows[:3]] == ["ghostnet", "mobilenetv2", "resnet50"]


def test_a_row_tells_its_figures_on_hover(three: Answer) -> None:
    plot = drawn(three)
    read = Read(plot)
    for place, row in enumerate(plot.data.rows):
        name, column, against, figure, wide, narrow, _, word = row
        figures = f"{figure}, 95 % interval {wide}, 90 % interval {narrow}: {word}"
        told, area = read.areas()[place]
        assert told == f"{name}: {column} minus {against}: {figures}"
        assert area["height"] == pytest.approx(style.ROW)
        assert (area["x"], area["width"]) == (0, style.WIDTH), "over its name and its word too"


def test_every_mark_is_said_in_words_too(three: Answer) -> None:
    read = Read(drawn(three))
    for word in ("better", "worse", "same"):
        assert word in read.texts
    assert "difference in accuracy (better →)" in read.texts


def listed(folder: Path, names: Sequence[str], columns: str, seeds: str = "0, 1, 2") -> Matrix:
    """A matrix with a row of so many names each, compared with one that is called base."""
    rows = "\n".join(
        f"      - {{name: {json.dumps(name)}, baseline: base, "
        f"where: {{loss.label_smoothing: 0.{place}1}}}}"
        for place, name in enumerate(names)
    )
    values = ", ".join(f"0.{place}1" for place in range(len(names)))
    file = folder / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet, image_size: 32, epochs: 2}\n"
        f"matrix: {{loss.label_smoothing: [0.0, {values}]}}\nseeds: [{seeds}]\n"
        "tables:\n  t:\n    rows:\n      - {name: base, where: {loss.label_smoothing: 0.0}}\n"
        f"{rows}\n    columns: {columns}\n"
    )
    return load(file)


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    matrix = listed(tmp_path, NAMES, "[{header: '$a$ <i>', split: test}]")
    plot = drawn(the_answer(matrix, store_of(matrix, tmp_path / "runs")))
    texts = Read(plot).texts
    for name in (*NAMES[:3], NAMES[4]):
        assert name in texts
    assert any(re.fullmatch("x+…x+", text) for text in texts)
    assert "$a$ <i>: each row minus “base”" in texts
    assert "tspan" not in plot.svg, "no name is a formula"


@settings(max_examples=50)
@given(st.lists(st.text(st.sampled_from("ab |$漢W"), min_size=1, max_size=60), unique=True))
def test_names_that_are_cut_are_told_apart(names: list[str]) -> None:
    shown = letters.fitted_names(names, 100)
    assert len(set(shown)) == len(names)
    for name, cut in zip(names, shown, strict=True):
        assert letters.text_width(cut, style.LETTERS) <= 100
        assert cut == name or letters.text_width(name, style.LETTERS) > 100


def test_nll_is_better_at_the_left(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2", metric=", metric: nll")
    plot = drawn(the_answer(matrix, store_of(matrix, tmp_path / "runs")))
    assert "difference in nll (← better)" in Read(plot).texts
    assert Read(plot).group("group-0-margin") is None


def two_columns(folder: Path, metrics: Sequence[str], seeds: str = "0, 1, 2") -> Answer:
    columns = ", ".join(
        f"{{header: {name} {part}, split: {part}, metric: {name}}}"
        for name, part in zip(metrics, ("test", "val"), strict=True)
    )
    matrix = listed(folder, ["one", "two"], f"[{columns}]", seeds)

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None and isinstance(request.spec, EvaluateSpec)
        wide = 0.02 if request.spec.split == "val" else 0.3
        smoothing = request.training.loss.model_dump()["label_smoothing"]
        of_all: NDArray[np.bool_] = np.arange(IMAGES) % 7 > 0
        odd = np.arange(IMAGES) < wide * IMAGES
        return np.where(odd & (smoothing > 0.05), np.arange(IMAGES) % 2 > 0, of_all)

    return the_answer(matrix, store_of(matrix, folder / "runs", right))


def test_panels_of_one_metric_share_an_axis(tmp_path: Path) -> None:
    for metrics in (("accuracy", "accuracy"), ("accuracy", "nll")):
        answer = two_columns(tmp_path, metrics)
        for judged in (each for each in answer.compared if each.comparison):
            assert judged.verdict is not None
        read = Read(drawn(answer))
        scales = [read.scale(axes).coefficients for axes in (1, 2)]
        is_shared = scales[0] == pytest.approx(scales[1], rel=1e-3)
        assert is_shared == (metrics[1] == "accuracy")


def test_a_metric_without_intervals_has_a_line_in_place_of_a_panel(tmp_path: Path) -> None:
    read = Read(drawn(two_columns(tmp_path, ("accuracy", "ece"))))
    assert "ece val: each row minus “base”" in read.texts
    assert "No row has an interval." in read.texts
    assert read.group("axes_1") is not None and read.group("axes_2") is None


def test_the_caption_explains_what_is_there_only(three: Answer, tmp_path: Path) -> None:
    whole = drawn(three).caption
    assert "Diamonds" in whole and "Shaded" in whole
    rows = two_columns(tmp_path, ("nll", "nll"))
    assert "Diamonds" not in drawn(rows).caption and "Shaded" not in drawn(rows).caption


def test_an_interval_that_is_cut_has_an_arrow_and_the_caption_says_so(
    three: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reach, is_cut in ((0.5, True), (100.0, False)):
        monkeypatch.setattr(forest, "REACH", reach)
        plot = drawn(three)
        assert plot.caption.endswith("An arrow: the interval goes on.") == is_cut
        assert (Read(plot).group("group-0-cut-above") is not None) == is_cut


def test_long_names_that_nothing_tells_apart_keep_their_beginning(tmp_path: Path) -> None:
    names = ["x" * 60 + letter + "x" * 60 for letter in "abc"]
    shown = letters.fitted_names(names, 160)
    assert [re.fullmatch(rf"{i} x+…x+", name) is not None for i, name in enumerate(shown, 1)] == [
        True
    ] * 3
    matrix = listed(tmp_path, names, "[{header: a, split: test}]")
    read = Read(drawn(the_answer(matrix, store_of(matrix, tmp_path / "runs"))))
    for place, name in enumerate(names):
        assert read.areas()[place][0].startswith(f"a: {name} minus base: ")


def test_one_row_against_another_is_named(tmp_path: Path) -> None:
    matrix = listed(tmp_path, ["a"], "[{header: test accuracy, split: test}]")
    read = Read(drawn(the_answer(matrix, store_of(matrix, tmp_path / "runs"))))
    assert "test accuracy: “a” minus “base”" in read.texts


@pytest.mark.parametrize("kind", ["models", "data sets"])
def test_what_a_line_over_rows_speaks_of_is_written_out(kind: str, tmp_path: Path) -> None:
    text = (
        "title: T\ntrain: {model: ghostnet, image_size: 32}\ndata: {name: digits}\n"
        "seeds: [0, 1]\nmatrix: {ROW, rdrop: [false, true]}\n"
        "tables:\n  t:\n    rows: AXIS\n    columns:\n"
        "      - {header: plain, split: test, where: {rdrop: false}}\n"
        "      - {header: r-drop, split: test, where: {rdrop: true}}\n"
        "    baseline: {rdrop: false}\n"
    )
    row, axis = "model: [ghostnet, mobilenetv2]", "model"
    if kind == "data sets":
        text = text.replace("data: {name: digits}\n", "")
        row, axis = "data: [{name: digits}, {folder: shapes}]", "data"
    file = tmp_path / "m.yaml"
    file.write_text(text.replace("ROW", row).replace("AXIS", axis))
    matrix = load(file)
    read = Read(drawn(the_answer(matrix, store_of(matrix, tmp_path / "runs"))))
    assert {f"2 rows: these {kind}", f"2 rows: {kind} like these"} <= set(read.texts)


def test_nothing_compared_no_forest(tmp_path: Path) -> None:
    matrix = listed(tmp_path, ["a"], "[{header: a, metric: parameters}]")
    assert forest.plot(answers(select(matrix, results_of(matrix)))[0]) is None


def every(matrix: Matrix, folder: Path) -> list[Plot]:
    selection = select(matrix, store_of(matrix, folder / "runs"))
    return list(plots(selection, answers(selection)))


def test_all_ids_of_a_page_are_its_own(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2")
    file = matrix.source
    table = file.read_text().split("tables:\n")[1]
    file.write_text(file.read_text() + table.replace("  t:", "  t_2:"))
    found = every(load(file), tmp_path)
    assert len(found) >= 2
    ids = [e.attrib["id"] for plot in found for e in Read(plot).root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[\w.-]+", each) for each in ids)
    for plot in found:
        named = set(re.findall(r"url\(#([^)]+)\)", plot.svg))
        named |= set(re.findall(r'href="#([^"]+)"', plot.svg))
        assert named and named <= set(ids)


def test_a_plot_asks_nothing_of_its_page(tmp_path: Path) -> None:
    """No style but its own, no colour of text but the page's, and no look elsewhere."""
    for plot in every(matrix_of(tmp_path, models="ghostnet, mobilenetv2"), tmp_path):
        root = Read(plot).root
        assert root.attrib["role"] == "img" and root.attrib["width"] == "100%"
        labels = root.attrib["aria-labelledby"].split()
        assert [e.attrib["id"] for e in list(root)[:2]] == labels
        assert [e.tag.split("}")[1] for e in list(root)[:2]] == ["title", "desc"]
        assert "<style" not in plot.svg and "metadata" not in plot.svg and "xlink" not in plot.svg
        assert style.INK not in plot.svg and "DejaVu" not in plot.svg
        assert set(re.findall(r"https?://[^\"' ]+", plot.svg)) == {SVG}
        colours = {colour.lower() for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", plot.svg)}
        assert colours <= {colour.lower() for colour in style.SERIES}
        assert plot.data.rows and plot.title


def test_a_file_is_seen_on_light_and_dark(three: Answer) -> None:
    plot = drawn(three)
    root = ElementTree.fromstring(as_file(plot))
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert "prefers-color-scheme:dark" in (root[0].text or "")
    assert len(list(root.iter())) == len(list(Read(plot).root.iter())) + 1


def test_the_page_shows_the_files_beside_it(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, models="ghostnet, mobilenetv2")
    files = write(select(matrix, store_of(matrix, tmp_path / "runs")), tmp_path)
    made = {file.name for file in files if file.suffix == ".svg"}
    page = (tmp_path / "m" / "report.md").read_text()
    assert made == set(re.findall(r"^!\[.+\]\((.+)\)$", page, re.MULTILINE))
    assert "forest-t.svg" in made
    assert page.index("forest-t.svg") > page.index("### t: verdicts")


def test_a_link_has_the_files_name() -> None:
    plot = Plot("forest-größe", "größe: differences", "<svg/>", Grid((), ()))
    page = markdown.page([Section(2, "größe", (plot, replace(plot, caption="A *dot*: a seed.")))])
    image = "![größe: differences](forest-gr%C3%B6%C3%9Fe.svg)\n"
    assert page.endswith(f"\n\n{image}\n{image}\nA \\*dot\\*: a seed.\n")


def test_who_draws_nothing_does_not_wait_for_matplotlib() -> None:
    code = "import sys, reports.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SAME = """
import sys
from pathlib import Path
from tests.reports.test_plots import every, matrix_of
found = every(matrix_of(Path(sys.argv[1]), models="ghostnet, mobilenetv2"), Path(sys.argv[1]))
sys.stdout.write("".join(plot.svg for plot in found))
"""


def test_the_same_records_give_the_same_plots(tmp_path: Path) -> None:
    """In processes that order their sets in other ways, and whatever the user's own settings."""
    written = []
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\n")
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment |= {"MATPLOTLIBRC": str(tmp_path)} if seed == "2" else {}
        command = [sys.executable, "-c", SAME, str(folder)]
        root = Path(__file__).parents[2]
        ended = subprocess.run(command, env=environment, cwd=root, capture_output=True, check=True)
        written.append(ended.stdout)
    assert written[0] == written[1] and written[0].count(b"<svg") >= 1
