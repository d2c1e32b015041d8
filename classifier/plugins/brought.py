"""The files that a matrix brings: read, declared and signed; their text is what will run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from classifier.basics.errors import UserError
from classifier.basics.files import sha256, stays_in
from classifier.basics.names import nearest
from classifier.plugins.declared import Declared, declared_in
from classifier.plugins.reach import Module, digest_of, module_of, reached
from classifier.plugins.syntax import parse

SOURCES = "plugins"
"""The folder that is kept of the user's files, beside what they made."""
_OURS = ("classifier", "experiments", "reports")
"""Packages that may lie beside a matrix, and are no user's."""


@dataclass(frozen=True)
class Brought:
    """The text that a job's process runs: what was planned, also where the folder is not there."""

    folder: Path
    """The matrix's, for messages."""
    plugins: tuple[str, ...] = ()
    """The files that it names, by their paths from the folder."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """By path from the folder: these files, and what they import of theirs."""
    data: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files of data that they read, by path."""

    @cached_property
    def declared(self) -> dict[str, Declared]:
        """The marked objects by name, with their digests. Raises UserError with file and line."""
        found: dict[str, Declared] = {}
        for plugin in self.plugins:
            file = str(self.folder / plugin)
            modules = self._modules(plugin)
            for each in declared_in(parse(self.texts[plugin], file), file):
                if each.name in found:
                    other = found[each.name]
                    raise UserError(
                        f"{file}:{each.line}: '{each.name}' is there twice, first in "
                        f"{other.file}:{other.line}; rename one"
                    )
                digest = digest_of(each.name, PurePosixPath(plugin).stem, modules)
                if each.reads:
                    contents = [self.data[path] for path in data_of(plugin, each)]
                    digest = hashlib.sha256(repr((digest, contents)).encode()).hexdigest()[:16]
                found[each.name] = replace(each, file=plugin, digest=digest)
        return found

    @cached_property
    def hash(self) -> str:
        """12 hex digits of SHA-256 over the folder's name and all texts."""
        all_of_it = repr((str(self.folder), sorted(self.hashes().items())))
        return hashlib.sha256(all_of_it.encode()).hexdigest()[:12]

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to a job as its texts; what was read of them is read again there."""
        return Brought, (self.folder, self.plugins, self.texts, self.data)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file's text, by its path."""
        return {
            path: hashlib.sha256(text.encode()).hexdigest() for path, text in self.texts.items()
        }

    def beside(self, path: str, module: str) -> str | None:
        """The path of a module in a file's folder, if it is there."""
        other = str(PurePosixPath(path).with_name(f"{module}.py"))
        return other if other in self.texts else None

    def edited(self, name: str, kept: Path) -> list[str]:
        """The files in which an object reaches something else than it does in the folder where the
        same files were kept."""
        plugin = self.declared[name].file
        files = sorted(path for path in kept.rglob("*.py") if path.is_file())
        texts = {path.relative_to(kept).as_posix(): path.read_text("utf-8") for path in files}
        if plugin not in texts:
            return [plugin]
        now, then = self._reached(plugin, name), replace(self, texts=texts)._reached(plugin, name)
        return sorted(path for path in now.keys() | then.keys() if now.get(path) != then.get(path))

    def _reached(self, plugin: str, name: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for module, text in reached(name, PurePosixPath(plugin).stem, self._modules(plugin)):
            path = PurePosixPath(plugin).with_name(f"{module}.py")
            found.setdefault(str(path), []).append(text)
        return found

    def _modules(self, plugin: str) -> dict[str, Module]:
        beside = {
            PurePosixPath(path).stem: path
            for path in self.texts
            if PurePosixPath(path).parent == PurePosixPath(plugin).parent
        }
        return {
            name: module_of(self.texts[path], str(self.folder / path), beside.__contains__)
            for name, path in beside.items()
        }


def bring(folder: Path, plugins: Iterable[str]) -> Brought:
    """Read a matrix's plugins and what they import of their folders. Raises UserError."""
    named, texts = tuple(plugins), dict[str, str]()
    for plugin in named:
        waiting = [plugin]
        while waiting:
            path = waiting.pop()
            if path not in texts:
                texts[path] = _read(folder, path)
                waiting.extend(_beside(folder, path, texts[path]))
    data = {path: sha256 for plugin in named for path, sha256 in _data(folder, plugin, texts)}
    return Brought(folder, named, dict(sorted(texts.items())), data)


def data_of(plugin: str, declared: Declared) -> list[str]:
    """The files of data that an object reads, by their paths from the matrix's folder."""
    return [str(PurePosixPath(plugin).parent / name) for name in declared.reads]


def _data(folder: Path, plugin: str, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    file = str(folder / plugin)
    for declared in declared_in(parse(texts[plugin], file), file):
        for path in data_of(plugin, declared):
            if not stays_in(folder, path) or not (folder / path).is_file():
                raise UserError(
                    f"{file}:{declared.line}: 'reads': {folder / path} must be a file in the "
                    "matrix's folder (links followed)"
                )
            yield path, sha256(folder / path)


def _beside(folder: Path, path: str, text: str) -> list[str]:
    """The files of its folder that a file imports: all of them where it may import anything."""
    here = PurePosixPath(path).parent

    def is_there(module: str) -> bool:
        if module in _OURS:
            return False
        if (folder / here / module / "__init__.py").exists():
            raise UserError(
                f"{folder / path}:1: '{module}' beside it is a package; a plugin imports single "
                "files of its folder"
            )
        return (folder / here / f"{module}.py").exists()

    module = module_of(text, str(folder / path), is_there)
    if module.anything:
        return [str(here / file.name) for file in sorted((folder / here).glob("*.py"))]
    return [str(here / f"{name}.py") for name in sorted(module.imports)]


def check_path(folder: Path, plugin: str) -> None:
    """Raises UserError for a path that is no plugin's: it lies beside the matrix or below it."""
    if not plugin.endswith(".py") or not PurePosixPath(plugin).stem.isidentifier():
        raise UserError(f"a plugin is a Python file beside the matrix or below it, not '{plugin}'")
    if PurePosixPath(plugin).is_absolute() or str(PurePosixPath(plugin)) != plugin:
        raise UserError(f"write a plugin's path from the matrix's folder, not '{plugin}'")
    if not stays_in(folder, plugin):
        raise UserError(f"'{plugin}' leads out of the matrix's folder (links followed)")
    if not (folder / plugin).is_file():
        near = [str(path.relative_to(folder)) for path in sorted(folder.glob("*.py"))]
        raise UserError(f"{folder / plugin}: no such file{nearest(plugin, near)}")


def _read(folder: Path, path: str) -> str:
    """The text, which must lie in the folder, links followed."""
    file = folder / path
    if not stays_in(folder, path):
        raise UserError(f"{file} leads out of the matrix's folder (links followed)")
    try:
        return file.read_text(encoding="utf-8").removeprefix("\ufeff")
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error.reason})") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: can't be read: {error}") from error
