"""A training that was stopped or killed at any moment goes on as if it never had been."""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from classifier import job
from classifier.basics.errors import StoppedError
from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.job import Outcome, train
from classifier.records.record import TrainRecord
from classifier.training import states
from classifier.tricks.ema import Ema
from classifier.tricks.mixing import Mixer
from experiments.execution.engines import child

ROOT = Path(__file__).parents[2]
SHORT = Ema(decay=0.9, tau=3.0)
TRACKS = (RAW, SHORT)

Result = list[tuple[TrainRecord, bytes]]


def spec_of(tiny: TrainSpec) -> TrainSpec:
    """With all that a step may depend on: dropout, an average, mixing, warm-up, a short batch."""
    changes = {"epochs": 4, "batch_size": 13, "mixing": "mixup", "warmup": {"ratio": 0.5}}
    return TrainSpec.model_validate({**tiny.model_dump(), **changes})


def trained(spec: TrainSpec, folder: Path, **settings: Any) -> tuple[Outcome[TrainRecord], ...]:
    folder.mkdir(exist_ok=True)
    place = replace(Place(folder, checkpoint_minutes=0.0), **settings)
    return train(spec, folder, place, tracks=TRACKS)


def result(outcomes: tuple[Outcome[TrainRecord], ...], folder: Path) -> Result:
    """Each track's record and the bytes of its checkpoint."""
    return [
        (outcome.record, (folder / outcome.record.unit / "best.safetensors").read_bytes())
        for outcome in outcomes
        if isinstance(outcome.record, TrainRecord)
    ]


def fingerprint(state: states.TrainingState) -> str:
    """Of all that a state holds, but the seconds and the name: tensors with their strides."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.update(f"{value.dtype} {tuple(value.shape)} {value.stride()}".encode())
            found.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key not in ("seconds", "training"):
                    found.update(repr(key).encode())
                    add(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                add(inner)
        else:
            found.update(repr(value).encode())

    add(state)
    return found.hexdigest()


def position(file: Path) -> str:
    return file.name.rpartition("-")[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, str]]:
    """What an uninterrupted training gives, and the fingerprint of its state at every step."""
    tiny = TrainSpec.model_validate(
        {
            "data": {"name": "digits", "limit": 10},
            "model": "mobilenetv2",
            "image_size": 32,
            "augment": "AutoAugment",
            "patience": 0,
        }
    )
    folder = tmp_path_factory.mktemp("whole")
    seen: dict[str, str] = {}
    original = states.save

    def noted(folder: Path, *saved: Any) -> None:
        original(folder, *saved)
        newest = states.kept(folder)[0]
        seen[position(newest)] = fingerprint(_load(newest))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "save", noted)
        found = result(trained(spec_of(tiny), folder), folder)
    assert len(seen) == 4 * 5 - 1, "after each of the five steps of an epoch, but for the last"
    return found, seen


def _load(file: Path) -> states.TrainingState:
    loaded: states.TrainingState = torch.load(io.BytesIO(file.read_bytes()), weights_only=True)
    return loaded


def test_what_a_trick_keeps_is_restored(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[dict[str, Any]] = []
    monkeypatch.setattr(Mixer, "state_dict", lambda self: {"kept": torch.arange(3)})
    monkeypatch.setattr(Mixer, "load_state_dict", lambda self, state: restored.append(state))
    asked = iter([False] * 6 + [True])
    spec = spec_of(tiny)
    with pytest.raises(StoppedError):
        trained(spec, tmp_path, stop=lambda: next(asked))
    assert not restored
    trained(spec, tmp_path)
    assert [state["kept"].tolist() for state in restored] == [[0, 1, 2]]


def _child(spec: TrainSpec, folder: Path) -> None:
    torch.set_num_threads(1)
    trained(spec, folder)
    (folder / "finished").touch()


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_bit_for_bit(
    kills: int, tiny: TrainSpec, whole: tuple[Result, dict[str, str]], tmp_path: Path
) -> None:
    """SIGKILL by chance, inside a state's write, and between epochs: the state that is left is that
    of the uninterrupted training at the same step, and so are the results of the survivor."""
    spec, draw = spec_of(tiny), random.Random(5)
    expected, seen = whole
    folder = tmp_path / "run0"
    moments = {"by chance": 0, "while writing": 0, "between epochs": 0}
    survivors = 0
    while sum(moments.values()) < kills or not survivors:
        folder.mkdir(exist_ok=True)
        fewest = min(moments.values())
        kind = draw.choice([kind for kind, count in moments.items() if count == fewest])
        moment = _moment(kind, folder, draw) if sum(moments.values()) < kills else None
        process = child.context().Process(target=_child, args=(spec, folder))
        process.start()
        while process.exitcode is None and not (moment and moment()):
            time.sleep(0.001)
        process.kill()
        process.join()
        if (folder / "finished").exists():
            outcomes = _published(spec, folder)
            assert outcomes == expected
            survivors += 1
            folder = tmp_path / f"run{survivors}"
            continue
        moments[kind] += 1
        files = states.kept(folder)
        if files:
            assert fingerprint(_load(files[0])) == seen[position(files[0])]
            assert len(files) <= 3, "the one before is kept, and one more until it is removed"
    assert all(moments.values())


def _moment(kind: str, folder: Path, draw: random.Random) -> Callable[[], bool]:
    """When to kill: after a random time, at a file that is being written, at an epoch's end."""
    if kind == "by chance":
        end = time.monotonic() + draw.uniform(0.2, 1.5)
        return lambda: time.monotonic() > end
    if kind == "while writing":
        start = time.monotonic() + draw.uniform(0.0, 1.0)
        return lambda: time.monotonic() > start and bool(list(folder.glob(".state-*")))
    known = {file.name for file in states.kept(folder)}
    return lambda: any(
        file.name not in known and "-000000000-" in file.name for file in states.kept(folder)
    )


