"""python -m classifier train: the original's flags, and a run that a matrix can report."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import runner
from classifier.basics.errors import StoppedError, UserError
from classifier.basics.files import sha256
from classifier.basics.machine import cores
from classifier.basics.place import Place
from classifier.basics.settings import Weights
from classifier.cli.main import main
from classifier.cli.train_flags import add_flags, spec_of
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.job import train
from classifier.models import catalogue
from classifier.records import runs
from classifier.records.kept import states_folder
from classifier.records.record import Some
from classifier.training.step import Step
from classifier.tricks.distillation import Distill
from classifier.tricks.ema import Ema
from classifier.tricks.mixing import Mixing
from classifier.tricks.rdrop import RDrop
from experiments.matrix.load import load

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CHANGELOG = (
    "--config config/config.py --save_path runs/x --lr 1e-4 --Augment AutoAugment --epoch 150 "
    "--pretrained --amp --warmup --imagenet_meanstd --data cub200 --split sequential"
)


def spec(flags: str, teacher: str | None = None) -> tuple[TrainSpec, Ema | None]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    made, track = spec_of(parser.parse_args(flags.split()), teacher)
    return made, track if isinstance(track, Ema) else None


@pytest.mark.parametrize("name", ["fp16", "rdrop", "ema"])
def test_the_changelogs_flags_give_the_matrices_trainings(name: str) -> None:
    """By signature: what the commands train is what the matrices plan."""
    planned = {
        (request.training.signature, request.track)
        for request in load(EXPERIMENTS / f"{name}.yaml").requests()
        if request.training is not None
    }
    models = {
        request.training.model
        for request in load(EXPERIMENTS / f"{name}.yaml").requests()
        if request.training
    }
    extra = {"fp16": [""], "rdrop": ["", " --rdrop"], "ema": ["", " --ema"]}[name]
    trained = set()
    for model in models:
        for flags in extra:
            made, ema = spec(f"--model_name {model} {CHANGELOG}{flags}")
            trained.add((made.signature, ema or RAW))
    assert trained == planned


def test_the_other_flags_have_their_settings() -> None:
    made, ema = spec(
        "--model_name ghostnet --save_path x --data digits --loss PolyLoss --label_smoothing 0.2 "
        "--optimizer SGD --momentum 0.8 --weight_decay 1e-3 --warmup --warmup_ratios 0.1 "
        "--warmup_minlr 1e-5 --class_balance --metrice mean_acc --mixup cutmix --patience 0 --seed 3"
    )
    assert ema is None
    assert made.loss.model_dump() == {"name": "poly", "label_smoothing": 0.2, "epsilon": 2.0}
    assert made.optimizer.model_dump() == {
        "name": "sgd",
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 1e-3,
    }
    assert made.warmup is not None and made.warmup.model_dump() == {"ratio": 0.1, "start_lr": 1e-5}
    mixing = made.trick(Mixing)
    assert mixing is not None and mixing.name == "cutmix"
    assert (made.class_balance, made.best, made.patience, made.seed) == (True, "mpa", 0, 3)


def test_distillation_leaves_rdrop_out(capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--model_name ghostnet --save_path x --data digits --rdrop --kd --kd_method MGD --kd_ratio 0.2"
    made, _ = spec(flags, "0123456789ab")
    distill = made.trick(Distill)
    assert made.trick(RDrop) is None and distill is not None
    assert (distill.method, distill.ratio) == ("mgd", 0.2)
    assert "--rdrop is left out" in capsys.readouterr().err
    with pytest.raises(UserError, match="--kd needs --teacher_path"):
        spec(flags)


def test_the_originals_config_is_read_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(
        "import torch\nimport albumentations as A\n\n\nclass Config:\n    '''settings'''\n"
        "    random_seed = 5\n    lr_scheduler = torch.optim.lr_scheduler.StepLR\n"
        "    lr_scheduler_params = {'step_size': 3, 'gamma': 0.5}\n"
        "    custom_augment = A.Compose([A.HorizontalFlip(p=0.5), A.OneOf([A.Blur(p=1.0)], p=0.3)])\n"
    )
    made, _ = spec(f"--model_name ghostnet --save_path x --data digits --config {file}")
    assert made.seed == 5
    assert made.schedule.model_dump() == {
        "name": "StepLR",
        "arguments": {"step_size": 3, "gamma": 0.5},
    }
    flip, one_of = made.albumentations
    assert (flip.name, flip.arguments) == ("HorizontalFlip", {"p": 0.5})
    assert (one_of.name, one_of.transforms[0].name) == ("OneOf", "Blur")


ORIGINALS = """\
import torch
import torchvision.transforms as transforms
from argparse import Namespace
from utils.utils_aug import CutOut, Create_Albumentations_From_Name

