"""A second data set for two_data_sets.yaml: drawings that a mirror leaves what they are."""

import math

import numpy as np
from PIL import Image, ImageDraw

from classifier.plugins import Sample, dataset

SIDE = 48
CORNERS = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6, "disc": 60}


@dataset
def shapes(*, count: int = 80, noise: float = 60.0):
    """Regular polygons of any size, place, angle and colours, under noise."""
    for label, corners in CORNERS.items():
        for index in range(count):
            draws = np.random.default_rng([corners, index])
            path = f"{label}/{index:03d}.png"
            yield Sample(path=path, image=drawn(draws, corners, noise), label=label)


def drawn(draws, corners, noise):
    radius, turn = draws.uniform(8, 18), draws.uniform(0, 2 * math.pi)
    x, y = draws.uniform(radius, SIDE - radius, size=2)
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    background, colour = draws.integers(0, 256, size=(2, 3))
    image = Image.new("RGB", (SIDE, SIDE), tuple(map(int, background)))
    ImageDraw.Draw(image).polygon(
        [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles],
        fill=tuple(map(int, colour)),
    )
    pixels = np.asarray(image) + draws.normal(0, noise, size=(SIDE, SIDE, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
