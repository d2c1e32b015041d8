"""The command line with real trainings on tiny real data."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

import runner
from classifier.cli.main import main as commands
from experiments.store.store import Store
from tests.classifier.test_datasets import make_images

pytestmark = pytest.mark.usefixtures("no_process_remains")

ROOT = Path(__file__).parents[1]
CHANGELOG = [str(ROOT / "experiments" / f"{name}.yaml") for name in ("fp16", "rdrop", "ema")]

SMALL = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 2, lr: 1e-3}
matrix:
  augment: [false, AutoAugment]
seeds: [0, 1]
tables:
  small:
    rows: augment
    columns:
      - {header: val, split: val}
      - {header: val(train stage), stage: train}
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    return tmp_path


def records() -> dict[str, int]:
    """Every record that is published, with the time that it was written."""
    published = Path("runs").glob("*/*/record.json")  # deeper ones are of jobs at work
    return {str(path): path.stat().st_mtime_ns for path in published}


def test_the_smoke_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All six architectures, both tracks, R-Drop, val and test, FP16 and speeds, three tables."""
    monkeypatch.chdir(tmp_path)
    assert runner.main([*CHANGELOG, "--smoke"]) == 0
    shown = capsys.readouterr().out
    results = Store(Path("runs")).read()
    kinds = [record.kind for record in results.records.values()]
    assert (kinds.count("train"), kinds.count("evaluate"), kinds.count("benchmark")) == (14, 30, 8)
    for name in ("fp16", "rdrop", "ema"):
        table = Path("reports", f"{name}-smoke", f"{name}.md").read_text()
        assert table in shown
        assert len(table.splitlines()) == 6
        assert "to do" not in table and "failed" not in table
    passes = {
        record.spec.model: record.rdrop_passes
        for record in results.records.values()
        if record.kind == "train" and record.spec.has("rdrop")
    }
    assert passes == {"mobilenetv2": 1, "resnext50": 1, "ghostnet": 1, "efficientnet_v2_s": 2}
    before = _reports()
    assert runner.main([*CHANGELOG, "--smoke", "--report"]) == 0
    assert before == _reports()


def _reports() -> dict[Path, bytes]:
    """The bytes of all files, but for the minute in which a page was made."""
    minute = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(Z| UTC)"
    files = {path: path.read_bytes() for path in Path("reports").rglob("*.*")}
    return {p: re.sub(minute, b"", b) if p.suffix == ".html" else b for p, b in files.items()}


def test_a_second_run_does_nothing_and_says_so(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["small.yaml"]) == 0
    done = records()
    assert len(done) == 8
    report = Path("reports/small/report.md").read_bytes()
    capsys.readouterr()
    assert runner.main(["small.yaml"]) == 0
    assert "nothing to do: all 8 jobs are done in runs" in capsys.readouterr().out
    assert records() == done
    assert Path("reports/small/report.md").read_bytes() == report


def test_an_added_column_costs_only_itself(small: Path) -> None:
    assert runner.main(["small.yaml"]) == 0
    done = records()
    column = "      - {header: half, split: test, precision: fp16}\n"
    Path("small.yaml").write_text(SMALL + column)
    assert runner.main(["small.yaml"]) == 0
    after = records()
    assert len(after) == len(done) + 4
    assert all(after[path] == written for path, written in done.items())


