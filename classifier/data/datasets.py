"""What a spec selects of its data set, and in which part each image is. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError, told_of
from classifier.basics.names import below, composed, nearest
from classifier.basics.progress import OnCount, uncounted
from classifier.data import duplicates
from classifier.data.images import BadImageError, decoders
from classifier.data.looked import once
from classifier.data.sources import Seen, Source
from classifier.data.spec import DataSpec
from classifier.data.split import (
    PARTS,
    Part,
    check_sizes,
    cut_val,
    fold_counts,
    in_order,
    sizes,
    split,
    split_folds,
    split_groups,
)

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_NAMED = 100


@dataclass(frozen=True)
class Listing:
    """The images that a spec selects, each in one part, ordered by path."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    parts: tuple[Part, ...]
    skipped: tuple[str, ...] = ()
    """Paths of images that can't be read and were left out."""
    groups: int | None = None
    """How many the images belong to, where any do."""

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
    """Number of classes and of images in each part, or None while only images would tell. Of folds
    together: every image is one of test, train and val are those of the first.

    `on_bad_image: skip` looks at the images once they are there. Raises UserError where a class is
    too small for the split.
    """
    source = data.source
    class_sizes = source.sizes()
    known = source.counts() if source.is_split else None
    images_tell = (
        (class_sizes is None and known is None)
        or data.group is not None
        or data.duplicates == "together"
    )
    may_lack_some = data.on_bad_image == "skip" and source.folder(root) is not None
    if (images_tell or may_lack_some) and source.is_there(root):
        listed = listing(data, root)
        counted = listed.counts()
        is_whole = data.folds is not None and data.fold is None
        return len(listed.classes), counted | ({"test": len(listed.paths)} if is_whole else {})
    if images_tell:
        return None
    if known is not None:
        return known.classes, known.parts
    assert class_sizes is not None
    if data.folds is not None:
        return len(class_sizes), _counts_of_folds(data, class_sizes)
    total: Counter[Part] = Counter()
    assert class_sizes is not None and data.split != "given"
    with told_of(data.title):
        check_sizes(class_sizes, data.split, data.limit)
    for images in class_sizes.values():
        total.update(sizes(min(images, data.limit or images), data.split))
    return len(class_sizes), {part: total[part] for part in PARTS}


def _counts_of_folds(data: DataSpec, class_sizes: Mapping[str, int]) -> dict[Part, int]:
    assert data.split != "given" and data.folds is not None
    with told_of(data.title):
        of_fold = fold_counts(class_sizes, data.split, data.folds, data.fold or 0, data.limit)
    kept = sum(min(images, data.limit or images) for images in class_sizes.values())
    return of_fold if data.fold is not None else {**of_fold, "test": kept}


def listing(data: DataSpec, root: Path, progress: OnCount = uncounted) -> Listing:
    """What the data set holds and how it is split; of folds together as in the first. Raises
    UserError where it can't be used.

    `progress` is for the first look with `on_bad_image: skip` or `similar`, which decodes every
    image.
    """
    seen = data.source.look(root)
    if data.split != "given" and seen.parts:
        mend = "leave out 'split'" if data.source.is_split else "write 'split: given'"
        raise UserError(f"data set '{data.title}' gives its images parts: {mend}")
    if data.split == "given" and not seen.parts:
        what = "gives its images no parts, so it can't be split as 'given'"
        mend = "write 'split: strict'" if data.source.is_split else "leave out 'split'"
        raise UserError(f"data set '{data.title}' {what}; {mend}")
    classes, skipped = _readable(data, root, seen.classes, progress)
    _at_least_two(classes, data)
    with told_of(data.source.folder(root) or data.title):
        groups = dict(seen.groups) if data.group is None else _groups(data, classes)
        if data.split == "given":
            parts = _given(_with_val(data, seen, classes, groups), classes, groups)
        elif data.duplicates == "together" or groups:
            every = list(chain.from_iterable(classes.values()))
            alike = copies(data, root, every, progress) if data.duplicates == "together" else []
            parts = _drawn(data, classes, duplicates.joined(groups, alike))
        else:
            parts = _drawn(data, classes, None)
    names = tuple(sorted(classes))
    label_of = {path: label for label, name in enumerate(names) for path in classes[name]}
    paths = tuple(sorted(parts))
    labels, of = tuple(label_of[path] for path in paths), tuple(parts[path] for path in paths)
    together = len({groups[path] for path in paths if path in groups}) or None
    return Listing(names, paths, labels, of, skipped, together)


def _drawn(
    data: DataSpec, classes: Mapping[str, Sequence[str]], groups: Mapping[str, str] | None
) -> dict[str, Part]:
    """The part of each path, with groups kept together where there are any."""
    assert data.split != "given"
    rule, seed = data.split, data.split_seed
    if data.folds is not None:
        fold = data.fold or 0
        return split_folds(classes, groups or {}, rule, seed, data.folds, fold, data.limit)
    if groups is not None:
        return split_groups(classes, groups, rule, seed, data.limit)
    return split(classes, rule, seed, data.limit)


