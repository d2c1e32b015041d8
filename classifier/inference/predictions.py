"""What a network says about images, for the terminal, as CSV and as JSON. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from classifier.basics.files import write_atomically
from classifier.basics.names import printable, write_csv


@dataclass(frozen=True)
class Answer:
    """The best classes of one image with their softmax scores, best first."""

    path: str
    classes: tuple[str, ...]
    scores: tuple[float, ...]
    cam: Path | None = None
    """The picture of the best class's activation map, if asked for."""


@dataclass(frozen=True)
class Unread:
    path: str
    reason: str


@dataclass(frozen=True)
class Predictions:
    answers: tuple[Answer, ...]
    failures: tuple[Unread, ...]


def lines(predictions: Predictions) -> Iterator[str]:
    """For the terminal: an image a line with its classes, then a line for each failure."""
    for answer in predictions.answers:
        best = ", ".join(f"{printable(name)} {score:.4f}" for _, name, score in _ranked(answer))
        yield f"{printable(answer.path)}: {best}"
    for failure in predictions.failures:
        named = failure.reason.startswith(failure.path)
        reason = failure.reason if named else f"{failure.path}: {failure.reason}"
        yield f"failed: {printable(reason)}"


def save_csv(file: Path, predictions: Predictions) -> None:
    """A row for each image and rank (from 1): path, rank, class, score."""
    rows = (
        (answer.path, rank, name, score)
        for answer in predictions.answers
        for rank, name, score in _ranked(answer)
    )
    write_csv(file, ("path", "rank", "class", "score"), rows)


def save_json(file: Path, predictions: Predictions) -> None:
    """`{"predictions": [{path, top: [{rank, class, score}], cam?}], "failed": [{path, reason}]}`"""
    content = {
        "predictions": [_as_json(answer) for answer in predictions.answers],
        "failed": [asdict(failure) for failure in predictions.failures],
    }
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    # Bytes in a path that are no text: their escape is JSON's own.
    write_atomically(file, text.encode(errors="backslashreplace"))


def _as_json(answer: Answer) -> dict[str, object]:
    top = [{"rank": rank, "class": name, "score": score} for rank, name, score in _ranked(answer)]
    map_of = {} if answer.cam is None else {"cam": str(answer.cam)}
    return {"path": answer.path, "top": top, **map_of}


def _ranked(answer: Answer) -> Iterator[tuple[int, str, float]]:
    """Rank (from 1), class and score."""
    ranks = range(1, len(answer.classes) + 1)
    return zip(ranks, answer.classes, answer.scores, strict=True)
