"""How large a large report's page is, what writing it takes, and how soon a browser shows it.

python -m tests.benchmarks page [ROWS]
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np

from classifier.records.record import EvaluateRecord
from classifier.records.runs import PREDICTIONS
from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.store.store import Results
from reports.blocks import Grid
from reports.figures.select import select
from reports.page.markdown import grid
from reports.report import write
from reports.statistics.answers import answers
from tests.records import results_of

T = TypeVar("T")
METRICS = ("accuracy", "mpa", "top5", "nll", "kappa", "f1", "precision", "recall", "ece", "auc")
SEEDS, IMAGES, CLASSES = 10, 357, 10
MOST_BYTES, MOST_SECONDS = 5_000_000, 2.0


def matrix_of(folder: Path, rows: int) -> Matrix:
    """Twenty tables, a metric and a part each, of learning rates with and without R-Drop."""
    rates = [f"{1e-4 + index * 1e-6:.8f}" for index in range(rows)]
    tables = "".join(
        f"  {metric}-{part}:\n    rows: lr\n    baseline: {{rdrop: false}}\n    columns:\n"
        f"      - {{header: {part}, split: {part}, metric: {metric}, where: {{rdrop: false}}}}\n"
        f"      - {{header: {part} r-drop, split: {part}, metric: {metric}, "
        "where: {rdrop: true}}\n"
        for metric in METRICS
        for part in ("val", "test")
    )
    file = folder / "large.yaml"
    file.write_text(
        "title: Large\ndata: digits\ntrain: {model: ghostnet, epochs: 100}\n"
        f"seeds: {list(range(SEEDS))}\nmatrix: {{lr: [{', '.join(rates)}], rdrop: [false, true]}}\n"
        f"tables:\n{tables}"
    )
    return load(file)


def store_of(matrix: Matrix, folder: Path) -> Results:
    """Records with histories and with predictions, of which about four in five are right."""
    results = results_of(matrix)
    labels = np.arange(IMAGES) % CLASSES
    paths = np.array([f"{label}/{image:04}.png" for image, label in enumerate(labels)])
    for number, (key, record) in enumerate(list(results.records.items())):
        rng = np.random.default_rng(number)
        if isinstance(record, EvaluateRecord):
            logits = rng.normal(size=(IMAGES, CLASSES)).astype(np.float32)
            logits[np.arange(IMAGES), labels] += 2.5
            accuracy = float((logits.argmax(axis=1) == labels).mean())
            data = record.data.model_copy(update={"classes": CLASSES})
            update = {"images": IMAGES, "accuracy": accuracy, "mpa": accuracy, "data": data}
            unit = folder / "-".join(key)
            unit.mkdir()
            np.savez(unit / PREDICTIONS, logits=logits, labels=labels, paths=paths)
            results.records[key] = record.model_copy(update=update)
            results.folders[key] = unit
        elif record.kind == "train":
            row = record.history[0]
            losses = 2.3 * 0.97 ** np.arange(100) + rng.normal(0, 0.02, 100)
            history = tuple(
                row.model_copy(update={"epoch": epoch, "val_loss": float(loss)})
                for epoch, loss in enumerate(losses)
            )
            results.records[key] = record.model_copy(update={"history": history})
    return results


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def opening(page: Path) -> float:
    """Seconds until a headless browser has loaded and painted it: the median of five."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        taken = []
        for _ in range(5):
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
            taken.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return median(taken)


def main(rows: int = 50) -> int:
    """1 where the page is larger, or opens later, than promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrix = matrix_of(folder, rows)
        runs = folder / "runs"
        runs.mkdir()
        selection, selecting = timed(lambda: select(matrix, store_of(matrix, runs)))
        found, answering = timed(lambda: answers(selection))
        files, writing = timed(lambda: write(selection, folder, found))
        page = next(file for file in files if file.name == "index.html")
        size, shown = page.stat().st_size, opening(page)
        values = (
            ("rows of each of 20 tables, seeds", f"{rows}, {SEEDS}"),
            ("making and selecting records", f"{selecting:.1f} s"),
            ("answers", f"{answering:.1f} s"),
            ("writing the report, plots included", f"{writing:.1f} s"),
            ("index.html", f"{size / 1e6:.2f} MB"),
            ("opening it (median of 5)", f"{shown:.2f} s"),
        )
    print(grid(Grid(("of a large report", ""), values)), end="")
    return int(size > MOST_BYTES or shown > MOST_SECONDS)
