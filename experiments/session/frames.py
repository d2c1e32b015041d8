"""What a store holds for a matrix, as pandas frames. A column has the name that it has in
results.csv, verdicts.json and records.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from classifier.basics.errors import UserError
from classifier.basics.names import counted
from classifier.basics.told import dotted, plain
from classifier.records.record import EvaluateRecord, TrainRecord
from experiments.matrix.model import Matrix
from experiments.matrix.schema import COSTS
from reports import records_json, results_csv, verdict_files
from reports.figures import scores
from reports.figures.disagreements import names_of
from reports.figures.select import Selection, Used
from reports.statistics.answers import Answer, answers

PROBABILITY = "probability:"
"""How the name of a class's column begins."""
_TOLD_OF_EACH = ("kind", "signature", "model", "seed", "fold", "track", "split", "precision")
"""Columns of `records` that tell its histories and predictions apart, beside the axes."""
_AMONG_COLUMNS = ("model", "seed", "image_size", "batch_size")
"""Settings that have a column in results.csv."""


class MatrixResults:
    """A matrix's records as they were when this was made, and what its report says of them.

    Each frame is made when it is first asked for. `records` and what follows from it
    (`histories`, `predictions`) have a row number in common: `record`, the index of `records`.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    @property
    def matrix(self) -> Matrix:
        return self._selection.matrix

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell of each table: its `figure` (the mean over the seeds) with the 95 % interval
        from `low` to `high`, or why it is `missing`; the figure `by_seed`, its `metric` and
        `split`, how many `images` it rests on, its `verdict`, and its `records` by their index in
        that frame."""
        content = records_json.known(self._selection, self._answers)
        judged = (
            verdict_files.of_cell(answer, each)
            for answer in self._answers
            for row in answer.cells
            for each in row
        )
        return _frame(
            {
                **{name: getattr(cell, name) for name in ("table", "row", "column")},
                **{name: verdict[name] for name in ("metric", "split")},
                **cell.model_dump(exclude={"table", "row", "column", "limits"}),
            }
            for cell, verdict in zip(content.cells, judged, strict=True)
        )

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row a cell or line over rows of what verdicts.json has: differences to baselines with
        their intervals, p and verdicts. Tables of more than 40 rows that compare nothing are left
        out."""
        return _frame(verdict_files.rows_of(self._answers), verdict_files.COLUMNS)

    @cached_property
    def records(self) -> pd.DataFrame:
        """A row a record: what results.csv says of it, its other figures, what its training cost,
        and its training's settings as `--set` names them (`train.lr`, `data.split`)."""
        used = self._selection.used
        rows = zip(results_csv.rows(self._selection), used, strict=True)
        made = [row | _beside(each) | _settings(each) for row, each in rows]
        return _frame(made, results_csv.columns(self._selection)).rename_axis("record")

    @cached_property
    def histories(self) -> pd.DataFrame:
        """A row an epoch of each training's record: losses, val accuracy, learning rate, and what
        tricks told of it (`trick.name`)."""
        return _frame(
            {**told, **_epoch(epoch.model_dump())}
            for used, told in zip(self._selection.used, self._told(), strict=True)
            if isinstance(used.record, TrainRecord)
            for epoch in used.record.history
        )

    def predictions(
        self,
        records: pd.DataFrame | str | Iterable[str] | None = None,
        *,
        probabilities: bool = True,
    ) -> pd.DataFrame:
        """A row an image of each evaluation, by path: its `path`, `label`, `predicted` class and
        the softmax score of each class (`probability:cat`), read from the stored logits now.

        `records`: which evaluations, as rows of the frame of that name or by signature; all, if
        nothing is given. `probabilities`: whether a column for each class is wanted. Raises
        UserError for what is no evaluation of the matrix, and where its predictions are missing or
        damaged.
        """
        told = list(self._told())
        return pd.concat(
            [
                self._predictions(which, told[which], probabilities)
                for which in self._which(records)
            ],
            ignore_index=True,
        )

    def __repr__(self) -> str:
        cells = [cell for a in self._answers for row in a.cells for cell in row]
        there = sum(judged.cell.missing is None for judged in cells)
        records = counted(len(self._selection.used), "record")
        return f"<results of {self.matrix.name}: {there} of {len(cells)} cells, {records}>"

    @cached_property
    def _answers(self) -> list[Answer]:
        return answers(self._selection)

    def _told(self) -> Iterator[dict[str, Any]]:
        """Which record it is, as the first columns of a frame."""
        names = {*_TOLD_OF_EACH, *results_csv.axes(self._selection)} - {"kind"}
        ordered = [name for name in results_csv.columns(self._selection) if name in names]
        for index, row in enumerate(results_csv.rows(self._selection)):
            yield {"record": index, **{name: row.get(name) for name in ordered}}

    def _which(self, records: pd.DataFrame | str | Iterable[str] | None) -> list[int]:
        """The places of evaluations among what is used."""
        used = self._selection.used
        known = {
            each.record.signature: index
            for index, each in enumerate(used)
            if isinstance(each.record, EvaluateRecord)
        }
        if records is None:
            wanted: Sequence[str] = list(known)
        elif isinstance(records, pd.DataFrame) and "signature" in records:
            wanted = list(map(str, records["signature"]))
        elif isinstance(records, Iterable) and not isinstance(records, pd.DataFrame):
            wanted = [records] if isinstance(records, str) else list(records)
        else:
            raise UserError("predictions: rows of the frame 'records' are expected, or signatures")
        if not wanted:
            raise UserError("predictions: no evaluation is asked for, or none is there")
        for signature in wanted:
            if signature not in known:
                raise UserError(
                    f"predictions: {signature} is no evaluation among the records of "
                    f"{self.matrix.name}; those are the rows whose kind is evaluate"
                )
        return [known[signature] for signature in wanted]

    def _predictions(
        self, which: int, told: Mapping[str, Any], probabilities: bool
    ) -> pd.DataFrame:
        record = self._selection.used[which].record
        assert isinstance(record, EvaluateRecord)
        unit = self._selection.folders[record.signature, record.unit]
        try:
            found = scores.predictions(unit, record)
        except scores.NoPredictionsError as error:
            raise UserError(f"the predictions in {unit} are {error}") from error
        classes = names_of(record, self._selection.folders) or tuple(
            map(str, range(found.logits.shape[1]))
        )
        frame = pd.DataFrame({**told, "path": found.paths.astype(object)})
        for name, codes in (("label", found.labels), ("predicted", found.predicted)):
            frame[name] = pd.Categorical.from_codes(codes.tolist(), categories=pd.Index(classes))
        if not probabilities:
            return frame
        names = [f"{PROBABILITY}{name}" for name in classes]
        return pd.concat([frame, pd.DataFrame(found.probabilities, columns=names)], axis=1)


