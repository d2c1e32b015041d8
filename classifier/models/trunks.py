"""Networks of torchvision and timm without their last layer, which our head stands for.

A trunk gives one row of features an image. What was the library's last part is left out like this:

- one linear layer: it alone;
- an MLP: its last layer, so that what is before it keeps its weights;
- a convolution of pooled maps: as a linear layer, which it is. SqueezeNet's comes before its
  pooling, with a ReLU; without the ReLU the mean of its answers is its answer to the mean;
- two heads, one of them for distillation by a token (DeiT, LeViT, PiT, EfficientFormer): the
  library answers with the mean of both. Both are left out, and the features are what it
  calls the features of both, by `reset_classifier(0)`: their mean, or, where they have
  features of their own (CrossViT, EfficientViM), all of them;
- none (DINOv2, SigLIP, AIMv2, RADIO): the pooled features are what the network gives;
- auxiliary heads (GoogLeNet, Inception v3): they are built only to read pretrained weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors import SafetensorError
from timm.models import load_model_config_from_hf
from timm.models._efficientnet_builder import BN_EPS_TF_DEFAULT
from timm.models.metaformer import MlpHead
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings
from torchvision.ops import StochasticDepth

from classifier.basics.errors import UserError
from classifier.basics.hub import told_by_us
from classifier.models import catalogue

_NOT_HAD = (OSError, HTTPException, RuntimeError, EOFError, UnpicklingError)
"""No network, a cut download (its hash is a RuntimeError's), a damaged file."""
_AUXILIARY = ("googlenet", "inception_v3")
"""torchvision's networks with heads for the training alone."""
_OWN_PATHS = ("convnext", "maxvit", "swin")
"""torchvision's networks that give the rate of dropped paths themselves, and take no other."""

AS_PRETRAINED: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"transform_input": True},
    "inception_v3": {"transform_input": True},
    "fbnetc_100": {"bn_eps": BN_EPS_TF_DEFAULT},
}
"""What a library sets along with pretrained weights, by its name of the network."""


@dataclass(frozen=True)
class Wish:
    """How a trunk is built. What is None is the library's own."""

    pretrained: str | None = None
    """The name of the weights; `default` for the library's choice; None: initial ones."""
    image_size: int | None = None
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    as_pretrained: bool = False
    """Built as for pretrained weights, but without them: what a checkpoint began from."""


@dataclass(frozen=True)
class Trunk:
    module: nn.Module
    """Images (N, 3, H, W) -> features (N, F)."""
    features: int
    final: str = ""
    """The library's path of the one layer that is left out, as `classifier.1`."""
    side: int | None = None
    """The only image size that it takes, where there is one."""


def trunk_of(model: str, wish: Wish) -> Trunk:
    """The trunk of a name of ours or of a library's.

    Raises UserError for a name that neither library has, for a network that gives no row of
    features, and for weights and settings that it can't have.
    """
    library, name = _library(model)
    of_library = _torchvision if library == "torchvision" else _timm
    try:
        return of_library(name, wish, model)
    except TypeError as error:
        for setting in ("drop_rate", "drop_path_rate"):
            if getattr(wish, setting) is not None and "unexpected keyword" in str(error):
                raise UserError(f"model '{model}' takes no '{setting}': {error}") from error
        raise


def _library(model: str) -> tuple[catalogue.Library, str]:
    if model in catalogue.MODELS:
        entry = catalogue.MODELS[model]
        return entry.library, entry.name
    if model in torchvision.models.list_models(module=torchvision.models):
        return "torchvision", model
    if timm.is_model(model) or model.startswith(catalogue.HUB):
        return "timm", model
    raise UserError(f"unknown model '{model}': neither torchvision nor timm has it")


# torchvision


