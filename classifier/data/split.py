"""How a data set is split into train, val and test: stable, disjoint, complete.

Within a class the order is that of a hash of (split seed, relative path): first test, then val, the
rest train. Adding an image moves few others, and neither the file system nor a training's seed
plays a part.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import chain, count, islice
from typing import Literal

from classifier.basics.errors import UserError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Rule = Literal["strict", "sequential"]


Shares = Mapping[Part, Fraction]
"""What each part is to get of a class. Exact: floor(0.29 * 100) is 28 in floating point."""

SHARES: Shares = {"train": Fraction(6, 10), "val": Fraction(2, 10), "test": Fraction(2, 10)}


def shares_of(val_size: float, test_size: float) -> Shares:
    """Shares of sizes as they are written: 0.2 is a fifth. Raises UserError for impossible ones."""
    for name, size in {"val_size": val_size, "test_size": test_size}.items():
        if not 0 < size < 1:
            raise UserError(f"{name} is {size}; it is a share of the images, between 0 and 1")
    val, test = Fraction(str(val_size)), Fraction(str(test_size))
    if val + test >= 1:
        raise UserError(
            f"val_size {val_size} and test_size {test_size} leave nothing for training: their sum "
            "must be below 1"
        )
    return {"train": 1 - val - test, "val": val, "test": test}


def sizes(images: int, rule: Rule, shares: Shares = SHARES) -> dict[Part, int]:
    """How many of a class's `images` each part gets.

    strict: the shares (6:2:2) by largest remainder, ties to train, then val, then test. sequential:
    the share of test, then the share of val of what is left, both rounded down (at 0.2 each the
    rule that the changelog's tables were measured on: CUB's 11,788 images give 7,684 / 1,781 /
    2,323).
    """
    if rule == "sequential":
        test = math.floor(shares["test"] * images)
        val = math.floor(shares["val"] * (images - test))
        return {"train": images - test - val, "val": val, "test": test}
    quotas = {part: shares[part] * images for part in PARTS}
    result: dict[Part, int] = {part: math.floor(quotas[part]) for part in PARTS}
    left = images - sum(result.values())
    by_remainder = sorted(PARTS, key=lambda part: result[part] - quotas[part])
    for part in by_remainder[:left]:
        result[part] += 1
    return result


def split(
    classes: Mapping[str, Sequence[str]],
    rule: Rule,
    seed: int | str,
    limit: int | None = None,
    shares: Shares = SHARES,
) -> dict[str, Part]:
    """The part of every path. `classes` holds the relative paths of each class.

    `limit` keeps that many images of each class. Raises UserError where a class is too small, see
    `check_sizes`.
    """
    check_sizes({name: len(paths) for name, paths in classes.items()}, rule, limit, shares)
    parts: dict[str, Part] = {}
    for paths in classes.values():
        kept = in_order(paths, seed)[:limit]
        of_part = sizes(len(kept), rule, shares)
        ends = (of_part["test"], of_part["test"] + of_part["val"])
        for position, path in enumerate(kept):
            parts[path] = "test" if position < ends[0] else "val" if position < ends[1] else "train"
    return parts


def split_groups(
    classes: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
    rule: Rule,
    seed: int | str,
    limit: int | None = None,
    shares: Shares = SHARES,
) -> dict[str, Part]:
    """As `split`, but whole groups; an image that `groups` does not name is one of its own.

    Class after class its groups that have no part yet, in the order of their hash, go to test while
    that lacks images of the class, then to val, if it brings the part nearer to its shares of the
    classes; else to train. Raises UserError, naming the class, where train would lack one, or a
    part would be empty.
    """
    kept = {name: in_order(paths, seed)[:limit] for name, paths in classes.items()}
    share = {name: sizes(len(paths), rule, shares) for name, paths in kept.items()}
    there = {name: dict.fromkeys(PARTS, 0) for name in kept}
    held: dict[str, Counter[str]] = {}
    for name, paths in kept.items():
        for path in paths:
            held.setdefault(groups.get(path, path), Counter())[name] += 1
    part_of: dict[str, Part] = {}

    def nearer(group: str, part: Part) -> bool:
        lacks = {name: share[name][part] - there[name][part] for name in held[group]}
        return sum(abs(lacks[n]) - abs(lacks[n] - of) for n, of in held[group].items()) >= 0

    for name in sorted(kept):
        own = dict.fromkeys(groups.get(path, path) for path in kept[name])
        for group in in_order(own, seed):
            if group in part_of:
                continue
            wanting: list[Part] = [p for p in ("test", "val") if there[name][p] < share[name][p]]
            part: Part = next((part for part in wanting if nearer(group, part)), "train")
            part_of[group] = part
            for of, images in held[group].items():
                there[of][part] += images
        if not there[name]["train"]:
            raise UserError(
                f"class '{name}' has {len(own)} group(s), too few to give train one; add images, "
                "choose smaller groups (a smaller 'similar') or leave the class out"
            )
    for part in PARTS:
        if shares[part] and part not in part_of.values():
            raise UserError(f"there are too few images, or too large groups: {part} has no image")
    return {path: part_of[groups.get(path, path)] for path in chain.from_iterable(kept.values())}


VAL_OF_TRAIN = Fraction(1, 5)
"""What val gets of a train part that is given, where no val is."""


def val_size(train: int) -> int:
    """How many of a train part's images, or groups of them, `cut_val` takes."""
    return math.floor(VAL_OF_TRAIN * train)


