"""Files of images, decoded: whatever their format and mode, upright RGB. No torch."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

TRANSPARENT = (255, 255, 255)
"""What transparent pixels are laid on: white, as most viewers and web pages show them."""


class BadImageError(UserError):
    """The contents of a file are no image, or only a part of one."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(file, reason)
        self.file, self.reason = file, reason

    def __str__(self) -> str:
        return f"{self.file} can't be read as an image: {self.reason}"


def open_file(file: Path) -> Image:
    """The image (of an animation the first frame) as RGB, upright, transparency on `TRANSPARENT`.

    Raises BadImageError where the contents are at fault, UserError where the file can't be read.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except OSError as error:
        # Pillow's own complaints have no errno: with one, it is the disk's or the permissions'.
        if error.errno is not None:
            raise UserError(f"{file} can't be read: {error.strerror}") from error
        raise BadImageError(file, str(error)) from error
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise BadImageError(file, str(error) or type(error).__name__) from error


def is_image(file: Path) -> bool:
    """By the end of its name."""
    return file.suffix.lower() in IMAGE_SUFFIXES


def images_in(folder: Path) -> Iterator[Path]:
    """At any depth, in order."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from filter(is_image, (Path(parent, file) for file in sorted(files)))


_BROKEN = (
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise, besides OSError, when they stumble over a broken file."""


def _rgb(image: Image) -> Image:
    from PIL import Image as Images

    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode == "F":
        raise ValueError("its levels are floating-point numbers, whose black and white are unknown")
    if image.getbands()[-1] not in ("A", "a") and "transparency" not in image.info:
        return image.convert("RGB")
    ground = Images.new("RGBA", image.size, TRANSPARENT)
    return Images.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _eight_bits(image: Image) -> Image:
    """16-bit grey (mode I;16, of some formats I), scaled: Pillow's own conversion would clip."""
    import numpy as np
    from PIL import Image as Images

    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("its levels are 32-bit numbers, whose black and white are unknown")
    alpha = np.where(levels == image.info.get("transparency", -1), 0, 255)
    grey = np.rint(levels / 257)  # 65535 = 257 * 255
    return Images.fromarray(np.stack([grey, alpha], axis=-1).astype(np.uint8))  # LA
