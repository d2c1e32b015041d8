"""A folder of class folders (the ImageFolder layout), with the images at any depth below them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, path_key, sha256, write_atomically
from classifier.basics.names import nearest
from classifier.data.images import (
    check_endings,
    holds,
    images_in,
    is_data,
    is_image,
    look_through,
    open_file,
)
from classifier.data.sources import Seen, Source
from classifier.data.split import PARTS, Part

if TYPE_CHECKING:
    from PIL.Image import Image


def beside(folder: Path) -> str:
    """What one that is not there may be meant to be: `; did you mean 'birds'?`."""
    try:
        there = [each.name for each in folder.parent.iterdir() if each.is_dir()]
    except OSError:
        return ""
    return nearest(folder.name, sorted(name for name in there if not name.startswith(".")))


@dataclass(frozen=True)
class Folder(Source):
    """A folder of the user's own, and the base of data sets that come as one."""

    path: str
    """Under the data root, with '/'."""

    def folder(self, root: Path) -> Path:
        return root / self.path

    def not_there(self, root: Path) -> UserError:
        return UserError(
            f"the data folder {self.folder(root)} is not there. Put the folder of class folders "
            f"there, or name its parent with --data-root{beside(self.folder(root))}"
        )

    def there(self, root: Path) -> Path:
        """The folder. Raises UserError where there is none."""
        if not self.is_there(root):
            raise self.not_there(root)
        return self.folder(root)

    def classes(self, root: Path) -> Mapping[str, list[str]]:
        folder = self.there(root)
        _check_layout(folder)
        classes = paths_by_class(folder)
        for paths in classes.values():
            check_endings(paths)
        return classes

    def left_out(self, root: Path) -> dict[str, int]:
        folder = self.there(root)
        left_out = _count_beside(folder)
        for name in class_folders(folder):
            left_out.update(by_ending(look_through(folder / name).left_out))
        return dict(sorted(left_out.items(), key=lambda item: (-item[1], item[0])))

    def open(self, root: Path, path: str) -> Image:
        return open_file(self.there(root) / path)

    def hashes(self, root: Path) -> dict[str, str]:
        folder = self.there(root)
        return {path: sha for path, (_, sha) in hashed(folder, image_paths(folder)).items()}

    def fingerprint(self, root: Path) -> str:
        folder = self.there(root)
        return fingerprint(folder, image_paths(folder))


@dataclass(frozen=True)
class SplitFolder(Folder):
    """A folder that is split: train/, val/ and, if there is one, test/, of class folders each."""

    def classes(self, root: Path) -> Mapping[str, list[str]]:
        """Labels are train's; val and test may lack classes, and have none of their own."""
        folder = self.there(root)
        where = part_folders(folder)
        classes: dict[str, list[str]] = {
            name: [] for name in class_folders(folder / where["train"])
        }
        for name in where.values():
            for of, paths in paths_by_class(folder / name).items():
                if of not in classes:
                    raise UserError(f"class '{of}' of {folder / name} is not in {where['train']}/")
                check_endings(paths)
                classes[of] += [f"{name}/{path}" for path in paths]
        return classes

    def parts(self, root: Path) -> Mapping[str, Part]:
        return self.look(root).parts

    def look(self, root: Path) -> Seen:
        """Walks through the folder once: it may hold millions of images."""
        classes = self.classes(root)
        folders = part_folders(self.folder(root))
        part_of = {name.partition("/")[0]: part for part, name in folders.items()}
        paths = chain.from_iterable(classes.values())
        parts = {path: part_of[path.partition("/")[0]] for path in paths}
        return Seen(classes, parts, self.groups(root))

    def left_out(self, root: Path) -> dict[str, int]:
        folder = self.there(root)
        counted = _count_beside(folder)
        for name in part_folders(folder).values():
            counted.update(Folder(f"{self.path}/{name}").left_out(root))
        return dict(counted)


