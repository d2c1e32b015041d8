"""Tiny archives in the layouts of published data sets, with numbers to be told apart by."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from classifier.data.download import Archive
from classifier.data.sources import Counts, by_name
from classifier.data.sources.arrays import Arrays
from classifier.data.sources.published import Published

Contents = dict[str, bytes]
"""What a server or an archive has, by name."""


@dataclass(frozen=True)
class Tiny:
    """A published set with few images."""

    served: Contents
    known: Counts


def tiny(name: str, url: str) -> tuple[Published | Arrays, Contents]:
    """The source of that name as its few images need it, and what the server at `url` has."""
    made = TINY[name]()
    source = by_name()[name]
    assert isinstance(source, Published | Arrays)
    archive = served_at(source.archive, made.served, url)
    return replace(source, archive=archive, known=made.known), made.served


def served_at(archive: Archive, served: Contents, url: str) -> Archive:
    """The archive's files at another address, with the hashes of what is there."""
    files = []
    for file in archive.files:
        content = served[file.name]
        hashes = (hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
        files.append(replace(file, url=f"{url}/{file.name}", md5=hashes[0], sha256=hashes[1]))
    return replace(archive, files=tuple(files))


def tar(members: Contents) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def zipped(members: Contents) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


_random = np.random.default_rng(0)


def levels(*shape: int) -> NDArray[np.uint8]:
    return _random.integers(0, 256, shape, np.uint8)


def picture(form: str = "jpeg", grey: bool = False) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels(6, 8) if grey else levels(6, 8, 3)).save(file, form)
    return file.getvalue()


def mat(**variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables)
    return file.getvalue()


class _Python2(pickle._Pickler):
    """Writes texts and bytes as Python 2 wrote its strings: CIFAR's files are that old."""

    dispatch = pickle._Pickler.dispatch.copy()

    def _string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(content)) + content)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = _string  # type: ignore[assignment]


