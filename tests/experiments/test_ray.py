"""A real Ray cluster of three nodes on 127.0.0.1, with GPUs that are declared only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray stays on 127.0.0.1, as it does there
import ray
from ray.cluster_utils import Cluster as RayCluster

from classifier.basics.errors import UserError
from classifier.basics.place import Place
from classifier.config.spec import BenchmarkSpec, EvaluateSpec
from experiments.execution import scheduler
from experiments.execution.engines import EngineOptions, Perform
from experiments.execution.engines.ray import Cluster, RayEngine, _looked_at, _on, connect
from experiments.execution.scheduler import Summary
from experiments.plan.jobs import Job
from experiments.store.store import Store
from tests.experiments import fakes
from tests.own import HELPERS, TRICKS

ROOT = Path(__file__).parents[2]
GPUS = {"first": 1, "second": 1, "third": 2}
SMALL = """\
title: Small
data: {name: digits, limit: 10}
train: {model: mobilenetv2, image_size: 32, batch_size: 16, epochs: 2, lr: 1e-3}
matrix:
  augment: [AutoAugment]
benchmark: {seconds: 1}
tables:
  small:
    rows: augment
    columns:
      - {header: val, split: val}
      - {header: val(train stage), stage: train}
  speed:
    rows: augment
    columns:
      - {header: FPS, metric: fps}
"""


class Nodes:
    """The cluster from outside: its nodes start, and die."""

    def __init__(self, folder: Path) -> None:
        self._cluster = RayCluster()
        self.folder = folder
        """Where the nodes work, but for the third: a path with /proc/self/cwd is another there."""
        (folder / "apart").mkdir()
        self.all = [self.add(name, gpus) for name, gpus in GPUS.items()]
        self._cluster.wait_for_nodes()
        self.address: str = self._cluster.address

    def add(self, name: str, gpus: int) -> Any:
        with contextlib.chdir(self.folder / "apart" if name == "third" else self.folder):
            return self._cluster.add_node(
                wait=False,
                num_cpus=1,
                num_gpus=gpus,
                node_name=name,
                node_ip_address="127.0.0.1",
                include_dashboard=False,
                object_store_memory=80 * 2**20,
            )

    def kill_the_third(self) -> None:
        self._cluster.remove_node(self.all[2], allow_graceful=False)

    def revive_the_third(self) -> None:
        self.all[2] = self.add("third", GPUS["third"])
        self._cluster.wait_for_nodes()

    def shutdown(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def nodes(_own_cache: None) -> Iterator[Nodes]:
    with (
        # The paths of Ray's sockets have a limit.
        tempfile.TemporaryDirectory(
            dir="/tmp", prefix="ray-", ignore_cleanup_errors=True
        ) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)  # nobody else finds this cluster
        made = Nodes(Path(folder))
        yield made
        family = [found for found in psutil.Process().children(recursive=True) if _is_of_ray(found)]
        assert family
        made.shutdown()
        _wait(lambda: not any(map(_lives, family)), 30)


def _is_of_ray(process: psutil.Process) -> bool:
    """Or of a job there: not the fork server that the tests share, whose paths may name Ray."""
    try:
        if any(found.name() == "raylet" for found in process.parents()):
            return True
        line = " ".join(process.cmdline())
        return "ray" in line and "multiprocessing" not in line
    except psutil.Error:  # it has ended
        return False


@pytest.fixture(scope="module")
def cluster(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """This process's connection."""
    with connect(nodes.address, tmp_path_factory.mktemp("shared"), False, None) as found:
        yield found


def engine(
    cluster: Cluster, runs: Path, perform: Perform, stall_minutes: float = 30.0
) -> RayEngine:
    runs.mkdir(exist_ok=True)
    options = EngineOptions(Place(runs, runs=runs), "ray", stall_minutes=stall_minutes)
    return RayEngine(cluster, options, perform)


