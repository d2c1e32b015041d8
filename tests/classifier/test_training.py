"""Promises about a training: what may change its numbers, and what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from classifier.basics.errors import UserError
from classifier.basics.files import sha256
from classifier.basics.place import Place
from classifier.basics.progress import Progress
from classifier.basics.randomness import keyed
from classifier.config.schedules import TorchSchedule, Warmup
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data import batches
from classifier.data.augment import Transform
from classifier.data.cache import pixels
from classifier.data.custom import Custom
from classifier.data.datasets import Listing, listing
from classifier.data.loader import EvalLoader
from classifier.data.pixels import Pixels
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.data.transforms import Normalize
from classifier.inference import evaluate as evaluation
from classifier.inference import metrics
from classifier.job import FRESH, Outcome, Start, evaluate, train
from classifier.models.network import build
from classifier.records.chosen import choose
from classifier.records.record import Epoch, TrainRecord
from classifier.training.optimizer import make_optimizer
from classifier.training.schedule import learning_rates
from classifier.training.trainer import train_loader
from classifier.tricks.ema import Average, Ema
from tests.classifier.test_datasets import make_images

ALBUMENTATIONS = [
    "HorizontalFlip",
    {"Rotate": {"limit": 10, "p": 1.0}},
    {"OneOf": {"p": 0.5, "transforms": [{"GaussNoise": {"p": 1.0}}, "RandomBrightnessContrast"]}},
]
SHORT = Ema(decay=0.9, tau=3.0)


def trained(
    spec: TrainSpec, folder: Path, tracks: tuple[Track, ...] = (RAW,), workers: int = 0
) -> tuple[Outcome[TrainRecord], ...]:
    folder.mkdir()
    return train(spec, folder, Place(folder, workers=workers), tracks=tracks)


def result(
    outcomes: tuple[Outcome[TrainRecord], ...], folder: Path, track: Track = RAW
) -> tuple[Any, bytes]:
    """A track's record and the bytes of its checkpoint."""
    record = next(o.record for o in outcomes if o.record.track == track.key)
    return record, (folder / record.unit / "best.safetensors").read_bytes()


def images_of(data: DataSpec, root: Path, listed: Listing, part: Part) -> Pixels:
    contents = data.source.fingerprint(root)
    return pixels(data, root, listed, part, 35 if part == "train" else 32, contents)


def test_a_shared_training_equals_two_separate_ones(tiny: TrainSpec, tmp_path: Path) -> None:
    """Bit for bit, with an early stop that comes at another epoch for each track."""
    data = tiny.data.model_copy(update={"limit": 20})
    changes = {"data": data, "epochs": 6, "patience": 3, "lr": 1e-2, "batch_size": 8}
    spec = tiny.model_copy(update={**changes, "augment": None})
    slow = Ema(decay=0.98, tau=1.0)
    shared = trained(spec, tmp_path / "shared", (RAW, slow))
    stops = set()
    for name, track in (("raw", RAW), ("ema", slow)):
        alone = trained(spec, tmp_path / name, (track,))
        assert result(alone, tmp_path / name, track) == result(shared, tmp_path / "shared", track)
        record = result(alone, tmp_path / name, track)[0]
        stops.add(len(record.history))
    assert len(stops) == 2, "the tracks stop at different epochs, or this test shows little"
    assert min(stops) < 6, "and one of them early"


def test_loader_workers_change_nothing(tiny: TrainSpec, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 2):
        folder = tmp_path / str(workers)
        found.append(result(trained(tiny, folder, workers=workers), folder))
    assert found[0] == found[1] == found[2]


