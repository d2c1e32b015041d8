"""Which images an evaluation had right, from its stored predictions."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder
from classifier.records.record import EvaluateRecord
from classifier.records.runs import PREDICTIONS

_NAME, _HEAD = 16, 24
"""Where the images' name ends in a kept file, and the checksum of what comes after."""


class NoPredictionsError(Exception):
    """They are missing or damaged; says which."""


@dataclass(frozen=True)
class Answers:
    """Of one evaluation, in the order of the images' paths."""

    right: NDArray[np.bool_]
    """(images,)."""
    labels: NDArray[np.int32]
    """(images,)."""
    images: str
    """Names the images with their labels: 16 hex digits."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Of each image in the mean per-class accuracy; classes without an image don't count."""
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
    return answers


def _kept(content: bytes) -> Answers:
    """As kept, else read from the file's content and kept if that can be done."""
    short = b""
    file: Path | None = None
    with suppress(OSError, UserError):
        file = cache_folder("answers") / hashlib.sha256(content).hexdigest()[:24]
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
    numbers = np.frombuffer(body, dtype=np.int32)
    return Answers(numbers % 2 == 1, numbers // 2, name.decode())


def _shortened(content: bytes) -> tuple[bytes, bytes]:
    """The images' name; and for each twice its label, and 1 more where it was right."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            logits, labels, paths = stored["logits"], stored["labels"], stored["paths"]
        order = np.argsort(paths, kind="stable")
        labels = labels[order].astype(np.int32)
        right = logits.argmax(axis=1)[order] == labels
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise NoPredictionsError("damaged") from error
    named = hashlib.sha256(paths[order].tobytes() + labels.tobytes()).hexdigest()[:_NAME]
    return named.encode(), (labels * 2 + right).astype(np.int32).tobytes()