def run(made: RayEngine, watch: fakes.Watcher, *jobs: Job, **settings: Any) -> Summary:
    claims = fakes.Alone()
    outcome = scheduler.run(fakes.plan(*jobs), made, watch, claims, **settings)
    assert not claims.held, "all claims are given back"
    return outcome


def test_jobs_have_their_share_of_a_gpu(cluster: Cluster, tmp_path: Path) -> None:
    """Of four GPUs on three nodes, one job at a time on each."""
    assert (cluster.places, cluster.threads) == (4, 1)
    watch = fakes.Watcher()
    assert run(engine(cluster, tmp_path, fakes.note), watch, *fakes.jobs(8)).lost == 0
    noted = fakes.notes(tmp_path)
    assert len(noted) == len({note["pid"] for note in noted}) == 8, "a process a job"
    assert {note["device"] for note in noted} == {"cuda:0"}, "each job sees one device"
    assert {note["visible"] for note in noted} <= {"0", "1"}
    assert len({note["node"] for note in noted}) == 3, "all nodes work"
    assert _most_at_a_time(noted) == 1
    assert "waiting for a place" in {said.phase for said in watch.progress}


def test_jobs_start_warm(cluster: Cluster, tmp_path: Path) -> None:
    """One after the other: all that a node does are forked from one server, with all imported,
    also after one that died."""
    alone = Cluster(cluster.nodes[:1], True, None, cluster.token)
    assert alone.places == 1
    jobs, watch = fakes.jobs(6), fakes.Watcher()
    fakes.tell(tmp_path, jobs[1], "die")
    assert run(engine(alone, tmp_path, fakes.as_told), watch, *jobs, retries=1).lost == 0
    assert watch.order("retried") == [jobs[1].id]
    noted = fakes.notes(tmp_path)
    assert len({note["pid"] for note in noted}) == 7, "a process a try"
    assert all(note["warm"] for note in noted), "a job finds torch imported"
    servers = {(note["node"], note["parent"]) for note in noted}
    assert len(servers) == len({note["node"] for note in noted}), "one server a node"


def test_a_worker_of_rays_that_is_killed_takes_its_job_along(
    cluster: Cluster, tmp_path: Path
) -> None:
    """And the server; the job is tried again by another worker."""
    watch, (job,) = fakes.Watcher(), fakes.jobs(1)
    fakes.tell(tmp_path, job, "linger")
    family: list[psutil.Process] = []

    def kill() -> None:
        _wait(lambda: fakes.notes(tmp_path))
        child = psutil.Process(fakes.notes(tmp_path)[0]["pid"])
        server = child.parent()
        assert server is not None
        worker = server.parent()
        assert worker is not None and worker.cmdline()[0] == "ray::_job"
        family.extend([child, *worker.children(recursive=True)])
        (tmp_path / f"told-{job.id}").unlink()
        worker.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    assert run(engine(cluster, tmp_path, fakes.as_told), watch, job).lost == 0
    thread.join()
    died = "its process was killed, perhaps for want of memory, or crashed"
    assert watch.reasons == {job.id: died}
    assert len(family) >= 3, "the job, its server and multiprocessing's own"
    _wait(lambda: not any(map(_lives, family)), 10)
    first, second = fakes.notes(tmp_path)
    assert first["parent"] != second["parent"]


@pytest.mark.slow
def test_two_jobs_share_a_gpu(cluster: Cluster, tmp_path: Path) -> None:
    halves = Cluster(cluster.nodes, True, 2, cluster.token)
    assert (halves.places, halves.gpu_share) == (8, 0.5)
    assert Cluster(cluster.nodes, True, 7, cluster.token).gpu_share * 7 <= 1
    assert run(engine(halves, tmp_path, fakes.note), fakes.Watcher(), *fakes.jobs(8)).lost == 0
    noted = fakes.notes(tmp_path)
    assert len(noted) == 8 and _most_at_a_time(noted) <= 2


