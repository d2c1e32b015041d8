"""A matrix whose arms one training does: run, killed, made longer, by two runners at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import runner
from classifier.basics.place import Place
from classifier.config.tracks import track_of
from classifier.job import train
from classifier.records import runs
from classifier.records.record import TrainRecord
from experiments.store.store import Store
from tests.test_runner import ROOT, _wait

MATRIX = """\
title: T
data: {name: digits, limit: 15}
train: {model: test_resnet, image_size: 32, batch_size: 20, lr: 0.01}
matrix:
  epochs: [EPOCHS]
  best: [accuracy, loss]
  patience: [0, 2]
  ema: [false, {decay: 0.9, tau: 3.0}]
tables:
  t:
    rows: epochs
    columns:
COLUMNS
"""
COLUMN = (
    "      - {{header: '{best} {patience} {ema}', split: val, "
    "where: {{best: {best}, patience: {patience}, ema: {ema}}}}}"
)
LOOKS = (("accuracy", 0, "false"), ("loss", 2, "false"), ("loss", 0, "{decay: 0.9, tau: 3.0}"))


def write(epochs: str) -> None:
    columns = "\n".join(
        COLUMN.format(best=best, patience=patience, ema=ema) for best, patience, ema in LOOKS
    )
    Path("m.yaml").write_text(MATRIX.replace("EPOCHS", epochs).replace("COLUMNS", columns))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("2, 4")
    return tmp_path


def trained() -> dict[tuple[str, str], tuple[TrainRecord, bytes]]:
    """All that the store holds of trainings."""
    results = Store(Path("runs")).read()
    return {
        key: (record, (results.folders[key] / runs.CHECKPOINT).read_bytes())
        for key, record in results.records.items()
        if isinstance(record, TrainRecord)
    }


def names() -> dict[int, set[str]]:
    """Of what was trained, by epochs."""
    results = Store(Path("runs")).read()
    found: dict[int, set[str]] = {}
    for key, record in results.records.items():
        if isinstance(record, TrainRecord):
            found.setdefault(record.spec.epochs, set()).add(str(results.costs[key].training))
    return found


def check_against_separate_trainings(
    found: dict[tuple[str, str], tuple[TrainRecord, bytes]], folder: Path
) -> None:
    for record, weights in found.values():
        at = folder / f"alone-{record.signature}-{record.track}"
        place = Place(folder / "data", threads=record.environment.threads)
        (alone,) = train(record.spec, at, place, tracks=(track_of(record.track),))
        assert alone.record == record
        assert (at / record.unit / runs.CHECKPOINT).read_bytes() == weights


def test_one_training_then_longer_ones(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six records of one training; then two more epochs of the same."""
    assert runner.main(["m.yaml", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "1 training (one command for each arm would train 6 times)" in said
    assert runner.main(["m.yaml"]) == 0
    first = trained()
    assert len(first) == 6 and len(set.union(*names().values())) == 1
    check_against_separate_trainings(first, here)
    (kept,) = Path("runs/.states").iterdir()
    assert list(kept.glob("state-000004-*.pt"))
    assert runner.main(["--status"]) == 0
    assert "kept states of 1 training, " in capsys.readouterr().out
    write("2, 4, 6")
    assert runner.main(["m.yaml", "--plan"]) == 0
    assert "goes on after epoch 4" in capsys.readouterr().out
    assert runner.main(["m.yaml"]) == 0
    after = trained()
    assert len(after) == 9 and all(after[key] == first[key] for key in first)
    longer = {key: each for key, each in after.items() if key not in first}
    check_against_separate_trainings(longer, here)
    assert len(set.union(*names().values())) == 1, "it went on, and was not begun anew"
    capsys.readouterr()
    assert runner.main(["m.yaml", "--prune", "--yes"]) == 0
    assert "nothing to delete" in capsys.readouterr().out
    Path("m.yaml").write_text(Path("m.yaml").read_text().replace("lr: 0.01", "lr: 0.02"))
    assert runner.main(["m.yaml", "--prune", "--yes"]) == 0
    assert not list(Path("runs/.states").iterdir())


def test_what_is_kept_outlives_a_run_that_keeps_nothing(here: Path) -> None:
    """A matrix without an axis of epochs, of the same training: with `--keep-states` and not."""
    text = Path("m.yaml").read_text().replace("  epochs: [2, 4]\n", "")
    text = text.replace("rows: epochs", "rows: model").replace("model: test_resnet, ", "")
    text = text.replace("lr: 0.01", "lr: 0.01, epochs: 2")
    text = text.replace("matrix:\n", "matrix:\n  model: [test_resnet]\n")
    Path("m.yaml").write_text(text)
    assert runner.main(["m.yaml"]) == 0
    assert not list(Path("runs/.states").iterdir()), "nobody asked for it"
    shutil.rmtree("runs")
    assert runner.main(["m.yaml", "--keep-states"]) == 0
    assert list(Path("runs/.states").glob("*/state-000002-*.pt"))
    Path("m.yaml").write_text(text.replace("epochs: 2", "epochs: 3"))
    assert runner.main(["m.yaml"]) == 0
    assert len(set.union(*names().values())) == 1
    (kept,) = Path("runs/.states").iterdir()
    assert list(kept.glob("state-000003-*.pt"))
    check_against_separate_trainings(trained(), here)


def test_killed_it_goes_on_and_what_was_done_stays(here: Path) -> None:
    write("1, 2, 40")
    command = [sys.executable, str(ROOT / "runner.py"), "m.yaml", "--checkpoint-minutes", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait(lambda: len(list(Path("runs").glob("*/train-*/record.json"))) >= 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = trained()
    assert {record.spec.epochs for record, _ in before.values()} >= {1, 2}
    write("1, 2, 5")
    assert runner.main(["m.yaml"]) == 0
    after = {key: each for key, each in trained().items() if each[0].spec.epochs != 40}
    assert len(after) == 9
    assert all(after[key] == each for key, each in before.items() if key in after)
    check_against_separate_trainings(after, here)


def test_two_runners_share_one_training(here: Path) -> None:
    """Of overlapping matrices: the shorter ones are trained once."""
    write("2, 4")
    Path("other.yaml").write_text(Path("m.yaml").read_text().replace("[2, 4]", "[2, 4, 6]"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "runner.py"), matrix],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for matrix in ("m.yaml", "other.yaml")
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    found = trained()
    assert len(found) == 9
    by_epochs = names()
    assert len(by_epochs[2] | by_epochs[4]) == 1
    assert not any("were done by another runner as well" in each for each in said)
    check_against_separate_trainings(found, here)
