"""What a GPU must keep as a CPU does. Skipped where there is none; `pytest -n 0 tests/test_cuda.py`
on a machine with one. Each image is that of scikit-learn's digits at 32 x 32."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.place import Place
from classifier.config.family import Member
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, Precision, TrainSpec
from classifier.config.tracks import RAW
from classifier.inference.predict import Options, predict
from classifier.job import FRESH, Start, benchmark, evaluate, train, train_together
from classifier.models import catalogue
from classifier.records.record import EvaluateRecord
from classifier.records.runs import CHECKPOINT, PREDICTIONS
from classifier.tricks.distillation import Distill
from classifier.tricks.ema import Ema
from tests.classifier import test_families as families
from tests.classifier.test_distillation import TEACHER
from tests.classifier.test_resume import Result, result

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

ROOT = Path(__file__).parents[1]
GPU = "cuda:0"
TRACKS = (RAW, Ema(decay=0.9, tau=3.0))


def trained(spec: TrainSpec, folder: Path, start: Start = FRESH, **settings: Any) -> Result:
    """Each track's record, and the bytes of its checkpoint."""
    folder.mkdir(exist_ok=True)
    place = replace(Place(folder, device=GPU), **settings)
    return result(train(spec, folder, place, tracks=TRACKS, start=start), folder)


TRAININGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "amp": {"amp": True},
    "bfloat16, clipped": {"amp": "bfloat16", "clip_grad": 0.5, "erasing": {"value": "noise"}},
    "compiled": {"compile": True},
    "all images mixed": {"mixing": "mixup", "warmup": {"ratio": 0.5}},
    "r-drop, amp": {"rdrop": {}, "amp": True},
    "r-drop through two passes": {"rdrop": {}, "model": "efficientnet_v2_s"},
    "parts": {"micro_batch": 5},
    "sam": {"sam": {}},
    "workers": {"amp": True, "model": "RepVGG-A0"},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_stopped_inside_an_epoch_it_goes_on_bit_for_bit(
    name: str, tiny: TrainSpec, tmp_path: Path
) -> None:
    changes = {"epochs": 2, "batch_size": 13, **TRAININGS[name]}
    spec = TrainSpec.model_validate({**tiny.model_dump(), **changes})
    workers = 2 if name == "workers" else 0
    whole = trained(spec, tmp_path / "whole", workers=workers)
    for record, _ in whole:
        assert record.environment.device_kind == "cuda"
        precision = {True: "fp16", False: "fp32", "bfloat16": "bf16"}[spec.amp]
        assert record.environment.precision.startswith(precision)
    asked = iter([False] * 7 + [True])
    with pytest.raises(StoppedError):
        trained(spec, tmp_path / "stopped", stop=lambda: next(asked), workers=workers)
    assert trained(spec, tmp_path / "stopped") == whole


