"""A matrix with plugins: names, axes and settings; errors; what is planned, and again after an edit."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import runner
from classifier.basics.files import sha256
from classifier.basics.machine import Platform
from classifier.cli.main import main as commands
from classifier.config.spec import TrainSpec
from classifier.plugins.brought import SOURCES
from classifier.plugins.declared import KINDS
from classifier.plugins.load import use
from classifier.plugins.spec import UserLoss
from classifier.records.record import Cost, TrainRecord
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import Overrides
from experiments.plan import plan as planning
from experiments.store.store import Results, Store
from tests.own import HELPERS, TRICKS, setting
from tests.records import results_of

pytestmark = pytest.mark.usefixtures("no_process_remains")

ROOT = Path(__file__).parents[2]
MATRIX = """\
title: Own
plugins: [tricks.py]
data: {name: digits, limit: 5}
train: {model: tiny_net, image_size: 32, batch_size: 8, epochs: 1, my_mixup: true}
matrix:
  my_sam: [false, {rho: 0.1}]
  loss: [cross_entropy, {name: my_focal, gamma: 1.5}]
  my_mixup.alpha: [0.5]
tables:
  own:
    rows: loss
    columns:
      - {header: val, split: val, where: {my_sam: false}}
      - {header: val(sam), split: val, where: {my_sam: {rho: 0.1}}}
    baseline: {my_sam: false}
"""


RUN = ["own.yaml", "--devices", "cpu"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tricks.py").write_text(TRICKS)
    Path("helpers.py").write_text(HELPERS)
    Path("own.yaml").write_text(MATRIX)
    return tmp_path


def planned(capsys: pytest.CaptureFixture[str]) -> dict[str, list[tuple[str, str]]]:
    """By kind the state and the reason of each job."""
    capsys.readouterr()
    assert runner.main(["own.yaml", "--plan", "--json"]) == 0
    found: dict[str, list[tuple[str, str]]] = {}
    for job in json.loads(capsys.readouterr().out)["jobs"]:
        found.setdefault(job["kind"], []).append((job["state"], job["reason"]))
    return found


def test_names_are_settings_and_axes(own: Path) -> None:
    matrix = load(Path("own.yaml"))
    specs = [arm.trainings[0] for arm in matrix.arms]
    assert [[trick.name for trick in spec.own_tricks] for spec in specs] == [
        *(["my_mixup"], ["my_mixup"], ["my_mixup", "my_sam"], ["my_mixup", "my_sam"])
    ]
    for spec in specs:
        assert spec.own_tricks[0].settings == {"alpha": 0.5, "probability": 0.5}
        assert spec.own_model is not None and spec.own_model.settings == {"width": 8}
    assert [spec.loss.model_dump().get("settings") for spec in specs[:2]] == [None, {"gamma": 1.5}]
    assert len({spec.signature for spec in specs}) == 4
    pinned = "train.my_sam.rho=0.2", "train.model={name: tiny_net, width: 4}"
    text = MATRIX.replace("  my_sam: [false, {rho: 0.1}]\n", "").replace("{my_sam: false}", "{}")
    Path("own.yaml").write_text(
        text.replace("{my_sam: {rho: 0.1}}", "{}").replace("baseline: {}", "")
    )
    arm = load(Path("own.yaml"), Overrides(sets=pinned)).arms[0].trainings[0]
    assert arm.own_tricks[1].settings == {"rho": 0.2} and arm.own_model is not None
    assert arm.own_model.settings == {"width": 4} and arm.model == "tiny_net"


def test_the_order_of_tricks_is_the_matrices_and_signed(own: Path) -> None:
    text = MATRIX.replace("  my_mixup.alpha: [0.5]\n", "").replace("my_mixup: true", "{}")
    one = text.replace("{}", "my_mixup: true, noisy: true", 1)
    Path("own.yaml").write_text(one)
    first = load(Path("own.yaml")).arms[0].trainings[0]
    Path("own.yaml").write_text(text.replace("{}", "noisy: true, my_mixup: true", 1))
    second = load(Path("own.yaml")).arms[0].trainings[0]
    assert [trick.name for trick in first.own_tricks] == ["my_mixup", "noisy"]
    assert first.own_tricks == second.own_tricks[::-1] and first.signature != second.signature


def test_an_edit_runs_what_it_reaches_again_and_nothing_else(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a report is made of what is there, without running or even reading the code as Python."""
    assert runner.main([*RUN, "--trust"]) == 0
    table = Path("reports/own/own.md").read_text()
    page = Path("reports/own/report.md").read_text()
    assert "my_sam" in page and '"rho": 0.1, "code": "tricks.py ' in page
    assert '- model: {"name": "tiny_net", "width": 8, "code": "tricks.py ' in page
    assert all({state for state, _ in jobs} == {"done"} for jobs in planned(capsys).values())
    Path("tricks.py").write_text(
        "# a comment\n" + TRICKS.replace("What a user writes", "Other words")
    )
    assert all({state for state, _ in jobs} == {"done"} for jobs in planned(capsys).values())
    assert runner.main(["own.yaml", "--report"]) == 0
    assert Path("reports/own/own.md").read_text() == table
    edited = TRICKS.replace("** gamma", "** (gamma + 1)")
    Path("tricks.py").write_text(edited)
    line = edited[: edited.index("def my_focal")].count("\n") + 1
    again = ("todo", f"edited: loss 'my_focal' (tricks.py:{line})")
    jobs = planned(capsys)
    done = {kind: [each for each in found if each[0] == "done"] for kind, found in jobs.items()}
    assert [len(found) for found in done.values()] == [2, 2]
    assert jobs["train"].count(again) == jobs["evaluate"].count(again) == 2
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("record.json")}
    assert runner.main([*RUN, "--trust"]) == 0
    after = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("record.json")}
    assert len(after) == len(before) + 4 and before.items() <= after.items()
    kept = [path.read_text() for path in Path("runs").rglob("train-raw/plugins/tricks.py")]
    assert sorted(kept) == sorted([TRICKS] * 4 + [edited] * 2)
    (one, *_) = (path.parents[2] for path in Path("runs").rglob("train-raw/plugins/tricks.py"))
    looked = ["metrics", "--save_path", str(one), "--task", "train", "--device", "cpu"]
    assert commands(looked) == 2 and "--trust" in capsys.readouterr().err
    assert commands([*looked, "--trust"]) == 0, "by the code that is kept beside it"
    for record in Store(Path("runs")).read().records.values():
        assert record.kind == "benchmark" or record.spec.signature == record.signature