def _most_at_a_time(noted: list[dict[str, Any]]) -> int:
    """The most jobs that one GPU had at one time."""
    by_gpu: dict[Any, list[Any]] = defaultdict(list)
    for note in noted:
        by_gpu[note["node"], note["visible"]].append(note)
    counts: list[int] = [
        sum(other["start"] <= note["start"] < other["end"] for other in notes)
        for notes in by_gpu.values()
        for note in notes
    ]
    return max(counts)


def test_a_benchmark_is_alone_on_the_first_node(cluster: Cluster, tmp_path: Path) -> None:
    speed = Job(BenchmarkSpec(model="ghostnet", classes=2))
    made = engine(Cluster(cluster.nodes, True, 2, cluster.token), tmp_path, fakes.note)
    assert run(made, fakes.Watcher(), speed, *fakes.jobs(2)).lost == 0
    noted = {note["job"]: note for note in fakes.notes(tmp_path)}
    mine = noted.pop(speed.id)
    assert all(other["end"] <= mine["start"] for other in noted.values())
    assert mine["node"] == _raylet_of(cluster.nodes[0].id)


def _raylet_of(node_id: str) -> str:
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet" and f"--node_id={node_id}" in process.info["cmdline"]:
            return str(process.pid)
    raise AssertionError(f"no raylet of {node_id}")


def test_each_node_is_asked_before_the_jobs(cluster: Cluster, tmp_path: Path) -> None:
    """They share a folder here: the first has made the file when the others want to."""
    with pytest.raises(UserError, match=r"^node \w+ \(.*\): .*made is there already"):
        cluster.on_each_node(fakes.check, tmp_path / "made")


def test_a_node_with_other_code_is_an_error(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "experiments.execution.engines.ray._code", lambda: "what only this process has"
    )
    with pytest.raises(UserError, match=r"^node first \(.*\) has other code of this project"):
        _looked_at(cluster.nodes, True, cluster.token)


def test_a_failure_costs_itself_and_what_needs_it(cluster: Cluster, tmp_path: Path) -> None:
    trainings = fakes.jobs(5)
    evaluation = Job(
        EvaluateSpec(training=trainings[1].spec, split="val"),  # type: ignore[arg-type]
        needs=(trainings[1].id,),
    )
    watch = fakes.Watcher()
    made = engine(cluster, tmp_path, fakes.misbehave)
    outcome = run(made, watch, *trainings, evaluation, retries=0)
    assert (outcome.failed, outcome.blocked, outcome.left) == (4, 1, 0)
    assert watch.order("finished") == [trainings[0].id]
    assert [watch.reasons[job.id] for job in trainings[1:]] == [
        "ZeroDivisionError: one by zero",
        "set lr lower",
        "its process was ended by SIGKILL, perhaps for want of memory",
        "its process ended with exit code 7 and no result",
    ]
    failures = Store(tmp_path).read().failures
    assert set(failures) == {job.id for job in trainings[1:]}
    log = Path(failures[trainings[1].id].log).read_text()
    assert "this is printed by the job" in log and "Traceback" in log
    assert "Traceback" not in Path(failures[trainings[2].id].log).read_text(), "a user's mistake"


@pytest.mark.slow
def test_a_crash_names_the_kind_of_layer(cluster: Cluster, tmp_path: Path) -> None:
    watch, (job,) = fakes.Watcher(), fakes.jobs(1)
    made = engine(cluster, tmp_path, fakes.crash_in_a_layer)
    assert run(made, watch, job, retries=0).failed == 1
    where = "its process was ended by SIGSEGV in torch.nn.modules.conv on "
    assert watch.reasons[job.id].startswith(where)


