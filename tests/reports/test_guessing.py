"""Who has learnt nothing, where classes are even and where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.metrics import balanced_accuracy_score

from classifier.basics.chance import is_guessing
from classifier.models.class_names import METADATA
from classifier.records.record import EvaluateRecord, TrainRecord
from classifier.records.runs import CHECKPOINT, PREDICTIONS
from experiments.matrix.model import Matrix
from experiments.store.store import Results
from reports.figures.folds import Folded
from reports.figures.guessing import Guess, guess
from reports.figures.select import select
from reports.statistics.answers import answers
from reports.statistics.verdicts import Word
from reports.words.notes import notes
from tests.records import results_of
from tests.reports.test_answers import matrix_of

Labels = NDArray[np.int64]
CIRCLE = 1
SHAPES = ("arrow", "circle", "line", "square")
UNEVEN = np.repeat(np.arange(4), [100, 293, 107, 100])
"""The largest class is 0.488 of the images."""


def evaluated(
    template: EvaluateRecord, unit: Path, classes: int, labels: Labels, predicted: Labels
) -> EvaluateRecord:
    """Its record; its predictions in `unit`."""
    unit.mkdir(parents=True, exist_ok=True)
    paths = np.array([f"{image:05}.png" for image in range(len(labels))])
    logits = np.eye(classes, dtype=np.float32)[predicted]
    np.savez(unit / PREDICTIONS, logits=logits, labels=labels, paths=paths)
    gone = tuple(str(of) for of in range(classes) if of not in labels)
    lacking = {template.spec.split: gone} if gone else {}
    with np.errstate(all="ignore"):
        mpa = np.mean([(predicted == labels)[labels == of].mean() for of in np.unique(labels)])
    data = template.data.model_copy(update={"classes": classes, "lacking": lacking})
    update = {
        "data": data,
        "images": len(labels),
        "accuracy": float(np.mean(predicted == labels)),
        "mpa": float(mpa),
    }
    return template.model_copy(update=update)


@pytest.fixture
def template(tmp_path: Path) -> EvaluateRecord:
    records = results_of(matrix_of(tmp_path)).records.values()
    return next(record for record in records if isinstance(record, EvaluateRecord))


def drawn(rng: np.random.Generator, classes: int) -> Labels:
    """Labels of at least two classes with any shares; some may have no image."""
    counts = rng.multinomial(400, rng.dirichlet(np.full(classes, 0.5)))
    counts[rng.choice(classes, 2, replace=False)] += 4
    return np.repeat(np.arange(classes), counts)


@pytest.mark.parametrize("seed", range(40))
def test_who_answers_always_the_same_guesses_whatever_the_shares(
    seed: int, template: EvaluateRecord, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))
    labels = drawn(rng, classes)
    for of in range(classes):
        record = evaluated(template, tmp_path, classes, labels, np.full(len(labels), of))
        folders = {(record.signature, record.unit): tmp_path}
        assert guess(record, folders) and guess(record, {})


@pytest.mark.parametrize("seed", range(40))
def test_who_is_right_in_half_of_each_class_does_not_guess_whatever_the_shares(
    seed: int, template: EvaluateRecord, tmp_path: Path
) -> None:
    """Though its accuracy may be far below the largest class's share."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(3, 12))
    counts = 2 * rng.multinomial(300, rng.dirichlet(np.full(classes, 0.5))) + 2
    labels = np.repeat(np.arange(classes), counts)
    predicted = np.where(np.arange(len(labels)) % 2, labels, (labels + 1) % classes)
    record = evaluated(template, tmp_path, classes, labels, predicted)
    assert record.accuracy == record.mpa == 0.5
    assert guess(record, {(record.signature, record.unit): tmp_path}) is None


