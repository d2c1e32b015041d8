"""Settings of a file: YAML, or the original's config.py, which is read and not run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from classifier.basics.errors import UserError, told_of
from classifier.config.document import Document
from classifier.models import catalogue


def read_config(file: Path | None) -> Document:
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
        match name, value:
            case "random_seed", _:
                document.set(("seed",), _literal(value, file), place)
            case "lr_scheduler", ast.Attribute(attr=scheduler) | ast.Name(id=scheduler):
                document.set(("schedule", "name"), scheduler, place)
            case "lr_scheduler_params", _:
                document.set(("schedule", "arguments"), _literal(value, file), place)
            case "custom_augment", ast.Call():
                document.set(("albumentations",), _augmentation(value, file), place)
            case "plot_train_batch_count", _:
                print(f"{place}: '{name}' is passed over: no batch is drawn here", file=sys.stderr)
            case _ if name != "custom_augment" or _literal(value, file) is not None:
                raise UserError(f"{place}: '{name}' is not a setting that can be read")
    _known_cosine(document)
    return document


def _known_cosine(document: Document) -> None:
    """The original's own schedule is ours, so that its run is a matrix's."""
    names = {"T_max": "t_max", "eta_min": "min_lr"}
    schedule = document.data.get("schedule", {})
    arguments = schedule.get("arguments", {})
    is_cosine = schedule.get("name") == "CosineAnnealingLR" and isinstance(arguments, dict)
    if is_cosine and "T_max" in arguments and arguments.keys() <= names.keys():
        document.data["schedule"] = {"name": "cosine", "min_lr": 0.0} | {
            names[name]: value for name, value in arguments.items()
        }


def _assignments(body: list[ast.stmt], file: Path) -> list[tuple[str, ast.expr]]:
    """Names with their values. Classes are opened; imports, docstrings, functions and what only a
    run as a program would do are passed over."""
    assignments: list[tuple[str, ast.expr]] = []
    for node in body:
        match node:
            case ast.ClassDef():
                assignments += _assignments(node.body, file)
            case ast.Assign(targets=[ast.Name(id=name)]):
                assignments.append((name, node.value))
            case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.Pass():
                pass
            case ast.Expr(value=ast.Constant()):  # a docstring
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case _:
                raise UserError(f"{file}:{node.lineno}: only plain settings can be read, not run")
    return assignments


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
    with told_of(f"{file}:{node.lineno}"):
        catalogue.check_transform(name, arguments)
    inner = _listed(positional[0], file) if positional else []
    return {"name": name, "arguments": arguments, "transforms": inner}


def _called(call: ast.Call, file: Path) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    raise UserError(f"{file}:{call.lineno}: a transform's name is expected")


def _literal(node: ast.expr, file: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}:{node.lineno}: a literal value is expected") from error
