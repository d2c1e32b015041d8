"""What a spec selects of its data set, and in which part each image is. No torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from filelock import FileLock
from joblib import Parallel, delayed

from classifier.basics.errors import UserError, told_of
from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.progress import OnCount, uncounted
from classifier.data.images import BadImageError, check_endings
from classifier.data.sources import Source
from classifier.data.sources.folder import (
    Folder,
    class_folders,
    files_beside,
    image_paths,
    part_folders,
)
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, Part, sizes, split


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

    def lacking(self) -> dict[str, tuple[str, ...]]:
        """The classes that val or test has no image of, where it has any image."""
        held = set(zip(self.parts, self.labels, strict=True))
        lacking = {
            part: tuple(n for i, n in enumerate(self.classes) if (part, i) not in held)
            for part in dict.fromkeys(self.parts)
        }
        return {part: names for part, names in sorted(lacking.items()) if names}


def counts(data: DataSpec, root: Path) -> tuple[int, dict[Part, int]] | None:
    """Number of classes and of images in each part, or None while only images would tell.

    `on_bad_image: skip` looks at the images once they are there.
    """
    source = data.source
    class_sizes = source.sizes()
    may_lack_some = data.on_bad_image == "skip" and source.folder(root) is not None
    if (class_sizes is None or may_lack_some) and source.is_there(root):
        listed = listing(data, root)
        return len(listed.classes), listed.counts()
    if class_sizes is None:
        return None
    total: Counter[Part] = Counter()
    assert data.split != "given", "what has a name has no split of its own"
    for images in class_sizes.values():
        total.update(sizes(min(images, data.limit or images), data.split))
    return len(class_sizes), {part: total[part] for part in PARTS}


def listing(data: DataSpec, root: Path, progress: OnCount = uncounted) -> Listing:
    """What the data set holds and how it is split. Raises UserError where it can't be used.

    `progress` is for the first look with `on_bad_image: skip`, which decodes every image.
    """
    skipped = bad_images(data, root, progress) if data.on_bad_image == "skip" else frozenset()
    if data.split == "given":
        return _given_listing(data, root, skipped)
    classes = {
        name: [path for path in paths if path not in skipped]
        for name, paths in data.source.classes(root).items()
    }
    _at_least_two(classes, data)
    with told_of(data.source.folder(root) or data.title):
        parts = split(classes, data.split, data.split_seed, data.limit)
    names = tuple(sorted(classes))
    label_of = {path: names.index(name) for name, paths in classes.items() for path in paths}
    paths = tuple(sorted(parts))
    return Listing(
        names, paths, tuple(label_of[path] for path in paths), tuple(parts[path] for path in paths)
    )


def bad_images(data: DataSpec, root: Path, progress: OnCount = uncounted) -> frozenset[str]:
    """Paths of the images that can't be read. Found by decoding all, once for the same contents."""
    source = data.source
    if source.folder(root) is None:
        return frozenset()
    import PIL

    kept = cache_folder("bad") / f"{source.fingerprint(root)}-pillow{PIL.__version__}.json"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            if data.split == "given":
                folder = _split_folder(data, root)
                paths = sorted(
                    f"{name}/{path}"
                    for name in part_folders(folder).values()
                    for path in image_paths(folder / name)
                )
            else:
                paths = sorted(chain.from_iterable(source.classes(root).values()))
            good = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
                delayed(_is_good)(source, root, path) for path in paths
            )
            bad = []
            for done, (path, is_good) in enumerate(zip(paths, good, strict=True), start=1):
                if not is_good:
                    bad.append(path)
                progress(done, len(paths))
            write_atomically(kept, json.dumps(bad).encode())
        return frozenset(json.loads(kept.read_bytes()))


def left_out(data: DataSpec, root: Path) -> dict[str, int]:
    """How many files are taken for no image, by the ends of their names; nothing where the data set
    is not there."""
    source = data.source
    if not source.is_there(root):
        return {}
    if data.split != "given":
        return dict(source.left_out(root))
    assert isinstance(source, Folder)
    folder = source.there(root)
    counted = Counter(files_beside(folder))
    for name in part_folders(folder).values():
        counted.update(Folder(f"{source.path}/{name}").left_out(root))
    return dict(counted)


def fingerprint_if_there(data: DataSpec, root: Path) -> str | None:
    """The fingerprint, or None where the data set is not there to be looked at."""
    return data.source.fingerprint(root) if data.source.is_there(root) else None


def _given_listing(data: DataSpec, root: Path, skipped: frozenset[str]) -> Listing:
    """Labels are train's; val and test may lack classes, and have none of their own."""
    folder = _split_folder(data, root)
    where = part_folders(folder)
    names = tuple(class_folders(folder / where["train"]))
    _at_least_two(names, data)
    images: list[tuple[str, int, Part]] = []
    for part, name in where.items():
        odd = sorted(set(class_folders(folder / name)) - set(names))
        if odd:
            raise UserError(f"class '{odd[0]}' of {folder / name} is not in {where['train']}/")
        paths = [f"{name}/{path}" for path in image_paths(folder / name)]
        check_endings(paths)
        kept = [path for path in paths if path not in skipped]
        if not kept:
            raise UserError(f"{folder / name} has no image")
        images += ((path, names.index(path.split("/")[1]), part) for path in kept)
    held = {label for _, label, part in images if part == "train"}
    for label, class_name in enumerate(names):
        if label not in held:
            raise UserError(f"class '{class_name}' has no image in {folder / where['train']}")
    images.sort()
    listed, labels, parts = zip(*images, strict=True)
    return Listing(names, listed, labels, parts)


def _at_least_two(classes: Collection[str], data: DataSpec) -> None:
    if len(classes) < 2:
        raise UserError(f"{data.title} has one class only, '{next(iter(classes))}'; two are needed")


def _split_folder(data: DataSpec, root: Path) -> Path:
    """The folder that has train/, val/ and test/. Raises UserError where there is none."""
    assert isinstance(data.source, Folder)
    return data.source.there(root)


def _is_good(source: Source, root: Path, path: str) -> bool:
    try:
        source.open(root, path)
    except BadImageError:
        return False
    return True