@pytest.mark.slow
def test_a_job_that_hangs_is_ended_and_shows_where(cluster: Cluster, tmp_path: Path) -> None:
    watch, (job,) = fakes.Watcher(), fakes.jobs(1)
    made = engine(cluster, tmp_path, fakes.hang, stall_minutes=0.2)
    assert run(made, watch, job, retries=0).failed == 1
    assert watch.reasons[job.id].startswith("no progress for 0.2 min")
    log = Path(Store(tmp_path).read().failures[job.id].log)
    assert "waits_for_what_never_comes" in log.read_text()
    _wait(lambda: is_gone(int((tmp_path / "child").read_text())), 10)


def test_ctrl_c_lets_trainings_keep_their_state(cluster: Cluster, tmp_path: Path) -> None:
    """And ends what has no state to keep."""
    made, watch = engine(cluster, tmp_path, fakes.obey), fakes.Watcher()
    trainings = fakes.jobs(3)
    evaluation = Job(EvaluateSpec(training=trainings[0].spec, split="val"))  # type: ignore[arg-type]
    fakes.press_ctrl_c(tmp_path, once=4)
    outcome = run(made, watch, *trainings, evaluation)
    assert outcome.interrupted and outcome.left == 4 and not outcome.lost
    assert len(watch.order("stopped")) == 4
    assert {file.name for file in tmp_path.glob("stopped-*")} == {
        f"stopped-{job.id}" for job in trainings
    }
    assert not Store(tmp_path).read().failures, "what was stopped has not failed"
    _wait(lambda: all(is_gone(note["pid"]) for note in fakes.notes(tmp_path)), 10)


@pytest.mark.slow
def test_ctrl_c_twice_ends_every_process_now(cluster: Cluster, tmp_path: Path) -> None:
    made = engine(cluster, tmp_path, fakes.linger)
    fakes.press_ctrl_c(tmp_path, once=3, times=2)
    start = time.monotonic()
    assert run(made, fakes.Watcher(), *fakes.jobs(3)).interrupted
    assert time.monotonic() - start < 30
    _wait(lambda: all(is_gone(note["pid"]) for note in fakes.notes(tmp_path)), 10)
    assert not Store(tmp_path).read().failures, "what was stopped has not failed"


def test_a_node_dies_and_all_jobs_are_done(cluster: Cluster, nodes: Nodes, tmp_path: Path) -> None:
    """Its jobs are tried again elsewhere; all of the others are done once."""
    jobs, watch = fakes.jobs(6), fakes.Watcher()
    raylet = _raylet_of(nodes.all[2].node_id)

    def lost_now() -> list[Any]:
        return [note for note in fakes.notes(tmp_path) if note["node"] == raylet]

    def kill() -> None:
        _wait(lambda: len(lost_now()) == 2)
        _wait(lambda: "noting" in {said.phase for said in watch.progress})
        nodes.kill_the_third()
        _wait(lambda: all(is_gone(note["pid"]) for note in lost_now()))
        (tmp_path / "go").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    outcome = run(engine(cluster, tmp_path, fakes.wait_for_go), watch, *jobs)
    thread.join()
    left = _looked_at(cluster.nodes, True, cluster.token)
    assert [node.gpus for node in left] == [1, 1], "the next runner leaves it out"
    nodes.revive_the_third()
    assert (outcome.lost, outcome.left) == (0, 0)
    assert sorted(watch.order("finished")) == sorted(job.id for job in jobs)
    lost = {note["job"] for note in lost_now()}
    assert set(watch.order("retried")) == lost and len(lost) == 2
    assert {watch.reasons[job] for job in lost} == {"its node was lost"}


# The command line -------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