def cut_val(
    classes: Mapping[str, Sequence[str]], groups: Mapping[str, str], seed: int
) -> frozenset[str]:
    """The images of a train part that val gets: a fifth in all, and of each class, by largest
    remainder (ties in the order of the names); within a class in the order of the hash.

    `classes` holds the paths of each class's images in train. Whole groups are taken, a fifth of
    the groups; one with several classes counts as the first's. A class's last group stays in train.
    """
    first: dict[str, str] = {}
    images: dict[str, list[str]] = {}
    for name in sorted(classes):
        for path in classes[name]:
            group = groups.get(path, path)
            first.setdefault(group, name)
            images.setdefault(group, []).append(path)
    units: dict[str, list[str]] = {name: [] for name in sorted(classes)}
    for group, name in first.items():
        units[name].append(group)
    quotas = {name: VAL_OF_TRAIN * len(of) for name, of in units.items()}
    taken = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(units, key=lambda name: taken[name] - quotas[name])
    able = [name for name in by_remainder if len(units[name]) > 1 and quotas[name] > taken[name]]
    for name in able[: val_size(len(first)) - sum(taken.values())]:
        taken[name] += 1
    return frozenset(
        path
        for name, of in units.items()
        for group in in_order(of, seed)[: taken[name]]
        for path in images[group]
    )


def rest_shares(rule: Rule) -> Shares:
    """What train and val get of all that is not in a fold's test part: as they stand to each other
    under the rule without folds."""
    val = SHARES["val"] if rule == "sequential" else SHARES["val"] / (1 - SHARES["test"])
    return {"train": 1 - val, "val": val, "test": Fraction(0)}


def fold_sizes(images: int, folds: int, first: int) -> list[int]:
    """How many of a class's `images` are in the test part of each fold. They differ by one at most;
    the larger ones begin with the fold `first`."""
    least, more = divmod(images, folds)
    return [least + ((fold - first) % folds < more) for fold in range(folds)]


def fold_counts(
    classes: Mapping[str, int], rule: Rule, folds: int, fold: int, limit: int | None = None
) -> dict[Part, int]:
    """How many images each part of a fold has, by how many each class has; without groups. Raises
    UserError as `check_folds`."""
    check_folds(classes, rule, folds, limit)
    total: Counter[Part] = Counter()
    first = 0
    for name in sorted(classes):
        images = min(classes[name], limit or classes[name])
        test = fold_sizes(images, folds, first)[fold]
        first = (first + images) % folds
        total.update({**sizes(images - test, rule, rest_shares(rule)), "test": test})
    return {part: total[part] for part in PARTS}


def split_folds(
    classes: Mapping[str, Sequence[str]],
    groups: Mapping[str, str],
    rule: Rule,
    seed: int,
    folds: int,
    fold: int,
    limit: int | None = None,
) -> dict[str, Part]:
    """The part of every path in one fold of cross-validation, the folds counting from 0.

    Over the folds each image is once in test; val is cut from what a fold leaves, by the rule, and
    drawn anew for each. Raises UserError, naming the class, where one is too small.
    """
    kept = {name: in_order(paths, seed)[:limit] for name, paths in classes.items()}
    if not groups:
        check_folds({name: len(paths) for name, paths in kept.items()}, rule, folds)
    of = _folds_of_groups(kept, groups, seed, folds) if groups else _folds(kept, folds)
    rest = {name: [path for path in paths if of[path] != fold] for name, paths in kept.items()}
    drawn, shares = f"{seed}/fold {fold}", rest_shares(rule)
    parts = (
        split_groups(rest, groups, rule, drawn, shares=shares)
        if groups
        else split(rest, rule, drawn, shares=shares)
    )
    test: dict[str, Part] = {path: "test" for path, its in of.items() if its == fold}
    return parts | test


