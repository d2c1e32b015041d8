"""Small pictures of the data's images: from the decoded cache where it is there, else from the
files, if they are there and still those that were evaluated."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.pixels import Pixels, pixels_if_kept
from classifier.data.spec import DataSpec
from classifier.records.record import EvaluateRecord, TrainRecord
from reports.figures import scores
from reports.figures.disagreements import Seen
from reports.figures.select import Selection

SIDE = 96
"""Pixels that a picture's longer side has at most."""
QUALITY = 80


class Album:
    """Opens the images of evaluations; of each only once what it takes to find them."""

    def __init__(self, selection: Selection) -> None:
        self._folders = selection.folders
        self._roots = {
            (used.record.signature, used.record.track): Path(used.cost.data_root)
            for used in selection.used
            if isinstance(used.record, TrainRecord) and used.cost and used.cost.data_root
        }
        self._kept: dict[tuple[str, str], Pixels | None] = {}
        self._unchanged: dict[tuple[str, str], bool] = {}

    def pictures(self, images: Sequence[Seen]) -> Iterator[bytes | None]:
        """A JPEG of each; None where its image is not to be had."""
        for seen in images:
            image = self._opened(seen)
            yield None if image is None else _small(image)

    def _opened(self, seen: Seen) -> Image.Image | None:
        pixels = self._pixels(seen.record)
        if pixels is not None:
            return Image.fromarray(pixels[seen.position])
        root = self._roots.get((seen.record.training.signature, seen.record.track))
        if root is None or not self._is_unchanged(seen.record, root):
            return None
        with suppress(UserError):
            return _data(seen.record).source.open(root, seen.path)
        return None

    def _pixels(self, record: EvaluateRecord) -> Pixels | None:
        key = record.signature, record.unit
        if key not in self._kept:
            self._kept[key] = pixels_if_kept(
                _data(record),
                record.spec.split,
                record.training.eval_short_side(record.spec.tta),
                record.data.fingerprint,
                scores.images(self._folders[key]).listed,
            )
        return self._kept[key]

    def _is_unchanged(self, record: EvaluateRecord, root: Path) -> bool:
        key = record.data.fingerprint, str(root)
        if key not in self._unchanged:
            found = None
            with suppress(UserError):
                found = datasets.fingerprint_if_there(_data(record), root)
            self._unchanged[key] = found == record.data.fingerprint
        return self._unchanged[key]


def _data(record: EvaluateRecord) -> DataSpec:
    return record.spec.data or record.training.data


def _small(image: Image.Image) -> bytes:
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=QUALITY)
    return written.getvalue()
