"""What a plan says of trainings that one training does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from classifier.basics.machine import Platform
from classifier.config.spec import TrainSpec
from classifier.data.datasets import fingerprint_if_there
from classifier.models import catalogue
from classifier.records.kept import Seen, SeenTrack
from classifier.records.record import Epoch
from experiments.matrix.load import load
from experiments.plan import plan as planning
from experiments.plan.families import leading
from experiments.plan.plan import Plan
from experiments.session.show_plan import Planned, kept_states
from experiments.store.layout import STATES
from experiments.store.store import Results
from tests.records import results_of

HERE = Platform("A CPU", 2, "2.14.1")
MATRIX = """\
title: T
data: digits
train: {image_size: 32, batch_size: 64}
matrix:
  model: [mobilenetv2, ghostnet]
  epochs: [30, 60]
  best: [accuracy, loss]
  patience: [0, 10]
  ema: [false, true, {decay: 0.99}]
tables:
  t:
    rows: [model, epochs, best, patience, ema]
    columns: [{header: val, split: val}]
"""
SHORT = """\
title: T
data: digits
train: {model: mobilenetv2, image_size: 32, TRAIN}
matrix: {AXES}
tables: {t: {rows: epochs, columns: [{header: val, split: val}]}}
"""


STUDENTS = """\
title: T
data: digits
train: {image_size: 32, patience: 0}
runs:
  short: {model: ghostnet, epochs: 2}
  long: {model: ghostnet, epochs: 4}
  of short: {model: mobilenetv2, distill: {method: soft_target, teacher: short}}
  of long: {model: mobilenetv2, distill: {method: soft_target, teacher: long}}
