"""A matrix's report: the bare tables, a page about them, and every record as a row.

Made from records alone and without a clock: the same records give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import pandas as pd

from classifier.basics.errors import UserError
from classifier.basics.files import write_atomically
from classifier.basics.machine import Machine
from classifier.basics.progress import duration
from classifier.config.spec import EvaluateSpec
from classifier.config.tracks import RAW
from classifier.data.split import PARTS
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Environment,
    EvaluateRecord,
    Record,
    TrainRecord,
)
from experiments.matrix.arms import Arm
from experiments.matrix.load import Matrix, Request, Table
from experiments.matrix.schema import Column
from experiments.store.store import Results
from reports import tables
from reports.notes import notes

Used = list[tuple[Record, Cost | None]]
Spread = dict[tuple[int, int], float]
"""By cell (row, column)."""


def write(
    matrix: Matrix, results: Results, folder: Path, benchmark_units: Sequence[str] = ()
) -> list[Path]:
    """Write `folder`/<matrix>/: <table>.md for each table, report.md, results.csv.

    Raises UserError, and writes nothing, where no job of the matrix has run.
    """
    check_records(matrix, results, benchmark_units)
    used = used_records(matrix, results, benchmark_units)
    filled = tables.fill(matrix, results, benchmark_units)
    files = {
        f"{table.name}.md": tables.markdown(table, filled[table.name]) for table in matrix.tables
    }
    files["report.md"] = page(matrix, results, filled, used, benchmark_units)
    files["results.csv"] = _csv(used, _axes(matrix))
    target = folder / matrix.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(target / name, content.encode())
    except OSError as error:
        raise UserError(f"the report {target} can't be written: {error}") from error
    return [target / name for name in files]


def check_records(matrix: Matrix, results: Results, benchmark_units: Sequence[str]) -> None:
    """Raise UserError where no job of the matrix has run, with or without success."""
    for request in matrix.requests():
        for needed in _behind(request):
            is_there = tables.find(needed, results, benchmark_units) is not None
            if is_there or needed.spec.signature in results.failures:
                return
    raise UserError(f"no job of {matrix.source} has run: nothing to report; run it first")


def check_owner(matrix: Matrix, folder: Path) -> None:
    """Raise UserError where the report's folder holds that of another matrix of the same name."""
    page_file = folder / matrix.name / "report.md"
    if not page_file.exists():
        return
    owners = [
        line
        for line in page_file.read_text(encoding="utf-8").splitlines()
        if line.startswith("- matrix: ")
    ]
    if owners and owners[0] != f"- matrix: {matrix.label}":
        raise UserError(
            f"{page_file} is the report of {owners[0].removeprefix('- matrix: ')}, another matrix; "
            f"rename {matrix.source}, or choose another folder with --reports"
        )


def used_records(matrix: Matrix, results: Results, benchmark_units: Sequence[str]) -> Used:
    """The records that the matrix's numbers rest on, each once, trainings first."""
    requests = (needed for request in matrix.requests() for needed in _behind(request))
    found = _found(requests, results, benchmark_units)
    order = {"train": 0, "evaluate": 1, "benchmark": 2}
    ordered = sorted(found, key=lambda record: order[record.kind])
    return [(record, results.costs.get((record.signature, record.unit))) for record in ordered]


def _behind(request: Request) -> list[Request]:
    """A request, and the training that its record rests on."""
    if not isinstance(request.spec, EvaluateSpec):
        return [request]
    assert request.training is not None
    return [Request(request.training, request.track), request]


def _found(
    requests: Iterable[Request], results: Results, benchmark_units: Sequence[str]
) -> list[Record]:
    """The records that are there, each once."""
    records = (tables.find(request, results, benchmark_units) for request in requests)
    return list({id(record): record for record in records if record is not None}.values())


