"""Images that belong together stay together; and what is the same in two parts is found."""

from __future__ import annotations

import logging
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from classifier.basics.errors import UserError
from classifier.data import datasets, duplicates
from classifier.data.prepare import prepare
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, sizes, split, split_groups
from tests.classifier.test_datasets import make_images

CLASSES = st.dictionaries(st.sampled_from("abcd"), st.integers(7, 40), min_size=2, max_size=4).map(
    lambda of: {name: [f"{name}/{i}.png" for i in range(n)] for name, n in of.items()}
)


@given(CLASSES, st.integers(0, 5), st.sampled_from(["strict", "sequential"]))
def test_groups_of_one_image_split_as_images_do(
    classes: dict[str, list[str]], seed: int, rule: str
) -> None:
    assert split_groups(classes, {}, rule, seed) == split(classes, rule, seed)  # type: ignore[arg-type]


@given(CLASSES, st.integers(0, 5), st.integers(2, 4))
def test_a_group_is_in_one_part_and_parts_have_their_shares(
    classes: dict[str, list[str]], seed: int, size: int
) -> None:
    """Groups of one class: each part is at most half a group's images from its share."""
    groups = {p: f"{name}{i // size}" for name, ps in classes.items() for i, p in enumerate(ps)}
    try:
        parts = split_groups(classes, groups, "strict", seed)
    except UserError as error:
        assert re.search(r"has \d group\(s\), too few|(test|val) has no image", str(error))
        return
    assert set(parts) == set(groups)
    part_of: dict[str, str] = {}
    for path, part in parts.items():
        assert part_of.setdefault(groups[path], part) == part
    for paths in classes.values():
        share = sizes(len(paths), "strict")
        for part in ("val", "test"):
            got = sum(parts[path] == part for path in paths)
            assert abs(got - share[part]) <= size / 2 or got == 0


def test_groups_across_classes(root: Path) -> None:
    """A patient has images of both classes."""
    for patient in range(20):
        make_images(root / "birds", {"ill": 0, "well": 0})
        for label in ("ill", "well"):
            Image.new("RGB", (9, 9), (patient, 2, 3)).save(
                root / "birds" / label / f"p{patient:02}-{label}.png"
            )
    data = DataSpec(folder="birds", group=r"/(p\d+)-")
    listed = datasets.listing(data, root)
    part_of: dict[str, str] = {}
    for path, part in zip(listed.paths, listed.parts, strict=True):
        assert part_of.setdefault(path.split("/")[1][:3], part) == part
    assert listed.counts() == {"train": 24, "val": 8, "test": 8}
    assert datasets.counts(data, root) == (2, listed.counts())
    other = datasets.listing(data.model_copy(update={"split_seed": 1}), root)
    assert other.parts != listed.parts and other.counts() == listed.counts()


def test_a_path_without_a_group_is_named(root: Path) -> None:
    make_images(root / "birds", {"a": 5, "b": 5})
    with pytest.raises(UserError, match=r"group 'x' is in 0 of 10 paths; not in a/0.png: every"):
        datasets.listing(DataSpec(folder="birds", group="x"), root)
    with pytest.raises(
        UserError, match=r"too few images, or too large groups: (test|val) has no im"
    ):
        datasets.listing(DataSpec(folder="birds", group="^[ab]"), root)


