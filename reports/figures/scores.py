"""How an evaluation did on each image, from its stored predictions."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder
from classifier.records.arrays import DamagedArraysError, read_arrays, read_predictions
from classifier.records.record import EvaluateRecord, MetricRecord, Record
from classifier.records.runs import PREDICTIONS, SCORES
from reports.figures.metrics import Confusion, LeftOut, auc, ece

_NAME, _CHECK = 16, 8
"""Bytes: of the images' name, and of the checksum that a kept file begins with."""


class NoPredictionsError(Exception):
    """They are missing or damaged; says which."""


@dataclass(frozen=True)
class Scored:
    """What a metric is the mean of over an evaluation's images, in the order of their paths."""

    scores: NDArray[Any]
    """(images,): bools or floats."""
    weights: NDArray[np.float64] | None
    """(images,), which sum to 1; None for a plain mean."""
    images: str
    """As of the answers."""


@dataclass(frozen=True)
class Answers:
    """Of one evaluation, in the order of the images' paths."""

    right: NDArray[np.bool_]
    """(images,)."""
    top5: NDArray[np.bool_]
    """(images,): whether the label is among the five classes with the largest logits."""
    nll: NDArray[np.float64]
    """(images,): minus the logarithm of the label's softmax score, in nats."""
    confidence: NDArray[np.float64]
    """(images,): the largest softmax score."""
    labels: NDArray[np.int32]
    """(images,)."""
    predicted: NDArray[np.int32]
    """(images,): the class with the largest logit."""
    images: str
    """Names the images with their labels, and the data that they are of."""
    auc: LeftOut | None = None
    """None where it was not asked for: it takes the scores of all classes."""

    @property
    def is_finite(self) -> bool:
        """Whether its logits are, as far as they tell."""
        return bool(np.isfinite(self.nll).all())

    def figure(self, metric: str) -> float:
        """May be nan or infinite: of logits that are not finite, or where it is undefined."""
        match metric:
            case "ece":
                return ece(self.right, self.confidence)
            case "worst_class":
                return self._confusion.worst_class
            case "auc":
                return self._ranked.figure
            case "kappa" | "f1" | "precision" | "recall":
                return self._confusion.figure(metric)
        scored = self.scored(metric)
        mean = scored.scores.mean() if scored.weights is None else scored.scores @ scored.weights
        return float(mean)

    def scored(self, metric: str) -> Scored:
        """Not of those WITHOUT_INTERVAL."""
        match metric:
            case "top5" | "nll" as name:
                return Scored(getattr(self, name), None, self.images)
            case "mpa":
                return Scored(self.right, self._weights, self.images)
            case "auc":
                return Scored(self._ranked.pseudo_values, None, self.images)
            case "kappa" | "f1" | "precision" | "recall":
                values = self._confusion.without(metric).pseudo_values
                return Scored(values, None, self.images)
        return Scored(self.right, None, self.images)

    @property
    def _weights(self) -> NDArray[np.float64]:
        """Of each image in the mean per-class accuracy, where classes without an image don't
        count."""
        _, of, counts = np.unique(self.labels, return_inverse=True, return_counts=True)
        weights: NDArray[np.float64] = 1 / len(counts) / counts[of]
        return weights

    @property
    def _confusion(self) -> Confusion:
        return Confusion(self.labels, self.predicted)

    @property
    def _ranked(self) -> LeftOut:
        assert self.auc is not None, "read without it"
        return self.auc


