"""`--doctor`: what each look says of facts, good and bad; and a whole look at this machine."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

import runner
from classifier.basics import limits
from classifier.basics.limits import Limits, Room
from classifier.basics.machine import instruction_set
from classifier.basics.machine import versions as installed_versions
from classifier.training import float64
from experiments.doctor import devices, folders, machine, versions
from experiments.doctor.devices import Build, Step
from experiments.doctor.finding import Finding
from experiments.doctor.folders import Broken, State
from experiments.execution.engines.child import NoAnswer, Probe, answer_of
from tests.classifier.test_onednn import CHECKED_HEAP
from tests.disks import small_disk

ROOT = Path(__file__).parents[2]
GIB = 2**30


def grades(found: Iterable[Finding]) -> list[str]:
    return [each.grade for each in found]


def test_a_line_is_a_line() -> None:
    found = Finding("bad", "runs", "a\nb  c", "do\tthis")
    assert str(found) == "runs: a b c; do this"


# The machine -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "instructions", "environment", "expected"),
    [
        ("AMD EPYC (AVX512)", "AVX512", {}, ["ok"]),
        ("AMD EPYC (AVX2, ATen AVX512)", "AVX2, ATen AVX512", {}, ["ok"]),
        ("Apple M3", "", {}, ["ok"]),
        ("Old (SSE41, ATen DEFAULT)", "SSE41, ATen DEFAULT", {}, ["note"]),
        ("Old (AVX, ATen AVX2)", "AVX, ATen AVX2", {}, ["note"]),
        ("AMD EPYC (AVX2)", "AVX2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, ["ok", "note"]),
    ],
)
def test_the_cpu(
    device: str, instructions: str, environment: dict[str, str], expected: list[str]
) -> None:
    found = list(machine.cpu(device, instructions, environment))
    assert grades(found) == expected
    assert device in found[0].found


@pytest.mark.parametrize(
    ("used", "there", "affinity", "quota", "expected"),
    [
        (8, 8, 8, None, ("ok", "8 of 8 are used")),
        (2, 64, 2, None, ("ok", "2 of 64 are used (2 by affinity)")),
        (3, 64, 64, 2.5, ("ok", "3 of 64 are used (2.5 by the cgroup's quota)")),
        (64, 64, None, 2.0, ("bad", "64 of 64 are used (2 by the cgroup's quota)")),
        (4, 4, 4, 0.5, ("bad", "4 of 4 are used (0.5 by the cgroup's quota)")),
    ],
)
def test_cores(
    used: int, there: int, affinity: int | None, quota: float | None, expected: tuple[str, str]
) -> None:
    found = machine.allowed_cores(used, there, affinity, quota)
    assert (found.grade, found.found) == expected
    if found.grade == "bad":
        assert found.advice.endswith(f"LOKY_MAX_CPU_COUNT={max(1, int(quota or 0))}")


def test_the_advice_on_cores_is_heeded() -> None:
    code = "from classifier.basics.machine import cores; print(cores())"
    environment = {**os.environ, "LOKY_MAX_CPU_COUNT": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "1\n"


def test_load() -> None:
    assert machine.load(2.0, 2).grade == "ok"
    assert machine.load(7.1, 2).grade == "note"


@pytest.mark.parametrize(
    ("available", "group", "jobs", "grade", "advice"),
    [
        (32 * GIB, None, 8, "ok", ""),
        (32 * GIB, Room(2**50, 0), 8, "ok", ""),  # more than there is
        (GIB, None, 1, "bad", "a training needs 2.0 GiB"),
        (32 * GIB, Room(4 * GIB, 3 * GIB), 1, "bad", "a training needs 2.0 GiB"),
        (4 * GIB, None, 8, "note", "--jobs-per-device 3"),
        (4 * GIB, None, 3, "ok", ""),
    ],
)
def test_memory(available: int, group: Room | None, jobs: int, grade: str, advice: str) -> None:
    found = machine.enough_memory(64 * GIB, available, group, jobs)
    assert found.grade == grade
    assert advice in found.advice


@pytest.mark.parametrize(
    ("soft", "hard", "grade", "advice"),
    [
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, "ok", ""),
        (1024, 4096, "ok", ""),
        (1000, 4096, "note", "`ulimit -n 1024`"),
        (64, 4096, "bad", "`ulimit -n 1024`"),
        (64, resource.RLIM_INFINITY, "bad", "`ulimit -n 1024`"),
        (64, 128, "bad", "the hard limit is 128"),
    ],
)
def test_open_files(soft: int, hard: int, grade: str, advice: str) -> None:
    found = machine.open_files(soft, hard)
    assert found.grade == grade
    assert advice in found.advice


def test_processes_and_shared_memory() -> None:
    assert [machine.processes(left).grade for left in (None, 4000, 100, 3)] == [
        *("ok", "ok", "note", "bad")
    ]
    assert [machine.shared_memory(free).grade for free in (GIB, 2**26, None, "no access")] == [
        *("ok", "note", "note", "bad")
    ]


def test_limits_that_a_process_has() -> None:
    """Set in a child, which looks at itself."""
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))\n"
        "from experiments.doctor import machine\n"
        "for each in machine.look(None): print(each.grade, each)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "bad open files: 100 allowed; the hard limit is 200" in ran.stdout
    about = [line.split(" ", 1)[1].partition(":")[0] for line in ran.stdout.splitlines()]
    kept = [each for each in about if each != "instruction set"]
    assert kept == [
        *("system", "CPU", "cores", "load", "memory", "open files", "processes", "shared memory")
    ]


# Control groups ----------------------------------------------------------------------------------


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_version_2_the_narrowest_of_all_above_counts(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("0::/slurm/job_1/step\n")
    group(root, cgroup__procs="1")
    group(root / "slurm", cpu__max="1600000 100000", memory__max="max", pids__max="max")
    group(
        root / "slurm" / "job_1",
        cpu__max="250000 100000",
        memory__max=str(8 * GIB),
        memory__current=str(5 * GIB),
        memory__stat=f"anon 1\ninactive_file {2 * GIB}",
        pids__max="100",
        pids__current="40",
    )
    group(root / "slurm" / "job_1" / "step", cpu__max="max 100000", memory__max="max")
    found = limits.limits(root, membership)
    assert found == Limits(2.5, Room(8 * GIB, 3 * GIB), Room(100, 40))
    assert found.memory is not None and found.memory.free == 5 * GIB


def test_version_1_and_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    membership.write_text("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n2:name=systemd:/\n0::/\n")
    group(root / "cpu,cpuacct", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    group(
        root / "memory",
        memory__limit_in_bytes=str(GIB),
        memory__usage_in_bytes=str(GIB // 2),
        memory__stat=f"inactive_file 5\ntotal_inactive_file {GIB // 4}",
    )
    assert limits.limits(root, membership) == Limits(1.5, Room(GIB, GIB // 4), None)


@pytest.mark.parametrize("content", [None, b"", b"rubbish\n\n", b"\xff\xfe"])
def test_groups_that_are_not_said_are_the_roots(content: bytes | None, tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    if content is not None:
        membership.write_bytes(content)
    group(root, cpu__max="150000 100000")
    (root / "pids.max").write_bytes(b"\xff")
    assert limits.limits(root, membership) == Limits(1.5)


def test_no_limit(tmp_path: Path) -> None:
    root, membership = tmp_path / "cgroup", tmp_path / "membership"
    assert limits.limits(root, membership) == Limits()
    membership.write_text("4:memory:/\n3:cpu:/\n0::/\n")
    group(root / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    group(root / "memory", memory__limit_in_bytes="9223372036854771712")
    group(root, cpu__max="max 100000", memory__max="max", pids__max="rubbish")
    assert limits.limits(root, membership) == Limits()


# Versions ----------------------------------------------------------------------------------------


ASKED = versions.Asked(
    ">=3.11", [Requirement("torch>=2.6"), Requirement("numpy")], [Requirement("ray>=2.60")]
)


@pytest.mark.parametrize(
    ("python", "installed", "wrong"),
    [
        ("3.12.1", {"torch": "2.6.0+cpu", "numpy": "2.0"}, []),
        ("3.12.1", {"torch": "2.6.0", "numpy": "2.0", "ray": "2.61"}, []),
        ("3.10.1", {"torch": "2.6.0", "numpy": "2.0"}, ["Python 3.10.1"]),
        (
            "3.12.1",
            {"torch": "2.5.1+cu121", "numpy": "2.0"},
            ["torch 2.5.1+cu121 is out of bounds"],
        ),
        ("3.12.1", {"torch": "2.6.0"}, ["numpy is not installed"]),
        ("3.12.1", {"torch": "2.6.0", "numpy": "2", "ray": "2.9"}, ["ray 2.9 is out of bounds"]),
    ],
)
def test_versions(python: str, installed: dict[str, str], wrong: list[str]) -> None:
    found = list(versions.judge(ASKED, python, installed))
    assert found[0].grade == "ok" and f"torch {installed['torch']}" in found[0].found
    assert [each.found for each in found[1:]] == wrong
    assert grades(found[1:]) == ["bad"] * len(wrong)


def test_a_mended_version_is_named_as_pip_takes_it() -> None:
    (_, old) = versions.judge(ASKED, "3.12.1", {"torch": "2.5", "numpy": "2"})
    assert old.advice == "python -m pip install 'torch>=2.6'"


def test_torchvision_is_built_for_one_torch() -> None:
    made_for = Requirement("torch==2.14.1")
    assert not list(versions.pair("2.14.1+cu130", made_for))
    assert not list(versions.pair(None, made_for)) and not list(versions.pair("2.14.1", None))
    assert grades(versions.pair("2.14.0", made_for)) == ["bad"]


def test_what_is_asked_for_is_pyprojects_and_without_it_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = versions.wanted()
    monkeypatch.setattr(versions, "PROJECT", tmp_path / "none.toml")
    package = versions.wanted()
    assert project is not None and package is not None
    for asked in (project, package):
        assert asked.python == ">=3.11"
        assert {"torch", "timm", "pillow"} <= {each.name for each in asked.needed}
        assert "ray" in {each.name for each in asked.optional}
        assert not {each.name for each in asked.optional} & {"classifier-ablations"}
    monkeypatch.setattr(versions, "DISTRIBUTION", "nothing-of-that-name")
    assert versions.wanted() is None
    assert grades(versions.look()) == ["ok", "note"]


# Folders -----------------------------------------------------------------------------------------


def looked(folder: Path, promises: Sequence[folders.Promise] = folders.RUNS) -> list[Finding]:
    return folders.look("runs", folder, "--runs", promises)


def test_a_good_folder_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for promises in (folders.RUNS, folders.CACHE, folders.REPORTS):
        found = looked(tmp_path, promises)
        assert all(each.grade != "bad" for each in found), found
        assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    (found,) = looked(tmp_path / "a" / "b")
    assert "is not there, and would be made" in found.found
    assert not list(tmp_path.iterdir())


def test_a_relative_folder_is_this_folder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for there in (Path("runs"), Path()):
        for found in looked(there):
            assert found.found.startswith(f"{there}: ")
    (gone,) = looked(Path("reports"))
    assert gone.found.startswith("reports is not there, and would be made: ")


def file_in_its_place(path: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("make", [file_in_its_place, os.mkfifo])
@pytest.mark.parametrize("below", ["runs", "runs/of/mine"])
def test_something_else_in_its_place(make: object, below: str, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "runs")
    (found,) = looked(tmp_path / below)
    at = "" if below == "runs" else f" ({tmp_path / 'runs'})"
    assert str(found) == (
        f"runs: {tmp_path / below} can't be used: Not a directory{at}; move what has its name, or "
        "name another folder with --runs"
    )
    (data,) = folders.read("data", tmp_path / below, "--data-root", "absent")
    assert data.grade == "bad"


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "gone")
    (found,) = looked(tmp_path / "runs")
    assert found.grade == "bad" and "No such file" in found.found


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, mode: int = 0o777) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    (found,) = looked(tmp_path)
    assert str(found) == (
        f"runs: {tmp_path} can't be used: Permission denied; make it writable, or name another "
        "folder with --runs"
    )


def test_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        (found,) = looked(disk)
        assert found.grade == "bad" and "Read-only file system" in found.found


def test_a_full_disk_is_said_once(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        (found,) = looked(disk)
        assert found.grade == "bad" and "No space left on device; make room" in str(found)
        assert not list(disk.iterdir())


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64m") as disk:
        found = looked(disk)
        assert grades(found) == ["bad"] and "MiB are free; make room" in str(found[0])


def test_a_server_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(folders, "nearest", lambda folder: time.sleep(1))
    (found,) = looked(tmp_path)
    assert found.grade == "bad" and "does not answer in 0.05 s" in found.found
    assert grades(folders.read("data", tmp_path, "--data-root", "absent")) == ["bad"]


def test_what_a_file_system_does_not_keep_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def never_exclusive(path: object, flags: int, *rest: object, **more: object) -> int:
        return real(path, flags & ~os.O_EXCL, *rest, **more)  # type: ignore[arg-type]

    for name in ("exclusive", "rename", "lock"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", never_exclusive)
        with pytest.raises(Broken, match="O_EXCL"):
            folders.exclusive(tmp_path / "exclusive")
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", lambda *a: None)
        with pytest.raises(Broken, match="flock"):
            folders.lock(tmp_path / "lock")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda self, target: target)
        with pytest.raises(Broken, match="not empty"):
            folders.rename(tmp_path / "rename")


def test_each_broken_promise_is_a_line(tmp_path: Path) -> None:
    def no_locks(folder: Path) -> None:
        raise OSError(37, "No locks available")

    def two(folder: Path) -> None:
        raise Broken("two may have it")

    found = looked(tmp_path, [folders.Promise(no_locks, "A"), folders.Promise(two, "B")])
    bad = [str(each) for each in found if each.grade == "bad"]
    assert [line.partition(str(tmp_path))[2] for line in bad[:2]] == [
        ": No locks available; A: name another folder with --runs",
        ": two may have it; B: name another folder with --runs",
    ]


GOOD = State(100 * GIB, 10**6, 0.01, 0.0, "ext4")


@pytest.mark.parametrize(
    ("changed", "expected", "words"),
    [
        ({}, ["ok"], "100.0 GiB are free, ext4"),
        ({"files_left": None, "kind": "nfs4"}, ["ok"], "nfs4"),
        ({"free": 5 * GIB}, ["note"], "5.0 GiB"),
        ({"free": GIB // 2}, ["bad"], "512 MiB are free; make room"),
        ({"files_left": 12}, ["bad"], "12 more files fit"),
        ({"sync_seconds": 3.0}, ["note"], "takes 3.0 s"),
        ({"clock_off": 4.0}, ["ok"], "free"),
        ({"clock_off": 10.0}, ["note"], "10 s ahead of"),
        ({"clock_off": -3600.0}, ["bad"], "3,600 s behind this machine's"),
        ({"clock_off": -3600.0, "free": 0}, ["bad", "bad"], "0 MiB"),
    ],
)
def test_the_state_of_a_folder(changed: dict[str, object], expected: list[str], words: str) -> None:
    state = State(**{**vars(GOOD), **changed})
    found = folders.judge("runs", "here", state, "name another")
    assert grades(found) == expected
    assert words in " ".join(map(str, found))


@pytest.mark.parametrize(("ahead", "seen"), [(0.0, 0.0), (0.5, 0.0), (3600.0, 3600.0), (-90, -90)])
def test_a_clock_that_is_off(
    ahead: float, seen: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file server's is this machine's; so it is this program's that is moved."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - ahead)
    assert folders.clock_off(tmp_path / "clock") == pytest.approx(seen, abs=1.0)


def test_data_are_read_only(tmp_path: Path) -> None:
    (there,) = folders.read("data", tmp_path, "--data-root", "absent")
    (gone,) = folders.read("data", tmp_path / "data", "--data-root", "absent")
    assert (there.grade, gone.grade, gone.advice) == ("ok", "note", "absent")


# Devices -----------------------------------------------------------------------------------------


CUDA = Build("13.0", 92400)


@pytest.mark.parametrize(
    ("asked", "listed", "seen", "build", "expected"),
    [
        (["auto"], [], [], CUDA, ["ok none"]),
        (["auto"], ["A", "B"], ["A", "B"], CUDA, ["ok 0: A, 1: B"]),
        (["auto"], ["A"], [], Build(None, None), ["bad nvidia-smi lists 1, torch sees 0"]),
        (["auto"], ["A", "B"], ["A"], CUDA, ["bad nvidia-smi lists 2, torch sees 1"]),
        (["0", "3"], ["A"], ["A"], CUDA, ["ok 0: A", "bad --devices 0,3: 3 is not there"]),
        (["0"], [], [], CUDA, ["ok none", "bad --devices 0: 0 is not there"]),
        (["cpu"], ["A"], ["A"], CUDA, ["ok 0: A", "note not used and not looked at"]),
    ],
)
def test_gpus(
    asked: list[str], listed: list[str], seen: list[str], build: Build, expected: list[str]
) -> None:
    found = devices.gpus(asked, listed, seen, build)
    assert [f"{each.grade} {each.found}" for each in found] == expected


def test_what_helps_where_torch_sees_no_gpu() -> None:
    (cpu,) = devices.gpus(["auto"], ["A"], [], Build(None, None))
    (old,) = devices.gpus(["auto"], ["A"], [], CUDA)
    assert "install a build for CUDA" in cpu.advice
    assert "update NVIDIA's driver to one for CUDA 13.0" in old.advice


def test_which_devices_are_tried() -> None:
    assert devices.devices(["auto"], []) == ["cpu"]
    assert devices.devices(["auto"], ["A", "B"]) == ["0", "1"]
    assert devices.devices(["1", "5"], ["A", "B"]) == ["1"]
    assert devices.devices(["5"], ["A"]) == ["cpu"]
    assert devices.devices(["cpu"], ["A"]) == ["cpu"]


def test_what_devices_answer() -> None:
    gone = NoAnswer("its process was ended by SIGSEGV")
    assert devices.forked(Probe("", ())).grade == "ok"
    assert devices.forked(Probe("its server uses CUDA", ())).grade == "note"
    assert [devices.built(each).grade for each in (CUDA, Build(None, None), gone)] == [
        *("ok", "ok", "bad")
    ]
    steps = (Step(1e-6), Step(1e-6, (GIB, GIB)), Step(0.3), Step(float("nan")), gone)
    found = [devices.computed("GPU 0, A", step) for step in steps]
    assert grades(found) == ["ok", "ok", "bad", "bad", "bad"]
    assert "SIGSEGV" in found[-1].found and "--devices" in found[-1].advice
    assert "ONEDNN_MAX_CPU_ISA" in devices.computed(devices.CPU, gone).advice
    assert [devices.convolutions(each).grade for each in ([], ["weight"], gone)] == [
        *("ok", "bad", "bad")
    ]
    for as_built in ([], gone, ["off"]):
        assert devices.subsampling([], as_built).grade == "ok"
    assert devices.subsampling([], []).found != devices.subsampling([], gone).found
    assert devices.subsampling(["off"], []).grade == devices.subsampling(gone, gone).grade == "bad"
    assert [devices.decoded(each).grade for each in (100.0, gone)] == ["ok", "bad"]
    assert [devices.trained("CPU", each, 8).grade for each in (9.0, gone)] == ["ok", "bad"]


def _raise(device: str) -> None:
    raise RuntimeError(f"CUDA error on {device}:\n an illegal memory access")


def _crash(device: str) -> None:
    os.abort()


def _sleep(device: str) -> None:
    time.sleep(60)


def _seen(first: int, device: str) -> tuple[int, str, str, int]:
    import torch

    return first, device, os.environ["CUDA_VISIBLE_DEVICES"], torch.get_num_threads()


@pytest.mark.usefixtures("no_process_remains")
def test_a_child_answers_or_it_is_said_why_not() -> None:
    from classifier.basics.machine import cores

    assert answer_of(_seen, 7, seconds=60) == (7, "cpu", "", cores())
    assert answer_of(_seen, 7, seconds=60, device="1")[1:3] == ("cuda:0", "1")
    with pytest.raises(NoAnswer, match=r"^RuntimeError: CUDA error on cpu: an illegal memory acc"):
        answer_of(_raise, seconds=60)
    with pytest.raises(NoAnswer, match="ended by SIGABRT"):
        answer_of(_crash, seconds=60)
    with pytest.raises(NoAnswer, match=r"no answer in 0\.2 s"):
        answer_of(_sleep, seconds=0.2)


def test_a_step_is_near_float64_and_one_that_differs_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    assert 0 < float64.step_error(cpu) < devices.MOST_OFF / 10
    plain = torch.optim.SGD.step

    def wrong(self: torch.optim.SGD) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.dtype == torch.float32:
                    weight.grad[0] *= 1.01
        plain(self)

    monkeypatch.setattr(torch.optim.SGD, "step", wrong)
    assert float64.step_error(cpu) > devices.MOST_OFF


def test_convolutions_are_held_against_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"model": "mobilenetv2", "size": 32, "images": 2}
    assert float64.wrong_convolutions(**small) == []  # type: ignore[arg-type]
    monkeypatch.setattr(
        float64.HeldAgainstFloat64, "differences", lambda self, kind, *rest: [f"weight of {kind}"]
    )
    assert len(float64.wrong_convolutions(**small)) > 10  # type: ignore[arg-type]


@pytest.mark.skipif(not instruction_set(), reason="no x86 CPU")
def test_the_fault_of_onednn_is_avoided_and_seen() -> None:
    """What it writes outside may hit nothing that matters; in a checked heap it is seen always.
    Where the last fails, torch's oneDNN is mended: see classifier/models/onednn.py."""
    assert devices._tried(devices._subsampling, False) == []
    look = "import sys; from classifier.training.float64 import wrong_subsampling as wrong; "
    try:
        seen = subprocess.run(
            [sys.executable, "-c", f"{look} sys.exit(bool(wrong(as_built=True)))"],
            env={**os.environ, **CHECKED_HEAP},
            cwd=ROOT,
            capture_output=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:  # it may also hang
        return
    assert seen.returncode in (1, -signal.SIGABRT, -signal.SIGSEGV), seen.stderr
    assert b"Traceback" not in seen.stderr


# All of it ---------------------------------------------------------------------------------------


FACTS = {
    "_build": CUDA,
    "_step": Step(1e-6),
    "_convolutions": [],
    "_subsampling": [],
    "_decoding": 100.0,
    "_training": 10.0,
}


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose devices answer at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "_tried", lambda function, *a, **k: FACTS[function.__name__])
    monkeypatch.setattr(devices, "probe", lambda: Probe("", ()))
    monkeypatch.setattr(devices, "gpu_names", lambda: ())
    room = folders.State(100 * GIB, None, 0.01, 0.0, "ext4")
    monkeypatch.setattr(folders, "_state", lambda inside: room)
    monkeypatch.setattr(machine, "enough_memory", lambda *a: Finding("ok", "memory", "enough"))
    return tmp_path


