"""Checkpoints: the best weights of a track, in FP16, as safetensors.

A checkpoint holds what is needed to use it without the training data: model, class names,
normalisation and image size are its metadata.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from classifier.basics.errors import UserError
from classifier.basics.files import write_whole
from classifier.models.class_names import METADATA
from classifier.models.network import MakeTrunk, Network, build
from classifier.models.trunks import Wish

FORMAT = 1
WORST_LOSS = 1e-3
"""Relative error (2-norm) above which a tensor stays in FP32."""

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class Meta:
    """What a network needs beside its weights. `mean` and `std` are per RGB channel in [0, 1]."""

    model: str
    classes: tuple[str, ...]
    image_size: int
    mean: list[float]
    std: list[float]
    own_model: dict[str, Any] | None = None
    """What makes the model, where it is the user's; else it is not written."""
    eval_crop: float | None = None
    """The share of the short side that the image's size is; not written where it is all of it."""
    as_pretrained: bool | None = None
    """Whether it is built as for pretrained weights; written only where that is another network."""


def to_half(state: StateDict) -> StateDict:
    """CPU copies with floating tensors in FP16, except those that would overflow or lose more than
    1e-3; these stay in FP32."""
    result = {}
    for name, tensor in state.items():
        full = tensor.detach().to("cpu", copy=True).contiguous()
        half = full.half() if full.dtype == torch.float32 else full
        result[name] = full if _loss(full, half) > WORST_LOSS else half
    return result


def _loss(full: Tensor, half: Tensor) -> float:
    if full is half:
        return 0.0
    wide = full.double()
    norm = wide.norm()
    return float((wide - half.double()).norm() / norm) if norm > 0 else 0.0


def save(file: Path, state: StateDict, meta: Meta) -> None:
    """Write a `to_half` state. Not atomic: the folder it lies in is what gets published."""
    about = {
        "format": FORMAT,
        **{name: value for name, value in asdict(meta).items() if value is not None},
        "fp32_tensors": [name for name, tensor in state.items() if tensor.dtype == torch.float32],
    }
    # One entry: safetensors writes several in a random order, and equal runs give equal files.
    metadata = {METADATA: json.dumps(about, sort_keys=True, ensure_ascii=False)}
    write_whole(file, serialized(state, metadata=metadata))


def load(
    file: Path, own: Callable[[dict[str, Any]], MakeTrunk] | None = None
) -> tuple[Network, Meta]:
    """The network in FP32 on the CPU, in eval mode, and its metadata. `own`: what makes the trunk
    of a model which is the user's, from `Meta.own_model`."""
    state, meta = _read(file)
    trunk = own(meta.own_model) if meta.own_model and own else None
    wish = Wish(image_size=meta.image_size, as_pretrained=bool(meta.as_pretrained))
    network = build(meta.model, len(meta.classes), seed=0, wish=wish, trunk=trunk)
    full = OrderedDict(
        (name, tensor.float() if tensor.is_floating_point() else tensor)
        for name, tensor in state.items()
    )
    # Modules' versions, which mnasnet asks for and safetensors does not keep.
    full._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(full)
    return network.eval(), meta


def read_meta(file: Path) -> Meta:
    """What a checkpoint says of itself, without building its network."""
    return _read(file)[1]


def _read(file: Path) -> tuple[StateDict, Meta]:
    """Raises UserError for what is not a checkpoint of ours."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} can't be read as a checkpoint: {error}") from error
    about = json.loads(metadata.get(METADATA, "{}"))
    if about.get("format") != FORMAT:
        raise UserError(f"{file} is not a checkpoint of this program's format {FORMAT}")
    meta = {field.name: about.get(field.name) for field in fields(Meta)}
    return state, Meta(**{**meta, "classes": tuple(about["classes"])})
