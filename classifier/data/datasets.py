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
from classifier.data.images import BadImageError
from classifier.data.sources import Source
from classifier.data.sources.folder import Folder, class_folders, image_paths
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
                paths = sorted(image_paths(_split_folder(data, root)))
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
    counted: Counter[str] = Counter()
    for part in PARTS:
        if isinstance(source, Folder) and (source.folder(root) / part).is_dir():
            counted.update(Folder(f"{source.path}/{part}").left_out(root))
    return dict(counted)


def fingerprint_if_there(data: DataSpec, root: Path) -> str | None:
    """The fingerprint, or None where the data set is not there to be looked at."""
    return data.source.fingerprint(root) if data.source.is_there(root) else None


def _given_listing(data: DataSpec, root: Path, skipped: frozenset[str]) -> Listing:
    folder = _split_folder(data, root)
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
    images = [
        (f"{part}/{path}", names.index(path.partition("/")[0]), part)
        for part in PARTS
        for path in image_paths(folder / part)
        if f"{part}/{path}" not in skipped
    ]
    for part in PARTS:
        held = {label for _, label, of in images if of == part}
        for label, name in enumerate(names):
            if label not in held:
                raise UserError(f"class '{name}' has no image in {part}/ of {folder}")
    images.sort()
    paths, labels, parts = zip(*images, strict=True)
    return Listing(names, paths, labels, parts)


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
