"""What must be known to read the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from classifier.basics.names import counted
from experiments.matrix.schema import MARGIN
from reports.figures.metrics import OF_THE_WHOLE
from reports.figures.select import Cell
from reports.statistics.answers import Answer, Judged, Noise, noise
from reports.statistics.intervals import Scope
from reports.statistics.verdicts import TWO_SEEDS
from reports.words.before import compared_with_nothing
from reports.words.phrases import as_sentence, compared_with

FOLDS = (
    "The folds' trainings share most of their images, so how far chance moves figures of all folds "
    "together can't be estimated without bias (Bengio and Grandvalet 2004); these intervals take "
    "images as independent, and may be too narrow: docs/statistics.md."
)
LARGE_FAMILY = 20
SAVED, MOST_SAVED = 2.0, 100.0
"""From few seeds a ratio of variances below or above says nothing: differences that are equal by
chance make it as large as one likes."""
METHOD = (
    "A difference is the variant's figure minus its baseline's, over the seeds that both have. "
    "Where both arms' predictions are of the same images they are compared image by image and seed "
    "by seed (paired), else as two separate samples (labelled). One seed: the paired score "
    "interval (Tango 1998), for weighted scores a normal one with a floor; it speaks of these "
    "trainings, and another seed may give another answer. Several seeds: seeds and images as "
    "crossed random effects, Student's t for seeds; it speaks of this model, trained again on the "
    "same training images with other seeds, on other test images. Of folds, the test parts "
    "together: each image once. Metrics that are no mean over images: an image's part is its "
    "jackknife pseudo-value (Tukey 1958). Over the rows (models, data sets): of the mean of these; "
    "and of others like these, as if the rows were a sample of them. Speeds: from blocks of "
    "passes; they speak of this process on this device. p is the level at which the "
    "interval just touches 0. A difference is better or worse where Holm's p (1979), over all "
    "comparisons of its table, is at most 5 %; else it is the same where the 90 % interval lies "
    "inside the margin (each at 5 % on its own, not corrected); else these data can't tell. How "
    "well this holds, and the sources: docs/statistics.md."
)
BOLD = (
    "Bold: no other row of this column is shown to be better, and some row is shown to be worse "
    "(which says nothing of the baseline); where no row is shown to differ, nothing is bold."
)


def verdict_notes(answer: Answer) -> Iterator[str]:
    """What must be known to read the verdicts."""
    compared = [each for each in answer.compared if each.comparison]
    if compared:
        yield from _on_comparisons(answer, compared)
    if any(each.stands_out for row in answer.cells for each in row):
        yield f"{BOLD} Columns without intervals have none."
    yield from _noise(noise(answer))


def _on_comparisons(answer: Answer, compared: Sequence[Judged]) -> Iterator[str]:
    listed = ", ".join(f"“{name}” with “{base}”" for name, base in compared_with(compared))
    yield f"Compared: {listed}."
    cells = answer.table.cells
    pairs = [(cell, cell.baseline) for row in cells for cell in row if cell.baseline]
    headers = {each.column.header for pair in pairs for each in pair}
    if alone := compared_with_nothing([cell.column for cell in cells[0]], headers):
        yield as_sentence(alone)
    yield from _margins([each.cell for each in compared])
    yield f"Holm's p is over {counted(answer.family, 'comparison')}."
    if answer.family > LARGE_FAMILY:
        yield (
            f"With {answer.family} comparisons in one table, Holm's correction asks the first of "
            f"them for p below {0.05 / answer.family:.2g}; a table of fewer would show more."
        )
    if whole := sorted({each.cell.column.metric for each in compared} & set(OF_THE_WHOLE)):
        yield (
            f"No mean over images: {', '.join(whole)}. There an image's part is its jackknife "
            "pseudo-value (Tukey 1958): docs/statistics.md."
        )
    if any(each.comparison.seeds == 2 for each in compared if each.comparison):
        yield TWO_SEEDS
    if any(each.comparison.scope is Scope.TRAININGS for each in compared if each.comparison):
        yield (
            "Verdicts from one seed speak of these trainings: what another seed would give is not "
            "in them."
        )
    if any(
        each.cell.column.split == "val" or each.cell.column.stage == "train" for each in compared
    ):
        yield (
            "Columns of val: each training's best epoch was chosen on these images, so they "
            "flatter it, and their intervals and verdicts do not allow for that; test columns are "
            "free of it."
        )
    if any(each.cell.data and each.cell.data.folds and each.comparison for each in compared):
        yield FOLDS
    yield from answer.no_lines


def _margins(compared: Sequence[Cell]) -> Iterator[str]:
    """Which they are, and which of them the matrix chose."""
    without = dict.fromkeys(cell.column.header for cell in compared if cell.margin is None)
    has_default = [cell for cell in compared if cell.column.is_share]
    is_default = any(cell.margin == MARGIN for cell in has_default)
    own = (cell for cell in compared if cell.margin != MARGIN or cell not in has_default)
    chosen = {cell.margin for cell in own if cell.margin}
    said = [f"{MARGIN:g}, the default"] if is_default else []
    if chosen:
        written = " and ".join(f"{margin:g}" for margin in sorted(chosen))
        default = f" (the default is {MARGIN:g})" if has_default and not is_default else ""
        said.append(f"{written}, set by this matrix{default}")
    if said:
        has = "has" if len(without) == 1 else "have"
        never = f"; never said of {', '.join(without)}, which {has} no margin" if without else ""
        yield f"Margin for `same`: {'; '.join(said)}{never}."


def _noise(of: Noise) -> Iterator[str]:
    if of.between_seeds:
        parts = ", ".join(f"{move:.5f} on {part}" for part, move in of.between_seeds.items())
        yield f"Changing only the seed moves a figure by {parts} (root mean square of two seeds)."
    for header, times in of.unpaired_trainings:
        if SAVED < times < MOST_SAVED:
            yield (
                f"{header}: that both arms have the same seeds saved trainings: with seeds of "
                f"their own they would have needed about {times:.0f} times as many (estimated from "
                "few seeds, so rough)."
            )
