"""YAML as plain data that remembers where each value stands.

Of settings it knows only that `sgd` is short for `{name: sgd}`.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from classifier.basics.errors import UserError, told_of
from classifier.basics.names import nearest
from classifier.basics.settings import named

Key = str | int
Where = tuple[Key, ...]
"""The way to a value: the keys and positions from the top."""

MOST_VALUES = 200_000
MOST_DEPTH = 20
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-4 as the number it is, and dates as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


_SURPRISING = re.compile(r"^(?P<sign>[-+]?)(0[0-7_]+|[0-9_]+(?P<colon>:[0-9]+)+(\.[0-9_]*)?)$")
"""Numbers that YAML 1.1 reads as others than they look: 010 is 8 there, 1:30 is 90."""


class Document:
    """`data` with the place (`file:line`, or the option that set it) of every value in it."""

    def __init__(self, source: Path, text: str | None = None) -> None:
        """Read `source`, or take `text` as if it stood there."""
        self.source = source
        self._places: dict[Where, str] = {}
        self._values = 0
        self._merged: set[int] = set()
        """Mappings that hold what they merge already: an alias comes by again."""
        self.data: Any = self._parse(_read(source) if text is None else text)

    def place(self, where: Where) -> str:
        """The place of the value, or of the nearest thing around it."""
        for end in range(len(where), 0, -1):
            if where[:end] in self._places:
                return self._places[where[:end]]
        return f"{self.source}:1"

    def error(self, where: Where, message: str) -> UserError:
        return UserError(f"{self.place(where)}: {message}")

    def errors_at(self, where: Where) -> AbstractContextManager[None]:
        """Gives the UserErrors raised inside their place."""
        return told_of(self.place(where))

    def set(self, where: Where, value: object, place: str) -> None:
        """Put a value at a way of mapping keys, making mappings that are missing; a name on the
        way becomes one (`sgd` is short for `{name: sgd}`)."""
        for inside in [inside for inside in self._places if inside[: len(where)] == where]:
            del self._places[inside]
        self._places[where] = place
        target = self.data
        for end, key in enumerate(where[:-1], start=1):
            self._places.setdefault(where[:end], place)
            inner = named(target.get(key))
            target[key] = inner if isinstance(inner, dict) else {}
            target = target[key]
        target[where[-1]] = value

    def _parse(self, text: str) -> Any:
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            if node is None:
                raise UserError(f"{self.source}:1: the file is empty")
            return self._value(loader, node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise UserError(f"{self.source}{line}: not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise UserError(f"{self.source}: not YAML: {error}".replace("\n", " ")) from error
        except RecursionError as error:
            raise UserError(f"{self.source}:1: too deeply nested") from error

    def _value(self, loader: _Loader, node: yaml.Node, where: Where) -> Any:
        self._values += 1
        if self._values > MOST_VALUES or len(where) > MOST_DEPTH:
            raise self._error(node, "too many or too deeply nested values")
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _SCALARS:
                raise self._error(node, f"the tag '{_short(node.tag)}' is not allowed")
            try:
                value = loader.construct_object(node)
                str(value)  # Python writes no number of more than 4,300 digits
            except (ValueError, IndexError, KeyError) as error:  # by the tag: !!int x, !!bool x
                raise self._error(node, f"not a {_short(node.tag)}: '{node.value[:60]}'") from error
            if isinstance(value, int | float) and (read := _SURPRISING.match(node.value)):
                raise self._error(node, _surprise(node.value, value, read))
            return value
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self._child(loader, n, (*where, i), n) for i, n in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(loader, node, where)
        raise self._error(node, f"the tag '{_short(node.tag)}' is not allowed")

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        if id(node) not in self._merged:
            self._check_keys(node)
            loader.flatten_mapping(node)  # the merge key, <<
            self._merged.add(id(node))
        mapping = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be text")
            mapping[key.value] = self._child(loader, value, (*where, key.value), key)
        return mapping

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be text")
            if key.value in lines:
                first = lines[key.value]
                raise self._error(key, f"'{key.value}' is given twice, first in line {first}")
            lines[key.value] = key.start_mark.line + 1

    def _child(self, loader: _Loader, node: yaml.Node, where: Where, shown: yaml.Node) -> Any:
        self._places[where] = f"{self.source}:{shown.start_mark.line + 1}"
        return self._value(loader, node, where)

    def _error(self, node: yaml.Node, message: str) -> UserError:
        return UserError(f"{self.source}:{node.start_mark.line + 1}: {message}")


def scalar(text: str) -> Any:
    """A value as it would read in the file: `1e-4` is a number, `[0, 1]` a list."""
    return Document(Path("value"), text or "''").data


def _read(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        folder = source.parent if source.parent.is_dir() else Path("experiments")
        matrices = [str(path) for path in sorted(folder.glob("*.yaml"))]
        raise UserError(f"{source}: no such file{nearest(str(source), matrices)}") from error
    except IsADirectoryError as error:
        raise UserError(
            f"{source} is a folder, and this wants a YAML file; of a folder of images "
            f"runner.py --init my.yaml --data {source} writes one"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not YAML: not UTF-8 text ({error.reason})") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{source!s}: can't be read: {error}") from error


def _surprise(written: str, value: Any, read: re.Match[str]) -> str:
    digits = written.replace("_", "").lstrip("+-0") or "0"
    plain = "" if read["colon"] else f"{read['sign']}{digits}, or "
    return f"YAML reads {written} as {value}; write {plain}'{written}' in quotes if it is text"


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
