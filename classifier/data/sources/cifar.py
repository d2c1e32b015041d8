"""The pickles of CIFAR-10 and CIFAR-100: hashed, then read by what makes arrays only."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.basics.errors import UserError
from classifier.data.sources.arrays import Arrays, Block
from classifier.data.sources.published import unreadable
from classifier.data.split import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Batch = tuple[Part, str, str]
"""The part, name and MD5 of a file."""


@dataclass(frozen=True)
class Cifar(Arrays):
    """Krizhevsky 2009, "Learning multiple layers of features from tiny images": 32 x 32, RGB."""

    batches: tuple[Batch, ...]
    key: str
    """Of the labels in a file."""

    def read(self, folder: Path) -> Iterator[Block]:
        import numpy as np

        parts: dict[Part, list[tuple[NDArray[np.uint8], list[int]]]] = {}
        for part, name, md5 in self.batches:
            file = folder / name
            held = unpickled(file, md5)
            try:
                images = np.asarray(held["data"], np.uint8).reshape(-1, 3, 32, 32)
                parts.setdefault(part, []).append((images, [int(of) for of in held[self.key]]))
            except (KeyError, TypeError, ValueError) as error:
                raise unreadable(file, error) from error
        for part, of in parts.items():
            images = np.concatenate([images for images, _ in of]).transpose(0, 2, 3, 1)
            labels = np.array([label for _, labels in of for label in labels], np.int64)
            yield Block(part, np.ascontiguousarray(images), labels)


def unpickled(file: Path, md5: str) -> Mapping[str, Any]:
    """The mapping in one of CIFAR's files. Raises UserError for a file with another MD5, before it
    is unpickled, and for one that asks for anything but arrays."""
    content = file.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise UserError(
            f"{file} has the MD5 {found} instead of {md5}, so it is not unpickled; remove its "
            "folder and get it again"
        )
    try:
        held = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise unreadable(file, error) from error
    if not isinstance(held, dict):
        raise unreadable(file, TypeError("it holds no mapping"))
    return held


class _Unpickler(pickle.Unpickler):
    """A pickle names functions to be called; these make arrays of numbers, and no other is."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy as np

        if module.startswith("numpy"):
            known = {
                "_reconstruct": np.empty(0).__reduce__()[0],
                "ndarray": np.ndarray,
                "dtype": np.dtype,
            }
            if name in known:
                return known[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
