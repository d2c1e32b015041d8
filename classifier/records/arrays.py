"""The arrays that an evaluation or a metric leaves behind: `.npz` files that need no pickle."""

from __future__ import annotations

import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RuntimeError,  # NotImplementedError too: a compression that does not exist
    SyntaxError,
    TokenError,
    BadZipFile,
    zlib.error,
)
"""What NumPy raises where bytes of such a file are wrong."""


class DamagedArraysError(ValueError):
    """What is wrong with a file."""


class Predictions(NamedTuple):
    """An evaluation's; as it keeps them, in the order in which its images were listed."""

    logits: NDArray[np.float32]
    """(N, C), also such that are not finite."""
    labels: NDArray[np.int64]
    """(N,), from 0 to C - 1."""
    paths: NDArray[np.str_]
    """(N,), each once."""

    def by_path(self) -> Predictions:
        """The same in the order of the paths."""
        return self.at(np.argsort(self.paths, kind="stable"))

    def at(self, indices: NDArray[np.int64]) -> Predictions:
        """Those of some images, in that order."""
        return Predictions(self.logits[indices], self.labels[indices], self.paths[indices])


def read_predictions(file: Path | IO[bytes]) -> Predictions:
    """Raises FileNotFoundError, and DamagedArraysError for what no evaluation kept."""
    logits, labels, paths = read_arrays(file, "logits", "labels", "paths")
    if (logits.ndim, labels.ndim, paths.ndim) != (2, 1, 1):
        raise DamagedArraysError("its arrays have other dimensions than predictions")
    if (logits.dtype.kind, labels.dtype.kind, paths.dtype.kind) not in (("f", "i", "U"),):
        raise DamagedArraysError("its arrays are of other types than predictions")
    if not len(logits) == len(labels) == len(paths) == len(np.unique(paths)) > 0:
        raise DamagedArraysError("its arrays are not of so many images each")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise DamagedArraysError("it has labels of no class")
    return Predictions(logits, labels, paths)


def read_arrays(file: Path | IO[bytes], *names: str) -> list[NDArray[Any]]:
    """Raises FileNotFoundError, and DamagedArraysError where one of them can't be read."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return [kept[name] for name in names]
    except FileNotFoundError:
        raise
    except _BROKEN as error:
        raise DamagedArraysError(f"its arrays can't be read ({error})") from error