HERE = Platform("a CPU", 2, "2.14.1")


def stored(matrix: Matrix, kept: Path) -> Results:
    """Records as a run would leave them, with the files that ran in `kept`."""
    results = results_of(matrix)
    for path, text in matrix.plugins.texts.items():
        (kept / SOURCES / path).parent.mkdir(parents=True, exist_ok=True)
        (kept / SOURCES / path).write_text(text)
    results.folders = dict.fromkeys(results.records, kept)
    return results


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ({"helpers.py": "1e-9"}, "edited: helpers.py, which trick 'my_sam' (tricks.py:14) reaches"),
        ({"helpers.py": "1e-9", "tricks.py": "self.rho = 2 * rho"}, "edited: trick 'my_sam' (tricks.py:14)"),
        ({"table.csv": "2"}, "edited: table.csv, which trick 'my_sam' (tricks.py:14) reads"),
        ({"helpers.py": "(1e-12)"}, ""),
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_names_what_was_edited(edits: dict[str, str], reason: str, own: Path) -> None:
    tricks = TRICKS.replace('over=["step"]', 'over=["step"], reads=["table.csv"]')
    Path("tricks.py").write_text(tricks)
    Path("table.csv").write_text("1")
    results = stored(load(Path("own.yaml")), own / "kept")
    changed = {"helpers.py": (HELPERS, "1e-12"), "tricks.py": (tricks, "self.rho = rho")}
    for file, text in edits.items():
        whole, before = changed.get(file, ("1", "1"))
        Path(file).write_text(whole.replace(before, text))
    made = planning.make([load(Path("own.yaml"))], results, HERE, own / "data")
    reasons = {
        bool(job.spec.trained and job.spec.trained.has("my_sam")): job.reason
        for job in made.jobs
        if job.spec.kind == "train"
    }
    assert reasons[True] == reason or (not reason and reasons[True] == reasons[False])
    assert "edited" not in reasons[False]


