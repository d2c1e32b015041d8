"""Networks of torchvision and timm as one shape: a trunk that gives features, and our head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors import SafetensorError
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.randomness import keyed
from classifier.models import catalogue, onednn

DROPOUT = 0.2
_NOT_HAD = (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError)
"""No network, a cut download (its hash is a RuntimeError's), a damaged file."""


class Network(nn.Module):
    """`trunk`: images (N, 3, H, W) -> features (N, F). `head`: Dropout(0.2), Linear(F, classes).

    `final` is the library's path of the layer that the head stands for, as `classifier.1`.
    """

    def __init__(self, trunk: nn.Module, features: int, classes: int, final: str = "") -> None:
        super().__init__()
        self.trunk = trunk
        self.classes = classes
        self.final = final
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return cast(Tensor, self.head(self.trunk(images)))


MakeTrunk = Callable[[int], tuple[nn.Module, int]]
"""Classes -> a trunk, and how many features it makes."""


def build(
    model: str,
    classes: int,
    *,
    seed: int,
    pretrained: str | None = None,
    trunk: MakeTrunk | None = None,
) -> Network:
    """A network with initial weights that depend on `seed` alone, or pretrained ones. `trunk`:
    makes that of a model which is the user's.

    Raises UserError for a name that neither library has, for a model without one final linear
    layer, and for weights that can't be had.
    """
    with keyed(seed, "initial weights"):
        if trunk is not None:
            return Network(*trunk(classes), classes)
        library, name = _library(model)
        of_library = _torchvision_trunk if library == "torchvision" else _timm_trunk
        built, features, final = of_library(name, pretrained, model)
        return Network(built, features, classes, final)


def _library(model: str) -> tuple[catalogue.Library, str]:
    if model in catalogue.MODELS:
        entry = catalogue.MODELS[model]
        return entry.library, entry.name
    if model in torchvision.models.list_models(module=torchvision.models):
        return "torchvision", model
    if timm.is_model(model):
        return "timm", model
    raise UserError(f"unknown model '{model}': neither torchvision nor timm has it")


def _torchvision_trunk(name: str, pretrained: str | None, model: str) -> tuple[nn.Module, int, str]:
    weights = None
    if pretrained is not None:
        wanted = "DEFAULT" if pretrained == "default" else pretrained
        try:
            weights = torchvision.models.get_model_weights(name)[wanted]
        except (KeyError, ValueError) as error:
            message = f"{name} has no weights '{pretrained}' in torchvision: {error}"
            raise UserError(message) from error
    try:
        network = torchvision.models.get_model(name, weights=weights)
    except _NOT_HAD as error:
        if weights is None:
            raise
        raise _no_hub_weights(model, weights.url, error) from error
    modules = dict(network.named_modules())
    linears = [
        path
        for path, module in modules.items()
        if isinstance(module, nn.Linear) and module.out_features == 1000
    ]
    leaves = [path for path, module in modules.items() if not list(module.children())]
    if linears != leaves[-1:]:
        raise UserError(f"model '{name}' has no single final linear layer, which the head replaces")
    path = linears[0]
    parent_path, _, child = path.rpartition(".")
    parent = network.get_submodule(parent_path)
    setattr(parent, child, nn.Identity())
    # The dropout in front of the layer belongs to the head, and the head brings its own.
    if isinstance(parent, nn.Sequential) and isinstance(parent[-2:][0], nn.Dropout):
        parent[-2] = nn.Identity()
    return network, modules[path].in_features, path


def _timm_trunk(name: str, pretrained: str | None, model: str) -> tuple[nn.Module, int, str]:
    tagged = name if pretrained in (None, "default") else f"{name}.{pretrained}"
    try:
        # drop_rate=0: some timm models (ghostnet_100) drop in a function that no module shows.
        network = timm.create_model(tagged, pretrained=pretrained is not None, drop_rate=0.0)
    except RuntimeError as error:
        raise UserError(f"{name} has no weights '{pretrained}' in timm: {error}") from error
    except (OSError, SafetensorError) as error:
        source = timm.get_pretrained_cfg(tagged)
        if not source.hf_hub_id:
            raise _no_hub_weights(model, source.url, error) from error
        cache = constants.HF_HUB_CACHE
        folder = Path(cache, f"models--{source.hf_hub_id.replace('/', '--')}")
        file = f"{source.hf_hub_id}/{source.hf_hub_filename or 'model.safetensors'}"
        how = f"copy the folder {folder} from a machine that has it"
        raise _no_weights(model, file, cache, how, error) from error
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise UserError(f"model '{name}' has no single final linear layer, which the head replaces")
    path = next(path for path, module in network.named_modules() if module is classifier)
    network.reset_classifier(0)
    return cast(nn.Module, network), classifier.in_features, path


def _no_hub_weights(model: str, url: str, error: Exception) -> UserError:
    """For files that torch.hub keeps under their own names."""
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if file.exists():
        return UserError(
            f"the pretrained weights of {model} can't be read from {file} ({_first_line(error)}): "
            "delete it to have it fetched again"
        )
    how = f"put {url} there"
    return _no_weights(model, file.name, str(file.parent), how, error)


def _no_weights(model: str, file: str, place: str, how: str, error: Exception) -> UserError:
    return UserError(
        f"the pretrained weights of {model} can't be had: {file} is not in {place} and can't be "
        f"fetched ({_first_line(error)}). Connect this machine, {how}, or put the file under the "
        "data root and set 'weights: FILE' (train's --weight) in place of 'pretrained'"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def maps_of(
    network: Network, size: int, device: torch.device
) -> list[tuple[str, nn.Module, torch.Size]]:
    """Path, module and shape of all that the trunk makes of an image and has four dimensions, in
    the order in which it is made. Found by hooks in a pass over `size` x `size` zeros."""
    maps: list[tuple[str, nn.Module, torch.Size]] = []

    def watch(path: str, module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            maps.append((path, module, output.shape))

    modules = network.trunk.named_modules()
    hooks = [module.register_forward_hook(partial(watch, path)) for path, module in modules]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval().trunk(torch.zeros(1, 3, size, size, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return maps


def prepare_for_gradients(network: Network, device: torch.device) -> Network:
    """The network itself on its device, in channels_last memory, its gradients right:
    for a training, and for whatever else asks for some."""
    if device.type == "cpu":
        onednn.mend(network)
    return network.to(device).to(memory_format=torch.channels_last)


def fuse(network: Network) -> Network:
    """A copy for inference in which multi-branch blocks (RepVGG) are fused; for others a copy."""
    return cast(Network, reparameterize_model(network, inplace=False))
