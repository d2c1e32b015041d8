"""Trainings that one training does together: each is, bit for bit, as if trained alone."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import job
from classifier.basics.errors import StoppedError, UserError
from classifier.basics.place import Place
from classifier.config.family import Member, apart, why_apart
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data.spec import DataSpec
from classifier.job import Outcome, Start, train, train_together
from classifier.plugins.spec import UserTrick
from classifier.records.kept import read_seen
from classifier.records.record import TrainRecord
from classifier.records.runs import CHECKPOINT
from classifier.training import states
from classifier.training.schedule import learning_rates
from classifier.training.trainer import Trainer
from classifier.tricks.ema import Ema

TRACKS: tuple[Track, ...] = (RAW, Ema(decay=0.9, tau=3.0), Ema(decay=0.98, tau=1.0, every=2))
STEPS = 5
"""Of an epoch in the rates that are compared."""
SCHEDULES: tuple[Any, ...] = (
    "cosine",
    {"name": "cosine", "t_max": 3},
    {"name": "StepLR", "arguments": {"step_size": 2}},
    {"name": "LinearLR", "arguments": {"total_iters": 4}},
    {"name": "CosineAnnealingLR", "arguments": {"T_max": 5}},
    {"name": "step", "epochs": 1.5, "gamma": 0.3},
    {"name": "step", "epochs": 2, "gamma": 0.3, "by": "epoch"},
    "half_cosine",
    {"name": "poly", "by": "epoch"},
    "linear",
)
WARMUPS: tuple[Any, ...] = (
    None,
    {"ratio": 0.0},
    {"ratio": 0.3},
    {"ratio": 0.05},
    {"epochs": 1},
    {"epochs": 4},
)

Files = dict[tuple[str, str], tuple[TrainRecord, bytes]]
"""By signature and track."""


def spec_of(tiny: TrainSpec, **changes: Any) -> TrainSpec:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | changes)


def learner(tiny: TrainSpec, **changes: Any) -> TrainSpec:
    """Small, and with scores that go up and down, so that those who look at it differ."""
    settings = {"model": "test_resnet", "augment": None, "lr": 1e-2, "batch_size": 20}
    data = DataSpec(name="digits", limit=15)
    return spec_of(tiny, **settings | {"data": data, "warmup": None} | changes)


def every(tiny: TrainSpec, **changes: Any) -> list[TrainSpec]:
    """2 x 2 x 2 trainings that differ in how they look only."""
    grid = itertools.product((3, 6), ("accuracy", "loss"), (0, 2))
    return [
        learner(tiny, epochs=epochs, best=best, patience=patience, **changes)
        for epochs, best, patience in grid
    ]


def together(
    specs: Sequence[TrainSpec], folder: Path, start: Start = job.FRESH, **place: Any
) -> Files:
    members = [Member(spec, TRACKS) for spec in specs]
    where = Place(folder, **{"checkpoint_minutes": 0.0, **place})
    found = train_together(
        members, where, lambda spec: folder / spec.signature, states_in=folder, start=start
    )
    return files(found, folder)


def files(outcomes: Any, folder: Path) -> Files:
    kept = {}
    for outcome in outcomes:
        record = outcome.record
        weights = folder / record.signature / record.unit / CHECKPOINT
        kept[record.signature, record.track] = (record, weights.read_bytes())
    return kept


def alone(
    specs: Sequence[TrainSpec], folder: Path, start: Start = job.FRESH, **place: Any
) -> Files:
    """Each of them, and each of their tracks, in a training of its own."""
    found: Files = {}
    for spec, track in itertools.product(specs, TRACKS):
        at = folder / spec.signature / "alone" / track.key
        outcomes = train(spec, at, Place(folder, **place), tracks=(track,), start=start)
        (record,) = (outcome.record for outcome in outcomes)
        found[spec.signature, track.key] = (record, (at / record.unit / CHECKPOINT).read_bytes())
    return found


@given(st.sampled_from(SCHEDULES), st.sampled_from(WARMUPS), st.integers(1, 12), st.integers(1, 12))
def test_a_family_has_the_same_rates(schedule: Any, warmup: Any, one: int, other: int) -> None:
    short, long = (
        TrainSpec.model_validate(
            {
                "data": DataSpec(name="digits"),
                "model": "m",
                "epochs": epochs,
                "schedule": schedule,
                "warmup": warmup,
            }
        )
        for epochs in sorted((one, other))
    )
    rates = [learning_rates(spec, STEPS) for spec in (short, long)]
    is_prefix = rates[1][: len(rates[0])] == rates[0]
    if short.family == long.family:
        assert is_prefix and not why_apart(short, long)
    else:
        assert why_apart(short, long) and short.epochs != long.epochs
        # Rates may be equal where the warm-up is cut to nothing; else apart means different.
        assert not is_prefix or apart(short) or short.epochs <= 4


def test_what_a_family_is(tiny: TrainSpec) -> None:
    specs = every(tiny)
    assert len({spec.signature for spec in specs}) == 8 and len({s.family for s in specs}) == 1
    base = specs[0]
    for change in ({"seed": 1}, {"lr": 0.1}, {"batch_size": 8}, {"hflip": 0.5}, {"rdrop": True}):
        other = learner(tiny, epochs=9, **change)
        assert other.family != base.family and why_apart(base, other) == "", "they differ in more"
    half = [learner(tiny, epochs=epochs, schedule="half_cosine") for epochs in (3, 6)]
    assert why_apart(*half) == "'half_cosine' goes by the share of the whole"
    assert half[0].family == spec_of(half[0], patience=5, best="loss").family
    warm = [learner(tiny, epochs=epochs, warmup={"ratio": 0.5}) for epochs in (9, 4)]
    assert why_apart(*warm) == "their warm-ups are 2 and 4 epochs long"
    trick = UserTrick(name="mine", digest="0" * 16, file="tricks.py", line=1, takes=1)
    own = [learner(tiny, epochs=epochs, own_tricks=(trick,)) for epochs in (2, 3)]
    assert "'mine', of your own, may look at how many steps" in why_apart(*own)


def test_members_equal_separate_trainings(tiny: TrainSpec, tmp_path: Path) -> None:
    """24 looks at one training: by the number of epochs, what is best, patience and track."""
    specs = every(tiny)
    shared, separate = together(specs, tmp_path), alone(specs, tmp_path)
    assert shared == separate and len(shared) == 24
    records = [record for record, _ in shared.values()]
    assert {len(record.history) for record in records} >= {3, 6}
    assert len({(record.track, record.best_epoch) for record in records}) > 4
    assert any(record.stopped_early for record in records), "or patience is not tried"


@pytest.mark.parametrize(
    "changes",
    [
        {"rdrop": True},
        {"rdrop": True, "drop_path_rate": 0.1},
        {"amp": "bfloat16", "clip_grad": 0.5},
        {"mixing": "mixup", "amp": True, "schedule": {"name": "step", "epochs": 1.5}},
        {"warmup": {"epochs": 2}, "sampler": "balanced", "micro_batch": 7},
    ],
    ids=["one trunk", "two passes", "bfloat16", "mixing", "warm-up"],
)
def test_stopped_anywhere_they_go_on(
    changes: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    """Stopped after every few steps, also inside an epoch; the members that ended are not asked
    for again."""
    specs = [
        learner(tiny, epochs=2, **changes),
        learner(tiny, epochs=4, best="loss", patience=1, **changes),
    ]
    separate, found = alone(specs, tmp_path), Files()
    folder = tmp_path / "together"
    for _ in range(40):
        asked = iter([False] * 3 + [True] * 99).__next__
        left = [s for s in specs if any((s.signature, t.key) not in found for t in TRACKS)]
        if not left:
            break
        members = [Member(spec, TRACKS) for spec in left]
        place = Place(folder, checkpoint_minutes=0.0, stop=asked)
        outcomes = train_together(
            members, place, lambda spec: folder / spec.signature, states_in=folder
        )
        try:
            for outcome in outcomes:
                found |= files([outcome], folder)
        except StoppedError:
            continue
    assert found == separate
    passes = {record.rdrop_passes for record, _ in found.values()}
    assert passes == {2 if "drop_path_rate" in changes else 1 if "rdrop" in changes else None}


def test_a_teacher_that_is_shared(tiny: TrainSpec, tmp_path: Path) -> None:
    """A student learns from the best of the shorter one of two that were trained together."""
    teachers = [learner(tiny, epochs=epochs) for epochs in (1, 3)]
    taught = {}
    for how, make in (("together", together), ("alone", alone)):
        made = make(teachers, tmp_path / how)
        file = tmp_path / f"{how}.safetensors"
        file.write_bytes(made[teachers[0].signature, "raw"][1])
        distill = {"method": "soft_target", "teacher": teachers[0].signature}
        students = [learner(tiny, epochs=epochs, distill=distill) for epochs in (2, 3)]
        taught[how] = make(students, tmp_path / how / "students", Start(teacher=file))
    assert taught["together"] == taught["alone"]


def test_what_comes_later_touches_no_member_that_ended(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longer training fails; the shorter is whole, with the time to its own end."""
    specs = [learner(tiny, epochs=2), learner(tiny, epochs=5)]
    mean_loss, found = Trainer._mean_loss, list[Outcome[TrainRecord]]()

    def fails(trainer: Trainer) -> float:
        if trainer.epoch == 3:
            raise UserError("the loss is nan")
        return mean_loss(trainer)

    monkeypatch.setattr(Trainer, "_mean_loss", fails)
    members = [Member(spec, TRACKS) for spec in specs]
    place = Place(tmp_path, checkpoint_minutes=0.0)
    with pytest.raises(UserError, match="the loss is nan"):
        for outcome in train_together(
            members, place, lambda spec: tmp_path / spec.signature, states_in=tmp_path
        ):
            found.append(outcome)
    monkeypatch.undo()
    assert {each.record.signature for each in found} == {specs[0].signature} and len(found) == 3
    assert files(found, tmp_path) == alone(specs[:1], tmp_path)
    rest = together(specs[1:], tmp_path)  # goes on from what was kept
    assert rest == alone(specs[1:], tmp_path)


