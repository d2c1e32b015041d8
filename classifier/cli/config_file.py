"""Settings of a file: YAML, or the original's config.py, which is read and not run."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from classifier.basics.errors import UserError
from classifier.config.document import Document
from classifier.models import catalogue


def read_config(file: Path | None) -> Document:
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
        if isinstance(node, ast.ClassDef):
            assignments += _assignments(node.body, file)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and len(node.targets) == 1
        ):
            assignments.append((node.targets[0].id, node.value))
        elif not _has_no_effect(node):
            raise UserError(f"{file}:{node.lineno}: only plain settings can be read, not run")
    return assignments


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