def _folds(kept: Mapping[str, Sequence[str]], folds: int) -> dict[str, int]:
    """Of each path the fold that tests it: a class is cut in its order, so that one more image
    moves few others; which folds get one more goes round over the classes."""
    of = {}
    first = 0
    for name in sorted(kept):
        paths = iter(kept[name])
        for fold, images in enumerate(fold_sizes(len(kept[name]), folds, first)):
            of.update(dict.fromkeys(islice(paths, images), fold))
        first = (first + len(kept[name])) % folds
    return of


def _folds_of_groups(
    kept: Mapping[str, Sequence[str]], groups: Mapping[str, str], seed: int, folds: int
) -> dict[str, int]:
    """The same, of whole groups: from the largest to the smallest each goes to the fold that has
    the least share of its classes yet, of several to the one with the fewest images."""
    held: dict[str, Counter[str]] = {}
    for name in sorted(kept):
        for path in kept[name]:
            held.setdefault(groups.get(path, path), Counter())[name] += 1
    if len(held) < folds:
        raise UserError(
            f"there are {len(held)} group(s), fewer than the {folds} folds; take fewer folds, or "
            "choose smaller groups (a smaller 'similar')"
        )
    there = [Counter[str]() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for group in sorted(in_order(held, seed), key=lambda group: -held[group].total()):
        of_group = held[group]

        def crowded(fold: int, of_group: Counter[str] = of_group) -> tuple[float, int, int]:
            shares = (n * there[fold][name] / len(kept[name]) for name, n in of_group.items())
            return sum(shares), there[fold].total(), fold

        fold_of[group] = min(range(folds), key=crowded)
        there[fold_of[group]].update(of_group)
    return {path: fold_of[groups.get(path, path)] for path in chain.from_iterable(kept.values())}


def check_folds(
    classes: Mapping[str, int], rule: Rule, folds: int, limit: int | None = None
) -> None:
    """As `check_sizes`, where each fold is to have an image of each class in each part."""

    def is_small(images: int) -> bool:
        left = sizes(images - math.ceil(images / folds), rule, rest_shares(rule))
        return images < folds or min(left["train"], left["val"]) == 0

    small = [name for name, images in classes.items() if is_small(min(images, limit or images))]
    if not small:
        return
    name, images = small[0], min(classes[small[0]], limit or classes[small[0]])
    so_have = f" (so have {len(small) - 1:,} more classes)" if small[1:] else ""
    cut = f", for 'limit' keeps {limit}" if limit and limit < classes[name] else ""
    raise UserError(
        f"class '{name}' has {images} image(s){cut}, too few for {folds} folds with one each in "
        f"train, val and test{so_have}; take fewer folds, add images or leave the class out"
    )


def in_order(names: Iterable[str], seed: int | str) -> list[str]:
    """By the hash of the seed and the name."""
    return sorted(
        sorted(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest()
    )


def check_sizes(
    classes: Mapping[str, int], rule: Rule, limit: int | None = None, shares: Shares = SHARES
) -> None:
    """Raise UserError, naming the first class, where some are too small to give every part an
    image. `classes` holds how many images each has, `limit` how many of them are kept."""

    def is_small(images: int) -> bool:
        return min(of for part, of in sizes(images, rule, shares).items() if shares[part]) == 0

    small = [name for name, images in classes.items() if is_small(min(images, limit or images))]
    if not small:
        return
    name, images = small[0], min(classes[small[0]], limit or classes[small[0]])
    so_have = f" (so have {len(small) - 1:,} more classes)" if small[1:] else ""
    mend = (
        "add images, leave the class out, or put its images into train/, val/ and test/ yourself "
        "and set 'split: given', where val and test may lack a class"
    )
    if limit and not is_small(classes[name]):
        least = next(more for more in count(limit + 1) if not is_small(more))
        mend = f"'limit' must be {least} or more, for it keeps {limit} of its {classes[name]}"
    raise UserError(
        f"class '{name}' has {images} image(s), too few to give train, val and test one each "
        f"under the {rule} split{so_have}; {mend}"
    )
