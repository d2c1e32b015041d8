"""Records made up for tests of what is done with records."""

from __future__ import annotations

from collections.abc import Callable

from classifier.basics.machine import Machine
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, TrainSpec
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Data,
    Environment,
    Epoch,
    EvaluateRecord,
    Record,
    TrainRecord,
)
from experiments.matrix.model import Matrix, Request
from experiments.matrix.schema import Column
from experiments.store.store import Results

MACHINE = Machine(system="Ubuntu", cpu="i9-12900KF", gpu="RTX-3090", ram_gib=32, native_fp16=False)
CPU = Environment(
    machine=MACHINE,
    device="a CPU",
    device_kind="cpu",
    threads=2,
    precision="fp32",
    versions={"python": "3.11.7", "torch": "2.14.1"},
    commit="abc",
)

Figure = Callable[[str, Column, int], float]
"""(row, column, seed) -> what the record says."""


def results_of(
    matrix: Matrix,
    figure: Figure = lambda row, column, seed: 0.5,
    fingerprint: str = "f" * 16,
    seconds: float = 10.0,
) -> Results:
    """A record for each request of the matrix, and for the trainings behind its evaluations."""
    results = Results()
    for table in matrix.tables:
        for row, cells in zip(table.rows, table.cells, strict=True):
            for column, cell in zip(table.columns, cells, strict=True):
                for request in cell:
                    seed = request.training.seed if request.training else 0
                    value = figure(row, column, seed)
                    record = record_of(request, value, fingerprint)
                    results.add(record, Cost(seconds=seconds))
                    behind = (
                        Request(request.training, request.track) if request.training else request
                    )
                    if (
                        record.kind == "evaluate"
                        and (behind.spec.signature, behind.unit) not in results.records
                    ):
                        results.add(record_of(behind, value, fingerprint), Cost(seconds=seconds))
    return results


def record_of(request: Request, value: float, fingerprint: str) -> Record:
    data = Data(fingerprint=fingerprint, classes=200, train=7684, val=1781, test=2323)
    spec = request.spec
    if isinstance(spec, BenchmarkSpec):
        return BenchmarkRecord(
            signature=spec.signature,
            spec=spec,
            environment=CPU.model_copy(update={"precision": spec.precision}),
            fps=value,
            images_per_second=value * spec.batch_size,
            median_seconds=1 / value,
            quartiles=(0.9 / value, 1.1 / value),
            iterations=300,
            warmup=100,
        )
    if isinstance(spec, EvaluateSpec):
        return EvaluateRecord(
            signature=spec.signature,
            spec=spec,
            training=spec.training,
            environment=CPU.model_copy(update={"precision": spec.precision}),
            data=data,
            checkpoint="c" * 16,
            images=getattr(data, spec.split),
            accuracy=value,
            mpa=value,
            loss=1.0,
        )
    assert isinstance(spec, TrainSpec)
    row = Epoch(epoch=0, lr=1e-4, train_loss=1, val_loss=1, val_accuracy=value, val_mpa=value)
    return TrainRecord(
        signature=spec.signature,
        spec=spec,
        environment=CPU,
        data=data,
        track=request.track.key,
        accuracy=value,
        mpa=value,
        best_epoch=0,
        stopped_early=False,
        checkpoint="c" * 16,
        moved=False,
        rdrop_passes=None,
        history=(row, row.model_copy(update={"epoch": 1})),
    )
