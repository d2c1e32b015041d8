"""The HTML page, read back: what it shows, in which order, and that names stay names."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import confusion_matrix

from classifier.data.pixels import kept_in
from classifier.records.record import Cost, EvaluateRecord
from classifier.records.runs import PREDICTIONS
from classifier.tricks.losses.cross_entropy import CrossEntropy
from experiments.matrix.load import load
from experiments.matrix.model import Matrix, Request
from experiments.matrix.overrides import Overrides
from experiments.store.store import Failure, Results
from reports.blocks import Bar, Findings, Grid, Mark, Plot, Section
from reports.figures.disagreements import disagreement, most_confused
from reports.figures.select import select
from reports.page import contents, html, markdown
from reports.page.sections import measured
from reports.report import again, write
from reports.statistics.answers import answers
from tests.pages import Element, cells_of, figure, named, named_store, page_of, read, verdict
from tests.records import results_of
from tests.reports.test_answers import (
    CLASSES,
    IMAGES,
    fail,
    key_of,
    matrix_of,
    requests_of,
    store_of,
)
from tests.reports.test_plots import listed

CLASS_NAMES = ("cat", "dog", "<script>alert(1)</script>", "a|b, c")
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def written(
    matrix: Matrix, results: Results, folder: Path, *, images: bool = True, is_live: bool = False
) -> Element:
    write(select(matrix, results), folder, images=images, is_live=is_live)
    return page_of(folder / matrix.name / "index.html")


def headings(page: Element, tag: str = "h2") -> list[str]:
    return [each.text for each in page.all(tag)]


def section(page: Element, heading: str) -> Element:
    (found,) = [
        each for each in page.all("section") if [h.text for h in each.all("h2")] == [heading]
    ]
    return found


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    return matrix_of(tmp_path, models="ghostnet, mobilenetv2")


@pytest.fixture
def results(matrix: Matrix, tmp_path: Path) -> Results:
    return named_store(matrix, tmp_path / "runs", CLASS_NAMES)


def test_the_same_records_give_the_same_page_but_for_the_line_of_its_making(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    pages = []
    for name in ("a", "b"):
        if name == "b":  # whatever the order they were read in
            results.records = dict(reversed(results.records.items()))
        write(select(matrix, results), tmp_path / name)
        lines = (tmp_path / name / "m" / "index.html").read_text().splitlines()
        made = [line for line in lines if line.startswith("<time ")]
        assert len(made) == 1 and re.fullmatch(r"<time.*>Made on \d{4}-\S+ \S+ UTC</time>", made[0])
        pages.append([line for line in lines if line not in made])
    assert pages[0] == pages[1]


def test_it_begins_with_question_and_answer_and_keeps_its_order(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    fail(matrix, results, column=1, seed=2)
    page = written(matrix, results, tmp_path)
    assert headings(page, "h1") == ["T"]
    top = page.one("header")
    tags = [each.tag for each in top.inner if isinstance(each, Element)]
    assert tags[:2] == ["h1", "ul"]  # the title and the facts
    assert [each.text for each in top.one("ul", "facts").all("li")][1:3] == [
        "ghostnet, mobilenetv2",
        "3 seeds",
    ]
    shown = top.one("ul", "findings").one("li")
    rows = list(csv.DictReader((tmp_path / "m" / "verdicts.csv").open()))
    line = next(row for row in rows if not row["row"] and row["speaks_of"] == "these models")
    points = f"{100 * float(line['difference']):+.2f} points".replace("-", "−")
    assert shown.one("strong").text == points
    assert verdict(shown) == line["verdict"]
    assert float(re.findall(r"--p:([\d.]+)", shown.one("i", "bar").attributes["style"])[0]) > 50
    assert headings(page) == [
        "t",
        "Training curves",
        "Where two arms disagree",
        "The most confused classes",
        "Settings",
        "Environment",
        "Cost",
        "Failures",
        "Method",
    ]
    links = [each.attributes["href"].removeprefix("#") for each in page.one("nav").all("a")]
    assert links == [each.attributes["id"] for each in page.all("h2")]


def test_nothing_is_asked_of_any_host(matrix: Matrix, results: Results, tmp_path: Path) -> None:
    page = written(matrix, results, tmp_path)
    ids = [each.attributes["id"] for each in page.every() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for each in page.every():
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            at = each.attributes.get(name, "data:")
            is_beside = each.tag == "a" and (tmp_path / "m" / at).is_file()
            inside = at.startswith("data:") or at.removeprefix("#") in ids
            assert inside or is_beside, (each.tag, at)
        assert each.tag not in ("link", "iframe", "object", "embed", "base")
    for style in page.all("style"):
        assert "url(" not in style.text and "@import" not in style.text
    policy = page.one("head").all("meta")[3].attributes["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    (script,) = page.all("script")
    assert not {"fetch(", "XMLHttpRequest", "import("} & set(re.findall(r"\w+\(", script.text))


def test_its_figures_and_verdicts_are_those_of_the_csv(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    page = written(matrix, results, tmp_path)
    rows = list(csv.DictReader((tmp_path / "m" / "verdicts.csv").open()))
    cells = {(row["row"], row["column"]): row for row in rows if row["row"]}
    table, behind, *_ = section(page, "t").all("table")
    header = [each.text for each in table.one("thead").all("th")]
    seen = 0
    for name, *figures in cells_of(table):
        for column, cell in zip(header[1:], figures, strict=True):
            row = cells[name.text, column]
            assert figure(cell) == f"{float(row['figure']):.5f}"
            assert (verdict(cell) or "") == row["verdict"]
            assert "strong" not in cell.classes and row["best"] == "1", "none is told from another"
            if row["verdict"]:
                low, high = float(row["difference_low"]), float(row["difference_high"])
                told = cell.one("details").all("p")[0].text
                assert f"{low:+.5f} to {high:+.5f}" in told
                assert f"against “plain” {float(row['difference']):+.5f}" in told
                seen += 1
    assert seen == 2
    place = [each.text for each in behind.one("thead").all("th")].index("verdict")
    verdicts = [verdict(cells[place]) for cells in cells_of(behind)]
    assert verdicts == [row["verdict"] or None for row in rows]


def test_a_bar_is_where_its_interval_is() -> None:
    bar = Bar(low=-0.01, at=0.01, high=0.03, inner=(0.0, 0.02), extent=0.04, margin=0.02)
    at = {each[:3]: float(each[4:]) for each in str(html._places(bar)).split(";")}
    inner = {"--i": 50.0, "--j": 25.0}
    assert at == {"--l": 37.5, "--w": 50.0, **inner, "--p": 62.5, "--m": 25.0}


def test_bars_of_a_table_share_an_axis(matrix: Matrix, results: Results) -> None:
    (answer,) = answers(select(matrix, results))
    marks = [mark for mark in measured(answer).marks.values() if mark.bar]
    compared = [each.comparison for each in answer.compared if each.comparison]
    reach = max(
        abs(limit)
        for each in (*compared, *(line.comparison for line in answer.lines))
        for limit in (each.low, each.high)
    )
    assert len(marks) == len(compared) == 2
    for mark, comparison in zip(marks, compared, strict=True):
        bar = mark.bar
        assert bar is not None
        assert (bar.low, bar.at, bar.high) == (
            comparison.low,
            comparison.difference,
            comparison.high,
        )
        assert bar.inner == comparison.at(0.90) and (bar.extent, bar.margin) == (reach, 0.02)


def test_a_cell_tells_both_intervals_that_its_bar_draws(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    page = written(matrix, results, tmp_path)
    (answer,) = answers(select(matrix, results))
    table, verdicts, *_ = section(page, "t").all("table")
    cells = [row[2] for row in cells_of(table)]
    header = [each.text for each in verdicts.one("thead").all("th")]
    spans = [row[header.index("95 % interval")] for row in cells_of(verdicts)]
    compared = [each.comparison for each in answer.compared if each.comparison]
    drawn = [*compared, *compared, *(line.comparison for line in answer.lines)]
    told = [*cells, *(cell for cell in spans if cell.text)]
    for cell, comparison in zip(told, drawn, strict=True):
        for level in (0.95, 0.90):
            low, high = comparison.at(level)
            said = f"{100 * level:.0f} % interval {low:+.5f} to {high:+.5f}"
            assert cell.one("details").all("p")[0].text.count(said) == 1
        assert cell.one("i", "bar").all("span"), "the thick line"


def test_a_key_under_a_table_with_bars_says_what_is_drawn(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    part = section(written(matrix, results, tmp_path), "t")
    key = part.one("p", "key")
    assert part.inner.index(key) < part.inner.index(part.all("ul", "notes")[0])
    assert [each.classes for each in key.all("i")] == [{"dot"}, {"thin"}, {"thick"}, {"shade"}]
    assert "95 % interval" in key.text and "90 % interval" in key.text and "margin" in key.text
    assert not key.all("strong"), "nothing is bold in it"
    assert not part.all("td", "strong")
    speeds = matrix_of(tmp_path, models="ghostnet", metric=", metric: ece")
    other = written(speeds, named_store(speeds, tmp_path / "other", CLASS_NAMES), tmp_path / "o")
    assert not other.all("p", "key"), "no bars"


def test_every_table_can_be_copied_as_the_markdown_that_is_written(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    page = written(matrix, results, tmp_path)
    tables = page.all("div", "table")
    copies = [each.one("div", "tools").one("pre").text for each in tables]
    assert copies[0] == (tmp_path / "m" / "t.md").read_text()
    report = (tmp_path / "m" / "report.md").read_text()
    header = [each.text for each in tables[1].one("thead").all("th")]
    assert header[-3:] == ["verdict", "p", "Holm's p"]  # a narrow screen cuts no verdict
    *before, verdict_, p, holm = zip(*map(_fields, copies[1].splitlines()), strict=True)
    as_reported = zip(*before, p, holm, verdict_, strict=True)
    assert "".join(f"| {' | '.join(line)} |\n" for line in as_reported) in report
    assert len(copies) == len(page.all("table")) > 5


def _fields(line: str) -> list[str]:
    return line.removeprefix("| ").removesuffix(" |").split(" | ")


def test_a_cell_leads_to_the_runs_that_it_rests_on(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    fail(matrix, results, column=1, seed=2)
    page = written(matrix, results, tmp_path)
    (table, *_) = section(page, "t").all("table")
    for row, asked in zip(cells_of(table), matrix.tables[0].cells, strict=True):
        for cell, requests in zip(row[1:], asked, strict=True):
            lines = _lines(cell.one("details").one("p", "sources"))
            for line, request in zip(lines, requests, strict=True):
                key = key_of(request)
                assert request.training is not None
                seed = f"seed {request.training.seed}: "
                if key not in results.records:
                    assert line == f"{seed}failed"
                    continue
                record, lies = results.records[key], results.folders[key]
                assert isinstance(record, EvaluateRecord)
                assert line == f"{seed}{record.accuracy:.5f} {lies.parent.name}/{lies.name}"
                assert key[0] in line  # its signature


def _lines(of: Element) -> list[str]:
    return [each for each in of.inner if isinstance(each, str)]


def test_its_end_leads_to_the_files_beside_it_and_says_how_it_is_made(
    tmp_path: Path, matrix: Matrix
) -> None:
    overrides = Overrides(sets=("train.lr=1e-3", "train.schedule={t_max: 3}"), seeds=(4, 7))
    matrix = load(matrix.source, overrides)
    page = written(matrix, results_of(matrix), tmp_path)
    links = [each.attributes["href"] for each in page.one("footer").all("a")]
    assert links == ["report.md", "results.csv", "verdicts.csv", "verdicts.json", "records.json"]
    assert all((tmp_path / matrix.name / each).is_file() for each in links)
    command = shlex.split(page.one("footer").all("code")[0].text)
    assert command[:3] == ["python", "runner.py", str(matrix.source)] and command[-1] == "--report"
    sets = [command[i + 1] for i, each in enumerate(command) if each == "--set"]
    seeds = tuple(map(int, command[command.index("--seeds") + 1].split(",")))
    again = load(matrix.source, Overrides(sets=tuple(sets), seeds=seeds))
    assert again.name == matrix.name and list(again.requests()) == list(matrix.requests())


def test_a_smoke_test_is_made_anew_as_one() -> None:
    file = Path("experiments/ema.yaml")
    smoke = load(file, Overrides(smoke=True))
    assert again(smoke) == ["experiments/ema.yaml", "--smoke", "--report"]
    both = load(file, Overrides(smoke=True, sets=("train.epochs=1",)))
    assert again(both)[1:-1] == ["--smoke", "--set", "train.epochs=1"]


def test_the_command_finds_its_matrix_from_where_it_was_made(
    tmp_path: Path, matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However deep the file lies: its folder alone would not do."""
    deep = tmp_path / "some" / "where" / "else"
    deep.mkdir(parents=True)
    (deep / "m.yaml").write_text(matrix.source.read_text())
    monkeypatch.chdir(tmp_path)
    for given in (deep / "m.yaml", Path("some/where/else/m.yaml")):
        assert again(load(given))[0] == "some/where/else/m.yaml"
    monkeypatch.chdir(deep.parent)
    assert again(load(Path("../where/else/m.yaml")))[0] == "../where/else/m.yaml"
    assert again(load(matrix.source))[0] == str(matrix.source), "one that lies elsewhere, whole"


