"""The original's training flags -> a spec. Its odd spellings live here and nowhere else."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.files import WEIGHTS, content
from classifier.basics.settings import Weights
from classifier.cli.entry import at_least, one_of
from classifier.config.document import Document
from classifier.config.explanations import check_model, check_transforms, explained, finding
from classifier.config.spec import EVERY_TRICK, LOSSES, ArmSettings, TrainSpec
from classifier.config.tracks import Track
from classifier.data import sources
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS
from classifier.models import catalogue
from classifier.tricks.distillation import METHODS

FOUND_LOSSES = {loss.original: loss.model_fields["name"].default for loss in LOSSES}
OPTIMIZERS = {"AdamW": "adamw", "SGD": "sgd", "RMSProp": "rmsprop"}
BEST = {"acc": "accuracy", "mean_acc": "mpa", "loss": "loss"}
KD_METHODS = {method.original: name for name, method in METHODS.items()}
TRICK_FLAGS = tuple(flag for trick in EVERY_TRICK for flag in trick.flags)

SETTINGS: dict[str, tuple[str, Mapping[Any, Any]]] = {
    "model_name": ("model", {}),
    "image_size": ("image_size", {}),
    "batch_size": ("batch_size", {}),
    "epoch": ("epochs", {}),
    "lr": ("lr", {}),
    "optimizer": ("optimizer.name", OPTIMIZERS),
    "weight_decay": ("optimizer.weight_decay", {}),
    "momentum": ("optimizer.momentum", {}),
    "loss": ("loss.name", FOUND_LOSSES),
    "label_smoothing": ("loss.label_smoothing", {}),
    "class_balance": ("class_balance", {}),
    "Augment": ("augment", {"none": False}),
    "warmup": ("warmup", {}),
    "warmup_ratios": ("warmup.ratio", {}),
    "warmup_minlr": ("warmup.start_lr", {}),
    "imagenet_meanstd": ("normalize", {True: "imagenet"}),
    "pretrained": ("pretrained", {}),
    "weight": ("weights", {}),
    "amp": ("amp", {}),
    "patience": ("patience", {}),
    "metrice": ("best", BEST),
    "seed": ("seed", {}),
    **{flag.name: (flag.setting, flag.words) for flag in TRICK_FLAGS},
}
"""For a flag the setting, and our words for the flag's where they differ."""
ELSEWHERE = {"data": "--data or --train_path", "distill": "--kd and its flags"}
"""What a config can't set."""


AUGMENTATIONS = ("RandAugment", "AutoAugment", "TrivialAugmentWide", "AugMix", "none")


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
    add("--split", **one_of(("strict", "sequential")), default="strict", help="of --data")
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
    add("--Augment", **one_of(AUGMENTATIONS), help="policy; default: none")
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
    add("--workers", type=at_least(0), default=0, metavar="N", help="loader processes; default: 0")
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
    document = _config(options.config)
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
        where = finding(error)["loc"]
        raise explained(error, document, where, ArmSettings, ELSEWHERE) from error
    check_model(checked.model, document, ("model",))
    check_transforms(checked.albumentations, document, ("albumentations",))
    return checked.training, checked.track


def _add_flags(document: Document, options: argparse.Namespace) -> None:
    for flag, (setting, words) in SETTINGS.items():
        given = getattr(options, flag)
        where = tuple(setting.split("."))
        if given is None or given is False:
            continue
        if given is True and flag == setting and document.data.get(setting):
            continue  # a switch that the config has turned on, perhaps with settings
        if where[0] == "warmup" and where[1:] and not document.data.get("warmup"):
            continue  # without --warmup its options have no effect, as the original has it
        shown = f"--{flag}" if given is True else f"--{flag} {given}"
        document.set(where, words.get(given, given), shown)


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
    return Weights(file=str(file), sha256=content(file, suffixes))


def data_root(options: argparse.Namespace) -> Path:
    """Where the data of these flags lie."""
    root: Path = options.data_root
    return root if options.data else folder_of_paths(options).parent


def _data(options: argparse.Namespace) -> DataSpec:
    settings: dict[str, Any] = {"on_bad_image": options.on_bad_image}
    if options.data in sources.by_name():
        settings |= {"name": options.data, "split": options.split}
    elif options.data:
        settings |= {"folder": options.data, "split": options.split}
    else:
        settings |= {"folder": folder_of_paths(options).name, "split": "given"}
    try:
        return DataSpec.model_validate(settings)
    except ValidationError as error:
        name = settings["folder"]
        raise UserError(f"'{name}' is no name of a folder under the data root") from error


def folder_of_paths(options: argparse.Namespace) -> Path:
    """The folder whose train/, val/ and test/ the given paths are, one at least."""
    paths: dict[str, Path | None] = {part: getattr(options, f"{part}_path") for part in PARTS}
    given = {part: path.absolute() for part, path in paths.items() if path is not None}
    folder = next(iter(given.values())).parent
    for part, path in given.items():
        if path != folder / part:
            given_as = f"--{part}_path {paths[part]}"
            raise UserError(f"{given_as}: the paths must be train/, val/ and test/ of one folder")
    return folder


