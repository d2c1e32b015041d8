"""records.json: of a report all that a later one is compared by (`--diff`).

Settings are those of the matrix's arms; a record says which of them it serves. No path, no time:
the same records give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from classifier.basics.errors import UserError
from classifier.records.record import (
    BenchmarkRecord,
    Data,
    Environment,
    EvaluateRecord,
    MetricRecord,
    Record,
    TrainRecord,
)
from experiments.matrix.schema import Column
from reports.figures.folds import single
from reports.figures.select import Missing, Selection, Used
from reports.figures.tables import finite, mean
from reports.statistics.answers import Answer, Judged
from reports.statistics.limits import as_data, from_data

NAME = "records.json"
FORMAT = 1
"""Rises where an older or newer `--diff` could not read it."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _checked(limits: dict[str, Any]) -> dict[str, Any]:
    from_data(limits)
    return limits


class KnownArm(_Plain):
    where: dict[str, Any]
    settings: dict[str, Any]
    """Those that not all arms share."""


class KnownRecord(_Plain):
    kind: Literal["train", "evaluate", "metric", "benchmark"]
    signature: str
    unit: str
    seed: int | None
    where: tuple[dict[str, Any], ...]
    """Of the arms that it serves; of a speed what all of them share."""
    spec: dict[str, Any]
    """What it says beyond its training's settings."""
    environment: int
    """Which of the file's."""
    data: int | None
    figures: dict[str, int | float | None]


class KnownColumn(_Plain):
    table: str
    column: str
    measure: dict[str, Any]
    """All that it says of what is measured."""


class KnownCell(_Plain):
    table: str
    row: str
    column: str
    figure: float | None
    missing: str | None
    by_seed: tuple[float | None, ...]
    records: tuple[int | None, ...]
    """Which of the file's, one a seed, or one for each of its folds."""
    low: float | None
    high: float | None
    limits: Annotated[dict[str, Any], AfterValidator(_checked)] | None
    """What its interval at any level follows from."""
    images: int | None
    verdict: str | None


class Known(_Plain):
    format: Literal[1]
    matrix: str
    title: str
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    """Those that all arms share."""
    arms: tuple[KnownArm, ...]
    environments: tuple[Environment, ...]
    data: tuple[Data, ...]
    records: tuple[KnownRecord, ...]
    columns: tuple[KnownColumn, ...]
    cells: tuple[KnownCell, ...]

    @model_validator(mode="after")
    def _points_inside(self) -> Known:
        environments = [record.environment for record in self.records]
        data = [record.data for record in self.records if record.data is not None]
        records = [which for cell in self.cells for which in cell.records if which is not None]
        for found, among in (
            (environments, self.environments),
            (data, self.data),
            (records, self.records),
        ):
            if found and not 0 <= min(found) <= max(found) < len(among):
                raise ValueError("it names what it does not hold")
        return self


