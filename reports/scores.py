"""How an evaluation did on each image, from its stored predictions."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder
from classifier.records.record import EvaluateRecord
from classifier.records.runs import PREDICTIONS

_NAME, _HEAD = 16, 24
"""Where the images' name ends in a kept file, and the checksum of what comes after."""


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
)
"""What reading an archive of arrays raises, besides its own errors, where bytes in it are wrong."""


class NoPredictionsError(Exception):
    """They are missing or damaged; says which."""


@dataclass(frozen=True)
class Answers:
    """Of one evaluation, in the order of the images' paths."""

    right: NDArray[np.bool_]
    """(images,)."""
    top5: NDArray[np.bool_]
    """(images,): whether the label is among the five classes with the largest logits."""
    nll: NDArray[np.float64]
    """(images,): minus the logarithm of the label's softmax score, in nats."""
    labels: NDArray[np.int32]
    """(images,)."""
    images: str
    """Names the images with their labels, and the data that they are of."""

    def of(self, metric: str) -> NDArray[Any]:
        """What a metric is the mean of over images, with `weights_of` it."""
        by_name: dict[str, NDArray[Any]] = {"top5": self.top5, "nll": self.nll}
        return by_name.get(metric, self.right)

    def weights_of(self, metric: str) -> NDArray[np.float64] | None:
        """Of each image in the mean per-class accuracy, where classes without an image don't count;
        of other metrics none."""
        if metric != "mpa":
            return None
        _, of, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        weights: NDArray[np.float64] = 1 / len(counts) / counts[of]
        return weights


def read(unit: Path, record: EvaluateRecord) -> Answers:
    """Raises NoPredictionsError where they are missing, or not those that the record is about.

    What is read of a file is kept by its hash, for opening it takes ten times as long.
    """
    try:
        content = (unit / PREDICTIONS).read_bytes()
    except OSError as error:
        raise NoPredictionsError("missing") from error
    answers = _kept(content)
    if len(answers.right) != record.images or float(np.mean(answers.right)) != record.accuracy:
        raise NoPredictionsError("damaged")
    return replace(answers, images=f"{answers.images}-{record.data.fingerprint}")


def _kept(content: bytes) -> Answers:
    """As kept, else read from the file's content and kept if that can be done."""
    short = b""
    file: Path | None = None
    with suppress(OSError, UserError):
        file = cache_folder("answers-2") / hashlib.sha256(content).hexdigest()[:24]
        short = file.read_bytes()
    body = short[_HEAD:]
    if len(short) < _HEAD or short[_NAME:_HEAD] != b"%08x" % zlib.crc32(body):
        name, body = _shortened(content)
        if file is not None:
            with suppress(OSError):
                part = file.with_suffix(f".{os.getpid()}")
                part.write_bytes(name + b"%08x" % zlib.crc32(body) + body)
                part.replace(file)
    else:
        name = short[:_NAME]
    count = len(body) // 12
    numbers = np.frombuffer(body, np.int32, count)
    nll = np.frombuffer(body, np.float64, count, offset=4 * count)
    return Answers(numbers % 2 == 1, numbers // 2 % 2 == 1, nll, numbers // 4, name.decode())


def _shortened(content: bytes) -> tuple[bytes, bytes]:
    """The images' name; and for each 4 times its label, and 1 more where it was right and 2 where
    it was among the first five; then for each the nll."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            logits, labels, paths = stored["logits"], stored["labels"], stored["paths"]
        order = np.argsort(paths, kind="stable")
        labels, logits = labels[order].astype(np.int32), logits[order].astype(np.float64)
        right = logits.argmax(axis=1) == labels
        own = np.take_along_axis(logits, labels[:, None], axis=1)
        top5 = (logits > own).sum(axis=1) < 5
        largest = logits.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", over="ignore"):  # of logits that are not finite
            nll = np.log(np.exp(logits - largest).sum(axis=1)) + (largest - own)[:, 0]
    except (*_BROKEN, zipfile.BadZipFile, zlib.error) as error:
        raise NoPredictionsError("damaged") from error
    named = hashlib.sha256(paths[order].tobytes() + labels.tobytes()).hexdigest()[:_NAME]
    numbers = (4 * labels + 2 * top5 + right).astype(np.int32)
    return named.encode(), numbers.tobytes() + nll.tobytes()