def _published(spec: TrainSpec, folder: Path) -> Result:
    """The finished training's outcome: run again, it goes on from its last state, its end."""
    return result(trained(spec, folder), folder)


def test_asked_to_stop_it_keeps_its_state(
    tiny: TrainSpec, whole: tuple[Result, dict[str, str]], tmp_path: Path
) -> None:
    spec, asked = spec_of(tiny), iter([False] * 7 + [True])
    with pytest.raises(StoppedError):
        trained(spec, tmp_path, checkpoint_minutes=60.0, stop=lambda: next(asked))
    assert [position(file) for file in states.kept(tmp_path)] == [
        "state-000001-000000003",
        "state-000001-000000000",
    ]
    assert result(trained(spec, tmp_path), tmp_path) == whole[0]


def test_a_damaged_state_falls_back_to_the_one_before(
    tiny: TrainSpec,
    whole: tuple[Result, dict[str, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec, asked = spec_of(tiny), iter([False] * 7 + [True])
    with pytest.raises(StoppedError):
        trained(spec, tmp_path, stop=lambda: next(asked))
    newest, before = states.kept(tmp_path)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    kept = states.load(tmp_path)
    assert kept is not None
    assert f"{newest} is damaged: the one before it is taken" in capsys.readouterr().err
    assert fingerprint(kept) == fingerprint(_load(before))
    assert result(trained(spec, tmp_path), tmp_path) == whole[0]
    for file in states.kept(tmp_path):
        file.write_bytes(b"")
    assert states.load(tmp_path) is None
    assert "the training begins anew" in capsys.readouterr().err


def test_other_tracks_or_data_begin_anew_and_another_place_is_marked(
    tiny: TrainSpec, tmp_path: Path
) -> None:
    spec, asked = tiny.model_copy(update={"epochs": 2}), iter([False] * 5 + [True])
    with pytest.raises(StoppedError):
        trained(spec, tmp_path, stop=lambda: next(asked))
    shutil.copytree(tmp_path, tmp_path / "other tracks")
    records = [outcome.record for outcome in trained(spec, tmp_path, threads=2)]
    assert all(isinstance(record, TrainRecord) and record.moved for record in records)
    place = Place(tmp_path)
    (raw,) = train(spec, tmp_path / "other tracks", place, tracks=(RAW,))
    assert isinstance(raw.record, TrainRecord) and not raw.record.moved


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ("A CPU (AVX2)", "A CPU (AVX2)", False),
        ("A CPU (AVX2)", "A CPU (AVX512)", True),
        ("A CPU", "A CPU (AVX512)", False),  # from before instruction sets were named
    ],
)
def test_another_instruction_set_is_another_place(
    before: str,
    after: str,
    moved: bool,
    tiny: TrainSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, asked = tiny.model_copy(update={"epochs": 2}), iter([False] * 5 + [True])
    monkeypatch.setattr(job, "cpu_device", lambda: before)
    with pytest.raises(StoppedError):
        trained(spec, tmp_path, stop=lambda: next(asked))
    monkeypatch.setattr(job, "cpu_device", lambda: after)
    for outcome in trained(spec, tmp_path):
        assert isinstance(outcome.record, TrainRecord)
        assert (outcome.record.environment.device, outcome.record.moved) == (after, moved)


def test_a_state_that_would_run_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "ran").touch, ())  # type: ignore[return-value]

    states.save(tmp_path, (0, 1), {"trainer": 1})
    states.save(tmp_path, (0, 2), {"trainer": Evil()})
    assert states.load(tmp_path) == {"format": states.FORMAT, "trainer": 1}
    assert "can't be read" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_power_cut_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """What a kill can't show: written, then flushed to the disk, then renamed, then the folder."""
    code = (
        "import sys, pathlib, torch; from classifier.training import states\n"
        "states.save(pathlib.Path(sys.argv[1]), (1, 2), {'x': torch.arange(9)})\n"
    )
    trace = tmp_path / "trace"
    calls = "trace=openat,write,fsync,rename,renameat,renameat2,unlink"
    strace = ["strace", "-f", "-y", "-e", calls, "-o", str(trace)]
    (tmp_path / "kept").mkdir()
    subprocess.run(
        [*strace, sys.executable, "-c", code, str(tmp_path / "kept")],
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    steps = []
    for line in trace.read_text().splitlines():
        if str(tmp_path / "kept") not in line:
            continue
        call = re.search(r"(\w+)\(", line)
        assert call is not None
        what = "folder" if re.search(r"fsync\(\d+<[^>]*/kept>\)", line) else "file"
        steps.append(f"{call[1]} {what}")
    order = [step for step in steps if not step.startswith("openat")]
    assert order[0] == "write file"
    assert order[-3:] == ["fsync file", "rename file", "fsync folder"]