tables: {t: {rows: runs, columns: [{header: val, split: val}]}}
"""


def planned(folder: Path, text: str, results: Results | None = None) -> Plan:
    (folder / "m.yaml").write_text(text)
    matrix = load(folder / "m.yaml")
    return planning.make([matrix], results or Results(), HERE, folder)


def short(train: str = "patience: 0", axes: str = "epochs: [2, 4]") -> str:
    return SHORT.replace("TRAIN", train).replace("AXES", axes)


def trainings(plan: Plan) -> list[Any]:
    return [job for job in plan.jobs if isinstance(job.spec, TrainSpec)]


def seen(data: str, epochs: int, best: tuple[int, ...], spec: TrainSpec | None = None) -> Seen:
    rows = tuple(
        Epoch(
            epoch=epoch, lr=0.1, train_loss=1.0, val_loss=1.0 + epoch,
            val_accuracy=0.1 * epoch, val_mpa=0.5,
        )
        for epoch in range(epochs)
    )  # fmt: skip
    raw = SeenTrack(history=rows, best=best, follows=True)
    return Seen(data=data, epoch=epochs, keep=True, tracks={"raw": raw}, spec=spec)


def test_what_only_looks_is_one_training(tmp_path: Path) -> None:
    text = MATRIX.replace("    rows: [model, epochs, best, patience, ema]\n", "    rows: model\n")
    columns = "".join(
        f"      - {{header: '{epochs} {best} {patience} {ema}', split: val, where: {{epochs: "
        f"{epochs}, best: {best}, patience: {patience}, ema: {ema}}}}}\n"
        for epochs in (30, 60)
        for best in ("accuracy", "loss")
        for patience in (0, 10)
        for ema in ("false", "true", "{decay: 0.99}")
    )
    head = text[: text.index("    columns:")]
    plan = planned(tmp_path, f"{head}    columns:\n{columns}")
    assert len(trainings(plan)) == 16 and plan.totals()["train"] == 2
    assert plan.separate_trainings == 48
    longest = [job for job in trainings(plan) if job.estimate.gflop]
    assert [job.spec.epochs for job in longest] == [60, 60]
    for job in trainings(plan):
        of = next(each for each in longest if each.spec.family == job.spec.family)
        assert job is of or job.course == f"trained in {of.id}"
    ghost = next(job for job in longest if job.spec.model == "ghostnet")
    alone = planned(tmp_path, short("batch_size: 64", "model: [ghostnet], epochs: [60]"))
    (one,) = trainings(alone)
    assert one.estimate.gflop * 1.01 < ghost.estimate.gflop < one.estimate.gflop * 1.3, (
        "three tracks are validated, and the training counts once"
    )


@pytest.mark.parametrize(
    ("train", "line"),
    [
        ("schedule: half_cosine", "'half_cosine' goes by the share of the whole"),
        ("warmup: {ratio: 0.5}", "their warm-ups are 1 and 2 epochs long"),
        ("warmup: {epochs: 1}", ""),
        ("schedule: {name: StepLR, arguments: {step_size: 1}}", ""),
    ],
)
def test_what_is_apart_is_said(train: str, line: str, tmp_path: Path) -> None:
    plan = planned(tmp_path, short(train))
    matrix = load(tmp_path / "m.yaml", data_root=tmp_path)
    lines = str(Planned(**vars(plan), matrices=(matrix,))).splitlines()
    told = [each for each in lines if "trained apart" in each]
    assert told == ([f"epochs 2, 4 are trained apart: {line}"] if line else [])
    assert plan.totals()["train"] == (2 if line else 1)


def test_where_it_goes_on_is_said_and_costs_less(tmp_path: Path) -> None:
    """The data are the digits, which are always there."""
    whole = trainings(planned(tmp_path, short()))
    digest = fingerprint_if_there(whole[0].spec.data, tmp_path)
    assert digest is not None
    family = whole[0].spec.family
    by_epochs = {job.spec.epochs: job for job in whole}
    assert by_epochs[2].estimate.gflop == 0 and by_epochs[4].estimate.gflop > 0
    assert all(job.keeps_end for job in whole)

    def later(kept: Seen | None, axes: str = "epochs: [4, 8]") -> dict[int, Any]:
        plan = planned(tmp_path, short(axes=axes), Results(states={family: kept}))
        assert (family, STATES) in plan.needed()
        return {job.spec.epochs: job for job in trainings(plan)}

    goes_on = later(seen(digest, 2, (1,)))
    assert goes_on[8].course == "goes on after epoch 2"
    assert goes_on[4].course == f"trained in {goes_on[8].id}"
    anew = later(seen(digest, 2, (0,)))
    not_looked = "trained anew: the state kept after epoch 2 was not looked at in this way"
    assert anew[8].course == not_looked
    assert goes_on[8].estimate.gflop == pytest.approx(anew[8].estimate.gflop * 6 / 8, rel=1e-3)
    other = later(seen("other images", 2, (1,)))
    said = f"trained anew: the state kept after epoch 2 is of other data (other images -> {digest})"
    assert other[8].course == said and other[8].estimate == anew[8].estimate
    lost = later(seen(digest, 5, (4,)))
    assert lost[8].course.startswith("trained anew"), "4 epochs had their best at the fourth"
    unknown = later(None)
    said = "a state is kept that does not say what it has: the training finds out"
    assert unknown[8].course == said and unknown[8].estimate == anew[8].estimate


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ("warmup: {ratio: 0.5}", "their warm-ups are 1 and 2 epochs long"),
        ("schedule: half_cosine", "'half_cosine' goes by the share of the whole"),
        (
            "warmup: {ratio: 0.5}, schedule: {name: step, epochs: 1}",
            "the warm-up is a share of the whole",
        ),
        ("lr: 0.1", ""),
    ],
)
def test_why_a_state_of_other_epochs_is_of_no_use_is_said(
    train: str, reason: str, tmp_path: Path
) -> None:
    (before,) = trainings(planned(tmp_path, short(train, "epochs: [2]")))
    digest = fingerprint_if_there(before.spec.data, tmp_path)
    assert digest is not None
    state = seen(digest, 2, (1,), before.spec)
    states: dict[str, Seen | None] = {
        before.spec.family: Seen.model_validate_json(state.model_dump_json())
    }
    (later,) = trainings(planned(tmp_path, short(train, "epochs: [4]"), Results(states=states)))
    of = "trained anew: the state kept after epoch 2 of 2 is of another training: "
    assert later.course == (f"{of}{reason}" if reason else "goes on after epoch 2")
    other = planned(tmp_path, short("lr: 0.2", "epochs: [4]"), Results(states=states))
    assert trainings(other)[0].course == "", "another training, of which no state is kept"


def test_data_that_are_not_there_are_not_compared(tmp_path: Path) -> None:
    text = short().replace("data: digits", "data: {folder: photos}")
    family = trainings(planned(tmp_path, text))[0].spec.family
    kept = Results(states={family: seen("some images", 2, (1,))})
    told = [job.course for job in trainings(planned(tmp_path, text, kept))]
    assert told[1] == "goes on after epoch 2; data not checked"


def test_students_of_teachers_that_are_one_training_are_apart(tmp_path: Path) -> None:
    plan = planned(tmp_path, STUDENTS)
    matrix = load(tmp_path / "m.yaml", data_root=tmp_path)
    told = str(Planned(**vars(plan), matrices=(matrix,))).splitlines()
    reason = "their teachers differ in epochs, and so in the weights that teach"
    short, long = sorted(
        (job for job in trainings(plan) if job.spec.model == "ghostnet"), key=leading
    )
    assert {"kind": "train", "jobs": [short.id, long.id]} in plan.as_json()["together"]
    assert plan.as_json()["apart"] == [f"students (mobilenetv2) are trained apart: {reason}"]
    assert [line for line in told if "apart" in line] == plan.as_json()["apart"]
    assert plan.totals()["train"] == 3, "the teachers are one"


def test_why_records_are_left_out_is_one_reason(tmp_path: Path) -> None:
    """Whatever training does them together."""
    planned(tmp_path, short())
    results = results_of(load(tmp_path / "m.yaml"), fingerprint="0" * 16)
    plan = planned(tmp_path, short(), results)
    one, other = trainings(plan)
    (reason,) = planning.left_out(plan, results)
    assert reason.startswith("the data changed (") and "trained in" not in reason
    assert planning.left_out(plan, results) == {reason: len(results.records)}
    assert (one.told, other.told) == (f"{reason}; trained in {other.id}", reason)


def test_what_one_process_does_is_told_to_scripts(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, short().replace("split: val}]", "split: val}, {header: t, split: test}]")
    )
    one, other = trainings(plan)
    told = plan.as_json()
    assert told["together"][0] == {"kind": "train", "jobs": [one.id, other.id]}
    evaluated = [[job.id for job in plan.jobs if job.needs == (of.id,)] for of in (one, other)]
    assert told["together"][1:] == [{"kind": "evaluate", "jobs": jobs} for jobs in evaluated]
    assert told["apart"] == [] and json.loads(json.dumps(told)) == told
    done = replace(plan, jobs=tuple(replace(job, state="done") for job in plan.jobs))
    assert done.as_json()["together"] == []


def kept_line(plan: Plan, **settings: Any) -> list[str]:
    begins = "kept for longer trainings to go on from: "
    lines = kept_states(Planned(**vars(plan), **settings))
    return [line.removeprefix(begins) for line in lines]


def test_only_an_axis_of_epochs_keeps_the_end(tmp_path: Path) -> None:
    text = short(axes="epochs: [2]")
    plan = planned(tmp_path, text)
    assert all(job.keeps_end for job in trainings(plan))
    parameters = catalogue.MODELS["mobilenetv2"].parameters
    size = f"about {14 * parameters / 1e6:,.0f} MB"  # AdamW keeps two numbers of each
    assert kept_line(plan) == [f"the last state of 1 training, {size}"]
    fixed = short("epochs: 2", "seed: [0]").replace("rows: epochs", "rows: model")
    fixed = fixed.replace("matrix: {seed: [0]}", "matrix: {model: [mobilenetv2]}").replace(
        "{model: mobilenetv2, ", "{"
    )
    plan = planned(tmp_path, fixed)
    assert not any(job.keeps_end for job in trainings(plan))
    assert kept_line(plan) == []
    assert kept_line(plan, keeps_all=True) == [f"the last state of 1 training, {size}"]
    other = planned(tmp_path, short(axes="epochs: [2], model: [resnet18]"))
    assert kept_line(other) == ["the last state of 1 training, --status tells their size"]
    half = trainings(planned(tmp_path, short("schedule: half_cosine")))
    assert not any(job.keeps_end for job in half)