def other(
    data: DataSpec, root: Path, classes: Sequence[str], progress: OnCount = uncounted
) -> Listing:
    """Images that a network which knows `classes` is tried on: all of the data set, as a test part,
    or its own test part where its split is given. Raises UserError where it can't be used.
    """
    known = {composed(name): label for label, name in enumerate(classes)}
    tried = _tried(data, data.source.look(root))
    found = {composed(name): paths for name, paths in tried.items()}
    strange = [name for name in found if name not in known]
    place = data.source.folder(root) or data.title
    if strange:
        raise UserError(
            f"{place}: class '{strange[0]}' is none of those that were trained"
            f"{nearest(strange[0], classes)}; rename it as the class that it is, or move it away"
        )
    readable, skipped = _readable(data, root, found, progress)
    label_of = {
        path: known[name]
        for name, paths in readable.items()
        for path in in_order(paths, data.split_seed)[: data.limit]
    }
    if not label_of:
        raise UserError(f"{place}: test has no image")
    kept = tuple(sorted(label_of))
    given: list[Part] = ["test"] * len(kept)
    of = tuple(label_of[path] for path in kept)
    return Listing(tuple(classes), kept, of, tuple(given), skipped)


def count_other(data: DataSpec, root: Path) -> int | None:
    """How many images `other` gives; None where they are not there, and nobody knows. Only
    `on_bad_image: skip` looks at them."""
    if not data.source.is_there(root):
        known = data.source.counts()
        if known is None or data.limit:
            return None
        return known.images if isinstance(known.images, int) else known.images["test"]
    tried, _ = _readable(data, root, _tried(data, data.source.look(root)), uncounted)
    return sum(min(len(paths), data.limit or len(paths)) for paths in tried.values())


def _tried(data: DataSpec, seen: Seen) -> Mapping[str, Sequence[str]]:
    """By class, the images of other data that a network is tried on."""
    if data.split != "given":
        return seen.classes
    if not seen.parts:
        what = "gives its images no parts, so it has no test part"
        raise UserError(f"data set '{data.title}' {what}; leave out 'split: given'")
    return {
        name: [path for path in paths if seen.parts[path] == "test"]
        for name, paths in seen.classes.items()
    }


def _readable(
    data: DataSpec, root: Path, classes: Mapping[str, Sequence[str]], progress: OnCount
) -> tuple[Mapping[str, Sequence[str]], tuple[str, ...]]:
    """The classes without what can't be read, and what that is, where it is to be left out."""
    if data.on_bad_image != "skip":
        return classes, ()
    bad = unreadable(data, root, list(chain.from_iterable(classes.values())), progress)
    good = {name: [path for path in paths if path not in bad] for name, paths in classes.items()}
    return good, tuple(bad)


def unreadable(
    data: DataSpec, root: Path, paths: Collection[str], progress: OnCount = uncounted
) -> dict[str, str]:
    """Which of the images can't be read, and why. Found by decoding all, once for the same
    contents."""
    source = data.source
    folder = source.folder(root)
    if folder is None:
        return {}

    def reason(path: str) -> str | None:
        try:
            source.open(root, path)
        except BadImageError as error:
            return error.reason
        return None

    hashes = _contents(source, root, paths)
    said = once(decoders(), folder, hashes, reason, progress)
    return {path: why for path, why in sorted(said.items()) if why is not None}


def refused(bad: Mapping[str, str], images: int) -> UserError:
    """The error that names the unreadable ones among so many images; `bad`: why, by file."""
    named = below([f"{file}: {why}" for file, why in bad.items()], MOST_NAMED)
    return UserError(
        f"{len(bad):,} of {images:,} images can't be read; mend or remove them, or leave them out "
        f"with 'on_bad_image: skip' in data (python -m classifier: --on_bad_image skip):{named}"
    )


def shared(
    data: DataSpec, root: Path, listed: Listing, progress: OnCount = uncounted
) -> list[tuple[str, ...]]:
    """The sets of images that are the same, or alike with `similar`, and lie in several parts."""
    if data.duplicates == "together":
        return []
    return torn(copies(data, root, listed.paths, progress), listed)


def torn(copies: Iterable[tuple[str, ...]], listed: Listing) -> list[tuple[str, ...]]:
    """The sets of images that lie in several parts."""
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    return [alike for alike in copies if len({part_of[path] for path in alike}) > 1]