def _config(file: Path | None) -> Document:
    """Settings of a YAML file, or of the original's config.py, which is read and not run."""
    if file is None:
        return Document(Path("flags"), "{}")
    if not file.exists():
        print(f"{file} is not there, so the defaults hold", file=sys.stderr)
        return Document(file, "{}")
    if file.suffix == ".py":
        return _python_config(file)
    document = Document(file)
    if not isinstance(document.data, dict):
        raise document.error((), "a mapping of settings is expected")
    return document


def _python_config(file: Path) -> Document:
    """`random_seed`, `lr_scheduler` with `lr_scheduler_params`, and `custom_augment`, anywhere in
    the file (the original keeps them in a class). Any other assignment is an error."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last: too deep
        line, reason = getattr(error, "lineno", 1) or 1, getattr(error, "msg", error)
        raise UserError(f"{file}:{line}: not Python: {reason}") from error
    document = Document(file, "{}")
    for name, value in _assignments(tree.body, file):
        place = f"{file}:{value.lineno}"
        if name == "random_seed":
            document.set(("seed",), _literal(value, file), place)
        elif name == "lr_scheduler" and isinstance(value, ast.Attribute | ast.Name):
            scheduler = value.attr if isinstance(value, ast.Attribute) else value.id
            document.set(("schedule", "name"), scheduler, place)
        elif name == "lr_scheduler_params":
            document.set(("schedule", "arguments"), _literal(value, file), place)
        elif name == "custom_augment" and isinstance(value, ast.Call):
            document.set(("albumentations",), _augmentation(value, file), place)
        elif name == "plot_train_batch_count":
            print(f"{place}: '{name}' is passed over: no batch is drawn here", file=sys.stderr)
        elif name != "custom_augment" or _literal(value, file) is not None:
            raise UserError(f"{place}: '{name}' is not a setting that can be read")
    _known_cosine(document)
    return document


def _known_cosine(document: Document) -> None:
    """The original's own schedule is ours, so that its run is a matrix's."""
    names = {"T_max": "t_max", "eta_min": "min_lr"}
    schedule = document.data.get("schedule", {})
    arguments = schedule.get("arguments", {})
    known = schedule.get("name") == "CosineAnnealingLR" and isinstance(arguments, dict)
    if known and "T_max" in arguments and arguments.keys() <= names.keys():
        document.data["schedule"] = {"name": "cosine", "min_lr": 0.0} | {
            names[name]: value for name, value in arguments.items()
        }


def _assignments(body: list[ast.stmt], file: Path) -> list[tuple[str, ast.expr]]:
    """Names with their values. Classes are opened; imports, docstrings, functions and what only a
    run as a program would do are passed over."""
    found: list[tuple[str, ast.expr]] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            found += _assignments(node.body, file)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and len(node.targets) == 1
        ):
            found.append((node.targets[0].id, node.value))
        elif not _has_no_effect(node):
            raise UserError(f"{file}:{node.lineno}: only plain settings can be read, not run")
    return found


def _has_no_effect(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):  # if __name__ == "__main__":
        test = node.test
        return isinstance(test, ast.Compare) and ast.unparse(test.left) == "__name__"
    if isinstance(node, ast.Expr):  # a docstring
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.Pass)


def _augmentation(call: ast.Call, file: Path) -> list[dict[str, Any]]:
    """`A.Compose([A.HorizontalFlip(p=0.5), ...])` as albumentations of a spec."""
    if _called(call, file) != "Compose":
        return [_transform(call, file)]
    if len(call.args) != 1 or call.keywords:
        raise UserError(f"{file}:{call.lineno}: Compose with a list of transforms is expected")
    return _listed(call.args[0], file)


def _listed(node: ast.expr, file: Path) -> list[dict[str, Any]]:
    if not isinstance(node, ast.List):
        raise UserError(f"{file}:{node.lineno}: a list of transforms is expected")
    return [_transform(element, file) for element in node.elts]


def _transform(node: ast.expr, file: Path) -> dict[str, Any]:
    """A call as a transform of a spec; the original's way to name one is understood too:
    `Create_Albumentations_From_Name('PixelDropout', p=1.0)`."""
    if not isinstance(node, ast.Call) or len(node.args) > 1:
        raise UserError(f"{file}:{node.lineno}: a transform with literal arguments is expected")
    name, positional = _called(node, file), node.args
    if name == "Create_Albumentations_From_Name" and positional:
        name, positional = str(_literal(positional[0], file)), []
    arguments = {str(word.arg): _literal(word.value, file) for word in node.keywords}
    try:
        catalogue.check_transform(name, arguments)
    except UserError as error:
        raise UserError(f"{file}:{node.lineno}: {error}") from error
    inner = _listed(positional[0], file) if positional else []
    return {"name": name, "arguments": arguments, "transforms": inner}


def _called(call: ast.Call, file: Path) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    if isinstance(call.func, ast.Name):
        return call.func.id
    raise UserError(f"{file}:{call.lineno}: a transform's name is expected")


def _literal(node: ast.expr, file: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}:{node.lineno}: a literal value is expected") from error
