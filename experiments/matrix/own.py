"""A matrix's plugins: the names that its files add to the built-in ones, and where they stand."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, get_args

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.basics.users import Kind, Plugin
from classifier.config.document import Document, Where
from classifier.config.explanations import explain, main_detail
from classifier.config.optimizers import optimizer_names
from classifier.config.spec import EVERY_TRICK, LOSSES, ArmSettings
from classifier.data import sources
from classifier.data.augment import Augment
from classifier.data.spec import DataSpec
from classifier.models import catalogue
from classifier.plugins.brought import bring, check_path
from classifier.plugins.declared import Declared
from classifier.plugins.spec import OF_A_TRAINING, OF_KIND, as_setting
from classifier.plugins.syntax import parse
from experiments.matrix.schema import METRICS

_RESERVED = {*ArmSettings.model_fields, "seed", "run", "include", "exclude", "recipe"}

WrittenAt = Callable[[tuple[str | int, ...]], Where]
"""Where in the file a setting, or a part of one, was written."""


class Own:
    """What the files under `plugins` declare, for the arms of a matrix."""

    def __init__(self, document: Document) -> None:
        """Raises UserError, with the matrix's line for a path, with the plugin's for what is in
        it."""
        self._document = document
        folder = document.source.parent
        plugins = document.data.get("plugins")
        is_list = isinstance(plugins, list) and all(isinstance(each, str) for each in plugins)
        plugins = plugins if is_list else []  # else the file's check says what is wrong
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
        places: dict[str, Kind] = {
            "": "trick",
            **OF_A_TRAINING,
            "data": "dataset",
            "metric": "metric",
        }
        return {
            place: [d.name for d in self._declared.values() if d.kind == kind]
            for place, kind in places.items()
        }

    def put_into_file(self) -> None:
        """The data sets and metrics of the user's that columns name. What the file itself may not
        say is refused."""
        tables = self._document.data.get("tables")
        for name, table in tables.items() if isinstance(tables, dict) else ():
            columns = table.get("columns") if isinstance(table, dict) else None
            if isinstance(columns, list):
                place: Where = ("tables", name, "columns")
                table["columns"] = [
                    self._column(column, (*place, position)) if isinstance(column, dict) else column
                    for position, column in enumerate(columns)
                ]

    def _column(self, column: dict[str, Any], where: Where) -> dict[str, Any]:
        if "own" in column:
            raise self._document.error((*where, "own"), "unknown setting 'own'")
        made = dict(column)
        if "data" in column:
            place = (*where, "data")
            made["data"] = self.data(column["data"], lambda loc: (*place, *loc[1:]))
        metric = column.get("metric")
        name, given = _named(metric)
        self._check_kind(name, "metric", (*where, "metric"))
        declared = self._declared.get(name)
        if declared is not None and declared.kind == "metric":
            made |= {"metric": name, "own": self._made(declared, given, (*where, "metric"))}
        elif isinstance(metric, dict) and not name:
            message = "a metric with settings is written {name: NAME, SETTING: VALUE}"
            raise self._document.error((*where, "metric"), message)
        elif isinstance(metric, dict):
            made["metric"] = name
            for key in given if name in METRICS else ():
                message = f"metric '{name}' has no settings, so no '{key}'"
                raise self._document.error((*where, "metric", key), message)
        return made

    def data(self, value: Any, written_at: WrittenAt) -> Any:
        """What `data` says, with a data set of the user's in its place. `written_at` takes ways
        that begin with `data`."""
        for key in ("own", "fold"):
            if isinstance(value, dict) and key in value:
                message = f"unknown setting '{key}' of 'data'"
                raise self._document.error(written_at(("data", key)), message)
        name, given = _named(value)
        self._check_kind(name, "dataset", written_at(("data",)))
        declared = self._declared.get(name)
        if declared is None or declared.kind != "dataset":
            is_known = name == "" or name in sources.by_name()
            return value if is_known else {"name": name}  # of which the file's check says so
        rest = {key: given.pop(key) for key in list(given) if key in DataSpec.model_fields}
        return {**rest, "own": self._made(declared, given, ("data",), written_at)}

    def put(self, settings: dict[str, Any], written_at: WrittenAt) -> dict[str, Any]:
        """A training's settings with the user's objects in their places, checked."""
        self._check_kinds(settings, written_at)
        made = dict(settings)
        for place, kind in OF_A_TRAINING.items():
            name, given = _named(made.get(place))
            declared = self._declared.get(name)
            if declared is not None and declared.kind == kind:
                plugin = self._made(declared, given, (place,), written_at)
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
            kind = OF_A_TRAINING.get(setting)
            if kind is not None:
                self._check_kind(_named(value)[0], kind, written_at((setting,)))
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
        given = {} if value is True else value
        return self._made(declared, given, (declared.name,), written_at)

    def _made(
        self,
        declared: Declared,
        given: dict[str, Any],
        place: Where,
        written_at: WrittenAt = lambda where: where,
    ) -> Plugin:
        try:
            return as_setting(declared, given)
        except ValidationError as error:
            where = written_at((*place, *main_detail(error)["loc"]))
            raise explain(error, self._document, where, declared.settings) from error

    def _check(self, declared: Declared) -> None:
        """A name stands for one thing, everywhere."""
        place = f"{self.brought.folder / declared.file}:{declared.line}"
        if declared.name in _built_in(declared.kind):
            raise UserError(
                f"{place}: '{declared.name}' is the name of a built-in {declared.kind} or of a "
                "setting; choose another"
            )
        if declared.kind == "dataset":
            for name in sorted({*declared.parameters} & {*DataSpec.model_fields}):
                what = f"setting '{name}' of '{declared.name}' is a setting of all data"
                raise UserError(f"{place}: {what}; choose another name")
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
            return optimizer_names()
        case "augmentation":
            return (*get_args(Augment), "timm")
        case "dataset":
            return sources.by_name()
        case "metric":
            return METRICS
        case "model":
            return {*catalogue.MODELS, *catalogue.library_models()}


def _named(value: Any) -> tuple[str, dict[str, Any]]:
    """The name and the settings of `gce` or `{name: gce, q: 0.5}`; nothing of anything else."""
    if isinstance(value, str):
        return value, {}
    given = dict(value) if isinstance(value, dict) else {}
    name = given.pop("name", "")
    return (name, given) if isinstance(name, str) else ("", given)
