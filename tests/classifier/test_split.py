from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.sources.cub200 import class_sizes
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, Rule, shares_of, sizes, split

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
RULES: tuple[Rule, ...] = ("strict", "sequential")


@given(st.integers(0, 5000))
def test_strict_sizes_are_within_one_of_6_2_2(images: int) -> None:
    found = sizes(images, "strict")
    assert sum(found.values()) == images
    for part in PARTS:
        assert abs(found[part] - images * SHARES[part]) < 1


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (5, (3, 1, 1)),
        (6, (4, 1, 1)),
        (7, (4, 2, 1)),
        (8, (5, 2, 1)),
        (9, (5, 2, 2)),
        (60, (36, 12, 12)),
    ],
)
def test_strict_goes_by_largest_remainder(images: int, expected: tuple[int, ...]) -> None:
    """7: quotas 4.2, 1.4, 1.4, so val and test have the largest remainder, and val is first."""
    assert tuple(sizes(images, "strict")[part] for part in PARTS) == expected


@pytest.mark.parametrize(
    ("images", "val", "test", "strict", "sequential"),
    [
        (100, 0.29, 0.01, (70, 29, 1), (71, 28, 1)),  # 0.29 * 100 is 28.999... in floating point
        (10, 0.15, 0.25, (6, 2, 2), (7, 1, 2)),  # quotas 6, 1.5, 2.5: the tie is val's
        (10, 0.1, 0.1, (8, 1, 1), (9, 0, 1)),
        (7, 0.3, 0.3, (3, 2, 2), (4, 1, 2)),
        (1000, 0.001, 0.998, (1, 1, 998), (2, 0, 998)),
    ],
)
def test_other_shares(
    images: int, val: float, test: float, strict: tuple[int, ...], sequential: tuple[int, ...]
) -> None:
    shares = shares_of(val, test)
    assert tuple(sizes(images, "strict", shares).values()) == strict
    assert tuple(sizes(images, "sequential", shares).values()) == sequential


@given(st.integers(0, 5000), st.integers(1, 998), st.data())
def test_strict_sizes_are_within_one_of_any_shares(
    images: int, val: int, data: st.DataObject
) -> None:
    test = data.draw(st.integers(1, 999 - val))
    shares = shares_of(val / 1000, test / 1000)
    assert shares["val"] * 1000 == val, "from the decimal text, not the binary number"
    found = sizes(images, "strict", shares)
    assert sum(found.values()) == images
    assert all(abs(found[part] - images * shares[part]) < 1 for part in PARTS)


@pytest.mark.parametrize(
    ("val", "test", "message"),
    [
        (0.0, 0.2, "val_size is 0.0"),
        (0.2, 1.0, "test_size is 1.0"),
        (-0.1, 0.2, "val_size is -0.1"),
        (0.2, float("nan"), "test_size is nan"),
        (0.5, 0.5, "leave nothing for training"),
        (0.7, 0.4, "leave nothing for training"),
    ],
)
def test_impossible_shares_are_refused(val: float, test: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shares_of(val, test)


def test_sequential_gives_the_three_sizes_of_cub() -> None:
    classes = list(class_sizes().values())
    assert (len(classes), sum(classes)) == (200, 11_788)
    total: Counter[str] = Counter()
    for images in classes:
        total.update(sizes(images, "sequential"))
    assert [total[part] for part in PARTS] == [7684, 1781, 2323]


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(6, 40), min_size=1),
    st.sampled_from(RULES),
    st.integers(0, 3),
)
def test_a_split_is_disjoint_complete_and_stable(
    classes: dict[str, int], rule: Rule, seed: int
) -> None:
    listed = {name: [f"{name}/{i}.jpg" for i in range(count)] for name, count in classes.items()}
    parts = split(listed, rule, seed)
    assert set(parts) == {path for paths in listed.values() for path in paths}
    for name, paths in listed.items():
        assert Counter(parts[path] for path in paths) == Counter(sizes(classes[name], rule))
    backwards = {name: paths[::-1] for name, paths in reversed(listed.items())}
    assert split(backwards, rule, seed) == parts


def test_the_seed_and_nothing_else_moves_images() -> None:
    listed = {"a": [f"a/{i}" for i in range(50)]}
    assert split(listed, "strict", 0) != split(listed, "strict", 1)


def test_a_class_too_small_is_named() -> None:
    with pytest.raises(UserError, match="class 'rare' has 4 image"):
        split({"many": list("abcdefgh"), "rare": list("wxyz")}, "sequential", 0)
    with pytest.raises(UserError, match="class 'rare' has 3 image"):
        split({"rare": list("xyz")}, "strict", 0)


def test_what_mends_a_class_too_small_is_named() -> None:
    with pytest.raises(UserError, match=r"more classes\); add images, .* and set 'split: given'"):
        split({name: [f"{name}/0.jpg"] for name in map(str, range(1000))}, "strict", 0)
    with pytest.raises(UserError, match="add images"):
        split({"a": list("abc")}, "strict", 0, limit=2)  # no limit would do


@pytest.mark.parametrize("rule", RULES)
def test_the_limit_that_would_do_is_named_and_does(rule: Rule) -> None:
    listed = {"a": [f"a/{i}" for i in range(50)], "b": [f"b/{i}" for i in range(50)]}
    with pytest.raises(UserError, match="it keeps 2 of its 50") as caught:
        split(listed, rule, 0, limit=2)
    least = int(str(caught.value).partition("'limit' must be ")[2].split()[0])
    assert set(split(listed, rule, 0, limit=least).values()) == set(PARTS)
    with pytest.raises(UserError, match="'limit' must be"):
        split(listed, rule, 0, limit=least - 1)


def test_what_is_too_small_is_counted_as_an_error_too(root: Path) -> None:
    with pytest.raises(UserError, match="digits: class '0' has 3 image"):
        datasets.counts(DataSpec(name="digits", limit=3), root)


def test_limit_keeps_that_many_of_each_class() -> None:
    listed = {"a": [f"a/{i}" for i in range(50)], "b": [f"b/{i}" for i in range(7)]}
    parts = split(listed, "strict", 0, limit=10)
    assert Counter(path[0] for path in parts) == {"a": 10, "b": 7}


def test_counts_know_cub_and_digits_without_an_image(root: Path) -> None:
    cub = datasets.counts(DataSpec(name="cub200", split="sequential"), root)
    assert cub == (200, {"train": 7684, "val": 1781, "test": 2323})
    digits = DataSpec(name="digits")
    assert datasets.counts(digits, root) == (10, datasets.listing(digits, root).counts())
    few = DataSpec(name="digits", limit=10)
    assert datasets.counts(few, root) == (10, {"train": 60, "val": 20, "test": 20})
