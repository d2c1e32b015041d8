"""The data sets: what they hold, where they lie, what identifies their contents. No torch.

`digits` is in scikit-learn's package, `cub200` is known by its class sizes and looked for under
the data root, any other is a folder of class folders there (the ImageFolder layout).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import Parallel, delayed

from classifier.data.split import PARTS, Part, Rule, sizes, split
from classifier.errors import UserError
from classifier.files import cache_folder, write_atomically
from classifier.spec import DataSpec

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

CUB_FOLDER = "CUB_200_2011"
CUB_URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
CUB_MD5 = "97eceeb196236b17998738112f37df78"

DIGITS_SIZES = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


@dataclass(frozen=True)
class Listing:
    """The images that a spec selects, each in one part, ordered by path."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    parts: tuple[Part, ...]

    def indices(self, part: Part) -> list[int]:
        return [index for index, of in enumerate(self.parts) if of == part]

    def counts(self) -> dict[Part, int]:
        return {part: self.parts.count(part) for part in PARTS}


def counts(data: DataSpec, root: Path) -> tuple[int, dict[Part, int]] | None:
    """Number of classes and of images in each part, or None while a folder is not there.

    For the data sets that are known by their class sizes no image is needed.
    """
    if data.name is None:
        if not (root / str(data.folder)).is_dir():
            return None
        found = listing(data, root)
        return len(found.classes), found.counts()
    known = DIGITS_SIZES if data.name == "digits" else tuple(_cub_sizes().values())
    total: Counter[Part] = Counter()
    for images in known:
        total.update(sizes(min(images, data.limit or images), _rule(data)))
    return len(known), {part: total[part] for part in PARTS}


def listing(data: DataSpec, root: Path) -> Listing:
    """What the data set holds and how it is split. Raises UserError where it can't be used."""
    if data.split == "given":
        return _given_listing(data, root)
    classes = _classes(data, root)
    _at_least_two(classes, data)
    parts = split(classes, _rule(data), data.split_seed, data.limit)
    names = tuple(sorted(classes))
    label_of = {path: names.index(name) for name, paths in classes.items() for path in paths}
    paths = tuple(sorted(parts))
    return Listing(
        names, paths, tuple(label_of[path] for path in paths), tuple(parts[path] for path in paths)
    )


def open_image(data: DataSpec, root: Path, path: str) -> Image:
    """One image as RGB in its own size. Raises UserError, naming the file, if it can't be read."""
    from PIL import Image, UnidentifiedImageError

    if data.name == "digits":
        return _digits_image(path)
    file = data_folder(data, root) / path
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} can't be read as an image: {error}") from error


def folder_of(data: DataSpec, root: Path) -> Path:
    """The folder that the listing's paths start from, whether it is there or not."""
    return root / CUB_FOLDER / "images" if data.name == "cub200" else root / str(data.folder)


def data_folder(data: DataSpec, root: Path) -> Path:
    """The folder that the listing's paths start from. Raises UserError where there is none."""
    folder = folder_of(data, root)
    if not folder.is_dir():
        raise not_there(data, root)
    return folder


def not_there(data: DataSpec, root: Path) -> UserError:
    """The error for a data set that is missing: what to fetch and where to put it."""
    folder = folder_of(data, root)
    if data.name == "cub200":
        return UserError(
            f"cub200 is not at {folder}. Fetch {CUB_URL} (1.1 GB, MD5 {CUB_MD5}) and extract it "
            f"into {root}, or name another folder with --data-root"
        )
    return UserError(
        f"the data folder {folder} is not there. Put the folder of class folders there, or name "
        "its parent with --data-root"
    )


def fingerprint(data: DataSpec, root: Path) -> str:
    """16 hex digits over the sorted relative paths and contents of all the data set's images.

    A file's hash is kept while its size and modification time stay, so that a second look costs
    one stat a file.
    """
    if data.name == "digits":
        return _sha256(_digits_file())[:16]
    folder = data_folder(data, root)
    index_file = cache_folder("fingerprints") / (
        hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16] + ".json"
    )
    known: dict[str, list[int | str]] = _read_index(index_file)
    paths = sorted(_image_paths(folder))
    stats = {path: (folder / path).stat() for path in paths}
    stamp = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
    new = [path for path in paths if known.get(path, [])[:2] != stamp[path]]
    hashes = Parallel(n_jobs=-1, prefer="threads")(delayed(_sha256)(folder / path) for path in new)
    index = {path: known[path] for path in paths if path in known}
    index.update({path: [*stamp[path], digest] for path, digest in zip(new, hashes, strict=True)})
    if index != known:
        write_atomically(index_file, json.dumps(index).encode())
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path}\0{index[path][0]}\0{index[path][2]}\n".encode())
    return whole.hexdigest()[:16]


