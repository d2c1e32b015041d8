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
from itertools import chain, count
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
    seed: int,
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
    seed: int,
    limit: int | None = None,
) -> dict[str, Part]:
    """As `split`, but whole groups; an image that `groups` does not name is one of its own.

    Class after class its groups that have no part yet, in the order of their hash, go to test while
    that lacks images of the class, then to val, if it brings the part nearer to its shares of the
    classes; else to train. Raises UserError, naming the class, where train would lack one, or a
    part would be empty.
    """
    kept = {name: in_order(paths, seed)[:limit] for name, paths in classes.items()}
    share = {name: sizes(len(paths), rule) for name, paths in kept.items()}
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
        if part not in part_of.values():
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


def in_order(names: Iterable[str], seed: int) -> list[str]:
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
        return min(sizes(images, rule, shares).values()) == 0

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
