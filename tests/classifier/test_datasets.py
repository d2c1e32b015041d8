from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data import images as image_files
from classifier.data.cache import pixels
from classifier.data.prepare import prepare
from classifier.data.sources import folder as folder_source
from classifier.data.sources.cub200 import class_sizes
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS
from classifier.data.transforms import centre_crop

BIRDS = DataSpec(folder="birds")


def make_images(folder: Path, names: dict[str, int], size: tuple[int, int] = (12, 9)) -> None:
    """Small distinct PNGs: `names` has the number of images of each class."""
    blue = zlib.crc32(folder.name.encode()) % 256  # so that parts of a split hold other images
    for label, (name, count) in enumerate(names.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image = Image.new("RGB", size, (label * 40 % 256, index * 5, blue))
            image.save(folder / name / f"{index}.png")


def test_a_folder_of_class_folders(root: Path) -> None:
    make_images(root / "birds", {"wren & co": 5, "äsche": 10})
    (root / "birds" / "wren & co" / "notes.txt").write_text("no image")
    listed = datasets.listing(BIRDS, root)
    assert listed.classes == ("wren & co", "äsche")
    assert listed.counts() == {"train": 9, "val": 3, "test": 3}
    assert all(
        listed.classes[label] == path.split("/")[0]
        for label, path in zip(listed.labels, listed.paths, strict=True)
    )
    assert not any("notes" in path for path in listed.paths)


def test_a_folder_that_is_split_already(root: Path) -> None:
    for part, count in {"train": 4, "val": 2, "test": 1}.items():
        make_images(root / "birds" / part, {"a": count, "b": count})
    with pytest.raises(UserError, match="split: given"):
        datasets.listing(BIRDS, root)
    given = DataSpec(folder="birds", split="given")
    listed = datasets.listing(given, root)
    assert listed.counts() == {"train": 8, "val": 4, "test": 2}
    assert all(
        path.startswith(f"{part}/") for path, part in zip(listed.paths, listed.parts, strict=True)
    )
    (root / "birds" / "test" / "b" / "0.png").unlink()
    assert datasets.listing(given, root).lacking() == {"test": ("b",)}
    (root / "birds" / "val" / "odd").mkdir()
    with pytest.raises(UserError, match=r"class 'odd' of .*val is not in train/"):
        datasets.listing(given, root)


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"data folder .*birds is not there"):
        datasets.listing(BIRDS, root)
    with pytest.raises(UserError, match=r"CUB_200_2011.tgz .*MD5 97eceeb"):
        datasets.listing(DataSpec(name="cub200"), root)
    (root / "birds").mkdir()
    with pytest.raises(UserError, match="no class folders"):
        datasets.listing(BIRDS, root)
    make_images(root / "birds", {"a": 9, "rare": 2})
    with pytest.raises(UserError, match="birds: class 'rare' has 2"):
        datasets.listing(BIRDS, root)
    (root / "birds" / "a" / "link.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"a/link\.png can't be read: No such file"):
        BIRDS.source.fingerprint(root)


def test_a_name_that_is_not_utf8_is_named(root: Path) -> None:
    make_images(root / "birds", {"a": 5})
    try:
        (root / "birds" / "a" / os.fsdecode(b"caf\xe9.png")).touch()
    except OSError as error:
        pytest.skip(f"the file system refuses such names: {error}")
    with pytest.raises(UserError, match=r"a/caf\\xe9\.png' in .*birds is not UTF-8"):
        datasets.listing(BIRDS, root)


def test_cub_is_taken_where_its_archive_was_extracted(root: Path) -> None:
    folder = root / "CUB_200_2011" / "images"
    for name, images in class_sizes().items():
        (folder / name).mkdir(parents=True)
        for index in range(images):
            (folder / name / f"{index:03}.jpg").touch()
    cub = DataSpec(name="cub200", split="sequential")
    assert datasets.listing(cub, root).counts() == {"train": 7684, "val": 1781, "test": 2323}
    (folder / "001.Black_footed_Albatross" / "000.jpg").unlink()
    with pytest.raises(UserError, match=r"001.Black_footed_Albatross holds 59 images .* has 60"):
        datasets.listing(cub, root)


def test_digits_are_scikit_learns(root: Path) -> None:
    digits = DataSpec(name="digits")
    listed = datasets.listing(digits, root)
    assert len(listed.paths) == 1797
    assert len(set(listed.paths)) == 1797
    source = load_digits()
    for position in (0, 700, 1796):
        index = int(listed.paths[position].split("/")[1])
        assert source.target[index] == listed.labels[position]
        image = np.asarray(digits.source.open(root, listed.paths[position]))
        assert image.shape == (8, 8, 3)
        assert np.array_equal(image[:, :, 0], np.rint(source.images[index] * 255 / 16))


def test_the_fingerprint_follows_contents_not_times(root: Path) -> None:
    make_images(root / "birds", {"a": 5, "b": 5})
    before = BIRDS.source.fingerprint(root)
    file = root / "birds" / "a" / "0.png"
    os.utime(file, ns=(1, 1))
    assert BIRDS.source.fingerprint(root) == before
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    changed = BIRDS.source.fingerprint(root)
    assert changed != before
    file.rename(file.with_name("renamed.png"))
    assert BIRDS.source.fingerprint(root) != changed


def test_the_cache_holds_each_image_resized_once(root: Path) -> None:
    make_images(root / "birds", {"a": 10, "b": 10}, size=(40, 30))
    listed = datasets.listing(BIRDS, root)
    print_ = BIRDS.source.fingerprint(root)
    calls: list[tuple[int, int]] = []
    cached = pixels(BIRDS, root, listed, "val", 15, print_, lambda *call: calls.append(call))
    assert calls[-1] == (4, 4)
    assert len(cached) == 4
    for position, index in enumerate(listed.indices("val")):
        assert cached[position].shape == (15, 20, 3)
        original = np.asarray(BIRDS.source.open(root, listed.paths[index]))
        assert np.array_equal(cached[position][0, 0], original[0, 0])  # of one colour each
    again = pixels(BIRDS, root, listed, "val", 15, print_, lambda *call: calls.append(call))
    assert len(calls) == 4, "made once"
    assert np.array_equal(again[3], cached[3])


def break_images(folder: Path, names: list[str]) -> None:
    for name in names:
        file = folder / name
        file.write_bytes(file.read_bytes()[:40])


def test_broken_images_are_all_named_before_anything_trains(root: Path) -> None:
    make_images(root / "birds", {"a": 20, "b": 20})
    listed = datasets.listing(BIRDS, root)
    train = [listed.paths[index] for index in listed.indices("train")]
    break_images(root / "birds", train[:7])
    with pytest.raises(UserError) as before:
        prepare(BIRDS, root)
    assert str(before.value).startswith("7 of 40 images can't be read; mend or remove them, or ")
    with pytest.raises(UserError) as later:  # broken while the job was on its way
        pixels(BIRDS, root, listed, "train", 8, BIRDS.source.fingerprint(root))
    assert str(later.value).startswith("7 of 24 images can't be read; mend or remove them, or ")
    for message in (str(before.value), str(later.value)):
        lines = message.splitlines()[1:]
        assert sorted(lines) == sorted(
            f"  {root / 'birds' / path}: its contents are no image" for path in train[:7]
        )


def test_images_are_looked_at_once_for_their_contents(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_images(root / "birds", {"a": 6, "b": 6})
    opened: list[str] = []

    def open_file(file: Path) -> Image.Image:
        opened.append(file.name)
        return image_files.open_file(file)

    monkeypatch.setattr(folder_source, "open_file", open_file)
    prepare(BIRDS, root)
    assert len(opened) == 12
    prepare(BIRDS, root)
    assert len(opened) == 12
    Image.new("RGB", (9, 9), (1, 2, 3)).save(root / "birds" / "b" / "5.png")
    prepare(BIRDS, root)
    assert opened[12:] == ["5.png"]


def test_broken_images_are_left_out_before_the_split(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_images(root / "birds", {"a": 12, "b": 10})
    break_images(root / "birds", ["a/3.png", "a/7.png"])
    skip = DataSpec(folder="birds", on_bad_image="skip")
    calls: list[tuple[int, int]] = []
    listed = datasets.listing(skip, root, lambda *call: calls.append(call))
    assert calls[-1] == (21, 21)  # what is left of the two is the same
    assert not {"a/3.png", "a/7.png"} & set(listed.paths)
    assert listed.counts() == {"train": 12, "val": 4, "test": 4}, "6:2:2 of the good ones"
    assert datasets.counts(skip, root) == (2, listed.counts())
    print_ = skip.source.fingerprint(root)
    for part in PARTS:
        assert len(pixels(skip, root, listed, part, 8, print_)) == listed.counts()[part]

    def opened(file: Path) -> Image.Image:
        raise AssertionError(f"{file} was opened again")

    monkeypatch.setattr(folder_source, "open_file", opened)
    assert datasets.listing(skip, root) == listed, "a second look opens nothing"


def test_a_class_of_broken_images_is_too_small(root: Path) -> None:
    make_images(root / "birds", {"a": 6, "b": 6})
    break_images(root / "birds", [f"b/{index}.png" for index in range(4)])
    with pytest.raises(UserError, match="class 'b' has 2 image"):
        datasets.listing(DataSpec(folder="birds", on_bad_image="skip"), root)


def test_broken_images_of_a_given_split_are_left_out(root: Path) -> None:
    for part in PARTS:
        make_images(root / "birds" / part, {"a": 3, "b": 3})
    break_images(root / "birds", ["val/a/1.png"])
    listed = datasets.listing(DataSpec(folder="birds", split="given", on_bad_image="skip"), root)
    assert listed.counts() == {"train": 6, "val": 5, "test": 6}
    assert "val/a/1.png" not in listed.paths


def test_mean_and_std_are_those_of_the_training_part(root: Path) -> None:
    digits = DataSpec(name="digits", limit=10)
    listed = datasets.listing(digits, root)
    cached = pixels(digits, root, listed, "train", 35, digits.source.fingerprint(root))
    flat = np.concatenate([cached[i].reshape(-1, 3) for i in range(len(cached))]) / 255
    mean, std = cached.mean_std()
    assert np.allclose(mean, flat.mean(axis=0), atol=1e-12)
    assert np.allclose(std, flat.std(axis=0), atol=1e-12)


def test_centre_crop_is_torchvisions() -> None:
    from torchvision.transforms import CenterCrop

    rng = np.random.default_rng(0)
    for height, width in ((15, 20), (16, 15), (15, 15), (15, 22)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        expected = np.asarray(CenterCrop(15)(Image.fromarray(image)))
        assert np.array_equal(centre_crop(image, 15), expected)