PART_NAMES: Mapping[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What a part is called, in small letters: its folder, or what stands in a column."""

PART_OF: Mapping[str, Part] = {name: part for part, names in PART_NAMES.items() for name in names}


def part_called(name: str) -> Part | None:
    """The part that is called so; capitals don't count."""
    return PART_OF.get(name.lower())


_CALLED_AS_A_PART = re.compile(
    rf"(?P<before>(.*[-_ .])?)(?P<part>{'|'.join(PART_OF)})(?P<after>([-_ .].*)?)", re.IGNORECASE
)


def parts_among(names: Iterable[str]) -> dict[str, Part]:
    """Which of these folders are the parts of a split, train and at least one other: those that are
    called as parts, or so with something before or behind that is the same in all, as in
    `seg_train` and `seg_test`, `training_set` and `test_set`. None where two sets of them are."""
    alike: dict[tuple[str, str], dict[str, Part]] = {}
    for name in names:
        if found := _CALLED_AS_A_PART.fullmatch(name):
            key = found["before"].lower(), found["after"].lower()
            alike.setdefault(key, {})[name] = PART_OF[found["part"].lower()]
    splits = {key: of for key, of in alike.items() if {"train"} < set(of.values())}
    plain = splits.get(("", ""))
    return plain or (next(iter(splits.values())) if len(splits) == 1 else {})


def part_folders(folder: Path) -> dict[Part, str]:
    """The folders, from this one, that hold the class folders of a split that is given; of val and
    test one may be lacking. Raises UserError where more is, or a part is there twice."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    among = parts_among(names) or {name: part for name in names if (part := part_called(name))}
    found: dict[Part, str] = {}
    for part in PARTS:
        there = [name for name, of in among.items() if of == part]
        if len(there) > 1:
            raise UserError(f"{folder} has {' and '.join(there)}, which are both {part}; keep one")
        if there:
            found[part] = unwrapped(folder, there[0])
    if "train" not in found:
        raise UserError(f"{folder} has no train/, which split 'given' takes")
    if len(found) == 1:
        train, vals = folder / found["train"], " or ".join(f"{name}/" for name in PART_NAMES["val"])
        raise UserError(
            f"{folder} has no test/ and no {vals} beside {train.name}/: to split {train.name}, "
            f"--data-root {train.parent} with data: {{folder: {train.name}}}"
        )
    return found


def unwrapped(folder: Path, name: str) -> str:
    """A folder in this one, or what it holds alone if that is called alike, as archives are
    unpacked: `training_set/training_set`."""
    with os.scandir(folder / name) as entries:
        there = [entry.name for entry in entries if is_data(entry.name)]
    return f"{name}/{name}" if there == [name] and (folder / name / name).is_dir() else name


LIKE_A_PART = re.compile(rf"({'|'.join(PART_OF)})([-_ ]?(images?|imgs?|set|data))?$", re.IGNORECASE)
"""As train_images and test_images are."""


def _check_layout(folder: Path) -> None:
    """Raise UserError where what look like classes are parts of a split, or hold the classes."""
    names = class_folders(folder)
    if parts := parts_among(names):
        there = sorted(parts, key=lambda name: PARTS.index(parts[name]))
        train = folder / unwrapped(folder, there[0])
        if any(each.is_dir() for each in train.iterdir()):  # else a CSV may have the classes
            raise UserError(
                f"{folder} is split already ({', '.join(there)}): set 'split: given' in data, or "
                f"name it as --train_path {train}"
            )
    if len(names) > 1 and all(map(LIKE_A_PART.match, names)):
        raise UserError(
            f"the folders of {folder} are named as parts, not as classes ({', '.join(names)}): if "
            "a CSV has the classes, name it as 'labels' in data (labels: train.csv); else rename "
            "them"
        )
    inside = [_inside(folder / name) for name in names]
    first = inside[0]
    if len(names) == 1 and len(first) > 1:
        raise UserError(
            f"{folder} has one folder, '{names[0]}', which holds folders and no image: the classes "
            "lie one level too deep; move them up"
        )
    if len(first) > 1 and all(each == first for each in inside):
        raise UserError(
            f"all class folders of {folder} hold the same folders ({', '.join(sorted(first))}) and "
            "no image beside them: the classes lie one level too deep, or the parts of a split lie "
            "inside the classes; move them"
        )


def _inside(folder: Path) -> set[str]:
    """The folders in a folder that holds nothing else; none where there is an image beside them."""
    with os.scandir(folder) as entries:
        there = [entry for entry in entries if is_data(entry.name)]
    if any(not entry.is_dir() and is_image(Path(entry.name)) for entry in there):
        return set()
    return {entry.name for entry in there if entry.is_dir()}


def paths_by_class(folder: Path) -> dict[str, list[str]]:
    """The images' paths, relative and with '/', by their class folder."""
    classes: dict[str, list[str]] = {name: [] for name in class_folders(folder)}
    for path in image_paths(folder):
        classes[path.partition("/")[0]].append(path)
    return classes


def class_folders(folder: Path) -> list[str]:
    """Names of the class folders, in label order."""
    real = os.path.realpath(folder)
    names = []
    for entry in os.scandir(folder):
        if not entry.is_dir() or not is_data(entry.name):
            continue
        if entry.is_symlink() and holds(os.path.realpath(entry.path), real):
            raise UserError(f"{entry.path} is a link to a folder that holds it; remove the link")
        names.append(entry.name)
    if not names:
        raise UserError(f"{folder} has no class folders: one folder for each class is expected")
    return sorted(names)


def by_ending(files: Iterable[Path]) -> Counter[str]:
    """How many of the files that were left out end in what."""
    return Counter("no file" if is_image(f) else f.suffix.lower() or "no ending" for f in files)


def files_beside(folder: Path) -> list[str]:
    """The names of the files that lie in a folder of folders itself, in order."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if is_data(entry.name) and not entry.is_dir())


def _count_beside(folder: Path) -> Counter[str]:
    return Counter("outside the class folders" for _ in files_beside(folder))


def image_paths(folder: Path) -> Iterator[str]:
    """Paths, relative and with '/', of the images at any depth below the class folders."""
    for name in class_folders(folder):
        yield from relative(images_in(folder / name), folder)


def relative(files: Iterable[Path], folder: Path) -> Iterator[str]:
    """The files' paths from the folder, with '/'. Raises UserError for a name that is no text."""
    above = f"{folder}/"
    for file in files:
        path = str(file).removeprefix(above)  # relative_to takes ten times as long
        try:
            path.encode()  # records and hashes hold it
        except UnicodeEncodeError as error:
            raise UserError(
                f"the name {os.fsencode(path)!r} in {folder} is not UTF-8; rename it"
            ) from error
        yield path


def fingerprint(folder: Path, files: Iterable[str]) -> str:
    """16 hex digits over the relative paths and contents of files, whatever their order. Raises
    UserError as `hashed`."""
    whole = hashlib.sha256()
    for path, (size, sha) in hashed(folder, files).items():
        whole.update(f"{path}\0{size}\0{sha}\n".encode())
    return whole.hexdigest()[:16]


def hashed(folder: Path, files: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file, in order of their relative paths.

    A file's hash is kept while its size, times and inode stay, so that a second look costs one stat
    a file; `mv` and programs that set the old time change the inode or the time of change. Raises
    UserError, naming the file, where one can't be read.
    """
    from joblib import Parallel, delayed

    kept = cache_folder("fingerprints") / f"{path_key(folder)}.json"
    hashed = _read_index(kept)
    paths = sorted(files)
    try:
        stats = {path: (folder / path).stat() for path in paths}
        stamp = {
            path: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            for path, stat in stats.items()
        }
        new = [path for path in paths if hashed.get(path, [])[:-1] != stamp[path]]
        hash_all = Parallel(n_jobs=-1, prefer="threads")
        hashes = hash_all(delayed(sha256)(folder / path) for path in new)
    except OSError as error:  # a link to nowhere, no permission
        raise UserError(f"{error.filename} can't be read: {error.strerror}") from error
    found = {path: [*stamp[path], digest] for path, digest in zip(new, hashes, strict=True)}
    # Another question may be of other files of this folder; what is long gone is let go of.
    asked = set(paths)
    old = {} if len(hashed) > 2 * len(asked) + MOST_OLD else hashed
    index = {**old, **{path: hashed[path] for path in asked if path in hashed}, **found}
    if index != hashed:
        write_atomically(kept, json.dumps(index).encode())
    return {path: (int(index[path][0]), str(index[path][-1])) for path in paths}


MOST_OLD = 10_000


def _read_index(file: Path) -> dict[str, list[int | str]]:
    """Size, times, inode and hash of each file; an index that can't be read is made anew."""
    try:
        index = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}
