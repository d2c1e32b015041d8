"""A matrix's plugins: the names that its files add to the built-in ones, and where they stand."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, get_args

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.config.document import Document, Where
from classifier.config.explanations import explain, main_detail
from classifier.config.optimizers import OPTIMIZERS
from classifier.config.spec import EVERY_TRICK, LOSSES, ArmSettings
from classifier.data.augment import Augment
from classifier.models import catalogue
from classifier.plugins.brought import bring, check_path
from classifier.plugins.declared import Declared, Kind
from classifier.plugins.spec import OF_KIND, Plugin, as_setting
from classifier.plugins.syntax import parse

_PLACES: dict[str, Kind] = {each.under: kind for kind, each in OF_KIND.items() if each.under}
"""The settings that may name an object of the user's; a trick's own name is a setting."""
_RESERVED = {*ArmSettings.model_fields, "seed", "run", "include", "exclude"}

WrittenAt = Callable[[tuple[str | int, ...]], Where]
"""Where in the file a setting, or a part of one, was written."""


class Own:
    """What the files under `plugins` declare, for the arms of a matrix."""

    def __init__(self, document: Document, plugins: list[str]) -> None:
        """Raises UserError, with the matrix's line for a path, with the plugin's for what is in
        it."""
        self._document = document
        folder = document.source.parent
        for position, plugin in enumerate(plugins):
            with document.errors_at(("plugins", position)):
                if plugin in plugins[:position]:
                    raise UserError(f"'{plugin}' is named twice")
                check_path(folder, plugin)
        self.brought = bring(folder, plugins)
        self._declared = self.brought.declared
        for declared in self._declared.values():
            self._check(declared)

    @property
    def names(self) -> dict[str, list[str]]:
        """By setting, what may be named there too; by an empty one the tricks."""
        places = {"": "trick", **_PLACES}
        return {
            place: [d.name for d in self._declared.values() if d.kind == kind]
            for place, kind in places.items()
        }

    def put(self, settings: dict[str, Any], written_at: WrittenAt) -> dict[str, Any]:
        """A training's settings with the user's objects in their places, checked."""
        self._check_kinds(settings, written_at)
        made = dict(settings)
        for place, kind in _PLACES.items():
            value = made.get(place)
            name = value.get("name") if isinstance(value, dict) else value
            declared = self._declared.get(name) if isinstance(name, str) else None
            if declared is not None and declared.kind == kind:
                given = dict(value) if isinstance(value, dict) else {}
                given.pop("name", None)
                plugin = self._made(declared, given, place, written_at)
                made |= (
                    {"model": name, "own_model": plugin} if place == "model" else {place: plugin}
                )
        tricks = [
            self._trick(self._declared[name], made.pop(name), written_at)
            for name in settings
            if name in self._declared and self._declared[name].kind == "trick"
        ]
        return made | {"own_tricks": tuple(trick for trick in tricks if trick is not None)}

    def _check_kinds(self, settings: dict[str, Any], written_at: WrittenAt) -> None:
        """Raises UserError for a name that is there, but with another mark or with none."""
        for setting, value in settings.items():
            kind = _PLACES.get(setting)
            name = value.get("name") if isinstance(value, dict) else value
            if kind is not None and isinstance(name, str):
                self._check_kind(name, kind, written_at((setting,)))
            elif setting not in _RESERVED:
                self._check_kind(setting, "trick", written_at((setting,)))

    def _check_kind(self, name: str, wanted: Kind, where: Where) -> None:
        declared, unmarked = self._declared.get(name), self._unmarked.get(name)
        if (declared.kind == wanted if declared else not unmarked) or name in _built_in(wanted):
            return
        if declared is not None:
            kind, under = declared.kind, OF_KIND[declared.kind].under
            form = f"{name}: true" if kind == "trick" else f"{under}: {name}"
            an = "an" if kind[0] in "aeiou" else "a"
            instead = f": write {form}" if kind == "trick" or under else ""
            raise self._document.error(where, f"'{name}' is {an} {kind}{instead}")
        path, line = self._unmarked[name]
        if path not in self.brought.plugins:
            message = f"'{name}' is in {path}, which is not named in 'plugins'"
            raise self._document.error(where, message)
        place = f"{self.brought.folder / path}:{line}"
        raise UserError(f"{place}: '{name}' has no mark; write @{wanted} above it")

    @cached_property
    def _unmarked(self) -> dict[str, tuple[str, int]]:
        """File and line of what else these files define at their top."""
        return {
            node.name: (path, node.lineno)
            for path, text in self.brought.texts.items()
            for node in parse(text, path).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in self._declared
        }

    def _trick(self, declared: Declared, value: Any, written_at: WrittenAt) -> Plugin | None:
        if value is None or value is False:
            return None
        if value is not True and not isinstance(value, dict):
            message = f"'{declared.name}' must be true, false or a mapping of its settings"
            raise self._document.error(written_at((declared.name,)), f"{message}, not '{value}'")
        return self._made(declared, {} if value is True else value, declared.name, written_at)

    def _made(
        self, declared: Declared, given: dict[str, Any], place: str, written_at: WrittenAt
    ) -> Plugin:
        try:
            return as_setting(declared, given)
        except ValidationError as error:
            where = written_at((place, *main_detail(error)["loc"]))
            raise explain(error, self._document, where, declared.settings) from error

    def _check(self, declared: Declared) -> None:
        """A name stands for one thing, everywhere."""
        place = f"{self.brought.folder / declared.file}:{declared.line}"
        if declared.name in _built_in(declared.kind):
            raise UserError(
                f"{place}: '{declared.name}' is the name of a built-in {declared.kind} or of a "
                "setting; choose another"
            )
        tricks = [trick.setting for trick in EVERY_TRICK] + self.names[""]
        for other in declared.apart:
            if other not in tricks:
                raise UserError(f"{place}: 'apart': no trick is '{other}'{nearest(other, tricks)}")


def _built_in(kind: Kind) -> Collection[str]:
    match kind:
        case "trick":
            return _RESERVED
        case "loss":
            return [str(loss.model_fields["name"].default) for loss in LOSSES]
        case "optimizer":
            return [str(each.model_fields["name"].default) for each in OPTIMIZERS]
        case "augmentation":
            return get_args(Augment)
        case "model":
            return {*catalogue.MODELS, *catalogue.library_models()}