class Config:
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR
    lr_scheduler_params = {
        'T_max': 10,
        'eta_min': 1e-6
    }
    random_seed = 0
    plot_train_batch_count = 5
    custom_augment = transforms.Compose([
    ])

    def _get_opt(self):
        return Namespace()

if __name__ == '__main__':
    print(Config()._get_opt())
"""
"""The form of the config that the changelog's commands name."""


def test_with_the_originals_config_a_run_is_a_matrixs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.py"
    flags = f"--model_name ghostnet --save_path x --data digits --config {file}"
    file.write_text(ORIGINALS)
    assert spec(flags)[0].signature == spec(flags.partition("--config")[0])[0].signature
    assert "config.py:13: 'plot_train_batch_count' is passed over" in capsys.readouterr().err
    named = "Create_Albumentations_From_Name('RandomGridShuffle', grid=(4, 4)),\n"
    file.write_text(ORIGINALS.replace("Compose([\n", f"Compose([\n        {named}"))
    (shuffle,) = spec(flags)[0].albumentations
    assert (shuffle.name, shuffle.arguments) == ("RandomGridShuffle", {"grid": (4, 4)})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "custom_augment = A.HorizontalFlp()",
            ":1: albumentations has no 'HorizontalFlp'; did you mean 'HorizontalFlip'?",
        ),
        (
            "custom_augment = A.Compose([\n  A.OneOf([A.Rotate(limits=9)])])",
            ":2: albumentations' Rotate takes no 'limits'; did you mean 'limit'?",
        ),
        (
            "custom_augment = A.Compose([A.Rotate(limit={1})])",
            ":1: an argument must be a finite number",
        ),
        ("custom_augment = A.Compose([A.Rotate(9)])", ":1: a list of transforms is expected"),
        (
            "custom_augment = A.Compose([], p=0.5)",
            ":1: Compose with a list of transforms is expected",
        ),
        ("random_seed = lr = 3", ":1: only plain settings can be read, not run"),
        ("random_seed = -1", ":1: 'seed' must be greater than or equal to 0, not '-1'"),
        (
            "lr_scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau",
            ":1: unknown schedule 'ReduceLROnPlateau'",
        ),
        ("if seed: random_seed = 1", ":1: only plain settings can be read, not run"),
        ("import os; os.system('touch ran')", ":1: only plain settings can be read, not run"),
        ("random_seed = int(open('x').read())", ":1: a literal value is expected"),
        ("batch = 3", ":1: 'batch' is not a setting that can be read"),
        ("def f(:", ":1: not Python"),
    ],
)
def test_what_a_config_in_python_can_not_say_is_an_error_with_its_line(
    line: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "config.py"
    file.write_text(line)
    with pytest.raises(UserError) as error:
        spec(f"--model_name ghostnet --save_path x --data digits --config {file}")
    assert f"config.py{message}" in str(error.value)
    assert not Path("ran").exists()


def test_flags_go_over_a_config_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "lr: 1e-4\noptimizer: sgd\nwarmup: {ratio: 0.5}\nema: {decay: 0.9, tau: 5}\n"
        "pretrained: IMAGENET1K_V2\naugment: AugMix\n"
    )
    flags = f"--model_name mobilenetv2 --save_path x --data digits --config {file} --ema --warmup"
    made, ema = spec(f"{flags} --lr 1e-2 --weight_decay 0 --warmup_minlr 1e-5 --pretrained")
    assert made.lr == 1e-2 and made.augment == "AugMix" and made.pretrained == "IMAGENET1K_V2"
    assert (made.optimizer.name, made.optimizer.weight_decay) == ("sgd", 0)
    assert made.warmup is not None and made.warmup.model_dump() == {"ratio": 0.5, "start_lr": 1e-5}
    assert ema == Ema(decay=0.9, tau=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1e-4\nepoch: 3", "c.yaml:2: unknown setting 'epoch'; did you mean 'epochs'?"),
        (
            "albumentations:\n- HorizontalFlip\n- Rotte",
            "c.yaml:3: albumentations has no 'Rotte'; did you mean 'Rotate'?",
        ),
        (
            "albumentations:\n- Rotate: {limit: .inf}",
            "c.yaml:2: an argument must be a finite number",
        ),
        ("schedule: {name: StepLR, arguments: {step_size: .nan}}", "c.yaml:1: an argument must be"),
        ("data: {name: digits}", "c.yaml:1: 'data' is given by --data or --train_path"),
        ("distill: {method: sp}", "c.yaml:1: 'distill' is given by --kd and its flags"),
        ("lr: [", "c.yaml:1: not YAML"),
        ("- lr", "c.yaml:1: a mapping of settings is expected"),
    ],
)
def test_what_a_config_in_yaml_can_not_say_is_an_error_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        spec(f"--model_name ghostnet --save_path x --data digits --config {file}")
    assert message in str(error.value)


