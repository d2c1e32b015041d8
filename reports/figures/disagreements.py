"""Which images one arm gets right and the other wrong, and which classes are taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.models.class_names import class_names
from classifier.records.record import EvaluateRecord, train_unit
from classifier.records.runs import CHECKPOINT
from reports.figures import scores
from reports.figures.folds import single
from reports.figures.scores import Answers, Images, NoPredictionsError
from reports.figures.select import Cell, Missing

Folders = Mapping[tuple[str, str], Path]
"""As of a selection."""


@dataclass(frozen=True)
class Seen:
    """An image, and what two trainings with one seed say of it."""

    record: EvaluateRecord
    """The variant's, of whose images it is."""
    row: str
    position: int
    """Among the evaluation's images, in the listing's order."""
    path: str
    label: int
    before: int
    """The baseline's class."""
    after: int
    """The variant's."""
    confidence: float
    """The softmax score of the wrong one of the two."""


@dataclass(frozen=True)
class Disagreement:
    gained: tuple[Seen, ...]
    """Those that only the variant gets right, each image once, most confidently wrong first."""
    lost: tuple[Seen, ...]
    """Those that only the baseline gets right."""
    counts: tuple[int, int]
    """How often that is: over images, seeds and rows."""
    compared: int
    """How many answers were compared with one of the baseline."""


def disagreement(cells: Iterable[Cell], folders: Folders, most: int) -> Disagreement:
    """Of cells with those that they are compared with, seed by seed, where both have predictions of
    the same images; up to `most` images of each kind."""
    kept: tuple[dict[str, Seen], dict[str, Seen]] = {}, {}
    counts, compared = [0, 0], 0
    paths: dict[str, Images] = {}
    for cell, baseline, variant in _pairs(cells):
        before, after = _read(baseline, folders), _read(variant, folders)
        if before is None or after is None or before.images != after.images:
            continue
        compared += len(after.right)
        if after.images not in paths:
            paths[after.images] = scores.images(folders[variant.signature, variant.unit])
        images = paths[after.images]
        of_each = ((after.right & ~before.right, before), (before.right & ~after.right, after))
        for side, (only, wrong) in enumerate(of_each):
            counts[side] += int(only.sum())
            indices = np.flatnonzero(only)
            first = np.argsort(-wrong.confidence[indices], kind="stable")[:most]
            for index in indices[first]:
                position = int(images.by_path[index])
                seen = Seen(
                    record=variant,
                    row=cell.row,
                    position=position,
                    path=images.listed[position],
                    label=int(after.labels[index]),
                    before=int(before.predicted[index]),
                    after=int(after.predicted[index]),
                    confidence=float(wrong.confidence[index]),
                )
                known = kept[side].get(seen.path)
                if known is None or seen.confidence > known.confidence:
                    kept[side][seen.path] = seen
    gained, lost = (_in_order(each)[:most] for each in kept)
    return Disagreement(gained, lost, (counts[0], counts[1]), compared)


def _pairs(cells: Iterable[Cell]) -> Iterator[tuple[Cell, EvaluateRecord, EvaluateRecord]]:
    for cell in cells:
        others = cell.baseline.seeds if cell.baseline else ()
        for seeds in zip(others, cell.seeds, strict=False):
            there = [seed for seed in seeds if not isinstance(seed, Missing)]
            if len(there) == 2:
                for before, after in zip(*(single([seed]) for seed in there), strict=True):
                    if isinstance(before, EvaluateRecord) and isinstance(after, EvaluateRecord):
                        yield cell, before, after


def _read(record: EvaluateRecord, folders: Folders) -> Answers | None:
    folder = folders.get((record.signature, record.unit))
    if folder is None:
        return None
    try:
        answers = scores.read(folder, record, "accuracy")
    except NoPredictionsError:
        return None
    return answers if answers.is_finite else None


def _in_order(kept: Mapping[str, Seen]) -> tuple[Seen, ...]:
    return tuple(sorted(kept.values(), key=lambda seen: (-seen.confidence, seen.path)))


@dataclass(frozen=True)
class Confused:
    """Images of one class that are taken for another."""

    label: int
    taken_for: int
    counts: tuple[tuple[int, int], ...]
    """By group of cells, over rows and seeds: how often, and of how many answers to the class's
    images."""


def most_confused(groups: Sequence[Sequence[Cell]], folders: Folders, most: int) -> list[Confused]:
    """The pairs of classes that are confused most over all groups together, up to `most`; those
    that the first group confuses most come first."""
    counted = [_counted(cells, folders) for cells in groups]
    total: Counter[tuple[int, int]] = Counter()
    for wrong, _ in counted:
        total += wrong
    pairs = sorted(total, key=lambda pair: (-total[pair], pair))[:most]
    found = [
        Confused(*pair, tuple((wrong[pair], of[pair[0]]) for wrong, of in counted))
        for pair in pairs
    ]
    return sorted(
        found,
        key=lambda each: ([-times for times, _ in each.counts], each.label, each.taken_for),
    )


def _counted(
    cells: Sequence[Cell], folders: Folders
) -> tuple[Counter[tuple[int, int]], Counter[int]]:
    """How often a class is taken for another, and how many answers there are to its images."""
    wrong: Counter[tuple[int, int]] = Counter()
    of: Counter[int] = Counter()
    for answers in _all(cells, folders):
        pairs = np.stack([answers.labels, answers.predicted], axis=1)[~answers.right]
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        wrong.update({(int(a), int(b)): int(n) for (a, b), n in zip(found, counts, strict=True)})
        of.update({label: int(n) for label, n in enumerate(np.bincount(answers.labels)) if n})
    return wrong, of


def _all(cells: Iterable[Cell], folders: Folders) -> Iterator[Answers]:
    for record in (record for cell in cells for record in cell.records):
        if isinstance(record, EvaluateRecord):
            answers = _read(record, folders)
            if answers is not None:
                yield answers


def names_of(record: EvaluateRecord, folders: Folders) -> tuple[str, ...]:
    """The classes by label, as the checkpoint that was evaluated names them; none if it is gone."""
    trained = folders.get((record.training.signature, train_unit(record.track)))
    return () if trained is None else class_names(trained / CHECKPOINT)
