"""Pillow's operations as torchvision's policies use them, on arrays: the same bytes, several times
faster.

Pillow keeps an image as four bytes a pixel and works through it a pixel at a time. Here an image
stays the array that it is: what maps each value by itself is a look-up table, and what mixes two
images is OpenCV's where that was seen to give Pillow's bytes for every pair of values. Images are
uint8 (H, W, 3), contiguous; none is changed, and one that stays as it was may be given back itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import _apply_op

Pixel = NDArray[np.uint8]

_LEVELS = np.arange(256)
_BYTES = _LEVELS.astype(np.uint8)
_GRAY = np.array([[19595, 38470, 7471, 1 << 15]]) / (1 << 16)
"""The weights and the rounding of Pillow's convert('L'), which cuts off after them. Each sum is a
multiple of 2^-16 below 2^8: exact in float32, in whatever order."""
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""ImageFilter.SMOOTH. No sum of bytes by 13 lies nearer than 1/26 to a half, so all roundings
agree."""
_OFFSETS = [2e-5, 3e-5, 5e-5]
"""By how much more than half a level a mixture is lowered, so that rounding becomes cutting off:
above the error of float32, below what most factors leave of a level."""


def by_torchvision(image: Pixel, name: str, magnitude: float) -> Pixel:
    """An operation of torchvision's policies, by torchvision on Pillow's image."""
    return np.asarray(_applied(Image.fromarray(image), name, magnitude))


def moved(image: Pixel, name: str, magnitude: float) -> Pixel:
    """A rotation or a shear, by torchvision too, on the four bytes that Pillow wants a pixel to
    have."""
    height, width = image.shape[:2]
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    packed = Image.frombuffer("RGBX", (width, height), four, "raw", "RGBX", 0, 1)
    return _array(cv2.cvtColor(np.asarray(_applied(packed, name, magnitude)), cv2.COLOR_RGBA2RGB))


def _applied(image: Image.Image, name: str, magnitude: float) -> Image.Image:
    made: Image.Image = _apply_op(image, name, magnitude, InterpolationMode.NEAREST, None)
    return made


