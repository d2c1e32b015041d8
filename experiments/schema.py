"""What a matrix file may say, and the one sentence for what it may not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from classifier.errors import UserError
from classifier.spec import DataSpec, Ema, Precision, Settings, Split, TrainSpec, named, switch
from experiments.document import Document, Where, nearest


class Column(Settings):
    header: str = Field(min_length=1, pattern=r"^[^|\r\n]+$")
    metric: Literal["accuracy", "mpa", "fps", "images_per_second"] = "accuracy"
    stage: Literal["train", "test"] = "test"
    split: Split | None = None
    precision: Precision | None = None
    tta: bool = False
    batch_size: int | None = Field(None, ge=1)
    where: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_speed(self) -> bool:
        return self.metric in ("fps", "images_per_second")

    @property
    def measure(self) -> tuple[object, ...]:
        """All that a column says except its header and its arm."""
        split = self.split if self.is_speed or self.stage == "test" else "val"
        precision, batch_size = self.precision or "fp32", self.batch_size or 64
        return (self.metric, self.stage, split, precision, self.tta, batch_size)

    @model_validator(mode="after")
    def _makes_sense(self) -> Column:
        if self.is_speed:
            if self.split or self.stage == "train" or self.tta:
                raise ValueError(f"metric '{self.metric}' takes no split, no stage and no tta")
            return self
        if self.batch_size is not None:
            raise ValueError("'batch_size' is for metric fps or images_per_second")
        if self.stage == "train" and (self.split == "test" or self.precision or self.tta):
            raise ValueError(
                "stage 'train' is val accuracy while training: no split, no precision, no tta"
            )
        if self.stage == "test" and self.split is None:
            raise ValueError("a column needs 'split' (val or test), or 'stage: train'")
        return self


class Row(Settings):
    name: str = Field(min_length=1, pattern=r"^[^|\r\n]+$")
    where: dict[str, Any]


class TableSettings(Settings):
    rows: str | list[Row]
    columns: list[Column] = Field(min_length=1)
    where: dict[str, Any] = Field(default_factory=dict)
    baseline: dict[str, Any] = Field(default_factory=dict)
    published: str | None = None


class Benchmark(Settings):
    seconds: float = Field(30.0, gt=0, allow_inf_nan=False)


class File(Settings):
    """The top level of a matrix file."""

    title: str = Field(min_length=1, pattern=r"^[^\r\n]+$")
    data: Annotated[DataSpec, BeforeValidator(named)]
    train: dict[str, Any] = Field(default_factory=dict)
    matrix: dict[str, Any] | None = None
    runs: dict[str, dict[str, Any]] | None = None
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field([0], min_length=1)
    benchmark: Benchmark = Benchmark()
    tables: dict[str, TableSettings] = Field(min_length=1)


class ArmSettings(TrainSpec):
    """A training's settings as they are written: with `ema`, which the plan makes a track of."""

    ema: Annotated[Ema | None, BeforeValidator(switch)] = None


def read(document: Document) -> File:
    """The checked content of a matrix file. Raises UserError with the place of what is wrong."""
    if not isinstance(document.data, dict):
        raise document.error((), "a matrix is a mapping with title, data, train, matrix, tables")
    try:
        return File.model_validate(document.data)
    except ValidationError as error:
        raise explained(error, document, tuple(finding(error)["loc"]), File) from error


def finding(error: ValidationError) -> ErrorDetails:
    """The finding to speak of: an unknown key explains a missing one, so it goes first."""
    found = error.errors()
    unknown = [detail for detail in found if detail["type"] == "extra_forbidden"]
    # Of `rows`, text or a list: where a list is given, what is wrong in it.
    inside = [detail for detail in found if detail["loc"][-1:] != ("str",)]
    return (unknown or inside or found)[0]


def explained(
    error: ValidationError, document: Document, where: Where, model: type[Settings]
) -> UserError:
    """Pydantic's finding in one sentence, with the nearest valid name."""
    found = finding(error)
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    names = [part for part in found["loc"] if isinstance(part, str)]
    name = names[-1] if names else ""
    if name == "name" and len(names) > 1:
        name = names[-2]  # `data: {name: digit}`: an unknown data, not an unknown name
    shown = given if isinstance(given, str) else text(given)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    if kind == "extra_forbidden":
        elsewhere = ("data", "seed") if model is ArmSettings else ()
        fields = [field for field in _fields_at(model, found["loc"][:-1]) if field not in elsewhere]
        if model is File and len(names) == 1 and name in ArmSettings.model_fields:
            return document.error(where, f"unknown setting '{name}'; did you mean 'train.{name}'?")
        return document.error(where, f"unknown setting '{name}'{nearest(name, fields)}")
    if kind == "missing":
        return document.error(where[:-1], f"'{name}' is missing")
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        return document.error(where, f"unknown {name} '{shown}'{nearest(shown, known)}")
    if kind == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", context["expected_tags"])
        return document.error(
            where, f"unknown {name} '{context['tag']}'{nearest(context['tag'], known)}"
        )
    if kind == "value_error":
        return document.error(where, str(context["error"]))
    if kind in ("too_short", "string_too_short"):
        return document.error(where, f"'{name}' is empty")
    if kind == "string_pattern_mismatch":
        why = "it may hold no '|' and no line break" if name != "folder" else "it must be one name"
        return document.error(where, f"'{name}' can't be {text(given)}: {why}")
    return document.error(where, f"'{name}' {_demand(found)}, not '{shown}'")


def _demand(found: ErrorDetails) -> str:
    """`must be an integer`: what pydantic says, as a part of a sentence."""
    if found["type"] in ("model_type", "dict_type"):
        switch_too = found["loc"][-1] in ("ema", "rdrop", "warmup", "mixing", "distill")
        return f"must be {'true, false or ' if switch_too else ''}a mapping of its settings"
    message = (
        found["msg"].replace("Input should be", "must be").replace("a valid integer", "an integer")
    )
    return message.replace("a valid ", "a ").partition(",")[0]


def _fields_at(model: type[Settings], loc: Sequence[int | str]) -> list[str]:
    """The settings that may stand at a way into a model."""
    models: list[type[Settings]] = [model]
    for part in loc:
        if not isinstance(part, str):
            continue
        inside = [
            m
            for outer in models
            if part in outer.model_fields
            for m in _models_in(outer.model_fields[part].annotation)
        ]
        tagged = [m for m in models if _tag_is(m, part)]
        models = inside or tagged or models
    return list(dict.fromkeys(name for found in models for name in found.model_fields))


def _tag_is(model: type[Settings], tag: str) -> bool:
    """Of a union: pydantic puts the chosen one's name into the way."""
    name = model.model_fields.get("name")
    return name is not None and tag in getattr(name.annotation, "__args__", ())


def _models_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]


def text(value: Any) -> str:
    """Canonical text, for comparing values: true is not 1, the order of keys does not count."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