def test_exit_code_and_lines(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:6] for line in lines} <= {"ok    ", "note  "}
    assert sum("torch " + installed_versions()["torch"] in line for line in lines) == 1
    assert not list(healthy.iterdir()), "nothing is left"
    os.mkfifo(healthy / "runs")
    assert runner.main(["--doctor"]) == 1
    (bad,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("bad   ")]
    assert bad.startswith("bad   runs: ") and "name another folder with --runs" in bad
    assert [stat.S_ISFIFO(path.stat().st_mode) for path in healthy.iterdir()] == [True]


def test_a_matrix_adds_its_data(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (healthy / "data" / "photos").mkdir(parents=True)
    matrix = str(ROOT / "experiments" / "ema.yaml")
    assert runner.main(["--doctor", matrix]) == 0
    assert "note  data: data/CUB_200_2011/images is not there" in capsys.readouterr().out
    assert runner.main(["--doctor", "none.yaml"]) == 2


PHOTOS = """\
title: T
data: {folder: photos}
train: {model: ghostnet}
matrix: {rdrop: [false]}
tables:
  t: {rows: rdrop, columns: [{header: h, split: val}]}
"""


def test_a_matrix_says_where_its_data_lie(
    healthy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless the command does; and two that say two places are not for one command."""
    for name in ("kag", "other"):
        (healthy / name / "photos").mkdir(parents=True)
        Path(f"{name}.yaml").write_text(f"data_root: {name}\n{PHOTOS}")
    assert runner.main(["--doctor", "kag.yaml"]) == 0
    said = capsys.readouterr().out
    for folder in ("kag", "kag/photos"):
        assert f"ok    data: {folder} can be read\n" in said
    assert "data: data" not in said
    assert runner.main(["--doctor", "kag.yaml", "--data-root", "none"]) == 0
    said = capsys.readouterr().out
    assert "note  data: none is not there" in said and "kag" not in said
    assert runner.main(["--doctor", "kag.yaml", "other.yaml"]) == 1
    assert "bad   data: these matrices have several data roots" in capsys.readouterr().out
    assert runner.main(["--doctor", "kag.yaml", "other.yaml", "--data-root", "other"]) == 0


def test_it_has_no_home(
    healthy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert runner.main(["--doctor"]) == 1
    assert "bad   cache: there is no home folder for the cache" in capsys.readouterr().out


@pytest.mark.parametrize("color", [False, True])
def test_color_only_where_it_is_allowed(
    color: bool,
    healthy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    if color:
        monkeypatch.delenv("NO_COLOR", raising=False)
    runner.main(["--doctor"])
    assert ("\x1b[32m" in capsys.readouterr().out) == color


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--doctor", "--status"], "not allowed with"),
        (["--doctor", "--plan"], "not allowed with"),
        (["--doctor", "--format", "csv"], "and not what --doctor does"),
    ],
)
def test_what_it_does_not_go_with(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = runner.main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_this_machine(tmp_path: Path) -> None:
    """For real, and torch is in children only."""
    code = (
        "import sys, runner\n"
        "if __name__ == '__main__':\n"
        "    code = runner.main(sys.argv[1:])\n"
        "    assert not {'torch', 'torchvision', 'timm', 'sklearn'} & set(sys.modules)\n"
        "    sys.exit(code)\n"
    )
    (tmp_path / "look.py").write_text(code)
    (tmp_path / "here").mkdir()
    cache = tmp_path / "cache"
    ran = subprocess.run(
        [sys.executable, tmp_path / "look.py", "--doctor", "--devices", "cpu"],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
    )
    lines = ran.stdout.splitlines()
    assert ran.returncode == any(line.startswith("bad") for line in lines), ran.stderr
    assert all(line.startswith(("ok    ", "note  ", "bad   ")) for line in lines)
    for about in ("step on CPU", "gradients", "oneDNN#6035", "decoding", "training", "jobs"):
        assert any(line.startswith(f"ok    {about}: ") for line in lines), ran.stdout
    assert not list((tmp_path / "here").iterdir()) and not cache.exists(), "nothing is left"