@pytest.fixture
def birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the original's processing leaves it."""
    monkeypatch.chdir(tmp_path)
    for part, (blue, count) in {"train": (30, 8), "val": (31, 3), "test": (32, 3)}.items():
        for label, name in enumerate(("wren", "tit")):
            (tmp_path / "dataset" / part / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (40, 40), (200 * label, index * 9, blue))
                image.save(tmp_path / "dataset" / part / name / f"{index}.png")
    return tmp_path


TOY = ["--epoch", "2", "--image_size", "32", "--batch_size", "8", "--device", "cpu"]


def test_a_run_made_by_hand_is_a_matrix_jobs(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/mine", "--lr", "1e-3"]
    assert main([*command, *TOY, "--workers", "1"]) == 0
    assert "runs/mine: best val accuracy" in capsys.readouterr().out
    record = runs.read_record(Path("runs/mine/train-raw"))
    assert main([*command, *TOY]) == 0
    assert "nothing to do: runs/mine is trained already" in capsys.readouterr().out
    assert main([*command, *TOY, "--lr", "1e-2"]) == 2
    assert "runs/mine holds a training with other settings" in capsys.readouterr().err
    Path("m.yaml").write_text(
        "title: M\ndata: {folder: dataset, split: given}\n"
        "train: {model: mobilenetv2, lr: 1e-3, epochs: 2, image_size: 32, batch_size: 8}\n"
        "matrix: {rdrop: [false]}\n"
        "tables:\n  m: {rows: rdrop, columns: [{header: test, split: test}]}\n"
    )
    where = ["--data-root", ".", "--jobs-per-device", "1"]
    assert runner.main(["m.yaml", *where]) == 0
    out = capsys.readouterr().out
    assert "train mobilenetv2" not in out, "the training by hand is the matrix's"
    assert runs.read_record(Path("runs/mine/train-raw")) == record
    assert list(Path("runs/mine").glob("evaluate-raw-test-fp32-*"))
    metrics = ["metrics", "--save_path", "runs/mine", "--device", "cpu", "--task", "val"]
    assert main(metrics) == 0, "on the data that it was trained on"
    Path("dataset").rename("elsewhere")
    Path("x").mkdir()
    Path("elsewhere").rename("x/dataset")
    shutil.rmtree(next(Path("runs/mine").glob("evaluate-raw-val-*")))
    assert main(metrics) == 2
    assert "dataset is not there" in capsys.readouterr().err
    assert main([*metrics, "--val_path", "x/dataset/val"]) == 0


def test_ctrl_c_keeps_the_state_and_resume_goes_on(
    birds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--model_name", "mobilenetv2", "--lr", "1e-3", *TOY, "--save_path"]
    assert main([*command, "runs/whole"]) == 0
    steps = []
    original = Step.__call__

    def pressed(self: Step, *batch: Any) -> Any:
        steps.append(self)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *batch)

    monkeypatch.setattr(Step, "__call__", pressed)
    assert main([*command, "runs/parts"]) == 130
    assert "with --resume goes on from here" in capsys.readouterr().err
    assert len(steps) == 3
    assert main([*command, "runs/parts", "--resume"]) == 0
    assert len(steps) == 4, "of two epochs of two steps"
    whole, parts = (runs.read_record(Path(f"runs/{name}/train-raw")) for name in ("whole", "parts"))
    assert whole == parts


def test_an_average_and_a_student_by_hand(birds: Path) -> None:
    teacher = ["train", "--model_name", "ghostnet", "--save_path", "runs/teacher", "--ema"]
    assert main([*teacher, *TOY]) == 0
    assert Path("runs/teacher/train-ema-0.9999-2000/best.safetensors").exists()
    own = ["--save_path", "runs/teacher", "--device", "cpu"]
    assert main(["metrics", "--task", "val", *own]) == 0, "of the only track there is"
    assert Path("runs/teacher/metrics-ema-0.9999-2000-val-fp32/summary.md").exists()
    assert main(["predict", "--source", "dataset/val", "--label_path", "labels.txt", *own]) == 0
    assert main([*teacher[:-1], *TOY]) == 0, "the raw track is added"
    student = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/student", "--kd"]
    assert main([*student, "--teacher_path", "runs/teacher", *TOY]) == 0
    record = runs.read_record(Path("runs/student/train-raw"))
    assert record.kind == "train"
    distill = record.spec.trick(Distill)
    assert distill is not None
    taught = runs.read_record(Path("runs/teacher/train-raw"))
    assert distill.teacher == taught.signature


def test_files_by_hand(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--weight` takes any path, a YAML config too; `--teacher_path` takes a checkpoint file."""
    first = ["train", "--model_name", "ghostnet", "--save_path", "runs/first"]
    assert main([*first, *TOY]) == 0
    file = Path("elsewhere/best.safetensors")
    file.parent.mkdir()
    Path("runs/first/train-raw/best.safetensors").rename(file)
    second = ["train", "--model_name", "ghostnet", "--save_path", "runs/second"]
    capsys.readouterr()
    assert main([*second, *TOY, "--weight", str(file.resolve())]) == 0
    assert "512 of 512 tensors loaded into ghostnet" in capsys.readouterr().err
    Path("weights.yaml").write_text("weights: elsewhere/best.safetensors\n")
    assert main([*second, *TOY, "--config", "weights.yaml"]) == 0
    assert "nothing to do" in capsys.readouterr().out, "the same content is the same training"
    student = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/student", "--kd"]
    assert main([*student, "--teacher_path", str(file), *TOY]) == 0
    record = runs.read_record(Path("runs/student/train-raw"))
    assert record.kind == "train"
    distill = record.spec.trick(Distill)
    assert distill is not None
    assert distill.teacher == Weights(file=str(file), sha256=sha256(file))


def test_resume_goes_on_from_what_a_runner_kept(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/mine", *TOY]
    assert main(command) == 0
    unit = Path("runs/mine/train-raw")
    whole, cost = runs.read_training(unit), runs.read_cost(unit)
    assert cost is not None and cost.data_root is not None
    shutil.rmtree("runs/mine")
    kept, asked = states_folder(Path("runs"), whole.spec), iter([False, True])
    place = Place(Path(cost.data_root), threads=cores(), stop=lambda: next(asked))
    with pytest.raises(StoppedError):
        train(whole.spec, Path("elsewhere"), place, states_in=kept)
    before = {file: file.read_bytes() for file in kept.iterdir()}
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    assert "the training goes on from its kept state, at epoch " in capsys.readouterr().err
    assert runs.read_training(unit) == whole
    assert before == {file: file.read_bytes() for file in kept.iterdir()}, "it stays the runner's"


def test_resume_without_a_kept_state_begins_anew(
    birds: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("classifier.basics.console.LINES", 1e9)
    command = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/mine", *TOY]
    assert main([*command, "--resume"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "no state of this training is kept, so it begins anew"
    assert len(said) == 2 and said[1].startswith("epoch 2/2, "), "a line at the end"
    assert [entry.name for entry in Path("runs/mine").iterdir()] == ["train-raw"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weight", "none.pth"], "--weight none.pth: none.pth is not there"),
        (
            ["--weight", "labels.txt"],
            "labels.txt is of no kind that is known here: .safetensors, .pth",
        ),
        (
            ["--weight", "evil.pth"],
            "evil.pth was not read: it holds more than tensors (posix.system)",
        ),
        (["--weight", "other.pth"], "nothing in other.pth fits ghostnet"),
        (["--weight", "other.pth", "--pretrained"], "'weights' stand in place of 'pretrained'"),
        (["--kd", "--teacher_path", "labels.txt"], "labels.txt is of no kind that is known here"),
        (
            ["--kd", "--teacher_path", "t.safetensors"],
            "t.safetensors is not a checkpoint of this program",
        ),
        (["--val_path", "elsewhere/val"], "the paths must be train/, val/ and test/ of one folder"),
        (["--train_path", "nowhere/train"], "nowhere is not there"),
        (["--image_size", "2"], "--image_size 2: 'image_size' must be greater than or equal to 8"),
        (
            ["--momentum", "0.9"],
            "--momentum 0.9: unknown setting 'momentum'; it can be name, weight_decay",
        ),
        (["--kd", "--teacher_path", "runs/none"], "runs/none is not there; name a run's folder"),
        (
            ["--model_name", "nope"],
            "--model_name nope: unknown model 'nope': neither torchvision nor timm has it",
        ),
        (
            ["--model_name", "mobilenetv3"],
            "unknown model 'mobilenetv3'; did you mean 'mobilenetv2'?",
        ),
        (
            ["--data", "dataset", "--data-root", "."],
            "dataset is split already (train, val, test): set 'split: given' in data, or name it as --train_path dataset/train",
        ),
        (["--label_path", "dataset"], "dataset can't be read: Is a directory"),
        (["--label_path", "gbk.txt"], "gbk.txt is not UTF-8 text"),
        (["--save_path", "labels.txt/x"], "can't be made: Not a directory"),
        (["--pretrained", "--model_name", "vit_test"], "unknown model 'vit_test'"),
        (["--label_path", "labels.txt"], "labels.txt does not name the classes of the data"),
    ],
)
def test_bad_flags_are_one_line(
    flags: list[str], message: str, birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("labels.txt").write_text("tit\nowl\n")
    torch.save({"model": Evil()}, "evil.pth")
    torch.save({"conv": torch.ones(2)}, "other.pth")
    save_file({"conv": torch.ones(2)}, "t.safetensors")
    Path("gbk.txt").write_bytes("中".encode("gbk"))
    catalogue.library_models()  # says that it lists them, the first time
    capsys.readouterr()
    command = ["train", "--model_name", "ghostnet", "--save_path", "runs/bad"]
    assert main([*command, *TOY, *flags]) == 2
    error = capsys.readouterr().err
    said = [line for line in error.strip().splitlines() if not line.startswith("looking at")]
    assert message in error and len(said) == 1, "beside how far it is, where that takes long"
    assert not Path("runs/bad").exists(), "nothing is written"
    assert not Path("ran").exists()


class Evil:
    """Leaves a file where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--loss", "PolyLos"], "argument --loss: unknown 'PolyLos'; did you mean 'PolyLoss'?"),
        (["--Augment", "x"], "argument --Augment: unknown 'x'; it can be RandAugment, AutoAugment"),
        (["--workers", "-1"], "argument --workers: '-1' is neither auto nor a number from 0 up"),
        (["--lr", "x"], "argument --lr: invalid float value: 'x'"),
    ],
)
def test_a_flags_unknown_word_is_one_line(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--model_name", "ghostnet", "--save_path", "runs/bad", *flags])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith(f"error: {message}") and len(error.splitlines()) == 1


def test_bad_images_are_an_error_before_the_training_or_left_out(
    birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one of the test part, which the training does not look at."""
    for name in ("train/tit/0.png", "test/wren/1.png"):
        file = Path("dataset") / name
        file.write_bytes(file.read_bytes()[:60])
    command = ["train", "--model_name", "mobilenetv2", "--save_path", "runs/mine", *TOY]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: 2 of 28 images can't be read; ")
    assert "train/tit/0.png: image file is truncated" in error
    assert "test/wren/1.png" in error and "(python -m classifier: --on_bad_image skip)" in error
    Path("dataset/train/tit/0.png").unlink()
    assert not Path("runs/mine").exists(), "nothing is left"
    assert main([*command, "--on_bad_image", "skip"]) == 0
    said = capsys.readouterr().err
    assert "left out, for they can't be read: 1 image: test/wren/1.png" in said
    record = runs.read_record(Path("runs/mine/train-raw"))
    assert record.kind == "train" and record.spec.data.on_bad_image == "skip"
    assert (record.data.train, record.data.val, record.data.test) == (15, 6, 5)
    assert record.data.skipped == Some(count=1, first=("test/wren/1.png",))
