"""Files of images, decoded: whatever their format and mode, upright RGB. No torch."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg"}
    | {".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""The same on every machine, whatever its Pillow can read: what it can't is an error, not left out.
No EPS, PDF or MPEG, which Pillow knows too: these are documents and films."""
NEEDS = {".heic": "pillow-heif", ".heif": "pillow-heif"}
"""The package that an ending needs beside Pillow."""
NO_DATA = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})
"""What systems leave in folders; so is all whose name begins with a dot."""

MOST_LONG = 50
"""Times its short side: a line of pixels, resized by its short side, would fill the memory."""

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
    from PIL import Image, ImageOps, UnidentifiedImageError

    decoders()
    try:
        with Image.open(file) as image:
            short, long = sorted(image.size)
            if long > MOST_LONG * short:
                reason = (
                    f"it is {image.width} x {image.height} pixels, and at most {MOST_LONG} times"
                )
                raise BadImageError(file, f"{reason} as long as wide can be cropped")
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        reason = "its contents are no image" if file.stat().st_size else "it is empty"
        raise BadImageError(file, reason) from error
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


def is_data(name: str) -> bool:
    """Whether a file or folder of that name is the user's, and not a system's."""
    return not name.startswith(".") and name not in NO_DATA


@dataclass(frozen=True)
class Found:
    """What lies in a folder at any depth, in order; nothing of a system's, see `is_data`."""

    images: tuple[Path, ...]
    left_out: tuple[Path, ...]
    """Files that are no images, by the end of their names or for being no files."""


def look_through(folder: Path) -> Found:
    """Links are followed, but not in a circle; of a file that links lead to as well, its own path
    counts, else the first link's."""
    own: list[Path] = []
    linked: list[Path] = []
    left_out: list[Path] = []
    order: dict[Path, None] = {}
    for file in _files(folder, os.path.realpath(folder), is_linked=False):
        if not is_image(file.path) or not file.is_there:
            left_out.append(file.path)
            continue
        order[file.path] = None
        (linked if file.is_linked else own).append(file.path)
    if linked:
        real = {os.path.realpath(path) for path in own}
        for path in linked:
            if (at := os.path.realpath(path)) in real:
                del order[path]
            real.add(at)
    return Found(tuple(order), tuple(left_out))


def images_in(folder: Path) -> tuple[Path, ...]:
    """At any depth, in order."""
    return look_through(folder).images


def check_endings(files: Iterable[str]) -> None:
    """Raises UserError for images that this Pillow can't read for want of a plugin."""
    endings = {os.path.splitext(file)[1].lower() for file in files}  # noqa: PTH122 - of 100,000s
    rare = endings & {".avif", ".heic", ".heif", ".jp2"}
    if not rare:
        return
    from PIL import Image

    decoders()
    for ending in sorted(rare - set(Image.registered_extensions())):
        package = NEEDS.get(ending, "pillow")
        raise UserError(
            f"this Pillow can't read images that end in {ending}: pip install -U {package}"
        )


@cache
def decoders() -> str:
    """What reads images here, by versions; what a plugin reads, Pillow reads from now on."""
    import PIL

    named = f"pillow{PIL.__version__}"
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        named += f"-heif{pillow_heif.__version__}"
    return named


@dataclass(frozen=True)
class _File:
    path: Path
    is_linked: bool
    """Whether a link leads to it, or to a folder that holds it."""
    is_there: bool
    """It is a file, and no pipe or socket, whose opening would wait; or a link to nothing, which is
    named by who opens it."""


def _files(folder: Path, real: str, is_linked: bool) -> Iterator[_File]:
    """A folder's own first; `real`: where it lies."""
    with os.scandir(folder) as scanned:
        entries = sorted((entry for entry in scanned if is_data(entry.name)), key=lambda e: e.name)
    folders = []
    for entry in entries:
        if entry.is_dir():
            folders.append(entry)
            continue
        link = entry.is_symlink()
        is_there = entry.is_file() or (link and not Path(entry.path).exists())
        yield _File(Path(entry.path), is_linked or link, is_there)
    for entry in folders:
        link = entry.is_symlink()
        inner = os.path.realpath(entry.path) if link else f"{real}/{entry.name}"
        if not holds(inner, real):
            yield from _files(Path(entry.path), inner, is_linked or link)


def holds(outer: str, inner: str) -> bool:
    """Whether one real path is the other or lies above it."""
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


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
