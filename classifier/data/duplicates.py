"""Which images are the same, or nearly: one of them in test says nothing if train has the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from filelock import FileLock

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.progress import OnCount, uncounted
from classifier.data.images import BadImageError, decoders
from classifier.data.looked import once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from PIL.Image import Image

Open = Callable[[str], "Image"]
"""Gives the image of a path; raises BadImageError."""
Pairs: TypeAlias = "NDArray[np.int64]"
"""(pairs, 2) positions."""

BITS = 64
BLOCK = 4_096
"""So many hashes are compared with as many others at once."""


def same(hashes: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The sets of two and more paths with one hash, in order."""
    by_hash: dict[str, list[str]] = {}
    for path, of in hashes.items():
        by_hash.setdefault(of, []).append(path)
    return sorted(tuple(sorted(paths)) for paths in by_hash.values() if len(paths) > 1)


def alike(
    folder: Path,
    hashes: Mapping[str, str],
    distance: int,
    open_image: Open,
    progress: OnCount = uncounted,
) -> list[tuple[str, ...]]:
    """The sets of images whose perceptual hashes (pHash of 64 bits, Zauner 2010) differ in at most
    `distance` bits; where a is like b and b like c, all three are one set. `hashes`: of the
    contents of files in `folder`, by path. Raises UserError where the library is missing."""
    perceived = _perceived(folder, hashes, open_image, progress)
    known = {path: of for path, of in perceived.items() if of is not None}
    each = sorted(set(known.values()))
    identity = json.dumps([distance, each])
    kept = cache_folder("similar") / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            near = _near([_bits(of) for of in each], distance)
            found = _components(len(each), near)
            write_atomically(kept, json.dumps(found).encode())
        set_of = dict(zip(each, json.loads(kept.read_bytes()), strict=True))
    return same({path: set_of[of] for path, of in known.items()})


def joined(groups: Mapping[str, str], sets: Iterable[Sequence[str]]) -> dict[str, str]:
    """Groups by path, with those made one that a set of images joins."""
    by_group: dict[str, list[str]] = {}
    for path, group in groups.items():
        by_group.setdefault(group, []).append(path)
    together = [*by_group.values(), *sets]
    paths = sorted({path for each in together for path in each})
    at = {path: position for position, path in enumerate(paths)}
    pairs = [(at[each[0]], at[other]) for each in together for other in each]
    found = _components(len(paths), pairs)
    names: dict[str, str] = {}
    for path, component in zip(paths, found, strict=True):
        names.setdefault(component, groups.get(path, path))
    return {path: names[component] for path, component in zip(paths, found, strict=True)}


def _perceived(
    folder: Path, hashes: Mapping[str, str], open_image: Open, progress: OnCount
) -> dict[str, str | None]:
    """By path, 16 hex digits; None for an image that can't be read."""
    try:
        import imagehash
    except ImportError as error:
        raise UserError(
            "'similar' compares perceptual hashes, which take a library: pip install ImageHash"
        ) from error

    def perceived(path: str) -> str | None:
        try:
            return str(imagehash.phash(open_image(path)))
        except BadImageError:
            return None

    what = f"phash{imagehash.__version__}-{decoders()}"
    return once(what, folder, hashes, perceived, progress)


def _bits(hexadecimal: str) -> list[float]:
    """1 or -1 each."""
    return [1.0 if bit == "1" else -1.0 for bit in f"{int(hexadecimal, 16):0{BITS}b}"]


def _near(bits: ArrayLike, distance: int) -> Pairs:
    """The pairs that differ in at most so many bits: of 1 and -1 the product of two rows is BITS
    minus twice the bits that differ."""
    import numpy as np

    rows = np.asarray(bits, np.float32).reshape(-1, BITS)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(rows), BLOCK):
        for other in range(start, len(rows), BLOCK):
            product = rows[start : start + BLOCK] @ rows[other : other + BLOCK].T
            pairs = np.argwhere(product >= BITS - 2 * distance)
            found.append(pairs + np.array([start, other]))
    return np.concatenate(found)


def _components(count: int, pairs: ArrayLike) -> list[str]:
    """A name for each position, the same for those that `pairs` (P, 2) connect."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.asarray(pairs, np.int64).reshape(-1, 2)
    ones = np.ones(len(ends), dtype=np.int8)
    graph = coo_array((ones, (ends[:, 0], ends[:, 1])), shape=(count, count))
    return [str(component) for component in connected_components(graph, directed=False)[1]]
