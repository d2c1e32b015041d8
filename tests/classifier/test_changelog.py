"""Every command line of the original's changelog runs here, with only the program's name replaced
and toy-sized epochs and images appended, and does what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from classifier.cli.main import main
from classifier.models.catalogue import MODELS
from classifier.models.network import build
from classifier.records import runs
from classifier.records.record import EvaluateRecord, TrainRecord

TRAIN = r"""
python main.py --model_name mobilenetv2 --config config/config.py --save_path runs/mobilenetv2 --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name resnext50 --config config/config.py --save_path runs/resnext50 --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name RepVGG-A0 --config config/config.py --save_path runs/RepVGG-A0 --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name densenet121 --config config/config.py --save_path runs/densenet121 --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name mobilenetv2 --config config/config.py --save_path runs/mobilenetv2_rdrop --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd --rdrop

python main.py --model_name resnext50 --config config/config.py --save_path runs/resnext50_rdrop --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --rdrop

python main.py --model_name ghostnet --config config/config.py --save_path runs/ghostnet --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name ghostnet --config config/config.py --save_path runs/ghostnet_rdrop --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --rdrop

python main.py --model_name efficientnet_v2_s --config config/config.py --save_path runs/efficientnet_v2_s --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd

python main.py --model_name efficientnet_v2_s --config config/config.py --save_path runs/efficientnet_v2_s_rdrop --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --rdrop

python main.py --model_name mobilenetv2 --config config/config.py --save_path runs/mobilenetv2_ema --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd --ema

python main.py --model_name resnext50 --config config/config.py --save_path runs/resnext50_ema --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --ema

python main.py --model_name ghostnet --config config/config.py --save_path runs/ghostnet_ema --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --ema

python main.py --model_name efficientnet_v2_s --config config/config.py --save_path runs/efficientnet_v2_s_ema --lr 1e-4 --Augment AutoAugment --epoch 150 \
--pretrained --amp --warmup --imagenet_meanstd  --ema
"""

METRICS = """
python metrice.py --task val --save_path runs/mobilenetv2
python metrice.py --task val --save_path runs/resnext50
python metrice.py --task val --save_path runs/RepVGG-A0
python metrice.py --task val --save_path runs/densenet121

python metrice.py --task val --save_path runs/mobilenetv2 --half
python metrice.py --task val --save_path runs/resnext50 --half
python metrice.py --task val --save_path runs/RepVGG-A0 --half
python metrice.py --task val --save_path runs/densenet121 --half

python metrice.py --task fps --save_path runs/mobilenetv2
python metrice.py --task fps --save_path runs/resnext50
python metrice.py --task fps --save_path runs/RepVGG-A0
python metrice.py --task fps --save_path runs/densenet121

python metrice.py --task fps --save_path runs/mobilenetv2 --half
python metrice.py --task fps --save_path runs/resnext50 --half
python metrice.py --task fps --save_path runs/RepVGG-A0 --half
python metrice.py --task fps --save_path runs/densenet121 --half

python metrice.py --task val --save_path runs/mobilenetv2_rdrop
python metrice.py --task val --save_path runs/resnext50_rdrop
python metrice.py --task val --save_path runs/ghostnet
python metrice.py --task val --save_path runs/ghostnet_rdrop
python metrice.py --task val --save_path runs/efficientnet_v2_s
python metrice.py --task val --save_path runs/efficientnet_v2_s_rdrop

python metrice.py --task test --save_path runs/mobilenetv2
python metrice.py --task test --save_path runs/mobilenetv2_rdrop
python metrice.py --task test --save_path runs/resnext50
python metrice.py --task test --save_path runs/resnext50_rdrop
python metrice.py --task test --save_path runs/ghostnet
python metrice.py --task test --save_path runs/ghostnet_rdrop
python metrice.py --task test --save_path runs/efficientnet_v2_s
python metrice.py --task test --save_path runs/efficientnet_v2_s_rdrop

python metrice.py --task val --save_path runs/mobilenetv2_ema
python metrice.py --task val --save_path runs/resnext50_ema
python metrice.py --task val --save_path runs/ghostnet_ema
python metrice.py --task val --save_path runs/efficientnet_v2_s_ema

