"""Networks of torchvision and timm as one shape: a trunk that gives features, and our head."""

from __future__ import annotations

from typing import cast

import timm
import torch
import torchvision
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from classifier import catalogue
from classifier.errors import UserError
from classifier.randomness import keyed

DROPOUT = 0.2


class Network(nn.Module):
    """`trunk`: images (N, 3, H, W) -> features (N, F). `head`: Dropout(0.2), Linear(F, classes)."""

    def __init__(self, trunk: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(features, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        return cast(Tensor, self.head(self.trunk(images)))


def build(model: str, classes: int, *, seed: int, pretrained: str | None = None) -> Network:
    """A network with initial weights that depend on `seed` alone, or pretrained ones.

    Raises UserError for a name that neither library has, for a model without one final linear
    layer, and for weights that can't be had.
    """
    with keyed(seed, "initial weights"):
        library, name = _library(model)
        if library == "torchvision":
            trunk, features = _torchvision_trunk(name, pretrained)
        else:
            trunk, features = _timm_trunk(name, pretrained)
        return Network(trunk, features, classes)


def _library(model: str) -> tuple[catalogue.Library, str]:
    if model in catalogue.MODELS:
        entry = catalogue.MODELS[model]
        return entry.library, entry.name
    if model in torchvision.models.list_models(module=torchvision.models):
        return "torchvision", model
    if timm.is_model(model):
        return "timm", model
    raise UserError(f"unknown model '{model}': neither torchvision nor timm has it")


def _torchvision_trunk(name: str, pretrained: str | None) -> tuple[nn.Module, int]:
    weights: str | None = "DEFAULT" if pretrained == "default" else pretrained
    try:
        network = torchvision.models.get_model(name, weights=weights)
    except (KeyError, ValueError) as error:
        raise UserError(f"{name} has no weights '{pretrained}' in torchvision: {error}") from error
    except OSError as error:
        url = torchvision.models.get_model_weights(name)[str(weights)].url
        raise UserError(
            _no_weights(name, url.rpartition("/")[2], f"{torch.hub.get_dir()}/checkpoints", error)
        ) from error
    linears = [
        (path, module)
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1000
    ]
    modules = list(network.modules())
    if len(linears) != 1 or linears[0][1] is not _last_leaf(modules):
        raise UserError(f"model '{name}' has no single final linear layer, which the head replaces")
    path, linear = linears[0]
    parent_path, _, child = path.rpartition(".")
    parent = network.get_submodule(parent_path)
    setattr(parent, child, nn.Identity())
    # The dropout in front of the layer belongs to the head, and the head brings its own.
    siblings = list(parent.named_children()) if isinstance(parent, nn.Sequential) else []
    names = [name for name, _ in siblings]
    before = names.index(child) - 1 if child in names else -1
    if before >= 0 and isinstance(siblings[before][1], nn.Dropout):
        setattr(parent, names[before], nn.Identity())
    return network, linear.in_features


def _last_leaf(modules: list[nn.Module]) -> nn.Module:
    return [module for module in modules if not list(module.children())][-1]


def _timm_trunk(name: str, pretrained: str | None) -> tuple[nn.Module, int]:
    tagged = name if pretrained in (None, "default") else f"{name}.{pretrained}"
    try:
        # drop_rate=0: some timm models (ghostnet_100) drop in a function that no module shows.
        network = timm.create_model(tagged, pretrained=pretrained is not None, drop_rate=0.0)
    except RuntimeError as error:
        raise UserError(f"{name} has no weights '{pretrained}' in timm: {error}") from error
    except OSError as error:
        source = timm.get_pretrained_cfg(tagged)
        wanted = f"{source.hf_hub_id}/model.safetensors" if source else tagged
        raise UserError(_no_weights(name, wanted, "the Hugging Face cache", error)) from error
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise UserError(f"model '{name}' has no single final linear layer, which the head replaces")
    network.reset_classifier(0)
    return cast(nn.Module, network), classifier.in_features


def _no_weights(name: str, wanted: str, place: str, error: Exception) -> str:
    return (
        f"the pretrained weights of {name} could not be had: {wanted} is not in {place} and its "
        f"download failed ({error}). Connect this machine, copy the file there, or set "
        "'pretrained: false'"
    )


def reparameterized(network: Network) -> Network:
    """A copy for inference in which multi-branch blocks (RepVGG) are fused; for others a copy."""
    return cast(Network, reparameterize_model(network, inplace=False))
