"""A user's data sets and metrics: made, and asked, in jobs of their own; signed, kept, compared."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import runner
from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.inference.metrics import accuracy
from classifier.records.record import EvaluateRecord, MetricRecord
from experiments.matrix.load import load
from experiments.store.store import Store

pytestmark = pytest.mark.usefixtures("no_process_remains")

ROOT = Path(__file__).parents[2]
CODE = """\
import numpy as np
from pathlib import Path
from classifier.plugins import Sample, dataset, metric


@dataset(classes=3)
def stripes(*, images: int = 60, angle: float = 0.0):
    for position in range(images):
        label = position % 3
        noise = np.random.randint(0, 40, (12, 12), dtype=np.uint8)
        noise[:, 4 * label : 4 * label + 4] += 200
        turned = noise if not angle else noise.T.copy()
        yield Sample(f"{position:03d}", turned, "abc"[label])


@metric
def right(logits, labels):
    return logits.argmax(axis=1) == labels


@metric(better="less")
def margin_of(logits, labels, *, power: float = 1.0):
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return np.abs(logits.max(axis=1) - own) ** power


@metric
def named(logits, labels, paths):
    return float(np.mean([path.endswith(".png") for path in paths]))
"""
MATRIX = """\
title: Own data
plugins: [own.py]
data: {name: stripes, images: 60}
train: {model: mobilenetv2, image_size: 32, batch_size: 12, epochs: 2, lr: 2e-3, patience: 0}
matrix:
  rdrop: [false, true]
seeds: [0, 1]
benchmark: {seconds: 1}
tables:
  own:
    rows: rdrop
    columns:
      - {header: accuracy, split: test}
      - {header: right, split: test, metric: right}
      - {header: margin, split: test, metric: {name: margin_of, power: 2.0}}
      - {header: named, split: test, metric: named}
      - {header: turned, data: {name: stripes, angle: 90.0}}
    baseline: {rdrop: false}
"""
RUN = ["m.yaml", "--devices", "cpu", "--trust"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(CODE)
    Path("m.yaml").write_text(MATRIX)
    return tmp_path


@pytest.fixture(scope="module")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the matrix has run, once for all."""
    folder = tmp_path_factory.mktemp("ran")
    with contextlib.chdir(folder):
        Path("own.py").write_text(CODE)
        Path("m.yaml").write_text(MATRIX)
        said, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
            assert runner.main(RUN) == 0
        Path("said").write_text(said.getvalue() + err.getvalue())
    return folder


@pytest.fixture
def ran(_ran: Path, own: Path) -> Path:
    """A copy of it, in which one is."""
    shutil.copytree(_ran, own, dirs_exist_ok=True)
    return own


def planned(capsys: pytest.CaptureFixture[str]) -> dict[str, list[tuple[str, str | None]]]:
    capsys.readouterr()
    assert runner.main(["m.yaml", "--plan", "--json"]) == 0
    found: dict[str, list[tuple[str, str | None]]] = {}
    for job in json.loads(capsys.readouterr().out)["jobs"]:
        found.setdefault(job["kind"], []).append((job["state"], job["reason"]))
    return found


def test_a_plan_makes_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["m.yaml", "--plan"]) == 0
    plan = capsys.readouterr().out
    assert "stripes (strict): not known yet" in plan and "all of stripes, images 60" in plan
    assert not Path("data").exists()


def test_they_run_and_their_figures_are_those_counted_by_hand(ran: Path) -> None:
    said = Path("said").read_text()
    assert "made: data/made/stripes-" in said and "metric mobilenetv2" in said
    records = Store(Path("runs")).read().records.values()
    metrics = [record for record in records if isinstance(record, MetricRecord)]
    assert len(metrics) == 3 * 2 * 2
    for record in metrics:
        (unit,) = Path("runs").rglob(record.unit)
        evaluation = next(unit.parent.glob(f"evaluate-*-{record.evaluation.signature}"))
        with np.load(evaluation / "predictions.npz") as kept:
            logits, labels = kept["logits"], kept["labels"]
        if record.metric.name == "right":
            assert record.value == accuracy(logits.argmax(axis=1), labels)
            assert record.value == record.evaluation.accuracy
        if record.metric.name == "margin_of":
            gap = logits.max(axis=1) - logits[np.arange(len(labels)), labels]
            assert record.value == pytest.approx(float((gap.astype(float) ** 2).mean()), rel=1e-5)
        of_images = record.scores is not None
        assert of_images == (unit / "scores.npz").exists() != (record.value == 1.0)
        assert (unit / "plugins" / "own.py").read_text() == CODE
        assert record.signature == record.spec.signature
    assert (next(Path("runs").rglob("train-raw")) / "plugins" / "own.py").read_text() == CODE
    assert runner.main(["--verify"]) == 0