def test_extra_validation_passes_change_nothing(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = result(trained(tiny, tmp_path / "plain"), tmp_path / "plain")
    calls = []

    inferred = evaluation.Inference.__call__

    def twice(self: evaluation.Inference, images: torch.Tensor) -> torch.Tensor:
        calls.append(torch.rand(1))  # even one that draws
        inferred(self, images)
        return inferred(self, images)

    monkeypatch.setattr(evaluation.Inference, "__call__", twice)
    assert result(trained(tiny, tmp_path / "twice"), tmp_path / "twice") == plain
    assert len(calls) == tiny.epochs * 2, "val is two batches"


def test_seeds_differ_and_variants_see_the_same_images(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "train")

    def seen(spec: TrainSpec, epoch: int) -> torch.Tensor:
        torch.rand(3)  # whatever the global generator is at
        return torch.cat([batch for batch, _ in train_loader(spec, cached, listed, 0).epoch(epoch)])

    rdrop = tiny.model_copy(update={"rdrop": object(), "model": "ghostnet"})
    assert torch.equal(seen(tiny, 1), seen(rdrop, 1))
    assert not torch.equal(seen(tiny, 1), seen(tiny, 2))
    assert not torch.equal(seen(tiny, 1), seen(tiny.model_copy(update={"seed": 1}), 1))


def test_nothing_of_val_or_test_is_trained_on(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    parts = {
        part: {listed.paths[i] for i in listed.indices(part)} for part in ("train", "val", "test")
    }
    assert not parts["train"] & (parts["val"] | parts["test"])
    assert not parts["val"] & parts["test"]
    cached = images_of(tiny.data, tmp_path, listed, "train")
    assert len(cached) == len(parts["train"])


def test_the_last_batch_is_kept_unless_it_has_one_image(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "train")
    for batch_size, expected in ((16, [16, 16, 16, 12]), (59, [59]), (29, [29, 29, 2]), (60, [60])):
        loader = train_loader(tiny.model_copy(update={"batch_size": batch_size}), cached, listed, 0)
        assert [len(labels) for _, labels in loader.epoch(0)] == expected
        assert len(loader) == len(expected)
        assert batches.seen(60, batch_size) == sum(expected)


def test_each_epoch_leaves_out_another_image(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "train")
    order = train_loader(tiny.model_copy(update={"batch_size": 59}), cached, listed, 0)._order
    left: set[int] = set()
    for order.epoch in range(20):
        (batch,) = order
        seen = {position for _, position, _ in batch}
        assert len(seen) == 59
        left |= set(range(60)) - seen
    assert len(left) > 10, "or some images are hardly ever seen"


ODD = {
    "train": {"a": 9, "b": 7, "lone": 1},
    "val": {"a": 1},
    "test": {"lone": 1},
}
"""17 images in batches of 16 leave one over; parts of one image, and a class of one."""
DISTILLED = ("at", "mgd", "soft_target", "sp")


@pytest.fixture
def odd(root: Path) -> TrainSpec:
    rng = np.random.default_rng(0)
    for part, classes in ODD.items():
        for name, images in classes.items():
            (root / "odd" / part / name).mkdir(parents=True)
            for index in range(images):
                pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(root / "odd" / part / name / f"{index}.png")
    data = DataSpec(folder="odd", split="given")
    return TrainSpec(data=data, model="mobilenetv2", image_size=32, batch_size=16, epochs=2)


def changed(spec: TrainSpec, **changes: Any) -> TrainSpec:
    plain = {name: getattr(spec, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | changes)


def trained_on(
    root: Path, spec: TrainSpec, name: str, start: Start = FRESH
) -> tuple[list[TrainRecord], list[bytes]]:
    """Raw and averaged weights: the records without what the spec says, and the checkpoints."""
    out = root.parent / name
    out.mkdir()
    outcomes = train(spec, out, Place(root), tracks=(RAW, SHORT), start=start)
    records = [outcome.record for outcome in outcomes]
    plain = [record.model_copy(update={"spec": None, "signature": ""}) for record in records]
    return plain, [(out / record.unit / "best.safetensors").read_bytes() for record in records]


@pytest.mark.parametrize(
    "changes",
    [
        {"class_balance": True, "mixing": {"name": "mixup", "probability": 1.0}},
        {"rdrop": True, "mixing": {"name": "cutmix", "probability": 1.0}, "loss": "poly"},
        {"sam": True, "class_balance": True, "loss": "focal", "micro_batch": 5},
        {"batch_size": 2, "rdrop": True, "class_balance": True, "sam": True},
    ],
)
def test_odd_sizes_train(changes: dict[str, Any], odd: TrainSpec, root: Path) -> None:
    spec = changed(odd, **changes)
    records, _ = trained_on(root, spec, "run")
    for record in records:
        assert record.data.train == 17 and record.data.val == record.data.test == 1
        assert len(record.history) == 2
        assert np.isfinite([(row.train_loss, row.val_loss) for row in record.history]).all()
        assert record.accuracy in (0.0, 1.0), "of one image"
    file = root.parent / "run" / records[0].unit / "best.safetensors"
    for part, tta in (("val", False), ("test", True)):
        wanted = EvaluateSpec.of(spec, RAW, split=part, tta=tta)
        data = records[0].data.fingerprint
        found = evaluate(wanted, root.parent / "run", Place(root), file, data).record
        assert found.images == 1 and found.accuracy in (0.0, 1.0)


@pytest.mark.parametrize("method", DISTILLED)
def test_odd_sizes_are_distilled(method: str, odd: TrainSpec, root: Path) -> None:
    trained_on(root, changed(odd, batch_size=17, epochs=1), "teacher")
    file = root.parent / "teacher" / "train-raw" / "best.safetensors"
    teacher = {"file": "teacher.safetensors", "sha256": sha256(file)}
    for batch_size in (15, 16):  # a last batch of two, and one that would be of one image
        spec = changed(odd, batch_size=batch_size, distill={"method": method, "teacher": teacher})
        records, _ = trained_on(root, spec, f"student-{batch_size}", Start(teacher=file))
        for row in records[0].history:
            assert np.isfinite([row.train_loss, row.val_loss]).all()


def test_batches_of_all_images_are_one_training(odd: TrainSpec, root: Path) -> None:
    """Bit for bit, as it is said before a training with more than there are images."""
    (records, weights), *others = [
        trained_on(root, changed(odd, **changes), name)
        for name, changes in {
            "17": {"batch_size": 17},
            "18": {"batch_size": 18},
            "1000": {"batch_size": 1000},
            "16": {"batch_size": 1000, "micro_batch": 16},  # a last part of one goes with it
        }.items()
    ]
    assert all(other == (records, weights) for other in others)


def test_a_thousand_classes_of_one_image(root: Path) -> None:
    names = {f"c{label:03}": 1 for label in range(1000)}
    make_images(root / "many" / "train", names)
    make_images(root / "many" / "val", {"c007": 1, "c999": 1})
    data = DataSpec(folder="many", split="given")
    listed = listing(data, root)
    assert listed.counts() == {"train": 1000, "val": 2, "test": 0}
    assert [listed.classes[label] for label in listed.labels[1000:]] == ["c007", "c999"]
    spec = TrainSpec(data=data, model="mobilenetv2", image_size=32, batch_size=111, epochs=1)
    records, _ = trained_on(root, changed(spec, class_balance=True, mixing="mixup"), "run")
    # Of one image left over by batches of 111; with equal weights the loss of guessing is ln 1000.
    assert records[0].data.train - batches.seen(1000, 111) == 1
    assert records[0].history[0].val_loss == pytest.approx(np.log(1000), rel=0.2)


def test_the_rate_is_torchs_after_the_warm_up(tiny: TrainSpec) -> None:
    """150 epochs: W = 7, linear from 1e-6, then CosineAnnealingLR's closed form."""
    spec = tiny.model_copy(update={"epochs": 150, "lr": 1e-4, "warmup": Warmup()})
    rates = learning_rates(spec)
    assert rates[:8] == pytest.approx([1e-6 + (1e-4 - 1e-6) * e / 7 for e in range(8)])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=1e-6)
    for rate in rates[7:]:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6, abs=1e-12)
        optimizer.step()
        cosine.step()
    assert rates[17] == pytest.approx(1e-6) and rates[27] == pytest.approx(1e-4), (
        "down and up again"
    )
    short = spec.model_copy(update={"epochs": 10})
    assert learning_rates(short)[0] == 1e-4, "int(0.05 * 10) = 0: no warm-up"


def test_only_weights_decay(tiny: TrainSpec) -> None:
    network = build("mobilenetv2", 10, seed=0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    norms = {
        f"{name}.{part}"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
        for part in ("weight", "bias")
    }
    seen = set()
    for group in make_optimizer(network, tiny.optimizer, 1e-3).param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            free = name in norms or name.endswith("bias")
            assert group["weight_decay"] == (0.0 if free else 5e-4), name
            seen.add(name)
    assert seen == set(names.values())


def test_the_average_is_the_formula() -> None:
    network = build("mobilenetv2", 10, seed=0)
    network.add_module("again", network.head)  # what stands there twice is averaged once
    tied = torch.nn.Linear(1, 1, bias=False)
    tied.weight = network.get_parameter("head.1.weight")
    network.add_module("tied", tied)
    average = Average(network, SHORT)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    for step in range(1, 6):
        with torch.no_grad():
            for value in network.state_dict().values():
                value.add_(1 if not value.is_floating_point() else 0.1 * step)
        average.after_step(network, step)
        decay = 0.9 * (1 - np.exp(-step / 3.0))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
            else:
                expected[name] = value.double()
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value.double(), expected[name], rtol=1e-5, atol=1e-6), name
    for every, step, moves in ((3, 2, False), (3, 6, True)):
        seldom = Average(network, Ema(decay=0.5, tau=1e-3, every=every))
        before = {name: value.clone() for name, value in seldom.network.state_dict().items()}
        bias = network.get_parameter("head.1.bias")
        with torch.no_grad():
            bias.add_(1)
        seldom.after_step(network, step)
        mean = (before["head.1.bias"] + bias) / 2
        found = seldom.network.get_parameter("head.1.bias")
        assert torch.allclose(found, mean if moves else before["head.1.bias"])
    assert Ema().decay_at(2000) == pytest.approx(0.9999 * (1 - np.exp(-1)))


def test_the_average_keeps_what_a_module_keeps_and_follows_what_is_replaced() -> None:
    class Counting(torch.nn.Module):
        seen = torch.zeros(1)

        def get_extra_state(self) -> torch.Tensor:
            return self.seen

        def set_extra_state(self, state: torch.Tensor) -> None:
            self.seen = state

    network = build("mobilenetv2", 10, seed=0)
    counting = Counting()
    network.add_module("counting", counting)
    average = Average(network, Ema(decay=0.5, tau=1e-3))
    counting.seen = torch.full([1], 7.0)
    network.head[1] = torch.nn.Linear(1280, 10)
    before = average.network.get_parameter("head.1.bias").clone()
    average.after_step(network, 1)
    assert average.network.state_dict()["counting._extra_state"] == 7
    counting.seen += 1
    assert average.network.state_dict()["counting._extra_state"] == 7, "a copy"
    mean = (before + network.get_parameter("head.1.bias")) / 2
    assert torch.allclose(average.network.get_parameter("head.1.bias"), mean)
    network.register_buffer("late", torch.zeros(1))
    with pytest.raises(UserError, match="other parameters or buffers than when its training began"):
        average.after_step(network, 2)


def test_the_best_epoch_is_the_first_best(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = tiny.model_copy(update={"epochs": 6, "patience": 2, "lr": 1e-6})
    record = result(trained(spec, tmp_path / "run"), tmp_path / "run")[0]
    accuracies = [row.val_accuracy for row in record.history]
    assert record.best_epoch == int(np.argmax(accuracies))
    assert record.accuracy == max(accuracies)
    assert record.stopped_early == (
        len(accuracies) < 6 or len(accuracies) - 1 - record.best_epoch >= 2
    )
    never = spec.model_copy(update={"patience": 0})
    record = result(trained(never, tmp_path / "never"), tmp_path / "never")[0]
    assert len(record.history) == 6 and not record.stopped_early


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), max_size=12), st.integers(0, 5))
def test_when_it_ends_if_nothing_gets_better_is_known_before(
    scores: list[float], patience: int
) -> None:
    spec = TrainSpec(data=DataSpec(name="digits"), model="m", epochs=12, patience=patience)
    told, rows = [], [row(epoch, score) for epoch, score in enumerate(scores)]
    for count in range(1, len(rows) + 1):
        chosen = choose(spec, rows[:count])
        told.append(chosen.least)
        if chosen.ended:
            assert choose(spec, rows) == chosen, "what comes later is not looked at"
            rows = rows[:count]
            break
    assert told == sorted(told)
    expected = told[-1] if told else min(patience + 1 if patience else 12, 12)
    while not choose(spec, rows).ended:
        assert choose(spec, rows).least == expected
        rows.append(row(len(rows), 0.0))
    assert len(rows) == expected


