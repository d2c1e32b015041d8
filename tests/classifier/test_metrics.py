from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    fbeta_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from classifier.basics.errors import UserError
from classifier.inference import metrics, metrics_report, plots
from classifier.inference.metrics import AUC, AUPR, Labels

NAMES = ["a b", "c & d", "Ünï", "x\ny", "$5 $6", "p|q", "中文", "_u_", 'say "hi",', "r\rr"]


def random_predictions(
    seed: int, images: int, classes: int, missing: int
) -> tuple[NDArray[np.float32], Labels]:
    """Logits and labels where the last `missing` classes have no label and the first ones, half as
    many, are never predicted."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(images, classes)).astype(np.float32)
    logits[:, : missing // 2] -= 20
    return logits, draw.integers(0, classes - missing, images)


@pytest.mark.filterwarnings("ignore")  # scikit-learn's and PyCM's about undefined figures
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(2, 120),
    classes=st.integers(2, 12),
    missing=st.integers(0, 8),
)
def test_agrees_with_scikit_learn_and_pycm(
    seed: int, images: int, classes: int, missing: int
) -> None:
    logits, labels = random_predictions(seed, images, classes, min(missing, classes - 1))
    predicted = logits.argmax(axis=1)
    matrix = metrics.confusion(predicted, labels, classes)
    everything = list(range(classes))
    assert (matrix == confusion_matrix(labels, predicted, labels=everything)).all()

    found = metrics.overall(matrix)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "MPA": balanced_accuracy_score(labels, predicted),
        "kappa": cohen_kappa_score(labels, predicted, labels=everything),
        "precision (macro)": macro[0],
        "recall (macro)": macro[1],
        "F1 (macro)": macro[2],
    }
    for name in ("precision", "recall", "F1"):
        expected[f"{name} (micro)"] = expected["accuracy"]
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert found["MPA"] == pytest.approx(metrics.mpa(predicted, labels), abs=1e-12)

    own = pycm.ConfusionMatrix(labels.tolist(), predicted.tolist(), classes=everything)
    for name, theirs in (
        ("accuracy", own.Overall_ACC),
        ("kappa", own.Kappa),
        ("precision (micro)", own.PPV_Micro),
        ("recall (micro)", own.TPR_Micro),
        ("F1 (micro)", own.F1_Micro),
        ("precision (macro)", own.PPV_Macro),
        ("recall (macro)", own.TPR_Macro),
        ("F1 (macro)", own.F1_Macro),
    ):
        if theirs not in (None, "None"):
            assert found[name] == pytest.approx(theirs, abs=1e-9, nan_ok=True), name

    rows = metrics.per_class(matrix)
    for beta, name in ((0.5, "F0.5"), (1.0, "F1"), (2.0, "F2")):
        theirs = fbeta_score(
            labels, predicted, beta=beta, labels=everything, average=None, zero_division=np.nan
        )
        assert_defined_alike(rows[name].tolist(), theirs)
    precision, recall, _, support = precision_recall_fscore_support(
        labels, predicted, labels=everything, zero_division=np.nan
    )
    assert_defined_alike(rows["precision"].tolist(), precision)
    assert_defined_alike(rows["recall"].tolist(), recall)
    assert rows["images"].tolist() == support.tolist()
    one_vs_rest = [accuracy_score(labels == k, predicted == k) for k in everything]
    assert rows["accuracy"].tolist() == pytest.approx(one_vs_rest, abs=1e-9)


def assert_defined_alike(ours: Sequence[float], theirs: Sequence[float]) -> None:
    assert list(ours) == pytest.approx(list(theirs), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("missing", [0, 3])
def test_auc_and_aupr_are_of_the_scores(tmp_path: Path, missing: int) -> None:
    logits, labels = random_predictions(missing, 150, 8, missing)
    metrics_report.write(
        tmp_path, logits, labels, [str(i) for i in range(150)], [f"c{k}" for k in range(8)],
        visual=False,
    )  # fmt: skip
    wide = np.exp(logits.astype(np.float64))
    scores = wide / wide.sum(axis=1, keepdims=True)
    rows = list(csv.DictReader((tmp_path / "per_class.csv").open(newline="")))
    assert {AUC, AUPR} == {"AUC (scores)", "AUPR (scores)"} <= set(rows[0])
    for k, row in enumerate(rows):
        if k >= 8 - missing:
            assert row[AUC] == row[AUPR] == "" and row["images"] == "0"
            continue
        positive = labels == k
        auc = roc_auc_score(positive, scores[:, k])
        aupr = average_precision_score(positive, scores[:, k])
        assert float(row[AUC]) == pytest.approx(auc, abs=1e-9)
        assert float(row[AUPR]) == pytest.approx(aupr, abs=1e-9)
        hard = roc_auc_score(positive, logits.argmax(axis=1) == k)
        assert auc != pytest.approx(hard, abs=1e-6), "hard labels would give another"


def test_a_single_label_has_no_auc() -> None:
    rows = metrics.ranking(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    assert rows.isna().all(axis=None)


def test_files_give_back_every_name_and_image(tmp_path: Path) -> None:
    logits, labels = random_predictions(1, 40, 10, 1)
    paths = [f"{NAMES[k]}/{i} ä&\n\udcff.jpg" for i, k in enumerate(labels)]
    files = metrics_report.write(tmp_path, logits, labels, paths, NAMES, visual=False)
    assert [file.name for file in files] == [
        "overall.csv", "per_class.csv", "confusion_matrix.csv", "correct.csv", "incorrect.csv",
        "summary.md",
    ]  # fmt: skip
    assert sorted(files) == sorted(tmp_path.iterdir())

    def rows(name: str) -> list[list[str]]:
        with (tmp_path / name).open(newline="", errors="surrogateescape") as file:
            return list(csv.reader(file))

    predicted = logits.argmax(axis=1)
    listed = rows("correct.csv")[1:] + rows("incorrect.csv")[1:]
    assert len(listed) == 40 and len(rows("correct.csv")) - 1 == (predicted == labels).sum()
    assert {row[0]: (row[1], row[2]) for row in listed} == {
        path: (NAMES[label], NAMES[guess])
        for path, label, guess in zip(paths, labels, predicted, strict=True)
    }
    assert all(0.1 <= float(row[3]) <= 1 for row in listed), "the best of ten scores"
    matrix = rows("confusion_matrix.csv")
    assert matrix[0][1:] == NAMES and [row[0] for row in matrix[1:]] == NAMES
    assert sum(int(cell) for row in matrix[1:] for cell in row[1:]) == 40
    assert [row[0] for row in rows("per_class.csv")[1:]] == NAMES
    summary = (tmp_path / "summary.md").read_text()
    assert "| x\\\\ny " in summary and "| p\\|q " in summary
    assert "nan" not in summary and "AUC (scores)" in summary


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("classes", [10, 25])
def test_pictures(tmp_path: Path, classes: int) -> None:
    logits, labels = random_predictions(2, 60, classes, 2)
    names = [*NAMES, *map(str, range(classes))][:classes]
    files = metrics_report.write(
        tmp_path, logits, labels, [str(i) for i in range(60)], names, visual=True, features=logits
    )
    assert [file.name for file in files[-2:]] == ["confusion_matrix.png", "tsne.png"]
    first = (tmp_path / "tsne.png").read_bytes()
    for file in files[-2:]:
        with Image.open(file) as image:
            assert min(image.size) > 700
    if classes == 10:
        again = tmp_path / "again.png"
        plots.tsne(again, logits, labels, names, title="t-SNE of the features")
        assert again.read_bytes() == first


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [(0, 3, "0 predictions"), (3, 1, "1 class"), (3, 2, "t-SNE takes 4 images")],
)
def test_what_has_no_metrics_is_refused_before_anything_is_written(
    tmp_path: Path, images: int, classes: int, message: str
) -> None:
    logits = np.zeros((images, classes), np.float32)
    labels = np.zeros(images, np.int64)
    with pytest.raises(UserError, match=message):
        metrics_report.write(
            tmp_path / "x", logits, labels, ["p"] * images, ["c"] * classes, visual=True,
            features=logits if images > 0 and classes > 1 else None,
        )  # fmt: skip
    assert not (tmp_path / "x").exists()


def test_scores_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    logits = np.array([[1, 2], [np.inf, 0]], np.float32)
    with pytest.raises(UserError, match=r"1 of 2 predictions are not finite.*b\.jpg.*FP32"):
        metrics_report.write(
            tmp_path, logits, np.array([0, 1]), ["a.jpg", "b.jpg"], ["x", "y"], visual=False,
        )  # fmt: skip
