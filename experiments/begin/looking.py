"""What lies in a folder of images: classes, parts, sizes, and what is odd. No torch.

The folder is read as a training reads it (`classifier.data`): what is said here is what will be
trained on. Of many images only some are opened, and these by their headers.
"""

from __future__ import annotations

import os
import statistics
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.names import counted, printable
from classifier.basics.names import listed as listed_files
from classifier.basics.progress import OnCount, uncounted
from classifier.data import datasets
from classifier.data.datasets import Listing
from classifier.data.images import BadImageError, decoders, is_data, look_through
from classifier.data.prepare import some
from classifier.data.sources.digits import SIZES
from classifier.data.sources.folder import beside, files_beside, part_folders
from classifier.data.spec import DataSpec
from classifier.data.split import Part, check_sizes
from experiments.begin import layout
from experiments.begin.layout import Layout

MOST_DECODED = 1000
"""So many images are decoded, as a run would; of more only the headers of so many are read."""
FEW = 20
"""Images of a class below which it is named."""
MOST_LEFT_OUT = 3
"""Files that are no images: so many are named."""
DIGITS_SIDE = 8


@dataclass(frozen=True)
class Looked:
    """What a matrix is written for."""

    title: str
    kind: str
    """The layout, in words."""
    data: DataSpec
    root: Path | None
    """The data root, absolute; None of data that come with the installation."""
    others: tuple[DataSpec, ...]
    classes: Mapping[str, int]
    """How many images each has."""
    parts: Mapping[Part, int]
    sizes: tuple[tuple[int, int], ...]
    """Width and height in pixels of the images that were opened."""
    is_whole: bool
    """Whether each image was decoded."""
    odd: tuple[str, ...] = ()
    """A sentence each."""

    @property
    def images(self) -> int:
        return sum(self.parts.values())

    @property
    def side(self) -> int:
        """The short side of an image in the middle, in pixels."""
        return round(statistics.median(min(size) for size in self.sizes))


def digits() -> Looked:
    """scikit-learn's, known without being read."""
    data = DataSpec(name="digits")
    known = datasets.counts(data, Path())
    sizes = data.source.sizes()
    assert known is not None and sizes is not None
    side = (DIGITS_SIDE, DIGITS_SIDE)
    return Looked(
        "digits",
        "data of scikit-learn",
        data,
        None,
        (),
        sizes,
        known[1],
        (side,) * sum(SIZES),
        True,
    )


Counting = Callable[[], OnCount]
"""Begins a count of images, which are looked at from then on."""


def look(folder: Path, counting: Counting = lambda: uncounted) -> Looked:
    """Raises UserError, with what to do, for what can't be trained on."""
    folder = _there(folder)
    try:
        found = layout.find(folder)
        with _beside_unused(found.unused):
            return _looked(found, folder, counting)
    except OSError as error:
        raise UserError(f"{error.filename or folder} can't be read: {error.strerror}") from error


@contextmanager
def _beside_unused(unused: Sequence[str]) -> Iterator[None]:
    """A folder that can't be trained on may lack what a CSV in it was meant to say."""
    try:
        yield
    except UserError as error:
        if not unused:
            raise
        raise UserError(f"{error}; its CSV is not used ({'; '.join(unused)})") from error


def _there(folder: Path) -> Path:
    """Absolute, its links as they are. Raises UserError where it is none."""
    try:
        folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - keeps a link's name
    except RuntimeError as error:
        raise UserError(f"--data {folder}: there is no such home folder") from error
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the name {os.fsencode(folder)!r} is not UTF-8; rename it") from error
    if folder.is_dir() and folder.name:
        return folder
    if folder.is_dir():
        raise UserError(f"--data {folder} is a whole file system; name a folder of images in it")
    if folder.exists():
        raise UserError(f"--data {folder} is a file, not a folder; name the folder of images")
    raise UserError(f"--data {folder} is not there{beside(folder)}")


