"""The base of all that a user sets: frozen, strict, closed, and signed as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache, partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

NEUTRAL: dict[str, Any] = {"neutral": True}
"""`Field(default, json_schema_extra=NEUTRAL)`: unsigned while it has its default."""


def neutral(default: Any, paper: str = "", *, acts: bool = False, **limits: Any) -> Any:
    """A setting that came later: unsigned and unwritten while it has its default. `acts`: that
    default is not its absence, so whoever reads the settings is told. `paper`: where it is from,
    for its documentation."""
    marks = {**NEUTRAL, **({"acts": True} if acts else {}), **({"paper": paper} if paper else {})}
    return Field(
        default, json_schema_extra=marks, exclude_if=lambda value: value == default, **limits
    )


UNSIGNED: dict[str, Any] = {"unsigned": True}
"""`Field(json_schema_extra=UNSIGNED)`: for people and for finding a file; never signed."""


class Settings(BaseModel):
    """Base of all specs and of their parts: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def signed(self) -> dict[str, Any]:
        """The plain data that the signature is made of."""
        return self.signed_but()

    def told(self) -> dict[str, Any]:
        """As JSON has it for who reads it: with what acts at a default that is not written."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            if isinstance(value, Settings) and isinstance(shown.get(name), dict):
                shown[name] = value.told()
            elif marks.get("acts"):
                shown[name] = value
        return shown

    def signed_but(self, *left_out: str) -> dict[str, Any]:
        """What is signed, without some settings."""
        plain: dict[str, Any] = {}
        for name, neutral in _signed_fields(type(self)):
            value = getattr(self, name)
            if name not in left_out and (neutral is None or value != neutral.default):
                plain[name] = _signed(value)
        return plain


def digest_of(signed: dict[str, Any]) -> str:
    """12 hex digits of SHA-256 over the canonical JSON."""
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _signed_fields(kind: type[Settings]) -> tuple[tuple[str, FieldInfo | None], ...]:
    """Each with the field whose default is not signed, if it has one that isn't."""
    fields = []
    for name, field in kind.model_fields.items():
        marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if not marks.get("unsigned"):
            fields.append((name, field if marks.get("neutral") else None))
    return tuple(fields)


def _signed(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.signed()
    return [_signed(inner) for inner in value] if isinstance(value, tuple) else value


def switch(value: object) -> object:
    """`true` is a group of settings at its defaults, `false` is its absence."""
    if value is True:
        return {}
    return None if value is False else value


def is_switch(field: FieldInfo | None) -> bool:
    """Whether a setting may be `true` or `false`, for a group of settings."""
    marks = field.metadata if field is not None else []
    return any(isinstance(mark, BeforeValidator) and mark.func is switch for mark in marks)


def off(value: object) -> object:
    """`false` is the absence of what has no defaults that `true` could mean."""
    return None if value is False else value


def named(value: object) -> object:
    """`adamw` is short for `{name: adamw}`."""
    return {"name": value} if isinstance(value, str) else value


def as_tuple(value: object) -> object:
    """A record's list."""
    return tuple(value) if isinstance(value, list) else value


def with_name(name: str, value: object) -> object:
    """A mapping without a name means the default: `{weight_decay: 0.0}`."""
    value = named(value)
    return {"name": name, **value} if isinstance(value, dict) else value


def defaulted(name: str) -> Callable[[object], object]:
    """`with_name` of this one."""
    return partial(with_name, name)


Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Side = Annotated[int, Field(ge=8, le=10**4)]


def as_storable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that a signature and a record can hold."""
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "an argument must be a finite number, text, true, false, or a list or mapping of these"
        ) from error
    return arguments


Arguments = Annotated[dict[str, Any], AfterValidator(as_storable)]


class Weights(Settings):
    """A file of weights, known by what is in it: its name and place are not signed."""

    file: str = Field(json_schema_extra=UNSIGNED)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