def _torchvision(name: str, wish: Wish, model: str) -> Trunk:
    weights = None if wish.pretrained is None else _weights(name, wish.pretrained)
    network = _torchvisions_network(name, wish, weights, model)
    if wish.drop_path_rate is not None and name.startswith(_OWN_PATHS):
        _drop_paths(network, wish.drop_path_rate)
    side = getattr(network, "image_size", None)
    if name.startswith("maxvit"):
        side = wish.image_size or 224
    if isinstance(network, torchvision.models.SqueezeNet):
        convolution = cast(nn.Conv2d, network.classifier[1])
        for place in range(3):  # dropout, convolution, ReLU
            network.classifier[place] = nn.Identity()
        return Trunk(network, convolution.in_channels, "classifier.1")
    path = _last_linear(network)
    linear = cast(nn.Linear, network.get_submodule(path))
    parent_path, _, child = path.rpartition(".")
    parent = network.get_submodule(parent_path)
    setattr(parent, child, nn.Identity())
    # The dropout in front of the layer belongs to the head, and the head brings its own.
    if isinstance(parent, nn.Sequential) and isinstance(parent[-2:][0], nn.Dropout):
        parent[-2] = nn.Identity()
    if name in _AUXILIARY:
        cast(Any, network).dropout = nn.Identity()
    return Trunk(network, linear.in_features, path, side)


def _weights(name: str, pretrained: str) -> Any:
    wanted = "DEFAULT" if pretrained == "default" else pretrained
    try:
        return torchvision.models.get_model_weights(name)[wanted]
    except (KeyError, ValueError) as error:
        message = f"{name} has no weights '{pretrained}' in torchvision: {error}"
        raise UserError(message) from error


def _torchvisions_network(name: str, wish: Wish, weights: Any, model: str) -> nn.Module:
    given = _torchvisions_arguments(name, wish)
    state = None
    try:
        if weights is not None and not _fits(given, weights):
            # Its builder takes weights at their own size only; they are read here instead.
            state, weights = weights.get_state_dict(progress=True, check_hash=True), None
        network: nn.Module = torchvision.models.get_model(name, weights=weights, **given)
    except _NOT_HAD as error:
        if weights is None:
            raise
        raise _no_torch_hub_weights(model, weights.url, error) from error
    if state is not None:
        if "image_size" in given:
            state = interpolate_embeddings(
                given["image_size"], cast(Any, network).patch_size, state
            )
        network.load_state_dict(state)
    if name in _AUXILIARY:
        _without_auxiliary(network)
    return network


def _without_auxiliary(network: nn.Module) -> None:
    """Pretrained weights have brought them."""
    for head in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, head):
            setattr(network, head, None)
    cast(Any, network).aux_logits = False


def _torchvisions_arguments(name: str, wish: Wish) -> dict[str, Any]:
    given = dict(AS_PRETRAINED.get(name, {})) if wish.as_pretrained else {}
    if name in _AUXILIARY and wish.pretrained is None:
        given |= {"aux_logits": False, "init_weights": True}
    if wish.image_size is not None and name.startswith("vit_"):
        given["image_size"] = wish.image_size
    if wish.image_size is not None and name.startswith("maxvit"):
        given["input_size"] = (wish.image_size, wish.image_size)
    if wish.drop_rate is not None:
        given["drop_rate" if name.startswith("densenet") else "dropout"] = wish.drop_rate
    if wish.drop_path_rate is not None and not name.startswith(_OWN_PATHS):
        given["stochastic_depth_prob"] = wish.drop_path_rate
    return given


def _drop_paths(network: nn.Module, rate: float) -> None:
    """Scale the rates of paths, which grow by depth, so that the last one is `rate`."""
    paths = [each for each in network.modules() if isinstance(each, StochasticDepth)]
    most = max(each.p for each in paths)
    for each in paths:
        each.p *= rate / most


def _fits(given: dict[str, Any], weights: Any) -> bool:
    own = tuple(weights.meta["min_size"])
    return bool(given.get("image_size", own[0]) == own[0] and given.get("input_size", own) == own)


def _last_linear(network: nn.Module) -> str:
    """The path of the layer that gives the 1,000 classes."""
    modules = dict(network.named_modules())
    linears: list[str] = [
        path
        for path, module in modules.items()
        if isinstance(module, nn.Linear) and module.out_features == 1000
    ]
    leaves = [path for path, module in modules.items() if not list(module.children())]
    if len(linears) != 1 or linears != leaves[-1:]:
        raise UserError("its last layer is no linear one, which the head would replace")
    return linears[0]


