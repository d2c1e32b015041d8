"""The original's training flags -> a spec.

Its odd spellings live here, and with each trick, loss and method that has one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.files import WEIGHTS, content_hash
from classifier.basics.settings import Weights
from classifier.cli.config_file import read_config
from classifier.cli.entry import WORKERS, one_of
from classifier.config.document import Document
from classifier.config.explanations import check_network, check_transforms, explain, main_detail
from classifier.config.spec import EVERY_TRICK, LOSSES, ArmSettings, TrainSpec
from classifier.config.tracks import Track
from classifier.data import sources
from classifier.data.augment import Augment
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS
from classifier.tricks.distillation import METHODS

FOUND_LOSSES = {
    loss.original: loss.model_fields["name"].default for loss in LOSSES if loss.original
}
OPTIMIZERS = {"AdamW": "adamw", "SGD": "sgd", "RMSProp": "rmsprop"}
BEST = {"acc": "accuracy", "mean_acc": "mpa", "loss": "loss"}
KD_METHODS = {method.original: name for name, method in METHODS.items() if method.original}
TRICK_FLAGS = tuple(flag for trick in EVERY_TRICK for flag in trick.flags)

SAME = ("image_size", "batch_size", "lr", "class_balance", "warmup", "pretrained", "amp")
SETTINGS: dict[str, tuple[str, Mapping[Any, Any]]] = {
    **{name: (name, {}) for name in (*SAME, "patience", "seed")},
    "model_name": ("model", {}),
    "epoch": ("epochs", {}),
    "optimizer": ("optimizer.name", OPTIMIZERS),
    "weight_decay": ("optimizer.weight_decay", {}),
    "momentum": ("optimizer.momentum", {}),
    "loss": ("loss.name", FOUND_LOSSES),
    "label_smoothing": ("loss.label_smoothing", {}),
    "Augment": ("augment", {"none": False}),
    "warmup_ratios": ("warmup.ratio", {}),
    "warmup_minlr": ("warmup.start_lr", {}),
    "imagenet_meanstd": ("normalize", {True: "imagenet"}),
    "weight": ("weights", {}),
    "metrice": ("best", BEST),
    **{flag.name: (flag.setting, flag.words) for flag in TRICK_FLAGS},
}
"""For a flag the setting, and our words for the flag's where they differ."""
ELSEWHERE = {
    "data": "--data or --train_path",
    "distill": "--kd and its flags",
    "own_model": "a matrix with plugins",
    "own_tricks": "a matrix with plugins",
}
"""What a config can't set."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name", required=True, metavar="NAME", help="mobilenetv2, resnext50, ...")
    add("--save_path", type=Path, required=True, metavar="RUN", help="the run's folder")
    add("--config", type=Path, metavar="FILE", help="YAML settings, or the original's config.py")
    add_paths(parser, "dataset/train")
    parser.set_defaults(train_path=Path("dataset/train"))
    add(
        "--data",
        metavar="NAME",
        help=f"{', '.join(sources.by_name())} or a folder under --data-root, split here",
    )
    add("--split", **one_of(("strict", "sequential")), help="of --data; default: strict")
    add("--data-root", type=Path, default=Path("data"), metavar="DIR", help="data sets")
    add(
        "--on_bad_image",
        **one_of(("error", "skip")),
        default="error",
        help="of images that can't be read; default: error, which names them",
    )
    add("--image_size", type=int, metavar="PX", help="default: 224")
    add("--batch_size", type=int, metavar="N", help="default: 64")
    add("--epoch", type=int, metavar="N", help="default: 100")
    add("--lr", type=float, help="default: 1e-3")
    add("--optimizer", **one_of(OPTIMIZERS), help="default: AdamW")
    add("--weight_decay", type=float, help="default: 5e-4")
    add("--momentum", type=float, help="of SGD and RMSProp")
    add("--loss", **one_of(FOUND_LOSSES), help="default: CrossEntropyLoss")
    add("--label_smoothing", type=float, help="default: 0.1")
    add("--class_balance", action="store_true", help="weigh the classes")
    add("--Augment", **one_of((*get_args(Augment), "none")), help="policy; default: none")
    add("--warmup", action="store_true")
    add("--warmup_ratios", type=float, metavar="SHARE", help="of the epochs; default: 0.05")
    add("--warmup_minlr", type=float, metavar="LR", help="default: 1e-6")
    add("--imagenet_meanstd", action="store_true", help="else the training set's own")
    add("--pretrained", action="store_true", help="start from the library's weights")
    add("--weight", type=Path, metavar="FILE", help="start from these: .safetensors, .pth or .pt")
    add("--amp", action="store_true", help="FP16 autocast on CUDA")
    for flag in TRICK_FLAGS:
        kind = one_of(flag.choices) if flag.choices else {"action": "store_true"}
        add(f"--{flag.name}", **kind, help=flag.help)
    add("--patience", type=int, metavar="EPOCHS", help="0 never stops; default: 30")
    add("--metrice", **one_of(BEST), help="what the best epoch is best at; default: acc")
    add("--kd", action="store_true", help="distil from --teacher_path")
    add("--kd_method", **one_of(KD_METHODS), default="SoftTarget")
    add("--kd_ratio", type=float, default=0.7)
    add("--teacher_path", type=Path, metavar="RUN", help="the teacher's run, or checkpoint")
    add("--seed", type=int, help="default: 0")
    add("--resume", action="store_true", help="go on from the last saved epoch")
    add("--workers", **WORKERS)
    add("--device", default="auto", help="auto, cpu, or the index of a GPU; default: auto")


def add_paths(parser: argparse.ArgumentParser, default: str) -> None:
    """The original's ways to name the data."""
    add = parser.add_argument
    about = f"train/ of a folder with val/ and test/; default: {default}"
    add("--train_path", type=Path, metavar="DIR", help=about)
    add("--val_path", type=Path, metavar="DIR", help="its val/")
    add("--test_path", type=Path, metavar="DIR", help="its test/")
    add("--label_path", type=Path, metavar="FILE", help="class names, checked if given")


