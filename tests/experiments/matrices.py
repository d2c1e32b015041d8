"""Matrices made at random from the models that check them, with the short forms."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from hypothesis import strategies as st
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from classifier.basics.settings import Settings, named, off, switch, with_name
from classifier.basics.users import Plugin
from classifier.config.optimizers import library_optimizers
from classifier.config.spec import ArmSettings
from classifier.data.spec import DataSpec
from experiments.matrix.schema import COSTS, METRICS, Benchmark, Column, FormSettings

Values = st.SearchStrategy[Any]
Matrix = dict[str, Any]

BY_HAND: dict[str, Values] = {
    "model": st.sampled_from(["mobilenetv2", "ghostnet", "RepVGG-A0"]),
    "pretrained": st.booleans() | st.none(),
    "albumentations": st.lists(
        st.sampled_from(
            [
                *("HorizontalFlip", {"Rotate": {"limit": 10}}, {"HorizontalFlip": None}),
                {"OneOf": {"transforms": ["HorizontalFlip", {"Rotate": {"limit": 5}}]}},
                {"name": "Rotate", "arguments": {"limit": 3}},
            ]
        )
    ),
    "weights": st.sampled_from([False, None]),
}
"""Settings whose values the loader looks up elsewhere."""


def _limits(marks: Sequence[Any]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for mark in marks:
        for each in mark.metadata if isinstance(mark, FieldInfo) else [mark]:
            match each:
                case Ge(ge):
                    limits |= {"min_value": ge}
                case Gt(gt):
                    limits |= {"min_value": gt, "exclude_min": True}
                case Le(le):
                    limits |= {"max_value": le}
                case Lt(lt):
                    limits |= {"max_value": lt, "exclude_max": True}
    return limits


def _numbers(kind: type, limits: dict[str, Any]) -> Values:
    if kind is float:
        limits = {"max_value": 1e6, **limits}
        return st.floats(allow_nan=False, **{"min_value": -1e6, **limits})
    least = limits.get("min_value", -5)
    return st.integers(least, min(limits.get("max_value", least + 90), least + 90))


def values(annotation: Any, marks: Sequence[Any] = ()) -> Values:
    """What may be written where a field has this annotation."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return values(inner, [*more, *marks])
    return _with_short_forms(_plain(annotation, marks), annotation, marks)


def _plain(annotation: Any, marks: Sequence[Any]) -> Values:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(each, marks) for each in arguments))
    if origin is tuple:
        pair = st.lists(values(arguments[0]), min_size=2, max_size=2)
        return pair.map(sorted)  # a range
    if annotation in (int, float):
        return _numbers(annotation, _limits(marks))
    if annotation is types.NoneType:
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.sampled_from(["a", "b c"])
    if isinstance(annotation, type) and issubclass(annotation, Plugin):
        return st.nothing()
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return mapping(annotation)
    return st.just({})


def mapping(kind: type[Settings], leave_out: Sequence[str] = ()) -> Values:
    """Some of its settings; a name always, and all that is needed."""
    fields = {n: f for n, f in kind.model_fields.items() if n not in leave_out}
    made = {name: values(field.annotation, field.metadata) for name, field in fields.items()}
    match kind.__name__:
        case "LibraryOptimizer":
            made = {"name": st.sampled_from(sorted(library_optimizers()))}
        case "TimmRandAugment":
            made["policy"] = st.sampled_from(["rand-m9-mstd0.5-inc1", "rand-n2"])
    needed = {name for name in made if name == "name" or fields[name].is_required()}
    return st.fixed_dictionaries(
        {name: made[name] for name in needed},
        optional={name: made[name] for name in made.keys() - needed},
    )


def _with_short_forms(plain: Values, annotation: Any, marks: Sequence[Any]) -> Values:
    for mark in marks:
        function: Any = mark.func if isinstance(mark, BeforeValidator) else None
        function = function.func if isinstance(function, partial) else function
        if function is switch:
            plain |= st.booleans()
        elif function is off:
            plain |= st.just(False)
        elif function in (named, with_name):
            plain |= plain.filter(lambda value: isinstance(value, dict)).map(itemgetter("name"))
    return plain