def read(unit: Path, record: EvaluateRecord, metric: str) -> Answers:
    """To ask for this metric. Raises NoPredictionsError where they are missing, or not those that
    the record is about.

    What is read of a file is kept by its hash, for opening it takes ten times as long.
    """
    try:
        stat = (unit / PREDICTIONS).stat()
        file = _opened(unit / PREDICTIONS, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise NoPredictionsError("missing") from error
    answers = _answers(_kept(file, "", _shortened))
    if len(answers.right) != record.images or float(np.mean(answers.right)) != record.accuracy:
        raise NoPredictionsError("damaged")
    if metric == "auc":
        ranked = np.frombuffer(_kept(file, "-auc", _ranked))
        answers = replace(answers, auc=LeftOut(float(ranked[0]), ranked[1:]))
    return replace(answers, images=f"{answers.images}-{record.data.fingerprint}")


def read_all(
    folders: Mapping[tuple[str, str], Path], records: Sequence[Record], metric: str
) -> Answers:
    """As `read`, of all folds of one seed together, or of one evaluation."""
    each = []
    for record in records:
        folder = folders.get((record.signature, record.unit))
        if folder is None or not isinstance(record, EvaluateRecord):
            raise NoPredictionsError("missing")
        each.append(read(folder, record, metric))
    return joined(each)


def joined(folds: Sequence[Answers]) -> Answers:
    """The answers of several folds as one evaluation's, fold after fold.

    Counts of right and wrong are pooled. auc is the mean over the folds, each weighing as its
    images: scores of two networks have no common scale to be ranked on (Forman and Scholz 2010).
    """
    if len(folds) == 1:
        return folds[0]
    arrays = ("right", "top5", "nll", "confidence", "labels", "predicted")
    together = {name: np.concatenate([getattr(of, name) for of in folds]) for name in arrays}
    ranked = [of.auc for of in folds if of.auc is not None]
    return Answers(
        **together,
        images=_of_all([of.images for of in folds]),
        auc=LeftOut.joined(ranked) if len(ranked) == len(folds) else None,
    )


def joined_scores(folds: Sequence[Scored]) -> Scored:
    """The same of a plain mean's scores."""
    if len(folds) == 1:
        return folds[0]
    together = np.concatenate([of.scores for of in folds])
    return Scored(together, None, _of_all([of.images for of in folds]))


def _of_all(names: Sequence[str]) -> str:
    return hashlib.sha256("+".join(names).encode()).hexdigest()[:_NAME]


def read_own(unit: Path, record: MetricRecord) -> Scored:
    """What a user's metric gave each image. Raises NoPredictionsError as `read`."""
    try:
        content = (unit / SCORES).read_bytes()
    except OSError as error:
        raise NoPredictionsError("missing") from error
    if hashlib.sha256(content).hexdigest()[:16] != record.scores:
        raise NoPredictionsError("damaged")
    scores, labels, paths = read_arrays(io.BytesIO(content), "scores", "labels", "paths")
    named = _named(paths, labels.astype(np.int32))
    return Scored(scores, None, f"{named}-{record.data.fingerprint}")


@dataclass(frozen=True)
class Images:
    """The images of one evaluation."""

    listed: tuple[str, ...]
    """Their paths, in the listing's order."""
    by_path: NDArray[np.intp]
    """(images,): their positions in it, in the order of their paths."""


def images(unit: Path) -> Images:
    """Raises NoPredictionsError where they are missing or damaged."""
    try:
        paths = read_predictions(unit / PREDICTIONS).paths
    except FileNotFoundError as error:
        raise NoPredictionsError("missing") from error
    except DamagedArraysError as error:
        raise NoPredictionsError("damaged") from error
    return Images(tuple(paths.tolist()), np.argsort(paths, kind="stable"))


@dataclass(frozen=True)
class _File:
    content: bytes
    hash: str


@lru_cache(maxsize=8)
def _opened(file: Path, modified: int, size: int) -> _File:
    """The metrics of one evaluation follow each other: it is read and hashed once for all."""
    content = file.read_bytes()
    return _File(content, hashlib.sha256(content).hexdigest()[:24])


def _kept(file_of: _File, kind: str, made: Callable[[bytes], bytes]) -> bytes:
    """What is `made` of a file's content: as kept, else made and kept if that can be done."""
    kept = b""
    file: Path | None = None
    with suppress(OSError, UserError):
        file = cache_folder("answers-3") / f"{file_of.hash}{kind}"
        kept = file.read_bytes()
    if len(kept) > _CHECK and kept[:_CHECK] == b"%08x" % zlib.crc32(kept[_CHECK:]):
        return kept[_CHECK:]
    try:
        body = made(file_of.content)
    except DamagedArraysError as error:
        raise NoPredictionsError("damaged") from error
    if file is not None:
        with suppress(OSError):
            part = file.with_name(f"{file.name}.{os.getpid()}")
            part.write_bytes(b"%08x" % zlib.crc32(body) + body)
            part.replace(file)
    return body


def _answers(body: bytes) -> Answers:
    """Of what `_shortened` made."""
    count = (len(body) - _NAME) // 24
    numbers = np.frombuffer(body, np.int32, 2 * count, offset=_NAME)
    numbers, predicted = numbers[:count], numbers[count:]
    nll, confidence = np.frombuffer(body, np.float64, 2 * count, _NAME + 8 * count).reshape(2, -1)
    return Answers(
        right=numbers % 2 == 1,
        top5=numbers // 2 % 2 == 1,
        nll=nll,
        confidence=confidence,
        labels=numbers // 4,
        predicted=predicted,
        images=body[:_NAME].decode(),
    )


def _shortened(content: bytes) -> bytes:
    """The images' name; for each 4 times its label, and 1 more where it was right and 2 where it
    was among the first five; for each its predicted class; then the nll, then the confidence."""
    logits, labels, paths = _stored(content)
    predicted = logits.argmax(axis=1).astype(np.int32)
    right = predicted == labels
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    top5 = (logits > own).sum(axis=1) < 5
    largest = logits.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):  # of logits that are not finite
        sums = np.exp(logits - largest).sum(axis=1)
        nll = np.log(sums) + (largest - own)[:, 0]
    named = _named(paths, labels)
    numbers = (4 * labels + 2 * top5 + right).astype(np.int32)
    parts = (numbers, predicted, nll, 1 / sums)
    return named.encode() + b"".join(part.tobytes() for part in parts)