def spec_of(options: argparse.Namespace, teacher: str | Weights | None) -> tuple[TrainSpec, Track]:
    """The training that the flags ask for, and its track. Flags go over the config's settings.

    `teacher`: the signature of the teacher's training, or its file. Raises UserError, with the flag
    or the config's line.
    """
    document = read_config(options.config)
    for name, flags in ELSEWHERE.items():
        if name in document.data:
            raise document.error((name,), f"'{name}' is given by {flags}")
    _add_flags(document, options)
    document.set(("data",), _data(options), "--data")
    if document.data.get("weights"):
        with document.errors_at(("weights",)):
            file = known_file(Path(str(document.data["weights"])), WEIGHTS)
        document.data["weights"] = file
    if options.kd:
        _add_teacher(document, options, teacher)
    try:
        checked = ArmSettings.model_validate(document.data)
    except ValidationError as error:
        path = main_detail(error)["loc"]
        raise explain(error, document, path, ArmSettings, ELSEWHERE) from error
    written = document.data
    check_network(checked, document, lambda name: (name if name in written else "model",))
    check_transforms(checked.albumentations, document, ("albumentations",))
    return checked.training, checked.track


def _add_flags(document: Document, options: argparse.Namespace) -> None:
    for flag, (setting, words) in SETTINGS.items():
        given = getattr(options, flag)
        path = tuple(setting.split("."))
        if given is None or given is False:
            continue
        if given is True and flag == setting and document.data.get(setting):
            continue  # a switch that the config has turned on, perhaps with settings
        if path[0] == "warmup" and path[1:] and not document.data.get("warmup"):
            continue  # without --warmup its options have no effect, as the original has it
        shown = f"--{flag}" if given is True else f"--{flag} {given}"
        document.set(path, words.get(given, given), shown)


def _add_teacher(
    document: Document, options: argparse.Namespace, teacher: str | Weights | None
) -> None:
    if teacher is None:
        raise UserError("--kd needs --teacher_path, the run to learn from")
    if document.data.pop("rdrop", False):
        print("--rdrop is left out: it can't be combined with --kd", file=sys.stderr)
    method, ratio = KD_METHODS[options.kd_method], options.kd_ratio
    settings = {"method": method, "ratio": ratio, "teacher": teacher}
    document.set(("distill",), settings, f"--kd_ratio {ratio}")


def known_file(file: Path, suffixes: Collection[str]) -> Weights:
    """A file as a spec knows it. Raises UserError where it is not there or of another kind."""
    return Weights(file=str(file), sha256=content_hash(file, suffixes))


def data_root(options: argparse.Namespace) -> Path:
    """Where the data of these flags lie."""
    root: Path = options.data_root
    return root if options.data else folder_of_paths(options).parent


def _data(options: argparse.Namespace) -> DataSpec:
    settings: dict[str, Any] = {"on_bad_image": options.on_bad_image}
    if options.data:
        kind = "name" if options.data in sources.by_name() else "folder"
        settings[kind] = options.data
        if options.split is not None:
            settings["split"] = options.split
    else:
        settings |= {"folder": folder_of_paths(options).name, "split": "given"}
    try:
        return DataSpec.model_validate(settings)
    except ValidationError as error:
        if "name" in settings:
            raise UserError(f"--split: {main_detail(error)['ctx']['error']}") from error
        name = settings["folder"]
        raise UserError(f"'{name}' is no name of a folder under the data root") from error


def folder_of_paths(options: argparse.Namespace) -> Path:
    """The folder whose train/, val/ and test/ the given paths are, one at least."""
    paths: dict[str, Path | None] = {part: getattr(options, f"{part}_path") for part in PARTS}
    given = {part: path for part, path in paths.items() if path is not None}
    folder = next(iter(given.values())).absolute().parent
    for part, path in given.items():
        if path.absolute() != folder / part:
            raise UserError(
                f"--{part}_path {path}: the paths must be train/, val/ and test/ of one folder"
            )
    return folder
