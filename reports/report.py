"""A matrix's report: the bare tables, a page about them, and every record as a row.

Made from records alone and without a clock: the same records give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from classifier.data.split import PARTS
from classifier.errors import UserError
from classifier.files import write_atomically
from classifier.machine import Machine
from classifier.progress import duration
from classifier.record import (
    BenchmarkRecord,
    Cost,
    Environment,
    EvaluateRecord,
    Record,
    TrainRecord,
)
from classifier.spec import EvaluateSpec
from experiments.matrix import Matrix, Request, Table
from experiments.schema import Column
from experiments.store import Results
from reports import tables

Used = list[tuple[Record, Cost | None]]


def write(
    matrix: Matrix, results: Results, folder: Path, benchmark_unit: str | None = None
) -> list[Path]:
    """Write `folder`/<matrix>/: <table>.md for each table, report.md, results.csv.

    Raises UserError, and writes nothing, where no job of the matrix has run.
    """
    used = used_records(matrix, results, benchmark_unit)
    failed = any(request.spec.signature in results.failures for request in matrix.requests())
    failed |= any(
        request.training is not None and request.training.signature in results.failures
        for request in matrix.requests()
    )
    if not used and not failed:
        raise UserError(f"no job of {matrix.source} has run: nothing to report; run it first")
    filled = tables.fill(matrix, results, benchmark_unit)
    files = {
        f"{table.name}.md": tables.markdown(table, filled[table.name]) for table in matrix.tables
    }
    files["report.md"] = page(matrix, results, filled, used, benchmark_unit)
    files["results.csv"] = _csv(used)
    target = folder / matrix.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(target / name, content.encode())
    except OSError as error:
        raise UserError(f"the report {target} can't be written: {error}") from error
    return [target / name for name in files]


def used_records(matrix: Matrix, results: Results, benchmark_unit: str | None) -> Used:
    """The records that the matrix's numbers rest on, each once, trainings first."""
    requests = (needed for request in matrix.requests() for needed in _behind(request))
    found = _found(requests, results, benchmark_unit)
    order = {"train": 0, "evaluate": 1, "benchmark": 2}
    ordered = sorted(found, key=lambda record: order[record.kind])
    return [(record, results.costs.get((record.signature, record.unit))) for record in ordered]


def _behind(request: Request) -> list[Request]:
    """A request, and the training that its record rests on."""
    if not isinstance(request.spec, EvaluateSpec):
        return [request]
    assert request.training is not None
    return [Request(request.training, request.training, request.ema), request]


def _found(
    requests: Iterable[Request], results: Results, benchmark_unit: str | None
) -> list[Record]:
    """The records that are there, each once."""
    records = (tables.find(request, results, benchmark_unit) for request in requests)
    return list({(r.signature, r.unit): r for r in records if r is not None}.values())


def page(
    matrix: Matrix,
    results: Results,
    filled: dict[str, pd.DataFrame],
    used: Used,
    benchmark_unit: str | None,
) -> str:
    """report.md: environment, each table with what must be known of it, settings, cost."""
    parts = [f"# {matrix.title}", "## Environment", environment([r for r, _ in used])]
    for table in matrix.tables:
        figures = filled[table.name]
        parts += [f"## {table.name}", tables.markdown(table, figures)]
        requests = [request for row in table.cells for cell in row for request in cell]
        records = _found(requests, results, benchmark_unit)
        behind = [needed for request in requests for needed in _behind(request)]
        parts += _notes(matrix, table, records, _found(behind, results, benchmark_unit))
        if any(position is not None for position in table.baseline) or table.published:
            parts += ["### Differences", _differences(table, figures)]
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


def _notes(
    matrix: Matrix, table: Table, records: Sequence[Record], behind: Sequence[Record]
) -> list[str]:
    notes = [
        _noise(records),
        _emulation(table, records),
        _amp(records),
        _mixed(behind),
        _means(matrix),
        _sequential(matrix, table),
    ]
    return ["\n".join(f"- {note}" for note in notes if note)] if any(notes) else []


def _noise(records: Iterable[Record]) -> str:
    """How large chance is, by the binomial standard error on the smallest part evaluated."""
    sized = [
        (record.images if isinstance(record, EvaluateRecord) else record.data.val, record.accuracy)
        for record in records
        if not isinstance(record, BenchmarkRecord)
    ]
    if not sized:
        return ""
    images = min(count for count, _ in sized)
    mean = fmean(accuracy for _, accuracy in sized)
    error = math.sqrt(mean * (1 - mean) / images)
    return (
        f"Chance: one standard error of an accuracy of {mean:.3f} on {images:,} images is "
        f"{error:.4f} (binomial, estimated); a difference below two of them is weak evidence."
    )


