"""Every mode of image that a folder may hold becomes upright RGB."""

from __future__ import annotations

import errno
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier.basics.errors import UserError
from classifier.data import images
from classifier.data.spec import DataSpec

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def read(file: Path) -> NDArray[np.uint8]:
    image = images.open_file(file)
    assert image.mode == "RGB"
    return np.asarray(image)


def pixel(file: Path) -> tuple[int, ...]:
    return tuple(int(level) for level in read(file)[0, 0])


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 77, (77, 77, 77)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 0), WHITE),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), WHITE),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("I;16", 0, (0, 0, 0)),
        ("I;16", 257 * 90, (90, 90, 90)),
        ("I;16", 65535, WHITE),
    ],
)
def test_modes_of_png(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: tuple[int, ...]
) -> None:
    file = tmp_path / "image.png"
    Image.new(mode, (3, 2), colour).save(file)
    assert Image.open(file).mode in (mode, "I")
    assert read(file).shape == (2, 3, 3)
    assert pixel(file) == expected


def test_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "plain.png")
    assert read(tmp_path / "plain.png").tolist() == [[[*RED], [*GREEN]]]
    image.save(tmp_path / "one.png", transparency=0)
    assert read(tmp_path / "one.png").tolist() == [[[*WHITE], [*GREEN]]]
    image.save(tmp_path / "degrees.png", transparency=bytes([255, 51]))
    assert read(tmp_path / "degrees.png").tolist() == [[[*RED], [204, 255, 204]]]


def test_a_colour_that_stands_for_transparency(tmp_path: Path) -> None:
    grey = Image.fromarray(np.array([[10, 20]], np.uint8))
    grey.save(tmp_path / "grey.png", transparency=20)
    assert read(tmp_path / "grey.png")[0, :, 0].tolist() == [10, 255]
    deep = Image.fromarray(np.array([[2570, 5140]], np.uint16))
    deep.save(tmp_path / "deep.png", transparency=5140)
    assert read(tmp_path / "deep.png")[0, :, 0].tolist() == [10, 255]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    assert np.abs(np.subtract(pixel(tmp_path / "red.jpg"), RED)).max() <= 3
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "red.tif")
    assert pixel(tmp_path / "red.tif") == RED


def test_sixteen_bits_of_tiff_and_what_has_no_known_range(tmp_path: Path) -> None:
    levels = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.tif")
    assert read(tmp_path / "deep.tif")[0, :, 0].tolist() == [0, 1, 255]
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "wide.tif")
    Image.fromarray(np.array([[0, 0.5]], np.float32)).save(tmp_path / "float.tif")
    for name, reason in {"wide.tif": "32-bit", "float.tif": "floating-point"}.items():
        with pytest.raises(UserError, match=rf"{name} can't be read as an image: .*{reason}"):
            read(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(tmp_path: Path, orientation: int) -> None:
    """Stored are red, green / white, black; where the red corner goes is EXIF's definition."""
    stored = np.array([[RED, GREEN], [WHITE, (0, 0, 0)]], np.uint8)
    file = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(file, exif=exif)
    row, column = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1)}.get(
        orientation, (1, 1) if orientation == 7 else (1, 0)
    )
    upright = read(file)
    assert tuple(upright[row, column]) == RED
    assert tuple(upright[1 - row, 1 - column]) == (0, 0, 0)
    swapped = orientation >= 5
    beside = upright[1 - row, column] if swapped else upright[row, 1 - column]
    assert tuple(beside) == GREEN


def test_webp_and_bmp(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "a.webp", lossless=True)
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "clear.webp", lossless=True)
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "a.bmp")
    assert pixel(tmp_path / "a.webp") == pixel(tmp_path / "a.bmp") == (10, 20, 30)
    assert pixel(tmp_path / "clear.webp") == WHITE


def test_an_animations_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    for name in ("a.gif", "a.webp"):
        file = tmp_path / name
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=50, lossless=True)
        assert getattr(Image.open(file), "n_frames", 1) == 2
        assert pixel(file) == RED


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_image_is_named(root: Path, suffix: str, share: float) -> None:
    file = root / "birds" / "a" / f"half.{suffix}"
    file.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(images.BadImageError, match=rf"half\.{suffix} can't be read as an image"):
        DataSpec(folder="birds").source.open(root, f"a/half.{suffix}")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "loop.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 3) + b"junk")
    for name in ("page.jpg", "loop.png"):
        with pytest.raises(images.BadImageError, match=name):
            read(tmp_path / name)


def test_a_disk_error_is_not_taken_for_a_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or `on_bad_image: skip` would leave good images out for good."""
    file = tmp_path / "good.png"
    Image.new("L", (2, 2)).save(file)

    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(UserError, match=r"good\.png can't be read: Input") as caught:
        read(file)
    assert not isinstance(caught.value, images.BadImageError)


def test_the_error_survives_the_way_between_processes() -> None:
    error = images.BadImageError(Path("a/b.png"), "no end")
    assert str(pickle.loads(pickle.dumps(error))) == "a/b.png can't be read as an image: no end"