def _rule(data: DataSpec) -> Rule:
    assert data.split != "given"
    return data.split


def _classes(data: DataSpec, root: Path) -> dict[str, list[str]]:
    """Relative paths of each class, of a data set that has no split of its own."""
    if data.name == "digits":
        labels = _digits()[1]
        classes: dict[str, list[str]] = {str(digit): [] for digit in range(10)}
        for index, label in enumerate(labels):
            classes[str(label)].append(f"{label}/{index:04d}")
        return classes
    folder = data_folder(data, root)
    names = _class_folders(folder)
    if data.folder is not None and set(PARTS) <= set(names):
        raise UserError(f"{folder} is split already (train, val, test): set 'split: given' in data")
    classes = {name: [] for name in names}
    for path in _image_paths(folder):
        classes[path.partition("/")[0]].append(path)
    if data.name == "cub200":
        found = {name: len(paths) for name, paths in classes.items()}
        for name, images in _cub_sizes().items():
            if found.get(name) != images:
                raise UserError(
                    f"{folder / name} holds {found.get(name, 0)} images where CUB-200-2011 has "
                    f"{images}; extract the archive again"
                )
    return classes


def _given_listing(data: DataSpec, root: Path) -> Listing:
    folder = data_folder(data, root)
    present = {part: _class_folders(folder / part) for part in PARTS if (folder / part).is_dir()}
    missing = [part for part in PARTS if not present.get(part)]
    if missing:
        raise UserError(
            f"{folder} has no class folders in {missing[0]}/, which split 'given' takes"
        )
    names = tuple(present["train"])
    _at_least_two(names, data)
    for part in PARTS[1:]:
        odd = sorted(set(present[part]) ^ set(names))
        if odd:
            raise UserError(f"class '{odd[0]}' is not in both train/ and {part}/ of {folder}")
    found = [
        (f"{part}/{path}", names.index(path.partition("/")[0]), part)
        for part in PARTS
        for path in _image_paths(folder / part)
    ]
    for part in PARTS:
        held = {label for _, label, of in found if of == part}
        for label, name in enumerate(names):
            if label not in held:
                raise UserError(f"class '{name}' has no image in {part}/ of {folder}")
    found.sort()
    paths, labels, parts = zip(*found, strict=True)
    return Listing(names, paths, labels, parts)


def _at_least_two(classes: Collection[str], data: DataSpec) -> None:
    if len(classes) < 2:
        raise UserError(f"{data.title} has one class only, '{next(iter(classes))}'; two are needed")


def _class_folders(folder: Path) -> list[str]:
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise UserError(f"{folder} has no class folders: one folder for each class is expected")
    return names


def _image_paths(folder: Path) -> Iterator[str]:
    """Paths, relative and with '/', of the images at any depth below the class folders."""
    for name in _class_folders(folder):
        for where, folders, files in os.walk(folder / name):
            folders.sort()
            for file in sorted(files):
                if Path(file).suffix.lower() in IMAGE_SUFFIXES:
                    yield Path(where, file).relative_to(folder).as_posix()


@cache
def _cub_sizes() -> dict[str, int]:
    with (Path(__file__).parent / "cub200.csv").open(newline="") as file:
        return {row["class"]: int(row["images"]) for row in csv.DictReader(file)}


def _digits_file() -> Path:
    """scikit-learn's file, found without the second that importing scikit-learn takes."""
    package = importlib.util.find_spec("sklearn")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


@cache
def _digits() -> tuple[list[list[list[float]]], list[int]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, [int(label) for label in digits.target]


def _digits_image(path: str) -> Image:
    import numpy as np
    from PIL import Image

    levels = np.asarray(_digits()[0][int(path.partition("/")[2])])
    return Image.fromarray(np.rint(levels * (255 / 16)).astype(np.uint8)).convert("RGB")


def _read_index(file: Path) -> dict[str, list[int | str]]:
    """The kept hashes; an index that can't be read is made anew."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