def also_trained(data: DataSpec, listed: Listing, own: DataSpec, root: Path) -> list[str]:
    """The images of other data that are equal, byte for byte, to images of the training's train or
    val: `a/1.png = b/2.png`. Nothing where the training's data are not there."""
    if not own.source.is_there(root):
        return []
    trained = listing(own, root)
    of = zip(trained.paths, trained.parts, strict=True)
    hashes = _contents(own.source, root, [path for path, part in of if part != "test"])
    by_hash = {of: path for path, of in hashes.items()}
    found = _contents(data.source, root, listed.paths)
    return [f"{path} = {by_hash[of]}" for path, of in sorted(found.items()) if of in by_hash]


def fingerprint(data: DataSpec, root: Path) -> str:
    """16 hex digits that change with an image, with a path, and with which images were found to
    belong `together`. Raises UserError where the data set can't be read."""
    of = data.source.fingerprint(root)
    if data.duplicates != "together":
        return of
    paths = list(chain.from_iterable(data.source.classes(root).values()))
    together = json.dumps([of, copies(data, root, paths)])
    return hashlib.sha256(together.encode()).hexdigest()[:16]


def fingerprint_if_there(data: DataSpec, root: Path) -> str | None:
    """The fingerprint, or None where the data set is not there to be looked at."""
    return fingerprint(data, root) if data.source.is_there(root) else None


def left_out(data: DataSpec, root: Path) -> dict[str, int]:
    """How many files are taken for no image, by the ends of their names; nothing where the data set
    is not there."""
    return dict(data.source.left_out(root)) if data.source.is_there(root) else {}


def _groups(data: DataSpec, classes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By its path the group of each image. Raises UserError for a path in which the user's
    expression finds none."""
    expression = re.compile(str(data.group))
    groups = {}
    lost = []
    for path in chain.from_iterable(classes.values()):
        found = expression.search(path)
        named = (found.groups() or (found[0],)) if found else ()
        if any(named):
            groups[path] = "/".join(part or "" for part in named)
        else:
            lost.append(path)
    if lost:
        raise UserError(
            f"group '{data.group}' is in {len(groups):,} of {len(groups) + len(lost):,} paths; not "
            f"in {lost[0]}: every image needs a group, so widen the expression"
            + ("; a column of the CSV is named in labels, as group: NAME" if data.labels else "")
        )
    return groups


def copies(
    data: DataSpec, root: Path, paths: Sequence[str], progress: OnCount = uncounted
) -> list[tuple[str, ...]]:
    """The sets, of two and more, of images that are the same or alike, by path."""
    hashes = _contents(data.source, root, paths)
    if data.similar is None:
        return duplicates.same(hashes)
    folder = data.source.folder(root)
    if folder is None:
        return []

    def opened(path: str) -> Image:
        return data.source.open(root, path)

    return duplicates.alike(folder, hashes, data.similar, opened, progress)


def _contents(source: Source, root: Path, paths: Collection[str]) -> dict[str, str]:
    """What stands for an image's contents, by its path; where there are no files, the whole's."""
    hashes = source.hashes(root)
    if not hashes:
        whole = source.fingerprint(root)
        return {path: f"{whole}/{path}" for path in paths}
    wanted = set(paths)
    return {path: of for path, of in hashes.items() if path in wanted}


def _with_val(
    data: DataSpec,
    seen: Seen,
    classes: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
) -> Mapping[str, Part]:
    """The parts that a data set has, with a val that is cut from train where it has none beside its
    test. Raises UserError where a val was to be drawn that it has."""
    there = set(seen.parts.values())
    if "val" in there and data.split_seed:
        raise UserError("'split_seed' would draw a val, and it has its own; leave it out")
    if "val" in there or not (data.source.is_split or "test" in there):
        return seen.parts
    train = {
        name: [path for path in paths if seen.parts[path] == "train"]
        for name, paths in classes.items()
    }
    return {**seen.parts, **dict.fromkeys(cut_val(train, groups, data.split_seed), "val")}


def _given(
    parts: Mapping[str, Part], classes: Mapping[str, Sequence[str]], groups: Mapping[str, str]
) -> dict[str, Part]:
    """The parts that the data set has. Raises UserError where one can't do, or a group is torn."""
    kept = {path: parts[path] for path in chain.from_iterable(classes.values())}
    there = set(kept.values())
    for part in PARTS:
        if part not in there and (part != "test" or "test" in parts.values()):
            raise UserError(f"{part} has no image")
    for name, paths in classes.items():
        if not any(kept[path] == "train" for path in paths):
            raise UserError(f"class '{name}' has no image in train")
    part_of: dict[str, tuple[Part, str]] = {}
    for path, group in groups.items():
        if path in kept:
            part, first = part_of.setdefault(group, (kept[path], path))
            if part != kept[path]:
                raise UserError(
                    f"group '{group}' is in {part} ({first}) and in {kept[path]} ({path}); a group "
                    "belongs in one part"
                )
    return kept


def _at_least_two(classes: Collection[str], data: DataSpec) -> None:
    if len(classes) < 2:
        raise UserError(f"{data.title} has one class only, '{next(iter(classes))}'; two are needed")
