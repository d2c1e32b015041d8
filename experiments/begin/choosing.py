"""A network, an image size and a length of training for a folder of images, by simple rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from classifier.data.split import Part, sizes
from classifier.models import catalogue
from experiments.begin.looking import Looked

SEEDS = (0, 1, 2)
SIDES = (32, 64, 96, 128, 160, 224)
MOST_ON_CPU = 128
"""Pixels of an image's side."""
LEAST_OF_PHOTOS = 64
"""Fewer images rather than smaller ones, where they have more."""
BATCHES = (64, 32, 16, 8)
STEPS_OF_EPOCH = 20
"""At least so many, where there are images for it."""
STEPS = 400
"""From scratch, fewer tell little of a trick."""
LEAST_EPOCHS, MOST_EPOCHS = 8, 50
EPOCHS_ON_GPU = 30
LEAST_OF_CLASS = 40
"""Images of a class that a first look on a CPU keeps at least."""

MINUTES = 30.0
"""What the trainings may take together on a CPU."""
SECONDS = 0.076
"""What a forward pass takes on a core for each unit of `catalogue.relative_seconds`: from 82 s for
8 epochs of mobilenetv2 on the digits at 32 x 32 (docs/matrix.md, "A table's form"). Another CPU may
take half or twice as long: it chooses epochs, and is shown as what it is."""

MARGIN = 0.02
"""A difference that few would choose a trick for. Nothing about the images says it."""
LEAST_IMAGES = {0.005: 539, 0.01: 268, 0.02: 133, 0.05: 52, 0.1: 25}
"""By margin, from how many images on arms that agree on each of them are shown to be the same
(`reports.statistics.verdicts.same_in_reach`, which takes half a second to import)."""


@dataclass(frozen=True)
class Choice:
    model: str
    image_size: int
    batch_size: int
    epochs: int
    decay: float
    """Of the average of weights, about over the last fifth of the steps."""
    tau: float
    is_gpu: bool
    limit: int | None = None
    """Images of each class, where all would take too long."""
    minutes: float | None = None
    """A rough guess for a CPU; of a GPU nothing is known beforehand."""


def choose(looked: Looked, is_gpu: bool, jobs: int) -> Choice:
    """`jobs`: how many run at a time. On a CPU the largest images, and then all of them, whose
    trainings take about half an hour."""
    if is_gpu:
        side = fitting_sides(looked.side, SIDES[-1])[0]
        batch = batch_size(looked.parts["train"])
        return _choice(looked.parts, side, batch, EPOCHS_ON_GPU, is_gpu=True)
    rounds = math.ceil(len(SEEDS) / jobs)
    limits, fitting = _limits(looked), fitting_sides(looked.side, MOST_ON_CPU)
    sides = [side for side in fitting if side >= min(LEAST_OF_PHOTOS, fitting[0])]
    for limit in limits:
        parts = _parts(looked, limit)
        batch = batch_size(parts["train"])
        wanted = math.ceil(STEPS / math.ceil(parts["train"] / batch))
        wanted = min(max(wanted, LEAST_EPOCHS), MOST_EPOCHS)
        for side in sides:
            minutes = rounds * seconds_of_epoch(side, parts) / 60
            is_last = limit == limits[-1] and side == sides[-1]
            if minutes * LEAST_EPOCHS <= MINUTES or is_last:
                epochs = max(LEAST_EPOCHS, min(wanted, math.floor(MINUTES / minutes)))
                return _choice(parts, side, batch, epochs, limit=limit, minutes=minutes * epochs)
    raise AssertionError("the last is taken")


def _choice(
    parts: Mapping[Part, int],
    side: int,
    batch: int,
    epochs: int,
    is_gpu: bool = False,
    limit: int | None = None,
    minutes: float | None = None,
) -> Choice:
    steps = epochs * math.ceil(parts["train"] / batch)
    window = max(2, steps // 5)
    decay = min(round(1 - 1 / window, 4), 0.9999)
    model = network(side, is_gpu)
    return Choice(model, side, batch, epochs, decay, window / 2, is_gpu, limit, minutes)


def network(side: int, is_gpu: bool) -> str:
    """Of small images one whose many small layers do not mind; of photos a light one on a CPU."""
    if side <= 64:
        return "ghostnet"
    return "resnet50" if is_gpu else "mobilenetv2"


def fitting_sides(short: int, most: int) -> list[int]:
    """Image sizes, the largest first, that show no more than the images have."""
    return [side for side in reversed(SIDES) if side <= most and side <= max(short, SIDES[0])]


def batch_size(train: int) -> int:
    """The largest that leaves an epoch enough steps."""
    enough = [size for size in BATCHES if train >= size * STEPS_OF_EPOCH]
    return enough[0] if enough else BATCHES[-1]


def seconds_of_epoch(side: int, parts: Mapping[Part, int]) -> float:
    """On one core; a backward pass takes two forward passes."""
    relative = catalogue.relative_seconds(network(side, is_gpu=False), side)
    assert relative is not None
    return SECONDS * relative * (3 * parts["train"] + parts["val"])


def margin_in_reach(test: int) -> float:
    """The smallest that so many images leave some room for: arms never agree on all."""
    enough = (margin for margin, images in LEAST_IMAGES.items() if test >= 2 * images)
    return next(enough, max(LEAST_IMAGES))


def _limits(looked: Looked) -> list[int | None]:
    """None first, then ever fewer images of each class; a split that is given keeps all."""
    limits: list[int | None] = [None]
    if looked.data.split != "given" and looked.root is not None:
        least, most = LEAST_OF_CLASS, max(looked.classes.values())
        halves = (most >> shift for shift in range(1, most.bit_length()))
        limits += [half for half in halves if half >= least]
    return limits


def _parts(looked: Looked, limit: int | None) -> Mapping[Part, int]:
    if limit is None or looked.data.split == "given":
        return looked.parts
    parts: dict[Part, int] = {"train": 0, "val": 0, "test": 0}
    for images in looked.classes.values():
        for part, of in sizes(min(images, limit), looked.data.split).items():
            parts[part] += of
    return parts