def runner(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The nodes' GPUs are declared only, so on their CPUs; in a session of its own."""
    command = [sys.executable, str(ROOT / "runner.py"), "small.yaml", *arguments]
    return subprocess.Popen(
        [*command, *(["--devices", "cpu"] if "--devices" not in arguments else [])],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.mark.slow
def test_its_tables_are_those_of_one_machine(small: Path, nodes: Nodes) -> None:
    on_ray = ("--engine", "ray", "--address", nodes.address)
    code, out, err = ended(runner(small, *on_ray))
    assert code == 0, err
    assert "raylet" not in out + err, "Ray says nothing of its own"
    check_with_one_machine(small, 3)
    assert "nothing to do: all 3 jobs are done" in ended(runner(small, *on_ray))[1]


@pytest.mark.slow
def test_a_users_files_travel_with_the_job(small: Path, nodes: Nodes) -> None:
    """One node works elsewhere: it could not find them beside the matrix."""
    text = SMALL.replace("data:", "plugins: [tricks.py]\ndata:").replace("mobilenetv2", "tiny_net")
    text = text.replace("[AutoAugment]", "[flip, {name: flip, how: random}]")
    text = text[: text.index("  speed:")]
    (small / "small.yaml").write_text(text)
    (small / "tricks.py").write_text(TRICKS)
    (small / "helpers.py").write_text(HELPERS)
    code, _, err = ended(runner(small, "--engine", "ray", "--address", nodes.address, "--trust"))
    assert code == 0, err
    there = Store(small / "runs").read().records
    local = ("--trust", "--runs", "here", "--reports", "local")
    assert ended(runner(small, *local))[0] == 0
    assert there == Store(small / "here").read().records and len(there) == 4


def check_with_one_machine(folder: Path, jobs: int) -> None:
    """Do the same again, with the local engine and undisturbed."""
    local = ("--runs", "here", "--reports", "local", "--jobs-per-device", "2")
    assert ended(runner(folder, *local))[0] == 0
    table = Path("small", "small.md")
    assert (folder / "reports" / table).read_bytes() == (folder / "local" / table).read_bytes()
    there, here = (Store(folder / name).read().records for name in ("runs", "here"))
    assert _without_speeds(there) == _without_speeds(here) and len(there) == jobs
    left = [*(folder / "runs").rglob("work-*"), *(folder / "runs").glob(".token-*")]
    assert not left


def _without_speeds(records: Any) -> Any:
    return {key: record for key, record in records.items() if record.kind != "benchmark"}


@pytest.mark.slow
def test_a_node_that_does_not_see_the_runs_folder(nodes: Nodes) -> None:
    (nodes.folder / "small.yaml").write_text(SMALL)
    before = sorted(nodes.folder.iterdir())
    process = runner(
        nodes.folder, "--engine", "ray", "--address", nodes.address, "--runs", "/proc/self/cwd/x"
    )
    code, _, err = ended(process)
    assert code == 2
    assert err.splitlines()[-1].startswith("error: node third (")
    assert "can't read what was written into /proc/self/cwd/x: --runs must be a folder" in err
    assert sorted(nodes.folder.iterdir()) == before, "nothing is written"


@pytest.mark.slow
def test_a_node_that_does_not_see_the_data(nodes: Nodes, small: Path) -> None:
    (nodes.folder / "small.yaml").write_text(SMALL.replace("name: digits, ", "folder: birds, "))
    for name in ("data/birds/wren", "data/birds/tit"):
        (nodes.folder / name).mkdir(parents=True)
        for index in range(5):
            image = Image.new("RGB", (32, 32), (index, 0, 0))
            image.save(nodes.folder / name / f"{index}.png")
    arguments = ("--runs", str(small / "runs"), "--data-root", "/proc/self/cwd/data")
    code, _, err = ended(
        runner(nodes.folder, "--engine", "ray", "--address", nodes.address, *arguments)
    )
    assert code == 2
    assert err.splitlines()[-1].startswith("error: node third (")
    assert "does not see /proc/self/cwd/data/birds as this machine does" in err
    assert not (small / "runs").exists()


@contextlib.contextmanager
def occupied(cluster: Cluster, over: Path, *names: str) -> Iterator[None]:
    """The CPUs of these nodes, until the file is there."""
    hold = ray.remote(num_cpus=1)(fakes.wait_for)
    held = [
        hold.options(scheduling_strategy=_on(node)).remote(over)
        for node in cluster.nodes
        if node.name.split()[1] in names
    ]
    assert len(held) == len(names)
    try:
        yield
    finally:
        over.touch()
    ray.get(held)


@pytest.mark.slow
def test_a_node_dies_and_its_tables_are_those_of_one_machine(
    cluster: Cluster, nodes: Nodes, small: Path
) -> None:
    """Its training goes on from its last state on another node."""
    (small / "small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 40"))
    with occupied(cluster, small / "over", "first", "second"):  # so it is on the third
        process = runner(small, "--engine", "ray", "--address", nodes.address)
        _wait(lambda: list(small.rglob("state-*.pt")))
        nodes.kill_the_third()
    code, out, _ = ended(process)
    nodes.revive_the_third()
    assert code == 0
    assert out.count("its node was lost; it is tried again") == 1
    check_with_one_machine(small, 3)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["cluster", "local"])
