"""The data sets: what they hold, where they lie, what identifies their contents. No torch.

`digits` is in scikit-learn's package, `cub200` is known by its class sizes and looked for under
the data root, any other is a folder of class folders there (the ImageFolder layout).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from joblib import Parallel, delayed

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, digest, path_key, sha256, write_atomically
from classifier.data.images import BadImageError, open_file
from classifier.data.sources.folder import class_folders, image_paths
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, Part, Rule, sizes, split

if TYPE_CHECKING:
    from PIL.Image import Image

CUB_FOLDER = "CUB_200_2011"
CUB_URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
CUB_MD5 = "97eceeb196236b17998738112f37df78"

Progress = Callable[[int, int], None]
"""Images done, images in all."""

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

    For the data sets that are known by their class sizes no image is needed. `on_bad_image: skip`
    looks at the images once they are there.
    """
    there = folder_of(data, root).is_dir()
    if data.name is None and not there:
        return None
    if data.name is None or (data.name == "cub200" and data.on_bad_image == "skip" and there):
        found = listing(data, root)
        return len(found.classes), found.counts()
    known = DIGITS_SIZES if data.name == "digits" else tuple(_cub_sizes().values())
    total: Counter[Part] = Counter()
    for images in known:
        total.update(sizes(min(images, data.limit or images), _rule(data)))
    return len(known), {part: total[part] for part in PARTS}


def listing(data: DataSpec, root: Path, progress: Progress = lambda done, total: None) -> Listing:
    """What the data set holds and how it is split. Raises UserError where it can't be used.

    `progress` is for the first look with `on_bad_image: skip`, which decodes every image.
    """
    skipped = bad_images(data, root, progress) if data.on_bad_image == "skip" else frozenset()
    if data.split == "given":
        return _given_listing(data, root, skipped)
    classes = {
        name: [path for path in paths if path not in skipped]
        for name, paths in _classes(data, root).items()
    }
    _at_least_two(classes, data)
    try:
        parts = split(classes, _rule(data), data.split_seed, data.limit)
    except UserError as error:
        where = data.title if data.name == "digits" else folder_of(data, root)
        raise UserError(f"{where}: {error}") from error
    names = tuple(sorted(classes))
    label_of = {path: names.index(name) for name, paths in classes.items() for path in paths}
    paths = tuple(sorted(parts))
    return Listing(
        names, paths, tuple(label_of[path] for path in paths), tuple(parts[path] for path in paths)
    )


def open_image(data: DataSpec, root: Path, path: str) -> Image:
    """One image as RGB in its own size. Raises UserError, naming the file, if it can't be read."""
    if data.name == "digits":
        return _digits_image(path)
    return open_file(data_folder(data, root) / path)


def bad_images(
    data: DataSpec, root: Path, progress: Progress = lambda done, total: None
) -> frozenset[str]:
    """Paths of the images that can't be read. Found by decoding all, once for the same contents."""
    if data.name == "digits":
        return frozenset()
    import PIL

    folder = data_folder(data, root)
    kept = cache_folder("bad") / f"{fingerprint(data, root)}-pillow{PIL.__version__}.json"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            paths = sorted(image_paths(folder))
            good = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
                delayed(_is_good)(folder / path) for path in paths
            )
            bad = []
            for done, (path, is_good) in enumerate(zip(paths, good, strict=True), start=1):
                if not is_good:
                    bad.append(path)
                progress(done, len(paths))
            write_atomically(kept, json.dumps(bad).encode())
        return frozenset(json.loads(kept.read_bytes()))


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


def fingerprint_if_there(data: DataSpec, root: Path) -> str | None:
    """The fingerprint, or None where the data set is not there to be looked at."""
    there = data.name == "digits" or folder_of(data, root).is_dir()
    return fingerprint(data, root) if there else None


def fingerprint(data: DataSpec, root: Path) -> str:
    """16 hex digits over the sorted relative paths and contents of all the data set's images.

    A file's hash is kept while its size and modification time stay, so that a second look costs
    one stat a file.
    """
    if data.name == "digits":
        return digest(_digits_file())
    folder = data_folder(data, root)
    index_file = cache_folder("fingerprints") / f"{path_key(folder)}.json"
    known: dict[str, list[int | str]] = _read_index(index_file)
    paths = sorted(image_paths(folder))
    try:
        stats = {path: (folder / path).stat() for path in paths}
        stamp = {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}
        new = [path for path in paths if known.get(path, [])[:2] != stamp[path]]
        hash_all = Parallel(n_jobs=-1, prefer="threads")
        hashes = hash_all(delayed(sha256)(folder / path) for path in new)
    except OSError as error:  # a link to nowhere, no permission
        raise UserError(f"{error.filename} can't be read: {error.strerror}") from error
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
    names = class_folders(folder)
    if data.folder is not None and set(PARTS) <= set(names):
        raise UserError(
            f"{folder} is split already (train, val, test): set 'split: given' in data, or name it "
            f"as --train_path {folder / 'train'}"
        )
    classes = {name: [] for name in names}
    for path in image_paths(folder):
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


def _given_listing(data: DataSpec, root: Path, skipped: frozenset[str]) -> Listing:
    folder = data_folder(data, root)
    present = {part: class_folders(folder / part) for part in PARTS if (folder / part).is_dir()}
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
        for path in image_paths(folder / part)
        if f"{part}/{path}" not in skipped
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


def _is_good(file: Path) -> bool:
    try:
        open_file(file)
    except BadImageError:
        return False
    return True


@cache
def _cub_sizes() -> dict[str, int]:
    with (Path(__file__).parent / "sources" / "cub200.csv").open(newline="") as file:
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
