"""What is added by adding a file: classes found in the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TypeVar

K = TypeVar("K")


def found(package: str, kind: type[K]) -> tuple[type[K], ...]:
    """The subclasses of `kind` that the package's modules define, by the modules' names."""
    classes: list[type[K]] = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        name = f"{package}.{module.name}"
        classes += [
            value
            for value in vars(importlib.import_module(name)).values()
            if isinstance(value, type)
            and issubclass(value, kind)
            and value is not kind
            and value.__module__ == name
        ]
    return tuple(classes)