def test_loader_processes_that_it_finds_change_nothing(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = tiny.model_copy(update={"batch_size": 4, "epochs": 2})
    plain, found = (
        trained(spec, tmp_path / str(workers), workers=workers, threads=4)
        for workers in (0, "auto")
    )
    assert found == plain


@pytest.mark.parametrize(
    "changes", [{"amp": True}, {"rdrop": True}, {"mixing": "mixup", "amp": "bfloat16"}]
)
def test_members_of_one_training_equal_separate_ones(
    changes: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    specs = [
        families.learner(tiny, epochs=2, **changes),
        families.learner(tiny, epochs=4, best="loss", patience=1, **changes),
    ]
    shared = families.together(specs, tmp_path, device=GPU)
    assert shared == families.alone(specs, tmp_path, device=GPU) and len(shared) == 6


def test_a_longer_one_goes_on_at_the_end_of_a_shorter(tiny: TrainSpec, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for epochs in (2, 3):
        spec = families.learner(tiny, epochs=epochs, amp=True)
        outcomes = list(
            train_together(
                [Member(spec, families.TRACKS)],
                Place(folder, device=GPU, checkpoint_minutes=60.0),
                lambda spec: folder / spec.signature,
                states_in=folder,
                keep_end=True,
            )
        )
        assert families.files(outcomes, folder) == families.alone([spec], tmp_path, device=GPU)
        trainings = {outcome.cost.training for outcome in outcomes}
        assert len(trainings) == 1


def test_a_student_learns_there_and_its_teacher_stays(tiny: TrainSpec, tmp_path: Path) -> None:
    (teacher, _), _ = trained(tiny, tmp_path / "teacher")
    file = tmp_path / "teacher" / teacher.unit / CHECKPOINT
    for method in ("soft_target", "mgd", "sp", "at"):
        distill = Distill.model_validate({"teacher": TEACHER, "method": method})
        spec = tiny.model_copy(update={"epochs": 2, "model": "resnet50", "distill": distill})
        whole = trained(spec, tmp_path / method, Start(teacher=file))
        assert trained(spec, tmp_path / f"{method} again", Start(teacher=file)) == whole


def test_its_first_loss_is_the_cpus(tiny: TrainSpec, tmp_path: Path) -> None:
    """One step: the loss before anything is learned. RepVGG has no dropout."""
    spec = tiny.model_copy(
        update={"model": "RepVGG-A0", "epochs": 1, "batch_size": 60, "augment": None}
    )
    losses = []
    for device in (GPU, "cpu"):
        (record, _), _ = trained(spec, tmp_path / device.replace(":", ""), device=device)
        losses.append(record.history[0].train_loss)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-2)


@pytest.mark.parametrize(("precision", "near"), [("fp32", 5e-3), ("fp16", 5e-2)])
@pytest.mark.parametrize("tta", [False, True])
def test_an_evaluation_is_near_the_cpus(
    precision: Precision, near: float, tta: bool, tiny: TrainSpec, tmp_path: Path
) -> None:
    (raw, _), _ = trained(tiny, tmp_path)
    file = tmp_path / raw.unit / CHECKPOINT
    logits = {}
    for device in (GPU, "cpu"):
        used = precision if device == GPU else "fp32"
        spec = EvaluateSpec.of(tiny, RAW, split="test", precision=used, tta=tta)
        out = tmp_path / device.replace(":", "")
        outcome = evaluate(spec, out, Place(tmp_path, device=device), file, raw.data.fingerprint)
        assert isinstance(outcome.record, EvaluateRecord)
        with np.load(out / outcome.record.unit / PREDICTIONS) as kept:
            logits[device] = kept["logits"]
    scale = np.abs(logits["cpu"]).max()
    np.testing.assert_allclose(logits[GPU] / scale, logits["cpu"] / scale, atol=near)


def test_predictions_of_a_checkpoint(tiny: TrainSpec, tmp_path: Path) -> None:
    (raw, _), _ = trained(tiny, tmp_path)
    picture = tmp_path / "a.png"
    Image.fromarray(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)).save(picture)
    file = tmp_path / raw.unit / CHECKPOINT
    told = [predict(file, [picture], Options(device=device)) for device in (GPU, "cpu")]
    best = [one.answers[0].classes[0] for one in told]
    assert best[0] == best[1]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_speed(precision: Precision) -> None:
    spec = BenchmarkSpec(
        model="mobilenetv2", classes=10, image_size=64, batch_size=8, precision=precision, seconds=1
    )
    outcome = benchmark(spec, Place(Path(), device=GPU))
    record = outcome.record
    assert record.environment.device == torch.cuda.get_device_name(0)
    assert record.iterations >= 20 and 1e-5 < record.median_seconds < 1
    peak = outcome.cost.peak_memory_mib
    assert peak is not None and peak < 1000, "the device's memory, not the process's"


def test_a_device_that_is_full(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = tiny.model_copy(update={"model": "resnet50", "image_size": 224, "batch_size": 60})
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2**30 / total)
    try:
        with pytest.raises(UserError, match=r"out of memory on .*, at a peak of .* 'micro_batch'"):
            trained(spec, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


@pytest.mark.parametrize("model", catalogue.MODELS)
def test_every_model_repeats_exactly(model: str, tiny: TrainSpec, tmp_path: Path) -> None:
    spec = tiny.model_copy(update={"model": model, "epochs": 1, "image_size": 64, "amp": True})
    assert trained(spec, tmp_path / "once") == trained(spec, tmp_path / "twice")


SMALL = """\
title: Small
data: {name: digits, limit: 10}
train: {image_size: 32, batch_size: 16, epochs: 2, lr: 1e-2}
matrix:
  model: [mobilenetv2]
  ema: [false, true]
benchmark: {seconds: 1}
tables:
  small:
    rows: model
    columns:
      - {header: val, split: val, where: {ema: false}}
      - {header: val(ema), split: val, where: {ema: true}}
      - {header: val(fp16), split: val, precision: fp16, where: {ema: false}}
      - {header: FPS, metric: fps, where: {ema: false}}
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    (folder / "small.yaml").write_text(SMALL)
    folders = ["--runs", str(folder / "runs"), "--reports", str(folder / "reports")]
    command = [sys.executable, "runner.py", str(folder / "small.yaml"), *folders, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def kinds_of(folder: Path) -> set[str]:
    kept = [json.loads(file.read_text()) for file in (folder / "runs").rglob("record.json")]
    return {record["environment"]["device_kind"] for record in kept if "environment" in record}


def test_a_matrix_two_jobs_at_a_time(tmp_path: Path) -> None:
    """The runner's own processes, each with its part of the GPU, to the report."""
    folder = tmp_path / "local"
    done = run(folder, "--devices", "0", "--jobs-per-device", "2", "--seeds", "0,1")
    assert done.returncode == 0, done.stderr
    (report,) = (folder / "reports").rglob("report.md")
    assert torch.cuda.get_device_name(0) in report.read_text()
    assert kinds_of(folder) == {"cuda"}


def test_a_matrix_on_rays_gpu(tmp_path: Path) -> None:
    """A cluster of this machine alone, started and ended by the runner: figures as without Ray."""
    pytest.importorskip("ray")
    done = run(tmp_path / "ray", "--engine", "ray", "--jobs-per-device", "2")
    assert done.returncode == 0, done.stderr
    assert kinds_of(tmp_path / "ray") == {"cuda"}
    assert run(tmp_path / "local").returncode == 0
    found = [figures_of(tmp_path / name) for name in ("ray", "local")]
    assert found[0] == found[1] and len(found[0]) == 3


def figures_of(folder: Path) -> dict[str, Any]:
    """Of each evaluation: the loss and accuracy, and the digest of the weights."""
    kept = {file.parent.name: json.loads(file.read_text()) for file in folder.rglob("record.json")}
    return {
        name: [record[key] for key in ("loss", "accuracy", "checkpoint")]
        for name, record in kept.items()
        if record["kind"] == "evaluate"
    }


def test_the_doctor_finds_that_it_computes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "runner.py", "--doctor", "--runs", str(tmp_path / "runs")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if "GPU" in line]
    assert lines and not [line for line in lines if line.startswith("bad")], done.stdout
    assert "from float64, relative" in done.stdout and "images/s on GPU 0" in done.stdout