def translated(image: Pixel, right: int, down: int) -> Pixel:
    """Moved by whole pixels; black comes in."""
    height, width = image.shape[:2]
    right, down = _within(right, width), _within(down, height)
    made = np.zeros_like(image)
    made[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return made


def _within(shift: int, side: int) -> int:
    return max(-side, min(shift, side))


def brightened(image: Pixel, factor: float) -> Pixel:
    return _mixed_with(0, image, factor)


def contrasted(image: Pixel, factor: float) -> Pixel:
    gray = _gray(image)
    mean = int(cv2.sumElems(gray)[0] / gray.size + 0.5)
    return _mixed_with(mean, image, factor)


def coloured(image: Pixel, factor: float) -> Pixel:
    return blended(_array(cv2.cvtColor(_gray(image), cv2.COLOR_GRAY2RGB)), image, factor)


def sharpened(image: Pixel, factor: float) -> Pixel:
    smooth = _array(cv2.filter2D(image, -1, _SMOOTH))
    for edge in (0, -1):  # which Pillow leaves as they are
        smooth[edge], smooth[:, edge] = image[edge], image[:, edge]
    return blended(smooth, image, factor)


def posterized(image: Pixel, bits: int) -> Pixel:
    return image & np.uint8(256 - (1 << (8 - bits)))


def solarized(image: Pixel, threshold: float) -> Pixel:
    above = (image >= math.ceil(threshold)).view(np.uint8)
    return image ^ np.negative(above)  # 255 where above, and v ^ 255 is 255 - v


def inverted(image: Pixel) -> Pixel:
    return ~image


def autocontrasted(image: Pixel) -> Pixel:
    rows = image.reshape(len(image), -1)  # whose minimum over the first axis is NumPy's fast one
    low = rows.min(axis=0).reshape(-1, 3).min(axis=0).astype(np.int64)
    high = rows.max(axis=0).reshape(-1, 3).max(axis=0).astype(np.int64)
    if not low.any() and (high == 255).all():
        return image
    return _by_tables(cv2.split(image), _stretching(low, high))


def equalized(image: Pixel) -> Pixel:
    channels = cv2.split(image)
    counts = [cv2.calcHist([channel], [0], None, [256], [0, 256]) for channel in channels]
    return _by_tables(
        channels, _equalizing(np.concatenate(counts).reshape(3, 256).astype(np.int64))
    )


def blended(first: Pixel, second: Pixel, factor: float) -> Pixel:
    """Image.blend: first + factor * (second - first) in float32, cut off to a byte."""
    offset = _offset(factor)
    if offset is None:
        sizes = first.size // len(first), len(first)
        one, other = (
            Image.frombuffer("L", sizes, each, "raw", "L", 0, 1) for each in (first, second)
        )
        return np.asarray(Image.blend(one, other, factor)).reshape(first.shape)
    return _weighted(first, second, factor, offset)


@lru_cache(maxsize=4096)
def _offset(factor: float) -> float | None:
    """One at which OpenCV gives Pillow's byte for each of the 65,536 pairs of bytes; None: there is
    none. That is so where a factor such as 0.7 nearly makes whole numbers, which float32 rounds in
    Pillow's own way."""
    (first, second), *_ = laid_out = _all_pairs()
    wanted = np.asarray(Image.blend(Image.fromarray(first), Image.fromarray(second), factor))
    for offset in _OFFSETS:
        made = (_weighted(one, other, factor, offset) for one, other in laid_out)
        if all(np.array_equal(each.ravel(), wanted.ravel()) for each in made):
            return offset
    return None


@cache
def _all_pairs() -> list[tuple[Pixel, Pixel]]:
    """Of bytes: for OpenCV's vectors, and apart in rows so short that they are what is left over of
    its vectors, which it may compute in another way."""
    first = np.repeat(_BYTES, 256).reshape(256, 256)
    pairs = [(first, np.ascontiguousarray(first.T))]
    for width in (4, 8, 16, 32):
        rows = np.zeros((2, 65536 // width, width + 1), np.uint8)
        for row, each in zip(rows, pairs[0], strict=True):
            row[:, :width] = each.reshape(-1, width)
        pairs.append((rows[0, :, :width], rows[1, :, :width]))
    return pairs


def _weighted(first: Pixel, second: Pixel, factor: float, offset: float) -> Pixel:
    return _array(cv2.addWeighted(second, factor, first, 1 - factor, offset - 0.5))


def _mixed_with(value: int, image: Pixel, factor: float) -> Pixel:
    """Image.blend of an image of that value alone with this one."""
    offset = _offset(factor)
    if offset is None:  # 256 times Image.blend
        return _array(cv2.LUT(image, blended(np.full_like(_BYTES, value), _BYTES, factor)))
    return _weighted(np.full_like(image, value), image, factor, offset)


def _gray(image: Pixel) -> Pixel:
    """convert('L'): (H, W)"""
    sums: NDArray[np.float32] = cv2.transform(image.astype(np.float32), _GRAY)
    return sums.astype(np.uint8)


def _stretching(low: NDArray[np.int64], high: NDArray[np.int64]) -> Pixel:
    """ImageOps.autocontrast's tables (3, 256), in its own float64; a channel of one value stays."""
    scale = 255.0 / np.maximum(high - low, 1)
    stretched = (_LEVELS * scale[:, None] + (-low * scale)[:, None]).clip(0, 255)
    return np.where((high > low)[:, None], stretched, _LEVELS).astype(np.uint8)


def _equalizing(counts: NDArray[np.int64]) -> Pixel:
    """ImageOps.equalize's tables of how often each value is there, both (3, 256)."""
    up_to = counts.cumsum(axis=1)
    but_highest = np.where(up_to < up_to[:, -1:], up_to, 0).max(axis=1, keepdims=True)
    step = but_highest // 255
    table = (step // 2 + up_to - counts) // np.maximum(step, 1)
    return np.where(step > 0, table.clip(max=255), _LEVELS).astype(np.uint8)


def _by_tables(channels: Sequence[Pixel], tables: Pixel) -> Pixel:
    pairs = zip(channels, tables, strict=True)
    return _array(cv2.merge([cv2.LUT(channel, table) for channel, table in pairs]))


def _array(made: object) -> Pixel:
    assert isinstance(made, np.ndarray)
    return made
