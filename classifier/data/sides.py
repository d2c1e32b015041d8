"""To what images are resized before they are cropped. Without numpy: settings are read by it."""

from __future__ import annotations

import math


def random_side(image_size: int) -> int:
    """To what the short side is resized before a random crop, or ten crops: a tenth more."""
    return int(1.1 * image_size)


def centre_side(image_size: int, share: float | None) -> int:
    """To what the short side is resized before the centre crop, which is that share of it; rounded
    down, as timm does."""
    return image_size if share is None else math.floor(image_size / share + 1e-6)