def test_parts_of_one_image_and_what_batches_leave_out(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the plan to the report, and by hand."""
    for part, classes in {"train": {"a": 4, "b": 1}, "val": {"a": 1}, "test": {"b": 1}}.items():
        make_images(Path("data/odd", part), classes, size=(32, 32))
    column = "      - {header: test, split: test}\n    baseline: {augment: false}\n"
    odd = SMALL.replace("{name: digits, limit: 10}", "{folder: odd, split: given}") + column
    Path("small.yaml").write_text(odd.replace("batch_size: 16", "batch_size: 2"))
    said = "each epoch leaves out one of the 5 training images, drawn anew: in batches of 2 "
    assert runner.main(["small.yaml", "--plan"]) == 0
    assert f"odd (given): {said}" in capsys.readouterr().out
    assert runner.main(["small.yaml"]) == 0
    assert capsys.readouterr().err.count(f"odd (given): {said}") == 1
    page = Path("reports/small/report.md").read_text()
    assert f"\n- E{said[1:]}" in page and "5 train / 1 val / 1 test, 2 classes" in page
    costs = [json.loads(file.read_bytes()) for file in Path("runs").rglob("train-*/cost.json")]
    # Two epochs of four images; both figures are rounded.
    assert all(abs(c["images_per_second"] * c["seconds"] - 8) < 0.1 for c in costs)
    flags = "--image_size 32 --epoch 1 --batch_size 2 --val_path data/odd/val"
    by_hand = "train --model_name mobilenetv2 --save_path run --train_path data/odd/train"
    assert commands([*by_hand.split(), *flags.split(), "--device", "cpu"]) == 0
    assert capsys.readouterr().err.count(said) == 1
    Path("small.yaml").write_text(odd)
    assert runner.main(["small.yaml", "--plan"]) == 0
    out = capsys.readouterr().out
    assert "odd (given): batch_size 16 is more than the 5 training images" in out
    assert said not in out


@pytest.mark.parametrize(
    "data", ["鳥" * 80, "a" * 240, "b" * 255], ids=["multi-byte", "240", "255"]
)
def test_the_longest_names_run(data: str, small: Path) -> None:
    """Of the data's folder and of the matrix, whose report has a mark at its end."""
    make_images(Path("data", data), {"a": 5, "b": 5})
    one = SMALL.replace("{name: digits, limit: 10}", f"{{folder: {data}}}")
    for name in (f"{'m' * 249}1", f"{'m' * 249}2"):
        Path(f"{name}.yaml").write_text(one.replace("[false, AutoAugment]", "[false]"))
        assert runner.main([f"{name}.yaml", "--seeds", "0", "--set", "train.epochs=1"]) == 0
    first, second = (folder.name for folder in sorted(Path("reports").iterdir()))
    assert len(first) == len(second) == 255 and first[:200] == second[:200]
    assert first[-9:] == second[-9:] and first[-9] == "+", "the mark is whole"


def test_the_order_of_jobs_changes_no_number(small: Path) -> None:
    Path("backwards.yaml").write_text(
        SMALL.replace("[false, AutoAugment]", "[AutoAugment, false]").replace("[0, 1]", "[1, 0]")
    )
    for name in ("small", "backwards"):
        assert runner.main([f"{name}.yaml", "--runs", name, "--jobs-per-device", "2"]) == 0
    forward, backward = (Store(Path(name)).read().records for name in ("small", "backwards"))
    assert forward == backward
    for file in Path("small").rglob("best.safetensors"):
        assert file.read_bytes() == Path("backwards", *file.parts[1:]).read_bytes()


def test_a_job_that_fails_leaves_the_others(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a learning rate at which the loss is no number, which only training shows."""
    Path("small.yaml").write_text(
        SMALL.replace("augment: [false, AutoAugment]", "lr: [1e-4, 1e30]")
        .replace("rows: augment", "rows: lr")
        .replace("[0, 1]", "[0]")
    )
    assert runner.main(["small.yaml"]) == 1
    captured = capsys.readouterr()
    assert "the loss is nan at step " in captured.out
    assert "work-train-" in captured.out and "log.txt" in captured.out
    table = Path("reports/small/small.md").read_text().splitlines()
    assert table[3] == "| 1e+30 | failed | failed |"
    assert table[2].startswith("| 0.0001 | 0.") and "failed" not in table[2]
    assert "1 of 4 jobs failed, 1 blocked: what they need failed" in captured.err
    assert runner.main(["small.yaml", "--plan", "--json"]) == 0
    states = {
        (job["settings"].get("lr"), job["kind"]): job["state"]
        for job in json.loads(capsys.readouterr().out)["jobs"]
    }
    assert states[1e30, "train"] == "failed"
    assert states[1e-4, "train"] == "done"


def test_killed_and_run_again_it_does_only_what_was_not_done(small: Path) -> None:
    """SIGKILL of the runner: no process stays, and no finished job is done again."""
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 6"))
    command = [sys.executable, str(ROOT / "runner.py"), "small.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait(lambda: len(records()) >= 2 and process.poll() is None)
    family = psutil.Process(process.pid).children(recursive=True)
    assert family, "the fork server and its jobs"
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait(lambda: not any(child.is_running() and child.status() != "zombie" for child in family))
    done = records()
    assert 2 <= len(done) < 8
    assert runner.main(["small.yaml"]) == 0
    after = records()
    assert len(after) == 8
    assert all(after[path] == written for path, written in done.items())
    assert not list(Path("runs").rglob("work-*"))


def test_ctrl_c_ends_with_130_and_leaves_no_process(small: Path) -> None:
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    command = [sys.executable, str(ROOT / "runner.py"), "small.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait(lambda: bool(list(Path("runs").rglob("state-*.pt"))))
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command goes on from here" in err
    assert "Traceback" not in err
    _wait(lambda: not any(child.is_running() and child.status() != "zombie" for child in family))


def test_ctrl_c_while_torch_is_imported(small: Path) -> None:
    """A terminal sends it to the runner and the fork server alike; one line is all that is said."""
    command = [sys.executable, str(ROOT / "runner.py"), "small.yaml"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("starting")
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        130,
        "interrupted; the same command goes on from here\n",
    )
    assert not Path("runs").exists()


def _in_a_terminal() -> None:
    """The session's own, whose end is heeded: the tests themselves may run under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_terminal_that_is_closed_keeps_what_was_reached(small: Path) -> None:
    """Its end is SIGHUP, and an error for whatever is printed from then on."""
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "runner.py"), "small.yaml", "--checkpoint-minutes", "0"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_in_a_terminal,
    )
    os.close(slave)
    os.set_blocking(master, False)

    def both_have_kept_a_state() -> bool:
        with suppress(BlockingIOError):
            os.read(master, 2**16)  # or it would wait until somebody does
        return len({file.parent for file in Path("runs").rglob("state-*.pt")}) == 2

    _wait(both_have_kept_a_state)
    family = psutil.Process(process.pid).children(recursive=True)
    before = {file.parent: file.name for file in sorted(Path("runs").rglob("state-*.pt"))}
    os.close(master)
    assert process.wait(timeout=60) == 130
    _wait(lambda: not any(child.is_running() and child.status() != "zombie" for child in family))
    after = {file.parent: file.name for file in sorted(Path("runs").rglob("state-*.pt"))}
    assert after.keys() == before.keys()
    assert all(after[folder] > name for folder, name in before.items()), "kept as it stopped"
    assert not list(Path("runs").rglob("failure.json"))
    assert not list(Path("runs/.leases").iterdir()), "nobody works there"


