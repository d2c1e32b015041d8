"""Tables -> cells: each selects one arm, and asks for one record a seed."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.config.document import Document, Where
from classifier.config.explanations import text
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, MetricSpec
from classifier.data import datasets
from classifier.data.spec import DataSpec, titles
from experiments.matrix.arms import Arm, Arms, matches
from experiments.matrix.model import Form, Request, Table, names_of
from experiments.matrix.schema import DIGITS, MARGIN, NO_INTERVAL, Column, File, Row, TableSettings

MOST_FIGURES = 1_000_000

Position = tuple[int, int]
"""Row and column."""


class Tables:
    """Makes a matrix's tables: for each cell, the records that it needs."""

    def __init__(
        self, document: Document, file: File, arms: Arms, data_root: Path, loose: Iterable[str]
    ) -> None:
        """`loose`: the axes that --smoke pins."""
        self._document, self._file, self._arms = document, file, arms
        self._data_root = data_root
        self._loose = set(loose)
        self._by_value: dict[str, dict[str, list[Arm]]] = {}
        self._used: set[int] = set()
        self._classes_of: dict[DataSpec, int] = {}
        self._names_of: dict[DataSpec, tuple[str, ...]] = {}
        """The classes of what is trained on."""
        self._fits: set[tuple[Where, DataSpec]] = set()
        """Columns, by their places, that were seen to go with the data of an arm."""
        self.notes: list[str] = []

    def make(self, name: str, settings: TableSettings) -> Table:
        place: Where = ("tables", name)
        settings = self._loosened(settings)
        if (
            not all(c.isalnum() or c in "-_." for c in name)
            or name[:1] in ".-"
            or name == "report"
            or len(name.encode()) > 80
        ):
            message = (
                f"'{name[:80]}' can't be a table's name, which is a file's: letters, digits, -_."
            )
            raise self._document.error(place, message)
        self._arms.check(settings.where, (*place, "where"))
        row_header, rows = self._rows(settings, place)
        columns = self._columns(settings, place)
        figures = len(rows) * len(columns) * max(len(arm.trainings) for arm in self._arms.all)
        if figures > MOST_FIGURES:
            message = f"the table needs {figures:,} figures, more than {MOST_FIGURES:,}"
            raise self._document.error(place, message)
        cells = []
        for row in rows:
            arms = self._arms_of(row, settings.where)
            cells.append(tuple(self._cell(row, column, arms, where) for where, column in columns))
        kept = tuple(column for _, column in columns)
        baseline = self._baseline(settings.baseline, kept, cells, place)
        baseline |= self._row_baselines(settings, rows, len(kept), place)
        baseline |= self._against(settings, columns, len(rows))
        self._check_same_images(baseline, columns, cells)
        self._check_form(settings, columns, {position for _, position in baseline}, place)
        return Table(
            name=name,
            row_header=row_header,
            rows=tuple(row.name for row in rows),
            columns=kept,
            cells=tuple(cells),
            baseline=baseline,
            published=self._published(settings, place, [row.name for row in rows]),
            margins=tuple(_margin(column, settings) for column in kept),
            forms=tuple(_form(column, settings) for column in kept),
            hidden_rows=frozenset(position for position, row in enumerate(rows) if row.hide),
        )

    def idle_arms(self) -> list[str]:
        """A note on the arms that no table shows."""
        idle = [arm for arm in self._arms.all if id(arm) not in self._used]
        if not idle:
            return []
        shown = "; ".join(_shown(arm.where) for arm in idle[:3]) + ("; ..." if idle[3:] else "")
        whole = len(self._arms.all)
        return [f"{len(idle)} of {whole} arms are in no table and are not run: {shown}"]

    def _rows(self, settings: TableSettings, place: Where) -> tuple[str, list[Row]]:
        where = (*place, "rows")
        if isinstance(settings.rows, list):
            for position, row in enumerate(settings.rows):
                self._arms.check(row.where, (*where, position, "where"))
            names = [row.name for row in settings.rows]
            if not names or len(set(names)) < len(names):
                raise self._document.error(where, "rows need names, each of them once")
            kept = [row for row in settings.rows if self._is_left({**settings.where, **row.where})]
            if not kept:
                raise self._document.error(where, "the command line leaves this table no row")
            self._check_shown("row", kept, settings.rows, where)
            if len(kept) < len(names):
                gone = len(names) - len(kept)
                self.notes.append(
                    f"table {place[1]}: {gone} row(s) pinned away by the command line"
                )
            alike = [a for a in ("data", "run") if all(row.where.keys() == {a} for row in kept)]
            return _row_header(alike[0] if alike else "model", settings), kept
        axis = "run" if settings.rows == "runs" else settings.rows
        if axis not in self._arms.axes:
            raise self._document.error(where, self._arms.unknown_axis(settings.rows))
        rows = []
        values = self._arms.axes[axis]
        for name, value in zip(names_of(axis, values), values, strict=True):
            if "|" in name or "\n" in name:
                raise self._document.error(where, f"'{name}' can't be a row's name in a table")
            rows.append(Row(name=name, where={axis: value}))
        return _row_header(axis, settings), rows

    def _columns(self, settings: TableSettings, place: Where) -> list[tuple[Where, Column]]:
        """The columns with their places, without those that the command line pins away."""
        seen: set[str] = set()
        kept: list[tuple[Where, Column]] = []
        for position, column in enumerate(settings.columns):
            where = (*place, "columns", position)
            if column.header in seen:
                message = f"the header '{column.header}' is given twice"
                raise self._document.error((*where, "header"), message)
            seen.add(column.header)
            self._arms.check(column.where, (*where, "where"))
            if self._is_left({**settings.where, **column.where}):
                kept.append((where, column))
        if not kept:
            raise self._document.error(place, "the command line leaves this table no column")
        self._check_shown(
            "column", [column for _, column in kept], settings.columns, (*place, "columns")
        )
        if len(kept) < len(settings.columns):
            gone = len(settings.columns) - len(kept)
            self.notes.append(f"table {place[1]}: {gone} column(s) pinned away by the command line")
        return kept

    def _check_shown(
        self, what: str, kept: Sequence[Row | Column], written: Sequence[Row | Column], where: Where
    ) -> None:
        """At least one row and one column are shown."""
        if all(each.hide for each in written):
            raise self._document.error(where, f"every {what} is hidden, so nothing is shown")
        if all(each.hide for each in kept):
            message = f"the command line leaves this table hidden {what}s only"
            raise self._document.error(where, message)

    def _check_form(
        self,
        settings: TableSettings,
        columns: Sequence[tuple[Where, Column]],
        compared: Container[int],
        place: Where,
    ) -> None:
        """`compared`: the positions of the columns that have baselines. Where the command line pins
        an axis they may be gone, and figures are shown."""
        if settings.percent and not any(column.is_share for column in settings.columns):
            message = "'percent' is for shares of images, and no column of this table is one"
            raise self._document.error((*place, "percent"), message)
        if not self._arms.forced.keys().isdisjoint(self._arms.axes):
            return
        for position, (where, column) in enumerate(columns):
            if column.show == "difference" and position not in compared:
                message = (
                    f"'{column.header}' has no baseline to show a difference to: give it "
                    "'against', or a row or the table a 'baseline'"
                )
                raise self._document.error((*where, "show"), message)

    def _check_fits(self, column: Column, data: DataSpec, where: Where) -> None:
        """That what an arm is trained on has what the column looks at, looked at once."""
        if (where, data) not in self._fits:
            self._fits.add((where, data))
            self._check_part(column, data, where)
            self._check_other(column, data, where)

    def _check_part(self, column: Column, data: DataSpec, where: Where) -> None:
        """Of a split that is given test may be missing; where the data are there, it is known."""
        if data.split != "given" or column.split != "test":
            return
        counted = datasets.counts(data, self._data_root)
        if counted is not None and counted[1]["test"] == 0:
            message = f"{data.title} has no test/, so there are no test images; take val"
            raise self._document.error((*where, "split"), message)

    def _check_other(self, column: Column, data: DataSpec, where: Where) -> None:
        """Other data have the training's classes; where both are there, it is known."""
        root = self._data_root
        if column.data is not None and data.folds is not None:
            message = (
                "'data' of a column takes one network for each seed, and 'folds' give several; "
                "leave 'folds' out"
            )
            raise self._document.error((*where, "data"), message)
        if column.data is None or not column.data.source.is_there(root):
            return
        if data not in self._names_of:
            if not data.source.is_there(root):
                return
            self._names_of[data] = datasets.listing(data, root).classes
        with self._document.errors_at((*where, "data")):
            datasets.other(column.data, root, self._names_of[data])

    def _check_same_images(
        self,
        baseline: Mapping[Position, Position],
        columns: Sequence[tuple[Where, Column]],
        cells: Sequence[Sequence[Sequence[Request]]],
    ) -> None:
        """Figures of other images are no baseline: nobody knows what the images do to them. Where a
        column names its data, what these do to a network is what is asked."""
        for (r, c), (base_r, base_c) in baseline.items():
            where, column = columns[c]
            if column.is_speed or column.is_cost or column.data or columns[base_c][1].data:
                continue
            one, other = cells[r][c][0].looked_at, cells[base_r][base_c][0].looked_at
            if one != other:
                assert one is not None and other is not None
                names = " and ".join(f"'{name}'" for name in titles([other, one]).values())
                message = (
                    f"'{column.header}' would be compared between {names}: other images give other "
                    "figures whatever the arms do; compare arms on the same data"
                )
                raise self._document.error(where, message)

    def _is_left(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the command line's pins leave arms of this condition."""
        pinned = {name: self._arms.axes[name][0] for name in wanted if name in self._arms.forced}
        return matches(wanted, pinned)

    def _loosened(self, settings: TableSettings) -> TableSettings:
        """Without conditions on axes that --smoke pins: there all arms of such an axis are one,
        and each column is still to be shown."""
        if self._loose.isdisjoint(self._arms.axes):
            return settings

        def free(where: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in where.items() if name not in self._loose}

        rows = settings.rows
        if isinstance(rows, list):
            rows = [row.model_copy(update={"where": free(row.where)}) for row in rows]
        columns = [c.model_copy(update={"where": free(c.where)}) for c in settings.columns]
        changed = {"where": free(settings.where), "baseline": free(settings.baseline)}
        return settings.model_copy(update={**changed, "rows": rows, "columns": columns})

    def _arms_of(self, row: Row, where: Mapping[str, Any]) -> list[Arm]:
        """The arms that agree with the row and the table, looked up by their value on one axis."""
        wanted = {**where, **row.where}
        if not wanted:
            return self._arms.all
        axis = next(iter(row.where or wanted))
        if axis not in self._by_value:
            by_value: dict[str, list[Arm]] = {}
            for arm in self._arms.all:
                by_value.setdefault(text(arm.where[axis]), []).append(arm)
            self._by_value[axis] = by_value
        candidates = self._by_value[axis].get(text(wanted[axis]), [])
        return [arm for arm in candidates if matches(arm.where, wanted)]

    def _cell(
        self, row: Row, column: Column, arms: Sequence[Arm], place: Where
    ) -> tuple[Request, ...]:
        cell = f"row '{row.name}' of column '{column.header}'"
        chosen = [arm for arm in arms if matches(arm.where, column.where)]
        if not chosen:
            raise self._document.error(place, f"{cell} selects nothing")
        self._used.update(map(id, chosen))
        if not column.is_speed and not column.is_cost:
            for arm in chosen:
                self._check_fits(column, arm.data, place)
        if column.is_speed:
            specs = {spec.signature: spec for spec in (self._speed(column, arm) for arm in chosen)}
            if len(specs) == 1:
                shared = set.intersection(*({*map(_item, arm.where.items())} for arm in chosen))
                where = {k: v for k, v in chosen[0].where.items() if _item((k, v)) in shared}
                return (Request(next(iter(specs.values())), where=where),)
        elif len(chosen) == 1:
            return tuple(_requests(column, chosen[0]))
        axes = [a for a in self._arms.axes if len({text(arm.where[a]) for arm in chosen}) > 1]
        raise self._document.error(
            place,
            f"{cell} selects {len(chosen)} values, which differ in {' and '.join(axes)}; choose "
            "one with 'where'",
        )

    def _speed(self, column: Column, arm: Arm) -> BenchmarkSpec:
        spec = arm.trainings[0]
        return BenchmarkSpec(
            model=spec.model,
            own_model=spec.own_model,
            classes=self._classes(arm.data),
            image_size=spec.eval_side,
            batch_size=column.batch_size or 64,
            precision=column.precision or "fp32",
            seconds=self._file.benchmark.seconds,
        )

    def _classes(self, data: DataSpec) -> int:
        """How many classes the data have; counted once: a folder has to be listed for it."""
        if data not in self._classes_of:
            counted = datasets.counts(data, self._data_root)
            self._classes_of[data] = counted[0] if counted else self._said_classes(data)
        return self._classes_of[data]

    def _said_classes(self, data: DataSpec) -> int:
        """Of data that are not there: what is known of a published set, or what a user's data set
        says of itself."""
        known = data.source.counts()
        if known is not None:
            return known.classes
        if data.own is None:
            raise data.source.not_there(self._data_root)
        if data.own.classes is None:
            raise UserError(
                f"{self._document.source.parent / data.own.file}:{data.own.line}: a table with "
                f"speeds must know how many classes '{data.own.name}' has before it is made: say "
                "@dataset(classes=N)"
            )
        return data.own.classes

    def _baseline(
        self,
        wanted: Mapping[str, Any],
        columns: Sequence[Column],
        cells: Sequence[Sequence[Sequence[Request]]],
        place: Where,
    ) -> dict[Position, Position]:
        """For each cell the one of the same measure whose arm differs in being the baseline's."""
        if not wanted:
            return {}
        self._arms.check(wanted, (*place, "baseline"))
        positions: dict[tuple[Any, str], list[Position]] = {}
        for r, row in enumerate(cells):
            for c, (column, cell) in enumerate(zip(columns, row, strict=True)):
                if not column.is_speed:
                    of = (column.measure, text(dict(cell[0].where)))
                    positions.setdefault(of, []).append((r, c))
        baselines: dict[Position, Position] = {}
        for (measure, where), same in positions.items():
            base = text({**json.loads(where), **wanted})
            if base != where and (measure, base) in positions:
                baselines |= dict.fromkeys(same, positions[measure, base][-1])
        pinned = not set(wanted).isdisjoint(self._arms.forced)
        if not baselines and not pinned:
            message = "no cell shows the baseline beside another arm"
            raise self._document.error((*place, "baseline"), message)
        return baselines

    def _row_baselines(
        self, settings: TableSettings, rows: Sequence[Row], columns: int, place: Where
    ) -> dict[Position, Position]:
        """For each cell of a row the one below it in column, of the row that it names."""
        listed = settings.rows if isinstance(settings.rows, list) else []
        written = {row.name: position for position, row in enumerate(listed)}
        kept = {row.name: position for position, row in enumerate(rows)}
        baselines: dict[Position, Position] = {}
        for position, row in enumerate(rows):
            if row.baseline is None:
                continue
            where = (*place, "rows", written[row.name], "baseline")
            if row.baseline == row.name or row.baseline not in written:
                which = "itself" if row.baseline == row.name else f"'{row.baseline}'"
                hint = nearest(row.baseline, set(written) - {row.name})
                raise self._document.error(where, f"no other row is named {which}{hint}")
            if row.baseline in kept:  # else the command line pinned it away
                base = kept[row.baseline]
                baselines |= {(position, c): (base, c) for c in range(columns)}
        return baselines

    def _against(
        self, settings: TableSettings, columns: Sequence[tuple[Where, Column]], rows: int
    ) -> dict[Position, Position]:
        """For each cell of a column the one beside it, of the column that it names."""
        written = {column.header: column for column in settings.columns}
        kept = {column.header: position for position, (_, column) in enumerate(columns)}
        baselines: dict[Position, Position] = {}
        for position, (place, column) in enumerate(columns):
            if column.against is None:
                continue
            where = (*place, "against")
            other = written.get(column.against)
            if other is None or other is column:
                hint = nearest(column.against, set(written) - {column.header})
                message = f"no other column has the header '{column.against}'{hint}"
                raise self._document.error(where, message)
            if other.metric != column.metric:
                message = f"'{other.header}' is {other.metric}, and this is {column.metric}"
                raise self._document.error(where, message)
            if other.own != column.own:
                message = f"'{other.header}' is {column.metric} with other settings than this"
                raise self._document.error(where, message)
            if other.header in kept:
                baselines |= {(r, position): (r, kept[other.header]) for r in range(rows)}
        return baselines

    def _published(
        self, settings: TableSettings, place: Where, rows: Sequence[str]
    ) -> dict[tuple[str, str], float]:
        if settings.published is None:
            return {}
        where = (*place, "published")
        folder = self._document.source.parent.resolve()
        if "\0" in settings.published:
            raise self._document.error(where, "a file's name holds no NUL")
        file = (folder / settings.published).resolve()
        if not file.is_relative_to(folder):
            raise self._document.error(where, "the published figures must lie beside the matrix")
        with self._document.errors_at(where):
            figures = _read_published(file, {column.header: column for column in settings.columns})
        for row, _ in figures:
            if row not in rows and not self._arms.forced:
                message = f"{file} has a row '{row}', which the table has not{nearest(row, rows)}"
                raise self._document.error(where, message)
        return figures


def _row_header(axis: str, settings: TableSettings) -> str:
    """Of rows that are an axis's values. Of runs the changelog's tables, whose figures are
    published, say that they are models."""
    return "model" if axis == "run" and settings.published else axis


def _margin(column: Column, settings: TableSettings) -> float | None:
    """A table's is for shares of images; of the others what would matter nobody can say for all."""
    is_judged = column.is_share and column.metric not in NO_INTERVAL
    return column.margin or ((settings.margin or MARGIN) if is_judged else None)


def _form(column: Column, settings: TableSettings) -> Form:
    """What a column says goes before what its table says, where that has a meaning for it: decimals
    none for whole numbers."""
    percent = column.percent
    if percent is None:
        percent = bool(settings.percent) and column.is_share
    usual = 2 if percent else DIGITS.get(column.metric, 5)
    of_table = (
        settings.digits if settings.digits is not None and not column.is_whole_number else usual
    )
    spread = column.spread or settings.spread
    without = column.is_cost or column.metric in NO_INTERVAL
    if spread == "none" or column.is_speed or (without and spread == "interval"):
        spread = None
    return Form(
        digits=of_table if column.digits is None else column.digits,
        percent=percent,
        spread=spread,
        is_difference=column.show == "difference",
        is_hidden=column.hide,
    )


def without_published(table: Table) -> Table:
    """For a smoke run, whose figures are not to be compared with anything."""
    return replace(table, published={})


def _requests(column: Column, arm: Arm) -> Iterator[Request]:
    """What a column needs of an arm, for each seed."""
    for spec, teacher in zip(arm.trainings, arm.teachers, strict=True):
        if column.stage == "train" or column.is_cost:
            yield Request(spec, arm.track, teacher, arm.where)
            continue
        evaluation = EvaluateSpec.of(
            spec,
            arm.track,
            split=column.part,
            precision=column.precision or "fp32",
            tta=column.tta,
            data=column.data,
        )
        of = MetricSpec(evaluation=evaluation, metric=column.own) if column.own else evaluation
        yield Request(of, arm.track, teacher, arm.where)


def _item(item: tuple[str, Any]) -> tuple[str, str]:
    return item[0], text(item[1])


def _read_published(file: Path, columns: Mapping[str, Column]) -> dict[tuple[str, str], float]:
    """A CSV with a row's name first, then a figure under each header."""
    try:
        lines = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the published figures can't be read: {error}") from error
    if not lines:
        raise UserError(f"{file} is empty")
    figures = {}
    names = lines[0][1:]
    for name in names:
        if name not in columns:
            raise UserError(f"{file}:1: the table has no column '{name}'{nearest(name, columns)}")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(lines[0]):
            raise UserError(f"{file}:{number}: {len(line)} fields where {len(lines[0])} belong")
        for name, figure in zip(names, line[1:], strict=True):
            if (line[0], name) in figures:
                raise UserError(f"{file}:{number}: '{line[0]}' has a line already")
            try:
                figures[line[0], name] = float(figure)
            except ValueError as error:
                raise UserError(f"{file}:{number}: '{figure}' is not a number") from error
            if not math.isfinite(figures[line[0], name]):
                raise UserError(f"{file}:{number}: '{figure}' is not a figure")
            low, high = columns[name].bounds or (-math.inf, math.inf)
            if not low <= figures[line[0], name] <= high:
                kind = "share of images" if columns[name].is_share else columns[name].metric
                message = f"'{figure}' under '{name}' is no {kind}, from {low:g} to {high:g}"
                raise UserError(f"{file}:{number}: {message}")
    return figures


def _shown(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {names_of(name, [value])[0]}" for name, value in where.items())
