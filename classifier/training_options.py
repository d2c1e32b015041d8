"""The original's training flags -> a spec. Its odd spellings live here and nowhere else."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from classifier.errors import UserError
from classifier.files import WEIGHTS, content
from classifier.spec import DataSpec, Ema, TrainSpec, Weights

LOSSES = {"CrossEntropyLoss": "cross_entropy", "PolyLoss": "poly", "FocalLoss": "focal"}
OPTIMIZERS = {"AdamW": "adamw", "SGD": "sgd", "RMSProp": "rmsprop"}
BEST = {"acc": "accuracy", "mean_acc": "mpa", "loss": "loss"}
METHODS = {"SoftTarget": "soft_target", "MGD": "mgd", "SP": "sp", "AT": "at"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name", required=True, metavar="NAME", help="mobilenetv2, resnext50, ...")
    add("--save_path", type=Path, required=True, metavar="RUN", help="the run's folder")
    add("--config", type=Path, metavar="FILE", help="YAML settings, or the original's config.py")
    add("--train_path", type=Path, metavar="DIR", help="default: dataset/train")
    add("--val_path", type=Path, metavar="DIR", help="default: beside train")
    add("--test_path", type=Path, metavar="DIR", help="default: beside train")
    add("--label_path", type=Path, metavar="FILE", help="class names, checked if given")
    add("--data", metavar="NAME", help="digits, cub200 or a folder under --data-root, split here")
    add("--split", choices=("strict", "sequential"), default="strict", help="of --data")
    add("--data-root", type=Path, default=Path("data"), metavar="DIR", help="data sets")
    add("--image_size", type=int, metavar="PX", help="default: 224")
    add("--batch_size", type=int, metavar="N", help="default: 64")
    add("--epoch", type=int, metavar="N", help="default: 100")
    add("--lr", type=float, help="default: 1e-3")
    add("--optimizer", choices=OPTIMIZERS, help="default: AdamW")
    add("--weight_decay", type=float, help="default: 5e-4")
    add("--momentum", type=float, help="of SGD and RMSProp")
    add("--loss", choices=LOSSES, help="default: CrossEntropyLoss")
    add("--label_smoothing", type=float, help="default: 0.1")
    add("--class_balance", action="store_true", help="weigh the classes")
    add("--Augment", choices=("RandAugment", "AutoAugment", "TrivialAugmentWide", "AugMix", "none"))
    add("--mixup", choices=("mixup", "cutmix", "none"), help="applied to half of the batches")
    add("--warmup", action="store_true")
    add("--warmup_ratios", type=float, metavar="SHARE", help="of the epochs; default: 0.05")
    add("--warmup_minlr", type=float, metavar="LR", help="default: 1e-6")
    add("--imagenet_meanstd", action="store_true", help="else the training set's own")
    add("--pretrained", action="store_true", help="start from the library's weights")
    add("--weight", type=Path, metavar="FILE", help="start from these: .safetensors, .pth or .pt")
    add("--amp", action="store_true", help="FP16 autocast on CUDA")
    add("--rdrop", action="store_true")
    add("--ema", action="store_true", help="train the average alone, as the original does")
    add("--patience", type=int, metavar="EPOCHS", help="0 never stops; default: 30")
    add("--metrice", choices=BEST, help="what the best epoch is best at; default: acc")
    add("--kd", action="store_true", help="distil from --teacher_path")
    add("--kd_method", choices=METHODS, default="SoftTarget")
    add("--kd_ratio", type=float, default=0.7)
    add("--teacher_path", type=Path, metavar="RUN", help="the teacher's run, or checkpoint")
    add("--seed", type=int, help="default: 0")
    add("--resume", action="store_true", help="go on from the last saved epoch")
    add("--workers", type=int, default=0, help="loader processes; default: 0")
    add("--device", default="auto", help="auto, cpu, or the index of a GPU; default: auto")


def spec_of(
    options: argparse.Namespace, teacher: str | Weights | None
) -> tuple[TrainSpec, Ema | None]:
    """The training that the flags ask for, and its track. Flags go over the config's settings.

    `teacher`: the signature of the teacher's training, or its file. Raises UserError.
    """
    data = _data(options)
    settings = _config(options.config) | _flags(options)
    settings |= {"data": data, "model": options.model_name}
    if isinstance(settings.get("weights"), str):
        settings["weights"] = known_file(Path(settings["weights"]), WEIGHTS)
    if options.kd:
        if teacher is None:
            raise UserError("--kd needs --teacher_path, the run to learn from")
        if settings.pop("rdrop", False):
            print("--rdrop is left out: it can't be combined with --kd", file=sys.stderr)
        method = METHODS[options.kd_method]
        settings["distill"] = {"method": method, "ratio": options.kd_ratio, "teacher": teacher}
    try:
        return TrainSpec.model_validate(settings), Ema() if options.ema else None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def known_file(file: Path, suffixes: Collection[str]) -> Weights:
    """A file as a spec knows it. Raises UserError where it is not there or of another kind."""
    return Weights(file=str(file), sha256=content(file, suffixes))


def data_root(options: argparse.Namespace) -> Path:
    """Where the data of these flags lie."""
    root: Path = options.data_root
    return root if options.data else _folder(options).parent


def _data(options: argparse.Namespace) -> DataSpec:
    if options.data in ("digits", "cub200"):
        return DataSpec(name=options.data, split=options.split)
    try:
        if options.data:
            return DataSpec(folder=options.data, split=options.split)
        return DataSpec(folder=_folder(options).name, split="given")
    except ValidationError as error:
        raise UserError(f"'{options.data}' is no name of a folder under the data root") from error


def _folder(options: argparse.Namespace) -> Path:
    """The folder whose train/, val/ and test/ the three paths are."""
    train: Path = (options.train_path or Path("dataset/train")).absolute()
    for part, path in (("train", train), ("val", options.val_path), ("test", options.test_path)):
        if path is not None and path.absolute() != train.parent / part:
            raise UserError(
                f"--{part}_path {path}: the paths must be train/, val/ and test/ of one folder"
            )
    return train.parent


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that flags were given for."""
    found: dict[str, Any] = {
        name: value
        for name, value in (
            ("image_size", options.image_size),
            ("batch_size", options.batch_size),
            ("epochs", options.epoch),
            ("lr", options.lr),
            ("patience", options.patience),
            ("best", BEST.get(options.metrice)),
            ("seed", options.seed),
            ("weights", options.weight and str(options.weight)),
        )
        if value is not None
    }
    switches = ("class_balance", "pretrained", "amp", "rdrop")
    found |= {name: True for name in switches if getattr(options, name)}
    found |= {"normalize": "imagenet"} if options.imagenet_meanstd else {}
    found |= _grouped(options)
    if options.Augment:
        found["augment"] = False if options.Augment == "none" else options.Augment
    if options.mixup:
        found["mixing"] = False if options.mixup == "none" else options.mixup
    return found


