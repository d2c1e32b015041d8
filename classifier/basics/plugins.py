"""What is added by adding a file: the modules of a package, and the classes in them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from classifier.basics.errors import UserError

K = TypeVar("K")


def modules(package: str) -> dict[str, ModuleType]:
    """The package's modules, by their names in it."""
    there = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {file.name: importlib.import_module(f"{package}.{file.name}") for file in there}


def found(package: str, kind: type[K], name: Callable[[type[K]], str]) -> tuple[type[K], ...]:
    """The subclasses of `kind` that the package's modules define, by the modules' names.

    Raises UserError where two have one name: a copy would silently take the place of the other.
    """
    classes: dict[str, type[K]] = {}
    for module in modules(package).values():
        for value in vars(module).values():
            is_one = isinstance(value, type) and issubclass(value, kind) and value is not kind
            if is_one and value.__module__ == module.__name__:
                other = classes.setdefault(name(value), value)
                if other is not value:
                    files = f"{other.__module__} and {module.__name__}"
                    raise UserError(f"'{name(value)}' is defined twice, in {files}; remove one")
    return tuple(classes.values())
