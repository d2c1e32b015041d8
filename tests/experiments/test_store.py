from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from classifier.basics.errors import UserError
from classifier.records.record import Cost, Epoch, EvaluateRecord, Record, TrainRecord
from experiments.matrix.load import load
from experiments.store.store import Store
from tests.records import results_of

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
COST = Cost(seconds=1.0)


@pytest.fixture
def record() -> TrainRecord:
    matrix = load(EXPERIMENTS / "ema.yaml")
    found = results_of(matrix).records.values()
    return next(record for record in found if isinstance(record, TrainRecord))


def publish(store: Store, record: Record, content: str = "weights") -> bool:
    store.forget_failure(record.spec)
    with store.attempt(record.spec) as out:
        (out / record.unit).mkdir()
        (out / record.unit / "best.safetensors").write_text(content)
        published = store.publish(record, COST, out)
    store.clear(record.spec)
    return published


def checkpoint(store: Store, record: TrainRecord) -> Path:
    return store.folder(record.spec) / record.unit / "best.safetensors"


def test_what_is_published_is_read_back(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path / "runs")
    assert store.read().records == {}
    assert publish(store, record)
    results = store.read()
    assert results.records == {(record.signature, record.unit): record}
    assert results.costs[record.signature, record.unit] == COST
    folder = tmp_path / "runs" / f"mobilenetv2-s0-{record.signature}"
    assert [path.name for path in folder.iterdir()] == [record.unit], "no work is left"
    assert checkpoint(store, record).read_text() == "weights"


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_read_back(
    tmp_path: Path, loss: float, record: TrainRecord
) -> None:
    """From strict JSON, and equal to what was written: else its metrics would be done again each
    time."""
    found = results_of(load(EXPERIMENTS / "ema.yaml")).records.values()
    made = next(dict(record) for record in found if isinstance(record, EvaluateRecord))
    odd = EvaluateRecord.model_validate(made | {"loss": loss})
    row = Epoch.model_validate(dict(record.history[0]) | {"val_loss": loss})
    store, trained = Store(tmp_path), record.model_copy(update={"history": (row,)})
    assert publish(store, trained) and publish(store, odd)
    assert store.read().records == {(each.signature, each.unit): each for each in (trained, odd)}
    for file in tmp_path.glob("*/*/record.json"):
        json.loads(file.read_text(), parse_constant=pytest.fail)


def test_what_is_finished_is_never_rewritten(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    assert publish(store, record, "first")
    assert not publish(store, record.model_copy(update={"accuracy": 0.1}), "second")
    kept = store.read().records[record.signature, record.unit]
    assert isinstance(kept, TrainRecord)
    assert (kept.accuracy, checkpoint(store, record).read_text()) == (0.5, "first")


def test_other_data_replace_a_record(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    publish(store, record, "first")
    changed = record.data.model_copy(update={"fingerprint": "0" * 16})
    assert publish(store, record.model_copy(update={"data": changed}), "second")
    assert checkpoint(store, record).read_text() == "second"


def test_of_two_attempts_one_is_accepted(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    with (
        store.attempt(record.spec) as slow,
        store.attempt(record.spec) as quick,
    ):
        for out in (slow, quick):
            (out / record.unit).mkdir()
            (out / record.unit / "best.safetensors").write_text(out.name)
        assert store.publish(record, COST, quick)
        assert not store.publish(record, COST, slow)
    assert checkpoint(store, record).read_text() == quick.name


def test_a_failure_is_kept_until_the_next_attempt(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    store.fail(record.spec, "no memory")
    assert store.read().failures[record.signature].reason == "no memory"
    publish(store, record)
    assert not store.read().failures


def test_a_damaged_record_is_named(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    publish(store, record)
    file = next(tmp_path.rglob("record.json"))
    text = file.read_text()
    for bad in ("", text[:100], text.replace('"accuracy"', '"acuracy"', 1), "[]"):
        file.write_text(bad)
        with pytest.raises(UserError, match=r"record.json is damaged or of another version"):
            store.read()
    file.unlink()
    with pytest.raises(UserError, match=r"record\.json is missing"):
        store.read()
    file.mkdir()
    with pytest.raises(UserError, match=r"record\.json is a folder; delete .* to have it done"):
        store.read()


def test_an_evaluation_lies_with_its_training(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = results_of(load(EXPERIMENTS / "ema.yaml")).records.values()
    record = next(record for record in found if isinstance(record, EvaluateRecord))
    with store.attempt(record.spec) as out:
        store.publish(record, COST, out)
    folder = tmp_path / f"{record.training.slug}-{record.training.signature}"
    assert (folder / record.unit / "record.json").exists()


def test_stray_folders_are_none_of_ours(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    publish(store, record)
    (tmp_path / "notes" / "mine").mkdir(parents=True)
    (tmp_path / f"mobilenetv2-s0-{record.signature}" / "notes").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    assert len(store.read().records) == 1


def test_a_training_without_its_checkpoint_is_done_again(
    tmp_path: Path, record: TrainRecord
) -> None:
    store = Store(tmp_path)
    publish(store, record, "first")
    checkpoint(store, record).unlink()
    assert not store.read().records
    assert publish(store, record, "second")
    assert checkpoint(store, record).read_text() == "second"


def test_damaged_costs_and_failures_cost_no_result(tmp_path: Path, record: TrainRecord) -> None:
    store = Store(tmp_path)
    publish(store, record)
    next(tmp_path.rglob("cost.json")).write_text("{")
    results = store.read()
    assert len(results.records) == 1 and not results.costs
    store.fail(record.spec, "no memory")
    next(tmp_path.rglob("failure.json")).write_text("[]")
    assert "is damaged" in store.read().failures[record.signature].reason
