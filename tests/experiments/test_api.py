"""Matrices from Python: what the functions give is what the files say, and runner.py calls them."""

from __future__ import annotations

import csv
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbclient import NotebookClient
from scipy.stats import binomtest

import experiments
import runner
from classifier.records.runs import read_record
from experiments import UserError, api, load, make_plan, results, run
from experiments.cli.options import parser, run_options
from experiments.execution import worker
from experiments.execution.engines.local import platform_of
from experiments.session.frames import MatrixResults
from experiments.session.options import Devices, RunOptions, devices_of
from experiments.session.reporting import Reporter
from experiments.store.store import Store
from tests import test_faults

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "reports" / "stored"
MATRIX = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 2, lr: 1e-3}
matrix: {ema: [false, true]}
seeds: [0, 1]
tables:
  small:
    rows: ema
    columns:
      - {header: test, split: test}
      - {header: val(train stage), stage: train}
    baseline: {ema: false}
"""
SCRIPT = """\
from experiments import load, make_plan, run, results

matrix = load("m.yaml")
print("this line is run once")
outcome = run(matrix, devices="cpu")
print(repr(outcome))
print(len(results(matrix).predictions()), "predictions")
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def python(*arguments: str, at: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=at, env=environment(), capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a script without a guard of `__main__` has run MATRIX, and what it said."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.yaml").write_text(MATRIX)
    (folder / "script.py").write_text(SCRIPT)
    ended = python("script.py", at=folder)
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout


@pytest.fixture
def small(made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made[0])
    return made[0]


# What a store says -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["stored", "runs"])
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MatrixResults, Path, Path]:
    """What an older commit's store holds, its folder, and that of its report."""
    store = tmp_path_factory.mktemp(request.param) / "runs"
    shutil.copytree(STORED / "runs", store)
    for unit in store.glob("*/train-*"):
        (unit / "best.safetensors").touch()
    matrix = load(STORED / f"{request.param}.yaml")
    return results(matrix, runs=store), store, STORED / "reports" / request.param