def _emulation(table: Table, records: Iterable[Record]) -> str:
    on_cpu = [
        record.environment
        for record in records
        if record.environment.precision == "fp16"
        and record.environment.device_kind == "cpu"
        and not record.environment.machine.native_fp16
    ]
    if not on_cpu:
        return ""
    return (
        f"FP16 was emulated: the {on_cpu[0].device} has no FP16 arithmetic of its own, so FP16 is "
        "slower there than FP32. The FP16 accuracies hold; the FP16 speeds say nothing of a GPU."
    )


def _amp(records: Iterable[Record]) -> str:
    trained = [
        (r.spec if isinstance(r, TrainRecord) else r.training, r.environment.device_kind)
        for r in records
        if not isinstance(r, BenchmarkRecord)
    ]
    if any(spec.amp and device == "cpu" for spec, device in trained):
        return "amp was asked for, but trainings on a CPU ran in FP32."
    return ""


def _mixed(records: Iterable[Record]) -> str:
    """On trainings and evaluations that did not all run alike."""
    kinds = {
        (found.device, found.threads, found.versions["torch"])
        for found in (r.environment for r in records if not isinstance(r, BenchmarkRecord))
    }
    moved = [r.spec.slug for r in records if isinstance(r, TrainRecord) and r.moved]
    notes = []
    if len(kinds) > 1:
        shown = "; ".join(f"{d}, {t} thread(s), torch {v}" for d, t, v in sorted(kinds))
        notes.append(
            f"This table mixes devices, threads or versions, so last digits may differ: {shown}."
        )
    if moved:
        notes.append(
            f"Interrupted, and gone on with another device, number of threads or version: "
            f"{', '.join(sorted(set(moved)))}."
        )
    return " ".join(notes)


def _means(matrix: Matrix) -> str:
    seeds = ", ".join(map(str, matrix.seeds))
    return f"Each accuracy is the mean over seeds {seeds}." if len(matrix.seeds) > 1 else ""


def _sequential(matrix: Matrix, table: Table) -> str:
    if matrix.data.split != "sequential" or not table.published:
        return ""
    return (
        "The split has the published split's sizes, not its membership, which was never published: "
        "a part of each difference is that of the images."
    )


def _differences(table: Table, figures: pd.DataFrame) -> str:
    """Each figure beside its baseline and the published one, with the differences."""
    has_baseline = any(position is not None for position in table.baseline)
    header = [table.row_header, "column", "measured"]
    header += ["minus baseline"] if has_baseline else []
    header += ["published", "minus published"] if table.published else []
    rows = []
    for name, values in zip(table.rows, figures.to_numpy().tolist(), strict=True):
        for position, (column, cell) in enumerate(zip(table.columns, values, strict=True)):
            row = [name, column.header, tables.text(column, cell)]
            if has_baseline:
                base = table.baseline[position]
                row.append(_minus(column, cell, None if base is None else values[base]))
            if table.published:
                known = table.published.get((name, column.header))
                row.append("" if known is None else tables.text(column, known))
                row.append(_minus(column, cell, known))
            rows.append(row)
    return tables.grid(header, rows)


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
    shown = {"data": matrix.data.title, "split": matrix.data.split, **matrix.settings}
    shown["seeds"] = list(matrix.seeds)
    lines = [f"- {name}: {_plain(setting)}" for name, setting in shown.items()]
    lines += [f"- {name}: {_plain(v)} (override)" for name, v in matrix.overrides.items()]
    sizes = {record.data for record in records if not isinstance(record, BenchmarkRecord)}
    for data in sorted(sizes, key=lambda data: data.fingerprint):
        counted = " / ".join(f"{getattr(data, part):,} {part}" for part in PARTS)
        lines.append(f"- images: {counted}, {data.classes} classes; data {data.fingerprint}")
    return "\n".join(lines)


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


def _csv(used: Used) -> str:
    frame = pd.DataFrame(map(_flat, used), columns=_COLUMNS)
    whole = {"seed": "Int64", "best_epoch": "Int64"}
    return str(frame.astype(whole).to_csv(index=False))


def _flat(used: tuple[Record, Cost | None]) -> dict[str, Any]:
    """A record as a row of results.csv; what a kind of record does not have stays empty."""
    record, cost = used
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
        "rdrop": training.rdrop is not None,
        "track": record.track,
        "split": record.spec.split if isinstance(record, EvaluateRecord) else "val",
        "accuracy": record.accuracy,
        "mpa": record.mpa,
        "best_epoch": record.best_epoch if isinstance(record, TrainRecord) else None,
    }
