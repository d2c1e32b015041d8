"""A report's plots, which are drawn again only where they may look otherwise: to load matplotlib
and draw takes most of the time in which a report is made."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, write_atomically
from classifier.basics.machine import code_digest
from reports.blocks import Grid, Plot
from reports.figures.select import Selection
from reports.page.plots import every
from reports.page.plots.every import Plots
from reports.statistics.answers import Answer

DRAWN_BY = ("matplotlib", "numpy", "scipy", "rich")
"""Whose other version may draw otherwise."""
SEAL = hashlib.sha256().digest_size


def plots(selection: Selection, answers: Sequence[Answer], report: Path) -> Plots:
    """As `every.plots`. Those of the last time are kept in the cache, one file for each folder that
    a `report` lies in; where the cache can't be written, they are drawn each time."""
    try:
        folder = cache_folder("plots")
    except UserError:
        return every.plots(selection, answers)
    named = hashlib.sha256(os.fsencode(report.absolute())).hexdigest()[:24]
    file, made_of = folder / f"{named}.plots", _digest(selection, answers)
    kept = _read(file, made_of)
    if kept is not None:
        return kept
    drawn = every.plots(selection, answers)
    told = json.dumps([list(map(_told, of)) for of in (*drawn.tables, drawn.of_all)]).encode()
    with suppress(OSError, UserError):  # a full disk costs no report
        write_atomically(file, _seal(made_of, told) + told)
    return drawn


def _digest(selection: Selection, answers: Sequence[Answer]) -> bytes:
    """Of all that plots are made of: the figures, and what draws them."""
    figures = io.BytesIO()
    _Figures(figures, pickle.HIGHEST_PROTOCOL).dump((selection, list(answers)))
    return hashlib.sha256(HAND.encode() + figures.getvalue()).digest()


def _seal(made_of: bytes, told: bytes) -> bytes:
    """What a file begins with: nothing else is parsed."""
    return hashlib.sha256(made_of + told).digest()


def _hand() -> str:
    versions = [f"{name} {version(name)}" for name in DRAWN_BY]
    code = code_digest("classifier", "experiments", "reports")
    return " ".join([platform.python_version(), *versions, code])


HAND = _hand()
"""What draws, as it was when it was imported: its files may be others while a run lives."""


class _Figures(pickle.Pickler):
    """Written to be digested, never read. Of a model without which of its fields were given: they
    are a set, whose order is another in each process."""

    def reducer_override(self, thing: object) -> Any:
        return (type(thing), (vars(thing),)) if isinstance(thing, BaseModel) else NotImplemented


def _told(plot: Plot) -> list[Any]:
    data = plot.data
    assert not data.marks, "they would be lost"
    grid = [data.header, data.rows, sorted(data.strong), data.caption]
    return [plot.name, plot.title, plot.svg, grid, plot.caption, plot.wide]


def _read(file: Path, made_of: bytes) -> Plots | None:
    """None where there are none, or others."""
    if not file.is_file():
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None
    seal, told = content[:SEAL], content[SEAL:]
    if seal != _seal(made_of, told):
        return None
    *of_tables, of_all = [list(map(_plot, of)) for of in json.loads(told)]
    return Plots(of_tables, of_all)


def _plot(told: Sequence[Any]) -> Plot:
    name, title, svg, (header, rows, strong, caption), below, wide = told
    data = Grid(header, rows, frozenset(map(tuple, strong)), caption=caption)
    return Plot(name, title, svg, data, below, wide)