def _named(paths: NDArray[np.str_], labels: NDArray[np.int32]) -> str:
    """The images' name."""
    return hashlib.sha256(paths.tobytes() + labels.tobytes()).hexdigest()[:_NAME]


def _ranked(content: bytes) -> bytes:
    """The auc, then for each image what it would be without it."""
    logits, labels, _ = _stored(content)
    with np.errstate(invalid="ignore", over="ignore"):
        found = auc(_softmax(logits), labels)
    return np.append(found.figure, found.without).tobytes()


@dataclass(frozen=True)
class Predictions:
    """Of one evaluation, in the order of the images' paths."""

    paths: NDArray[np.str_]
    """(images,): relative to the data."""
    labels: NDArray[np.int32]
    """(images,)."""
    logits: NDArray[np.float64]
    """(images, classes)."""

    @property
    def predicted(self) -> NDArray[np.intp]:
        """(images,): the class with the largest logit."""
        best: NDArray[np.intp] = self.logits.argmax(axis=1)
        return best

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(images, classes): the logits' softmax."""
        return _softmax(self.logits)


def predictions(unit: Path, record: EvaluateRecord) -> Predictions:
    """All that is stored of an evaluation's images. Raises NoPredictionsError as `read`."""
    try:
        logits, labels, paths = _stored((unit / PREDICTIONS).read_bytes())
    except OSError as error:
        raise NoPredictionsError("missing") from error
    except DamagedArraysError as error:
        raise NoPredictionsError("damaged") from error
    found = Predictions(paths, labels, logits)
    is_right = found.predicted == labels
    if len(labels) != record.images or float(np.mean(is_right)) != record.accuracy:
        raise NoPredictionsError("damaged")
    return found


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):  # of logits that are not finite
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
    return shares


def _stored(content: bytes) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.str_]]:
    """Logits (images, classes), labels and paths (images,), by path."""
    logits, labels, paths = read_predictions(io.BytesIO(content)).by_path()
    return logits.astype(np.float64), labels.astype(np.int32), paths
