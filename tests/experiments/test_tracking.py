"""`--tensorboard` and `--mlflow`: what is read back, once each, and that no tracker costs a run."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import runner
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from classifier.records.kept import Seen, SeenTrack
from classifier.records.record import Epoch, TrainRecord
from experiments.plan.jobs import Job
from experiments.store.store import Store
from experiments.tracking.track import Feed, Trackers
from experiments.tracking.tracker import EPOCH, Known, Report, Run, Status, Step, name_of

ROOT = Path(__file__).parents[2]
EPOCHS = 12
MATRIX = f"""\
title: Tracked
seeds: [0]
data: {{name: digits, limit: 10}}
train: {{model: mobilenetv2, image_size: 32, batch_size: 16, epochs: {EPOCHS}, patience: 0}}
matrix: {{ema: [false, {{decay: 0.9, tau: 10}}]}}
tables:
  averaged:
    rows: ema
    columns: [{{header: val accuracy, split: val}}]
    baseline: {{ema: false}}
"""


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MATRIX)
    return tmp_path


# What is read back

COMMAND = (
    *("m.yaml", "--devices", "cpu"),
    *("--tensorboard", "tb", "--mlflow", "sqlite:///m.db"),
)

LOOKS_OFTEN = """
import sys, runner
from experiments.tracking.track import Feed
Feed.__init__.__kwdefaults__["look_seconds"] = 0.05
sys.exit(runner.main(sys.argv[1:]))
"""
"""So that it can be killed between two epochs of a short training."""


def board(root: str = "tb") -> dict[str, dict[str, list[tuple[int, Any]]]]:
    """Of each run of TensorBoard: its values by tag, with their steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    found = {}
    for folder in {file.parent for file in Path(root).rglob("events.*")}:
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        events.Reload()
        found[str(folder.relative_to(root))] = {
            tag: [
                (event.step, tensor_util.make_ndarray(event.tensor_proto).item())
                for event in events.Tensors(tag)
            ]
            for tag in events.Tags()["tensors"]
            if not tag.startswith("_hparams_")
        }
    return found


def flow() -> dict[str, Any]:
    """MLflow's runs by their names."""
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///m.db")
    experiment = client.get_experiment_by_name("classifier-ablations")
    runs = client.search_runs([experiment.experiment_id])
    assert len({run.info.run_name for run in runs}) == len(runs), "none twice"
    return {run.info.run_name: run for run in runs}


