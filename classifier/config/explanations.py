"""What is wrong with settings, in one sentence with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.basics.settings import Settings, is_switch
from classifier.config.document import Document, Where
from classifier.config.spec import TrainSpec
from classifier.data.augment import Transform
from classifier.models import catalogue
from classifier.models.known import SETTINGS


def check_network(
    spec: TrainSpec,
    document: Document,
    place: Callable[[str], Where],
    own: Collection[str] = (),
) -> None:
    """Raises UserError for a model that can't be used, or that does not go with the image size or
    with a setting. `place`: where a setting is written. `own`: the user's models."""
    model = spec.model
    if model in own:
        return
    with document.errors_at(place("model")):
        catalogue.check_model(model, own)
    with document.errors_at(place("image_size")):
        catalogue.check_side(model, spec.image_size)
    if spec.eval_size is not None:
        with document.errors_at(place("eval_size")):
            catalogue.check_eval_size(model, spec.image_size, spec.eval_size)
    for setting in SETTINGS:
        if getattr(spec, setting) is not None:
            with document.errors_at(place(setting)):
                catalogue.check_setting(model, setting)
    if spec.pretrained is not None:
        with document.errors_at(place("pretrained")):
            catalogue.check_pretrained(model, spec.pretrained)


def check_transforms(transforms: Sequence[Transform], document: Document, where: Where) -> None:
    """Raises UserError for names or arguments that albumentations does not have."""
    for position, transform in enumerate(transforms):
        place = (*where, position)
        with document.errors_at(place):
            catalogue.check_transform(transform.name, transform.arguments)
        check_transforms(transform.transforms, document, place)


def main_detail(error: ValidationError) -> ErrorDetails:
    """The finding to speak of: an unknown key explains a missing one, so it goes first."""
    details = error.errors()
    unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
    # Of `rows`, text or a list: where a list is given, what is wrong in it.
    inside = [detail for detail in details if detail["loc"][-1:] != ("str",)]
    return (unknown or inside or details)[0]


def as_written(loc: Sequence[int | str]) -> Where:
    """A way into the file, without what pydantic calls the choices of a union, as `list[Row]`."""
    return tuple(part for part in loc if not isinstance(part, str) or "[" not in part)


def explain(
    error: ValidationError,
    document: Document,
    where: Where,
    model: type[Settings],
    elsewhere: Collection[str] = (),
    own: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> UserError:
    """Pydantic's finding in one sentence, with the nearest valid name.

    `elsewhere`: the settings of the model that are given in another way, so not to be suggested.
    `own`: by setting, what the user's files let be named there; by an empty one further settings.
    """
    detail = main_detail(error)
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    names = [part for part in as_written(detail["loc"]) if isinstance(part, str)]
    name = names[-1] if names else ""
    if name == "name" and len(names) > 1 and kind not in ("string_type", "missing"):
        name = names[-2]  # `data: {name: digit}`: an unknown data, not an unknown name
    shown = given if isinstance(given, str) else text(given)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    if kind == "extra_forbidden":
        fields = [f for f in _fields_at(model, detail["loc"][:-1]) if f not in elsewhere]
        at_top = len(detail["loc"]) == 1
        fields += own.get("", ()) if at_top else ()
        is_training = at_top and issubclass(model, TrainSpec)
        hint = _known_here_as(name, model, fields) if is_training else ""
        return document.error(where, f"unknown setting '{name}'{hint or nearest(name, fields)}")
    if kind == "missing":
        return document.error(where[:-1], f"'{name}' is missing")
    if kind in ("literal_error", "union_tag_invalid"):
        shown = context.get("tag", shown)
        choices = re.findall(r"'([^']*)'", context.get("expected_tags") or context["expected"])
        choices += own.get(name, ())
        hint = nearest(ALSO_CALLED.get(shown, shown), choices)
        if name == "data":
            hint += "; a folder of your own is {folder: NAME}"
        return document.error(where, f"unknown {name} '{shown}'{hint}")
    if kind == "value_error":
        return document.error(where, str(context["error"]))
    if kind == "string_type" and isinstance(given, int | float):
        return document.error(where, f"'{name}' must be text: write '{shown}', in quotes")
    if kind in ("too_short", "string_too_short"):
        return document.error(where, f"'{name}' is empty")
    if kind == "string_pattern_mismatch":
        why = "it may hold no '|' and no line break" if name != "folder" else "it must be one name"
        return document.error(where, f"'{name}' can't be {text(given)}: {why}")
    return document.error(where, f"'{name}' {_demand(detail, model)}, not '{shown}'")


ALSO_CALLED = MappingProxyType(
    {
        "accumulation_steps": "micro_batch",
        "arch": "model",
        "augmentation": "augment",
        "backbone": "model",
        "bs": "batch_size",
        "ce": "cross_entropy",
        "class_weights": "class_balance",
        "cutmix": "mixing: cutmix",
        "cutout": "erasing",
        "distillation": "distill",
        "drop_path": "drop_path_rate",
        "early_stopping": "patience",
        "fp16": "amp",
        "grad_accum": "micro_batch",
        "gradient_accumulation_steps": "micro_batch",
        "grad_clip": "clip_grad",
        "kd": "distill",
        "learning_rate": "lr",
        "max_grad_norm": "clip_grad",
        "mixed_precision": "amp",
        "mixup": "mixing: mixup",
        "model_ema": "ema",
        "random_erasing": "erasing",
        "stochastic_depth": "drop_path_rate",
        "transforms": "albumentations",
        "wd": "optimizer.weight_decay",
    }
)
"""What others call settings, and values, by how they are written here."""


def _known_here_as(name: str, model: type[Settings], fields: Collection[str]) -> str:
    """Of a setting of trainings that others call so, or that stands inside another one here."""
    if name.lower() in ALSO_CALLED:
        return f"; did you mean '{ALSO_CALLED[name.lower()]}'?"
    inside = [
        f"'{outer}.{name}'"
        for outer in fields
        if outer in model.model_fields
        and any(name in m.model_fields for m in _models_in(model.model_fields[outer].annotation))
    ]
    return f"; did you mean {' or '.join(inside)}?" if 0 < len(inside) <= 3 else ""


def _demand(detail: ErrorDetails, model: type[Settings]) -> str:
    """`must be an integer`: what pydantic says, as a part of a sentence."""
    if detail["type"] in ("model_type", "dict_type"):
        switch_too = is_switch(model.model_fields.get(str(detail["loc"][-1])))
        return f"must be {'true, false or ' if switch_too else ''}a mapping of its settings"
    message = (
        detail["msg"].replace("Input should be", "must be").replace("a valid integer", "an integer")
    )
    return message.replace("a valid ", "a ").partition(",")[0]


def _fields_at(model: type[Settings], loc: Sequence[int | str]) -> list[str]:
    """The settings that may stand at a way into a model."""
    models: list[type[Settings]] = [model]
    for part in loc:
        if not isinstance(part, str):
            continue
        fields = [outer.model_fields[part] for outer in models if part in outer.model_fields]
        inside = [m for field in fields for m in _models_in(field.annotation)]
        # Of a union: pydantic puts the chosen one's name into the way.
        tagged = [
            m
            for m in models
            if "name" in m.model_fields and part in get_args(m.model_fields["name"].annotation)
        ]
        models = inside or tagged or models
    return list(dict.fromkeys(name for inner in models for name in inner.model_fields))


def _models_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [m for inner in get_args(annotation) for m in _models_in(inner)]


def text(value: Any) -> str:
    """Canonical text, for comparing values: true is not 1, the order of keys does not count."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