def test_each_has_its_own_time_and_one_name(tiny: TrainSpec, tmp_path: Path) -> None:
    specs = [learner(tiny, epochs=epochs) for epochs in (1, 2, 4)]
    members = [Member(spec, TRACKS) for spec in specs]
    outcomes = list(
        train_together(
            members, Place(tmp_path), lambda spec: tmp_path / spec.signature, states_in=tmp_path
        )
    )
    assert [outcome.record.spec.epochs for outcome in outcomes] == [1, 1, 1, 2, 2, 2, 4, 4, 4]
    seconds = [outcome.cost.seconds for outcome in outcomes]
    assert seconds == sorted(seconds) and len(set(seconds)) == 3
    assert len({outcome.cost.training for outcome in outcomes}) == 1
    (again,) = train(specs[0], tmp_path / "again", Place(tmp_path))
    assert again.cost.training != outcomes[0].cost.training


@pytest.mark.parametrize("changes", [{"rdrop": True}, {"mixing": "mixup", "clip_grad": 1.0}])
def test_a_longer_one_goes_on_at_the_end_of_a_shorter(
    changes: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    """3 epochs, then 5, then 1, whose best is not kept: each as trained at once, and only what is
    added is trained."""
    specs = [learner(tiny, epochs=epochs, **changes) for epochs in (3, 5, 1)]
    folder = tmp_path / "kept"
    for spec, trained_to in zip(specs, ("000003", "000005", "000001"), strict=True):
        outcomes = list(
            train_together(
                [Member(spec, TRACKS)],
                Place(folder, checkpoint_minutes=60.0),
                lambda spec: folder / spec.signature,
                states_in=folder,
                keep_end=True,
            )
        )
        assert files(outcomes, folder) == alone([spec], tmp_path)
        (end,) = states.kept(folder)
        assert end.name.startswith(f"state-{trained_to}-000000000-")
        seen = read_seen(folder)
        assert seen is not None and (seen.epoch, seen.spec) == (int(trained_to), spec)
    assert not [file for file in folder.glob("*.json") if not file.with_suffix(".pt").exists()]


def test_one_that_was_not_looking_is_trained_anew(
    tiny: TrainSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A state is gone on from by who finds in it what it would have kept: a longer training of the
    same eyes does, one of another track or another best epoch does not."""
    short = learner(tiny, epochs=3)
    long = spec_of(short, epochs=5)
    members, folder = [Member(short, (RAW,))], tmp_path / "kept"
    place = Place(folder, checkpoint_minutes=0.0)
    (first,) = train_together(members, place, lambda _: folder, states_in=folder, keep_end=True)

    def goes_on(spec: TrainSpec, track: Track) -> bool:
        seen = read_seen(folder)
        assert seen is not None
        capsys.readouterr()
        at = tmp_path / f"{spec.signature}{track.key}"
        at.mkdir()
        for file in folder.glob("state-*"):
            (at / file.name).write_bytes(file.read_bytes())
        members = [Member(spec, (track,))]
        where = replace(place, data_root=at)
        (outcome,) = train_together(members, where, lambda _: at, states_in=at)
        said = capsys.readouterr().err
        (expected,) = train(spec, at / "alone", Place(at), tracks=(track,))
        assert outcome.record == expected.record
        went_on = outcome.cost.training == first.cost.training
        assert seen.has(spec, track) == went_on, "plans know it"
        assert ("not looked at in this way: the training begins anew" in said) == (not went_on)
        return went_on

    assert goes_on(long, RAW)
    assert goes_on(spec_of(short, epochs=2, patience=1), RAW) == (first.record.best_epoch < 2), (
        "shorter: where its best epoch is the one that was kept"
    )
    assert not goes_on(long, TRACKS[1])
    assert goes_on(spec_of(long, patience=1), RAW)


def test_an_average_that_missed_steps_of_an_epoch_is_taken_anew(
    tiny: TrainSpec, tmp_path: Path
) -> None:
    """It ended, and the training was stopped in the next epoch: its history is as long as the
    training's, but it did not follow the steps since."""
    short, long, average = learner(tiny, epochs=2), learner(tiny, epochs=4), TRACKS[1]
    members = [Member(short, (average,)), Member(long, (RAW,))]
    found: list[Outcome[TrainRecord]] = []
    place = Place(tmp_path, checkpoint_minutes=0.0, stop=lambda: bool(found))
    with pytest.raises(StoppedError):
        for outcome in train_together(members, place, lambda _: tmp_path, states_in=tmp_path):
            found.append(outcome)
    seen = read_seen(tmp_path)
    assert seen is not None and seen.epoch == len(seen.tracks[average.key].history) == 2
    assert states.kept(tmp_path)[0].name.startswith("state-000002-000000001-")
    assert seen.has(short, average) and seen.has(long, RAW) and not seen.has(long, average)
    members, at = [Member(long, (average,))], tmp_path / "together"
    (longer,) = train_together(members, Place(tmp_path), lambda _: at, states_in=tmp_path)
    (expected,) = train(long, tmp_path / "alone", Place(tmp_path), tracks=(average,))
    assert longer.record == expected.record


@pytest.mark.parametrize("keep_end", [True, False])
def test_an_end_to_go_on_from_is_kept_before_the_last_is_published(
    keep_end: bool, tiny: TrainSpec, tmp_path: Path
) -> None:
    members, folder = [Member(learner(tiny, epochs=2), (RAW,))], tmp_path / "states"
    place = Place(tmp_path, checkpoint_minutes=0)
    ends = train_together(members, place, lambda _: folder, states_in=folder, keep_end=keep_end)
    next(ends)
    assert states.kept(folder)[0].name.startswith("state-000002-000000000-") == keep_end


def test_a_folder_of_states_may_be_deleted_meanwhile(tiny: TrainSpec, tmp_path: Path) -> None:
    specs, folder = [learner(tiny, epochs=epochs) for epochs in (1, 2)], tmp_path / "states"
    members, place = [Member(spec, (RAW,)) for spec in specs], Place(tmp_path, checkpoint_minutes=0)
    ends = train_together(
        members, place, lambda spec: tmp_path / spec.signature, states_in=folder, keep_end=True
    )
    next(ends)
    shutil.rmtree(folder)
    assert len(list(ends)) == 1 and read_seen(folder) is not None
