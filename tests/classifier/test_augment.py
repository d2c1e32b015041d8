"""Crops, flips, policies, erasing and how images are drawn: as torchvision and timm do it."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from timm.data import auto_augment
from timm.data.distributed_sampler import RepeatAugSampler
from torchvision import transforms
from torchvision.transforms import functional

from classifier.basics.place import Place
from classifier.basics.randomness import keyed
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.augment import RandomResized
from classifier.data.datasets import listing
from classifier.data.loader import Drawn, _Order
from classifier.data.sides import centre_side
from classifier.data.transforms import TrainImage, cropping, policy
from classifier.inference.predict import Options, predict
from classifier.job import evaluate, train
from classifier.models import checkpoint
from classifier.training.trainer import train_loader
from classifier.tricks.base import Beginning
from classifier.tricks.erasing import Eraser, Erasing
from tests.classifier.test_training import images_of

IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def spec_of(tiny: TrainSpec, **changes: Any) -> TrainSpec:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | changes)


def applied(made: TrainImage, key: int) -> NDArray[np.uint8]:
    with keyed(0, "augment", key):
        found: NDArray[np.uint8] = made(IMAGE).numpy()
    return found


def test_a_random_resized_crop_is_torchvisions_by_the_parameters_drawn() -> None:
    crop = RandomResized(scale=(0.1, 0.6), ratio=(0.5, 2.0))
    made, boxes = TrainImage(cropping(32, crop)), set()
    image = Image.fromarray(IMAGE)
    for key in range(20):
        with keyed(0, "augment", key):
            box = transforms.RandomResizedCrop.get_params(image, (0.1, 0.6), (0.5, 2.0))
        expected = functional.resized_crop(image, *box, [32, 32])
        assert np.array_equal(applied(made, key), np.asarray(expected))
        top, left, height, width = box
        assert 0.05 < height * width / (70 * 90) < 0.65 and 0.4 < width / height < 2.5
        boxes.add((top, left))
    assert len(boxes) > 15


def test_a_flip_is_torchvisions() -> None:
    flipped = 0
    for key in range(60):
        plain = applied(TrainImage(cropping(32, None)), key)
        found = applied(TrainImage(cropping(32, None), hflip=0.3), key)
        with keyed(0, "augment", key):
            cropping(32, None)(IMAGE)
            expected = transforms.RandomHorizontalFlip(0.3)(Image.fromarray(plain))
        assert np.array_equal(found, np.asarray(expected))
        flipped += not np.array_equal(found, plain)
    assert 8 <= flipped <= 30
    always = applied(TrainImage(cropping(32, None), hflip=1.0), 0)
    assert np.array_equal(always[:, ::-1], applied(TrainImage(cropping(32, None)), 0))


POLICIES: dict[str, tuple[Any, Any]] = {
    "RandAugment": (
        {"name": "RandAugment", "num_ops": 3, "magnitude": 14, "num_magnitude_bins": 20},
        transforms.RandAugment(3, 14, 20),
    ),
    "TrivialAugmentWide": (
        {"name": "TrivialAugmentWide", "num_magnitude_bins": 5},
        transforms.TrivialAugmentWide(5),
    ),
    "AutoAugment": (
        {"name": "AutoAugment", "policy": "cifar10"},
        transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
    ),
    "AugMix": (
        {"name": "AugMix", "severity": 7, "mixture_width": 2, "all_ops": False},
        transforms.AugMix(7, 2, all_ops=False),
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_torchvisions_with_its_arguments(name: str, tiny: TrainSpec) -> None:
    written, reference = POLICIES[name]
    spec = spec_of(tiny, augment=written)
    assert spec.signature != spec_of(tiny, augment=name).signature
    assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec
    made, plain = policy(spec.augment, 32), policy(name, 32)  # type: ignore[arg-type]
    assert made is not None and plain is not None
    differ = 0
    for key in range(20):
        found = []
        for each in (made, lambda image: np.asarray(reference(Image.fromarray(image))), plain):
            with keyed(0, "augment", key):
                found.append(each(IMAGE))
        assert np.array_equal(found[0], found[1])
        differ += not np.array_equal(found[0], found[2])
    assert differ > 5


def test_a_policy_at_its_defaults_is_its_name(tiny: TrainSpec) -> None:
    for name in POLICIES:
        by_name = spec_of(tiny, augment=name)
        assert spec_of(tiny, augment={"name": name}) == by_name
    written = {"name": "RandAugment", "magnitude": 9, "num_ops": 2}
    assert (
        spec_of(tiny, augment=written).signature == spec_of(tiny, augment="RandAugment").signature
    )
    assert spec_of(tiny, augment=False).augment is None


def test_timms_rand_augment_is_timms_and_keyed(tiny: TrainSpec) -> None:
    config = "rand-m7-mstd0.5-inc1"
    spec = spec_of(tiny, augment={"name": "timm", "policy": config})
    made = policy(spec.augment, 64)  # type: ignore[arg-type]
    assert made is not None
    hparams = {"translate_const": 28, "img_mean": (124, 116, 104)}
    reference = auto_augment.rand_augment_transform(config, hparams)
    seen = set()
    for key in range(12):
        before = random.getstate(), str(np.random.get_state())
        with keyed(0, "augment", key):
            found = made(IMAGE)
            seed = torch.initial_seed()
        after = random.getstate(), str(np.random.get_state())
        assert after == before
        np.random.seed(seed % 2**32)
        random.seed(seed)
        assert np.array_equal(found, np.asarray(reference(Image.fromarray(IMAGE))))
        seen.add(found.tobytes())
    assert len(seen) > 6


@pytest.mark.parametrize("value", ["mean", "noise"])
def test_erasing_is_torchvisions(value: Any) -> None:
    written = {"probability": 0.6, "scale": (0.1, 0.4), "ratio": (0.5, 2.0), "value": value}
    act = Eraser(Erasing.model_validate(written))
    images = torch.randn(16, 3, 24, 24, generator=torch.Generator().manual_seed(0)) + 10
    reference = transforms.RandomErasing(
        0.6, (0.1, 0.4), (0.5, 2.0), 0 if value == "mean" else "random"
    )
    with keyed(0, "step", 0):
        found, targets = act.batch(images.clone(), torch.arange(16))
    with keyed(0, "step", 0):
        expected = torch.stack([reference(image) for image in images])
    assert torch.equal(found, expected) and torch.equal(targets, torch.arange(16))
    erased = (found != images).any(dim=1).flatten(1).sum(dim=1) / 24**2
    assert 4 <= int((erased > 0).sum()) <= 14
    assert float(erased[erased > 0].min()) > 0.05 and float(erased.max()) < 0.45
    assert found.is_contiguous(memory_format=torch.channels_last)


def batches_of(
    labels: list[int], batch_size: int, drawn: Drawn, epoch: int = 0
) -> list[list[tuple[int, int, int]]]:
    order = _Order(3, labels, batch_size, drawn)
    order.epoch = epoch
    return list(order)


@settings(max_examples=40)
@given(images=st.integers(2, 80), batch_size=st.integers(2, 20), repeats=st.integers(1, 5))
def test_repeats_come_in_timms_order(images: int, batch_size: int, repeats: int) -> None:
    """timm's RASampler for one device on the same permutation, cut to an epoch's images; batches
    have the same members."""
    plain = [i for batch in batches_of([0] * images, images + 1, Drawn()) for _, i, _ in batch]
    sampler = RepeatAugSampler(plain, 1, 0, False, repeats, selected_round=0)
    expected = [plain[index] for index in sampler]
    assert len(expected) == images
    batches = batches_of([0] * images, batch_size, Drawn(repeats=repeats))
    found = [sorted(position for _, position, _ in batch) for batch in batches]
    wanted = [sorted(expected[i : i + batch_size]) for i in range(0, images, batch_size)]
    assert found == wanted[: len(found)]
    assert sum(map(len, found)) == images - (images % batch_size == 1)
    items = [item for batch in batches for item in batch]
    assert len(set(items)) == len(items), "each of an image's copies has a key of its own"
    for position, count in Counter(position for _, position, _ in items).items():
        assert {before for _, other, before in items if other == position} == set(range(count))


def test_mixup_seldom_mixes_an_image_with_itself() -> None:
    """It pairs neighbours, and repeats would be neighbours."""
    batches = batches_of([0] * 600, 60, Drawn(repeats=3))
    pairs = [(a[1], b[1]) for batch in batches for a, b in pairwise(batch)]
    assert sum(a == b for a, b in pairs) / len(pairs) < 0.1


def test_a_resumed_epoch_has_the_same_batches() -> None:
    labels = [0] * 30 + [1] * 6
    order = _Order(1, labels, 5, Drawn(balanced=True, repeats=2))
    order.epoch = 2
    whole = list(order)
    order.first = 3
    assert list(order) == whole[3:] and len(whole) == len(order)


def test_a_balanced_sampler_draws_each_class_alike() -> None:
    labels = [0] * 900 + [1] * 90 + [2] * 10
    drawn: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for epoch in range(20):
        for batch in batches_of(labels, 50, Drawn(balanced=True), epoch):
            drawn.update(labels[position] for _, position, _ in batch)
            images.update(position for _, position, _ in batch if labels[position] == 2)
    total = sum(drawn.values())
    assert total == 20 * 1000
    deviation = (total * (1 / 3) * (2 / 3)) ** 0.5
    for count in drawn.values():
        assert abs(count - total / 3) < 5 * deviation
    assert len(images) == 10 and max(images.values()) < 1.3 * min(images.values())


def test_an_image_drawn_again_is_augmented_anew(tiny: TrainSpec, tmp_path: Path) -> None:
    listed = listing(tiny.data, tmp_path)
    cached = images_of(tiny.data, tmp_path, listed, "train")

    def seen(spec: TrainSpec, workers: int = 0) -> list[bytes]:
        loader = train_loader(spec, cached, listed, workers)
        return [image.numpy().tobytes() for images, _ in loader.epoch(0) for image in images]

    plain, repeated = seen(tiny), seen(spec_of(tiny, repeats=3))
    assert len(plain) == len(repeated) == 60 and len(set(repeated)) > 50
    assert len(set(plain) & set(repeated)) >= 18, "the first copy is as it is without repeats"
    assert repeated == seen(spec_of(tiny, repeats=3), workers=2)


def test_a_centre_crop_of_a_share() -> None:
    for size, share, side in (
        (224, 0.875, 256),
        (224, 0.95, 235),
        (224, 224 / 232, 232),
        (32, 1, 32),
    ):
        assert centre_side(size, share) == side
    assert centre_side(32, None) == 32


def test_evaluation_has_its_own_size(tiny: TrainSpec, tmp_path: Path) -> None:
    """Its size and share are signed with the training, so with its evaluations, and are those of
    predictions with the checkpoint."""
    spec = spec_of(tiny, epochs=1, eval_size=40, eval_crop=0.8)
    assert len({spec.signature, tiny.signature, spec_of(tiny, eval_size=40).signature}) == 3
    evaluations = [EvaluateSpec.of(each, RAW, split="test") for each in (spec, tiny)]
    assert evaluations[0].signature != evaluations[1].signature
    assert (spec.eval_short_side(), spec.eval_short_side(tta=True)) == (50, 50)
    assert (tiny.eval_short_side(), tiny.eval_short_side(tta=True)) == (32, 35)
    (outcome,) = train(spec, tmp_path, Place(tmp_path))
    file = tmp_path / outcome.record.unit / "best.safetensors"
    meta = checkpoint.read_meta(file)
    assert (meta.image_size, meta.eval_crop) == (40, 0.8)
    contents = outcome.record.data.fingerprint
    for tta in (True, False):
        wanted = EvaluateSpec.of(spec, RAW, split="test", tta=tta)
        record = evaluate(wanted, tmp_path, Place(tmp_path), file, contents).record
    kept = np.load(tmp_path / record.unit / "predictions.npz")
    folder = tmp_path / "images"
    folder.mkdir()
    for name in kept["paths"][:4]:
        target = folder / f"{Path(str(name)).name}.png"
        spec.data.source.open(tmp_path, str(name)).save(target)
    found = predict(file, [folder], Options(device="cpu", precision="fp32", top_k=10))
    assert not found.failures and len(found.answers) == 4
    logits = {
        f"{Path(str(n)).name}.png": torch.tensor(v)
        for n, v in zip(kept["paths"], kept["logits"], strict=True)
    }
    for answer in found.answers:
        expected = logits[Path(answer.path).name].softmax(0).sort(descending=True).values
        assert torch.allclose(torch.tensor(answer.scores), expected, atol=1e-5)


def test_the_crops_cache_has_a_size_of_its_own(tiny: TrainSpec) -> None:
    sides = [
        spec_of(tiny, crop=crop).train_short_side
        for crop in (False, "random_resized", {"short_side": 50}, {"scale": [0.5, 1.0]})
    ]
    assert sides == [35, 64, 50, 64]


def test_signatures_are_unmoved_while_off(tiny: TrainSpec) -> None:
    off = {"crop": False, "hflip": 0.0, "sampler": False, "repeats": 1, "eval_size": False}
    assert spec_of(tiny, **off).signature == tiny.signature
    assert spec_of(tiny, **off).model_dump() == tiny.model_dump()
    on: list[dict[str, Any]] = [
        {"crop": "random_resized"},
        {"crop": {"scale": [0.5, 1.0]}},
        {"hflip": 0.5},
        {"sampler": "balanced"},
        {"repeats": 3},
        {"erasing": True},
        {"erasing": {"value": "noise"}},
    ]
    made = [spec_of(tiny, **each) for each in on]
    assert len({spec.signature for spec in [*made, tiny]}) == len(on) + 1
    for spec in made:
        assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": {"scale": [0.9, 0.1]}}, "a range from 0.9 to 0.1 is empty"),
        ({"crop": {"scale": [0.9, 1.1]}}, "'scale' is a share of the image"),
        ({"augment": {"name": "RandAugment", "magnitude": 31}}, "must be below the 31"),
        ({"augment": {"name": "timm", "policy": "rand-x"}}, "is no RandAugment of timm's"),
        ({"erasing": {"ratio": [3.0, 0.3]}}, "'ratio' from 3.0 to 0.3 is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(
    changes: dict[str, Any], message: str, tiny: TrainSpec
) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(tiny, **changes)


def test_erasing_is_before_mixing(tiny: TrainSpec) -> None:
    """As in both libraries: what is covered is mixed, too."""
    spec = spec_of(tiny, erasing=True, mixing="cutmix", sam=True)
    order = [trick.setting for trick in spec.tricks]
    assert order.index("erasing") < order.index("mixing")
    assert isinstance(Erasing().begin(Beginning(spec, None, torch.device("cpu"), 3, None)), Eraser)  # type: ignore[arg-type]
