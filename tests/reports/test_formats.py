"""Tables printed to be pasted: each format read back by another reader than its writer."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from statistics import stdev

import pytest

import runner
from classifier.basics.errors import UserError
from experiments.matrix.model import Request
from reports.blocks import Grid
from reports.figures.select import Selection, select
from reports.figures.tables import finite
from reports.formats import FormatName, every, html, latex
from reports.formats import csv as as_csv
from reports.formats import markdown as as_markdown
from reports.formats.printed import MARKS, Printed, printed
from reports.page import markdown
from reports.page.sections import measured
from reports.statistics.answers import Answer, answers
from reports.statistics.verdicts import Word
from reports.verdict_files import rows_of
from tests.reports.test_answers import Array, share, store_of
from tests.reports.test_form import matrix_of, more, of_column

NASTY = r"""a&b_c %$#{x}~^\y <script>alert("1")</script> | -- 'q' [z] *"""
OF_LATEX = {
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
    r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textbackslash{}": "\\",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\dag{}": "†",
    r"\ddag{}": "‡", r"$\approx$": "≈", r"$\pm$": "±", "$-$": "-", "-{}-": "--", "``": "“",
    "''": "”", "{[}": "[", "{*}": "*",
}  # fmt: skip
"""What LaTeX sets; all else stands for itself, and none of its own characters may be left."""
TOKEN = re.compile("|".join([*map(re.escape, OF_LATEX), "."]))


def set_by_latex(source: str) -> str:
    said = ""
    for token in TOKEN.findall(source):
        assert token in OF_LATEX or token not in "\\{}$&%#_^~<>|", (token, source)
        said += OF_LATEX.get(token, token)
    return said


