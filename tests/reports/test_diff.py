"""records.json, and what differs between two of them."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

import runner
from classifier.records.record import EvaluateRecord
from experiments.session.frames import MatrixResults
from reports import records_json
from reports.diff.changes import Diff, diff
from reports.figures.select import select
from reports.records_json import Known
from reports.report import write
from reports.statistics.answers import answers
from reports.statistics.intervals import compare_unpaired, estimate
from reports.statistics.limits import (
    SHARE,
    Floor,
    Limits,
    Ratio,
    Score,
    Spread,
    Sum,
    Widest,
    Wilson,
    as_data,
    from_data,
)
from tests.records import results_of
from tests.reports.test_answers import share, store_of
from tests.reports.test_form import matrix_of

STORED = Path(__file__).parent / "stored" / "reports" / "stored" / "records.json"
SPREAD = Spread(0.5, 0.01, 2.0, 0.001, 0.002, ((1.0, Floor(0.01, 1.0, 0.01)),), SHARE)


@pytest.mark.parametrize(
    "limits",
    [
        SPREAD, Spread(0.1), Wilson(0.9, 60), Score(3, 1, 60), Widest(SPREAD, Wilson(0.5, 60)),
        Sum(((1.0, Wilson(0.5, 60)), (-1.0, SPREAD)), (-1.0, 1.0)), Ratio(Spread(0.1, seeds=0.01)),
    ],
)  # fmt: skip
def test_limits_come_back_from_json(limits: Limits) -> None:
    assert from_data(json.loads(json.dumps(as_data(limits), allow_nan=False))) == limits


@pytest.mark.parametrize(
    "data",
    [
        {}, {"kind": "spreed"}, {"kind": "spread"}, {"kind": "wilson", "center": 0.5, "images": 0},
        {"kind": "wilson", "center": math.nan, "images": 5}, {"kind": "spread", "center": "x"},
        {"kind": "widest", "first": 5, "second": {}}, {"kind": "spread", "center": 1, "of": 2},
    ],
)  # fmt: skip
def test_other_limits_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_data(data)


def test_a_report_is_read_back(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    selection = select(matrix, store_of(matrix, tmp_path / "runs", share(0.6)))
    (answer,) = answers(selection)
    write(selection, tmp_path / "reports", [answer])
    known = records_json.read(tmp_path / "reports" / "m")
    assert known == records_json.read(tmp_path / "reports" / "m" / "records.json")
    assert {record.signature for record in known.records} == {
        used.record.signature for used in selection.used
    }
    for cell, judged in zip(known.cells, answer.cells[0], strict=True):
        assert judged.estimate is not None and cell.limits is not None
        assert cell.figure == fmean(each for each in cell.by_seed if each is not None)
        assert cell.by_seed == judged.cell.figures
        assert from_data(cell.limits) == judged.estimate.limits
        of_cell = [known.records[which] for which in cell.records if which is not None]
        assert [each.signature for each in of_cell] == [r.signature for r in judged.cell.records]
        assert [each.seed for each in of_cell] == [0, 1, 2]
        assert all(known.data[each.data or 0].fingerprint == "f" * 16 for each in of_cell)
    arms = [dict(known.settings) | arm.settings for arm in known.arms]
    assert arms == [dict(settings) for settings in selection.written]
    assert str(tmp_path) not in STORED.read_text() + str(known.model_dump())


def test_a_thousand_records_are_below_two_megabytes(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, seeds=tuple(range(250)))
    selection = select(matrix, results_of(matrix))
    assert len(selection.used) == 1_000
    text = records_json.text(selection, answers(selection))
    assert len(text.encode()) < 2_000_000 and len(json.loads(text)["records"]) == 1_000


def changed(change: Callable[[Any], None]) -> Known:
    content = json.loads(STORED.read_text())
    change(content)
    return Known.model_validate(content)


def against_stored(change: Callable[[Any], None]) -> Diff:
    return diff(records_json.read(STORED), changed(change))


def test_nothing_differs_from_itself() -> None:
    found = against_stored(lambda content: None)
    assert found.is_same and found.same == 11
    assert not (found.settings or found.environment or found.data or found.columns)
    assert not (found.verdicts or found.moved)


def test_a_loss_that_is_not_finite_is_null(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    made = results_of(matrix)
    for key, record in made.records.items():
        if isinstance(record, EvaluateRecord):
            made.records[key] = record.model_copy(update={"loss": math.nan})
    selection = select(matrix, made)
    found = Known.model_validate_json(records_json.text(selection, answers(selection)))
    told = {each.figures["loss"] for each in found.records if each.kind == "evaluate"}
    assert told == {None}
    records = MatrixResults(selection).records
    assert records.loc[records["kind"] == "evaluate", "loss"].isna().all()


def test_a_setting_of_all_arms_and_of_one() -> None:
    def change(content: Any) -> None:
        content["settings"]["epochs"] = 3
        content["settings"]["optimizer"]["weight_decay"] = 0.1
        content["arms"][2]["settings"]["rdrop"] = {"weight": 0.5}

    found = against_stored(change)
    said = [(each.what, each.a, each.b, each.is_of_all) for each in found.settings]
    assert said == [
        ("epochs", "2", "3", True),
        ("optimizer.weight_decay", "0.0005", "0.1", True),
        ("rdrop.weight", "0.3", "0.5", False),
    ]
    assert found.settings[2].of == ("model mobilenetv2, rdrop true, ema false",)
    assert found.is_same, "of the figures"


def test_versions_devices_threads_and_data() -> None:
    def change(content: Any) -> None:
        for environment in content["environments"]:
            environment["versions"]["torch"] = "9.9"
        content["environments"][2] |= {"device": "a GPU", "threads": 7}
        content["data"][0] |= {"fingerprint": "0" * 16, "test": 61}

    found = against_stored(change)
    said = {(each.what, each.b): each for each in found.environment}
    assert set(said) == {("torch", "9.9"), ("device", "a GPU"), ("threads", "7")}
    assert said["torch", "9.9"].is_of_all
    assert said["threads", "7"].of == ("speed: model mobilenetv2", "speed: model ghostnet")
    assert [(each.what, each.b) for each in found.data] == [
        ("fingerprint", "0" * 16),
        ("test images", "61"),
    ]
    assert all(each.is_of_all for each in found.data)


def scores(right: int) -> Any:
    return np.arange(60)[None] < right


@pytest.mark.parametrize(("right", "is_beyond"), [(33, False), (58, True)])
def test_a_figure_that_moved_within_and_beyond_its_interval(right: int, is_beyond: bool) -> None:
    before, after = estimate(scores(30)), estimate(scores(right))

    def cell(content: Any, of: Any) -> None:
        content["cells"][0] |= {"figure": of.figure, "limits": as_data(of.limits)}
        content["cells"][0] |= {"by_seed": [of.figure], "records": [0], "images": 60}

    a = changed(lambda content: cell(content, before))
    b = changed(lambda content: cell(content, after))
    (moved,) = diff(a, b).moved
    expected = compare_unpaired(before, after)
    assert (moved.low, moved.high, moved.p) == (expected.low, expected.high, expected.p)
    assert moved.difference == after.figure - before.figure
    assert moved.is_beyond_chance is is_beyond is (not expected.low <= 0 <= expected.high)


def test_holm_is_over_the_figures_that_moved() -> None:
    def change(content: Any) -> None:
        for cell in content["cells"]:
            if cell["limits"] is not None:
                of = estimate(scores(int(60 * cell["figure"]) + 6))
                cell |= {"figure": of.figure, "limits": as_data(of.limits)}

    moved = against_stored(change).moved
    ps = sorted(each.p for each in moved if each.p is not None)
    least = min(each.holm_p for each in moved if each.holm_p is not None)
    assert len(ps) > 3 and least == pytest.approx(min(1.0, len(ps) * ps[0]))


def test_what_is_in_one_only_and_what_measures_something_else() -> None:
    def change(content: Any) -> None:
        content["arms"].pop()
        content["columns"][1]["measure"] = {"split": "test"}
        content["cells"][1]["figure"] = 0.9
        content["cells"] = [cell for cell in content["cells"] if cell["column"] != "test mpa half"]
        content["cells"][4] |= {"verdict": "better", "figure": 3.0}

    found = against_stored(change)
    assert found.only_a == (
        "arm model ghostnet, rdrop true, ema false",
        "column test mpa half of table all",
    )
    assert not found.only_b and not found.is_same
    assert [(each.what, each.a, each.b) for each in found.columns] == [("split", "val", "test")]
    (speed,) = found.moved
    assert speed.metric == "fps" and speed.is_beyond_chance is None and speed.low is None
    assert [(each.a, each.b) for each in found.verdicts] == [("none", "better")]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = runner.main(arguments)
    return code, *capsys.readouterr()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(STORED.parent)
    assert run(["--diff", folder, str(STORED)], capsys)[0] == 0
    content = json.loads(STORED.read_text())
    content["cells"][0]["figure"], content["seeds"] = 0.2, [1, 2]
    content["matrix"], content["environments"][0]["threads"] = "x/other.yaml", 5
    other = tmp_path / "records.json"
    other.write_text(json.dumps(content))
    code, out, _ = run(["--diff", folder, str(tmp_path)], capsys)
    assert code == 1 and "figures: 10 the same, 1 not; 0 of 1 moved beyond" in out
    assert "seeds: 0, 1 in A, 1, 2 in B; shared: 1" in out and "two matrices" in out
    assert re.search(r"^threads +1 +5 ", out, re.MULTILINE), out
    assert re.search(r"^all +mobilenetv2 +val accuracy\(train stage\) +0.10000 +0.20000", out, re.M)
    code, out, _ = run(["--diff", folder, str(tmp_path), "--format", "json"], capsys)
    told = json.loads(out)
    assert code == 1 and told["is_same"] is False and told["same"] == 10
    assert told["moved"][0]["is_beyond_chance"] is False


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no records.json: it is no report's folder, or its report is from before"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 2}', "is of format 2, and this version reads 1"),
        ("[" * 9_999, "is damaged"),
        (STORED.read_text().replace('"environment": 2', '"environment": 3'), "is damaged"),
        (STORED.read_text().replace('"kind": "wilson"', '"kind": "welson"'), "is damaged"),
        (STORED.read_text().replace('"figure": 0.1,', '"figure": NaN,'), "is damaged"),
    ],
)  # fmt: skip
def test_what_can_not_be_read(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        shutil.copy(STORED.parent / "report.md", tmp_path)
    else:
        (tmp_path / "records.json").write_text(content)
    code, out, err = run(["--diff", str(STORED), str(tmp_path)], capsys)
    assert code == 2 and out == "" and message in err and len(err.splitlines()) == 1, err


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["--diff", str(tmp_path / "none"), str(STORED)], capsys)
    assert code == 2 and err.endswith("is not there; name a report's folder, or its records.json\n")