def python2(value: object) -> bytes:
    file = io.BytesIO()
    _Python2(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar(
    name: str, archive: str, key: str, batches: Iterable[tuple[str, str, str]], each: int
) -> Tiny:
    """`each`: images in a batch."""
    source = by_name()[name]
    assert isinstance(source, Arrays)
    folder, classes = source.archive.folder, len(source.names)
    meta = {"cifar10": ("batches.meta", "label_names"), "cifar100": ("meta", "fine_label_names")}
    members, counts = {}, {"train": 0, "test": 0}
    for part, file, _ in batches:
        labels = [index % classes for index in range(each)]
        held = {"data": levels(each, 3072), key: labels, "filenames": ["x.png"] * each}
        members[f"{folder}/{file}"] = python2(held)
        counts[part] += each
    file, names_key = meta[name]
    members[f"{folder}/{file}"] = python2({names_key: list(source.names)})
    return Tiny({archive: tar(members)}, Counts(classes, counts))  # type: ignore[arg-type]


def _cifar10() -> Tiny:
    from classifier.data.sources.cifar10 import BATCHES

    return cifar("cifar10", "cifar-10-python.tar.gz", "labels", BATCHES, 20)


def _cifar100() -> Tiny:
    from classifier.data.sources.cifar100 import BATCHES

    return cifar("cifar100", "cifar-100-python.tar.gz", "fine_labels", BATCHES, 300)


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def _mnist() -> Tiny:
    served = {}
    for prefix, images in (("train", 50), ("t10k", 20)):
        labels = (np.arange(images) % 10).astype(np.uint8)
        served[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(levels(images, 28, 28)))
        served[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    return Tiny(served, Counts(10, {"train": 50, "test": 20}))


def _emnist_letters() -> Tiny:
    members = {}
    for cut, first, classes in (("letters", 1, 26), ("digits", 0, 10)):
        for part, times in (("train", 5), ("test", 1)):
            labels = np.tile(np.arange(first, first + classes), times).astype(np.uint8)
            name = f"gzip/emnist-{cut}-{part}"
            members[f"{name}-images-idx3-ubyte.gz"] = gzip.compress(
                idx(levels(len(labels), 28, 28))
            )
            members[f"{name}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    return Tiny({"gzip.zip": zipped(members)}, Counts(26, {"train": 130, "test": 26}))


def _svhn() -> Tiny:
    served = {}
    for part, images in (("train", 60), ("test", 20)):
        labels = (np.arange(images) % 10 + 1).astype(np.uint8)[:, None]
        served[f"{part}_32x32.mat"] = mat(X=levels(32, 32, 3, images), y=labels)
    return Tiny(served, Counts(10, {"train": 60, "test": 20}))


def _stl10() -> Tiny:
    members = {"stl10_binary/class_names.txt": "\n".join(by_name()["stl10"].names).encode()}  # type: ignore[attr-defined]
    for part, images in (("train", 50), ("test", 20)):
        members[f"stl10_binary/{part}_X.bin"] = levels(images, 3, 96, 96).tobytes()
        members[f"stl10_binary/{part}_y.bin"] = bytes(index % 10 + 1 for index in range(images))
    members["stl10_binary/unlabeled_X.bin"] = levels(1, 3, 96, 96).tobytes()
    return Tiny({"stl10_binary.tar.gz": tar(members)}, Counts(10, {"train": 50, "test": 20}))


def _flowers102() -> Tiny:
    """Three flowers: as in the true set, an image's number says nothing of its part or class."""
    order = _random.permutation(np.arange(1, 25))
    ids = {"trnid": order[:6], "valid": order[6:12], "tstid": order[12:]}
    labels = np.zeros(24, np.uint8)
    for numbers in ids.values():
        labels[numbers - 1] = np.resize([1, 60, 102], len(numbers))
    jpegs = {f"jpg/image_{number:05d}.jpg": picture() for number in range(1, 25)}
    served = {
        "102flowers.tgz": tar(jpegs),
        "imagelabels.mat": mat(labels=labels[None]),
        "setid.mat": mat(**{name: numbers[None] for name, numbers in ids.items()}),
    }
    return Tiny(served, Counts(3, {"train": 6, "val": 6, "test": 12}))


def _food101() -> Tiny:
    members: Contents = {}
    for part, each in (("train", 5), ("test", 2)):
        said: dict[str, list[str]] = {}
        for dish in ("apple_pie", "waffles"):
            for number in range(each):
                said.setdefault(dish, []).append(f"{dish}/{part}{number}")
                members[f"food-101/images/{dish}/{part}{number}.jpg"] = picture()
        members[f"food-101/meta/{part}.json"] = json.dumps(said).encode()
    return Tiny({"food-101.tar.gz": tar(members)}, Counts(2, {"train": 10, "test": 4}))


def _oxfordiiitpet() -> Tiny:
    images: Contents = {"images/Abyssinian_100.mat": b"no image"}
    lists: Contents = {"annotations/README": b"About", "annotations/._trimaps": b"of a Mac"}
    for part, numbers in (("trainval", range(1, 7)), ("test", range(7, 10))):
        lines = []
        for number in numbers:
            for label, (breed, kind) in enumerate((("Abyssinian", 1), ("german_shorthaired", 2))):
                images[f"images/{breed}_{number}.jpg"] = picture()
                lines.append(f"{breed}_{number} {label + 1} {kind} {number}")
        lists[f"annotations/{part}.txt"] = "\n".join(lines).encode()
    served = {"images.tar.gz": tar(images), "annotations.tar.gz": tar(lists)}
    return Tiny(served, Counts(2, {"train": 12, "test": 6}))


def _dtd() -> Tiny:
    members: Contents = {}
    for part in ("train", "val", "test"):
        paths = [f"{name}/{name}_{part}{n}.jpg" for name in ("banded", "zigzagged") for n in (1, 2)]
        members |= {f"dtd/images/{path}": picture() for path in paths}
        members[f"dtd/labels/{part}1.txt"] = "\n".join([*paths, ""]).encode()
        members[f"dtd/labels/{part}2.txt"] = b""
    counts = Counts(2, {"train": 4, "val": 4, "test": 4})
    return Tiny({"dtd-r1.0.1.tar.gz": tar(members)}, counts)


def folders(names: Iterable[str], each: int, form: str = "jpg", grey: bool = False) -> Contents:
    return {
        f"{name}/image_{number:04d}.{form}": picture(
            {"jpg": "jpeg", "ppm": "ppm"}.get(form, form), grey
        )
        for name in names
        for number in range(1, each + 1)
    }


def _eurosat() -> Tiny:
    from classifier.data.sources.eurosat import SIZES

    members = folders((f"2750/{name}" for name in SIZES), 4)
    return Tiny({"EuroSAT.zip": zipped(members)}, Counts(10, 40))


def _gtsrb() -> Tiny:
    """Tracks of two frames."""
    training = {
        f"GTSRB/Training/{label:05d}/{track:05d}_{frame:05d}.ppm": picture("ppm")
        for label in (0, 7)
        for track in range(5)
        for frame in (0, 1)
    }
    training |= {f"GTSRB/Training/{label:05d}/GT-{label:05d}.csv": b"x" for label in (0, 7)}
    test = {f"GTSRB/Final_Test/Images/{number:05d}.ppm": picture("ppm") for number in range(4)}
    rows = [f"{number:05d}.ppm;29;30;5;5;24;25;{number % 2 * 7}" for number in range(4)]
    header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    served = {
        "GTSRB-Training_fixed.zip": zipped(training),
        "GTSRB_Final_Test_Images.zip": zipped(test),
        "GTSRB_Final_Test_GT.zip": zipped(
            {"GT-final_test.csv": "\n".join([header, *rows]).encode()}
        ),
    }
    return Tiny(served, Counts(2, {"train": 20, "test": 4}, group=2))


def _imagenette() -> Tiny:
    from classifier.data.sources.imagenette import NAMES

    members = folders((f"imagenette2-160/train/{number}" for number in NAMES), 2, "jpeg")
    members |= folders((f"imagenette2-160/val/{number}" for number in NAMES), 1, "jpeg")
    return Tiny({"imagenette2-160.tgz": tar(members)}, Counts(10, {"train": 20, "test": 10}))


def _country211() -> Tiny:
    members = folders((f"country211/{p}/{c}" for p in ("train", "valid", "test") for c in "AB"), 2)
    return Tiny({"country211.tgz": tar(members)}, Counts(2, {"train": 4, "val": 4, "test": 4}))


def _renderedsst2() -> Tiny:
    names = ("negative", "positive")
    members = folders(
        (f"rendered-sst2/{p}/{c}" for p in ("train", "valid", "test") for c in names), 2, "png"
    )
    return Tiny({"rendered-sst2.tgz": tar(members)}, Counts(2, {"train": 4, "val": 4, "test": 4}))


def _sun397() -> Tiny:
    names = ("a/abbey", "b/bistro/indoor", "b/bistro/outdoor")
    members = {f"SUN397/{name}/sun_{n}.jpg": picture() for name in names for n in range(5)}
    members["SUN397/ClassName.txt"] = "\n".join(f"/{name}" for name in names).encode()
    return Tiny({"SUN397.tar.gz": tar(members)}, Counts(3, 15))


def _caltech101() -> Tiny:
    inner = folders((f"101_ObjectCategories/{name}" for name in ("accordion", "yin_yang")), 5)
    inner |= folders(["101_ObjectCategories/BACKGROUND_Google"], 1)
    inner |= folders(["101_ObjectCategories/Faces"], 5, grey=True)
    outer = {
        "caltech-101/101_ObjectCategories.tar.gz": tar(inner),
        "caltech-101/Annotations.tar": tar({"Annotations/x": b"x"}),
    }
    return Tiny({"caltech-101.zip": zipped(outer)}, Counts(3, 15))


def _caltech256() -> Tiny:
    members = {
        f"256_ObjectCategories/{name}/{name[:3]}_{number:04d}.jpg": picture()
        for name in ("001.ak47", "002.clutter")
        for number in range(1, 6)
    }
    members["256_ObjectCategories/002.clutter/greg/056_0001.jpg"] = picture()
    members["256_ObjectCategories/002.clutter/RENAME2"] = b"x"
    return Tiny({"256_ObjectCategories.tar": tar(members)}, Counts(2, 10))


TINY: dict[str, Callable[[], Tiny]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "mnist": _mnist,
    "fashionmnist": _mnist,
    "kmnist": _mnist,
    "emnist_letters": _emnist_letters,
    "svhn": _svhn,
    "stl10": _stl10,
    "flowers102": _flowers102,
    "food101": _food101,
    "oxfordiiitpet": _oxfordiiitpet,
    "dtd": _dtd,
    "eurosat": _eurosat,
    "gtsrb": _gtsrb,
    "imagenette_160": _imagenette,
    "country211": _country211,
    "renderedsst2": _renderedsst2,
    "sun397": _sun397,
    "caltech101": _caltech101,
    "caltech256": _caltech256,
}
"""All that can be fetched, but for other sizes and cuts of these."""