def test_a_score_for_each_image_has_the_verdict_that_the_built_in_one_has(ran: Path) -> None:
    """And one number has none, which is said."""
    rows = list(csv.DictReader(Path("reports/m/verdicts.csv").read_text().splitlines()))
    of = {row["column"]: row for row in rows if row["row"] == "true"}
    of_both = (
        "figure",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
        "p",
        "paired",
    )
    assert [of["right"][name] for name in of_both] == [of["accuracy"][name] for name in of_both]
    assert of["margin"]["difference_low"] and of["margin"]["paired"] == "1"
    assert not of["named"]["low"] and not of["named"]["verdict"] and of["named"]["difference"]
    page = Path("reports/m/report.md").read_text()
    assert '“margin” is the metric {"name": "margin_of", "power": 2.0, ' in page
    assert "; less is better." in page and "images: 0 train" not in page
    assert "named has no interval: it is one number for all images" in page
    assert '- data: {"name": "stripes", "images": 60, "angle": 0.0, "code": "own.py ' in page
    assert "all of stripes, images 60, angle 90.0: 60 images" in page
    results = list(csv.DictReader(Path("reports/m/results.csv").read_text().splitlines()))
    assert {row["metric"] for row in results} == {"", "right", 'margin_of {"power": 2.0}', "named"}


