"""python -m classifier: split, metrics and predict, on a run of a matrix job."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.functional import resize

from classifier.basics.place import Place
from classifier.cli.main import main
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.datasets import listing
from classifier.data.transforms import Normalize
from classifier.inference.metrics import Labels
from classifier.job import train
from classifier.models import checkpoint
from classifier.records import runs
from classifier.records.record import EvaluateRecord
from classifier.tricks.ema import Ema


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder as a matrix job leaves it."""
    spec = TrainSpec.model_validate(
        {
            "data": {"name": "digits", "limit": 10},
            "model": "mobilenetv2",
            "image_size": 32,
            "batch_size": 16,
            "epochs": 2,
        }
    )
    run = tmp_path_factory.mktemp("runs") / "mine"
    work = run / "work"
    work.mkdir(parents=True)
    for outcome in train(spec, work, Place(run), tracks=(RAW, Ema())):
        runs.publish(outcome.record, outcome.cost, work, run)
    shutil.rmtree(work)
    return run


def test_metrics_writes_what_the_matrix_would(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["metrics", "--save_path", str(trained), "--task", "test", "--device", "cpu"]
    assert main([*arguments, "--visual"]) == 0
    assert "summary.md" in capsys.readouterr().out
    folder = trained / "metrics-raw-test-fp32"
    (unit,) = trained.glob("evaluate-raw-test-fp32-*")
    record = runs.read_record(unit)
    assert isinstance(record, EvaluateRecord)
    overall = dict(list(csv.reader((folder / "overall.csv").open()))[1:])
    assert float(next(v for k, v in overall.items() if "ccuracy" in k)) == pytest.approx(
        record.accuracy
    )
    with Image.open(folder / "confusion_matrix.png") as picture:
        assert min(picture.size) > 200
    rows = [
        *csv.DictReader((folder / "correct.csv").open()),
        *csv.DictReader((folder / "incorrect.csv").open()),
    ]
    assert len(rows) == record.images == 20
    written = (unit / "record.json").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (unit / "record.json").stat().st_mtime_ns == written, "evaluated once"
    assert not list(trained.glob(".evaluate-*"))


def test_metrics_of_the_training_part_with_a_map_of_the_features(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Centre-cropped and not augmented: figures and features are those of the plain images."""
    seen: dict[str, NDArray[Any]] = {}

    def keep(
        file: Path, points: NDArray[np.float32], labels: Labels, *_: object, **__: str
    ) -> None:
        seen.update(points=points, labels=labels)

    monkeypatch.setattr("classifier.inference.plots.tsne", keep)
    arguments = ["metrics", "--save_path", str(trained), "--task", "train", "--device", "cpu"]
    assert main([*arguments, "--tsne"]) == 0
    record = runs.read_record(next(trained.glob("evaluate-raw-train-fp32-*")))
    assert isinstance(record, EvaluateRecord)
    assert (record.spec.split, record.images) == ("train", 60)
    network, meta = checkpoint.load(trained / "train-raw" / runs.CHECKPOINT)
    listed = listing(record.training.data, Path("nowhere"))
    paths = [listed.paths[index] for index in listed.indices("train")]
    images = [record.training.data.source.open(Path("nowhere"), path) for path in paths]
    side = record.training.image_size
    pixels = np.stack([np.asarray(resize(image, side)) for image in images])
    batch = Normalize(meta.mean, meta.std, torch.device("cpu"))(torch.from_numpy(pixels))
    with torch.inference_mode():
        features = network.trunk(batch)
        right = network.head(features).argmax(dim=1).numpy() == seen["labels"]
    assert seen["points"] == pytest.approx(features.numpy(), abs=1e-4)
    assert right.mean() == pytest.approx(record.accuracy)


def test_what_is_not_of_the_run_any_more_is_evaluated_again(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    arguments = ["metrics", "--save_path", str(run), "--task", "val", "--device", "cpu"]
    assert main(arguments) == 0
    (unit,) = run.glob("evaluate-raw-val-fp32-*")
    record = unit / "record.json"
    before = runs.read_record(unit)
    assert isinstance(before, EvaluateRecord)
    record.write_text(record.read_text().replace(before.checkpoint, "0" * 16))
    assert main(arguments) == 0
    assert runs.read_record(unit) == before


def test_metrics_of_the_average_in_fp16_with_ten_crops(trained: Path) -> None:
    track = ["--track", "ema-0.9999-2000", "--half", "--test_tta", "--task", "val"]
    assert main(["metrics", "--save_path", str(trained), "--device", "cpu", *track]) == 0
    assert (trained / "metrics-ema-0.9999-2000-val-fp16-tta" / "per_class.csv").exists()


def test_speed(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.inference.benchmark.WARMUP", 1)
    monkeypatch.setattr("classifier.inference.benchmark.ITERATIONS", 3)
    assert main(["metrics", "--save_path", str(trained), "--task", "fps", "--device", "cpu"]) == 0
    assert "mobilenetv2 fp32 FPS(batch_size=64): " in capsys.readouterr().out
    arguments = ["metrics", "--save_path", str(trained), "--task", "fps", "--device", "cpu"]
    assert main([*arguments, "--batch_size", "2", "--half"]) == 0
    assert "mobilenetv2 fp16 FPS(batch_size=2): " in capsys.readouterr().out


def test_predict_names_what_it_can_not_read(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "some photos & more"
    source.mkdir()
    record = runs.read_record(trained / "train-raw")
    assert record.kind == "train"
    image = record.spec.data.source.open(tmp_path, "3/0003").resize((40, 40))
    modes = ("L", "LA", "RGBA", "CMYK", "P", "I;16")
    for mode in modes:
        suffix = "tif" if mode == "CMYK" else "png"
        if mode == "I;16":
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(
                source / "16.png"
            )
        else:
            image.convert(mode).save(source / f"{mode}.{suffix}")
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    arguments = ["predict", "--save_path", str(trained), "--source", str(source), "--device", "cpu"]
    assert main([*arguments, "--top_k", "3", "--out", str(tmp_path / "out")]) == 1
    assert f"\nfailed: {source}/broken.jpg can't be read" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "predictions.csv").open()))
    assert len({row["path"] for row in rows}) == len(modes)
    assert len(rows) == 3 * len(modes)
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())
    (source / "broken.jpg").unlink()
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0


def test_split_makes_what_a_matrix_takes_as_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("wren & co", "äsche"):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for index in range(10):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / "birds" / name / f"{index}.png")
    assert main(["split", "--data_path", str(tmp_path / "birds")]) == 0
    assert "12 train / 4 val / 4 test" in capsys.readouterr().out
    out = tmp_path / "birds-split"
    assert (out / "label.txt").read_text("utf-8").splitlines() == ["wren & co", "äsche"]
    assert len(list(out.rglob("*.png"))) == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metrics", "--save_path", "nowhere"], "nowhere is not there; name a run's folder"),
        (["metrics", "--save_path", "RUN", "--track", "ema"], "its tracks are ema-0.9999-2000, raw"),
        (["metrics", "--save_path", "RUN", "--val_path", "x/val"], "x is not the 'digits' that the run was trained on"),
        (["metrics", "--save_path", "RUN", "--label_path", "x.png"], "x.png is not UTF-8 text"),
        (["predict", "--save_path", "RUN", "--source", "x.png", "--out", "x.png"], "the folder x.png can't be made: File exists"),
        (["metrics", "--save_path", "RUN", "--device", "9"], "--device 9: that is not auto, cpu or one of"),
        (["predict", "--weight", "nowhere.safetensors", "--source", "x.png", "--device", "cpu"], "nowhere.safetensors"),
        (["split", "--data_path", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str], message: str, trained: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("x.png")
    assert main([str(trained) if a == "RUN" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1 and "Traceback" not in error