def test_a_runner_that_is_killed_takes_its_jobs_along(
    address: str, nodes: Nodes, small: Path
) -> None:
    """Also the Ray that it started itself."""
    (small / "small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    where = nodes.address if address == "cluster" else address
    process = runner(small, "--engine", "ray", "--address", where)
    _wait(lambda: list(small.rglob("state-*.pt")))
    family = [found for found in psutil.process_iter() if _works_for(process.pid, found)]
    assert any("ray::_job" in " ".join(found.cmdline()) for found in family)
    process.kill()
    process.wait()
    _wait(lambda: not any(map(_lives, family)), 90)  # the last are agents of Ray's


def _works_for(runner: int, process: psutil.Process) -> bool:
    """Whether it is of the runner's session, or of a job on this module's cluster: its worker, and
    what that has started."""
    try:
        if os.getsid(process.pid) == runner:
            return True
        near = [process, *process.parents()]
        is_jobs = any(found.cmdline()[:1] == ["ray::_job"] for found in near)
        return is_jobs and process.environ().get("RAY_TMPDIR") == os.environ["RAY_TMPDIR"]
    except (ProcessLookupError, psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_ray_too(small: Path, nodes: Nodes) -> None:
    """All of the terminal's processes get it; the runner alone must heed it."""
    (small / "small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    process = runner(small, "--engine", "ray", "--address", "local")
    _wait(lambda: list(small.rglob("state-*.pt")))
    family = [found for found in psutil.process_iter() if _works_for(process.pid, found)]
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = ended(process)
    assert code == 130
    assert "interrupted; the same command goes on from here" in err
    assert "goes on from here" in out
    _wait(lambda: not any(map(_lives, family)), 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--address", "127.0.0.1:1"], "--address is for --engine ray"),
        (["--engine", "ray", "--devices", "0,1"], "--devices 0,1: Ray chooses the GPUs"),
        (["--engine", "ray", "--address", "ray://127.0.0.1:1"], "start the runner on a node"),
        (
            ["--engine", "ray", "--address", "127.0.0.1:9"],
            "--address 127.0.0.1:9: no Ray cluster answers there",
        ),
        (["--engine", "ray", "--address", "nonsense"], "--address nonsense: no Ray cluster"),
    ],
)
def test_what_can_not_be_meant(small: Path, arguments: list[str], message: str) -> None:
    code, _, err = ended(runner(small, *arguments))
    assert (code == 2 and f"error: {message}" in err) or message in err
    assert [file.name for file in small.iterdir()] == ["small.yaml"]


def test_without_ray_one_line_says_so(small: Path) -> None:
    program = "import sys; sys.modules['ray'] = None; import runner; sys.exit(runner.main())"
    asked = subprocess.run(
        [sys.executable, "-c", program, str(small / "small.yaml"), "--engine", "ray"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 2
    assert "pip install 'classifier-ablations[ray]'" in asked.stderr
    assert "Traceback" not in asked.stderr


def _wait(condition: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