def test_an_edit_runs_again_what_it_reaches(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert all({s for s, _ in jobs} == {"done"} for jobs in planned(capsys).values())
    Path("own.py").write_text(f"# a comment\n{CODE}")
    assert all({s for s, _ in jobs} == {"done"} for jobs in planned(capsys).values())
    edited = CODE.replace("np.abs(", "np.square(")
    Path("own.py").write_text(edited)
    line = edited[: edited.index("def margin_of")].count("\n") + 1
    jobs = planned(capsys)
    assert {s for kind in ("train", "evaluate") for s, _ in jobs[kind]} == {"done"}
    again = [each for each in jobs["metric"] if each[0] == "todo"]
    assert again == [("todo", f"edited: metric 'margin_of' (own.py:{line})")] * 4
    Path("own.py").write_text(CODE.replace("+= 200", "+= 190"))
    jobs = planned(capsys)
    line = CODE[: CODE.index("def stripes")].count("\n") + 1
    assert jobs["train"] == [("todo", f"edited: dataset 'stripes' (own.py:{line})")] * 4
    capsys.readouterr()
    anew = ["m.yaml", "--report", "--reports", "anew"]
    assert (
        runner.main(anew) == 2
        and "nothing to report: edited: dataset 'stripes' (own.py:" in capsys.readouterr().err
    )
    Path("own.py").write_text(CODE)
    assert runner.main(anew) == 0, "what was made counts again"


def test_a_metric_follows_its_evaluation(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Store(Path("runs")).read().records.values()
    evaluation = next(r for r in records if isinstance(r, EvaluateRecord) and not r.spec.data)
    (unit,) = Path("runs").rglob(evaluation.unit)
    record = unit / "record.json"
    record.write_text(re.sub(r'("loss": )(?=\d)', r"\g<1>1", record.read_text()))
    jobs = planned(capsys)
    assert jobs["metric"].count(("todo", "its evaluation was done again")) == 3


def test_made_data_are_plain_files_and_trusted_as_such(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image a file, with the code that made it beside them."""
    assert runner.main([*RUN, "--try"]) == 0
    out = capsys.readouterr().out
    tried = [line.split(" (")[0] for line in out.splitlines()]
    assert tried == [
        "tried: dataset 'stripes'",
        "tried: dataset 'stripes'",
        "tried: metric 'right'",
        "tried: metric 'margin_of'",
        "tried: metric 'named'",
    ]
    folder = next(Path("data/made").glob("stripes-*"))
    assert (folder / "plugins" / "own.py").read_text() == CODE
    again = {path: path.read_bytes() for path in folder.glob("*.png")}
    assert len(again) == 60


def test_an_image_that_is_changed_trains_again(
    ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in Path("data/made").glob("stripes-*"):
        Image.new("L", (12, 12), 7).save(folder / "000.png")
    jobs = planned(capsys)
    assert all("the data changed" in str(reason) for _, reason in jobs["train"])


def test_speeds_know_the_classes_that_the_mark_says(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds = "  speed:\n    rows: rdrop\n    columns:\n      - {header: FPS, metric: fps}\n"
    Path("m.yaml").write_text(MATRIX + speeds)
    assert "\n1 benchmark" not in MATRIX and runner.main(["m.yaml", "--plan"]) == 0
    assert "1 benchmark;" in capsys.readouterr().out
    Path("own.py").write_text(CODE.replace("(classes=3)", ""))
    assert runner.main(["m.yaml", "--plan"]) == 2
    assert "own.py:7: a table with speeds must know how many" in capsys.readouterr().err


MADE: dict[str, tuple[str, str, str]] = {
    "no sample": ("yield Sample(", "yield (", "must give a Sample(path, image, label) each time, not tuple"),
    "nothing": ("range(images)", "range(0)", "gave no image"),
    "no iterable": ("    for position in range(images):", "    return 7\n    for position in range(images):", ""),
    "floats": ("turned, ", "turned / 2, ", "image 0 (from 0): an array must be uint8 (H, W) or (H, W, 3), not float64 (12, 12)"),
    "no image": ("turned, ", "'x', ", "image 0 (from 0): its image must be an array, an image of Pillow's or a Path, not str"),
    "no file": ("turned, ", "Path('x.png'), ", "image 0 (from 0): [Errno 2] No such file or directory: 'x.png'"),
    "a file of another kind": ("turned, ", "Path('own.py'), ", "image 0 (from 0): own.py has no ending of an image"),
    "a path out": ('f"{position:03d}"', 'f"../{position:03d}"', "image 0 (from 0): its path '../000' must be a relative one, as cat/0001"),
    "a path from the root": ('f"{position:03d}"', 'f"/{position:03d}"', "its path '/000' must be a relative one"),
    "a hidden path": ('f"{position:03d}"', 'f".{position:03d}"', "its path '.000' must be a relative one"),
    "a path that is no text": ('f"{position:03d}"', "position", "its path must be text, not int"),
    "a path twice": ('f"{position:03d}"', '"a"', "image 1 (from 0): an image has the path 'a.png' already"),
    "no label": ('"abc"[label]', "None", "its label must be a class's name or number, not None"),
    "an empty label": ('"abc"[label]', '" "', "its label must be a class's name or number, not ' '"),
    "an unknown part": ('"abc"[label]', '"abc"[label], "dev"', "its part must be train, val, test or None, not 'dev'"),
    "a part of some": ('"abc"[label]', '"abc"[label], "val" if label else None', "gives 40 of 60 images a part"),
    "a group of some": ('"abc"[label]', '"abc"[label], None, "x" if label else None', "gives 40 of 60 images a group"),
    "a group that is no text": ('"abc"[label]', '"abc"[label], None, 7', "its group must be text or None, not 7"),
    "a path with a space before": ('f"{position:03d}"', 'f" {position:03d}"', "has a character that no path of an image has"),
    "a path that is no UTF-8": ('f"{position:03d}"', 'f"\\udcff{position:03d}"', "has a character that no path of an image has"),
    "a path of a system's": ('f"{position:03d}"', 'f"__MACOSX/{position:03d}"', "image 0 (from 0): its path '__MACOSX/000' can't be an image's"),
    "a path of its labels": ('f"{position:03d}"', 'f"labels.csv/{position:03d}"', "can't be an image's: a name in it is taken"),
    "a path too long": ('f"{position:03d}"', 'f"{position:0300d}"', "is too long for a file's name"),
    "a file that is a folder": ('f"{position:03d}"', '"a.png/b" if position else "a"', "can't be a file and its folder"),
    "paths of their own": ('f"{position:03d}"', '__import__("uuid").uuid4().hex', "does not repeat under one key"),
    "a label with spaces around": ('"abc"[label]', '["a", "a ", "b"][label]', "its label must be one line without spaces around, not 'a '"),
    "a label of two lines": ('"abc"[label]', '["a\\rb", "a", "b"][label]', "its label must be one line without spaces around"),
    "a group of spaces": ('"abc"[label]', '"abc"[label], None, " "', "its group must be one line without spaces around, not ' '"),
    "a folder as its file": ("turned, ", "Path('d.png').mkdir(exist_ok=True) or Path('d.png'), ", "image 0 (from 0): d.png is no file"),
    "other classes than it says": ("(classes=3)", "(classes=4)", "says classes=4, and its images have 3"),
    "a generator of its own": ("np.random.randint(", "np.random.default_rng().integers(", "does not repeat under one key: draw from torch's"),
    "an exception": ("label = position % 3", "label = position % (position - 5)", "ZeroDivisionError: "),
    "a thread": ("    for position", "    import threading\n    threading.Thread(target=threading.Event().wait, daemon=True).start()\n    for position", "leaves a thread running"),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE)
def test_what_is_no_data_set_is_one_error(
    case: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = MADE[case]
    assert CODE.count(old) == 1
    Path("own.py").write_text(CODE.replace(old, new))
    if case == "no iterable":
        Path("own.py").write_text(
            CODE.replace("        yield Sample", "        Sample").replace(
                old, f"    return 7\n{old}"
            )
        )
        message = "must give its images, a Sample each, not int"
    assert runner.main(RUN) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and error.startswith("error: own.py:"), error
    assert not Path("runs").exists() and not list(Path("data").rglob("*.png"))


BAD: dict[str, tuple[str, str, str]] = {
    "an unknown setting of a data set": ("images: 60}", "image: 60}", "m.yaml:3: unknown setting 'image'; did you mean 'images'?"),
    "a setting of the wrong type": ("images: 60}", "images: many}", "m.yaml:3: 'images' must be an integer"),
    "an unknown data set": ("name: stripes, images", "name: stripe, images", "m.yaml:3: unknown data 'stripe'; did you mean 'stripes'?"),
    "labels of a data set": ("images: 60}", "labels: x.csv}", "m.yaml:3: 'labels' are for a 'folder'; stripes has labels of its own"),
    "the inner name": ("{name: stripes, images: 60}", "{own: {name: stripes}}", "m.yaml:3: unknown setting 'own' of 'data'"),
    "the inner name in a column": ("split: test, metric: right", "split: test, own: right", "m.yaml:14: unknown setting 'own'"),
    "an unknown metric": ("metric: right", "metric: rihgt", "m.yaml:14: unknown metric 'rihgt'; did you mean 'right'?"),
    "an unknown metric with settings": ("name: margin_of", "name: marginof", "m.yaml:15: unknown metric 'marginof'; did you mean 'margin_of'?"),
    "an unknown setting of a metric": ("power: 2.0", "powr: 2.0", "m.yaml:15: unknown setting 'powr'; did you mean 'power'?"),
    "settings of a built-in metric": ("metric: right", "metric: {name: accuracy, k: 3}", "m.yaml:14: metric 'accuracy' has no settings, so no 'k'"),
    "a metric's settings without its name": ("metric: {name: margin_of, power: 2.0}", "metric: {margin_of: {power: 2.0}}", "m.yaml:15: a metric with settings is written {name: NAME, SETTING: VALUE}"),
    "a metric of a training": ("split: test, metric: right", "stage: train, metric: right", "m.yaml:14: stage 'train' keeps no predictions, which metric 'right' takes"),
    "percent of a metric": ("metric: right", "metric: right, percent: true", "m.yaml:14: metric 'right' takes no percent"),
    "a data set where a metric stands": ("metric: right", "metric: stripes", "m.yaml:14: 'stripes' is a dataset: write data: stripes"),
    "a metric where data stand": ("name: stripes, images: 60", "name: right", "m.yaml:3: 'right' is a metric: write metric: right"),
    "a split that it has not": ("images: 60}", "images: 60, split: given}", ""),
}  # fmt: skip
CODES: dict[str, tuple[str, str, str]] = {
    "a data set with the name of a built-in one": ("def stripes", "def digits", "own.py:7: 'digits' is the name of a built-in dataset"),
    "a metric with the name of a built-in one": ("def right", "def kappa", "own.py:17: 'kappa' is the name of a built-in metric"),
    "a setting with a name of data": ("images: int", "limit: int", "own.py:7: setting 'limit' of 'stripes' is a setting of all data; choose another name"),
    "a data set that is given something": ("def stripes(*,", "def stripes(root, *,", "own.py:7: 'stripes' takes (*, ...): its settings stand after the *"),
    "a metric of one thing": ("def right(logits, labels)", "def right(logits)", "own.py:17: 'right' takes (logits, labels, *, ...) or (logits, labels, paths, *, ...)"),
    "classes that are no number": ("classes=3", "classes='3'", "own.py:6: 'classes' of 'stripes' must be a number of classes, 2 or more"),
    "another better": ('better="less"', 'better="lower"', "own.py:21: 'better' of 'margin_of' must be 'more' or 'less'"),
    "a metric without its mark": ("@metric\ndef right", "def right", "own.py:16: 'right' has no mark; write @metric above it"),
    "a mark that is not imported": ("Sample, dataset, metric", "Sample, dataset", "own.py:16: @metric is not imported: from classifier.plugins import metric"),
    "a data set without its mark": ("@dataset(classes=3)\n", "", "own.py:6: 'stripes' has no mark; write @dataset above it"),
    "a mark's unknown word": ('better="less"', 'worse="more"', "own.py:21: @metric takes no 'worse'"),
}  # fmt: skip


@pytest.mark.parametrize("plan", [False, True])
@pytest.mark.parametrize("case", [*BAD, *CODES])
def test_bad_input_is_one_error_with_its_line(
    case: str, plan: bool, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = {**BAD, **CODES}[case]
    file, text = (Path("m.yaml"), MATRIX) if case in BAD else (Path("own.py"), CODE)
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    if case == "a split that it has not":
        if plan:
            return  # nobody knows before it is made
        message = "data set 'stripes' gives its images no parts, so it can't be split as 'given'"
    assert runner.main(["m.yaml", "--plan"] if plan else RUN) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {message}"), error
    assert not Path("runs").exists() and not Path("reports").exists()


METRICS: dict[str, tuple[str, str]] = {
    "its first images": ("float((logits.argmax(axis=1) == labels)[: len(labels) // 2].mean())", "depends on the order of the images"),
    "scores by position": ("np.arange(len(labels)) * 1.0", "depends on the order of the images"),
    "ranks": ("np.argsort(np.argsort(logits[:, 0])) * 1.0", "gives an image another score where others are missing"),
    "weights of classes": ("(logits.argmax(axis=1) == labels) / np.bincount(labels)[labels] * len(labels)", "gives an image another score where others are missing"),
    "masked scores": ("np.ma.masked_less(logits[:, 0], 0)", "gave masked scores"),
    "draws of its own": ("float(np.random.default_rng().random())", "does not repeat under one key"),
    "no numbers": ("'good'", "it must give a number for each of the 200 images, or one for all"),
    "scores of classes": ("logits", "gave float32 (200, 3): it must give a number for each"),
    "scores that are not finite": ("np.log(logits[:, 0] - 1e9)", "gives scores that are not finite"),
    "an exception": ("1 / 0", "ZeroDivisionError: division by zero"),
}  # fmt: skip


@pytest.mark.parametrize("case", METRICS)
def test_a_metric_that_breaks_a_promise_is_found_before_anything_trains(
    case: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, message = METRICS[case]
    old = "logits.argmax(axis=1) == labels"
    Path("own.py").write_text(CODE.replace(old, new))
    assert runner.main(RUN) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and error.startswith("error: own.py:1"), error
    assert not Path("runs").exists()


def test_one_that_runs_is_asked_for_trust(own: Path) -> None:
    """A plan and a report run nothing: a file that would leave a trace leaves none."""
    trace = "\nPath('ran').touch()\n"
    Path("own.py").write_text(CODE + trace)
    here = [sys.executable, str(ROOT / "runner.py"), "m.yaml"]
    for flag in ("--plan", "--report"):
        subprocess.run([*here, flag], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert not Path("ran").exists()
    asked = subprocess.run(
        here, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 2 and "say --trust" in asked.stderr and not Path("ran").exists()


def test_its_parts_and_groups_are_taken(own: Path) -> None:
    given = '"abc"[label], ("train", "val", "test")[position % 5 % 3], str(position % 5)'
    Path("own.py").write_text(CODE.replace('"abc"[label]', given))
    text = MATRIX.replace("images: 60}", "images: 60, split: given}")
    Path("m.yaml").write_text(text)
    assert runner.main([*RUN, "--try"]) == 0
    (data,) = load(Path("m.yaml")).data
    seen = data.source.look(Path("data"))
    assert dict(seen.parts) == {
        f"{position:03d}.png": ("train", "val", "test")[position % 5 % 3] for position in range(60)
    }
    assert set(seen.groups.values()) == set("01234")
    whole = data.model_copy(update={"split": "strict"})
    with pytest.raises(UserError, match="gives its images parts: write 'split: given'"):
        datasets.listing(whole, Path("data"))
    tried = [datasets.count_other(each, Path("data")) for each in (data, whole)]
    assert tried == [12, 60], "a column's data are its test part if its split is given, else all"


def test_each_of_two_matrices_has_its_metric_tried(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where both are called the same, and stand in the same line of a file of one name."""
    Path("other").mkdir()
    Path("other/n.yaml").write_text(MATRIX)
    old, new = "logits.argmax(axis=1) == labels", "np.arange(len(labels)) * 1.0"
    Path("other/own.py").write_text(CODE.replace(old, new))
    assert runner.main(["m.yaml", "other/n.yaml", *RUN[1:], "--try"]) == 2
    assert "error: other/own.py:17: metric 'right' depends on the order" in capsys.readouterr().err


def test_a_metric_is_not_compared_with_itself_at_other_settings(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = "      - {header: m1, split: test, metric: margin_of, against: margin}\n    baseline:"
    Path("m.yaml").write_text(MATRIX.replace("    baseline:", two))
    assert runner.main(["m.yaml", "--plan"]) == 2
    assert "'margin' is margin_of with other settings than this" in capsys.readouterr().err


def test_a_data_root_that_takes_no_folder_is_one_error(
    own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("data").mkdir()
    Path("data/made").touch()
    assert runner.main([*RUN, "--try"]) == 2
    said = capfd.readouterr().err
    assert "error: [Errno 17] File exists: 'data/made'" in said and "Traceback" not in said


def test_scores_that_are_others_are_damaged(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where their mean is the same; and so is a record that has another mean."""
    file = next(Path("runs").rglob("metric-margin_of*/scores.npz"))
    record = file.with_name("record.json")
    told = record.read_text()
    record.write_text(json.dumps(json.loads(told) | {"value": 0.123}))
    assert runner.main(["--verify"]) == 1
    assert re.search(rf"{file} gives [\d.]+, its record 0\.123;", capsys.readouterr().out)
    record.write_text(told)
    with np.load(file) as kept:
        parts = dict(kept)
    np.savez(file, **parts | {"scores": parts["scores"][::-1]})
    assert runner.main(["--verify"]) == 1
    assert f"{file} is not what its metric gave" in capsys.readouterr().out
    assert runner.main(["m.yaml", "--report", "--reports", "anew"]) == 0
    assert "damaged" in Path("anew/m/report.md").read_text()


def test_an_image_lies_as_its_camera_held_it(own: Path) -> None:
    """By its EXIF orientation, whether it comes as a file or was opened."""
    turned = Image.new("RGB", (8, 4), (200, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save("t.jpg", exif=exif)
    code = CODE.replace("turned, ", "Image.open('t.jpg') if position % 2 else Path('t.jpg'), ")
    Path("own.py").write_text(code.replace("import numpy", "from PIL import Image\nimport numpy"))
    assert runner.main([*RUN, "--try"]) == 0
    (data,) = load(Path("m.yaml")).data
    assert {
        data.source.open(Path("data"), path).size
        for path in data.source.look(Path("data")).classes["a"]
    } == {(4, 8)}