def test_nohup_is_heeded(small: Path) -> None:
    command = ["nohup", sys.executable, str(ROOT / "runner.py"), "small.yaml", "--seeds", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _wait(lambda: bool(list(Path("runs").rglob("work-*"))))
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 0 and len(records()) == 4


def test_a_run_outlives_the_reader_of_its_pipe(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both the lines while it runs and the tables of two reports go nowhere; one job fails."""
    one = SMALL.replace("seeds: [0, 1]", "seeds: [0]")
    failing = one.replace("augment: [false, AutoAugment]", "lr: [1e30, 1e-3]")
    Path("small.yaml").write_text(one)
    Path("other.yaml").write_text(failing.replace("rows: augment", "rows: lr"))
    command = f"{sys.executable} {ROOT / 'runner.py'} other.yaml small.yaml 2>&1 | true"
    bash = ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(bash, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert len(records()) == 4, "the plain one stands in both"
    for name, lacking in (("other", True), ("small", False)):
        assert ("failed" in Path(f"reports/{name}/small.md").read_text()) == lacking
    assert runner.main(["other.yaml", "small.yaml", "--plan", "--json"]) == 0
    states = [job["state"] for job in json.loads(capsys.readouterr().out)["jobs"]]
    assert sorted(states) == ["blocked"] + ["done"] * 4 + ["failed"]


def _runners(count: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, str(ROOT / "runner.py"), "small.yaml", "--jobs-per-device", "1"]
    return [
        subprocess.Popen(
            [*command, "--reports", f"reports{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def _done_by(output: str) -> list[str]:
    """The jobs that a runner says it has done itself."""
    lines = [line for line in output.splitlines() if " done " in line]
    return [
        line.partition(":")[0].split("done")[1] for line in lines if "there already" not in line
    ]


def test_two_runners_share_a_store(small: Path) -> None:
    """Each job is done once, by one of them, and both end with the same report."""
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 4"))
    first, second = (runner.communicate(timeout=180) for runner in _runners(2))
    done = [*_done_by(first[0]), *_done_by(second[0])]
    assert len(done) == len(set(done)) == 8
    assert _done_by(first[0]) and _done_by(second[0]), "both worked"
    assert "there already" in first[0] + second[0]
    for name in ("small.md", "report.md"):
        assert Path("reports0/small", name).read_text() == Path("reports1/small", name).read_text()
    assert not list(Path("runs").rglob("work-*")) and not list(Path("runs/.leases").iterdir())


def test_of_two_runners_one_is_killed_and_the_other_finishes(small: Path) -> None:
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 6"))
    killed, survivor = _runners(2)
    _wait(lambda: len(records()) >= 1 and len(list(Path("runs").rglob("state-*.pt"))) >= 2)
    killed.kill()
    killed.communicate()
    before = records()
    survivor.communicate(timeout=180)
    assert survivor.returncode == 0
    after = records()
    assert len(after) == 8 and all(after[path] == written for path, written in before.items())


@pytest.mark.parametrize("flag", ["--runs", "--reports", "--data-root"])
@pytest.mark.parametrize("what", ["--plan", "--report", "--status"])
def test_a_file_is_no_folder(
    flag: str, what: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["small.yaml", what, flag, "small.yaml"]) == 2
    assert f"error: {flag} small.yaml is a file, not a folder" in capsys.readouterr().err


def test_a_pipe_that_closes_is_no_error() -> None:
    command = (
        f"{sys.executable} {ROOT / 'runner.py'} {CHANGELOG[0]} --plan --runs /nowhere | head -1"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_report_after_the_data_changed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(Path("data/birds"), {"a": 10, "b": 10}, (16, 16))
    Path("m.yaml").write_text(
        "title: T\ndata: {folder: birds}\n"
        "train: {model: mobilenetv2, image_size: 16, batch_size: 4, epochs: 1}\n"
        "matrix: {rdrop: [false]}\n"
        "tables:\n  t: {rows: rdrop, columns: [{header: v, split: val}]}\n"
    )
    assert runner.main(["m.yaml", "--devices", "cpu"]) == 0
    Image.new("RGB", (16, 16), (1, 2, 3)).save("data/birds/a/0.png")
    capsys.readouterr()
    assert runner.main(["m.yaml", "--report"]) == 2
    said = capsys.readouterr().err
    assert "error: m.yaml: nothing to report: its 2 record(s) are left out, for the data ch" in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_closed_streams_cost_no_job(closed: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "title: T\ndata: {name: digits, limit: 30}\n"
        "train: {model: mobilenetv2, image_size: 16, batch_size: 32, epochs: 1}\n"
        "matrix: {rdrop: [false]}\n"
        "tables:\n  t: {rows: rdrop, columns: [{header: v, split: val}]}\n"
    )
    command = f"{sys.executable} {ROOT / 'runner.py'} m.yaml --devices cpu {closed}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
    assert "failed" not in (tmp_path / "reports" / "m" / "t.md").read_text()


def _wait(condition: Callable[[], object], seconds: float = 120) -> None:
    """Folders that are looked through may go meanwhile: that is not yet."""
    end = time.monotonic() + seconds
    while True:
        with suppress(FileNotFoundError):
            if condition():
                return
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)