def test_names_stay_names(tmp_path: Path) -> None:
    odd = "<b onclick='x'>&amp;\"</b>"
    quoted = json.dumps(odd)
    file = tmp_path / "m.yaml"
    file.write_text(
        f"title: {quoted}\ndata: digits\ntrain: {{model: ghostnet, image_size: 32}}\n"
        "matrix: {rdrop: [false, true]}\n"
        f"tables:\n  t:\n    rows: [{{name: {quoted}, where: {{}}}}]\n    columns:\n"
        f"      - {{header: {json.dumps(odd + '1')}, split: test, where: {{rdrop: false}}}}\n"
        f"      - {{header: {json.dumps(odd + '2')}, split: test, where: {{rdrop: true}}}}\n"
        "    baseline: {rdrop: false}\n"
    )
    matrix = load(file)
    results = named_store(matrix, tmp_path / "runs", CLASS_NAMES)
    _rename_images(results, lambda path: f"{path}|<img src=x onerror=alert(1)>\n&lt;")
    page = written(matrix, results, tmp_path)
    assert page.one("h1").text == page.one("head").one("title").text == odd
    table = page.all("table")[0]
    assert [each.text for each in table.one("thead").all("th")][1:] == [odd + "1", odd + "2"]
    assert cells_of(table)[0][0].text == odd
    assert not page.all("b") and len(page.all("script")) == 1
    assert not [each for each in page.every() if "onclick" in each.attributes]
    confused = section(page, "The most confused classes").one("table")
    names = {cell.text for row in cells_of(confused) for cell in row[:2]}
    assert names == set(CLASS_NAMES)
    files = [each.text for each in page.all("span", "name")]
    assert files and all(r"|<img src=x onerror=alert(1)>\n&lt;" in each for each in files)