def test_a_trick_that_looks_at_a_batch_more_often_is_estimated_by_its_own_records(
    own: Path,
) -> None:
    matrix = load(Path("own.yaml"))
    results = stored(matrix, own / "kept")
    for key, record in results.records.items():
        if isinstance(record, TrainRecord):
            seconds = 4e6 if record.spec.has("my_sam") else 1e6
            results.costs[key] = Cost(seconds=seconds)
    other = load(Path("own.yaml"), Overrides(seeds=(7,)))
    made = planning.make([other], results, HERE, own / "data")
    took: dict[bool, set[float | None]] = {False: set(), True: set()}
    for job in made.jobs:
        if isinstance(job.spec, TrainSpec):
            took[job.spec.has("my_sam")].add(job.estimate.seconds)
    (plain,), (climbing,) = took.values()
    assert plain and climbing == pytest.approx(4 * plain, rel=0.01)
    text = MATRIX.replace("rho: 0.1", "rho: 0.3").replace("my_mixup: true", "noisy: true")
    Path("own.yaml").write_text(text.replace("  my_mixup.alpha: [0.5]\n", ""))
    unlike = planning.make([load(Path("own.yaml"))], results, HERE, own / "data")
    trainings = [job for job in unlike.jobs if job.spec.kind == "train"]
    assert len(trainings) == 4 and {job.estimate.seconds for job in trainings} == {None}


def test_names_that_people_see_say_what_is_the_users(own: Path) -> None:
    """And what lies there under an older name is found still."""
    slugs = [arm.trainings[0].slug for arm in load(Path("own.yaml")).arms]
    assert slugs == [
        "tiny_net-my_mixup-s0",
        "tiny_net-my_mixup-my_focal-s0",
        "tiny_net-my_sam-my_mixup-s0",
        "tiny_net-my_sam-my_mixup-my_focal-s0",
    ]
    spec = load(Path("own.yaml")).arms[0].trainings[0]
    older = Path("runs") / f"tiny_net-s0-{spec.signature}"
    older.mkdir(parents=True)
    assert Store(Path("runs")).folder(spec) == older
    other = load(Path("own.yaml")).arms[1].trainings[0]
    assert Store(Path("runs")).folder(other).name == f"{slugs[1]}-{other.signature}"