def _grouped(options: argparse.Namespace) -> dict[str, Any]:
    """Optimiser, loss and warm-up with their own options."""
    groups = {
        "optimizer": {
            "name": OPTIMIZERS.get(options.optimizer),
            "weight_decay": options.weight_decay,
            "momentum": options.momentum,
        },
        "loss": {"name": LOSSES.get(options.loss), "label_smoothing": options.label_smoothing},
    }
    found: dict[str, Any] = {}
    for group, settings in groups.items():
        given = {name: value for name, value in settings.items() if value is not None}
        found |= {group: given} if given else {}
    warmup = {"ratio": options.warmup_ratios, "start_lr": options.warmup_minlr}
    if options.warmup:
        found["warmup"] = {name: value for name, value in warmup.items() if value is not None}
    return found


def _config(file: Path | None) -> dict[str, Any]:
    """Settings of a YAML file, or of the original's config.py, which is read and not run."""
    if file is None:
        return {}
    if not file.exists():
        print(f"{file} is not there, so the defaults hold", file=sys.stderr)
        return {}
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return _python_config(file, text)
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not YAML: {error}".replace("\n", " ")) from error
    if not isinstance(found, dict):
        raise UserError(f"{file}: a mapping of settings is expected")
    return found


def _python_config(file: Path, text: str) -> dict[str, Any]:
    """`random_seed`, `lr_scheduler` with `lr_scheduler_params`, and `custom_augment`, anywhere in
    the file (the original keeps them in a class). Any other assignment is an error."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno}: not Python: {error.msg}") from error
    found: dict[str, Any] = {}
    schedule: dict[str, Any] = {}
    for node in _statements(tree.body, file):
        assert isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        name, value = node.targets[0].id, node.value
        if name == "random_seed":
            found["seed"] = _literal(value, file)
        elif name == "lr_scheduler" and isinstance(value, ast.Attribute | ast.Name):
            schedule["name"] = value.attr if isinstance(value, ast.Attribute) else value.id
        elif name == "lr_scheduler_params":
            schedule["arguments"] = _literal(value, file)
        elif name == "custom_augment" and isinstance(value, ast.Call):
            found |= _augmentation(value, file)
        elif name == "custom_augment" and isinstance(value, ast.Constant) and value.value is None:
            continue
        else:
            raise UserError(f"{file}:{node.lineno}: '{name}' is not a setting that can be read")
    return found | ({"schedule": schedule} if "name" in schedule else {})


def _statements(body: list[ast.stmt], file: Path) -> list[ast.Assign]:
    """The assignments of a file: imports and docstrings are passed over, classes opened."""
    found: list[ast.Assign] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            found += _statements(node.body, file)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.append(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            raise UserError(f"{file}:{node.lineno}: only plain settings can be read, not run")
    return found


def _augmentation(call: ast.Call, file: Path) -> dict[str, Any]:
    """`A.Compose([A.HorizontalFlip(p=0.5), ...])` as albumentations of a spec."""
    if _called(call, file) == "Compose":
        return {"albumentations": _listed(call.args[0] if call.args else call, file)}
    return {"albumentations": [_transform(call, file)]}


def _listed(node: ast.expr, file: Path) -> list[dict[str, Any]]:
    if not isinstance(node, ast.List):
        raise UserError(f"{file}:{node.lineno}: a list of transforms is expected")
    return [_transform(element, file) for element in node.elts]


def _transform(node: ast.expr, file: Path) -> dict[str, Any]:
    if not isinstance(node, ast.Call):
        raise UserError(f"{file}:{node.lineno}: a transform with literal arguments is expected")
    arguments = {str(word.arg): _literal(word.value, file) for word in node.keywords}
    inner = _listed(node.args[0], file) if node.args else []
    return {"name": _called(node, file), "arguments": arguments, "transforms": inner}


def _called(call: ast.Call, file: Path) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    if isinstance(call.func, ast.Name):
        return call.func.id
    raise UserError(f"{file}:{call.lineno}: a transform's name is expected")


def _literal(node: ast.expr, file: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise UserError(f"{file}:{node.lineno}: a literal value is expected") from error