def _rename_images(results: Results, renamed: object) -> None:
    assert callable(renamed)
    for unit in results.folders.values():
        if (unit / PREDICTIONS).exists():
            with np.load(unit / PREDICTIONS) as stored:
                kept = dict(stored)
            kept["paths"] = np.array([renamed(path) for path in kept["paths"]])
            np.savez_compressed(unit / PREDICTIONS, **kept)


def test_a_csv_gives_odd_names_back(tmp_path: Path) -> None:
    odd = 'a,b "c" <d>'
    file = tmp_path / "m.yaml"
    file.write_text(
        "title: T\ndata: digits\ntrain: {model: ghostnet, image_size: 32}\n"
        f"runs: {{{json.dumps(odd)}: {{}}, =1+1: {{lr: 0.1}}}}\n"
        "tables: {t: {rows: runs, columns: [{header: 'a, b', split: test}]}}\n"
    )
    matrix = load(file)
    write(select(matrix, results_of(matrix)), tmp_path)
    rows = list(csv.DictReader((tmp_path / "m" / "verdicts.csv").open(newline="")))
    assert [(row["row"], row["column"]) for row in rows] == [(odd, "a, b"), ("=1+1", "a, b")]
    rows = list(csv.DictReader((tmp_path / "m" / "results.csv").open(newline="")))
    assert {row["axis:run"] for row in rows} == {odd, "=1+1"}


