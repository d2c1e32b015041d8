"""A folder of class folders becomes train/, val/ and test/, by the same split as a matrix's.

First the whole split is written to `split.csv`, then image after image goes to its place by a
rename, so a run that was interrupted goes on from the plan, and no image is lost or in two parts.
"""

from __future__ import annotations

import csv
import errno
import filecmp
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from classifier.basics.errors import UserError, told_of
from classifier.basics.files import cache_folder, path_key, sync_folder, write_atomically
from classifier.basics.progress import OnCount, uncounted
from classifier.data.sources.folder import image_paths, paths_by_class
from classifier.data.split import PARTS, Part, Rule, Shares, shares_of, split

How = Literal["copy", "move", "symlink", "csv"]

Parts = dict[str, Part]
"""The part of each image, by its path relative to the folder of class folders."""

SPLIT = "split.csv"
UNFINISHED = ".unfinished.json"
"""In the new folder while a split is not finished: the arguments that it was begun with."""
PLACING = ".placing"
"""The copy that is being written: whole before it is renamed to its place."""


@dataclass(frozen=True)
class Arrangement:
    """What is to be made of the folder of class folders `data_path`.

    `out` gets split.csv (path, class, part), train/, val/, test/ and label.txt with the class names
    in label order (elsewhere with `label_path`). `how: csv` writes split.csv only.
    """

    data_path: Path
    out: Path
    val_size: float = 0.2
    test_size: float = 0.2
    rule: Rule = "strict"
    how: How = "copy"
    seed: int = 0
    label_path: Path | None = None

    @property
    def label_file(self) -> Path | None:
        return self.label_path or (None if self.how == "csv" else self.out / "label.txt")

    def as_json(self) -> dict[str, object]:
        """What tells it from another one in the same folder."""
        settings = {name: getattr(self, name) for name in ("val_size", "test_size", "rule", "how")}
        return {"data_path": str(self.data_path.resolve()), **settings, "seed": self.seed}


def arrange(wanted: Arrangement, progress: OnCount = uncounted) -> dict[Part, int]:
    """Make it, and say how many images each part has. The same call finishes one that was
    interrupted. Raises UserError."""
    out, shares = wanted.out, shares_of(wanted.val_size, wanted.test_size)
    _check_apart(wanted.data_path, out)
    lock = cache_folder("locks") / path_key(out)
    try:
        with FileLock(f"{lock}.lock", timeout=0):
            begun = _begun(out, wanted.as_json())
            parts = _read_parts(out / SPLIT) if begun and (out / SPLIT).exists() else None
            if parts is None:
                parts = _split_folder(wanted, shares)
            else:
                _check_nothing_new(wanted.data_path, parts)
            _write(wanted, parts, progress)
    except Timeout as error:
        raise UserError(f"{out} is being made by another process") from error
    counted = list(parts.values())
    return {part: counted.count(part) for part in PARTS}


