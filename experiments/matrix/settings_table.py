"""The table of all settings of `train` in docs/matrix.md, from the models that check them.

python -m experiments.matrix.settings_table docs/matrix.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from classifier.basics.docstrings import of_fields
from classifier.basics.settings import Settings
from classifier.config.spec import TrainSettings
from experiments.matrix.recipes import RECIPES
from experiments.matrix.written import Schema, models

BEGIN = "<!-- python -m experiments.matrix.settings_table docs/matrix.md -->\n"
END = "<!-- end of the settings -->\n"
_ELSEWHERE = ("data", "own_model", "seed", "own_tricks")
_MOST_NAMES = 10
_NO_LIMIT = 10**9
_RECIPE = "A name for [settings of a published training](#recipes)."


def put_into(page: str) -> str:
    """A page with the table between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "the page has no place for the table"
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Of each setting its type, its default, its meaning and its paper; the tricks have a page."""
    schemas = models()["ArmSettings"]["properties"]
    told = of_fields(TrainSettings)
    rows = [("setting", "type", "default", "meaning", "paper"), (":--",) * 5]
    for name, field in TrainSettings.model_fields.items():
        if name not in _ELSEWHERE:
            extra = field.json_schema_extra
            paper = str(extra.get("paper", "")) if isinstance(extra, dict) else ""
            kind, default = _kind(schemas[name]), _default(field)
            rows.append((f"`{name}`", kind, default, told[name], paper))
    rows.append(("`recipe`", _kind({"enum": [*RECIPES, False]}), "`false`", _RECIPE, ""))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    return f"`{_flow(field.default)}`"


def _flow(value: Any) -> str:
    """As YAML in one line. What is None is off."""
    if isinstance(value, Settings):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.model_dump().items()) + "}"
    if isinstance(value, str):
        return value
    return json.dumps(False if value is None else value)


def _kind(schema: Schema) -> str:
    """The types of value that a setting takes, without what only a recipe gives a meaning to."""
    each = schema.get("anyOf", [schema])
    said = dict.fromkeys(text for one in each for text in _kinds(one))
    *first, last = sorted(said, key=lambda text: text == "`false`")
    return f"{', '.join(first)} or {last}" if first else last


def _kinds(schema: Schema) -> list[str]:
    """What one of the schemas of a setting says, in words."""
    if "anyOf" in schema:
        return [text for one in schema["anyOf"] for text in _kinds(one)]
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if len(values) > _MOST_NAMES:
        return ["a name"]
    if values:
        return [f"`{_flow(value)}`" for value in values if value is not True]
    words = {"boolean": ["`true`", "`false`"], "string": ["text"], "array": ["a list"]}
    kinds = schema.get("type", "object")
    if kinds in ("integer", "number"):
        return [_number(schema)]
    return [
        text
        for kind in ([kinds] if isinstance(kinds, str) else kinds)
        if kind != "null"
        for text in words.get(kind, ["a mapping"])
    ]


def _number(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    limits = {**words, "exclusiveMaximum": "and below"}
    said = [
        f"{word} {schema[key]:,}"
        for key, word in limits.items()
        if key in schema and schema[key] < _NO_LIMIT
    ]
    return " ".join(["an integer" if schema["type"] == "integer" else "a number", *said])


def main(page: Path) -> None:
    page.write_text(put_into(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
