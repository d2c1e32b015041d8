"""The JSON Schema (2020-12) of a matrix, by which editors complete and mark.

It refuses nothing that the loader takes. So what may be right where it stands is let through: a
part that another place may give (`distill.teacher` on an axis completes `distill: {method: at}`),
null where a recipe would have to be there, with `plugins` any name that they may add.
tests/experiments/test_json_schema.py lists what only the loader finds.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator

from classifier.plugins.spec import OF_A_TRAINING
from experiments.matrix.arms import is_of_data
from experiments.matrix.recipes import RECIPES
from experiments.matrix.written import Schema, also, either, models, names, objects, parts, say

Definitions = dict[str, Schema]

_NULL: Schema = {"type": "null"}
_TEXT: Schema = {"type": "string"}


def text() -> str:
    """As a file, a definition a line: experiments/matrix.schema.json."""
    made = document()
    defs = made.pop("$defs")
    head = json.dumps(made, indent=1, ensure_ascii=False).removesuffix("\n}")
    each = (f"  {_line(name)}: {_line(schema)}" for name, schema in defs.items())
    return f'{head},\n "$defs": {{\n' + ",\n".join(each) + "\n }\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def document() -> Schema:
    """The schema of a matrix file. Where it has plugins, other definitions hold."""
    defs = models()
    file = defs.pop("File")
    values = _values(defs)
    defs |= {name: schema for name, schema in values.items() if schema}
    tables = {name: defs.pop(name) for name in ("Row", "Column", "TableSettings")}
    of_ours = _Places(defs, values, tables, own=False).put()
    with_yours = _Places(defs, values, tables, own=True).put()
    top = {name: schema for name, schema in file["properties"].items() if name not in of_ours}
    top["seeds"]["uniqueItems"] = True
    told = {name: {"description": file["properties"][name]["description"]} for name in of_ours}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A matrix of experiments",
        "type": "object",
        "properties": told | top,
        "required": ["title", "tables"],
        "additionalProperties": False,
        "oneOf": [
            {"required": [name], "properties": {name: {"type": "object"}}}
            for name in ("matrix", "runs")
        ],
        "if": {"required": ["plugins"], "properties": {"plugins": {"minItems": 1}}},
        "then": {"properties": with_yours},
        "else": {"properties": of_ours},
        "$defs": defs,
    }


def _values(defs: Definitions) -> Definitions:
    """What an arm may be given, by its name or its dotted path, as `optimizer.weight_decay`."""
    data = either({"enum": names(defs["DataSpec"]["properties"]["name"])}, _ref("DataSpec"))
    recipe = {"enum": [*RECIPES, False, None], "description": "Settings of a published training."}
    settings = {**defs.pop("ArmSettings")["properties"], "recipe": recipe, "data": data}
    for name in list(settings):
        settings |= _paths(name, settings[name], defs)
    return settings


def _paths(path: str, schema: Schema, defs: Definitions) -> Iterator[tuple[str, Schema]]:
    for name, part in parts(schema, defs).items():
        yield f"{path}.{name}", part
        yield from _paths(f"{path}.{name}", part, defs)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


class _Places:
    """Where an arm's values may stand, with definitions that are put beside the others."""

    def __init__(
        self, defs: Definitions, values: Definitions, tables: Definitions, own: bool
    ) -> None:
        """`own`: with all that a user's files may add."""
        self._defs, self._tables, self._own = defs, tables, own
        self._values = {name: _ref(name) if schema else {} for name, schema in values.items()}
        open_ones = [
            re.escape(name)
            for name, schema in values.items()
            if any(each.get("additionalProperties") is True for each in objects(schema, defs))
        ]
        self._patterns = [r"^[^.]+\.."] if own else [rf"^{name}\.." for name in open_ones]
        """Paths of which only the first part is known."""

    def put(self) -> Schema:
        """The top level's keys that they stand under."""
        if self._own:
            # A part, `loss.gamma`, may be one of the user's, of which nobody knows what it takes.
            parts_too: Definitions = {
                n: {} for n in self._values if n.partition(".")[0] in OF_A_TRAINING
            }
            self._values |= {**parts_too, "data.name": either(self._values["data.name"], _TEXT)}
            for name in (*OF_A_TRAINING, "data"):
                self._values[name] = self._put(name, _or_yours(name, self._defs))
        of_training = {n: value for n, value in self._values.items() if not is_of_data(n)}
        train = self._put("train", self._mapping(of_training))
        run = self._put("run", self._mapping(self._values))
        where = self._put("where", self._mapping({**self._values, "run": _TEXT}))
        lists = {name: _list_of(value) for name, value in self._values.items()}
        lists |= {name: {"type": "array", "items": where} for name in ("include", "exclude")}
        unless_null: Schema = {"type": ["object", "null"], "minProperties": 1}
        axes = self._put("axes", self._mapping(lists, _list_of) | unless_null)
        named = {"pattern": r"^[^|\n]*$"}
        return {
            "data": either(self._values["data"], _NULL),
            "train": train,
            "matrix": axes,
            "runs": {**unless_null, "propertyNames": named, "additionalProperties": run},
            "tables": self._all_tables(where),
        }

    def _put(self, name: str, schema: Schema) -> Schema:
        name += " or yours" if self._own else ""
        self._defs[name] = schema
        return _ref(name)

    def _mapping(self, values: Definitions, form: Callable[[Schema], Schema] = dict) -> Schema:
        """A mapping with these keys; with the user's tricks, whose settings nobody knows."""
        others = form({"type": ["boolean", "null", "object"]}) if self._own else False
        return {
            "type": "object",
            "properties": values,
            "patternProperties": {pattern: form({}) for pattern in self._patterns},
            "additionalProperties": others,
        }

    def _all_tables(self, where: Schema) -> Schema:
        column, row, table = (
            copy.deepcopy(self._tables[name]) for name in ("Column", "Row", "TableSettings")
        )
        for schema, name in ((column, "where"), (row, "where"), (table, "where")):
            say(schema["properties"][name], **where)
        say(table["properties"]["baseline"], **where)
        say(column["properties"]["data"], **either(self._values["data"], _NULL))
        if self._own:
            of_yours = {"type": "object", "required": ["name"]}
            also(column["properties"]["metric"], _TEXT)
            also(column["properties"]["metric"], of_yours)
        axes: Schema = {"enum": [*self._values, "run", "runs"]}
        dotted = [{**_TEXT, "pattern": pattern} for pattern in self._patterns]
        unknown = [_TEXT] if self._own else dotted
        listed = {"type": "array", "minItems": 1, "items": self._put("Row", row)}
        say(table["properties"]["rows"], **either(axes, *unknown, listed))
        table["properties"]["columns"]["items"] = self._put("Column", column)
        name_of_a_file: Schema = {"pattern": r"^[^\s./\\-][^\s/\\]*$", "not": {"const": "report"}}
        return {
            "type": "object",
            "minProperties": 1,
            "propertyNames": name_of_a_file,
            "additionalProperties": self._put("Table", table),
        }


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": schema}


def _or_yours(name: str, defs: Definitions) -> Schema:
    """A setting that may name an object of the user's, whose settings nobody knows; beside those
    of a data set stand those of all data."""
    known = parts(defs[name], defs)
    of_ours = names(known["name"]) if "name" in known else []
    beside = known if name == "data" else {}
    yours = {"type": "object", "properties": {**beside, "name": {"not": {"enum": of_ours}}}}
    return either(_ref(name), _TEXT, yours)
