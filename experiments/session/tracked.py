"""What a run's trackers are told of its reports, and which trackers these are."""

from __future__ import annotations

import sys

from experiments.session.options import RunOptions
from experiments.session.outcome import Reported
from experiments.store.store import Store
from experiments.tracking import options as tracking
from experiments.tracking.track import Feed, Trackers
from experiments.tracking.tracker import Report

FILES = (".csv", ".md")
"""A page has pictures of the data, which need not be for everybody who sees a tracker."""


def trackers(options: RunOptions, store: Store) -> Trackers:
    return Trackers(
        Feed(name, opened, store, lambda line: print(line, file=sys.stderr))
        for name, opened in tracking.trackers(options.tensorboard, options.mlflow)
    )


def reports(reported: Reported) -> list[Report]:
    """Of each matrix, as its files have it."""
    from reports import records_json
    from reports.report import PAGE

    made = []
    for folder in reported.folders:
        known = records_json.read(folder)
        cells = {
            (cell.table, cell.row, cell.column): {
                name: value
                for name in ("figure", "low", "high")
                if (value := getattr(cell, name)) is not None
            }
            for cell in known.cells
        }
        files = [file for file in sorted(folder.iterdir()) if file.suffix in FILES]
        text = (folder / PAGE).read_text(encoding="utf-8")
        made.append(Report(folder.name, text, cells, files))
    return made
