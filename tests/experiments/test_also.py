"""--also: what is finished in somebody else's runs folder is used, checked, named, and left as it
is."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import runner
from classifier.basics.files import digest
from experiments import load
from experiments.session.options import checked
from experiments.session.runner import Runner
from tests.experiments.test_upkeep import HALF, MATRIX


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colleague's folder, where a small matrix was run."""
    folder = tmp_path_factory.mktemp("colleague") / "desk"  # a report tells its name
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("small.yaml").write_text(MATRIX)
        assert runner.main(["small.yaml"]) == 0
    return folder


@pytest.fixture
def theirs(lender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy; one's own folder beside it is empty."""
    shutil.copytree(lender / "runs", tmp_path / "theirs")
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    Path("small.yaml").write_text(MATRIX)
    return tmp_path / "theirs"


def listing(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All that a write or a touch would change."""
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.lstat().st_ctime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (folder, *sorted(folder.rglob("*")))
    }


def plan(*options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert runner.main(["small.yaml", "--plan", "--json", *options]) == 0
    return {job["id"]: job for job in json.loads(capsys.readouterr().out)["jobs"]}


def states_of(jobs: dict[str, dict[str, object]]) -> dict[str, set[object]]:
    found: dict[str, set[object]] = {}
    for job in jobs.values():
        found.setdefault(str(job["kind"]), set()).add(job["state"])
    return found


def test_nothing_is_done_again(
    theirs: Path, lender: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report is theirs to the byte, but for where it is from; their folder stays as it was."""
    before = listing(theirs)
    also = ["--also", str(theirs)]
    assert {job["state"] for job in plan(*also, capsys=capsys).values()} == {"done"}
    assert {job["reason"] for job in plan(*also, capsys=capsys).values()} == {f"from {theirs}"}
    assert runner.main(["small.yaml", "--plan", *also]) == 0
    assert f"\nfrom {theirs}: 5 jobs\n" in capsys.readouterr().out
    assert runner.main(["small.yaml", *also]) == 0
    assert "nothing to do: all 5 jobs are done" in capsys.readouterr().out
    assert listing(theirs) == before
    assert not list(Path().glob("runs/*"))
    mine, of_them = Path("reports/small"), lender / "reports/small"
    for name in ("small.md", "records.json", "verdicts.csv", "verdicts.json"):
        assert (mine / name).read_bytes() == (of_them / name).read_bytes(), name
    said = f"- from {theirs}: 5 records\n"
    page = (mine / "report.md").read_text()
    assert said in page and page.replace(said, "") == (of_them / "report.md").read_text()
    assert f"from {theirs}: 5 records" in (mine / "index.html").read_text()
    rows = list(csv.DictReader((mine / "results.csv").read_text().splitlines()))
    assert {row.pop("from") for row in rows} == {str(theirs)}
    assert rows == list(csv.DictReader((of_them / "results.csv").read_text().splitlines()))


def test_their_checkpoint_is_evaluated_and_the_rest_is_trained(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evaluation that they lack is done with their weights, and lies in one's own folder. A
    training that they lack is done."""
    for unit in theirs.glob("*/evaluate-*"):
        shutil.rmtree(unit)
    lost = next(theirs.glob("*-s0-*"))
    shutil.rmtree(lost)
    before = listing(theirs)
    also = ["--also", str(theirs)]
    found = plan(*also, capsys=capsys).values()
    states = sorted(f"{job['kind']} {job['state']}" for job in found)
    assert states == [
        *("benchmark done", "evaluate todo", "evaluate todo", "train done", "train todo"),
    ]
    assert runner.main(["small.yaml", *also]) == 0
    assert listing(theirs) == before
    (kept,) = theirs.glob("*/train-raw")
    (trained,) = Path().glob("runs/*/train-*")
    assert trained.parent.name == lost.name
    evaluated = {file.parent.parent.name: file for file in Path().glob("runs/*/evaluate-*/*.json")}
    record = json.loads((evaluated[kept.parent.name].parent / "record.json").read_text())
    assert record["checkpoint"] == digest(kept / "best.safetensors")
    assert len(evaluated) == 2
    assert f"- from {theirs}: 2 records\n" in Path("reports/small/report.md").read_text()
    rows = list(csv.DictReader(Path("reports/small/results.csv").read_text().splitlines()))
    assert sorted(row["kind"] for row in rows if row["from"]) == ["benchmark", "train"]
    capsys.readouterr()
    assert {job["state"] for job in plan(*also, capsys=capsys).values()} == {"done"}
    without = states_of(plan(capsys=capsys))
    assert without["benchmark"] == {"todo"} and without["train"] == {"done", "todo"}


def test_what_is_damaged_there_is_not_used(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted(theirs.glob("*/train-raw"))
    weights = first / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    record = second / "record.json"
    record.write_text(record.read_text().replace('"lr": 0.01', '"lr": 0.02'))
    (bench,) = theirs.glob("*/benchmark-*")
    (bench / "record.json").write_text("{")
    before = listing(theirs)
    assert runner.main(["small.yaml", "--plan", "--json", "--also", str(theirs)]) == 0
    said = capsys.readouterr()
    assert {job["state"] for job in json.loads(said.out)["jobs"]} == {"todo"}
    lines = said.err.splitlines()
    assert f"warning: {weights} is not the checkpoint that was trained; it is not used" in lines
    assert any(f"warning: {bench / 'record.json'} is damaged or of" in line for line in lines)
    assert listing(theirs) == before


def test_an_evaluation_that_its_predictions_do_not_give_is_not_used(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is done here, with their checkpoint."""
    first, second = sorted(theirs.glob("*/evaluate-*"))
    told = json.loads((first / "record.json").read_text())
    (first / "record.json").write_text(json.dumps(told | {"accuracy": 0.987}))
    (second / "predictions.npz").unlink()
    assert runner.main(["small.yaml", "--plan", "--json", "--also", str(theirs)]) == 0
    said = capsys.readouterr()
    jobs = json.loads(said.out)["jobs"]
    assert {job["state"] for job in jobs if job["kind"] == "evaluate"} == {"todo"}
    assert {job["state"] for job in jobs if job["kind"] != "evaluate"} == {"done"}
    forged, lost = said.err.splitlines()
    assert forged.startswith(f"warning: {first / 'predictions.npz'} gives accuracy ")
    assert forged.endswith(", its record 0.987; it is not used")
    assert lost == f"warning: {second / 'predictions.npz'} is missing; it is not used"


NLL = "      - {header: nll, split: val, metric: nll}\n"


def test_of_a_folder_that_changes_meanwhile_the_missing_figures_are_named(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of theirs is to be deleted."""
    Path("small.yaml").write_text(MATRIX + NLL)
    begun = Runner([load(Path("small.yaml"))], checked(also=(str(theirs),)))
    lost = next(theirs.glob("*/evaluate-*/predictions.npz"))
    lost.unlink()
    outcome = begun.run(progress=False)
    assert outcome.is_done and not outcome.report.is_whole
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"figures are missing: {lost} is missing; {theirs} has changed since")
    assert "delete" not in said


def test_a_checkpoint_that_changes_meanwhile_is_nothing_to_delete(theirs: Path) -> None:
    Path("small.yaml").write_text(f"{MATRIX}      - {{header: test, split: test}}\n")
    begun = Runner([load(Path("small.yaml"))], checked(also=(str(theirs),)))
    changed, lost = sorted(theirs.glob("*/train-raw/best.safetensors"))
    changed.write_bytes(b"weights")
    lost.unlink()
    failed = {each.reason for each in begun.run(progress=False).failed}
    told = "that folder has changed since this began: run the same command again"
    damaged = f"{changed} is damaged: it is not what was trained"
    assert failed == {f"{damaged}; {told}", f"{lost} is missing; {told}"}


def test_a_record_of_other_settings_is_not_used(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = next(theirs.glob("*/train-raw")) / "record.json"
    told = json.loads(record.read_text())
    told["spec"]["epochs"] = 2
    record.write_text(json.dumps(told))
    assert runner.main(["small.yaml", "--plan", "--also", str(theirs)]) == 0
    assert f"{record} is not what its name and settings say; it is not used" in (
        capsys.readouterr().err
    )


def test_a_half_of_a_training_is_none(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its tracks were not trained together with one that would be trained here."""
    text = MATRIX.replace("matrix:\n", "matrix:\n  ema: [false, {decay: 0.9, tau: 10}]\n")
    text = text.replace("split: val}", "split: val, where: {ema: false}}", 1)
    average = "      - {header: e, split: val, where: {ema: {decay: 0.9, tau: 10}}}\n"
    Path("small.yaml").write_text(
        text.replace("      - {header: FPS", f"{average}      - {{header: FPS")
    )
    found = states_of(plan("--also", str(theirs), capsys=capsys))
    assert found == {"train": {"todo"}, "evaluate": {"todo"}, "benchmark": {"done"}}


def test_the_first_of_two_folders_counts_and_ones_own_before_them(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(theirs, other)
    lost, kept = sorted(theirs.glob("*-s0-*"))
    shutil.rmtree(lost)
    both = ["--also", str(theirs), "--also", str(other)]
    reasons = [job["reason"] for job in plan(*both, capsys=capsys).values()]
    assert sorted(reasons, key=str) == sorted([f"from {theirs}"] * 3 + [f"from {other}"] * 2)
    shutil.copytree(kept, Path("runs") / kept.name)
    reasons = [job["reason"] for job in plan(*both, capsys=capsys).values()]
    assert sorted(reasons, key=str) == sorted(
        [f"from {theirs}"] + [f"from {other}"] * 2 + [None] * 2, key=str
    )


def test_a_folder_of_other_data_hides_none_of_these(
    theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone it is what the plan finds, and says that its data are others."""
    other = tmp_path / "other"
    shutil.copytree(theirs, other)
    for file in other.glob("*/*/record.json"):
        text = file.read_text()
        file.write_text(re.sub('"fingerprint": "[0-9a-f]+"', f'"fingerprint": "{"0" * 16}"', text))
    lenders = ["--also", str(other), "--also", str(theirs)]
    jobs = plan(*lenders, capsys=capsys).values()
    reasons = {job["reason"] for job in jobs if job["kind"] != "benchmark"}
    assert reasons == {f"from {theirs}"}
    alone = plan("--also", str(other), capsys=capsys).values()
    reasons = {str(job["reason"]).split(" (")[0] for job in alone if job["kind"] == "train"}
    assert reasons == {"the data changed"}


def test_a_training_of_ones_own_takes_no_evaluation_of_theirs(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that looks at a training is of its own weights."""
    for run in sorted(theirs.glob("*-s0-*")):
        shutil.copytree(run / "train-raw", Path("runs") / run.name / "train-raw")
    found = states_of(plan("--also", str(theirs), capsys=capsys))
    assert found == {"train": {"done"}, "evaluate": {"todo"}, "benchmark": {"done"}}


def test_a_folder_named_by_hand_is_found(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, run in enumerate(sorted(theirs.glob("*-s0-*"))):
        run.rename(theirs / f"try {number}")
    assert states_of(plan("--also", str(theirs), capsys=capsys))["train"] == {"done"}


def test_no_folder_is_the_users_mistake(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["small.yaml", "--plan", "--also", "away"]) == 2
    assert "--also away is not there" in capsys.readouterr().err


def test_it_goes_into_an_archive(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["small.yaml", "--also", str(theirs), "--archive", "small.zip"]) == 0
    said = capsys.readouterr().out
    assert "small.zip: 5 records" in said and "left out: 2 checkpoints" in said
    assert f"; --also {theirs} uses them\n" in said
    assert runner.main(["--verify", "small.zip"]) == 0


@pytest.fixture
def memory(theirs: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """A storage that is no folder, with their runs."""
    files = fsspec.filesystem("memory")
    files.put(f"{theirs}/", "/bucket/runs", recursive=True)
    yield files
    files.rm("/bucket", recursive=True)


def _reads_a_server(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = plan("--also", url, capsys=capsys).values()
    assert {(job["state"], job["reason"]) for job in jobs} == {("done", f"from {url}")}
    assert runner.main(["small.yaml", "--also", url]) == 0
    assert "nothing to do: all 5 jobs are done" in capsys.readouterr().out
    assert f"- from {url}: 5 records" in Path("reports/small/report.md").read_text()


def test_what_lies_on_a_server_is_copied_once(
    memory: fsspec.AbstractFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Again only where it changed there; what is gone there is gone here."""
    url, fetched = "memory://bucket/runs", []
    get = type(memory).get_file

    def counted(self: object, path: str, *rest: object, **more: object) -> object:
        fetched.append(path)
        return get(self, path, *rest, **more)

    monkeypatch.setattr(type(memory), "get_file", counted)
    before = {path: memory.cat(path) for path in memory.find("/bucket")}
    _reads_a_server(url, capsys)
    assert len(fetched) == len(set(fetched)) > 10
    assert {path: memory.cat(path) for path in memory.find("/bucket")} == before
    fetched.clear()
    record = next(path for path in before if "/evaluate-" in path and path.endswith("record.json"))
    memory.pipe(record, b"{")
    assert runner.main(["small.yaml", "--plan", "--also", url]) == 0
    assert fetched == [record]
    assert "record.json is damaged or of another version" in capsys.readouterr().err
    memory.rm(record.rpartition("/")[0], recursive=True)
    states = states_of(plan("--also", url, capsys=capsys))
    assert states["evaluate"] == {"done", "todo"} and states["train"] == {"done"}


def test_copies_are_counted_and_pruned(
    memory: fsspec.AbstractFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of runs that no given matrix has; they are fetched again when they are wanted."""
    url = "memory://bucket/runs"
    plan("--also", url, capsys=capsys)
    assert runner.main(["--status"]) == 0
    assert "\ncopies of 3 runs from servers, " in capsys.readouterr().out
    Path("half.yaml").write_text(HALF)
    assert runner.main(["half.yaml", "--prune", "--yes"]) == 0
    assert "1 folders that the given matrices do not need" in capsys.readouterr().out
    assert len(list(Path().glob("runs/.also/*/*/"))) == 2
    _reads_a_server(url, capsys)


def test_a_damaged_copy_is_not_used(
    memory: fsspec.AbstractFileSystem, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = next(path for path in memory.find("/bucket") if path.endswith(".safetensors"))
    memory.pipe(weights, memory.cat(weights)[:-1])
    assert runner.main(["small.yaml", "--plan", "--also", "memory://bucket/runs"]) == 0
    assert "is not the checkpoint that was trained; it is not used" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["memory://nowhere/runs", "nonesuch://bucket/runs"])
def test_no_server_is_the_users_mistake(
    url: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["small.yaml", "--plan", "--also", url]) == 2
    assert capsys.readouterr().err.startswith(f"error: --also {url}")


def test_a_bucket_is_read(
    theirs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By S3's own protocol, from a server on this machine."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        files = fsspec.filesystem("s3", skip_instance_cache=True)
        files.mkdir("bucket")
        files.put(f"{theirs}/", "bucket/runs", recursive=True)
        _reads_a_server("s3://bucket/runs", capsys)
    finally:
        server.stop()