def row(epoch: int, score: float) -> Epoch:
    same = {"lr": 0.0, "train_loss": 0.0, "val_loss": 0.0, "val_mpa": 0.0}
    return Epoch.model_validate(same | {"epoch": epoch, "val_accuracy": score})


def test_a_training_tells_what_its_best_is_worth_and_when_it_may_end(
    tiny: TrainSpec, tmp_path: Path
) -> None:
    spec = tiny.model_copy(update={"epochs": 6, "patience": 1, "lr": 1e-9})
    said: list[Progress] = []
    (tmp_path / "run").mkdir()
    (outcome,) = train(spec, tmp_path / "run", Place(tmp_path, report=said.append), tracks=(RAW,))
    steps = [each for each in said if each.phase.startswith("epoch")]
    epochs = len(outcome.record.history)
    each = steps[0].total // 6
    assert epochs < 6, "it stops early"
    assert [steps[0].least, steps[-1].least] == [2 * each, epochs * each]
    best = max(outcome.record.history[:-1], key=lambda row: row.val_accuracy)
    said_last = steps[-1].best, steps[-1].mpa, steps[-1].classes
    assert said_last == (best.val_accuracy, best.val_mpa, outcome.record.data.classes)


def test_evaluations_are_of_the_stored_checkpoint(tiny: TrainSpec, tmp_path: Path) -> None:
    """Predictions lie with the record, and accuracy and MPA are scikit-learn's."""
    folder = tmp_path / "run"
    record = result(trained(tiny, folder), folder)[0]
    for precision in ("fp32", "fp16"):
        spec = EvaluateSpec.model_validate(
            {"training": tiny, "split": "test", "precision": precision}
        )
        file = folder / record.unit / "best.safetensors"
        found = evaluate(spec, folder, Place(tmp_path), file, record.data.fingerprint).record
        kept = np.load(folder / found.unit / "predictions.npz")
        predicted = kept["logits"].argmax(1)
        assert found.images == len(kept["paths"]) == 20
        assert found.accuracy == pytest.approx(accuracy_score(kept["labels"], predicted))
        assert found.mpa == pytest.approx(balanced_accuracy_score(kept["labels"], predicted))
        assert found.environment.precision == precision


