"""Policies have torchvision's pixels on Pillow's images, to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode, autoaugment

from classifier.basics.randomness import keyed
from classifier.data import pillow, policies
from classifier.data.pillow import Pixel
from classifier.data.policies import OPERATIONS, differing, torchvisions
from classifier.data.transforms import policy

SIDES = st.integers(32, 300)
KINDS = ("noise", "smooth", "dull", "two values", "one value", "one bright pixel")


def image_of(kind: str, height: int, width: int, seed: int) -> Pixel:
    draws = np.random.default_rng(seed)
    noise = draws.integers(0, 256, (height, width, 3), np.uint8)
    one = np.broadcast_to(noise[0, 0], noise.shape)
    if kind == "smooth":
        small = Image.fromarray(noise[:8, :8]).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(small)
    if kind == "dull":
        dull: Pixel = noise // draws.integers(2, 30, dtype=np.uint8) + one // 2
        return dull
    if kind == "two values":
        is_first = noise[..., :1] < draws.integers(1, 255, dtype=np.uint8)
        two: Pixel = np.where(is_first, noise[0, 0], noise[0, 1])
        return two
    if kind == "one bright pixel":
        made: Pixel = one // 2
        made[height // 2, width // 3] = 255
        return made
    return one if kind == "one value" else noise


def theirs(image: Pixel, name: str, magnitude: float) -> Pixel:
    nearest = InterpolationMode.NEAREST
    made = autoaugment._apply_op(Image.fromarray(image), name, magnitude, nearest, None)
    return np.asarray(made)


def levels(limit: float) -> st.SearchStrategy[float]:
    """Up to a limit either way: as policies make them of a number of bins, and others."""
    bins = st.integers(2, 60).flatmap(
        lambda count: st.sampled_from(torch.linspace(0, limit, count).tolist())
    )
    either = st.one_of(bins, st.floats(0, limit))
    return st.tuples(either, st.sampled_from((1.0, -1.0))).map(lambda pair: pair[0] * pair[1])


ENHANCED = ("Brightness", "Color", "Contrast", "Sharpness")
MAGNITUDES: dict[str, st.SearchStrategy[float]] = {
    **dict.fromkeys(("ShearX", "ShearY"), st.one_of(levels(0.3), levels(0.99))),
    **dict.fromkeys(("TranslateX", "TranslateY"), st.one_of(levels(32.0), levels(400.0))),
    "Rotate": st.one_of(levels(30.0), levels(135.0), st.just(180.0), st.just(90.0)),
    **dict.fromkeys(ENHANCED, st.one_of(levels(0.9), levels(0.99), st.just(-1.0))),
    "Posterize": st.integers(1, 8).map(float),
    "Solarize": st.one_of(levels(255.0).map(abs), st.integers(0, 256).map(float)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=60)
@given(data=st.data(), kind=st.sampled_from(KINDS), height=SIDES, width=SIDES, seed=st.integers(0))
def test_an_operation_has_pillows_bytes(
    name: str, data: Any, kind: str, height: int, width: int, seed: int
) -> None:
    magnitude = data.draw(MAGNITUDES.get(name, st.just(0.0)))
    image = image_of(kind, height, width, seed).copy()
    before = image.copy()
    image.flags.writeable = False
    found = OPERATIONS[name](image, magnitude)
    assert found.dtype == np.uint8 and np.array_equal(found, theirs(image, name, magnitude))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", OPERATIONS)
def test_of_tiny_images_too(name: str) -> None:
    for height, width in ((1, 1), (1, 9), (2, 3), (3, 3), (28, 28)):
        image = image_of("noise", max(height, 8), max(width, 8), 0)[:height, :width].copy()
        for magnitude in policies.TRIED.get(name, (0.0,)):
            found = OPERATIONS[name](image, magnitude)
            assert np.array_equal(found, theirs(image, name, magnitude)), (height, width, magnitude)


def test_the_gray_of_every_colour_is_pillows() -> None:
    """16.8 million, those that lie between two levels of gray among them."""
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    for first in range(0, 256, 16):
        red = np.arange(first, first + 16, dtype=np.uint8)[:, None, None]
        bands = np.broadcast_arrays(red, green, blue)
        colours = np.stack(bands, axis=-1).reshape(1024, 1024, 3)
        wanted = np.asarray(Image.fromarray(colours).convert("L"))
        assert np.array_equal(pillow._gray(colours), wanted)


@settings(max_examples=60)
@given(magnitude=levels(0.99))
@example(magnitude=0.5)
@example(magnitude=-1.0)
@example(magnitude=0.0)
def test_two_images_are_mixed_as_by_pillow_whatever_their_bytes(magnitude: float) -> None:
    """All pairs of bytes, by vectors and by what is left over of them: 27 at the end, or fewer."""
    first, second = (each.astype(np.uint8) for each in np.indices((256, 256)))
    factor = 1.0 + magnitude
    wanted = np.asarray(Image.blend(Image.fromarray(first), Image.fromarray(second), factor))
    assert np.array_equal(pillow.blended(first, second, factor), wanted)
    for shift in range(3):
        part = np.s_[: 255 - shift, shift : shift + 37]
        one, other = np.ascontiguousarray(first[part]), np.ascontiguousarray(second[part])
        assert np.array_equal(pillow.blended(one, other, factor), wanted[part])


def test_most_factors_are_opencvs_and_some_pillows() -> None:
    factors = [
        1.0 + sign * level for level in torch.linspace(0, 0.9, 31).tolist() for sign in (1, -1)
    ]
    by_opencv = sum(pillow._offset(factor) is not None for factor in factors)
    assert len(factors) / 2 < by_opencv < len(factors)


MADE = [
    *map(transforms.AutoAugment, transforms.AutoAugmentPolicy),
    transforms.RandAugment(),
    transforms.RandAugment(3, 20, 24),
    transforms.TrivialAugmentWide(),
    transforms.TrivialAugmentWide(1000),
]


@pytest.mark.parametrize("made", MADE, ids=str)
def test_a_policy_is_torchvisions_for_images_of_any_size(made: Any) -> None:
    ours, changed = torchvisions(made), 0
    for index in range(150):
        with keyed(1, "image", index):
            height, width = torch.randint(32, 301, (2,)).tolist()
        image = image_of(KINDS[index % 2], height, width, index)
        with keyed(0, "augment", index):
            found, drawn = ours(image), torch.get_rng_state()
        with keyed(0, "augment", index):
            wanted = np.asarray(made(Image.fromarray(image)))
            assert torch.equal(drawn, torch.get_rng_state())
        assert np.array_equal(found, wanted), index
        changed += not np.array_equal(found, image)
    assert changed > 75


def test_an_equal_chance_is_drawn_as_by_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chances are float32, and so are compared the probabilities: 0.6 is a little more there."""
    made = transforms.AutoAugment()
    draws = policies._auto(made)
    for chance in (
        0.6,
        np.nextafter(np.float32(0.6), np.float32(0)),
        np.nextafter(np.float32(0.6), np.float32(1)),
    ):
        fixed = (1, torch.tensor([chance, chance], dtype=torch.float32), torch.ones(2))
        monkeypatch.setattr(made, "get_params", lambda _, fixed=fixed: fixed)
        both = [("Solarize", 255 - 255 / 9 * 5), ("AutoContrast", 0.0)]
        expected = both if bool(fixed[1][0] <= 0.6) else []
        assert [name for name, _ in draws(32, 32)] == [name for name, _ in expected]
        image = image_of("dull", 32, 32, 0)
        assert np.array_equal(np.asarray(made(Image.fromarray(image))), image) == (not expected)