def _settings() -> dict[str, Values]:
    fields = {
        name: values(field.annotation, field.metadata)
        for name, field in ArmSettings.model_fields.items()
        if name not in ("data", "own_model", "seed", "own_tricks", "distill", *BY_HAND)
    }
    return fields | BY_HAND | {"recipe": st.sampled_from(["a3", "torchvision", False, None])}


SETTINGS = _settings()
"""What may be written under each setting of an arm."""
DATA = st.one_of(
    st.sampled_from(["digits", "cifar10"]),
    st.builds(
        lambda place, rest: {**place, **rest},
        st.sampled_from(
            [{"name": "digits"}, {"folder": "birds"}, {"hf": "a/b"}, {"hf": {"name": "a/b"}}]
        ),
        mapping(DataSpec, ("name", "folder", "hf", "own", "fold", "labels", "group")),
    ),
)
SPEEDS = ("fps", "images_per_second")
_FORM = ("digits", "percent", "spread", "margin", "hide", "against", "show")
_REST = ("header", "own", "metric", "where", "data", "stage")


def _columns(metrics: Sequence[str], needed: Sequence[str], leave_out: Sequence[str]) -> Values:
    """Of these metrics, mostly with what goes with them."""
    made = mapping(Column, (*_REST, *_FORM, *needed, *leave_out))
    parts = st.sampled_from(["train", "val"])
    return st.builds(
        lambda rest, *given: {
            "header": "H",
            **dict(zip(("metric", *needed), given, strict=True)),
            **rest,
        },
        made,
        st.sampled_from(metrics),
        *(parts for _ in needed),
    )


COLUMN = st.one_of(
    _columns([m for m in METRICS if m not in (*SPEEDS, *COSTS)], ["split"], ["batch_size"]),
    _columns(SPEEDS, [], ["split", "tta"]),
    _columns(COSTS, [], ["split", "tta", "precision", "batch_size"]),
    st.just({"header": "H", "stage": "train", "margin": 0.01, "hide": False}),
)


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """A whole matrix, not always one that the loader takes: settings may not go together."""
    chosen = draw(st.lists(st.sampled_from(sorted(SETTINGS)), min_size=2, max_size=6, unique=True))
    shared, own = chosen[::2], chosen[1::2]
    train = {name: draw(SETTINGS[name]) for name in shared}
    train.setdefault("model", "mobilenetv2")
    made: Matrix = {"title": "T", "data": draw(DATA), "train": train}
    if draw(st.booleans()):
        axes = {name: draw(_axis(name)) for name in own if name != "model"} or {
            "ema": [False, True]
        }
        made["matrix"] = axes
        where = {name: each[0] for name, each in axes.items()}
        rows: Any = [{"name": "first", "where": where}]
    else:
        made["runs"] = {
            "plain": {},
            "other": {name: draw(SETTINGS[name]) for name in own},
        }
        rows = draw(st.sampled_from(["runs", [{"name": "a", "where": {"run": "plain"}}]]))
    form = draw(mapping(FormSettings, ["percent"]))
    made["tables"] = {"t": {**form, "rows": rows, "columns": [draw(COLUMN)]}}
    more = {"seeds": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True)}
    return made | draw(
        st.fixed_dictionaries({}, optional={**more, "benchmark": mapping(Benchmark)})
    )


def _axis(name: str) -> Values:
    def as_text(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    return st.lists(SETTINGS[name], min_size=1, max_size=3, unique_by=as_text)


JUNK = st.sampled_from([None, True, False, "junk", "", -1, 0, 0.5, 10**12, [], [1], {}, {"x": 1}])


@st.composite
def mutated(draw: st.DrawFn) -> Matrix:
    """A matrix with one value in it that is another, or a key that is."""
    whole = copy.deepcopy(draw(matrices()))  # parts of it are drawn from lists that stay
    places = list(_places(whole))
    inside, key = draw(st.sampled_from(places))
    if isinstance(inside, dict) and draw(st.booleans()):
        inside[f"{key}{draw(st.sampled_from(['s', '.x', ' ']))}"] = inside.pop(key)
    else:
        inside[key] = draw(JUNK)
    return whole


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    each = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(each):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)