def history(run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    metrics = MlflowClient("sqlite:///m.db").get_metric_history(run.info.run_id, name)
    return sorted((metric.step, metric.value) for metric in metrics)


def test_a_run_that_is_killed_goes_on_in_both_trackers(tracked: Path) -> None:
    """Each epoch of each track once, as the records have it; then settings, evaluations, report."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    before = subprocess.Popen(
        [sys.executable, "-c", LOOKS_OFTEN, *COMMAND, "--checkpoint-minutes", "0.01"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_for(lambda: epochs_logged() > 0, before)
    finally:
        before.send_signal(signal.SIGKILL)
        before.wait()
    assert not list(Path("reports").rglob("report.md")), "it was killed while it trained"
    assert epochs_logged() < 2 * EPOCHS, "of two tracks"
    assert runner.main(list(COMMAND)) == 0
    check_all_is_there()
    first = board()
    assert runner.main(list(COMMAND)) == 0
    assert board() == first, "nothing is logged twice"
    check_all_is_there()
    assert runner.main(["m.yaml", "--devices", "cpu", "--tensorboard", "new"]) == 0
    assert board("new") == first, "what was done before is logged where it is not"


def epochs_logged() -> int:
    return sum(len(told.get(EPOCH, ())) for told in board().values())


def check_all_is_there() -> None:
    told, runs, store = board(), flow(), Store(Path("runs")).read()
    trained = [each for each in store.records.values() if isinstance(each, TrainRecord)]
    assert len(trained) == 2 and len(told) == len(runs) == 3, "and the report"
    for record in trained:
        (folder,) = (each for each in told if Path(each).name.startswith(record.track))
        of, run = told[folder], runs[folder.replace("/", " ")]
        assert record.signature in folder
        steps = {
            EPOCH: [(row.epoch, row.val_loss) for row in record.history],
            "val/accuracy": [(row.epoch, row.val_accuracy) for row in record.history],
            "train/loss": [(row.epoch, row.train_loss) for row in record.history],
            "lr": [(row.epoch, row.lr) for row in record.history],
            "best/accuracy": [(record.best_epoch, record.accuracy)],
        }
        for name, expected in steps.items():
            assert history(run, name) == expected
            assert [step for step, _ in of[name]] == [step for step, _ in expected]
            assert [v for _, v in of[name]] == pytest.approx([v for _, v in expected], rel=1e-6)
        (evaluated,) = (
            each
            for each in store.records.values()
            if each.kind == "evaluate" and each.track == record.track
        )
        assert run.data.metrics["val-fp32/accuracy"] == evaluated.accuracy
        assert of["val-fp32/loss"] == [(record.best_epoch, pytest.approx(evaluated.loss))]
        assert run.info.status == "FINISHED" and run.data.params["epochs"] == str(EPOCHS)
        place = store.folders[record.signature, record.unit].absolute()
        assert run.data.tags["record"] == str(place) and str(place) in of["settings"][0][1].decode()
    check_report(told["reports/m"], runs["report m"])


def check_report(told: Mapping[str, list[tuple[int, Any]]], run: Any) -> None:
    page = Path("reports/m/report.md").read_text()
    assert told["report"] == [(0, page.encode())]
    assert page.startswith(run.data.tags["mlflow.note.content"])
    assert Path("m-artifacts", run.info.run_id, "artifacts/report.md").read_text() == page
    from reports import records_json

    for cell in records_json.read(Path("reports/m")).cells:
        before = name_of(f"{cell.table}/{cell.row}/{cell.column}")
        expected = {"figure": cell.figure, "low": cell.low, "high": cell.high}
        assert {n: run.data.metrics[f"{before}/{n}"] for n in expected} == expected
        for name, value in expected.items():
            assert told[f"{before}/{name}"] == [(0, pytest.approx(value))]


# What no tracker costs


class Fake:
    """A tracker that remembers, unless it is told to fail or to hang."""

    def __init__(self) -> None:
        self.points: Counter[tuple[str, str, int]] = Counter()
        self.marks: list[tuple[str, Status]] = []
        self.reports: list[Report] = []
        self.error: Exception | None = None
        self.hangs: threading.Event | None = None
        self.opened = 0

    def open(self) -> Fake:
        self.opened += 1
        self._do()
        return self

    def known(self, run: Run) -> Known:
        self._do()
        of = [(name, step) for key, name, step in self.points if key == run.key]
        return Known({step for name, step in of if name == EPOCH}, {name for name, _ in of})

    def log(self, run: Run, steps: Sequence[Step]) -> None:
        self._do()
        self.points.update((run.key, name, step.at) for step in steps for name in step.values)

    def mark(self, run: Run, status: Status, about: Mapping[str, str]) -> None:
        self._do()
        self.marks.append((run.key, status))

    def report(self, report: Report) -> None:
        self._do()
        self.reports.append(report)

    def close(self) -> None: ...

    def epochs(self) -> list[int]:
        assert set(self.points.values()) <= {1}, "nothing twice"
        return sorted(step for _, name, step in self.points if name == EPOCH)

    def _do(self) -> None:
        if self.hangs is not None:
            self.hangs.wait(600)
        if self.error is not None:
            raise self.error


SPEC = TrainSpec(data=DataSpec(name="digits"), model="ghostnet", seed=0, epochs=5, patience=0)
JOB = Job(SPEC, tracks=(RAW,))
REPORT = Report("m", "# M", {("t", "a", "b"): {"figure": 0.5}}, [])


def keep(store: Store, epochs: int, data: str = "digits") -> None:
    """As a training keeps its state."""
    rows = tuple(
        Epoch(epoch=i, lr=0.1, train_loss=2.0, val_loss=1.0, val_accuracy=0.5, val_mpa=0.5)
        for i in range(epochs)
    )
    track = SeenTrack(history=rows, best=(0,), follows=True)
    seen = Seen(data=data, epoch=epochs, keep=False, tracks={"raw": track})
    folder = store.states(SPEC)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"state-{epochs:06d}-000000000-x.json").write_text(seen.model_dump_json())
    (folder / f"state-{epochs:06d}-000000000-x.pt").touch()


def feed(fake: Fake, store: Store, said: list[str], end_seconds: float = 60.0) -> Feed:
    return Feed("--fake", fake.open, store, said.append, look_seconds=0.01, end_seconds=end_seconds)


def wait_for(is_so: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)


def begun(one: Feed) -> None:
    """It has looked at what was there when the job began."""
    one.begins(JOB)
    wait_for(lambda: JOB.id in one._before or not one._thread.is_alive())


def test_epochs_are_logged_while_they_run_and_once(tmp_path: Path) -> None:
    fake, store, said = Fake(), Store(tmp_path), list[str]()
    keep(store, 1)
    one = feed(fake, store, said)
    one.start([])
    begun(one)
    assert not fake.epochs(), "it may be of other data"
    keep(store, 2)
    wait_for(lambda: fake.epochs() == [0, 1])
    keep(store, 4)
    wait_for(lambda: fake.epochs() == [0, 1, 2, 3])
    keep(store, 9)
    Trackers([one]).end(lambda: [REPORT])
    assert fake.epochs() == [0, 1, 2, 3, 4], "as many as the training has, which another may share"
    assert [status for _, status in fake.marks] == ["stopped"]
    assert fake.reports == [REPORT] and not said


def test_what_was_logged_by_a_runner_that_was_killed_is_not_logged_again(tmp_path: Path) -> None:
    fake, store, said = Fake(), Store(tmp_path), list[str]()
    for epochs in (2, 5):  # each a runner that ends without a word
        keep(store, epochs - 1)
        one = feed(fake, store, said)
        one.start([])
        begun(one)
        keep(store, epochs)
        wait_for(lambda epochs=epochs: fake.epochs() == list(range(epochs)))  # type: ignore[misc]
        one.last([])
        one._thread.join()
    assert not said


def test_edited_data_are_another_run(tmp_path: Path) -> None:
    fake, store = Fake(), Store(tmp_path)
    one = feed(fake, store, [])
    one.start([])
    one.begins(JOB)
    keep(store, 1)
    wait_for(lambda: JOB.id in one._before)
    keep(store, 2)
    wait_for(lambda: len({key for key, _, _ in fake.points}) == 1)
    keep(store, 3, data="edited")
    wait_for(lambda: len({key for key, _, _ in fake.points}) == 2)
    Trackers([one]).end()
    assert fake.epochs() == [0, 0, 1, 1, 2]


def test_one_that_is_away_is_one_warning_and_is_asked_again(tmp_path: Path) -> None:
    fake, store, said = Fake(), Store(tmp_path), list[str]()
    fake.error = ConnectionError("refused\nat length")
    one = feed(fake, store, said)
    one.start([])
    one.begins(JOB)
    wait_for(lambda: bool(said))
    assert said == ["warning: --fake: ConnectionError: refused; the run goes on"]
    keep(store, 1)
    Trackers([one]).end(lambda: [REPORT])
    assert len(said) == 2 and not said[1].startswith("warning")
    lost = "1 unfinished train job, the report of m; the same command logs it later"
    assert said[1] == f"--fake: not logged: {lost}"
    assert fake.opened > 1, "once more at the end"


def test_one_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    fake, store, said = Fake(), Store(tmp_path), list[str]()
    one = feed(fake, store, said)
    one.start([])
    begun_with(one, store)
    fake.error = OSError(errno.ENOSPC, "No space left on device")
    keep(store, 3)
    wait_for(lambda: bool(said))
    fake.error = None
    Trackers([one]).end(lambda: [REPORT])
    assert fake.epochs() == [0, 1, 2] and fake.reports == [REPORT]
    assert len(said) == 1 and "No space left on device" in said[0]


def begun_with(one: Feed, store: Store) -> None:
    keep(store, 1)
    begun(one)


@pytest.mark.parametrize("where", ["opened", "logged"])
def test_one_that_hangs_holds_nobody_and_is_told_once(tmp_path: Path, where: str) -> None:
    fake, store, said = Fake(), Store(tmp_path), list[str]()
    go = threading.Event()
    one = feed(fake, store, said, end_seconds=0.2)
    if where == "opened":
        fake.hangs = go
    one.start([])
    one.begins(JOB)
    keep(store, 1)
    if where == "logged":
        wait_for(lambda: JOB.id in one._before)
        fake.hangs = go
        keep(store, 2)
    two, other = Fake(), list[str]()
    healthy = feed(two, store, other)
    healthy.start([])
    Trackers([one, healthy]).end(lambda: [REPORT])
    lost = "not logged: 1 unfinished train job, the report of m; the same command logs it later"
    assert said == [f"warning: --fake: it does not answer; {lost}"]
    assert two.reports == [REPORT] and not other, "the other tracker hears nothing of it"
    go.set()
    one._thread.join()


def test_what_another_runner_did_is_not_ours_to_log(tmp_path: Path) -> None:
    fake, said = Fake(), list[str]()
    one = feed(fake, Store(tmp_path), said)
    one.start([])
    one.ends(JOB, "")
    one.begins(JOB)
    one.ends(JOB, "it failed")
    Trackers([one]).end()
    assert not fake.points and not fake.marks and not said


def test_a_file_that_broke_off_is_read_up_to_there(tmp_path: Path) -> None:
    """As a full disk or a kill leaves it."""
    pytest.importorskip("tensorboard")
    from experiments.tracking.tensorboard import TensorBoard

    run = Run("key", "run", "raw", {"lr": "0.1|"}, {"record": "there"})
    step = [Step(epoch, {EPOCH: 1.0, "lr": 0.5}) for epoch in range(3)]
    first = TensorBoard(tmp_path)
    assert first.known(run) == Known()
    first.log(run, step[:2])
    (file,) = tmp_path.rglob("events.*")
    file.write_bytes(file.read_bytes()[:-3])
    second = TensorBoard(tmp_path)
    known = second.known(run)
    assert known.epochs == {0} and {EPOCH, "lr", "settings"} <= known.names
    second.log(run, step[1:])
    assert TensorBoard(tmp_path).known(run).epochs == {0, 1, 2}


def test_a_server_that_is_away_costs_one_warning(
    tracked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://someone:secret@127.0.0.1:{port}"
    small = ["--set", "train.epochs=1", "--set", "train.ema=false", "--devices", "cpu"]
    assert runner.main(["m.yaml", *small, "--mlflow", uri]) == 0
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1 and f"--mlflow http://***@127.0.0.1:{port}: " in said
    assert "not logged: 1 train job, 1 evaluate job, the report of m" in said
    assert "secret" not in said and "Traceback" not in said


# What is known to be wrong before anything runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tensorboard", "m.yaml"], "--tensorboard m.yaml can't be written; name another folder"),
        (["--tensorboard", "m.yaml/tb"], "--tensorboard m.yaml/tb can't be written; name another"),
        (["--mlflow", "sqlite:///"], "is a folder; name a file, sqlite:///FILE"),
        (["--mlflow", "sqlite:///no/m.db"], "--mlflow sqlite:///no/m.db: there is no folder no"),
        (["--mlflow", "sqlite:///m.yaml"], "m.yaml is no SQLite database; name another file"),
        (["--mlflow", "mlruns"], "--mlflow mlruns: name sqlite:///FILE or a server, http://HOST"),
        (["--mlflow", "http://"], "--mlflow http://: name sqlite:///FILE or a server"),
    ],
)
def test_a_place_that_can_be_none_is_an_error(
    tracked: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    assert runner.main(["m.yaml", *options]) == 2
    said = capsys.readouterr().err
    assert message in said and said.startswith("error: ") and said.count("\n") == 1
    assert [file.name for file in tracked.iterdir()] == ["m.yaml"], "nothing is written"


@pytest.mark.parametrize(
    ("options", "module"),
    [
        (["--tensorboard", "tb"], "tensorboard"),
        (["--mlflow", "http://127.0.0.1:5000"], "mlflow"),
        (["--mlflow", "sqlite:///m.db"], "sqlalchemy"),
    ],
)
def test_an_extra_that_is_missing_is_named(
    tracked: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    module: str,
) -> None:
    monkeypatch.setattr(
        "experiments.tracking.options.find_spec", lambda name: None if name == module else name
    )
    assert runner.main(["m.yaml", *options]) == 2
    extra = options[0].removeprefix("--")
    install = f"pip install 'classifier-ablations[{extra}]'"
    assert capsys.readouterr().err == f"error: {options[0]} needs {module}: {install}\n"
    assert [file.name for file in tracked.iterdir()] == ["m.yaml"], "nothing is written"


def test_trackers_import_no_torch() -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    code = (
        "import sys; import experiments.tracking.tensorboard, experiments.tracking.mlflow\n"
        "from experiments.tracking.options import trackers\n"
        "assert not {'torch', 'tensorflow', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_without_trackers_none_of_them_is_imported() -> None:
    code = (
        "import sys; import experiments.session.running\n"
        "assert not {'tensorboard', 'mlflow', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