def test_metrics_equal_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 5, 40):
        labels, predicted = rng.integers(0, classes, (2, 300))
        assert metrics.accuracy(predicted, labels) == pytest.approx(
            accuracy_score(labels, predicted)
        )
        with np.errstate(all="ignore"):
            expected = balanced_accuracy_score(labels, predicted)
        assert metrics.mpa(predicted, labels) == pytest.approx(expected)


def test_normalize_is_by_channel(tiny: TrainSpec) -> None:
    images = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    found = Normalize(mean, std, torch.device("cpu"))(images)
    expected = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(
        std
    ).view(3, 1, 1)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_eval_batches_are_the_listings_order(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "val")
    loader = EvalLoader(cached, listed, "val", 32, 16)
    assert [len(labels) for _, labels in loader] == [16, 4]
    assert loader.labels.tolist() == [listed.labels[index] for index in listed.indices("val")]


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": "RandAugment", "optimizer": "sgd", "loss": "poly"},
        {"augment": "TrivialAugmentWide", "optimizer": "rmsprop", "loss": "focal"},
        {"augment": "AugMix", "mixing": "mixup", "class_balance": True},
        {"augment": False, "albumentations": ALBUMENTATIONS},
        {
            "mixing": "cutmix",
            "rdrop": True,
            "schedule": {"name": "StepLR", "arguments": {"step_size": 1}},
        },
    ],
)
def test_every_choice_trains_and_repeats(
    changes: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields} | {"epochs": 2}
    spec = TrainSpec.model_validate(plain | changes)
    assert spec.signature != tiny.signature
    first = result(trained(spec, tmp_path / "first"), tmp_path / "first")
    assert first == result(trained(spec, tmp_path / "again", workers=1), tmp_path / "again")
    assert first[0].history[-1].train_loss > 0