def test_a_report_is_written_though_nobody_reads(
    stored: tuple[MatrixResults, Path, Path], tmp_path: Path
) -> None:
    _, store, report = stored
    reporter = Reporter([load(STORED / f"{report.name}.yaml")], Store(store), tmp_path)

    def gone(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        reporter.report(platform_of(("cpu",)), gone)
    assert (tmp_path / report.name / "verdicts.json").exists()
    shutil.rmtree(tmp_path / report.name)
    (tmp_path / report.name).touch()
    told: list[str] = []
    with pytest.raises(UserError, match="can't be written"):
        reporter.report(platform_of(("cpu",)), told.append)
    assert not told


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return None if value is pd.NA or value is None or value != value else value


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = list(frame.columns)
    return [
        {str(name): plain(v) for name, v in zip(columns, row, strict=True)}
        for row in frame.itertuples(index=False)
    ]


def file_of(store: Path, signature: str, unit: str) -> Path:
    (file,) = (
        file
        for file in store.glob(f"*/{unit}/record.json")
        if json.loads(file.read_bytes())["signature"] == signature
    )
    return file


def test_records_are_the_rows_of_results_csv(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, _, report = stored
    expected = list(csv.DictReader((report / "results.csv").read_text().splitlines()))
    assert len(expected) == len(found.records) > 0
    for row, known in zip(rows(found.records), expected, strict=True):
        assert {name: "" if row[name] is None else str(row[name]) for name in known} == known


def test_records_have_figures_costs_and_settings(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, store, report = stored
    known = json.loads((report / "records.json").read_text())["records"]
    frame = rows(found.records)
    for row, each in zip(frame, known, strict=True):
        assert (row["signature"], row["unit"], row["seed"]) == (
            each["signature"],
            each["unit"],
            each["seed"],
        )
        assert {name: row[name] for name in each["figures"]} == each["figures"]
        file = file_of(store, each["signature"], each["unit"])
        record, cost = (
            json.loads(file.read_bytes()),
            json.loads(file.with_name("cost.json").read_bytes()),
        )
        assert row["seconds"] == cost["seconds"]
        settings = record.get("training", record["spec"])
        if record["kind"] == "benchmark":
            assert row["train.lr"] is None
            continue
        for name in ("lr", "epochs", "patience"):
            assert row[f"train.{name}"] == settings[name]
        assert row["data.limit"] == settings["data"]["limit"]
        if record["kind"] == "train":
            assert row["peak_memory_mib"] == cost["peak_memory_mib"]
            assert row["train_seconds"] == cost["seconds"]


def test_cells_are_those_of_records_json(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, _, report = stored
    known = json.loads((report / "records.json").read_text())["cells"]
    cells = rows(found.cells)
    assert len(cells) == len(known) > 0
    for cell, each in zip(cells, known, strict=True):
        limits = each.pop("limits")
        assert (limits is None) == (cell["low"] is None)
        assert {name: cell[name] for name in each} == each
        of = found.records.loc[[index for index in cell["records"] if index is not None]]
        if cell["metric"] in of and cell["missing"] is None and cell["metric"] != "fps":
            assert of[cell["metric"]].tolist() == pytest.approx(cell["by_seed"])


def test_cells_are_those_of_the_tables(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, _, report = stored
    seen = 0
    for name, cells in found.cells.groupby("table"):
        lines = (report / f"{name}.md").read_text().splitlines()
        header, _, *body = [[part.strip() for part in line.split("|")[1:-1]] for line in lines]
        shown = {
            (row[0], column): text
            for row in body
            for column, text in zip(header[1:], row[1:], strict=True)
        }
        for cell in rows(cells):
            text = shown.get((cell["row"], cell["column"]))
            if text is not None and re.fullmatch(r"\d\.\d{5}", text) and cell["missing"] is None:
                assert text == f"{cell['figure']:.5f}"
                seen += 1
    assert seen > 3


def test_verdicts_are_those_of_verdicts_json(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, _, report = stored
    known = json.loads((report / "verdicts.json").read_text())["verdicts"]
    assert rows(found.verdicts) == known and known


def test_histories_are_the_records(stored: tuple[MatrixResults, Path, Path]) -> None:
    found, store, _ = stored
    trainings = found.records[found.records["kind"] == "train"]
    assert found.histories["record"].unique().tolist() == trainings.index.tolist()
    for index, history in found.histories.groupby("record"):
        training = trainings.loc[[index]].iloc[0]
        file = file_of(store, training["signature"], training["unit"])
        epochs = json.loads(file.read_bytes())["history"]
        assert rows(history[list(epochs[0])]) == epochs
        axes = [name for name in map(str, history) if name.startswith("axis:")]
        assert all(set(history[axis]) == {training[axis]} for axis in axes)


def test_predictions_that_are_gone_are_an_error(stored: tuple[MatrixResults, Path, Path]) -> None:
    evaluations = stored[0].records.query("kind == 'evaluate'")
    if evaluations.empty:
        with pytest.raises(UserError, match="no evaluation is asked for, or none is there"):
            stored[0].predictions()
        return
    with pytest.raises(UserError, match=r"the predictions in .*evaluate-.* are missing"):
        stored[0].predictions(evaluations)


def test_predictions_are_the_stored_logits(small: Path) -> None:
    found = results(load("m.yaml"))
    evaluations = found.records.query("kind == 'evaluate'")
    every = found.predictions()
    assert every["record"].unique().tolist() == evaluations.index.tolist()
    assert len(evaluations) == 4
    names = [f"probability:{digit}" for digit in range(10)]
    for index, said in every.groupby("record"):
        evaluation = evaluations.loc[[index]].iloc[0]
        signature = evaluation["signature"]
        (file,) = small.glob(f"runs/*/evaluate-*{signature}/predictions.npz")
        kept = np.load(file)
        order = np.argsort(kept["paths"])
        assert said["path"].tolist() == kept["paths"][order].tolist()
        assert said["label"].astype(str).astype(int).tolist() == kept["labels"][order].tolist()
        logits = torch.from_numpy(kept["logits"][order]).double()
        assert said["predicted"].cat.codes.tolist() == logits.argmax(dim=1).tolist()
        expected = torch.softmax(logits, dim=1).numpy()
        np.testing.assert_allclose(said[names].to_numpy(), expected, rtol=1e-12)
        right = (said["label"] == said["predicted"]).mean()
        assert right == evaluation["accuracy"]
        assert set(said["track"]) == {evaluation["track"]}
        alone = found.predictions(signature, probabilities=False)
        assert rows(alone) == rows(said[alone.columns])
        assert not set(names) & set(alone.columns)
    assert len(found.predictions(evaluations.iloc[[2, 0]])) == 40
    of_two = found.predictions(evaluations.iloc[[2, 0]])["record"].unique().tolist()
    assert of_two == [evaluations.index[2], evaluations.index[0]]
    training = found.records.iloc[0]["signature"]
    with pytest.raises(UserError, match=f"{training} is no evaluation among the records of m"):
        found.predictions(training)
    wrong: list[Any] = [5, found.cells]
    for records in wrong:
        with pytest.raises(UserError, match="rows of the frame 'records' are expected, or signat"):
            found.predictions(records)


def test_changed_predictions_are_an_error(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small / "runs", tmp_path / "runs")
    file = min(tmp_path.glob("runs/*/evaluate-*/predictions.npz"))
    kept = dict(np.load(file))
    kept["labels"] = kept["logits"].argmax(axis=1)
    signature = read_record(file.parent).signature
    found = results(load("m.yaml"), runs=tmp_path / "runs")
    for content in (None, b"no archive"):
        if content is None:
            np.savez(file, **kept)
        else:
            file.write_bytes(content)
        with pytest.raises(UserError, match=r"the predictions in .* are damaged"):
            found.predictions(signature)


# What runs ---------------------------------------------------------------------------------------


def test_a_script_needs_no_guard(made: tuple[Path, str]) -> None:
    _, said = made
    assert said.count("this line is run once") == 1
    assert "<6 of 6 jobs done; report: reports/m>\n80 predictions\n" in said
    assert re.search(r" done +train mobilenetv2-s1: val accuracy", said), "progress is shown"


@pytest.mark.parametrize("how", ["as a module", "from stdin", "as an argument"])
def test_however_it_is_started(how: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        MATRIX.replace("[0, 1]", "[0]").replace("epochs: 2", "epochs: 1")
    )
    (tmp_path / "script.py").write_text(SCRIPT)
    if how == "from stdin":
        command = [sys.executable, "-"]
    else:
        command = [sys.executable, *(["-m", "script"] if how == "as a module" else ["-c", SCRIPT])]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), input=SCRIPT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("this line is run once") == 1
    assert "<3 of 3 jobs done; report: reports/m>\n40 predictions\n" in ended.stdout


def test_runner_does_the_same(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What one has done is done for the other; the report is the same to the byte."""
    before = {file: file.read_bytes() for file in Path("reports/m").iterdir()}
    again = run(load("m.yaml"), devices="cpu")
    said = "nothing to do: all 6 jobs are done in runs\n"
    assert capsys.readouterr().out == said
    assert runner.main(["m.yaml", "--devices", "cpu"]) == 0
    assert capsys.readouterr().out == f"{said}{again}"
    assert (again.jobs, again.todo, again.failed, again.is_done) == (6, 0, (), True)
    assert again.report.folders == [Path("reports/m")]
    assert again.report.headlines[0] in str(again) == again._repr_markdown_()
    assert Path("reports/m/small.md").read_text() in str(again)
    for file, content in before.items():
        assert file.suffix == ".html" or file.read_bytes() == content
    assert run(load("m.yaml"), devices="cpu", progress=False).is_done
    assert capsys.readouterr().out == ""


def test_what_failed_is_in_the_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MATRIX)
    monkeypatch.setattr(worker, "perform", test_faults.raising)
    outcome = run(load("m.yaml", seeds=[0]), devices="cpu", retries=0, progress=False)
    (failed,) = outcome.failed
    assert failed.name == "train mobilenetv2-s0"
    assert failed.reason == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in failed.log.read_text()
    assert (outcome.jobs, outcome.blocked, outcome.is_done) == (3, 2, False)
    assert repr(outcome).startswith("<0 of 3 jobs done; failed: train mobilenetv2-s0: ZeroDiv")
    captured = capsys.readouterr()
    assert captured.out == "" and "1 of 3 jobs failed, 2 blocked" in captured.err
    with pytest.raises(UserError, match="no evaluation is asked for"):
        results(load("m.yaml", seeds=[0])).predictions()
    assert set(results(load("m.yaml", seeds=[0])).cells["missing"]) == {"failed"}


def test_a_plan_reads_as_the_command_line_shows_it(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several: Devices = [0, 1]
    for options, devices in (([], "auto"), (["--devices", "0,1"], several)):
        plan = make_plan(load("m.yaml", seeds=(0, 1, 2)), devices=devices)
        assert runner.main(["m.yaml", "--seeds", "0,1,2", "--plan", *options]) == 0
        assert capsys.readouterr().out == f"{plan}\n" == f"{plan!r}\n"
    assert plan.totals()["todo"] == 3
    assert ("on 2 devices (estimated)" in str(plan)) == bool(plan.todo[0].estimate.seconds)
    assert runner.main(["m.yaml", "--seeds", "0,1,2", "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == plan.as_json()
    two = make_plan([load("m.yaml"), load("m.yaml", seeds=(2,))])
    assert two.totals()["train"] == 3


def test_settings_may_be_a_mapping(small: Path) -> None:
    by_name = {
        "train.epochs": 1,
        "train.lr": 1e-05,
        "train.augment": "AutoAugment",
        "train.amp": True,
    }
    texts = ["train.epochs=1", "train.lr=1e-5", "train.augment=AutoAugment", "train.amp=true"]
    mapped, said = load("m.yaml", set=by_name), load("m.yaml", set=texts)
    assert mapped == said and mapped.name != load("m.yaml").name
    assert mapped.arms[0].trainings[0].lr == 1e-5
    assert load("m.yaml", set="train.epochs=1") == load("m.yaml", set={"train.epochs": 1})
    assert load("m.yaml", smoke=True).name == "m-smoke"
    assert load("m.yaml", data_root="elsewhere").data_root == Path("elsewhere")


def test_arguments_are_the_options_with_their_defaults() -> None:
    signature = inspect.signature(run).parameters
    given = {n: p.default for n, p in signature.items() if p.default is not p.empty}
    assert given.pop("progress") is True
    defaults = RunOptions().model_dump()
    assert given.keys() == defaults.keys()
    assert RunOptions(**given) == RunOptions() == RunOptions(**run_options(parser().parse_args([])))


def test_devices() -> None:
    assert devices_of("auto") == devices_of(["auto"]) == ("auto",)
    assert devices_of("0, 1") == devices_of([0, "1"]) == ("0", "1")
    assert devices_of(1) == ("1",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"devices": "gpu"}, r"devices='gpu': 'gpu' is not auto, cpu or a list of GPUs as 0,1"),
        ({"devices": [1, 1]}, r"devices=\[1, 1\]: '1,1' names a device twice"),
        ({"devices": "7"}, r"--devices 7: that device is not there"),
        ({"retries": -1}, r"retries=-1: .*greater than or equal to 0"),
        ({"retries": True}, r"retries=True: not a number"),
        ({"retries": np.True_}, r"retries=.*True.*: not a number"),
        ({"stall_minutes": True}, r"stall_minutes=True: not a number"),
        ({"workers": False}, r"workers=False: not a number"),
        ({"reports": "./runs"}, r"--runs and --reports are one folder, runs; name two"),
        ({"workers": -1}, r"workers=-1: neither auto nor a number from 0 up"),
        ({"workers": "many"}, r"workers='many': "),
        ({"jobs_per_device": 0}, r"jobs_per_device=0: .*greater than or equal to 1"),
        ({"stall_minutes": float("nan")}, r"stall_minutes=nan: "),
        ({"engine": "slurm"}, r"engine='slurm': .*'local' or 'ray'"),
        ({"address": "host:1"}, r"--address is for --engine ray"),
        ({"runs": "m.yaml"}, r"--runs m\.yaml is a file, not a folder"),
        ({"runs": ""}, r"runs='': nothing is named; the current folder is '\.'"),
        ({"reports": " "}, r"reports=' ': nothing is named"),
        ({"tensorboard": ""}, r"tensorboard='': nothing is named"),
        ({"also": [""]}, r"also='': nothing is named"),
        ({"also": 5}, r"also=5: .*valid tuple"),
        ({"runs": 5}, r"runs=5: .*not a valid path"),
        ({"devices": 1.5}, r"devices=1\.5: '1\.5' is not auto, cpu or a list of GPUs as 0,1"),
        ({"devices": None}, r"devices=None: 'None' is not auto"),
    ],
    ids=lambda each: str(each) if isinstance(each, dict) else "",
)
def test_bad_arguments_are_errors_and_nothing_is_written(
    given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MATRIX)
    with pytest.raises(UserError, match=said):
        run(load("m.yaml"), **given)
    assert [path.name for path in tmp_path.iterdir()] == ["m.yaml"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"set": {"train.epoch": 1}},
            r"--set train\.epoch=1: unknown setting 'epoch'; did you mean",
        ),
        ({"set": {"train.lr": {1}}}, r"set train\.lr: \{1\} can't stand in a YAML file"),
        ({"set": {"train.lr": float("nan")}}, r"set train\.lr: nan can't stand in a YAML file"),
        ({"set": ["train.epochs"]}, r"--set train\.epochs: expected a setting and a value"),
        ({"seeds": (-1,)}, r"--seeds"),
        ({"data_root": "m.yaml"}, r"--data-root m\.yaml is a file, not a folder"),
        ({"data_root": ""}, r"data_root='': nothing is named; the current folder is '\.'"),
        ({"data_root": 5}, r"data_root=5: .*not a valid path"),
        ({"set": 5}, r"set=5: .*valid tuple"),
        ({"set": [5]}, r"set=5: .*valid string"),
        ({"seeds": 5}, r"seeds=5: .*valid tuple"),
        ({"seeds": "01"}, r"seeds='01': .*valid tuple"),
        ({"seeds": [True]}, r"seeds=True: not a number"),
        ({"seeds": [0.5]}, r"seeds=0\.5: .*valid integer"),
        ({"smoke": "perhaps"}, r"smoke='perhaps': .*valid boolean"),
    ],
)
def test_bad_changes_are_errors(changed: dict[str, Any], said: str, small: Path) -> None:
    with pytest.raises(UserError, match=said):
        load("m.yaml", **changed)


def test_what_does_not_go_together_is_an_error(small: Path) -> None:
    matrix = load("m.yaml")
    with pytest.raises(UserError, match="two matrices are named m, and would write one report"):
        run([matrix, matrix])
    own = ("data={folder: birds}",)
    two = [load("m.yaml", set=own, seeds=(s,), data_root=r) for s, r in ((3, None), (4, "other"))]
    with pytest.raises(UserError, match=r"several data roots \(m\.yaml: data and m\.yaml: other\)"):
        make_plan(two)
    with pytest.raises(UserError, match="a matrix is expected"):
        make_plan([])
    for wrong in ("m.yaml", Path("m.yaml"), ["m.yaml"], 5, None, [None]):
        with pytest.raises(UserError, match=r"a matrix is expected, as load\("):
            make_plan(wrong)  # type: ignore[arg-type]
    for also in ("nowhere", Path("nowhere"), ["nowhere"], [Path("nowhere")]):
        with pytest.raises(UserError, match="--also nowhere is not there"):
            make_plan(matrix, also=also)
    with pytest.raises(UserError, match=r"no job of m\.yaml has run: nothing to report"):
        results(load("m.yaml"), runs="nowhere")
    with pytest.raises(UserError, match=r"n\.yaml: no such file; did you mean"):
        load("n.yaml")
    for path in (None, 5):
        with pytest.raises(UserError, match=rf"path={path}: .*not a valid path"):
            load(path)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="path='': nothing is named"):
        load("")


# What is imported -------------------------------------------------------------------------------


def test_what_is_imported(made: tuple[Path, str]) -> None:
    """Nothing by `import experiments`; pandas for frames only; torch never."""
    code = """\
import sys, experiments
assert not {"experiments.api", "pydantic", "numpy"} & set(sys.modules)
from experiments import load, make_plan, run, results
matrix = load("m.yaml")
str(make_plan(matrix))
assert "pandas" not in sys.modules
found = results(matrix)
found.cells, found.records, found.histories, found.verdicts, found.predictions()
assert not {"torch", "torchvision", "timm", "sklearn"} & set(sys.modules)
"""
    ended = python("-c", code, at=made[0])
    assert ended.returncode == 0, ended.stderr


def test_the_names_of_the_room() -> None:
    assert {"load", "make_plan", "results", "run"} <= set(dir(experiments))
    assert experiments.run is api.run and experiments.load is api.load
    with pytest.raises(AttributeError, match="module 'experiments' has no attribute 'plans'"):
        experiments.plans  # noqa: B018


# In a notebook ----------------------------------------------------------------------------------


class Notebook(NotebookClient):
    """Keeps what a cell's displays have shown, also what was replaced."""

    shown: list[str]

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.shown.append(str(msg["content"]["data"].get("text/html")))
        return super().process_message(msg, cell, cell_index)


def text_of(cell: Any) -> str:
    return "".join(
        str(output.get("text") or output.get("data", {}).get("text/plain", ""))
        for output in cell.get("outputs", [])
    )


def test_the_notebook_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are those of the stored logits, counted here without pandas."""
    (tmp_path / "examples").mkdir()
    for file in (ROOT / "examples").glob("predictions.*"):
        shutil.copy(file, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read("predictions.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    client = Notebook(notebook, timeout=300, kernel_name="python3")
    client.shown = []
    client.execute()
    code = [text_of(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert "<6 of 6 jobs done; report: ../reports/predictions>" in code[0]
    assert any("2 running" in html and "ghostnet-s1" in html for html in client.shown)
    assert client.shown[-1] == "", "the live view goes at the end"

    gained, lost = np.zeros(10, int), np.zeros(10, int)
    for seed in (0, 1):
        (raw,) = tmp_path.glob(f"runs/ghostnet-s{seed}-*/evaluate-raw-*/predictions.npz")
        (ema,) = tmp_path.glob(f"runs/ghostnet-s{seed}-*/evaluate-ema-*/predictions.npz")
        right = []
        for file in (raw, ema):
            kept = np.load(file)
            right.append(kept["logits"].argmax(axis=1) == kept["labels"])
        labels = np.load(raw)["labels"]
        won, gone = right[1] & ~right[0], right[0] & ~right[1]
        gained += np.bincount(labels[won], minlength=10)
        lost += np.bincount(labels[gone], minlength=10)
        both = int(won.sum() + gone.sum())
        p = binomtest(int(won.sum()), both).pvalue if both else 1.0
        line = f"seed {seed}: {won.sum()} gained, {gone.sum()} lost of 357 images, p = {p:.4f}"
        assert line in code[2]
    assert re.search(r"is the gain the same for every class\? p = [01]\.\d{4}", code[3])
    table = [line.split() for line in code[3].splitlines()[-10:]]
    assert table == [[str(k), str(gained[k]), str(lost[k])] for k in range(10)]