def _looked(found: Layout, folder: Path, counting: Counting) -> Looked:
    root = found.root
    listed = datasets.listing(found.data, root)
    seen = _seen(found.data, root, listed.paths, counting)
    data = _readable(found.data, seen)
    if seen.bad:
        listed = _without(data, root, listed, seen)
    unused = [f"not used: {each}" for each in found.unused]
    odd = [*found.odd, *unused, *seen.told(found.data)]
    others = []
    for other in found.others:
        paths = datasets.other(other, root, listed.classes).paths
        tried = _seen(other, root, paths, counting)
        odd += tried.told(other)
        others.append(_readable(other, tried))
    counts = Counter(listed.classes[label] for label in listed.labels)
    classes = {name: counts[name] for name in listed.classes}
    return Looked(
        title=folder.name,
        kind=found.kind,
        data=data,
        root=root,
        others=tuple(others),
        classes=classes,
        parts=listed.counts(),
        sizes=tuple(seen.sizes.values()),
        is_whole=seen.is_whole,
        odd=(
            *odd,
            *_remarks(data, root, listed, classes),
            *(_copies(data, root, listed) if seen.is_whole else ()),
        ),
    )


@dataclass(frozen=True)
class _Seen:
    sizes: Mapping[str, tuple[int, int]]
    """Width and height, by path, of those that were opened and can be read."""
    bad: Mapping[str, str]
    """By path why it can't be read."""
    is_whole: bool

    def told(self, data: DataSpec) -> list[str]:
        if not self.bad:
            return []
        each = [f"{path} ({why})" for path, why in sorted(self.bad.items())]
        found = "" if self.is_whole else ", of those that were opened"
        number = counted(len(self.bad), "image")
        return [f"{number} of {data.title} can't be read{found}: {some(each)}"]


def _seen(data: DataSpec, root: Path, paths: Sequence[str], counting: Counting) -> _Seen:
    """All that are empty; a few images decoded, of many the headers of some. Raises UserError where
    none can be read."""
    folder = data.source.folder(root)
    assert folder is not None
    bad = {path: "it is empty" for path in paths if not (folder / path).stat().st_size}
    is_whole, progress = len(paths) <= MOST_DECODED, counting()
    if is_whole:
        bad |= datasets.unreadable(data, root, paths, progress)
    sizes = {}
    sample = spread(paths, MOST_DECODED)
    for done, path in enumerate(sample, start=1):
        if path not in bad:
            try:
                sizes[path] = header(folder / path)
            except BadImageError as error:
                bad[path] = error.reason
        if not is_whole:
            progress(done, len(sample))
    if not sizes:
        raise UserError(f"{folder}: no image can be read: {some(sorted(bad))}")
    return _Seen(sizes, bad, is_whole)


def _readable(data: DataSpec, seen: _Seen) -> DataSpec:
    """Leaves out what can't be read, if there is any, or if there may be."""
    if seen.is_whole and not seen.bad:
        return data
    return data.model_copy(update={"on_bad_image": "skip"})


def _without(data: DataSpec, root: Path, listed: Listing, seen: _Seen) -> Listing:
    """What is left to be split. Of many images only a few were opened: their classes' sizes are
    checked, and their parts stay as they are until a run has looked at all."""
    if seen.is_whole:
        return datasets.listing(data, root)
    left = Counter(
        listed.classes[label]
        for path, label in zip(listed.paths, listed.labels, strict=True)
        if path not in seen.bad
    )
    if data.split != "given":
        check_sizes({name: left[name] for name in listed.classes}, data.split)
    return listed


