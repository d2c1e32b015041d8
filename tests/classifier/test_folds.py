"""The folds of a cross-validation: each image once in test, classes in proportion, groups whole."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.data.split import (
    PARTS,
    Part,
    Rule,
    check_folds,
    fold_counts,
    in_order,
    rest_shares,
    sizes,
    split_folds,
)
from tests.classifier.test_datasets import make_images

RULES: tuple[Rule, ...] = ("strict", "sequential")
counts_of_classes = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.integers(14, 60), min_size=2, max_size=6
)
Classes = dict[str, list[str]]


def listed(counts: dict[str, int]) -> Classes:
    return {name: [f"{name}/{i}.jpg" for i in range(count)] for name, count in counts.items()}


def all_folds(
    classes: Classes,
    folds: int,
    groups: dict[str, str] | None = None,
    rule: Rule = "strict",
    seed: int = 0,
    limit: int | None = None,
) -> list[dict[str, Part]]:
    return [
        split_folds(classes, groups or {}, rule, seed, folds, fold, limit) for fold in range(folds)
    ]


def in_test(parts: dict[str, Part]) -> set[str]:
    return {path for path, part in parts.items() if part == "test"}


@given(counts_of_classes, st.sampled_from(RULES), st.integers(0, 3), st.integers(2, 7))
def test_each_image_is_once_in_test_and_each_fold_has_all(
    counts: dict[str, int], rule: Rule, seed: int, folds: int
) -> None:
    classes = listed(counts)
    every = {path for paths in classes.values() for path in paths}
    found = all_folds(classes, folds, rule=rule, seed=seed)
    assert all(set(parts) == every for parts in found)
    assert Counter(path for parts in found for path in in_test(parts)) == Counter(every)
    for fold, parts in enumerate(found):
        for paths in classes.values():
            of = Counter(parts[path] for path in paths)
            rest = sizes(len(paths) - of["test"], rule, rest_shares(rule))
            assert (of["train"], of["val"]) == (rest["train"], rest["val"])
        assert fold_counts(counts, rule, folds, fold) == Counter(parts.values())


@given(counts_of_classes, st.integers(0, 3), st.integers(2, 7))
def test_folds_are_as_even_as_those_of_scikit_learn(
    counts: dict[str, int], seed: int, folds: int
) -> None:
    """Of each class, and of all, test parts differ by one at most; which folds get the one more is
    another matter."""
    classes = listed(counts)
    found = [in_test(parts) for parts in all_folds(classes, folds, seed=seed)]
    labels = np.repeat(list(counts), list(counts.values()))
    theirs = [labels[test] for _, test in StratifiedKFold(folds).split(labels, labels)]
    assert sorted(map(len, found)) == sorted(map(len, theirs))
    for name, paths in classes.items():
        ours = sorted(len(test & set(paths)) for test in found)
        assert ours == sorted(int((test == name).sum()) for test in theirs)


@given(counts_of_classes, st.integers(2, 7))
def test_the_order_of_a_listing_does_not_matter(counts: dict[str, int], folds: int) -> None:
    classes = listed(counts)
    backwards = {name: paths[::-1] for name, paths in reversed(classes.items())}
    assert all_folds(classes, folds) == all_folds(backwards, folds)


@given(counts_of_classes, st.integers(2, 5))
def test_one_more_image_moves_few_others(counts: dict[str, int], folds: int) -> None:
    classes = listed(counts)
    more = classes | {"a": [*classes.get("a", listed({"a": 20})["a"]), "a/new.jpg"]}
    if "a" not in classes:
        classes["a"] = listed({"a": 20})["a"]
    before, after = all_folds(classes, folds), all_folds(more, folds)
    moved = {
        path
        for one, other in zip(before, after, strict=True)
        for path in in_test(one) ^ in_test(other)
    }
    for name, paths in classes.items():
        assert len(moved & set(paths)) <= 2 * folds, name


def test_the_split_seed_draws_other_folds_and_val_is_drawn_for_each() -> None:
    classes = listed({"a": 60, "b": 60})
    assert all_folds(classes, 3) != all_folds(classes, 3, seed=1)
    vals = [{p for p, part in of.items() if part == "val"} for of in all_folds(classes, 3)]
    assert len(set.union(*vals)) > len(vals[0]) + len(vals[1]) / 2, "not the same in all folds"


def test_five_strict_folds_have_the_shares_of_the_plain_split() -> None:
    assert rest_shares("strict") == {"train": 3 / 4, "val": 1 / 4, "test": 0}
    for parts in all_folds(listed({"a": 50, "b": 100}), 5):
        assert Counter(parts.values()) == {"train": 90, "val": 30, "test": 30}


groups_of_classes = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.lists(st.integers(1, 4), min_size=12, max_size=24),
    min_size=2,
    max_size=4,
)


def grouped(sizes_of: dict[str, list[int]], joins: int = 0) -> tuple[Classes, dict[str, str]]:
    """Images and their groups; the first groups of `joins` classes are one."""
    classes: Classes = {}
    groups = {}
    for number, (name, of) in enumerate(sizes_of.items()):
        for group, count in enumerate(of):
            paths = [f"{name}/{group}-{image}.jpg" for image in range(count)]
            classes.setdefault(name, []).extend(paths)
            of_all = group == 0 and number < joins
            groups.update(dict.fromkeys(paths, "joined" if of_all else f"{name}{group}"))
    return classes, groups


@given(groups_of_classes, st.integers(2, 4), st.sampled_from(RULES), st.integers(0, 4))
def test_groups_are_never_torn(
    sizes_of: dict[str, list[int]], folds: int, rule: Rule, joins: int
) -> None:
    classes, groups = grouped(sizes_of, joins)
    found = all_folds(classes, folds, groups=groups, rule=rule)
    every = [path for paths in classes.values() for path in paths]
    assert Counter(path for parts in found for path in in_test(parts)) == Counter(every)
    for parts in found:
        assert set(parts.values()) == set(PARTS)
        of_group: dict[str, set[Part]] = {}
        for path in every:
            of_group.setdefault(groups[path], set()).add(parts[path])
        assert all(len(of) == 1 for of in of_group.values())
    shuffled = {name: paths[::-1] for name, paths in reversed(classes.items())}
    backwards = dict(reversed(groups.items()))
    assert all_folds(shuffled, folds, groups=backwards, rule=rule) == found


@given(groups_of_classes, st.integers(2, 4))
def test_classes_of_groups_are_as_even_as_their_groups_allow(
    sizes_of: dict[str, list[int]], folds: int
) -> None:
    """The next group goes where the class has least, so folds differ by its largest at most."""
    classes, groups = grouped(sizes_of)
    found = all_folds(classes, folds, groups=groups)
    for name, paths in classes.items():
        of = [len(in_test(parts) & set(paths)) for parts in found]
        assert max(of) - min(of) <= max(sizes_of[name])


def test_groups_of_one_image_are_even() -> None:
    classes, groups = grouped({"a": [1] * 23, "b": [1] * 31})
    found = all_folds(classes, 5, groups=groups)
    assert sorted(len(in_test(parts)) for parts in found) == [10, 11, 11, 11, 11]
    assert all_folds(classes, 5, groups=groups, seed=1) != found


@pytest.mark.parametrize(
    ("count", "folds", "limit", "said"),
    [
        (4, 5, None, "class 'rare' has 4 image(s), too few for 5 folds"),
        (5, 2, None, "class 'rare' has 5 image(s), too few for 2 folds"),  # 2 of 5 left
        (40, 5, 4, "class 'a' has 4 image(s), for 'limit' keeps 4, too few for 5 folds"),
    ],
)
def test_a_class_too_small_is_named(count: int, folds: int, limit: int | None, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_folds({"a": 50, "rare": count}, "strict", folds, limit)
    assert str(caught.value).startswith(said)
    with pytest.raises(UserError, match="too few for"):
        all_folds(listed({"a": 50, "rare": count}), folds, limit=limit)


@given(st.integers(1, 40), st.integers(2, 8), st.sampled_from(RULES))
def test_what_is_not_too_small_has_an_image_in_each_part_of_each_fold(
    count: int, folds: int, rule: Rule
) -> None:
    try:
        check_folds({"a": count}, rule, folds)
    except UserError:
        return
    for parts in all_folds(listed({"a": count}), folds, rule=rule):
        assert set(parts.values()) == set(PARTS)


def test_too_few_groups_are_refused() -> None:
    classes, groups = grouped({"a": [9], "b": [9]})
    with pytest.raises(UserError, match="there are 2 group"):
        all_folds(classes, 3, groups=groups)
    classes, groups = grouped({"a": [3] * 9, "b": [9]})
    with pytest.raises(UserError, match=r"class 'b' has 0 group\(s\), too few to give train one"):
        all_folds(classes, 3, groups=groups)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limit", [None, 17])
def test_counts_know_the_folds_of_digits_without_an_image(
    rule: Rule, limit: int | None, root: Path
) -> None:
    whole = DataSpec(name="digits", split=rule, folds=4, limit=limit)
    found = []
    for data in whole.each_fold:
        parts = datasets.listing(data, root)
        assert datasets.counts(data, root) == (10, parts.counts())
        found.append(parts)
    images = len(found[0].paths)
    together = found[0].counts() | {"test": images}
    assert datasets.counts(whole, root) == (10, together)
    assert sum(parts.counts()["test"] for parts in found) == images


@pytest.mark.parametrize("keeps", [True, False])
def test_copies_stay_in_one_fold_where_they_are_to(keeps: bool, root: Path) -> None:
    make_images(root / "birds", {"owl": 24, "tit": 24})
    pairs = [(f"{n}/{i}.png", f"{n}/copy{i}.png") for n in ("owl", "tit") for i in range(6)]
    for one, other in pairs:
        shutil.copy(root / "birds" / one, root / "birds" / other)
    data = DataSpec(folder="birds", folds=3, duplicates="together" if keeps else "warn")
    of: dict[str, int] = {}
    for fold in data.each_fold:
        seen = datasets.listing(fold, root)
        assert datasets.counts(fold, root) == (2, seen.counts())
        of |= {seen.paths[index]: fold.fold or 0 for index in seen.indices("test")}
    assert tuple(sorted(of)) == datasets.listing(data, root).paths and len(of) == 60
    assert all(of[one] == of[other] for one, other in pairs) == keeps


def test_groups_named_by_the_paths_stay_in_one_fold(root: Path) -> None:
    make_images(root / "birds", {"owl": 24, "tit": 24})
    data = DataSpec(folder="birds", folds=3, group=r"(\d)\.png")
    of: dict[str, set[int]] = {}
    for fold in data.each_fold:
        seen = datasets.listing(fold, root)
        for index in seen.indices("test"):
            of.setdefault(seen.paths[index][-5], set()).add(fold.fold or 0)
    assert len(of) == 10 and all(len(folds) == 1 for folds in of.values())
    assert set.union(*of.values()) == {0, 1, 2}


def test_a_fold_is_signed_and_without_folds_nothing_changes() -> None:
    plain, whole = DataSpec(name="digits"), DataSpec(name="digits", folds=3)
    assert "folds" not in plain.signed() and "fold" not in plain.model_dump()
    signed = [fold.signed() for fold in whole.each_fold]
    assert [of["fold"] for of in signed] == [0, 1, 2] and all(of["folds"] == 3 for of in signed)
    assert [fold.whole for fold in whole.each_fold] == [whole] * 3
    assert plain.each_fold == (plain,) and plain.whole is plain


def test_in_order_is_by_the_seed_as_text_too() -> None:
    names = [f"{i}" for i in range(20)]
    assert in_order(names, 0) == in_order(names, "0") != in_order(names, "0/fold 1")
