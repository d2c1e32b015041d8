"""Two reports compared: settings and environments of arms that have the same axis values, figures
of cells that have the same table, row and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from classifier.basics.told import flat, plain
from reports.records_json import Known, KnownCell, KnownRecord
from reports.statistics.intervals import LEVEL, Estimate, Scope, compare_unpaired
from reports.statistics.limits import from_data
from reports.statistics.verdicts import holm

ABSENT = "none"
"""Of a setting that one side does not have."""
JOBS = {"train": "training", "evaluate": "evaluation", "metric": "metric", "benchmark": "speed"}
Facts = Mapping[str, Mapping[str, str]]
"""By what it is of, by what it says: its value."""


@dataclass(frozen=True)
class Change:
    """Of a setting, of where jobs ran, or of their data."""

    what: str
    a: str
    b: str
    of: tuple[str, ...]
    """The arms, or kinds of jobs of arms, that it is of."""
    is_of_all: bool
    """Whether it is of all that both have."""


@dataclass(frozen=True)
class Moved:
    """A cell whose figure is not the same, or is in one only."""

    table: str
    row: str
    column: str
    metric: str
    a: float | str
    """The figure, or why there is none."""
    b: float | str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """The 95 % interval of the difference of two separate samples; None where a cell has none."""
    p: float | None = None
    holm_p: float | None = None
    """Adjusted for all figures that moved and have an interval."""

    @property
    def is_beyond_chance(self) -> bool | None:
        """Whether chance alone does not explain it, at 5 %; None where nobody knows."""
        return None if self.holm_p is None else self.holm_p <= 1 - LEVEL


@dataclass(frozen=True)
class Diff:
    matrices: tuple[str, str]
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    settings: tuple[Change, ...]
    environment: tuple[Change, ...]
    """Devices, threads, versions, commits."""
    data: tuple[Change, ...]
    columns: tuple[Change, ...]
    """Those that measure something else now: their figures are not compared."""
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    same: int
    """How many figures are the same."""
    moved: tuple[Moved, ...]
    verdicts: tuple[Change, ...]

    @property
    def is_same(self) -> bool:
        """Whether all figures are."""
        return not (self.moved or self.only_a or self.only_b or self.columns)


def diff(a: Known, b: Known) -> Diff:
    """`a` is the older one: a difference is `b` minus `a`."""
    measures = _measures(a), _measures(b)
    columns = _changes([{": ".join(name): flat(m) for name, m in e.items()} for e in measures])
    cells = [{(cell.table, cell.row, cell.column): cell for cell in each.cells} for each in (a, b)]
    both = [key for key in cells[0] if key in cells[1]]
    alike = [key for key in both if measures[0][key[0], key[2]] == measures[1][key[0], key[2]]]
    pairs = [(cells[0][key], cells[1][key]) for key in alike]
    return Diff(
        matrices=(a.matrix, b.matrix),
        seeds=(a.seeds, b.seeds),
        settings=_changes([_settings(each) for each in (a, b)]),
        environment=_changes([_ran(each) for each in (a, b)]),
        data=_changes([_data(each) for each in (a, b)]),
        columns=columns,
        only_a=tuple(_only(a, b)),
        only_b=tuple(_only(b, a)),
        same=sum(x.figure is not None and x.figure == y.figure for x, y in pairs),
        moved=_adjusted(
            {
                (_rests_on(a, x), _rests_on(b, y), _place(x)): _moved(x, y, measures[0])
                for x, y in pairs
                if x.figure != y.figure
            }
        ),
        verdicts=tuple(
            Change("verdict", x.verdict or "none", y.verdict or "none", (_place(x),), False)
            for x, y in pairs
            if x.verdict != y.verdict
        ),
    )


def _changes(sides: Sequence[Facts]) -> tuple[Change, ...]:
    """Equal ones of several arms are one."""
    a, b = sides
    places = [place for place in a if place in b]
    found: dict[tuple[str, str, str], list[str]] = {}
    for place in places:
        for what in dict.fromkeys((*a[place], *b[place])):
            values = a[place].get(what, ABSENT), b[place].get(what, ABSENT)
            if values[0] != values[1]:
                found.setdefault((what, *values), []).append(place)
    return tuple(
        Change(*change, tuple(of), is_of_all=len(of) == len(places)) for change, of in found.items()
    )


def _settings(of: Known) -> Facts:
    """Of each arm."""
    return {_named(arm.where): flat({**of.settings, **arm.settings}) for arm in of.arms}


def _named(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in where.items()) or "all arms"


def _ran(of: Known) -> Facts:
    """Where the jobs of each arm ran, by kind; of several records each value once."""
    values: dict[str, dict[str, dict[str, None]]] = {}
    for record in of.records:
        ran = of.environments[record.environment]
        said = {
            "device": ran.device,
            "threads": str(ran.threads),
            "precision": ran.precision,
            "system": ran.machine.system,
            "commit": ran.commit or "unknown",
            **ran.versions,
        }
        _add(values, record, said)
    return _joined(values)


def _data(of: Known) -> Facts:
    """What the jobs of each arm saw, likewise."""
    values: dict[str, dict[str, dict[str, None]]] = {}
    for record in of.records:
        if record.data is None:
            continue
        data, other = of.data[record.data], record.spec.get("data")
        name = f" of {plain(other)}" if other else ""
        said = {
            "fingerprint": data.fingerprint,
            "classes": f"{data.classes:,}",
            **{f"{part} images": f"{getattr(data, part):,}" for part in ("train", "val", "test")},
        }
        _add(values, record, {what + name: value for what, value in said.items()})
    return _joined(values)


def _add(
    values: dict[str, dict[str, dict[str, None]]], record: KnownRecord, said: Mapping[str, str]
) -> None:
    for where in record.where:
        of = values.setdefault(f"{JOBS[record.kind]}: {_named(where)}", {})
        for what, value in said.items():
            of.setdefault(what, {})[value] = None


def _joined(values: Mapping[str, Mapping[str, Mapping[str, None]]]) -> Facts:
    return {
        place: {what: ", ".join(sorted(each)) for what, each in of.items()}
        for place, of in values.items()
    }


def _measures(of: Known) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each.table, each.column): each.measure for each in of.columns}


def _only(one: Known, other: Known) -> Iterator[str]:
    """What the other has not: arms, tables, and of tables that both have rows and columns."""
    arms = {_named(arm.where) for arm in other.arms}
    yield from (f"arm {_named(a.where)}" for a in one.arms if _named(a.where) not in arms)
    tables = {cell.table for cell in other.cells}
    yield from (f"table {name}" for name in _tables(one) if name not in tables)
    for what in ("row", "column"):
        there = {(cell.table, getattr(cell, what)) for cell in other.cells}
        mine = dict.fromkeys((cell.table, getattr(cell, what)) for cell in one.cells)
        for table, name in mine:
            if table in tables and (table, name) not in there:
                yield f"{what} {name} of table {table}"


def _tables(of: Known) -> list[str]:
    return list(dict.fromkeys(cell.table for cell in of.cells))


def _place(cell: KnownCell) -> str:
    return f"{cell.table}: {cell.row}, {cell.column}"


def _moved(a: KnownCell, b: KnownCell, measures: Mapping[tuple[str, str], Any]) -> Moved:
    metric = measures[a.table, a.column].get("metric", "accuracy")
    moved = Moved(
        table=a.table,
        row=a.row,
        column=a.column,
        metric=metric,
        a=a.missing or "" if a.figure is None else a.figure,
        b=b.missing or "" if b.figure is None else b.figure,
    )
    if a.figure is None or b.figure is None:
        return moved
    moved = replace(moved, difference=b.figure - a.figure)
    before, after = _estimate(a), _estimate(b)
    if before is None or after is None:
        return moved
    found = compare_unpaired(before, after)
    return replace(moved, low=found.low, high=found.high, p=found.p)


def _estimate(cell: KnownCell) -> Estimate | None:
    if cell.limits is None:
        return None
    seeds = len(cell.by_seed)
    scope = Scope.TRAININGS if seeds == 1 else Scope.MODEL
    return Estimate(from_data(cell.limits), seeds, cell.images or 0, scope)


Compared = tuple[tuple[str, ...], tuple[str, ...], str]


def _rests_on(of: Known, cell: KnownCell) -> tuple[str, ...]:
    there = (of.records[which] for which in cell.records if which is not None)
    return tuple(f"{record.signature}/{record.unit}" for record in there)


def _adjusted(found: Mapping[Compared, Moved]) -> tuple[Moved, ...]:
    """With Holm's p; a figure that is shown twice is one comparison."""
    ps = {(a, b, m.metric): m.p for (a, b, _), m in found.items() if m.p is not None}
    of_each = dict(zip(ps, holm(list(ps.values())), strict=True))
    return tuple(replace(m, holm_p=of_each.get((a, b, m.metric))) for (a, b, _), m in found.items())