@pytest.fixture
def tried_anew() -> Iterator[None]:
    policies._theirs.cache_clear()
    yield
    policies._theirs.cache_clear()


def test_what_another_pillow_does_otherwise_it_does_itself(
    tried_anew: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(image: Pixel, magnitude: float) -> Pixel:
        raise TypeError

    assert differing(OPERATIONS) == ()
    monkeypatch.setitem(OPERATIONS, "Solarize", lambda image, at: pillow.solarized(image, at + 1))
    monkeypatch.setitem(OPERATIONS, "Equalize", fails)
    assert differing(OPERATIONS) == ("Solarize", "Equalize")
    made = transforms.AutoAugment()
    ours = torchvisions(made)
    (line,) = capsys.readouterr().err.splitlines()
    assert "than are known here for Solarize, Equalize, and computes them itself" in line
    assert_alike(ours, made)


def test_what_another_torchvision_draws_otherwise_it_draws_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Other(transforms.RandAugment):  # type: ignore[misc]
        def forward(self, image: Any) -> Any:
            torch.rand(1)
            return super().forward(image)

    class Renamed(transforms.TrivialAugmentWide):  # type: ignore[misc]
        def _augmentation_space(self, bins: int, size: Any = None) -> Any:
            if size is None:
                raise TypeError
            return super()._augmentation_space(bins)

        def forward(self, image: Any) -> Any:
            return transforms.TrivialAugmentWide()(image)

    for kind in (Other, Renamed):
        ours = torchvisions(kind())
        (line,) = capsys.readouterr().err.splitlines()
        assert f"draws its {kind.__name__} in another way than is known here" in line
        assert_alike(ours, kind())


def assert_alike(ours: Any, made: Any) -> None:
    for index in range(40):
        image = image_of("noise", 40, 48, index)
        with keyed(0, "augment", index):
            found = ours(image)
        with keyed(0, "augment", index):
            assert np.array_equal(found, np.asarray(made(Image.fromarray(image))))


@pytest.mark.parametrize("name", ("AutoAugment", "RandAugment", "TrivialAugmentWide"))
def test_the_names_are_done_on_arrays(
    name: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = policy(name, 32)
    assert made is not None and not capsys.readouterr().err
    monkeypatch.setattr(getattr(transforms, name), "forward", None)
    for index in range(20):
        with keyed(0, "augment", index):
            made(image_of("noise", 32, 32, index))