python metrice.py --task test --save_path runs/mobilenetv2_ema
python metrice.py --task test --save_path runs/resnext50_ema
python metrice.py --task test --save_path runs/ghostnet_ema
python metrice.py --task test --save_path runs/efficientnet_v2_s_ema
"""


def lines(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", "").splitlines() if line]


TOY = "--epoch 1 --image_size 32 --batch_size 8 --device cpu"
"""Appended: of a flag that is given twice the later one holds."""
ROOT = Path(__file__).parents[2]
AVERAGE = "ema-0.9999-2000"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def arguments(line: str) -> list[str]:
    """What follows `python -m classifier`."""
    line = line.replace("python main.py", "train").replace("python metrice.py", "metrics")
    return shlex.split(f"{line} {TOY}" if line.startswith("train") else line)


def run(line: str) -> Ran:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments(line))
    return Ran(code, out.getvalue(), err.getvalue())


def run_for_real(line: str) -> Ran:
    command = [sys.executable, "-m", "classifier", *arguments(line)]
    paths = {"PYTHONPATH": str(ROOT), "HF_HUB_CACHE": str(Path("weights/hf").absolute())}
    environment = {**os.environ, **paths, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with a data set where the original looks for it, and weights where the
    libraries do."""
    place = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("TORCH_HOME", str(place / "weights"))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place / "weights/hf"))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patch.setattr("classifier.cli.commands.cores", lambda: 1)
        patch.setattr("classifier.inference.benchmark.WARMUP", 1)
        patch.setattr("classifier.inference.benchmark.ITERATIONS", 1)
        patch.setattr("classifier.inference.benchmark.LEAST_ITERATIONS", 1)
        for part, images in {"train": 6, "val": 2, "test": 2}.items():
            for label, name in enumerate(("tit", "wren")):
                Path("dataset", part, name).mkdir(parents=True)
                for index in range(images):
                    image = Image.new("RGB", (40, 36), (200 * label, 30 * index, 90))
                    image.save(Path("dataset", part, name, f"{index}.png"))
        yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Stand-ins for the pretrained weights that the changelog's models ask for."""
    found = {}
    torch.manual_seed(7)
    for name in {arguments(line)[2] for line in lines(TRAIN)}:
        model = MODELS[name]
        if model.library == "torchvision":
            network = torchvision.models.get_model(model.name)
            wanted = torchvision.models.get_model_weights(model.name)[model.weights]
            file = folder / "weights/hub/checkpoints" / wanted.url.rpartition("/")[2]
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(network.state_dict(), file)
        else:
            network = timm.create_model(f"{model.name}.{model.weights}")
            repository = network.pretrained_cfg["hf_hub_id"].replace("/", "--")
            kept = folder / "weights/hf" / f"models--{repository}"
            (kept / "refs").mkdir(parents=True)
            (kept / "refs/main").write_text("0" * 40)
            (kept / "snapshots" / ("0" * 40)).mkdir(parents=True)
            save_file(network.state_dict(), kept / "snapshots" / ("0" * 40) / "model.safetensors")
        found[name] = network.state_dict()
    return found


@pytest.fixture(scope="module")
def trained(folder: Path, weights: object) -> dict[str, Ran]:
    """What each training said: the first one as a user starts it, the others in this process."""
    first, *others = lines(TRAIN)
    return {first: run_for_real(first)} | {line: run(line) for line in others}


def test_the_changelog_is_whole() -> None:
    assert (len(lines(TRAIN)), len(lines(METRICS))) == (14, 38)
    assert len({*lines(TRAIN), *lines(METRICS)}) == 52


@pytest.mark.parametrize("line", lines(TRAIN), ids=lambda line: arguments(line)[6])
def test_train(line: str, trained: dict[str, Ran], weights: dict[str, dict[str, Tensor]]) -> None:
    ran = trained[line]
    assert ran.code == 0, ran.err
    _, _, model, _, _, _, run_folder, *_ = arguments(line)
    assert ran.out.startswith(f"{run_folder}: best val accuracy ")
    assert "config/config.py is not there, so the defaults hold" in ran.err
    assert "on this CPU the training runs in FP32" in ran.err
    (unit,) = Path(run_folder).iterdir()
    record = runs.read_record(unit)
    assert isinstance(record, TrainRecord)
    assert record.track == (AVERAGE if "--ema" in line else "raw")
    spec = record.spec
    assert (spec.model, spec.pretrained) == (model, MODELS[model].weights)
    assert (spec.lr, spec.augment, spec.normalize) == (1e-4, "AutoAugment", "imagenet")
    assert spec.warmup is not None and spec.amp and record.environment.precision == "fp32"
    assert (spec.epochs, len(record.history)) == (1, 1)
    passes = MODELS[model].rdrop_passes if "--rdrop" in line else None
    assert (spec.has("rdrop"), record.rdrop_passes) == ("--rdrop" in line, passes)
    first = next(name for name, tensor in weights[model].items() if tensor.ndim == 4)
    began, ended = weights[model][first], load_file(unit / runs.CHECKPOINT)[f"trunk.{first}"]
    untrained = build(model, 2, seed=0).trunk.state_dict()[first]
    assert (ended.float() - began).abs().max() < 1e-3, "two steps from the pretrained weights"
    assert (untrained - began).abs().max() > 0.05


@pytest.mark.parametrize("line", lines(METRICS), ids=lambda line: line.partition("--task ")[2])
def test_metrics(line: str, trained: dict[str, Ran]) -> None:
    _, _, task, _, run_folder, *_ = arguments(line)
    ran = run_for_real(line) if line == lines(METRICS)[0] else run(line)
    assert ran.code == 0, ran.err
    precision = "fp16" if "--half" in line else "fp32"
    if task == "fps":
        model = Path(run_folder).name
        pattern = rf"{model} {precision} FPS\(batch_size=64\): [\d.]+ batches/s, [\d.]+ images/s"
        assert re.match(pattern, ran.out)
        return
    track = AVERAGE if run_folder.endswith("_ema") else "raw"
    (unit,) = Path(run_folder).glob(f"evaluate-{track}-{task}-{precision}-*")
    record = runs.read_record(unit)
    assert isinstance(record, EvaluateRecord)
    assert (record.images, record.environment.precision) == (4, precision)
    written = Path(run_folder) / f"metrics-{track}-{task}-{precision}"
    assert ran.out.startswith(f"{written}/summary.md\n")
    assert re.search(rf"\| accuracy +\| +{record.accuracy:.5f} \|", ran.out)
    assert (written / "confusion_matrix.csv").exists() and (written / "per_class.csv").exists()
