"""Weights of a file, of ours or of any other source, for a network to start from."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from classifier.basics.errors import UserError
from classifier.basics.files import CHECKPOINTS
from classifier.models.checkpoint import StateDict
from classifier.models.network import Network

HEAD = ("head.1.weight", "head.1.bias")
PREFIXES = ("", "module.", "_orig_mod.", "model.", "backbone.")
"""What DataParallel, torch.compile and common wrappers put before a model's names."""
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""torchvision's own files have `norm.1.weight` for what the model calls `norm1.weight`."""


def load_weights(network: Network, file: Path, model: str) -> str:
    """Put a file's weights into the network; its types stay, so that FP16 becomes FP32.

    The file is .safetensors or a state dict, with our names or the library's. A head of another
    size is left out. Gives a line on what was loaded, left and missing. Raises UserError for what
    is no state dict or would run code, for a tensor of another shape or not finite, and where
    nothing matches.
    """
    given, own = _read(file), network.state_dict()
    names = _our_names(given, network)
    state = OrderedDict((ours, given[theirs]) for ours, theirs in names.items())
    if HEAD[0] in state:
        state[HEAD[0]] = state[HEAD[0]].flatten(1)  # of a convolution of one pixel
    head = [
        f"{tuple(state[name].shape)} there, {tuple(own[name].shape)} here"
        for name in HEAD
        if name in state and state[name].shape != own[name].shape
    ]
    if head:
        state = OrderedDict((name, tensor) for name, tensor in state.items() if name not in HEAD)
    _check_finite(state, own, file)
    # Modules without a version take old names too; mnasnet alone must have one.
    state._metadata = {"trunk": own._metadata["trunk"]}  # type: ignore[attr-defined]
    try:
        outcome = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        first = str(error).splitlines()[:2][-1].strip()
        raise UserError(f"{file} does not fit {model}: {first}") from error
    loaded = [name for name in state if name not in outcome.unexpected_keys]
    if all(name in HEAD for name in loaded):
        theirs, ours = next(iter(given)), next(iter(own)).removeprefix("trunk.")
        raise UserError(
            f"nothing in {file} fits {model}: its names are as '{theirs}', the model's as '{ours}'"
        )
    left = [names.get(name, name) for name in outcome.unexpected_keys]
    missing = [name.removeprefix("trunk.") for name in outcome.missing_keys]
    missing = [name for name in missing if not (head and name in HEAD)]
    parts = [f"weights {file}: {len(loaded)} of {len(given)} tensors loaded into {model}"]
    parts += [f"its head left out, {head[0]}"] if head else []
    return "; ".join([*parts, f"left: {_listed(left)}", f"missing: {_listed(missing)}"])


def _our_names(given: StateDict, network: Network) -> dict[str, str]:
    """By our names the file's, under the reading that matches most: with or without a prefix, as
    a checkpoint of ours or as the library's model, whose last layer our head stands for."""

    def from_library(name: str) -> str:
        layer, _, kind = name.rpartition(".")
        if layer == network.final:
            return f"head.1.{kind}"
        return "trunk." + _OLD_DENSENET.sub(r"\1\2", name)

    own = network.state_dict().keys()
    readings = []
    for prefix in PREFIXES:
        plain = {name.removeprefix(prefix): name for name in given}
        readings += [plain, {from_library(name): theirs for name, theirs in plain.items()}]
    return max(readings, key=lambda names: len(own & names.keys()))


def _check_finite(state: StateDict, own: StateDict, file: Path) -> None:
    for name in state.keys() & own.keys():
        given = state[name]
        odd = given.is_quantized or given.is_meta or given.is_nested or given.is_complex()
        if odd or given.layout != torch.strided:
            raise UserError(f"{file}: {name.removeprefix('trunk.')} is no plain tensor of numbers")
        tensor = given.to(own[name].dtype)
        if own[name].isfinite().all() and not tensor.isfinite().all():
            raise UserError(f"{file}: {name.removeprefix('trunk.')} holds what is not finite")


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names) or "nothing"


def _read(file: Path) -> StateDict:
    """The tensors of a file by name, on the CPU, read without running code of its."""
    content = _safetensors(file) if file.suffix.lower() in CHECKPOINTS else _pickled(file)
    state = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not state:
        raise UserError(f"{file} holds no tensors by name: a state dict is expected")
    return state


def _safetensors(file: Path) -> dict[str, Any]:
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} can't be read as safetensors: {error}") from error


def _pickled(file: Path) -> dict[Any, Any]:
    """A state dict, or one under 'state_dict' or 'model', as training programs nest it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # the error says it
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what the unpickler raises on a damaged file is of any type
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code:
            raise UserError(
                f"{file} was not read: it holds more than tensors ({code[1]}), and to read that "
                "is to run code. Save the state_dict() of its model alone"
            ) from error
        raise UserError(f"{file} is no state dict, or damaged ({type(error).__name__})") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    return content if isinstance(content, dict) else {}