def rows_of_latex(text: str) -> list[list[str]]:
    """The rows of its tabular; as many cells in each as it has columns, by its own commands."""
    spec, body = re.search(
        r"\\begin\{tabular\}\{([lr]+)\}\n(.*)\\end\{tabular\}", text, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    lines = body.splitlines()
    assert (lines[0], lines[2], lines[-1]) == (r"\toprule", r"\midrule", r"\bottomrule")
    rows = []
    for line in (lines[1], *lines[3:-1]):
        assert line.endswith(r" \\") and not line.startswith(("[", "*"))
        rows.append(re.split(r"(?<!\\) & ", line.removesuffix(r" \\")))
        assert len(rows[-1]) == len(spec)
    return rows


class Reader(HTMLParser):
    """Cells by row; fails for a tag that is not closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.strong: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "strong" in self.open:
            self.strong.append(data)


def nasty() -> Printed:
    rows = [
        [NASTY, "0.9"],
        ["[b]", "-0.1 ± 0.2"],
        ["*c", "to do"],
        ["=1+1, d", "+0.1 [-0.1, +0.3]"],
    ]
    verdicts = {(0, 1): Word.BETTER, (1, 1): Word.WORSE}
    return Printed("t", NASTY, Grid([NASTY, "y|"], rows, frozenset({(0, 1)})), verdicts, (NASTY,))


def test_latex_sets_every_name_as_it_is() -> None:
    text = latex.text(nasty())
    of = nasty().grid
    found = rows_of_latex(text)
    assert list(map(set_by_latex, found[0])) == list(of.header)
    assert [set_by_latex(row[0]) for row in found[1:]] == [row[0] for row in of.rows]
    assert [row[1] for row in found[1:]] == [
        r"\textbf{0.9}\textsuperscript{\dag{}}",
        r"$-$0.1 $\pm$ 0.2\textsuperscript{\ddag{}}",
        "to do",
        r"+0.1 [$-$0.1, +0.3]",
    ]
    caption = re.search(r"^\\caption\{(.*)\}$", text, re.MULTILINE)
    assert caption and set_by_latex(caption[1]) == f"{NASTY}: t".replace("''", "”")
    without = re.sub(r"\\[{}]", "", text)  # braces that are set, and not counted
    assert without.count("{") == without.count("}")
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert begun == ["table", "tabular"] == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    assert text.splitlines()[0] == r"% Needs \usepackage{booktabs}, and no other package."


def test_html_shows_every_name_as_it_is() -> None:
    read = Reader(html.text(nasty()))
    of = nasty().grid
    assert read.rows[0] == list(of.header)
    assert [row[0] for row in read.rows[1:5]] == [row[0] for row in of.rows]
    assert [row[1] for row in read.rows[1:5]] == ["0.9†", "-0.1 ± 0.2‡", "to do", of.rows[3][1]]
    assert read.rows[5] == [NASTY] and read.strong == ["0.9"]
    assert not read.tags - {
        "table",
        "caption",
        "thead",
        "tbody",
        "tfoot",
        "tr",
        "th",
        "td",
        "strong",
        "sup",
    }


def test_csv_gives_every_name_back() -> None:
    rows = list(csv.reader(io.StringIO(as_csv.text(nasty()))))
    of = nasty().grid
    assert rows[0] == [NASTY, "y|", "y|: verdict"]
    assert [row[:2] for row in rows[1:]] == [list(row) for row in of.rows]
    assert [row[2] for row in rows[1:]] == ["better", "worse", "", ""]


def real(tmp_path: Path, *changes: tuple[str, str]) -> tuple[Selection, list[Answer]]:
    """R-Drop makes some of the wrong ones right in every seed: it is better."""
    matrix = matrix_of(tmp_path, *changes)
    selection = select(matrix, store_of(matrix, tmp_path / "runs", share(0.6)))
    return selection, answers(selection)


def test_figures_are_the_verdicts_figures(tmp_path: Path) -> None:
    selection, found = real(tmp_path)
    rows = list(csv.DictReader(io.StringIO(every.text([(selection, found)], "csv"))))
    known = {(row["row"], row["column"]): row["figure"] for row in rows_of(found) if row["row"]}
    assert len(known) == 2
    for (row, column), figure in known.items():
        assert rows[0]["model"] == row
        assert float(rows[0][column]) == pytest.approx(figure, abs=5e-6)


def test_without_marks_markdown_is_the_reports_own(tmp_path: Path) -> None:
    selection, found = real(tmp_path)
    assert every.text([(selection, found)], "markdown") == markdown.grid(measured(found[0]))
    text = every.text([(selection, found)], "markdown", marks=True)
    assert f"{measured(found[0]).rows[0][2]}{MARKS[Word.BETTER]}" in text
    assert "† better." in text and "“r-drop” with “plain”" in text and "1 comparison." in text


@pytest.mark.parametrize("name", ["latex", "html", "markdown", "csv"])
def test_marks_are_the_answers_verdicts(name: str, tmp_path: Path) -> None:
    selection, found = real(tmp_path)
    verdict = found[0].cells[0][1].verdict
    assert verdict and verdict.word is Word.BETTER and found[0].cells[0][0].verdict is None
    shown = printed(found[0], "T", marks=True)
    assert shown.verdicts == {(0, 2): Word.BETTER}
    mark = {"latex": r"\dag{}", "csv": "better"}.get(name, "†")
    assert mark in every.text([(selection, found)], name, marks=True)  # type: ignore[arg-type]
    assert mark not in every.text([(selection, found)], name)  # type: ignore[arg-type]


def test_hidden_columns_are_left_out_and_marks_stay_in_their_places(tmp_path: Path) -> None:
    third = more("      - {header: z, split: test, where: {rdrop: true}}\n")
    _, found = real(tmp_path, of_column("hide: true"), third)
    shown = printed(found[0], "T", marks=True)
    assert list(shown.grid.header) == ["model", "plain", "z"]
    assert shown.verdicts == {(0, 2): Word.BETTER}


def test_a_cell_without_a_figure_has_no_mark(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    results = store_of(matrix, tmp_path / "runs", share(0.6))
    gone = matrix.tables[0].cells[0][1][2]
    del results.records[gone.spec.signature, gone.unit or ""]
    (answer,) = answers(select(matrix, results))
    assert answer.cells[0][1].verdict and printed(answer, "T", marks=True).verdicts == {}


def test_a_difference_is_not_bold(tmp_path: Path) -> None:
    rows = ("rows: [{name: one, where: {}}]", "rows: model")
    models = ("matrix:", "matrix:\n  model: [ghostnet, mobilenetv2]"), ("model: ghostnet, ", "")
    matrix = matrix_of(tmp_path, rows, *models, of_column("show: difference"))

    def right(request: Request) -> Array:
        assert request.training is not None
        of = 0.9 if request.training.model == "ghostnet" else 0.4
        return share(of)(request)

    (answer,) = answers(select(matrix, store_of(matrix, tmp_path / "runs", right)))
    assert answer.cells[0][1].stands_out
    assert printed(answer, "T", marks=False).grid.strong == {(0, 1)}


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("name", ["latex", "html", "markdown"])
def test_nothing_is_bold_where_no_row_is_told_from_another(
    name: FormatName, marks: bool, tmp_path: Path
) -> None:
    models = ("matrix:", "matrix:\n  model: [ghostnet, mobilenetv2]"), ("model: ghostnet, ", "")
    rows = ("rows: [{name: one, where: {}}]", "rows: model")
    selection, found = real(tmp_path, rows, *models)
    assert all(each.is_best for row in found[0].cells for each in row)
    text = every.text([(selection, found)], name, marks=marks)
    assert not re.search(r"textbf|<strong>|\*\*|Bold", text)


def test_json_has_all_that_the_answers_have(tmp_path: Path) -> None:
    selection, found = real(tmp_path)
    content = json.loads(every.text([(selection, found)], "json"))
    assert content["format"] == 1 and content["level"] == 0.95
    (matrix,) = content["matrices"]
    (table,) = matrix["tables"]
    cells = {(cell["row"], cell["column"]): cell for cell in table["cells"]}
    for judged in found[0].cells[0]:
        cell = cells["one", judged.cell.column.header]
        assert judged.estimate is not None
        assert (cell["low"], cell["high"]) == (judged.estimate.low, judged.estimate.high)
        assert [each["figure"] for each in cell["by_seed"]] == list(judged.cell.figures)
        assert [each["seed"] for each in cell["by_seed"]] == [0, 1, 2] == matrix["seeds"]
        assert cell["deviation"] == stdev(each["figure"] for each in cell["by_seed"])
        for each, record in zip(cell["by_seed"], judged.cell.records, strict=True):
            assert (each["signature"], each["unit"]) == (record.signature, record.unit)
            assert Path(each["folder"]) == tmp_path / "runs" / f"{record.signature}-{record.unit}"
    better = found[0].cells[0][1]
    assert better.comparison and cells["one", "r-drop"]["verdict"] == "better"
    assert cells["one", "r-drop"]["difference_low"] == better.comparison.low
    assert cells["one", "r-drop"]["baseline_column"] == "plain"


def test_what_is_no_number_is_null() -> None:
    of: Mapping[str, object] = {"a": [math.nan, 1.5, (math.inf, {"b": -math.inf})], "c": "nan"}
    assert finite(of) == {"a": [None, 1.5, [None, {"b": None}]], "c": "nan"}


STORED = Path(__file__).parent / "stored"


@pytest.mark.parametrize("name", ["latex", "csv", "html", "markdown", "json"])
def test_the_command_prints_and_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--runs", str(STORED / "runs"), "--reports", str(tmp_path / "reports")]
    code = runner.main([str(STORED / "runs.yaml"), "--format", name, *options])
    out, _ = capsys.readouterr()
    assert code == 3 and not (tmp_path / "reports").exists()
    assert out.startswith(
        {"latex": "%", "csv": "run,", "html": "<table>", "markdown": "| run |", "json": "{"}[name]
    )


def test_several_tables_ask_which(tmp_path: Path) -> None:
    selection, found = real(tmp_path)
    twice = [(selection, [*found, *found])]
    with pytest.raises(
        UserError, match=r"--format csv prints one table; choose it with --table: t, t$"
    ):
        every.text(twice, "csv")
    with pytest.raises(UserError, match=r"--table tt: no such table; did you mean 't'\?"):
        every.check_table([selection.matrix], "tt")
    every.check_table([selection.matrix], "t")
    every.check_table([selection.matrix], None)
    assert every.chosen(twice, "t") == twice and as_markdown.text(printed(found[0], "T", False))


def test_a_table_that_no_matrix_has_is_told_before_what_has_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matrix = str(STORED / "runs.yaml")
    assert runner.main([matrix, "--format", "csv", "--table", "nope"]) == 2
    assert "error: --table nope: no such table; it can be " in capsys.readouterr().err
    assert runner.main([matrix, "--format", "csv"]) == 2
    assert "has run: nothing to report" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