def page(
    matrix: Matrix,
    results: Results,
    filled: dict[str, pd.DataFrame],
    used: Used,
    benchmark_units: Sequence[str],
) -> str:
    """report.md: environment, each table with what must be known of it, settings, cost."""
    parts = [f"# {matrix.title}", "## Environment", environment([r for r, _ in used])]
    for table in matrix.tables:
        figures = filled[table.name]
        parts += [f"## {table.name}", tables.markdown(table, figures)]
        requests = [request for row in table.cells for cell in row for request in cell]
        records = _found(requests, results, benchmark_units)
        behind = [needed for request in requests for needed in _behind(request)]
        found = notes(matrix, table, records, _found(behind, results, benchmark_units))
        parts += ["\n".join(f"- {note}" for note in found)] if found else []
        spread = _spread(table, results, benchmark_units)
        if table.baseline or table.published or spread:
            parts += ["### Differences", _differences(table, figures, spread)]
        speeds = [record for record in records if isinstance(record, BenchmarkRecord)]
        if speeds:
            parts += ["### Speeds", _speeds(speeds)]
    parts += ["## Settings", _settings(matrix, [r for r, _ in used]), "## Cost", _cost(used)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


# Environment ---------------------------------------------------------------------------------


def environment(records: Sequence[Record]) -> str:
    """The changelog's environment table, a row for each machine, and the versions used."""
    machines: dict[Machine, None] = dict.fromkeys(r.environment.machine for r in records)
    lines = [tables.grid(("System", "CPU", "GPU", "RAM"), [_machine(m) for m in machines])]
    threads: dict[tuple[str, str], set[str]] = {}
    for record in records:
        work = "benchmark" if isinstance(record, BenchmarkRecord) else "training or evaluation"
        setup = threads.setdefault(_setup(record.environment), set())
        setup.add(f"{record.environment.threads} thread(s) a {work}")
    for (device, versions), used in threads.items():
        lines.append(f"- {device}: {', '.join(sorted(used))}; {versions}")
    return "\n".join(lines)


def _machine(machine: Machine) -> tuple[str, str, str, str]:
    return (machine.system, machine.cpu, machine.gpu or "none", f"{machine.ram_gib}G")


def _setup(found: Environment) -> tuple[str, str]:
    """The device, and the versions with the code's commit."""
    versions = [f"{name} {version}" for name, version in found.versions.items()]
    return found.device, ", ".join(
        [*versions, *([f"commit {found.commit}"] if found.commit else [])]
    )


# Tables --------------------------------------------------------------------------------------


def _differences(table: Table, figures: pd.DataFrame, spread: Spread) -> str:
    """Each figure with its deviation over seeds, its baseline and the published one."""
    header = [table.row_header, "column", "measured"]
    header += ["deviation over seeds"] if spread else []
    header += ["minus baseline"] if table.baseline else []
    header += ["published", "minus published"] if table.published else []
    rows = []
    values = figures.to_numpy().tolist()
    for r, name in enumerate(table.rows):
        for c, column in enumerate(table.columns):
            cell = values[r][c]
            row = [name, column.header, tables.text(column, cell)]
            if spread:
                known = spread.get((r, c))
                row.append("" if known is None else tables.text(column, known))
            if table.baseline:
                base = table.baseline.get((r, c))
                row.append(_minus(column, cell, None if base is None else values[base[0]][base[1]]))
            if table.published:
                published = table.published.get((name, column.header))
                row.append("" if published is None else tables.text(column, published))
                row.append(_minus(column, cell, published))
            rows.append(row)
    return tables.grid(header, rows)


def _spread(table: Table, results: Results, benchmark_units: Sequence[str]) -> Spread:
    """The standard deviation (n - 1) over the seeds of each cell that has several."""
    found = {}
    for r, row in enumerate(table.cells):
        for c, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
            records = [tables.find(request, results, benchmark_units) for request in cell]
            figures = [tables.value(column, record) for record in records if record is not None]
            if len(figures) > 1:
                found[r, c] = stdev(figures)
    return found


def _minus(column: Column, cell: float | str, other: float | str | None) -> str:
    if other is None or isinstance(cell, str) or isinstance(other, str):
        return ""
    difference = tables.text(column, cell - other)
    return difference if difference.startswith("-") else f"+{difference}"


def _speeds(records: Sequence[BenchmarkRecord]) -> str:
    header = (
        "model",
        "precision",
        "batch size",
        "batches/s",
        "images/s",
        "median ms",
        "quartiles ms",
        "batches timed",
        "measured on",
    )
    rows = [
        (
            record.spec.model,
            record.spec.precision,
            str(record.spec.batch_size),
            f"{record.fps:.2f}",
            f"{record.images_per_second:.1f}",
            f"{record.median_seconds * 1000:.1f}",
            f"{record.quartiles[0] * 1000:.1f} to {record.quartiles[1] * 1000:.1f}",
            str(record.iterations),
            f"{record.environment.device}, {record.environment.threads} thread(s)",
        )
        for record in records
    ]
    return tables.grid(header, rows)


# Settings and cost ---------------------------------------------------------------------------


def _settings(matrix: Matrix, records: Sequence[Record]) -> str:
    """All that it takes to do it again: every setting, and what differs between the arms."""
    lines = [f"- matrix: {matrix.label}", f"- seeds: {_plain(list(matrix.seeds))}"]
    arms = [_arm_settings(arm) for arm in matrix.arms]
    common = [name for name, first in arms[0].items() if all(arm[name] == first for arm in arms)]
    lines += [f"- {name}: {_plain(arms[0][name])}" for name in common]
    for arm, settings in zip(matrix.arms, arms, strict=True):
        own = {name: value for name, value in settings.items() if name not in common}
        name = f"{arm.where['run']}: " if "run" in arm.where else ""
        lines.append(f"- arm {name}{', '.join(f'{n} {_plain(v)}' for n, v in own.items())}")
    lines += [f"- {name}: {_plain(v)} (override)" for name, v in matrix.overrides.items()]
    sizes = {record.data for record in records if not isinstance(record, BenchmarkRecord)}
    for data in sorted(sizes, key=lambda data: data.fingerprint):
        counted = " / ".join(f"{getattr(data, part):,} {part}" for part in PARTS)
        lines.append(f"- images: {counted}, {data.classes} classes; contents {data.fingerprint}")
    return "\n".join(lines)


def _arm_settings(arm: Arm) -> dict[str, Any]:
    training = arm.trainings[0].model_dump(mode="json", exclude={"seed"})
    data = {name: value for name, value in training["data"].items() if value is not None}
    ema = None if arm.track == RAW else arm.track.model_dump(mode="json")
    return {**training, "data": data, "ema": ema}


def _plain(setting: Any) -> str:
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)


