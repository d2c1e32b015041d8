"""What must be known of a table to read it: how large chance is, what ran where, what was asked
for and not done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from classifier.basics.machine import Platform, without_instructions
from classifier.records.record import BenchmarkRecord, EvaluateRecord, Record, TrainRecord
from experiments.matrix.load import Matrix, Table


def notes(
    matrix: Matrix, table: Table, records: Sequence[Record], behind: Sequence[Record]
) -> list[str]:
    """Sentences for under a table. `behind`: its records and the trainings that they rest on."""
    found = [
        _chance(records),
        _learnt_nothing(records),
        _emulation(records),
        _amp(records),
        _mixed(behind),
        _means(matrix),
        _sequential(matrix, table),
    ]
    return [note for note in found if note]


def _chance(records: Iterable[Record]) -> str:
    """How far chance alone can move a difference of two accuracies of this table."""
    variances = []
    sizes = set()
    for record in records:
        if isinstance(record, BenchmarkRecord):
            continue
        images = record.images if isinstance(record, EvaluateRecord) else record.data.val
        # Two right and two wrong answers added: at 0 or 1 the plain formula says there is none.
        share = (record.accuracy * images + 2) / (images + 4)
        variances.append(share * (1 - share) / images)
        sizes.add(images)
    if not variances:
        return ""
    error = math.sqrt(2 * max(variances))
    shown = " or ".join(f"{size:,}" for size in sorted(sizes))
    return (
        f"Chance: the standard error of a difference between two of these accuracies is up to "
        f"{error:.4f} (binomial, estimated, on {shown} images, not paired); a difference below "
        f"{2 * error:.3f} is weak evidence."
    )


def _learnt_nothing(records: Iterable[Record]) -> str:
    accuracies = [
        (record.accuracy, record.data.classes)
        for record in records
        if not isinstance(record, BenchmarkRecord)
    ]
    guessing = sum(accuracy <= 1.2 / classes for accuracy, classes in accuracies)
    if not guessing:
        return ""
    return (
        f"{guessing} of {len(accuracies)} accuracies are those of guessing: what they belong to "
        "has learnt nothing yet."
    )


def _emulation(records: Iterable[Record]) -> str:
    on_cpu = [
        record.environment.device
        for record in records
        if record.environment.precision == "fp16"
        and record.environment.device_kind == "cpu"
        and not record.environment.machine.native_fp16
    ]
    if not on_cpu:
        return ""
    cpu = without_instructions(on_cpu[0])
    return (
        f"FP16 was emulated: this CPU ({cpu}) has no FP16 arithmetic of its own, so FP16 is "
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
    """On trainings and evaluations that did not all run alike, and on speeds that did not."""
    records = list(records)
    ran = {r.environment.platform for r in records if not isinstance(r, BenchmarkRecord)}
    measured = {r.environment.platform for r in records if isinstance(r, BenchmarkRecord)}
    moved = {r.spec.slug for r in records if isinstance(r, TrainRecord) and r.moved}
    found = []
    if len(ran) > 1:
        found.append(
            "This table mixes devices, threads or versions, so last digits may differ: "
            f"{_listed(ran)}."
        )
    if len({platform.instructions for platform in ran}) > 1:
        found.append(
            "Between instruction sets rounding differs in every step, so accuracies may differ as "
            "those of two seeds do."
        )
    if len(measured) > 1:
        found.append(f"Its speeds were measured in different places: {_listed(measured)}.")
    if moved:
        found.append(
            "Interrupted, and gone on with another device, number of threads or version: "
            f"{', '.join(sorted(moved))}."
        )
    return " ".join(found)


def _listed(platforms: Iterable[Platform]) -> str:
    shown = (f"{p.device}, {p.threads} thread(s), torch {p.torch}" for p in sorted(platforms))
    return "; ".join(shown)


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
