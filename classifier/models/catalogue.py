"""The models of the tables, and what is known of them without importing torch.

FLOPs and parameters are those of the network as it is trained here (head with 1,000 classes,
224 x 224), counted by torch's FlopCounterMode; tests/classifier/test_models.py counts again.
`rdrop_passes` is how often R-Drop runs the trunk (once where all randomness sits in the head).
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.machine import versions
from classifier.basics.names import nearest
from classifier.models.known import Known, table

_log = logging.getLogger(__name__)

Library = Literal["torchvision", "timm"]


@dataclass(frozen=True)
class Model:
    library: Library
    name: str
    """The library's name of it."""
    weights: str
    """What `pretrained: true` means: the weights of 2022, when the tables were measured."""
    gflop: float
    """10^9 floating-point operations of one image's forward pass at 224 x 224."""
    parameters: int
    layers: int
    """Modules without modules of their own: convolutions, norms, activations."""
    rdrop_passes: int


HUB = "hf-hub:"
"""Begins the name of a model of the Hugging Face hub, as timm takes it: `hf-hub:OWNER/NAME`, also
with `@REVISION`."""

_HUB_NAME = re.compile(rf"{HUB}[\w.-]+/[\w.-]+(@[\w./-]+)?", re.ASCII)

LAYER = 1.3e-4
"""What a layer takes of an image of any size, against the root of its operations at 224 x 224."""

MODELS: dict[str, Model] = {
    "mobilenetv2": Model("torchvision", "mobilenet_v2", "IMAGENET1K_V1", 0.602, 3504872, 143, 1),
    "resnet50": Model("torchvision", "resnet50", "IMAGENET1K_V1", 8.178, 25557032, 128, 1),
    "resnext50": Model("torchvision", "resnext50_32x4d", "IMAGENET1K_V1", 8.461, 25028904, 128, 1),
    "densenet121": Model("torchvision", "densenet121", "IMAGENET1K_V1", 5.668, 7978856, 368, 1),
    "efficientnet_v2_s": Model(
        "torchvision", "efficientnet_v2_s", "IMAGENET1K_V1", 5.7, 21458488, 487, 2
    ),
    "ghostnet": Model("timm", "ghostnet_100", "in1k", 0.282, 5182508, 275, 1),
    "RepVGG-A0": Model("timm", "repvgg_a0", "rvgg_in1k", 3.025, 9108968, 240, 1),
}


def default_weights(model: str) -> str:
    """The name of the weights that `pretrained: true` asks for; `default` outside the catalogue."""
    return MODELS[model].weights if model in MODELS else "default"


def forward_gflop(model: str, image_size: int) -> float | None:
    """10^9 operations of one image's forward pass, or None for a model outside the catalogue.

    Scaled by area from 224 x 224: convolutions, nearly all of the work, scale exactly so.
    """
    entry = MODELS.get(model)
    return None if entry is None else entry.gflop * (image_size / 224) ** 2


_LIST_TRANSFORMS = """
import albumentations, inspect, json
kinds = (albumentations.BasicTransform, albumentations.BaseCompose)
found = {
    name: [p for p in inspect.signature(kind.__init__).parameters if p not in ("self", "kwargs")]
    for name, kind in vars(albumentations).items()
    if inspect.isclass(kind) and issubclass(kind, kinds) and not inspect.isabstract(kind)
}
print(json.dumps(found))
"""

_LIST_MODELS = """
import json, timm, torchvision
names = torchvision.models.list_models(module=torchvision.models) + timm.list_models()
print(json.dumps(sorted(set(names))))
"""


@cache
def relative_seconds(model: str, image_size: int) -> float | None:
    """What an image takes in one network against another, in no unit; None outside the catalogue.

    Seconds do not grow with operations alone: small networks are bound by memory, and small images
    by the layers that they go through. On one core of a CPU a training's steps of 224 x 224 went by
    the square root of the operations, within a third for all but RepVGG-A0 (half of that), and to
    32 x 32 came about as much for the layers.
    """
    entry = MODELS.get(model)
    if entry is None:
        return None
    return math.sqrt(entry.gflop) * (image_size / 224) ** 2 + LAYER * entry.layers


def library_models() -> tuple[str, ...]:
    """All other names of torchvision's and timm's classifiers."""
    key = f"{versions()['torchvision']}-{versions()['timm']}"
    return tuple(_listed_once("the models of torchvision and timm", f"models-{key}", _LIST_MODELS))


def known_of(model: str) -> Known | None:
    """What the table of networks has of a name; None of one that it has not."""
    return table().get(MODELS[model].name if model in MODELS else model)