def _write(wanted: Arrangement, parts: Parts, progress: OnCount) -> None:
    labels, label_file, out = _labels(parts), wanted.label_file, wanted.out
    if label_file is not None and label_file.is_file() and label_file.read_bytes() != labels:
        raise UserError(
            f"{label_file} holds other class names: remove it or name another --label_path"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        if wanted.how != "csv":
            write_atomically(out / UNFINISHED, json.dumps(wanted.as_json()).encode())
        write_atomically(out / SPLIT, _split_text(parts))
        if wanted.how != "csv":
            _place_all(wanted, parts, progress)
        if label_file is not None:
            label_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(label_file, labels)
        (out / PLACING).unlink(missing_ok=True)
        (out / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no second try helps
            raise
        place = error.filename2 or error.filename or out
        raise UserError(f"{place}: {error.strerror}; the same command goes on from here") from error


def _check_apart(data_path: Path, out: Path) -> None:
    source, target = data_path.resolve(), out.resolve()
    if source.is_relative_to(target) or target.is_relative_to(source):
        raise UserError(f"{out} and {data_path} must not lie in one another: name another --out")


def _begun(out: Path, arguments: dict[str, object]) -> bool:
    """Whether `out` holds this very command's unfinished work. Raises if it holds other things."""
    if not os.path.lexists(out):
        return False
    if not out.is_dir():
        raise UserError(f"{out} is not a folder")
    if (out / UNFINISHED).exists():
        try:
            begun_with = json.loads((out / UNFINISHED).read_bytes())
        except ValueError as error:
            raise UserError(f"{out / UNFINISHED} is damaged; name another --out") from error
        if begun_with != arguments:
            raise UserError(
                f"{out} holds an unfinished split with other arguments; give those again to finish "
                f"it, or name another --out: {json.dumps(begun_with, ensure_ascii=False)}"
            )
        return True
    # Names with a dot are left by writes that were cut before anything else was there.
    if any(entry.name[0] != "." for entry in os.scandir(out)):
        raise UserError(f"{out} is not empty: remove it or name another --out")
    return False


def _split_folder(wanted: Arrangement, shares: Shares) -> Parts:
    data_path = wanted.data_path
    if not data_path.is_dir():
        raise UserError(f"the folder of class folders {data_path} is not there")
    classes = paths_by_class(data_path)
    # One of the three alone may well be a class: trains, for one.
    if len(set(PARTS) & set(classes)) > 1:
        raise UserError(f"{data_path} is split already: it has {', '.join(classes)}")
    for path in chain.from_iterable(classes.values()):
        if "\n" in path or "\r" in path:
            raise UserError(f"the name {path!r} in {data_path} has a line break; rename it")
    with told_of(data_path):
        return dict(sorted(split(classes, wanted.rule, wanted.seed, shares=shares).items()))


def _check_nothing_new(data_path: Path, parts: Parts) -> None:
    if not data_path.is_dir():
        return  # all was moved, and the empty folder removed
    new = [path for path in image_paths(data_path) if path not in parts]
    if new:
        raise UserError(
            f"{data_path / new[0]} ({len(new)} image(s) in all) came after the split was begun; "
            "take it out until the split is finished"
        )


def _split_text(parts: Parts) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "part"])
    writer.writerows([path, path.partition("/")[0], part] for path, part in parts.items())
    return text.getvalue().encode()


def _read_parts(file: Path) -> Parts:
    with file.open(newline="", encoding="utf-8") as opened:
        parts = {row["path"]: row["part"] for row in csv.DictReader(opened)}
    return {path: next(part for part in PARTS if part == of) for path, of in parts.items()}


def _labels(parts: Parts) -> bytes:
    """The class names, one a line, in label order."""
    names = sorted({path.partition("/")[0] for path in parts})
    return "".join(f"{name}\n" for name in names).encode()


def _place_all(wanted: Arrangement, parts: Parts, progress: OnCount) -> None:
    out, place = wanted.out, _PLACE[wanted.how]
    for done, (path, part) in enumerate(parts.items(), start=1):
        source, target = wanted.data_path / path, out / part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(source) and not os.path.lexists(target):
            raise UserError(
                f"{source} is gone since the split was begun; put it back, and the same command "
                "goes on"
            )
        place(source, target, out / PLACING)
        progress(done, len(parts))


def _copy(source: Path, target: Path, placing: Path) -> None:
    if not target.exists() or (source.exists() and source.stat().st_size != target.stat().st_size):
        shutil.copy2(source, placing)
        placing.replace(target)


def _move(source: Path, target: Path, placing: Path) -> None:
    """Never without a whole copy: the source goes by a rename, or after its copy is on the disk."""
    if not os.path.lexists(source):
        return
    if target.exists():
        # Copied to another disk and not yet removed when the command was interrupted.
        if not filecmp.cmp(source, target, shallow=False):
            raise UserError(f"{source} and {target} differ; remove the one that is not wanted")
    else:
        # A link is followed: moved as it is, a relative one would point nowhere.
        if not source.is_symlink():
            try:
                source.rename(target)
                return
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
        shutil.copy2(source, placing)
        with placing.open("rb") as file:
            os.fsync(file.fileno())
        placing.replace(target)
        sync_folder(target.parent)
    source.unlink()


def _symlink(source: Path, target: Path, placing: Path) -> None:
    if not target.is_symlink():
        target.symlink_to(source.resolve())


_PLACE: dict[str, Callable[[Path, Path, Path], None]] = {
    "copy": _copy,
    "move": _move,
    "symlink": _symlink,
}
