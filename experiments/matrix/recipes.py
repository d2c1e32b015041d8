"""Recipes: names for the settings of published trainings, each of which an arm may override.

What a publication's table does not say is left to the settings' defaults. A recipe is expanded when
a matrix is read, so that signatures are those of the settings.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from classifier.basics.settings import named

Settings = dict[str, Any]


def _strikes_back(
    size: int, epochs: int, lr: float, decay: float, magnitude: int, mixup: float
) -> Settings:
    """Wightman, Touvron and Jegou, 2021, "ResNet strikes back", table 2: what its three procedures
    share, and what they differ in."""
    return {
        "image_size": size,
        "epochs": epochs,
        "batch_size": 2048,
        "optimizer": {"name": "lamb", "weight_decay": decay},
        "lr": lr,
        "schedule": {"name": "half_cosine", "by": "epoch"},
        "warmup": {"epochs": 5},
        "loss": {"name": "bce", "label_smoothing": 0.0},
        "crop": {"name": "random_resized"},
        "hflip": 0.5,
        "augment": {"name": "timm", "policy": f"rand-m{magnitude}-mstd0.5-inc1"},
        "mixing": {
            "name": "mixup_or_cutmix",
            "alpha": mixup,
            "cutmix_alpha": 1.0,
            "switch": 0.5,
            "probability": 1.0,
        },
        "amp": True,
        "eval_size": 224,
        "eval_crop": 0.95,
        "normalize": "imagenet",
        "patience": 0,
    }


_TORCHVISION: Settings = {
    # Vryniotis, 2021, "How to train state-of-the-art models using TorchVision's latest primitives".
    "image_size": 176,
    "epochs": 600,
    "batch_size": 1024,
    "optimizer": {
        "name": "sgd",
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 2e-5,
        "decay_on": "all_but_norms",
    },
    "lr": 0.5,
    "schedule": {"name": "half_cosine", "by": "epoch"},
    "warmup": {"epochs": 5, "start_lr": 0.005},
    "loss": {"name": "cross_entropy", "label_smoothing": 0.1},
    "crop": {"name": "random_resized"},
    "hflip": 0.5,
    "augment": "TrivialAugmentWide",
    "erasing": {"probability": 0.1},
    "mixing": {
        "name": "mixup_or_cutmix",
        "alpha": 0.2,
        "cutmix_alpha": 1.0,
        "switch": 0.5,
        "probability": 1.0,
    },
    "repeats": 4,
    # Its decay of 0.99998 is one of an image: of 1,024 x 32 of them in 600 epochs it makes this.
    "ema": {"decay": 0.9989077, "every": 32},
    "eval_size": 224,
    "eval_crop": 224 / 232,
    "normalize": "imagenet",
    "patience": 0,
}

RECIPES: dict[str, Settings] = {
    "a1": _strikes_back(224, 600, 5e-3, 0.01, 7, 0.2)
    | {"loss": {"name": "bce", "label_smoothing": 0.1}, "repeats": 3, "drop_path_rate": 0.05},
    "a2": _strikes_back(224, 300, 5e-3, 0.02, 7, 0.1) | {"repeats": 3, "drop_path_rate": 0.05},
    "a3": _strikes_back(160, 100, 8e-3, 0.02, 6, 0.1),
    "torchvision": _TORCHVISION,
}


def expanded(name: str, given: Mapping[str, Any]) -> Settings:
    """The settings of a recipe with those that are `given` over them.

    A mapping changes parts of the recipe's, unless it names another thing; true, or the name that
    the recipe has there, keeps the recipe's; None leaves a setting, or a part of one, to its
    default. A size of its own is for evaluation too.
    """
    made = copy.deepcopy(RECIPES[name])
    if "image_size" in given:
        del made["eval_size"]
    for setting, value in given.items():
        made[setting] = _over(made[setting], value) if setting in made else value
    return {
        setting: value
        for setting, value in made.items()
        if value is not None or setting not in RECIPES[name]
    }


def changed(name: str, whole: Mapping[str, Any]) -> Settings:
    """What is not a recipe's in settings that were `expanded` from it: parts of a setting by their
    names with a dot; None is what was left to its default."""
    found: Settings = {}
    for setting, value in RECIPES[name].items():
        now = whole.get(setting)
        if (
            isinstance(value, dict)
            and isinstance(now, dict)
            and now.get("name") == value.get("name")
        ):
            parts = [part for part in {**value, **now} if now.get(part) != value.get(part)]
            found |= {f"{setting}.{part}": now.get(part) for part in parts}
        elif now != value:
            found[setting] = now
    return found


def _over(recipes: Any, given: Any) -> Any:
    if isinstance(recipes, dict) and given is True:
        return recipes
    parts = named(given)
    if not isinstance(recipes, dict) or not isinstance(parts, dict):
        return given
    if parts.get("name", recipes.get("name")) != recipes.get("name"):
        return given
    parts = {**recipes, **parts}
    return {
        part: value for part, value in parts.items() if value is not None or part not in recipes
    }
