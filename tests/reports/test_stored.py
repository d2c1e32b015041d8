"""A store made by an older commit (8cc1c77) is reported as ever, to the byte: its bare tables and
its results.csv are that commit's own, its page and verdicts those of the commit that brought them.

Its weights and predictions are left out: of weights a report asks only whether they are there, and
without predictions its comparisons are not paired. So are the plots' files, whose bytes another
matplotlib may change: test_plots.py reads what they show.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import runner
from classifier.basics.errors import UserError
from classifier.records import runs

STORED = Path(__file__).parent / "stored"


@pytest.mark.parametrize("file", sorted(STORED.rglob("record.json")), ids=lambda f: f.parent.name)
def test_an_older_record_is_written_as_before(file: Path) -> None:
    """Its signature is that of its settings still, and its JSON stays to the byte."""
    record = runs.read_record(file.parent)
    assert record.signature == record.spec.signature
    assert record.model_dump_json(indent=1) + "\n" == file.read_text()


@pytest.mark.parametrize("name", ["stored", "runs"])
def test_an_older_store_is_reported_as_before(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "runs"
    shutil.copytree(STORED / "runs", store)
    for unit in store.glob("*/train-*"):
        (unit / "best.safetensors").touch()
    options = ["--report", "--runs", str(store), "--reports", str(tmp_path / "reports")]
    assert runner.main([str(STORED / f"{name}.yaml"), *options]) == 3, capsys.readouterr().err
    expected = {file.name: file.read_text() for file in (STORED / "reports" / name).iterdir()}
    written = {file.name: file.read_text() for file in (tmp_path / "reports" / name).iterdir()}
    assert written.pop("index.html").startswith("<!doctype html>")  # test_page.py looks at it
    pictures = {name for name in written if name.endswith(".svg")}
    assert {name: written[name] for name in written.keys() - pictures} == expected
    assert pictures == set(re.findall(r"^!\[.+\]\((.+)\)$", expected["report.md"], re.MULTILINE))


@pytest.mark.parametrize("known_as", ["000000000000", 5, None])
def test_an_evaluation_of_another_training_is_damaged(known_as: object, tmp_path: Path) -> None:
    file = next(STORED.rglob("evaluate-*/record.json"))
    record = json.loads(file.read_text())
    record["spec"]["training"] = known_as
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"record\.json is damaged or of another version"):
        runs.read_record(tmp_path)