def header(file: Path) -> tuple[int, int]:
    """Width and height in pixels, by a file's first bytes. Raises BadImageError where these are of
    no image."""
    from PIL import Image, UnidentifiedImageError

    decoders()
    try:
        with Image.open(file) as image:
            return image.size
    except UnidentifiedImageError as error:
        raise BadImageError(file, "its contents are no image") from error
    except (ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise BadImageError(file, str(error)) from error


def spread(paths: Sequence[str], most: int) -> list[str]:
    """At most so many, evenly over their order: of each class by its share."""
    count = min(most, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _remarks(
    data: DataSpec, root: Path, listed: Listing, classes: Mapping[str, int]
) -> Iterator[str]:
    """What is odd about files and classes, a sentence each."""
    if left_out := datasets.left_out(data, root):
        named = some(_left_out(data, root), MOST_LEFT_OUT)
        named = f" ({named})" if named else ""
        what = "no images, left out" if data.labels is None else "left out"
        yield f"{what}: {listed_files(left_out)}{named}"
    folder = data.source.folder(root)
    assert folder is not None
    if hidden := hidden_in(folder):
        yield f"hidden files and folders, left out: {some(hidden)} ({len(hidden):,} in all)"
    if data.labels is None and (nested := _nested(data, folder, listed.paths)):
        yield f"folders inside a class, whose images are the class's: {some(nested)}"
    few = [f"{printable(name)} ({of})" for name, of in classes.items() if of < FEW]
    if few:
        yield f"classes with fewer than {FEW} images: {some(few)} ({len(few):,} in all)"
    for part, names in listed.lacking().items():
        yield f"{part} has no image of {some(names)}"


def _copies(data: DataSpec, root: Path, listed: Listing) -> Iterator[str]:
    """What is odd about images that are the same, byte for byte."""
    label_of = dict(zip(listed.paths, listed.labels, strict=True))
    copies = datasets.copies(data, root, listed.paths)
    wrong = [each for each in copies if len({label_of[path] for path in each}) > 1]
    if wrong:
        of = counted(len(wrong), "set")
        yield f"{of} of equal images in several classes, one at most is right: {_equal(wrong)}"
    is_given = data.split == "given"
    if torn := datasets.torn(copies, listed) if is_given else []:
        of = counted(len(torn), "set")
        yield f"{of} of equal images in more than one part, which flatters: {_equal(torn)}"
    if more := [each for each in copies if each not in wrong and each not in torn]:
        advice = "" if is_given else "; `duplicates: together` keeps them in one part"
        yield f"{counted(len(more), 'set')} of equal images: {_equal(more)}{advice}"


def _equal(copies: Sequence[Sequence[str]]) -> str:
    return some([" = ".join(each) for each in copies])


def _left_out(data: DataSpec, root: Path) -> list[str]:
    """The files that are taken for no image, by their paths: first those outside the class folders,
    which may well be images. Of what a CSV does not name, only what could not be one."""
    folder = data.source.folder(root)
    assert folder is not None
    if data.labels is not None:
        found = [os.path.relpath(file, folder) for file in look_through(folder).left_out]
        return [path for path in found if path != data.labels.file]
    parts = part_folders(folder).values() if data.split == "given" else ()
    outside = [
        os.path.join(place, name)  # noqa: PTH118 - a path as text
        for place in ("", *parts)
        for name in files_beside(folder / place)
    ]
    inside = [
        os.path.relpath(file, folder)
        for place in parts or ("",)
        for file in look_through(folder / place).left_out
    ]
    return list(dict.fromkeys([*outside, *inside]))


def _nested(data: DataSpec, folder: Path, paths: Sequence[str]) -> list[str]:
    """The folders below the class folders."""
    parts = part_folders(folder).values() if data.split == "given" else ()
    depths = {name.partition("/")[0]: name.count("/") + 2 for name in parts}
    folders = {path.rpartition("/")[0] for path in paths}
    return sorted(f for f in folders if f.count("/") >= depths.get(f.partition("/")[0], 1))


def hidden_in(folder: Path) -> list[str]:
    """What is a system's, by its path; nothing of what lies in it."""
    found = []
    for place, folders, files in os.walk(folder):
        above = os.path.relpath(place, folder)
        hidden = [name for name in (*folders, *files) if not is_data(name)]
        found += [os.path.normpath(f"{above}/{name}") for name in hidden]
        folders[:] = [name for name in folders if is_data(name)]
    return sorted(found)
