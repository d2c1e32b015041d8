"""How a data set is split into train, val and test: stable, disjoint, complete.

Within a class the order is that of a hash of (split seed, relative path): first test, then val, the
rest train. Adding an image moves few others, and neither the file system nor a training's seed
plays a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from classifier.errors import UserError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Rule = Literal["strict", "sequential"]


def sizes(images: int, rule: Rule) -> dict[Part, int]:
    """How many of a class's `images` each part gets.

    strict: 6:2:2 by largest remainder, ties to train, then val, then test. sequential: a fifth for
    test, then a fifth of the rest for val, both rounded down (the rule the changelog's tables were
    measured on: CUB's 11,788 images give 7,684 / 1,781 / 2,323).
    """
    if rule == "sequential":
        test = images // 5
        val = (images - test) // 5
        return {"train": images - test - val, "val": val, "test": test}
    shares = {"train": 6, "val": 2, "test": 2}
    result: dict[Part, int] = {part: images * shares[part] // 10 for part in PARTS}
    left = images - sum(result.values())
    by_remainder = sorted(PARTS, key=lambda part: -(images * shares[part] % 10))
    for part in by_remainder[:left]:
        result[part] += 1
    return result


def split(
    classes: Mapping[str, Sequence[str]], rule: Rule, seed: int, limit: int | None = None
) -> dict[str, Part]:
    """The part of every path. `classes` holds the relative paths of each class.

    `limit` keeps that many images of each class. Raises UserError, naming the class, where one is
    too small to give every part an image.
    """
    parts: dict[str, Part] = {}
    for name, paths in classes.items():
        kept = sorted(sorted(paths), key=lambda path: _shuffle_key(seed, path))[:limit]
        count = sizes(len(kept), rule)
        if min(count.values()) == 0:
            raise UserError(
                f"class '{name}' has {len(kept)} image(s), too few to give train, val and test one "
                f"each under the {rule} split; add images or leave the class out"
            )
        ends = (count["test"], count["test"] + count["val"])
        for position, path in enumerate(kept):
            parts[path] = "test" if position < ends[0] else "val" if position < ends[1] else "train"
    return parts


def _shuffle_key(seed: int, path: str) -> bytes:
    return hashlib.sha256(f"{seed}/{path}".encode()).digest()
