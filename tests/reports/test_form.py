"""The form of a table: what is written in its cells, and that nothing else changes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
import pytest

import runner
from classifier.basics.errors import UserError
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.matrix.schema import Column
from experiments.store.store import Results
from reports.figures.select import select
from reports.report import write
from reports.statistics.answers import answers
from tests.records import results_of
from tests.reports.test_answers import store_of

MATRIX = """\
title: T
data: digits
train: {model: ghostnet, image_size: 32, batch_size: 32, epochs: 2}
matrix:
  rdrop: [false, true]
seeds: [0, 1, 2]
tables:
  t:
    rows: [{name: one, where: {}}]
    baseline: {rdrop: false}
    columns:
      - {header: plain, split: test, where: {rdrop: false}}
      - {header: r-drop, split: test, where: {rdrop: true}}
"""
PLAIN, RDROP = (0.5, 0.75, 0.625), (0.625, 0.75, 0.75)
"""By seed; means of 0.625 and 0.70833, differences of 0.125, 0 and 0.125."""
MOVED = "0.62500 ± 0.12500"


def matrix_of(
    folder: Path, *changes: tuple[str, str], seeds: tuple[int, ...] = (0, 1, 2)
) -> Matrix:
    """Each change once."""
    text = MATRIX
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = folder / "m.yaml"
    file.write_text(text)
    return load(file, Overrides(seeds=seeds) if seeds != (0, 1, 2) else Overrides())


def results(matrix: Matrix) -> Results:
    def figure(row: str, column: Column, seed: int) -> float:
        return (RDROP if column.where.get("rdrop") else PLAIN)[seed]

    return results_of(matrix, figure)


def table(matrix: Matrix, found: Results, folder: Path) -> list[list[str]]:
    """The cells of the bare table, with its header."""
    write(select(matrix, found), folder)
    lines = (folder / matrix.name / "t.md").read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in (lines[0], *lines[2:])]


def page(matrix: Matrix, folder: Path) -> str:
    return (folder / matrix.name / "report.md").read_text()


OF_TABLE, OF_COLUMN, OF_BASE = "    baseline:", "header: r-drop,", "header: plain,"


def of_table(form: str) -> tuple[str, str]:
    return OF_TABLE, f"    {form}\n{OF_TABLE}"


def of_column(form: str, header: str = OF_COLUMN) -> tuple[str, str]:
    return header, f"{header} {form},"


def more(columns: str) -> tuple[str, str]:
    last = "where: {rdrop: true}}\n"
    return last, last + columns


@pytest.mark.parametrize(
    ("changes", "plain", "rdrop"),
    [
        ([], "0.62500", "0.70833"),
        ([of_table("digits: 2")], "0.62", "0.71"),  # 0.625 is a half: to the even digit
        ([of_table("digits: 0")], "1", "1"),
        ([of_table("digits: 10")], "0.6250000000", "0.7083333333"),
        ([of_column("digits: 3")], "0.62500", "0.708"),
        ([of_table("digits: 2"), of_column("digits: 3")], "0.62", "0.708"),
        ([of_table("percent: true")], "62.50", "70.83"),
        ([of_table("percent: true\n    digits: 1")], "62.5", "70.8"),
        ([of_table("percent: true"), of_column("percent: false")], "62.50", "0.70833"),
        ([of_column("percent: true")], "0.62500", "70.83"),
        ([of_table("spread: deviation")], MOVED, "0.70833 ± 0.07217"),
        ([of_table("spread: deviation\n    percent: true")], "62.50 ± 12.50", "70.83 ± 7.22"),
        ([of_table("spread: deviation"), of_column("spread: none")], MOVED, "0.70833"),
        ([of_column("show: difference")], "0.62500", "+0.08333"),
        ([of_column("show: difference, percent: true")], "0.62500", "+8.33"),
        ([of_column("show: difference, spread: deviation")], "0.62500", "+0.08333 ± 0.07217"),
    ],
)  # fmt: skip
def test_a_figure_is_written_as_asked(
    changes: list[tuple[str, str]], plain: str, rdrop: str, tmp_path: Path
) -> None:
    assert stdev(PLAIN) == 0.125 and stdev(RDROP) == pytest.approx(0.0721688)
    assert fmean(RDROP) - fmean(PLAIN) == pytest.approx(0.0833333)
    assert stdev([b - a for a, b in zip(PLAIN, RDROP, strict=True)]) == pytest.approx(0.0721688)
    matrix = matrix_of(tmp_path, *changes)
    assert table(matrix, results(matrix), tmp_path)[1] == ["one", plain, rdrop]
    assert f"| one | {plain} | {rdrop} |" in page(matrix, tmp_path)


def test_only_the_table_has_the_form(tmp_path: Path) -> None:
    """Verdicts, their files and results.csv stay, to the byte."""
    plain = matrix_of(tmp_path)
    table(plain, results(plain), tmp_path / "a")
    changes = (
        of_table("percent: true\n    spread: interval\n    digits: 1"),
        of_column("hide: true"),
    )
    formed = matrix_of(tmp_path, *changes)
    table(formed, results(formed), tmp_path / "b")
    for name in ("results.csv", "verdicts.csv", "verdicts.json"):
        old, new = ((tmp_path / run / "m" / name).read_bytes() for run in "ab")
        assert old == new
    pages = [page(plain, tmp_path / run) for run in "ab"]
    unformed, after = (text[text.index("### t: verdicts") :] for text in pages)
    assert unformed == after
    assert "| one | r-drop | 0.70833 |" in after


def intervals(matrix: Matrix, found: Results) -> Iterator[tuple[float, float]]:
    for judged in answers(select(matrix, found))[0].cells[0]:
        of = judged.comparison if judged.cell.form.is_difference else judged.estimate
        assert of is not None
        yield of.low, of.high


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_an_interval_is_the_verdict_files(seeds: tuple[int, ...], tmp_path: Path) -> None:
    """That of the figure, or of the difference that is shown."""
    changes = of_table("spread: interval"), of_column("show: difference")
    matrix = matrix_of(tmp_path, *changes, seeds=seeds)
    found = store_of(matrix, tmp_path / "runs")
    header, row = table(matrix, found, tmp_path)
    frame = pd.read_csv(tmp_path / matrix.name / "verdicts.csv")
    plain, rdrop = frame.iloc[0], frame.iloc[1]
    assert plain.low < plain.figure < plain.high and rdrop.difference_low < rdrop.difference_high
    assert header == ["model", "plain", "r-drop"]
    assert row[1] == f"{plain.figure:.5f} [{plain.low:.5f}, {plain.high:.5f}]"
    limits = f"[{rdrop.difference_low:+.5f}, {rdrop.difference_high:+.5f}]"
    assert row[2] == f"{rdrop.difference:+.5f} {limits}"
    speaks = "over 3 seeds" if len(seeds) > 1 else "from one seed: another is not in it"
    assert f"- [ ]: the 95 % interval of the figure before it, {speaks}." in page(matrix, tmp_path)


def test_a_long_table_that_compares_nothing_has_its_intervals(tmp_path: Path) -> None:
    rates = ", ".join(f"{i}.5e-4" for i in range(1, 43))
    matrix = matrix_of(
        tmp_path,
        ("  rdrop: [false, true]", f"  lr: [{rates}]"),
        ("[{name: one, where: {}}]", "lr"),
        ("    baseline: {rdrop: false}\n", "    spread: interval\n"),
        (", where: {rdrop: false}}", "}"),
        ("      - {header: r-drop, split: test, where: {rdrop: true}}\n", ""),
    )
    rows = table(matrix, store_of(matrix, tmp_path / "runs"), tmp_path)[1:]
    assert len(rows) == 42
    for _, written in rows:
        figure, low, high = (float(part.strip("[,]")) for part in written.split())
        assert low < figure < high


def test_where_there_is_no_spread_the_figure_stands_alone(tmp_path: Path) -> None:
    columns = (
        "      - {header: fps, metric: fps}\n"
        "      - {header: top5, metric: top5, split: test, where: {rdrop: true}}\n"
        "      - {header: mpa, metric: mpa, split: test, where: {rdrop: true}}\n"
        "      - {header: s, metric: train_seconds, where: {rdrop: true}}\n"
    )
    interval = matrix_of(tmp_path, of_table("spread: interval"), more(columns))
    row = table(interval, results(interval), tmp_path)[1]
    assert "[" in row[1] and "[" in row[2]
    assert row[3:] == ["0.50", "no predictions", "0.70833", "10.0"]
    one = matrix_of(tmp_path, of_table("spread: deviation"), seeds=(1,))
    assert table(one, results(one), tmp_path)[1] == ["one", "0.75000", "0.75000"]
    assert "- ± is not there: a deviation takes two seeds at least." in page(one, tmp_path)


@pytest.mark.parametrize("form", ["digits: 2", "spread: deviation", "spread: interval"])
def test_what_is_missing_says_why_in_every_form(form: str, tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, of_table(form), of_column("show: difference"))
    found = results(matrix)
    digits = 2 if form.startswith("digits") else 5
    plain = [request.spec.signature for request in matrix.tables[0].cells[0][0]]
    _lose(found, plain[1])
    count = "(2 of 3 seeds; 1 to do)"
    moved = fmean(RDROP[seed] - PLAIN[seed] for seed in (0, 2))
    said = [f"{fmean((PLAIN[0], PLAIN[2])):.{digits}f} {count}", f"{moved:+.{digits}f} {count}"]
    assert table(matrix, found, tmp_path)[1] == ["one", *said], (
        "of the same seeds, without a spread"
    )
    assert "; with a count, over so many of them only." in page(matrix, tmp_path)
    for signature in (plain[0], plain[2]):
        _lose(found, signature)
    assert table(matrix, found, tmp_path)[1] == ["one", "to do", "to do"], "nor is the difference"


def _lose(found: Results, signature: str) -> None:
    for key in [key for key in found.records if key[0] == signature]:
        del found.records[key]


def test_counts_take_their_columns_digits_only(tmp_path: Path) -> None:
    columns = "".join(
        f"      - {{header: {header}, metric: {metric}, where: {{rdrop: true}}{digits}}}\n"
        for header, metric, digits in (
            ("a", "images_seen", ""),
            ("b", "images_seen", ", digits: 1"),
            ("c", "train_seconds", ""),
        )
    )
    form = of_table("digits: 2\n    percent: true")
    matrix = matrix_of(tmp_path, form, more(columns))
    row = table(matrix, results(matrix), tmp_path)[1]
    assert row == ["one", "62.50", "70.83", "15368", "15368.0", "10.00"]


def test_costs_show_a_plain_difference(tmp_path: Path) -> None:
    columns = (
        "      - {header: a, metric: train_seconds, where: {rdrop: false}, hide: true}\n"
        "      - {header: b, metric: train_seconds, where: {rdrop: true}, against: a, "
        "show: difference, spread: deviation}\n"
    )
    matrix = matrix_of(tmp_path, more(columns))
    found = results(matrix)
    for key, record in found.records.items():
        if record.kind == "train":
            longer = 1.5 + record.spec.seed if record.spec.has("rdrop") else 0.0
            found.costs[key] = found.costs[key].model_copy(update={"seconds": 10.0 + longer})
    header, row = table(matrix, found, tmp_path)
    assert header == ["model", "plain", "r-drop", "b"]
    assert row[3] == "+2.5 ± 1.0"
    written = page(matrix, tmp_path)
    assert "- A figure with a sign is a difference: “b” minus “a”." in written
    said = "- ±: the standard deviation (n - 1) over 3 seeds"
    assert f"{said}; of a difference that of the seeds' differences." in written
    plain = matrix_of(tmp_path, of_table("spread: deviation"))
    table(plain, results(plain), tmp_path)
    assert f"{said}.\n" in page(plain, tmp_path)
    assert "- Not shown, as the matrix says: “a”." in written
    assert "train_seconds" not in written and "| b |" not in written[written.index("verdicts") :]


def test_what_is_hidden_is_compared_all_the_same(tmp_path: Path) -> None:
    one = "{name: one, where: {rdrop: false}, hide: true}"
    rows = f"[{one}, {{name: two, where: {{rdrop: true}}, baseline: one}}]"
    matrix = matrix_of(
        tmp_path,
        ("[{name: one, where: {}}]", rows),
        ("    baseline: {rdrop: false}\n", ""),
        ("header: plain,", "header: acc, show: difference,"),
        ("header: r-drop,", "header: mpa, metric: mpa, hide: true,"),
        (", where: {rdrop: false}}\n", "}\n"),
        (", where: {rdrop: true}}\n", "}\n"),
    )
    found = store_of(matrix, tmp_path / "runs")
    header, *shown = table(matrix, found, tmp_path)
    assert header == ["model", "acc"]
    ((name, figure),) = shown
    frame = pd.read_csv(tmp_path / "m" / "verdicts.csv").set_index(["row", "column"])
    assert (name, figure) == ("two", f"{frame.difference['two', 'acc']:+.5f}")
    assert frame.verdict.notna().tolist() == [False, False, True, True]
    written = page(matrix, tmp_path)
    assert "- A figure with a sign is a difference: “two” minus “one”." in written
    assert "- Not shown, as the matrix says: “one” and “mpa”." in written
    assert "| two | mpa |" in written and "| one | acc |" in written


def test_a_baseline_that_the_command_line_pins_away_leaves_figures(tmp_path: Path) -> None:
    changes = of_column("show: difference"), of_column("hide: true", OF_BASE)
    file = matrix_of(tmp_path, *changes).source
    pinned = load(file, Overrides(sets=("train.rdrop=true",)))
    assert table(pinned, results(pinned), tmp_path)[1] == ["one", "0.70833"]
    smoke = load(file, Overrides(smoke=True))
    assert table(smoke, results(smoke), tmp_path)[1] == ["one", "+0.08333"]


def test_what_the_command_line_leaves_is_to_be_shown(tmp_path: Path) -> None:
    file = matrix_of(tmp_path, of_column("hide: true")).source
    with pytest.raises(UserError, match=":11: the command line leaves this table hidden columns"):
        load(file, Overrides(sets=("train.rdrop=true",)))


def test_published_figures_have_the_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    form = of_table("percent: true\n    spread: interval\n    published: p.csv")
    (tmp_path / "p.csv").write_text("model,plain,r-drop\none,0.75,0.7\n")
    matrix = matrix_of(tmp_path, form, of_column("show: difference"))
    assert runner.main([str(matrix.source), "--published", "--data-root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert (
        "| model | plain | r-drop |\n| :----: | :----: | :----: |\n| one | 75.00 | -5.00 |" in shown
    )
    assert "- In percent, differences in points: “plain”, “r-drop”." in shown
    assert "| one | r-drop | plain | -0.05000 |" in shown, "verdicts are of shares"
    measured = load(matrix.source)
    table(measured, results(measured), tmp_path)
    assert "| one | plain | 0.62500 | 0.75000 | -0.12500 |" in page(measured, tmp_path)
