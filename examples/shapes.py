"""A second data set for two_data_sets.yaml: drawings that a mirror leaves what they are."""

import math

import numpy as np
from PIL import Image, ImageDraw

from classifier.plugins import Sample, dataset

SIDE = 48
KINDS = ("triangle", "square", "disc", "ring", "cross")


@dataset
def shapes(*, count: int = 120, noise: float = 25.0):
    """Light shapes of any size, place and angle on a dark ground, under noise."""
    for number, label in enumerate(KINDS):
        for index in range(count):
            draws = np.random.default_rng([number, index])
            yield Sample(f"{label}/{index:03d}.png", drawn(draws, label, noise), label=label)


def drawn(draws, label, noise):
    radius, turn = draws.uniform(10, 18), draws.uniform(0, 2 * math.pi)
    x, y = draws.uniform(radius, SIDE - radius, size=2)

    def points(corners, turn, radius):
        angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
        return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]

    light, dark = (tuple(map(int, draws.integers(low, low + 80, size=3))) for low in (150, 10))
    image = Image.new("RGB", (SIDE, SIDE), dark)
    draw = ImageDraw.Draw(image)
    if label == "cross":
        for arm in (turn, turn + math.pi / 2):
            ends = [
                (x + s * radius * math.cos(arm), y + s * radius * math.sin(arm)) for s in (1, -1)
            ]
            draw.line(ends, fill=light, width=7)
    else:
        draw.polygon(points({"triangle": 3, "square": 4}.get(label, 60), turn, radius), fill=light)
    if label == "ring":
        draw.polygon(points(60, turn, radius / 2), fill=dark)
    pixels = np.asarray(image) + draws.normal(0, noise, size=(SIDE, SIDE, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
