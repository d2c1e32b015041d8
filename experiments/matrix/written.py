"""The models that check a matrix as JSON Schema, with all forms that a person may write.

pydantic gives the schema of what a model holds; what a validator makes of `true`, `false` or `bce`
before is added here, by the validator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from classifier.basics.docstrings import of_fields
from classifier.basics.settings import Settings, named, off, switch, with_name
from classifier.config.optimizers import library_optimizers
from classifier.config.spec import ArmSettings
from classifier.data import sources
from classifier.data.spec import file_of
from classifier.models.catalogue import MODELS
from classifier.models.known import table
from experiments.matrix.recipes import RECIPES
from experiments.matrix.schema import METRICS, File

Schema = dict[str, Any]

_HIDDEN = {
    "ArmSettings": ("data", "own_model", "seed", "own_tricks"),
    "DataSpec": ("own", "fold"),
    "Column": ("own",),
}
"""What models have and nobody writes there."""
_NOT_WRITTEN = ("UserDataset", "UserMetric", "UserModel", "UserTrick", "Weights")
_IN_PLACE_OF = {named: "name", with_name: "name", file_of: "file"}
"""What a text is short for, by the validator that says so."""
_TOLD = ("default", "description", "paper", "neutral", "unsigned")
"""What says nothing of which values there may be."""
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
"""Of Markdown, to a page beside docs/matrix.md."""
_SHORT, _KINDS = "x-short", "x-kinds"
"""Marks until all definitions are there: the part that may stand for the whole; that each of the
objects is of another name."""


def models() -> dict[str, Schema]:
    """By name, the definitions of all models of a matrix: `File`, `ArmSettings`, `Column`, ..."""
    kinds = [(File, "validation"), (ArmSettings, "validation")]
    _, made = models_json_schema(kinds, schema_generator=_Written)  # type: ignore[arg-type]
    defs: dict[str, Schema] = made["$defs"]
    for model, names in _HIDDEN.items():
        for name in names:
            del defs[model]["properties"][name]
    for name in _NOT_WRITTEN:
        del defs[name]
    _put_names(defs)
    _let_others_complete(defs)
    _put_recipes_back(defs)
    for schema in list(defs.values()):
        _finish(schema, defs)
    return defs


def either(*schemas: Schema) -> Schema:
    """Any of these, in one list."""
    flat: list[Schema] = []
    marks: Schema = {}
    for schema in schemas:
        flat += schema["anyOf"] if _is_list(schema) else [schema]
        marks |= {
            key: schema[key] for key in (_SHORT, _KINDS) if _is_list(schema) and key in schema
        }
    once = [schema for place, schema in enumerate(flat) if schema not in flat[:place]]
    return once[0] if len(once) == 1 and not marks else {"anyOf": once, **marks}


def say(schema: Schema, **said: Any) -> None:
    """Says what a value may be, and leaves what is told of it."""
    told = {key: schema[key] for key in _TOLD if key in schema}
    schema.clear()
    schema.update(said, **told)


def also(schema: Schema, other: Schema) -> None:
    """Lets a value be another, too."""
    say(schema, **either(_bare(schema), other))


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in _TOLD}


def names(schema: Schema) -> list[str]:
    """Those that a part called `name` may be."""
    each = schema.get("anyOf", [schema])
    found = [name for one in each for name in one.get("enum", [one.get("const")])]
    return [name for name in found if isinstance(name, str)]


def objects(schema: Schema, defs: dict[str, Schema]) -> Iterator[Schema]:
    """The mappings that a value may be."""
    if "$ref" in schema:
        yield from objects(defs[schema["$ref"].rpartition("/")[2]], defs)
    for inner in schema.get("anyOf", ()):
        yield from objects(inner, defs)
    if schema.get("type") == "object":
        yield schema


def parts(schema: Schema, defs: dict[str, Schema]) -> dict[str, Schema]:
    """What such a mapping may hold, of all of them together."""
    found: dict[str, Schema] = {}
    for each in objects(schema, defs):
        for name, part in each.get("properties", {}).items():
            told = {"description": part["description"]} if "description" in part else {}
            if name in found:
                part = {**either(_bare(found[name]), _bare(part)), **told}
            found[name] = part
    return found


class _Written(GenerateJsonSchema):
    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        made = super().function_before_schema(schema)
        function: Any = schema["function"]["function"]
        function = function.func if isinstance(function, partial) else function
        if function is switch:
            return either({"type": "boolean"}, made)
        if function is off:
            return either({"const": False}, made)
        part = _IN_PLACE_OF.get(function)
        return _marked(made, {_SHORT: part}) if part else made

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        return _marked(either(*super().tagged_union_schema(schema)["oneOf"]), {_KINDS: True})

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        kind: type[Settings] = schema["cls"]
        for name, text in of_fields(kind).items():
            if name in made["properties"]:
                made["properties"][name]["description"] = _LINK.sub(r"\1", text)
        return made

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _is_list(schema: Schema) -> bool:
    return "anyOf" in schema and schema.keys() <= {"anyOf", _SHORT, _KINDS}


def _marked(schema: Schema, mark: Schema) -> Schema:
    return {**(schema if _is_list(schema) else {"anyOf": [schema]}), **mark}


def _put_names(defs: dict[str, Schema]) -> None:
    """What validators look up elsewhere, or the loader reads otherwise than a record has it."""
    arm, optimizer = defs["ArmSettings"]["properties"], defs["LibraryOptimizer"]
    networks = sorted({*MODELS, *(name for name, known in table().items() if not known.refused)})
    say(arm["model"], anyOf=[{"enum": networks}, {"type": "string"}])
    say(arm["pretrained"], type=["boolean", "string", "null"])
    say(arm["weights"], anyOf=[{"type": "string"}, {"const": False}, {"type": "null"}])
    file: Schema = {"type": "object", "properties": {"file": {"type": "string"}}}
    file |= {"required": ["file"], "additionalProperties": False}
    say(defs["Distill"]["properties"]["teacher"], anyOf=[{"type": "string"}, file])
    say(optimizer["properties"]["name"], enum=[*library_optimizers()])
    arguments = sorted({each for taken in library_optimizers().values() for each in taken})
    optimizer["properties"] = {**{each: {} for each in arguments}, **optimizer["properties"]}
    optimizer["additionalProperties"] = False
    say(defs["DataSpec"]["properties"]["name"], enum=[*sources.by_name(), None])
    named_only: Schema = {"type": "object", "properties": {"name": {"enum": [*METRICS]}}}
    named_only |= {"required": ["name"], "additionalProperties": False}
    say(defs["Column"]["properties"]["metric"], anyOf=[{"enum": [*METRICS]}, named_only])
    inner = {"type": "array", "items": {"$ref": "#/$defs/Transform"}}
    transform = defs["Transform"]
    transform["properties"]["transforms"] = inner
    by_its_name = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {"not": {"const": "name"}},
        "additionalProperties": {"type": ["object", "null"], "properties": {"transforms": inner}},
    }
    defs["Transform"] = either({"type": "string"}, transform, by_its_name)


def _let_others_complete(defs: dict[str, Schema]) -> None:
    """Nothing of a setting is needed where it stands: an axis or a recipe may give the rest."""
    for name in defs.keys() - {"File", "Column", "Row", "TableSettings", "Transform"}:
        defs[name].pop("required", None)


def _put_recipes_back(defs: dict[str, Schema]) -> None:
    """Of what a recipe sets null takes back a setting, or a part of it, and true keeps a group."""
    arm = defs["ArmSettings"]["properties"]
    for setting, value in (item for recipe in RECIPES.values() for item in recipe.items()):
        if isinstance(value, dict):
            for each in objects(arm[setting], defs):
                if "name" not in value or value["name"] in names(each["properties"]["name"]):
                    for part in value.keys() - {"name"}:
                        also(each["properties"][part], {"type": "null"})
            also(arm[setting], {"const": True})
        also(arm[setting], {"type": "null"})


def _finish(schema: Schema, defs: dict[str, Schema]) -> None:
    """Short forms in place of the marks, inside of it too, and nothing that is ours alone."""
    if paper := schema.pop("paper", None):
        schema["description"] = f"{schema['description']} ({paper})"
    for key in ("neutral", "unsigned"):
        schema.pop(key, None)
    short, kinds = schema.pop(_SHORT, None), schema.pop(_KINDS, False)
    if kinds:
        for each in objects(schema, defs):
            each["required"] = ["name"]
        rest = {name: part for name, part in parts(schema, defs).items() if name != "name"}
        nameless = {"type": "object", "properties": rest, "additionalProperties": False}
        schema["anyOf"] += [nameless]
    if short:
        part = parts(schema, defs)[short]
        known = names(part)
        schema["anyOf"] = [{"enum": known} if known else _bare(part), *schema["anyOf"]]
    inside = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inside += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for inner in [*inside, *schema.get("prefixItems", ())]:
        if isinstance(inner, dict):
            _finish(inner, defs)