def _cost(used: Used) -> str:
    """What the numbers cost. Tracks of one training share its cost, which counts once."""
    trainings: dict[str, tuple[TrainRecord, Cost, list[str]]] = {}
    seconds = {"train": 0.0, "evaluate": 0.0, "benchmark": 0.0}
    jobs: dict[str, set[str]] = {kind: set() for kind in seconds}
    for record, cost in used:
        if cost is None:
            continue
        if record.signature not in jobs[record.kind]:
            seconds[record.kind] += cost.seconds
        jobs[record.kind].add(record.signature)
        if isinstance(record, TrainRecord):
            entry = trainings.setdefault(record.signature, (record, cost, []))
            entry[2].append(record.track)
    rows = [
        (
            record.spec.slug,
            ", ".join(sorted(tracks, reverse=True)),
            str(len(record.history)),
            str(record.rdrop_passes or ""),
            duration(cost.seconds),
            f"{cost.images_per_second:.0f}" if cost.images_per_second else "",
            f"{cost.peak_memory_mib:,}" if cost.peak_memory_mib else "",
        )
        for record, cost, tracks in trainings.values()
    ]
    header = ("training", "tracks", "epochs", "R-Drop passes", "time", "images/s", "peak MiB")
    total = ", ".join(
        f"{len(jobs[kind])} {name} {duration(seconds[kind])}"
        for kind, name in (
            ("train", "trainings"),
            ("evaluate", "evaluations"),
            ("benchmark", "benchmarks"),
        )
    )
    return f"{tables.grid(header, rows)}\nJob time: {total}."


_COLUMNS = [
    "kind",
    "signature",
    "model",
    "seed",
    "rdrop",
    "track",
    "split",
    "precision",
    "image_size",
    "batch_size",
    "accuracy",
    "mpa",
    "best_epoch",
    "fps",
    "images_per_second",
    "device",
    "threads",
    "torch",
    "seconds",
]


Axes = dict[tuple[str, str | None], dict[str, str]]


def _axes(matrix: Matrix) -> Axes:
    """By signature and unit the axis values of the arms that a record serves, joined by `;`."""
    found: dict[tuple[str, str | None], dict[str, dict[str, None]]] = {}
    for request in matrix.requests():
        for needed in _behind(request):
            axes = found.setdefault((needed.spec.signature, needed.unit), {})
            for name, setting in request.where.items():
                axes.setdefault(f"axis:{name}", {})[_plain(setting)] = None
    return {of: {n: "; ".join(v) for n, v in axes.items()} for of, axes in found.items()}


def _csv(used: Used, axes: Axes) -> str:
    names = list(dict.fromkeys(name for values in axes.values() for name in values))
    rows = []
    for record, cost in used:
        unit = None if isinstance(record, BenchmarkRecord) else record.unit
        rows.append({**_flat(record, cost), **axes.get((record.signature, unit), {})})
    frame = pd.DataFrame(rows, columns=[*_COLUMNS[:2], *names, *_COLUMNS[2:]])
    whole = {"seed": "Int64", "best_epoch": "Int64"}
    return str(frame.astype(whole).to_csv(index=False))


def _flat(record: Record, cost: Cost | None) -> dict[str, Any]:
    """A record as a row of results.csv; what a kind of record does not have stays empty."""
    shared = {
        "kind": record.kind,
        "signature": record.signature,
        "precision": record.environment.precision,
        "device": record.environment.device,
        "threads": record.environment.threads,
        "torch": record.environment.versions["torch"],
        "seconds": None if cost is None else cost.seconds,
    }
    if isinstance(record, BenchmarkRecord):
        spec = record.spec
        return shared | {
            "model": spec.model,
            "image_size": spec.image_size,
            "batch_size": spec.batch_size,
            "fps": record.fps,
            "images_per_second": record.images_per_second,
        }
    training = record.spec if isinstance(record, TrainRecord) else record.training
    return shared | {
        "model": training.model,
        "image_size": training.image_size,
        "batch_size": training.batch_size,
        "seed": training.seed,
        "rdrop": training.has("rdrop"),
        "track": record.track,
        "split": record.spec.split if isinstance(record, EvaluateRecord) else "val",
        "accuracy": record.accuracy,
        "mpa": record.mpa,
        "best_epoch": record.best_epoch if isinstance(record, TrainRecord) else None,
    }