BAD: dict[str, tuple[str, str, str]] = {
    "a file that is not there": ("[tricks.py]", "[trick.py]", "own.yaml:2: trick.py: no such file; did you mean 'tricks.py'?"),
    "a way out": ("[tricks.py]", "[../tricks.py]", "own.yaml:2: '../tricks.py' leads out of the matrix's folder"),
    "a path from the root": ("[tricks.py]", "[/tmp/tricks.py]", "own.yaml:2: write a plugin's path from the matrix's folder, not '/tmp/tricks.py'"),
    "a link out": ("[tricks.py]", "[link.py]", "own.yaml:2: 'link.py' leads out of the matrix's folder (links followed)"),
    "no Python file": ("[tricks.py]", "[own.yaml]", "own.yaml:2: a plugin is a Python file beside the matrix or below it, not 'own.yaml'"),
    "a file twice": ("[tricks.py]", "[tricks.py, tricks.py]", "own.yaml:2: 'tricks.py' is named twice"),
    "files that are no list": ("[tricks.py]", "tricks.py", "own.yaml:2: 'plugins' must be a list, not 'tricks.py'"),
    "an unknown loss": ("name: my_focal", "name: my_focl", "own.yaml:7: unknown loss 'my_focl'; did you mean 'my_focal'?"),
    "an unknown trick": ("my_mixup: true", "my_mixp: true", "own.yaml:4: unknown setting 'my_mixp'; did you mean 'my_mixup'?"),
    "an unknown model": ("model: tiny_net", "model: tiny_nett", "own.yaml:4: unknown model 'tiny_nett'; did you mean 'tiny_net'?"),
    "an unknown argument": ("gamma: 1.5", "gama: 1.5", "own.yaml:7: unknown setting 'gama'; did you mean 'gamma'?"),
    "an argument of a wrong type": ("gamma: 1.5", "gamma: much", "own.yaml:7: 'gamma' must be a number, not 'much'"),
    "an argument of a trick on an axis": ("[0.5]", "[true]", "own.yaml:8: 'alpha' must be a number, not 'true'"),
    "a trick that is no mapping": ("my_mixup: true", "noisy: 5", "own.yaml:4: 'noisy' must be true, false or a mapping of its settings, not '5'"),
    "an object of another kind": ("name: my_focal, gamma: 1.5", "name: flip", "own.yaml:7: 'flip' is an augmentation: write augment: flip"),
    "a loss as a trick": ("my_mixup: true", "my_focal: true", "own.yaml:4: 'my_focal' is a loss: write loss: my_focal"),
    "a trick as a loss": ("name: my_focal, gamma: 1.5", "name: noisy", "own.yaml:7: 'noisy' is a trick: write noisy: true"),
    "a class without its mark": ("[tricks.py]", "[unmarked.py]", "unmarked.py:13: 'my_sam' has no mark; write @trick above it"),
    "a function without its mark": ("name: my_focal, gamma: 1.5", "name: bare", "tricks.py:116: 'bare' has no mark; write @loss above it"),
    "a loss as a metric": ("val, where: {my_sam: false}", "val, metric: my_focal, where: {my_sam: false}", "own.yaml:13: 'my_focal' is a loss: write loss: my_focal"),
    "a trick as data": ("{name: digits, limit: 5}", "noisy", "own.yaml:3: 'noisy' is a trick: write noisy: true"),
    "an object of a file that is not named": ("my_mixup: true", "climb: true", "own.yaml:4: 'climb' is in helpers.py, which is not named in 'plugins'"),
    "two that take over the step": ("my_mixup: true", "my_mixup: true, sam: true", "'sam' and 'my_sam' each take over the step; leave one out"),
    "two that it says it can't be with": ("my_mixup: true", "my_mixup: true, mixing: mixup", "'my_mixup' and 'mixing' can't be combined; leave one out"),
    "what only a record says": ("my_mixup: true", "own_tricks: []", "own.yaml:4: unknown setting 'own_tricks'"),
    "a digest": ("gamma: 1.5", "digest: '0123456789abcdef'", "own.yaml:7: unknown setting 'digest'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("link.py").symlink_to("/etc/hostname")
    with Path("tricks.py").open("a") as file:
        file.write("\n\ndef bare(logits, targets): ...\n")
    Path("unmarked.py").write_text(TRICKS.replace('@trick(takes_over=["step"])\n', "", 1))
    before, after, message = BAD[case]
    assert MATRIX.count(before) == 1
    Path("own.yaml").write_text(MATRIX.replace(before, after))
    assert runner.main(["own.yaml"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not Path("runs").exists() and not Path("reports").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("class my_sam(Act)", "class sam(Act)", "tricks.py:14: 'sam' is the name of a built-in trick or of a setting; choose another"),
        ("class my_sam(Act)", "class lr(Act)", "tricks.py:14: 'lr' is the name of a built-in trick or of a setting"),
        ("def my_focal", "def focal", "'focal' is the name of a built-in loss"),
        ("def plain", "def sgd", "'sgd' is the name of a built-in optimizer"),
        ("def flip", "def AugMix", "'AugMix' is the name of a built-in augmentation"),
        ("def tiny_net", "def resnet18", "'resnet18' is the name of a built-in model"),
        ("class Sign", "class my_sam", "'my_sam' is there twice, first in tricks.py:14; rename one"),
        ('apart=["mixing"]', 'apart=["mixng"]', "tricks.py:33: 'apart': no trick is 'mixng'; did you mean 'mixing'?"),
        ("rho: float = 0.05", "rho: floot = 0.05", "tricks.py:15: setting 'rho' of 'my_sam' needs a type"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_a_plugin(
    before: str, after: str, message: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tricks.py").write_text(TRICKS.replace(before, after, 1))
    assert runner.main(["own.yaml", "--plan"]) == 2
    assert message in capsys.readouterr().err


RUNS = (
    MATRIX[: MATRIX.index("matrix:")]
    + """\
runs:
  plain: {}
  two:
    rdrop: true
    my_sam: true
    sam: true
tables:
  own: {rows: runs, columns: [{header: val, split: val}]}
"""
)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("", "", "own.yaml:10: 'sam' and 'my_sam' each take over the step"),
        ("    my_sam: true\n", "", None),
        ("    sam: true\n", "    mixing: mixup\n", "own.yaml:10: 'my_mixup' and 'mixing' can't be"),
        ("my_mixup: true", "sam: true", "own.yaml:9: 'sam' and 'my_sam' each take over"),
        (
            "    sam: true\n",
            "    pretrained: true\n",
            "own.yaml:10: model 'tiny_net' is your own, and",
        ),
    ],
)
def test_a_clash_is_told_with_the_line_that_adds_it(
    before: str, after: str, message: str | None, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RUNS.replace(before, after, 1)
    Path("own.yaml").write_text(
        text.replace("    sam: true\n", "") if "9:" in str(message) else text
    )
    assert runner.main(["own.yaml", "--plan"]) == (2 if message else 0)
    assert (message or "") in capsys.readouterr().err


def test_planning_runs_none_of_it_and_imports_no_torch(own: Path) -> None:
    Path("tricks.py").write_text(TRICKS + "\nraise SystemExit('it ran')\n")
    code = (
        "import sys, runner\n"
        "assert runner.main(['own.yaml', '--plan']) == 0\n"
        "assert not {'torch', 'torchvision', 'timm', 'sklearn'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "it ran" not in ended.stdout + ended.stderr


def test_code_runs_only_where_it_is_trusted(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked once in a terminal, and again when a file says something else."""
    answers: list[str] = []
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return answers.pop()

    monkeypatch.setenv("XDG_CACHE_HOME", str(own / "cache"))
    monkeypatch.setattr("builtins.input", answer)
    assert runner.main(["own.yaml"]) == 2
    said = capsys.readouterr().err
    assert "code that is not this program's would run:\n  helpers.py  sha256 " in said
    assert f"  tricks.py  sha256 {sha256(Path('tricks.py'))}\n" in said and "--trust" in said
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers.append("n")
    assert runner.main(["own.yaml"]) == 2 and len(asked) == 1
    assert not Path("runs").exists() and not Path("reports").exists()
    assert "error: the plugins may not run" in capsys.readouterr().err
    answers.append("y")
    broken = TRICKS + "\n1 / 0\n"
    Path("tricks.py").write_text(broken)
    line = broken.count("\n")
    for _ in range(2):  # it is asked once, and tried until it passes
        assert runner.main(RUN) == 2 and len(asked) == 2
        assert (
            f"error: tricks.py:{line}: it can't be imported: ZeroDivisionError"
            in capsys.readouterr().err
        )
    assert not Path("runs").exists() and not Path("reports").exists()
    Path("tricks.py").write_text(TRICKS)
    answers.append("n")
    assert runner.main(RUN) == 2 and len(asked) == 3
    Path("tricks.py").write_text("raise SystemExit('it ran')\n" + TRICKS)
    capsys.readouterr()
    for shown in (["own.yaml", "--plan"], ["own.yaml", "--report"]):
        assert runner.main(shown) in (0, 2, 3) and len(asked) == 3
    assert "it ran" not in "".join(capsys.readouterr())


def test_try_tries_each_object_with_each_of_its_settings(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main([*RUN, "--try", "--trust"]) == 0
    tried = [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()]
    names = ["model 'tiny_net'", "trick 'my_mixup'", "loss 'my_focal'", "trick 'my_sam'"]
    assert sorted(tried) == sorted(f"tried: {name}" for name in names)
    assert not Path("runs").exists() and not Path("reports").exists()
    forgetful = TRICKS.replace("        self.rho = rho\n", "        self.rho, self.n = rho, 0\n")
    forgetful = forgetful.replace(
        "        update.apply()\n",
        "        self.n += 1\n        update.weights[0].grad.mul_(self.n)\n        update.apply()\n",
    )
    Path("tricks.py").write_text(forgetful)
    assert runner.main([*RUN, "--trust"]) == 2
    said = capsys.readouterr().err
    assert ": trick 'my_sam' goes on from a kept state to other weights" in said
    broken = forgetful.replace("** gamma", "** unknown")
    Path("tricks.py").write_text(broken)
    assert runner.main([*RUN, "--try", "--trust"]) == 2
    said = capsys.readouterr().err
    assert "error: 2 errors:\n" in said and ": trick 'my_sam' goes on from" in said
    assert ": loss 'my_focal': NameError: name 'unknown' is not defined" in said
    assert not Path("runs").exists() and not Path("reports").exists()
    Path("own.yaml").write_text(
        MATRIX.replace("[tricks.py]", "[]")
        .replace("tiny_net", "mobilenetv2")
        .replace(", my_mixup: true", "")
        .replace("my_sam: [false, {rho: 0.1}]", "sam: [false, true]")
        .replace("{name: my_focal, gamma: 1.5}", "focal")
        .replace("  my_mixup.alpha: [0.5]\n", "")
        .replace("my_sam: {rho: 0.1}", "sam: true")
        .replace("my_sam", "sam")
    )
    assert runner.main([*RUN, "--try"]) == 2
    assert "these matrices use no plugins" in capsys.readouterr().err


def test_the_examples_objects_are_short_and_each_of_another_kind() -> None:
    """CI runs its smoke matrix."""
    matrix = load(ROOT / "examples" / "own_tricks.yaml", Overrides(smoke=True))
    declared = list(matrix.plugins.declared.values())
    assert {each.kind for each in declared} == set(KINDS) and len(declared) == len(KINDS)
    whole = load(ROOT / "examples" / "own_tricks.yaml")
    used = {each.name for arm in matrix.arms for each in arm.trainings[0].plugins}
    used |= {column.metric for table in matrix.tables for column in table.columns if column.own}
    assert used | {data.title for data in whole.data} == {each.name for each in declared}
    for node in ast.parse(matrix.plugins.texts["own_tricks.py"]).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno < 25


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_generalised_cross_entropy_is_what_its_paper_says(q: float) -> None:
    """(1 - p^q) / q of the target's p, image by image; cross-entropy for q -> 0; for soft targets
    their mean."""
    brought = load(ROOT / "examples" / "own_tricks.yaml", Overrides(smoke=True)).plugins
    use([brought])
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    p = logits.double().softmax(dim=1).numpy()
    made = UserLoss.model_validate(setting(brought, "gce", q=q)).make()(logits, targets)
    expected = [(1 - p[i, label] ** q) / q for i, label in enumerate(targets.tolist())]
    assert float(made) == pytest.approx(sum(expected) / 6, abs=1e-6)
    near = UserLoss.model_validate(setting(brought, "gce", q=1e-3)).make()(logits, targets)
    assert float(near) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, targets)), rel=5e-3
    )


def test_the_page_on_plugins_has_a_file_and_a_matrix_that_plan(own: Path) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    python, matrix = (page.split(f"```{kind}\n")[1].split("```")[0] for kind in ("python", "yaml"))
    Path("tricks.py").write_text(python)
    Path("own.yaml").write_text(matrix)
    loaded = load(Path("own.yaml"))
    assert len(loaded.arms) == 6 and not loaded.notes
    assert [each.kind for each in loaded.plugins.declared.values()] == ["loss", "trick"]