# timm


def _timm(name: str, wish: Wish, model: str) -> Trunk:
    tagged = name if wish.pretrained in (None, "default") else f"{name}.{wish.pretrained}"
    known = catalogue.known_of(model)
    is_fixed = known is None or known.built
    side, given = _timms_side(tagged, wish) if is_fixed else (None, {})
    if wish.as_pretrained:
        given |= AS_PRETRAINED.get(name, {})
    if wish.drop_path_rate is not None:
        given["drop_path_rate"] = wish.drop_path_rate
    # drop_rate=0: some timm models (ghostnet_100) drop in a function that no module shows.
    given["drop_rate"] = wish.drop_rate or 0.0
    try:
        network = _timms_network(tagged, wish.pretrained, given, model)
    except TypeError:
        if wish.drop_rate is not None:
            raise
        del given["drop_rate"]  # a few have no such argument
        network = _timms_network(tagged, wish.pretrained, given, model)
    if not hasattr(network, "get_classifier"):
        raise UserError(
            f"model '{model}' can't be used: timm's {type(network).__name__} gives features of "
            "each place, and no row of them for an image"
        )
    classifier = network.get_classifier()
    paths = {module: path for path, module in network.named_modules()}
    if isinstance(classifier, MlpHead):
        classifier.fc2, last = nn.Identity(), classifier.fc2
        return Trunk(network, last.in_features, f"{paths[classifier]}.fc2", side)
    network.reset_classifier(0)
    if isinstance(classifier, nn.Linear):
        return Trunk(network, classifier.in_features, paths[classifier], side)
    return Trunk(network, network.head_hidden_size, paths.get(classifier, ""), side)


def _timms_side(tagged: str, wish: Wish) -> tuple[int | None, dict[str, Any]]:
    """The only image size that it will take, if there is one, and how that is asked for."""
    if tagged.startswith(catalogue.HUB):
        try:
            with told_by_us():
                read = load_model_config_from_hf(tagged.removeprefix(catalogue.HUB))
            source: dict[str, Any] = read[0]
        except _NOT_HAD as error:
            raise _no_hub_model(tagged, error) from error
    else:
        found = timm.get_pretrained_cfg(tagged)
        source = found.to_dict() if found is not None else {}
    if not source.get("fixed_input_size"):
        return None, {}
    own = source["input_size"][-1]
    if wish.image_size in (None, own):
        return own, {}
    return wish.image_size, {"img_size": wish.image_size}


def _timms_network(tagged: str, pretrained: str | None, given: dict[str, Any], model: str) -> Any:
    try:
        with told_by_us():
            return timm.create_model(tagged, pretrained=pretrained is not None, **given)
    except (OSError, SafetensorError) as error:
        if tagged.startswith(catalogue.HUB):
            raise _no_hub_model(tagged, error) from error
        source = timm.get_pretrained_cfg(tagged)
        if not source.hf_hub_id:
            raise _no_torch_hub_weights(model, source.url, error) from error
        cache = constants.HF_HUB_CACHE
        folder = Path(cache, f"models--{source.hf_hub_id.replace('/', '--')}")
        file = f"{source.hf_hub_id}/{source.hf_hub_filename or 'model.safetensors'}"
        how = f"copy the folder {folder} from a machine that has it"
        raise _no_weights(model, file, cache, how, error) from error
    except RuntimeError as error:
        if pretrained is None:
            raise
        name = tagged.removesuffix(f".{pretrained}")
        raise UserError(f"{name} has no weights '{pretrained}' in timm: {error}") from error


def _no_hub_model(model: str, error: Exception) -> UserError:
    repository = model.removeprefix(catalogue.HUB).partition("@")[0]
    folder = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}")
    return UserError(
        f"model '{model}' can't be had: it is not in {folder} and can't be fetched "
        f"({_first_line(error)}). Connect this machine, or copy that folder from one that has it"
    )


def _no_torch_hub_weights(model: str, url: str, error: Exception) -> UserError:
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