def test_a_group_that_is_most_of_a_class_is_trained_on() -> None:
    """One patient has 60 of 100 images of each class: no part but train is that large."""
    classes = {name: [f"{name}/{i}" for i in range(100)] for name in "ab"}
    groups = {
        p: "x" if i < 60 else str(i // 4) for ps in classes.values() for i, p in enumerate(ps)
    }
    for seed in range(20):
        parts = split_groups(classes, groups, "strict", seed)
        assert parts["a/0"] == "train"
        for name in classes:
            held = Counter(part for path, part in parts.items() if path.startswith(name))
            assert held == {"train": 60, "val": 20, "test": 20}


def test_brackets_that_find_nothing_find_no_group(root: Path) -> None:
    make_images(root / "birds", {"a": 10, "b": 10})
    for index in range(5):
        file = root / "birds" / "a" / f"{index}.png"
        file.rename(file.with_name(f"p7_{index}.png"))
    for expression in (r"/(p\d+_)?\d", r"/(p?)", r"(x*)$"):
        with pytest.raises(UserError, match=r"every image needs a group"):
            datasets.listing(DataSpec(folder="birds", group=expression), root)


def with_copies(root: Path) -> None:
    """b/0.png to b/5.png are a's images."""
    make_images(root / "birds", {"a": 20, "b": 20})
    for index in range(6):
        file = f"{index}.png"
        shutil.copy(root / "birds" / "a" / file, root / "birds" / "b" / file)


def expected_shared(root: Path) -> set[tuple[str, ...]]:
    listed = datasets.listing(DataSpec(folder="birds"), root)
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    pairs = ((f"a/{i}.png", f"b/{i}.png") for i in range(6))
    return {pair for pair in pairs if part_of[pair[0]] != part_of[pair[1]]}


def test_equal_images_in_two_parts_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with_copies(root)
    expected = expected_shared(root)
    assert len(expected) > 1
    data = DataSpec(folder="birds")
    logging.getLogger("classifier").propagate = True
    listed = prepare(data, root)
    assert set(datasets.shared(data, root, listed)) == expected
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    named = [" = ".join(f"{p} ({part_of[p]})" for p in pair) for pair in sorted(expected)]
    said = f"birds has {len(expected)} sets of equal images in more than one part"
    assert f"{said}: {', '.join(named)}" in caplog.text
    with pytest.raises(UserError) as caught:
        prepare(DataSpec(folder="birds", duplicates="error"), root)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{said}; remove all but one of each, or set 'duplicates: together'")
    assert lines == [f"  {each}" for each in named]


def test_together_brings_them_into_one_part(root: Path) -> None:
    with_copies(root)
    data = DataSpec(folder="birds", duplicates="together")
    listed = prepare(data, root)
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    assert all(part_of[f"a/{i}.png"] == part_of[f"b/{i}.png"] for i in range(6))
    assert not datasets.shared(data, root, listed)
    before = datasets.fingerprint(data, root)
    assert before != datasets.fingerprint(DataSpec(folder="birds"), root)
    similar = data.model_copy(update={"similar": 0})
    assert datasets.fingerprint(similar, root) != before, "which images are alike counts"


def test_similar_images_are_found(root: Path) -> None:
    """Photos, a smaller copy of each, saved anew; and photos turned on their heads, which are
    others."""
    photos = [Image.fromarray(array) for array in load_sample_images().images]
    for label, photo in zip("ab", photos, strict=True):
        (root / "birds" / label).mkdir(parents=True)
        photo.save(root / "birds" / label / "photo.png")
        photo.resize((320, 214)).save(root / "birds" / label / "small.jpg", quality=80)
        photo.rotate(180).save(root / "birds" / label / "turned.png")
    source = DataSpec(folder="birds").source
    paths = [path for of in source.classes(root).values() for path in of]
    data = DataSpec(folder="birds", similar=4)
    hashes = source.hashes(root)
    folder = root / "birds"
    found = duplicates.alike(folder, hashes, 4, lambda path: source.open(root, path))
    assert found == [("a/photo.png", "a/small.jpg"), ("b/photo.png", "b/small.jpg")]
    assert len(paths) == 6 and data.similar == 4
    assert len(duplicates.alike(folder, hashes, 64, lambda path: source.open(root, path))) == 1


@given(
    st.dictionaries(st.sampled_from("pqrstuvw"), st.sampled_from("123")),
    st.lists(st.lists(st.sampled_from("pqrstuvw"), min_size=2, max_size=3, unique=True)),
)
def test_joined_groups_are_the_smallest_that_hold_both(
    groups: dict[str, str], sets: list[list[str]]
) -> None:
    joined = duplicates.joined(groups, sets)
    blocks = [{p for p, g in groups.items() if g == name} for name in set(groups.values())]
    blocks += [set(each) for each in sets]
    merged: list[set[str]] = []
    for block in blocks:
        touching = [other for other in merged if other & block]
        merged = [other for other in merged if not other & block]
        merged.append(block.union(*touching))
    assert {frozenset(p for p, g in joined.items() if g == name) for name in joined.values()} == {
        frozenset(block) for block in merged
    }


def test_every_part_has_an_image(root: Path) -> None:
    classes = {"a": ["a/0", "a/1"], "b": ["b/0", "b/1"]}
    groups = {"a/0": "x", "b/0": "x", "a/1": "y", "b/1": "y"}
    with pytest.raises(
        UserError, match=r"too few images, or too large groups: (test|val) has no image"
    ):
        split_groups(classes, groups, "strict", 0)
    assert set(PARTS) == {"train", "val", "test"}


def test_naming_duplicates_changes_no_signature() -> None:
    plain = DataSpec(folder="birds").signed()
    assert DataSpec(folder="birds", duplicates="error", similar=3).signed() == plain
    together = DataSpec(folder="birds", duplicates="together").signed()
    assert together != plain
    assert DataSpec(folder="birds", duplicates="together", similar=0).signed() != together


def test_near_pairs_are_those_of_a_count_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 7)
    draw = np.random.default_rng(3)
    bits = draw.choice([-1.0, 1.0], (30, duplicates.BITS))
    bits[10:] = bits[:20] * np.where(draw.random((20, duplicates.BITS)) < 0.05, -1, 1)
    near = {(int(i), int(j)) for i, j in duplicates._near(bits, 3)}
    differ = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(i, j) for i in range(30) for j in range(30) if differ[i, j] <= 3}
    assert {pair for pair in expected if pair[0] < pair[1]} <= near <= expected
    assert len(near) > 30, "some besides each with itself"