# Pictures


def _cache(matrix: Matrix, results: Results) -> dict[str, int]:
    """Pixels of the evaluations' images in the cache: each of one grey, by path."""
    record = next(r for r in results.records.values() if isinstance(r, EvaluateRecord))
    unit = results.folders[record.signature, record.unit]
    with np.load(unit / PREDICTIONS) as stored:
        paths = stored["paths"].tolist()
    folder = kept_in(record.training.data, "test", 32, record.data.fingerprint, paths)
    folder.mkdir(parents=True)
    greys = [40 + index % 200 for index in range(IMAGES)]
    np.concatenate([np.full(32 * 32 * 3, grey, np.uint8) for grey in greys]).tofile(
        folder / "pixels.u8"
    )
    np.save(folder / "shapes.npy", np.full((IMAGES, 2), 32))
    return dict(zip(paths, greys, strict=True))


def _grey(source: str) -> float:
    content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return float(np.asarray(Image.open(io.BytesIO(content))).mean())


def test_pictures_are_those_of_the_images_from_the_cache(
    matrix: Matrix, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    greys = _cache(matrix, results)
    page = written(matrix, results, tmp_path)
    items = page.one("div", "pictures").all("li")
    assert len(items) == contents.MOST_IMAGES
    for item in items:
        shown = item.one("img").attributes["src"]
        assert _grey(shown) == pytest.approx(greys[item.one("span", "name").text], abs=2)


def test_a_picture_names_the_arm_that_was_wrong(tmp_path: Path) -> None:
    """Where rows are compared with rows, the one of each picture's side."""
    matrix = listed(tmp_path, ["a"], "[{header: acc, split: test}]", seeds="0")

    def right(request: Request) -> NDArray[np.bool_]:
        assert request.training is not None
        loss = request.training.loss
        assert isinstance(loss, CrossEntropy)
        of_one = 50 if loss.label_smoothing else 60
        images = np.arange(IMAGES)
        return np.asarray((images < 40) | (images == of_one))

    page = written(matrix, store_of(matrix, tmp_path / "runs", right), tmp_path)
    pictures = [each for side in page.all("div", "pictures") for each in side.all("li")]
    assert [each.one("span", "name").text[2:6] for each in pictures] == ["0050", "0060"]
    only, other = (each.text for each in pictures)
    assert "base, seed 0" in only and "a, seed 0" in other, "right in a only, so base was wrong"


def test_no_images_leaves_their_names(
    matrix: Matrix, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = set(_cache(matrix, results))
    page = written(matrix, results, tmp_path, images=False)
    assert not page.all("img") and "data:image" not in (tmp_path / "m/index.html").read_text()
    names = [each.text for each in page.one("div", "pictures").all("span", "name")]
    assert len(names) == contents.MOST_IMAGES and set(names) <= paths


@pytest.mark.parametrize("is_changed", [False, True])
def test_without_a_cache_the_files_are_opened_if_they_are_those(
    is_changed: bool,
    matrix: Matrix,
    results: Results,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = matrix.data[0].source
    fingerprint = "other" if is_changed else source.fingerprint(tmp_path)
    for key, record in results.records.items():
        if record.kind == "benchmark":
            continue
        data = record.data.model_copy(update={"fingerprint": fingerprint})
        results.records[key] = record.model_copy(update={"data": data})
        results.costs[key] = Cost(seconds=1, data_root=str(tmp_path))
    digits = [path for each in source.classes(tmp_path).values() for path in each][:IMAGES]
    paths = iter(digits * len(results.folders))
    _rename_images(results, lambda _: next(paths))
    page = written(matrix, results, tmp_path)
    assert len(page.all("img")) == (0 if is_changed else contents.MOST_IMAGES)


def test_pictures_stop_where_the_page_would_be_too_large(
    matrix: Matrix, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _cache(matrix, results)
    monkeypatch.setattr(contents, "MOST_PICTURE_BYTES", 5000)
    page = written(matrix, results, tmp_path)
    sizes = [len(base64.b64decode(e.attributes["src"].partition(",")[2])) for e in page.all("img")]
    assert 0 < len(sizes) < contents.MOST_IMAGES and sum(sizes) <= 5000


def test_a_page_that_is_too_large_names_its_pictures(
    matrix: Matrix, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _cache(matrix, results)
    monkeypatch.setattr(html, "MOST_BYTES", 10_000)
    page = written(matrix, results, tmp_path)
    assert not page.all("img") and len(page.all("span", "name")) == contents.MOST_IMAGES


def test_a_page_that_is_too_large_leaves_out_runs_before_pictures(
    matrix: Matrix, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _cache(matrix, results)
    page = written(matrix, results, tmp_path)
    size = (tmp_path / "m/index.html").stat().st_size
    assert len(page.all("p", "sources")) == 4 and "left out" not in page.one("footer").text
    monkeypatch.setattr(html, "MOST_BYTES", size - 100)
    page = written(matrix, results, tmp_path)
    assert not page.all("p", "sources") and len(page.all("img")) == contents.MOST_IMAGES
    assert "results.csv has their signatures" in page.one("footer").text
    signatures = {row["signature"] for row in csv.DictReader((tmp_path / "m/results.csv").open())}
    assert {key_of(request)[0] for request in matrix.requests()} <= signatures


def test_disagreements_are_those_that_were_counted(matrix: Matrix, results: Results) -> None:
    (table,) = select(matrix, results).tables
    cells = [row[1] for row in table.cells]
    found = disagreement(cells, results.folders, most=10**6)
    gained: set[str] = set()
    lost: set[str] = set()
    counts = [0, 0]
    for cell in cells:
        assert cell.baseline is not None
        for before, after in zip(cell.baseline.records, cell.records, strict=True):
            first, second = (_right(record, results) for record in (before, after))
            only = {path for path in second if second[path] and not first[path]}
            others = {path for path in first if first[path] and not second[path]}
            gained, lost = gained | only, lost | others
            counts = [counts[0] + len(only), counts[1] + len(others)]
    assert {seen.path for seen in found.gained} == gained and gained
    assert {seen.path for seen in found.lost} == lost
    assert list(found.counts) == counts and found.compared == 6 * IMAGES
    for seen in found.gained:
        assert seen.after == seen.label != seen.before
    sure = [seen.confidence for seen in found.gained]
    assert sure == sorted(sure, reverse=True)
    few = disagreement(cells, results.folders, most=5)
    assert few.gained == found.gained[:5] and few.counts == found.counts


def _right(record: object, results: Results) -> dict[str, bool]:
    assert isinstance(record, EvaluateRecord)
    with np.load(results.folders[record.signature, record.unit] / PREDICTIONS) as stored:
        right = stored["logits"].argmax(axis=1) == stored["labels"]
        return dict(zip(stored["paths"].tolist(), right.tolist(), strict=True))


def test_tables_of_the_same_evaluations_share_their_pictures(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    file = tmp_path / "m.yaml"
    table = file.read_text().partition("tables:\n")[2]
    other = table.replace("  t:", "  other:").replace("split: test", "split: test, metric: mpa")
    file.write_text(file.read_text() + other)
    matrix = load(file)
    page = written(matrix, named_store(matrix, tmp_path / "runs", CLASS_NAMES), tmp_path)
    for heading in ("Where two arms disagree", "The most confused classes"):
        assert headings(section(page, heading), "h3") == ["t, other"]


def test_the_most_confused_classes_are_those_of_scikit_learn(
    matrix: Matrix, results: Results
) -> None:
    (table,) = select(matrix, results).tables
    groups = [[row[c] for row in table.cells] for c in (0, 1)]
    total = np.zeros((2, CLASSES, CLASSES))
    for group, cells in enumerate(groups):
        for record in (record for cell in cells for record in cell.records):
            assert isinstance(record, EvaluateRecord)
            with np.load(results.folders[record.signature, record.unit] / PREDICTIONS) as stored:
                predicted = stored["logits"].argmax(axis=1)
                total[group] += confusion_matrix(stored["labels"], predicted, labels=range(CLASSES))
    off = total.sum(axis=0) * (1 - np.eye(CLASSES))
    found = most_confused(groups, results.folders, most=3)
    largest = sorted(off.ravel(), reverse=True)[:3]
    assert sorted((off[each.label, each.taken_for] for each in found), reverse=True) == largest
    for each in found:
        for group, (times, of) in enumerate(each.counts):
            assert times == total[group, each.label, each.taken_for]
            assert of == total[group, each.label].sum() == 6 * IMAGES // CLASSES


def test_confused_classes_say_how_many_of_how_many(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    page = written(matrix, results, tmp_path)
    table = section(page, "The most confused classes").one("table")
    assert [each.text for each in table.one("thead").all("th")][2:] == ["plain", "r-drop"]
    seen = [[cell.text for cell in row[2:]] for row in cells_of(table)]
    counts = [[re.fullmatch(r"(\d+) of (\d+) \((.*) %\)", text) for text in row] for row in seen]
    figures = [[(int(f[1]), int(f[2]), float(f[3])) for f in row if f] for row in counts]
    assert all(percent == round(100 * n / m, 1) for row in figures for n, m, percent in row)
    assert figures == sorted(figures, key=lambda row: [-n for n, *_ in row]) != figures[::-1]


def test_two_arms_that_confuse_the_same_have_one_column(matrix: Matrix, tmp_path: Path) -> None:
    results = store_of(matrix, tmp_path / "runs", lambda request: np.arange(IMAGES) % 5 > 0)
    named(tmp_path / "runs", results, CLASS_NAMES)
    part = section(written(matrix, results, tmp_path), "The most confused classes")
    header = [each.text for each in part.one("table").one("thead").all("th")]
    assert header == ["class", "taken for", "plain, r-drop"]
    assert "“plain” and “r-drop” confuse these equally often" in part.text


# What is missing


def test_failures_show_their_reason_and_the_end_of_the_log(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"old\n" * 10_000 + b"\x1b[31m<b>boom</b>\xff\n")
    request = requests_of(matrix, 1)[0]
    del results.records[key_of(request)]
    results.failures[request.spec.signature] = Failure("it <i>broke</i>", str(log))
    page = written(matrix, results, tmp_path)
    failures = section(page, "Failures")
    assert "it <i>broke</i>" in failures.one("li").text
    lines = failures.one("pre", "log").text.strip("\n").splitlines()
    assert len(lines) == contents.LOG_LINES and lines[-1] == r"\x1b[31m<b>boom</b>" + "\ufffd"
    state = page.one("p", "state").text
    assert state.startswith("23 of 24 jobs done, 1 failed.")


def test_a_log_that_is_gone_is_no_obstacle(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    fail(matrix, results, column=0, seed=0)
    page = written(matrix, results, tmp_path)
    assert "it broke" in section(page, "Failures").text


def test_what_waits_for_a_failed_job_is_blocked_and_stands_at_the_top(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    request = requests_of(matrix, 0)[1]
    assert request.training is not None
    training = request.training.signature
    assert not written(matrix, results, tmp_path / "before").all("p", "alarm")
    for key in (key_of(request), (training, "train-raw")):
        del results.records[key]
    results.failures[training] = Failure("no <memory>", str(tmp_path / "log.txt"))
    page = written(matrix, results, tmp_path)
    rows = [[c.text for c in row] for row in cells_of(section(page, "To do").one("table"))]
    assert rows == [["ghostnet-s1 raw-test-fp32", "blocked", "ghostnet-s1"]]
    assert page.one("p", "state").text.startswith("22 of 24 jobs done, 1 failed, 1 blocked.")
    alarm = page.one("header").one("p", "alarm")
    assert alarm.text == "1 of 24 jobs failed, 1 blocked by that. ghostnet-s1: no <memory>"
    failures = section(page, "Failures").one("h2").attributes["id"]
    assert alarm.one("a").attributes["href"] == f"#{failures}"


def test_an_incomplete_cell_shows_what_is_there(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    fail(matrix, results, column=1, seed=2)
    page = written(matrix, results, tmp_path)
    there = [results.records[key_of(each)] for each in requests_of(matrix, 1)[:2]]
    mean = np.mean([each.accuracy for each in there if isinstance(each, EvaluateRecord)])
    table, verdicts, *_ = section(page, "t").all("table")
    cell = cells_of(table)[0][2]
    assert figure(cell) == f"{mean:.5f}" and not {"t", "strong"} & cell.classes
    assert cell.one("span", "seeds").text == "(2 of 3 seeds; 1 failed)"
    assert cells_of(verdicts)[1][2].text == f"{mean:.5f} (2 of 3 seeds; 1 failed)"
    rows = list(csv.DictReader((tmp_path / "m" / "verdicts.csv").open()))
    assert (rows[1]["figure"], rows[1]["best"], rows[1]["verdict"]) == ("", "0", "can't tell")


def test_jobs_that_are_left_say_what_they_wait_for(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    request = requests_of(matrix, 0)[1]
    training = request.training
    assert training is not None
    del results.records[key_of(request)]
    del results.records[training.signature, "train-raw"]
    results.running.add(training.signature)
    page = written(matrix, results, tmp_path)
    rows = [[c.text for c in row] for row in cells_of(section(page, "To do").one("table"))]
    assert rows == [
        ["ghostnet-s1", "running", ""],
        ["ghostnet-s1 raw-test-fp32", "to do", "ghostnet-s1"],
    ]


def test_a_page_reloads_itself_while_a_runner_works_and_something_is_left(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    def reloads(page: Element) -> str | None:
        return page.one("html").attributes.get("data-reload")

    assert reloads(written(matrix, results, tmp_path, is_live=True)) is None
    fail(matrix, results, column=0, seed=0)
    assert reloads(written(matrix, results, tmp_path, is_live=True)) is None
    del results.records[key_of(requests_of(matrix, 1)[0])]
    page = written(matrix, results, tmp_path)
    assert reloads(page) is None and not page.all("noscript")
    page = written(matrix, results, tmp_path, is_live=True)
    assert reloads(page) == "10"
    assert "reload it by hand" in page.one("noscript").text
    assert page.one("p", "state").text == (
        "22 of 24 jobs done, 1 failed, 1 to do. It runs: this page reloads itself."
    )


def test_a_live_page_may_have_nothing_to_show_yet(matrix: Matrix, tmp_path: Path) -> None:
    page = written(matrix, Results(), tmp_path, is_live=True)
    assert headings(page) == ["t", "Settings", "To do", "Method"]
    table = section(page, "t").all("table")[0]
    assert {figure(c) for row in cells_of(table) for c in row[1:]} == {"to do"}
    assert page.one("p", "state").text.startswith("0 of 24 jobs done, 24 to do.")


def test_settings_are_shown_as_what_differs(
    matrix: Matrix, results: Results, tmp_path: Path
) -> None:
    settings = section(written(matrix, results, tmp_path), "Settings")
    (row,) = cells_of(settings.all("table")[0])
    assert [cell.text for cell in row] == [
        "t", "rdrop", "false", '{"weight": 0.3}', "r-drop", "ghostnet, mobilenetv2",
    ]  # fmt: skip
    assert "matrix: " in settings.all("details")[-1].text


# Blocks


def test_a_plot_stands_inline_with_its_data_behind_a_click() -> None:
    drawn = '<svg viewBox="0 0 1 1"><title>x</title></svg>'
    plot = Plot("p", "A & B", drawn, Grid(("a",), [("1",)]), "How <it> is read.")
    page = read(html.page([Section(1, "T"), Section(2, "S", (plot,))], MADE))
    shown = page.one("figure")
    assert shown.one("svg").attributes == {"viewbox": "0 0 1 1"}
    assert shown.one("p", "title").text == "A & B"
    assert shown.one("figcaption").text == "How <it> is read."
    assert cells_of(shown.all("details")[0].one("table"))[0][0].text == "1"


def test_a_plot_for_wide_places_stands_beside_the_narrow_one() -> None:
    narrow, wide = '<svg viewBox="0 0 1 1"></svg>', '<svg viewBox="0 0 2 1"></svg>'
    plot = Plot("p", "P", narrow, Grid(("a",), [("1",)]), wide=wide)
    shown = read(html.page([Section(1, "T"), Section(2, "S", (plot,))], MADE)).one("figure")
    views = [each.attributes["viewbox"] for each in shown.all("svg")]
    assert sorted(views) == ["0 0 1 1", "0 0 2 1"]
    assert shown.attributes["class"] == "plot grid"


@pytest.mark.parametrize(
    ("text", "is_figure"),
    [
        ("0.97222", True),
        ("-97.9 %", True),
        ("3,914,318", True),
        ("< 0.0001", True),
        ("88.52 ± 2.44", True),
        ("-0.93 [-3.31, +1.44]", True),
        ("-78.1 to -76.8 %", True),
        ("failed", True),
        ("1 min 38", False),
        ("ghostnet", False),
        ("2 raw", False),
    ],
)
def test_figures_stand_right(text: str, is_figure: bool) -> None:
    grid = Grid(("a", "b"), [("x", text), ("y", "0.5")])
    page = read(html.page([Section(1, "T"), Section(2, "S", (grid,))], MADE))
    (cell, _) = (row[1] for row in cells_of(page.one("table")))
    assert ("t" not in cell.classes) == is_figure


def test_a_mark_is_no_part_of_the_markdown() -> None:
    grid = Grid(("a", "b"), [("x", "same (90 %)")])
    marked = replace(grid, marks={(0, 1): Mark(word="same", bar=Bar(0, 0, 0, (0, 0), 1), told="t")})
    assert markdown.grid(marked) == markdown.grid(grid)
    page = read(html.page([Section(1, "T", (Findings([]),)), Section(2, "S", (marked,))], MADE))
    cell = cells_of(page.one("table"))[0][1]
    assert verdict(cell) == "same" and cell.one("summary").text.strip() == "same (90 %)"