def _beside(used: Used) -> dict[str, Any]:
    """What a record says that results.csv has not, or where a table shows it only."""
    unit = {"unit": used.record.unit}
    return {**unit, **records_json.figures(used.record), **results_csv.cost_of_record(used, COSTS)}


def _settings(used: Used) -> dict[str, Any]:
    spec = used.record.spec.trained
    if spec is None:
        return {}
    told = {name: value for name, value in spec.told().items() if name not in _AMONG_COLUMNS}
    data = told.pop("data")
    each = (*dotted(told, "train."), *dotted(data, "data."))
    return {name: plain(value) if isinstance(value, list) else value for name, value in each}


def _epoch(content: dict[str, Any]) -> dict[str, Any]:
    reports: Mapping[str, Mapping[str, Any]] = content.pop("reports", {})
    told = {f"{trick}.{name}": v for trick, each in reports.items() for name, v in each.items()}
    return content | told


def _frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """With these columns first. Whole numbers, and yes or no, stay such where some are missing."""
    rows = list(rows)
    names = dict.fromkeys((*columns, *(name for row in rows for name in row)))
    return pd.DataFrame({name: _series([row.get(name) for row in rows]) for name in names})


def _series(values: Sequence[Any]) -> pd.Series[Any]:
    kinds = {type(value) for value in values if value is not None}
    dtype = {frozenset({int}): "Int64", frozenset({bool}): "boolean"}.get(frozenset(kinds))
    return pd.Series(values, dtype=dtype if None in values else None)