def text(selection: Selection, answers: Sequence[Answer]) -> str:
    """One JSON object, an item of each of its lists on a line."""
    content = finite(known(selection, answers).model_dump(mode="json"))
    parts = []
    for name, value in content.items():
        lines = [json.dumps(each, ensure_ascii=False) for each in value] if _is_long(value) else []
        said = "[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(value, ensure_ascii=False)
        parts.append(f"{json.dumps(name)}: {said}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def read(path: Path) -> Known:
    """Of a report's folder, or the file itself. Raises UserError."""
    file = path / NAME if path.is_dir() else path
    if not path.exists():
        raise UserError(f"{path} is not there; name a report's folder, or its {NAME}")
    if not file.exists():
        raise UserError(
            f"{path} has no {NAME}: it is no report's folder, or its report is from before that "
            "was written; make it once more with --report"
        )
    try:
        content = json.loads(file.read_bytes())
        found = content.get("format") if isinstance(content, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise UserError(f"{file} is of format {found}, and this version reads {FORMAT}")
        return Known.model_validate(content)
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error
    except (ValidationError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged; make its report once more with --report") from error


def known(selection: Selection, answers: Sequence[Answer]) -> Known:
    """The content of its file."""
    matrix, arms = selection.matrix, selection.written
    common = {name: v for name, v in arms[0].items() if all(arm[name] == v for arm in arms)}
    environments: dict[str, Environment] = {}
    data: dict[str, Data] = {}
    for used in selection.used:
        environments.setdefault(used.record.environment.model_dump_json(), used.record.environment)
        if not isinstance(used.record, BenchmarkRecord):
            data.setdefault(used.record.data.model_dump_json(), used.record.data)
    keys = {(each.record.signature, each.record.unit): i for i, each in enumerate(selection.used)}
    return Known(
        format=1,
        matrix=matrix.label,
        title=matrix.title,
        seeds=matrix.seeds,
        settings=common,
        arms=tuple(
            KnownArm(
                where=dict(arm.where),
                settings={name: v for name, v in settings.items() if name not in common},
            )
            for arm, settings in zip(matrix.arms, arms, strict=True)
        ),
        environments=tuple(environments.values()),
        data=tuple(data.values()),
        records=tuple(_record(used, list(environments), list(data)) for used in selection.used),
        columns=tuple(
            KnownColumn(table=table.name, column=column.header, measure=_measure(column))
            for table in matrix.tables
            for column in table.columns
        ),
        cells=tuple(
            _cell(answer, judged, keys)
            for answer in answers
            for row in answer.cells
            for judged in row
        ),
    )


def _record(used: Used, environments: Sequence[str], data: Sequence[str]) -> KnownRecord:
    record = used.record
    seen = None if isinstance(record, BenchmarkRecord) else record.data.model_dump_json()
    arms = {json.dumps(dict(where), sort_keys=True): dict(where) for where in used.served}
    return KnownRecord(
        kind=record.kind,
        signature=record.signature,
        unit=record.unit,
        seed=None if isinstance(record, BenchmarkRecord) else record.training.seed,
        where=tuple(arms.values()),
        spec=_spec(record),
        environment=environments.index(record.environment.model_dump_json()),
        data=None if seen is None else data.index(seen),
        figures=figures(record),
    )


def _spec(record: Record) -> dict[str, Any]:
    match record:
        case TrainRecord():
            return {"track": record.track}
        case EvaluateRecord():
            return record.spec.model_dump(mode="json", exclude={"training"})
        case MetricRecord():
            return {
                "metric": record.metric.name,
                **record.evaluation.spec.model_dump(mode="json", exclude={"training"}),
            }
        case BenchmarkRecord():
            return record.spec.model_dump(mode="json")


def figures(record: Record) -> dict[str, float | None]:
    """What it says, by name; None for what is not finite."""
    match record:
        case TrainRecord():
            return {"accuracy": record.accuracy, "mpa": record.mpa, "best_epoch": record.best_epoch}
        case EvaluateRecord():
            loss = finite(record.loss)
            return {"accuracy": record.accuracy, "mpa": record.mpa, "loss": loss}
        case MetricRecord():
            return {"value": record.value}
        case BenchmarkRecord():
            return {"fps": record.fps, "images_per_second": record.images_per_second}


def _measure(column: Column) -> dict[str, Any]:
    said = {"header", "where", "against", "margin", "digits", "percent", "spread", "show", "hide"}
    return column.model_dump(mode="json", exclude=said, exclude_defaults=True)


def _cell(answer: Answer, judged: Judged, keys: dict[tuple[str, str], int]) -> KnownCell:
    cell, alone = judged.cell, judged.estimate if judged.cell.missing is None else None
    figure = mean(cell)
    records: list[tuple[str, str] | None] = []
    for seed in cell.seeds:
        each = [None] if isinstance(seed, Missing) else single([seed])
        records += [(record.signature, record.unit) if record else None for record in each]
    return KnownCell(
        table=answer.table.name,
        row=cell.row,
        column=cell.column.header,
        figure=None if isinstance(figure, Missing) else figure,
        missing=cell.missing.value if cell.missing else None,
        by_seed=tuple(None if isinstance(each, Missing) else each for each in cell.figures),
        records=tuple(keys[each] if each else None for each in records),
        low=alone.low if alone else None,
        high=alone.high if alone else None,
        limits=as_data(alone.limits) if alone else None,
        images=alone.images if alone else None,
        verdict=judged.verdict.word.value if judged.verdict else None,
    )