def test_torchs_schedules_by_name(tiny: TrainSpec) -> None:
    schedule = TorchSchedule(name="MultiStepLR", arguments={"milestones": [2, 4], "gamma": 0.1})
    spec = tiny.model_copy(update={"epochs": 6, "lr": 1.0, "schedule": schedule})
    assert learning_rates(spec) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    warm = spec.model_copy(update={"warmup": Warmup(ratio=0.5)})
    assert learning_rates(warm)[3:] == pytest.approx([1, 1, 0.1]), "it counts after the warm-up"
    wrong = TorchSchedule(name="StepLR", arguments={"stepsize": 2})
    with pytest.raises(UserError, match="schedule StepLR does not take its arguments"):
        learning_rates(spec.model_copy(update={"schedule": wrong}))


def test_albumentations_are_keyed_and_checked(tiny: TrainSpec) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields} | {"augment": None}
    spec = TrainSpec.model_validate(plain | {"albumentations": ALBUMENTATIONS})
    assert TrainSpec.model_validate_json(spec.model_dump_json()).signature == spec.signature
    augment = Custom(spec.albumentations, 32)
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    found = []
    for key in (0, 0, 1):
        with keyed(0, "augment", key):
            found.append(augment(image))
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], image)
    with pytest.raises(UserError, match="a crop's size and kind must stay"):
        Custom((Transform(name="Resize", arguments={"height": 8, "width": 8}),), 32)
    with pytest.raises(UserError, match="albumentations' Rotate: "):
        Custom((Transform(name="Rotate", arguments={"limit": "far"}),), 32)
    with pytest.raises(ValidationError, match="stand in place of 'augment'"):
        TrainSpec.model_validate(
            plain | {"augment": "AutoAugment", "albumentations": ALBUMENTATIONS}
        )