def check_model(model: str, own: Iterable[str] = ()) -> None:
    """Raises UserError for a model that can't be used, with the nearest name for one that neither
    library has. `own`: names of the user's, which may be meant."""
    if model.startswith(HUB):
        if not _HUB_NAME.fullmatch(model):
            raise UserError(f"model '{model}' is no name on the hub: write {HUB}OWNER/NAME")
    elif model not in MODELS and model not in library_models():
        _check_tag(model)
        hint = nearest(model, [*MODELS, *library_models(), *own])
        raise UserError(f"unknown model '{model}'{hint or ': neither torchvision nor timm has it'}")
    found = known_of(model)
    if found is not None and found.refused:
        raise UserError(f"model '{model}' can't be used: {found.refused}")


def _check_tag(model: str) -> None:
    """Raises UserError for a name with its weights behind a dot, as timm also takes it."""
    name, dot, tag = model.partition(".")
    if not dot or name not in library_models():
        return
    found = known_of(name)
    is_timms = found is not None and found.library == "timm"
    mend = f"model '{name}' with 'pretrained: {tag}'" if is_timms else f"'{HUB}timm/{model}'"
    raise UserError(f"model '{model}' names weights behind its dot: write {mend}")


def check_side(model: str, side: int) -> None:
    """Raises UserError for an image size that a network does not take, with those that it does."""
    found = known_of(model)
    if found is not None and not found.takes(side):
        raise UserError(f"model '{model}' takes no images of {side} x {side}: {found.sides}")


def check_eval_size(model: str, side: int, evaluated: int) -> None:
    """Raises UserError for another size to evaluate at, where a network does not take it. `side`:
    of the images it is trained with."""
    found = known_of(model)
    if found is not None and found.built and evaluated != side:
        raise UserError(
            f"model '{model}' is built for its training's {side} x {side} and takes no images of "
            f"{evaluated} x {evaluated}: leave 'eval_size' out"
        )
    check_side(model, evaluated)


def check_setting(model: str, setting: str) -> None:
    """Raises UserError for one of `drop_rate`, `drop_path_rate` and `layer_decay` that a network
    has not."""
    found = known_of(model)
    if found is not None and setting not in found.settings:
        raise UserError(
            f"model '{model}' has no '{setting}': {found.lacks(setting)}. Leave it out, or set it "
            "to null where a recipe brings it"
        )


def check_pretrained(model: str, pretrained: str) -> None:
    """Raises UserError for weights by a name where a model is one set of them."""
    if model.startswith(HUB) and pretrained != "default":
        raise UserError(
            f"model '{model}' is one set of weights, so 'pretrained' is true or false, "
            f"not '{pretrained}'; another revision is {HUB}OWNER/NAME@REVISION"
        )


def check_teacher(model: str, side: int, students: int) -> None:
    """Raises UserError for a teacher that takes images of the size it was trained with only, and a
    student with images of another."""
    found = known_of(model)
    if found is not None and found.built and side != students:
        raise UserError(
            f"the teacher's model '{model}' takes images of its own training's {side} x {side} "
            f"only, and the student's are {students} x {students}: give both one image_size"
        )


@cache
def albumentations_arguments() -> dict[str, list[str]]:
    """The names of albumentations' transforms, each with those of its arguments."""
    key = version("albumentations")
    arguments = _listed_once("albumentations", f"albumentations-{key}", _LIST_TRANSFORMS)
    return dict(arguments)


def check_transform(name: str, arguments: Iterable[str]) -> None:
    """Raises UserError, with the nearest name, for a transform or an argument that albumentations
    does not have."""
    transforms = albumentations_arguments()
    if name not in transforms:
        raise UserError(f"albumentations has no '{name}'{nearest(name, transforms)}")
    for argument in arguments:
        if argument not in transforms[name]:
            hint = nearest(argument, transforms[name])
            raise UserError(f"albumentations' {name} takes no '{argument}'{hint}")


def _listed_once(what: str, key: str, code: str) -> Any:
    """What `code` prints as JSON. A child process runs it, since it imports torch; the answer is
    kept in the cache folder under `key`, the installed versions."""
    kept = cache_folder("libraries") / f"{key}.json"
    try:
        return json.loads(kept.read_bytes())
    except (OSError, ValueError):
        _log.info("listing %s (once) ...", what)
    listed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )
    if listed.returncode != 0:
        raise UserError(f"{what} can't be listed:\n{listed.stderr}")
    write_atomically(kept, listed.stdout.encode())
    return json.loads(listed.stdout)
