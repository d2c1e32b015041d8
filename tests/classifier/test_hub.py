"""A data set of the Hugging Face Hub, from a folder that the library itself saved: no network."""

from __future__ import annotations

import io
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import datasets as hugging
import numpy as np
import pytest
from PIL import Image

from classifier.basics.errors import UserError
from classifier.config.spec import TrainSpec
from classifier.data import datasets
from classifier.data.cache import pixels
from classifier.data.prepare import prepare
from classifier.data.sources.hub import Hub, HubDataset
from classifier.data.spec import DataSpec
from tests.classifier.published import picture

NAMES = ["angular leaf spot", "bean/rust", "healthy"]
BEANS = DataSpec.model_validate({"hf": "AI-Lab/beans"})


def a_split(
    images: int, labels: list[int] | None = None, **columns: tuple[Any, Any]
) -> hugging.Dataset:
    """Photos, with their labels under the names that beans has."""
    given = labels or [index % 3 for index in range(images)]
    held: dict[str, Any] = {
        "image_file_path": ["x"] * images,
        "image": [{"bytes": picture(), "path": None} for _ in range(images)],
        "labels": given,
    }
    features = {
        "image_file_path": hugging.Value("string"),
        "image": hugging.Image(),
        "labels": hugging.ClassLabel(names=NAMES),
    }
    for name, (feature, values) in columns.items():
        held[name], features[name] = values, feature
    return hugging.Dataset.from_dict(held, features=hugging.Features(features))


def saved(root: Path, place: str = "AI-Lab/beans", **splits: hugging.Dataset) -> None:
    hugging.DatasetDict(splits).save_to_disk(str(root / "hf" / place))


@pytest.fixture
def beans(root: Path) -> hugging.DatasetDict:
    made = {"train": a_split(30), "validation": a_split(6), "test": a_split(9)}
    saved(root, **made)
    return hugging.DatasetDict.load_from_disk(str(root / "hf" / "AI-Lab" / "beans"))


def test_equal_to_the_librarys_image_by_image(beans: hugging.DatasetDict, root: Path) -> None:
    assert datasets.counts(BEANS, root) is None, "not there yet"
    listed = prepare(BEANS, root)
    assert datasets.counts(BEANS, root) == (3, {"train": 30, "val": 6, "test": 9})
    assert listed.classes == tuple(sorted(NAMES))
    names = {"train": "train", "validation": "val", "test": "test"}
    for split, part in names.items():
        indices = listed.indices(part)  # type: ignore[arg-type]
        assert len(indices) == len(beans[split])
        for index, row in zip(indices, beans[split], strict=True):
            image = BEANS.source.open(root, listed.paths[index])
            assert np.array_equal(np.asarray(image), np.asarray(row["image"].convert("RGB")))
            assert listed.classes[listed.labels[index]] == NAMES[row["labels"]]
    assert {Path(path).suffix for path in listed.paths} == {".jpeg"}
    kept = pixels(BEANS, root, listed, "val", 6, datasets.fingerprint(BEANS, root))
    assert len(kept) == 6


def test_it_is_laid_out_once(
    beans: hugging.DatasetDict, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(BEANS, root)
    contents = BEANS.source.fingerprint(root)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "datasets", None)  # neither plans nor trainings import it
        again = prepare(BEANS, root)
        assert BEANS.source.fingerprint(root) == contents
    assert sorted(path.name for path in (root / "hf" / "AI-Lab").iterdir()) == [
        "beans",
        BEANS.source.folder(root).name,  # type: ignore[union-attr]
    ]
    saved(root, train=a_split(12), test=a_split(3))  # others in their place
    changed = prepare(BEANS, root)
    assert BEANS.source.fingerprint(root) != contents
    assert len(changed.paths) == 15 != len(again.paths)


def test_what_there_is_to_get_is_known_before(beans: hugging.DatasetDict, root: Path) -> None:
    source = Hub.named(HubDataset(name="AI-Lab/beans"))
    assert (
        source.to_get(root)
        == f"its images are taken from {root}/hf/AI-Lab/beans when its matrix runs"
    )
    source.fetch(root, lambda phase, done, total: None)
    assert source.to_get(root) == ""
    assert "fetched from the Hugging Face Hub" in Hub.named(HubDataset(name="a/b")).to_get(root)


def test_val_is_cut_from_train_where_there_is_none(root: Path) -> None:
    saved(root, train=a_split(30), test=a_split(9))
    listed = prepare(BEANS, root)
    assert listed.counts() == {"train": 24, "val": 6, "test": 9}


