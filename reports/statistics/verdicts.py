"""What comparisons say: better, worse, same, or that they can't tell; and what would tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from reports.statistics.intervals import LEVEL, Comparison, Scope, compare
from reports.statistics.limits import Floor, Spread, normal

MANY_ROWS = 40
POWER = 0.8
TWO_SEEDS = "Two seeds seldom decide: their interval is about six times as wide as that of five."


class Word(Enum):
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    CANT_TELL = "can't tell"


@dataclass(frozen=True)
class Verdict:
    word: Word
    remarks: tuple[str, ...] = ()


def holm(ps: Sequence[float]) -> list[float]:
    """Each p value adjusted for all of them (Holm 1979): where those of at most 5 % are taken for
    real, the chance that any of these is not is 5 %, as far as the p values are right, however the
    comparisons depend on each other."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


def verdict(
    comparison: Comparison,
    adjusted: float,
    family: int,
    *,
    more_is_better: bool,
    margin: float | None = None,
    doubts: Sequence[str] = (),
) -> Verdict:
    """`adjusted`: Holm's p among a `family` of so many. `margin`: differences closer to 0 do not
    matter; without one nothing is the same. `doubts` name seeds that failed or only guess in one of
    the arms: those that are left prove nothing good, so neither better nor same is said.

    `same` is equivalence (two one-sided tests, Schuirmann 1987) at the row's own 5 %: the 90 %
    interval lies inside the margin. Better and worse go first.
    """
    alpha = 1 - comparison.level
    low, high = comparison.at(1 - 2 * alpha)
    inside = margin is not None and -margin < low and high < margin
    remarks: list[str] = []
    if adjusted <= alpha:
        word = Word.BETTER if (comparison.difference > 0) == more_is_better else Word.WORSE
        remarks += ["by less than the margin"] if inside else []
    else:
        word = Word.SAME if inside else Word.CANT_TELL
        if comparison.p <= alpha:
            remarks.append(f"alone yes, among {family} no")
    if doubts and word in (Word.BETTER, Word.SAME):
        return Verdict(Word.CANT_TELL, tuple(doubts))
    return Verdict(word, (*remarks, *doubts))


def best(
    figures: Sequence[float],
    compared: Callable[[int, int], Comparison | None],
    more_is_better: bool,
    alpha: float = 1 - LEVEL,
) -> list[bool]:
    """Which of a column's rows can't be told from the best; `compared`: two rows, None where that
    can't be done.

    Holm's over all pairs of rows, for which of them is the best was not known before; of more than
    40 rows Bonferroni's over all pairs, so that only those with the best one are to be compared.
    """
    rows = range(len(figures))
    highest = max(figures) if more_is_better else min(figures)
    tops = [row for row in rows if figures[row] == highest]
    pairs = [(i, j) for i in rows for j in rows if i < j]
    told: dict[tuple[int, int], bool]
    if len(figures) > MANY_ROWS:
        tops = tops[:1]
        level = 1 - alpha / len(pairs)
        told = {pair: _differ(compared(*pair), level) for pair in pairs if set(pair) & set(tops)}
    else:
        found = [compared(*pair) for pair in pairs]
        adjusted = holm([1.0 if each is None else each.p for each in found])
        told = {pair: p <= alpha for pair, p in zip(pairs, adjusted, strict=True)}
    return [
        figures[row] == highest or any(not told[min(row, top), max(row, top)] for top in tops)
        for row in rows
    ]


def _differ(comparison: Comparison | None, level: float) -> bool:
    if comparison is None:
        return False
    low, high = comparison.at(level)
    return low > 0 or high < 0


MOST_SEEDS = 1_000
MOST_IMAGES = 10_000_000


@dataclass(frozen=True)
class Needed:
    """Of either, the other being as it is; None where more of it can't do it, up to MOST_SEEDS and
    MOST_IMAGES, or where nobody knows: of seeds, where there is one."""

    seeds: int | None
    images: int | None


def to_see(comparison: Comparison, family: int = 1) -> Needed:
    """What would show a difference as large as the one seen, four times of five, at Holm's first
    level among `family` comparisons; estimated, for the spread is."""
    tail = (1 - comparison.level) / family / 2
    distance = abs(comparison.difference)

    def enough(spread: Spread) -> bool:
        return distance > spread.half(tail) + normal(1 - POWER) * spread.error

    return _search(comparison, enough)


def to_show_same(comparison: Comparison, margin: float) -> Needed:
    """What would show `same`, four times of five, if there is no difference at all."""
    tail = 1 - comparison.level

    def enough(spread: Spread) -> bool:
        return spread.half(tail) + normal((1 - POWER) / 2) * spread.error < margin

    return _search(comparison, enough)


def _search(comparison: Comparison, enough: Callable[[Spread], bool]) -> Needed:
    """With one seed the seeds' part is unknown: of images only, for these trainings. Neither helps
    where a sample of models or of passes is what is small."""
    if comparison.scope in (Scope.POPULATION, Scope.PROCESS):
        return Needed(None, None)
    spread = comparison.limits.spread()
    seeds, images = comparison.seeds, comparison.images

    def with_seeds(count: int) -> bool:
        df = spread.df * (count - 1) / (seeds - 1)
        return enough(spread.projected(seeds=count / seeds, df=df))

    return Needed(
        seeds=None if seeds == 1 else _least(with_seeds, seeds, MOST_SEEDS),
        images=_least(lambda n: enough(spread.projected(images=n / images)), images, MOST_IMAGES),
    )


def _least(enough: Callable[[int], bool], first: int, last: int) -> int | None:
    """The smallest count from `first` to `last` that is enough; what is enough stays so."""
    if not enough(last):
        return None
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if enough(middle) else (middle + 1, last)
    return last


def least_shown(seeds: int, images: int, family: int = 1, level: float = LEVEL) -> float | None:
    """The smallest difference of two accuracies that these seeds and images could show at best: no
    image is lost, and the seeds gain others, as many each as can be. None where even all images
    gained would not do."""
    alpha = (1 - level) / family
    variant = np.zeros((seeds, images), dtype=bool)
    baseline = np.zeros_like(variant)
    for gained in range(seeds * images):
        shift = gained // math.lcm(seeds, images)  # from where on the same answers would come again
        variant[gained % seeds, (gained + shift) % images] = True
        if compare(baseline, variant).p <= alpha:
            return (gained + 1) / (seeds * images)
    return None


def same_in_reach(images: int, margin: float, level: float = LEVEL) -> bool:
    """Whether accuracies on so many images can be shown to be the same at all: whether they are
    when no image differs."""
    return Floor(1 / images, bend=1 / images).at(normal(1 - level)) < margin