@pytest.mark.parametrize("seed", range(40))
def test_of_even_classes_the_accuracy_alone_tells(
    seed: int, template: EvaluateRecord, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 12))
    labels = np.repeat(np.arange(classes), 30)
    learnt = rng.random(len(labels)) < rng.uniform(0, 2 / classes)
    predicted = np.where(learnt, labels, rng.integers(0, classes, len(labels)))
    record = evaluated(template, tmp_path, classes, labels, predicted)
    assert record.mpa == pytest.approx(balanced_accuracy_score(labels, predicted))
    found = guess(record, {(record.signature, record.unit): tmp_path})
    assert found == (Guess("") if is_guessing(record.accuracy, classes) else None)


def test_who_knows_more_than_the_largest_class_does_not_guess(
    template: EvaluateRecord, tmp_path: Path
) -> None:
    """Its mpa is near chance's, but no constant answer has its accuracy; once one has, it does."""
    predicted = np.full(len(UNEVEN), CIRCLE)
    predicted[:10] = 0
    record = evaluated(template, tmp_path, 4, UNEVEN, predicted)
    folders = {(record.signature, record.unit): tmp_path}
    assert record.mpa < 0.3 and record.accuracy > 293 / 600
    assert guess(record, folders) is None
    predicted[100:110] = 0
    record = evaluated(template, tmp_path, 4, UNEVEN, predicted)
    assert record.accuracy == 293 / 600
    assert guess(record, folders) == Guess("always answering the largest class is right in 0.488")


def test_of_folds_all_images_together_tell(template: EvaluateRecord, tmp_path: Path) -> None:
    def fold(name: str, *, learns: bool) -> EvaluateRecord:
        predicted = UNEVEN.copy() if learns else np.full(len(UNEVEN), CIRCLE)
        own = template.model_copy(update={"signature": name})
        return evaluated(own, tmp_path / name, 4, UNEVEN, predicted)

    constant, other, learnt = (
        fold("a", learns=False),
        fold("b", learns=False),
        fold("c", learns=True),
    )
    folders = {(of.signature, of.unit): tmp_path / of.signature for of in (constant, other, learnt)}
    found = guess(Folded((constant, other)), folders)
    assert found == Guess("always answering the largest class is right in 0.488")
    assert guess(Folded((constant, learnt)), folders) is None


def test_of_a_training_which_keeps_no_labels_the_mpa_tells(tmp_path: Path) -> None:
    records = results_of(matrix_of(tmp_path)).records.values()
    record = next(record for record in records if isinstance(record, TrainRecord))
    data = record.data.model_copy(update={"classes": 4})
    record = record.model_copy(update={"data": data, "accuracy": 0.48})
    found = guess(record.model_copy(update={"mpa": 0.259}), {})
    assert found == Guess("mpa is that of guessing")
    assert guess(record.model_copy(update={"mpa": 0.4}), {}) is None


def uneven(matrix: Matrix, folder: Path) -> Results:
    """Each evaluation answers 'circle' for each image."""
    results = results_of(matrix)
    for key, record in list(results.records.items()):
        unit = folder / "-".join(key)
        results.folders[key] = unit
        if isinstance(record, EvaluateRecord):
            always = np.full(len(UNEVEN), CIRCLE)
            results.records[key] = evaluated(record, unit, 4, UNEVEN, always)
        else:
            unit.mkdir(parents=True)
            about = {METADATA: json.dumps({"classes": SHAPES})}
            save_file({"w": np.zeros(1)}, unit / CHECKPOINT, about)
    return results


def test_arms_that_answer_always_the_same_are_not_the_same_and_it_is_said(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path)
    selection = select(matrix, uneven(matrix, tmp_path / "runs"))
    (answer,) = answers(selection)
    judged = answer.cells[0][1]
    why = "always answering 'circle' is right in 0.488"
    assert judged.doubts == tuple(
        f"seeds 0, 1, 2 only guess in {arm} ({why})" for arm in ("r-drop", "plain")
    )
    assert judged.comparison is not None and judged.comparison.difference == 0
    assert judged.verdict is not None and judged.verdict.word is Word.CANT_TELL
    (note,) = [of for of in notes(selection, answer.table) if "guessing" in of]
    assert note == (
        "6 of 6 accuracies are those of guessing: what they belong to has learnt nothing yet "
        f"({why})."
    )