def test_one_part_alone_is_split_here(root: Path) -> None:
    a_split(30).save_to_disk(str(root / "hf" / "AI-Lab" / "beans"))
    with pytest.raises(UserError, match=r"gives its images no parts.*write 'split: strict'"):
        prepare(BEANS, root)
    strict = DataSpec.model_validate({"hf": "AI-Lab/beans", "split": "strict"})
    assert prepare(strict, root).counts() == {"train": 18, "val": 6, "test": 6}
    shutil.rmtree(root / "hf" / "AI-Lab" / "beans")
    saved(root, train=a_split(30), test=a_split(9))
    with pytest.raises(UserError, match="gives its images parts: leave out 'split'"):
        prepare(strict, root)


def test_a_test_part_without_labels_is_left_out(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = {"train": a_split(30), "dev": a_split(6), "test": a_split(3, [-1, -1, -1])}
    saved(root, **splits, unsupervised=a_split(3))
    assert prepare(BEANS, root).counts() == {"train": 30, "val": 6, "test": 0}
    said = capsys.readouterr().err
    assert "AI-Lab/beans: left out, for it has no labels: test" in said
    assert "AI-Lab/beans: left out, for it is no part: unsupervised" in said


def test_of_two_splits_for_one_part_the_first_counts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(root, train=a_split(9), dev=a_split(3), validation=a_split(6))
    assert prepare(BEANS, root).counts() == {"train": 9, "val": 6, "test": 0}
    assert "AI-Lab/beans: left out, for validation is val: dev" in capsys.readouterr().err


def test_a_seed_that_would_draw_a_val_where_there_is_one(
    beans: hugging.DatasetDict, root: Path
) -> None:
    seeded = BEANS.model_copy(update={"split_seed": 1})
    with pytest.raises(UserError, match="'split_seed' would draw a val, and it has its own"):
        prepare(seeded, root)
    shutil.rmtree(root / "hf")
    saved(root, train=a_split(30), test=a_split(9))
    one, other = (prepare(data, root) for data in (BEANS, seeded))
    assert one.parts != other.parts


def test_columns_are_found_by_their_type_or_named(root: Path) -> None:
    coarse = hugging.ClassLabel(names=["ill", "well"])
    of = (coarse, [index % 2 for index in range(12)])
    saved(root, train=a_split(12, coarse=of), test=a_split(12, coarse=of))
    with pytest.raises(UserError, match=r"2 columns of labels \(labels, coarse\); name it in hf"):
        prepare(BEANS, root)

    def named(**settings: str) -> DataSpec:
        return DataSpec.model_validate({"hf": {"name": "AI-Lab/beans", **settings}})

    assert prepare(named(label="coarse"), root).classes == ("ill", "well")
    assert prepare(named(label="labels", image="image"), root).classes == tuple(sorted(NAMES))
    with pytest.raises(UserError, match="no column 'corse' of labels; did you mean 'coarse'"):
        prepare(named(label="corse"), root)
    with pytest.raises(UserError, match="no column 'labels' of images"):
        prepare(named(label="labels", image="labels"), root)


def test_plain_labels_and_labels_that_are_lacking(root: Path) -> None:
    kinds = (hugging.Value("string"), ["cat", "dog"] * 6)
    split = a_split(12, label=kinds).remove_columns("labels")
    saved(root, train=split, test=split)
    assert prepare(BEANS, root).classes == ("cat", "dog")
    numbers = a_split(12, label=(hugging.Value("int64"), [-1, 1] * 6)).remove_columns("labels")
    saved(root, train=numbers, test=numbers)
    assert prepare(BEANS, root).classes == ("-1", "1"), "numbers, of which -1 is one"
    saved(root, train=a_split(12), test=a_split(3, [0, -1, 1]))
    with pytest.raises(UserError, match="1 image of test of AI-Lab/beans have no 'labels'"):
        prepare(BEANS, root)
    saved(root, all=a_split(12))
    with pytest.raises(UserError, match="has no split 'train'; it has all"):
        prepare(BEANS, root)
    saved(root, train=a_split(12).remove_columns("labels"))
    with pytest.raises(UserError, match=r"no column of labels \(image_file_path, image\)"):
        prepare(BEANS, root)


def test_images_of_any_format_keep_their_bytes(root: Path) -> None:
    split = a_split(12)
    files = [picture(form) for form in ("png", "webp", "bmp", "jpeg") * 3]
    image = {"image": [{"bytes": content, "path": None} for content in files]}
    features = hugging.Features({"image": hugging.Image()})
    replaced = hugging.Dataset.from_dict(image, features=features)
    split = hugging.concatenate_datasets([split.remove_columns("image"), replaced], axis=1)
    saved(root, train=split, test=a_split(3))
    listed = prepare(BEANS, root)
    folder = BEANS.source.folder(root)
    assert folder is not None
    train = sorted(path for path in listed.paths if path.startswith("train"))
    assert [(folder / path).read_bytes() for path in train] == files
    assert {Path(path).suffix for path in train} == {".png", ".webp", ".bmp", ".jpeg"}


def test_an_image_that_is_none_is_told_as_of_any_folder(root: Path) -> None:
    bad = {"bytes": b"no image", "path": None}
    split = a_split(12)
    held = {"image": [bad] * 12, "labels": split["labels"][:]}
    features = hugging.Features(
        {"image": hugging.Image(), "labels": hugging.ClassLabel(names=NAMES)}
    )
    saved(root, train=a_split(12), test=hugging.Dataset.from_dict(held, features=features))
    with pytest.raises(UserError, match="12 of 24 images can't be read"):
        prepare(BEANS, root)
    skipping = DataSpec.model_validate({"hf": "AI-Lab/beans", "on_bad_image": "skip"})
    with pytest.raises(UserError, match="test has no image"):
        prepare(skipping, root)


def test_without_the_library_or_a_network(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "datasets", None)
        with pytest.raises(UserError, match=r"pip install 'classifier-ablations\[hf\]'"):
            prepare(BEANS, root)

    tries = logging.getLogger("huggingface_hub.utils._http")

    def offline(*_: object, **__: object) -> None:
        tries.warning("Retrying in 8s [Retry 5/5].")
        raise ConnectionError("Couldn't reach 'AI-Lab/beans' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(hugging, "load_dataset", offline)
    where = root / "hf" / "AI-Lab" / "beans"
    with pytest.raises(
        UserError,
        match=rf"can't be fetched: Couldn't reach '\S+' on the Hub\. .* put that at {where}",
    ):
        prepare(BEANS, root)
    assert "Retrying" not in caplog.text, "it is told once"
    tries.warning("Retrying")
    assert "Retrying" in caplog.text, "and the library may speak elsewhere"
    assert not any(root.iterdir())
    where.mkdir(parents=True)
    with pytest.raises(UserError, match=rf"{where} can't be read"):
        prepare(BEANS, root)


def test_what_is_asked_of_the_hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def loaded(name: str, config: str | None, revision: str | None) -> hugging.DatasetDict:
        asked.append((name, config, revision))
        return hugging.DatasetDict({"train": a_split(12), "test": a_split(3)})

    monkeypatch.setattr(hugging, "load_dataset", loaded)
    of = {"name": "AI-Lab/beans", "config": "small", "revision": "1f3a"}
    data = DataSpec.model_validate({"hf": of})
    prepare(data, root)
    prepare(data, root)
    assert asked == [("AI-Lab/beans", "small", "1f3a")]
    (folder,) = (root / "hf" / "AI-Lab").iterdir()
    assert folder.name.startswith("beans--small@1f3a.images-")


def test_its_revision_is_signed() -> None:
    specs = [
        DataSpec.model_validate({"hf": of})
        for of in ("a/b", "a/c", {"name": "a/b", "revision": "v1"}, {"name": "a/b", "label": "x"})
    ]
    signed = [TrainSpec(data=data, model="mobilenetv2").signature for data in specs]
    assert len(set(signed)) == len(signed)
    assert specs[0].split == "given"
    assert (specs[0].title, specs[0].in_names) == ("a/b", "a--b")
    again = DataSpec.model_validate_json(specs[2].model_dump_json())
    assert again == specs[2]
    assert isinstance(again.source, Hub)


@pytest.mark.parametrize("name", ["a", "a/b/c", "../b", "a/..", "/a", "a/", "a b/c", "a/b\n"])
def test_names_that_lead_anywhere(name: str) -> None:
    with pytest.raises(ValueError, match="OWNER/NAME"):
        HubDataset(name=name)


def test_upright_as_the_library_shows_it(root: Path) -> None:
    file = io.BytesIO()
    tag = Image.Exif()
    tag[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (8, 6)).save(file, "jpeg", exif=tag)
    assert Image.open(io.BytesIO(file.getvalue())).size == (8, 6)
    split = a_split(12)
    column = [{"bytes": file.getvalue(), "path": "x.jpg"}] * 12
    held = {"image": column, "labels": split["labels"][:]}
    saved(
        root,
        train=hugging.Dataset.from_dict(
            held,
            features=hugging.Features(
                {"image": hugging.Image(), "labels": hugging.ClassLabel(names=NAMES)}
            ),
        ),
    )
    strict = DataSpec.model_validate({"hf": "AI-Lab/beans", "split": "strict"})
    listed = prepare(strict, root)
    assert strict.source.open(root, listed.paths[0]).size == (6, 8)
    assert listed.paths[0].endswith(".jpg")
