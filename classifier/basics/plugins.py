"""What is added by adding a file: the modules of a package, and the classes in them."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

K = TypeVar("K")


def modules(package: str) -> dict[str, ModuleType]:
    """The package's modules, by their names in it."""
    there = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {file.name: importlib.import_module(f"{package}.{file.name}") for file in there}


def found(package: str, kind: type[K]) -> tuple[type[K], ...]:
    """The subclasses of `kind` that the package's modules define, by the modules' names."""
    return tuple(
        value
        for module in modules(package).values()
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value is not kind
        and value.__module__ == module.__name__
    )
