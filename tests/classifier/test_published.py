"""Published data sets by name: fetched from 127.0.0.1, equal to torchvision's image by image."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as reference
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import mnist as mnist_module

from classifier.basics.errors import UserError
from classifier.cli.main import main
from classifier.data import datasets, sources
from classifier.data.cache import pixels
from classifier.data.download import Archive, File, download
from classifier.data.prepare import prepare
from classifier.data.sources import Counts, cifar
from classifier.data.sources.arrays import Arrays
from classifier.data.sources.published import Published
from classifier.data.sources.rows import Rows
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS, cut_val, val_size
from tests.classifier import published
from tests.classifier.published import TINY, tiny
from tests.classifier.test_download import Server, left
from tests.classifier.test_download import server as server

Images = list[tuple[str, bytes]]
"""Class, and height, width and pixels of each image, in order of these."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[[str], Published | Arrays]:
    """Puts a few images of a set in its place, at an address of this test's server."""

    def replaced(name: str) -> Published | Arrays:
        source, served = tiny(name, server.url.rpartition("/")[0])
        server.contents |= served
        monkeypatch.setitem(sources.by_name(), name, source)
        return source

    return replaced


def packed(label: str, image: Image.Image) -> tuple[str, bytes]:
    levels = np.asarray(image.convert("RGB"))
    return label, bytes(repr(levels.shape), "ascii") + levels.tobytes()


def ours(source: Published | Arrays, root: Path, part: str | None) -> Images:
    seen = source.look(root)
    return sorted(
        packed(name, source.open(root, path))
        for name, paths in seen.classes.items()
        for path in paths
        if seen.parts.get(path) == part
    )


def theirs(dataset: Any, name_of: Callable[[int], str]) -> Images:
    return sorted(
        packed(name_of(label), image) for image, label in (dataset[i] for i in range(len(dataset)))
    )


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's classes take what lies there: the few images have other hashes."""
    for kind in (reference.CIFAR10, reference.STL10, reference.SVHN, reference.Flowers102):
        monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)


def _by_index(names: Any) -> Callable[[int], str]:
    return lambda label: str(names[label])


def _torchvisions(name: str, root: Path) -> dict[str | None, Images]:
    """By our name of the part, what torchvision reads of the same files."""
    match name:
        case "cifar10" | "cifar100":
            kind = {"cifar10": reference.CIFAR10, "cifar100": reference.CIFAR100}[name]
            sets = {part: kind(root, train=part == "train") for part in ("train", "test")}
            return {part: theirs(of, _by_index(of.classes)) for part, of in sets.items()}
        case "mnist" | "fashionmnist" | "kmnist":
            kinds = {"mnist": mnist_module.MNIST, "kmnist": mnist_module.KMNIST}
            kind = kinds.get(name, mnist_module.FashionMNIST)
            sets = {part: kind(root, train=part == "train") for part in ("train", "test")}
            digits = name == "mnist"
            return {
                part: theirs(of, str if digits else _by_index(of.classes))
                for part, of in sets.items()
            }
        case "emnist_letters":
            sets = {
                part: reference.EMNIST(root, "letters", train=part == "train")
                for part in ("train", "test")
            }
            return {part: theirs(of, _by_index(of.classes)) for part, of in sets.items()}
        case "svhn":
            return {
                part: theirs(reference.SVHN(root / "svhn", part), str) for part in ("train", "test")
            }
        case "stl10":
            sets = {part: reference.STL10(root, part) for part in ("train", "test")}
            return {part: theirs(of, _by_index(of.classes)) for part, of in sets.items()}
        case "oxfordiiitpet":
            of = {"train": "trainval", "test": "test"}
            pets = {part: reference.OxfordIIITPet(root, split) for part, split in of.items()}
            return {part: theirs(of, _by_index(of.classes)) for part, of in pets.items()}
        case "gtsrb":
            names = {"train": ["00000", "00007"], "test": {0: "00000", 7: "00007"}}
            # It numbers the folders of train, and takes the numbers of test as they are written.
            return {
                part: theirs(reference.GTSRB(root, part), _by_index(of))
                for part, of in names.items()
            }
        case "imagenette_160":
            of = {"train": "train", "test": "val"}
            read = {part: reference.Imagenette(root, split, "160px") for part, split in of.items()}
            return {
                part: theirs(of, _by_index([c[0] for c in of.classes])) for part, of in read.items()
            }
        case "country211":
            of = {"train": "train", "val": "valid", "test": "test"}
            read = {part: reference.Country211(root, split) for part, split in of.items()}
            return {part: theirs(of, _by_index(of.classes)) for part, of in read.items()}
        case "eurosat" | "sun397" | "caltech101" | "caltech256":
            kind = {
                "eurosat": reference.EuroSAT,
                "sun397": reference.SUN397,
                "caltech101": reference.Caltech101,
                "caltech256": reference.Caltech256,
            }[name]
            whole = kind(root)
            names = whole.categories if name.startswith("caltech") else whole.classes
            return {None: theirs(whole, _by_index(names))}
        case "food101":
            sets = {part: reference.Food101(root, part) for part in ("train", "test")}
            return {part: theirs(of, _by_index(of.classes)) for part, of in sets.items()}
        case _:
            kind = {
                "flowers102": reference.Flowers102,
                "dtd": reference.DTD,
                "renderedsst2": reference.RenderedSST2,
            }[name]
            sets = {part: kind(root, part) for part in ("train", "val", "test")}
            return {part: theirs(of, _by_index(of.classes)) for part, of in sets.items()}


@pytest.mark.parametrize("name", TINY)
def test_equal_to_torchvisions_image_by_image(
    name: str,
    known: Callable[[str], Published | Arrays],
    unchecked: None,
    root: Path,
) -> None:
    source = known(name)
    data = DataSpec(name=name)
    planned = datasets.counts(data, root)
    listed = prepare(data, root)
    if source.sizes() is None and isinstance(source.counts().images, int):
        assert planned is None, "only the images tell"
    elif source.sizes() is None:
        assert planned == (len(listed.classes), listed.counts()), "known before it was there"
    assert left(root) == [source.archive.folder]
    wanted = _torchvisions(name, root)
    assert sum(map(len, wanted.values())) == len(listed.paths) > 0
    for part, images in wanted.items():
        assert len(set(images)) == len(images), "told apart"
        assert ours(source, root, part) == images
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    said = source.look(root).parts
    for path, part in said.items():
        assert part_of[path] in ({part, "val"} if "val" not in said.values() else {part})
        assert (part == "test") == (part_of[path] == "test"), "its own test part is kept"


@pytest.mark.parametrize("name", ["cifar10", "food101"])
def test_the_cache_has_their_pixels(
    name: str, known: Callable[[str], Published | Arrays], root: Path
) -> None:
    source, data = known(name), DataSpec(name=name)
    listed = prepare(data, root)
    side = 32 if name == "cifar10" else 6
    kept = pixels(data, root, listed, "test", side, datasets.fingerprint(data, root))
    for position, index in enumerate(listed.indices("test")):
        image = source.open(root, listed.paths[index])
        assert np.array_equal(kept[position], np.asarray(image))
    again = DataSpec(name=name, on_bad_image="skip")
    assert datasets.listing(again, root) == listed


def test_stanford_cars_and_aircraft_are_put_there_by_hand(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"Its server is gone.*stanford_cars, into data"):
        prepare(DataSpec(name="stanfordcars"), Path("data"))
    cars = sources.by_name()["stanfordcars"]
    assert isinstance(cars, Published)
    few = replace(cars, known=Counts(2, {"train": 10, "test": 4}))
    monkeypatch.setitem(sources.by_name(), "stanfordcars", few)
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = np.array([["Audi TT", "BMW M3"]], object)
    (folder / "devkit" / "cars_meta.mat").write_bytes(published.mat(class_names=names))
    for part, images, file in (
        ("train", 10, "devkit/cars_train_annos.mat"),
        ("test", 4, "cars_test_annos_withlabels.mat"),
    ):
        kinds = [("bbox_x1", object), ("class", object), ("fname", object)]
        rows = np.array([[(1, i % 2 + 1, f"{i + 1:05d}.jpg") for i in range(images)]], kinds)
        (folder / file).write_bytes(published.mat(annotations=rows))
        (folder / f"cars_{part}").mkdir()
        for i in range(images):
            (folder / f"cars_{part}" / f"{i + 1:05d}.jpg").write_bytes(published.picture())
    listed = prepare(DataSpec(name="stanfordcars"), root)
    assert listed.counts() == {"train": 8, "val": 2, "test": 4}
    for part in ("train", "test"):
        dataset = reference.StanfordCars(root, part)
        assert ours(few, root, part) == theirs(dataset, _by_index(dataset.classes))

    with pytest.raises(UserError, match="No hash of its archive is published, so it is not"):
        prepare(DataSpec(name="fgvcaircraft"), root)
    aircraft = sources.by_name()["fgvcaircraft"]
    assert isinstance(aircraft, Published)
    few = replace(aircraft, known=Counts(2, {"train": 2, "val": 2, "test": 2}))
    monkeypatch.setitem(sources.by_name(), "fgvcaircraft", few)
    inside = root / "fgvc-aircraft-2013b" / "data"
    (inside / "images").mkdir(parents=True)
    (inside / "variants.txt").write_text("747-400\nF/A-18\n")
    for number, part in enumerate(("train", "val", "test")):
        lines = [f"{number}{of} {name}" for of, name in enumerate(("747-400", "F/A-18"))]
        (inside / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
        for of in range(2):
            (inside / "images" / f"{number}{of}.jpg").write_bytes(published.picture())
    assert prepare(DataSpec(name="fgvcaircraft"), root).counts() == dict.fromkeys(
        listed.counts(), 2
    )
    for part in ("train", "val", "test"):
        planes = reference.FGVCAircraft(root, part)
        assert ours(few, root, part) == theirs(planes, _by_index(planes.classes))


def test_what_is_known_is_torchvisions() -> None:
    """Addresses and MD5s, out of its source's text."""
    folder = Path(str(reference.__file__)).parent
    text = "".join(file.read_text() for file in sorted(folder.glob("*.py")))
    checked = 0
    for name, source in sources.by_name().items():
        if not isinstance(source, Published | Arrays):
            continue
        for file in source.archive.files:
            assert file.md5 in text, name
            assert file.name in text or file.name.removesuffix(".tgz") in text, name
            base = file.url.removesuffix(file.name)
            assert base in text or base.rstrip("/") in text or name in ("eurosat",), name
            checked += 1
    assert checked > 30
    assert sources.by_name()["cifar10"].names == (  # type: ignore[attr-defined]
        *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    )
    for name, kind in (("fashionmnist", reference.FashionMNIST), ("kmnist", reference.KMNIST)):
        assert list(sources.by_name()[name].names) == kind.classes  # type: ignore[attr-defined]
    for cut in ("balanced", "byclass", "bymerge", "letters", "digits"):
        names = set(sources.by_name()[f"emnist_{cut}"].names)  # type: ignore[attr-defined]
        assert names == {*reference.EMNIST.classes_split_dict[cut]} - {"N/A"}


def test_the_docs_have_every_set_as_it_is_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    said = {cells[0].strip("`"): cells[1:6] for cells in rows}
    known = {}
    for name, source in sources.by_name().items():
        if isinstance(source, Published | Arrays):
            images = source.known.images
            parts = (
                [f"{images:,}", "here", "here"]
                if isinstance(images, int)
                else [f"{images[part]:,}" if part in images else "cut" for part in PARTS]
            )
            known[name] = [str(source.known.classes), *parts, source.archive.size]
            sizes = source.sizes()
            assert sizes is None or sum(sizes.values()) == images, name
    assert said == known


def test_another_hash_is_refused_before_anything_looks_into_it(
    known: Callable[[str], Published | Arrays],
    server: Server,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = known("cifar10")
    whole = server.contents["cifar-10-python.tar.gz"]
    server.contents["cifar-10-python.tar.gz"] = whole + b"x"
    monkeypatch.setattr("tarfile.open", lambda *_, **__: pytest.fail("looked into"))
    with pytest.raises(UserError, match=r"has the MD5 .* instead of .*deleted"):
        prepare(DataSpec(name="cifar10"), root)
    assert left(root) == []
    one = source.archive.files[0]
    forged = replace(one, md5=hashlib.md5(whole + b"x").hexdigest())
    with pytest.raises(UserError, match=r"has the SHA-256 .* instead of"):
        download(replace(source.archive, files=(forged,)), root)
    assert left(root) == []


def test_a_pickle_with_another_hash_is_not_unpickled(
    known: Callable[[str], Published | Arrays], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may have been put there by hand: its files are hashed once more."""
    source = known("cifar10")
    source.fetch(root, lambda *_: None)
    monkeypatch.setattr(cifar, "_Unpickler", lambda *_, **__: pytest.fail("unpickled"))
    # What the few images have are not the true ones' hashes.
    with pytest.raises(UserError, match=r"data_batch_1 has the MD5 .*so it is not unpickled"):
        source.look(root)


@pytest.fixture(autouse=True)
def _hashes_of_the_few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR's files are checked one by one; those of the few images have their own hashes."""
    if request.node.name == "test_a_pickle_with_another_hash_is_not_unpickled":
        return
    true = cifar.unpickled
    monkeypatch.setattr(
        cifar, "unpickled", lambda file, _: true(file, hashlib.md5(file.read_bytes()).hexdigest())
    )


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch hacked",)


class Gadget:
    """A function of numpy's own that reads files."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return np.load, ("x.npy", None, True)


@pytest.mark.parametrize("value", [Evil(), {"data": Evil()}, Gadget(), [eval]])
def test_a_pickle_with_the_right_hash_runs_nothing(
    value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data_batch_1"
    file.write_bytes(pickle.dumps(value, 2))
    with pytest.raises(UserError, match=rf"{file} can't be read \(it asks for "):
        cifar.unpickled(file, hashlib.md5(file.read_bytes()).hexdigest())
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x80\x02.", pickle.dumps([1]), pickle.dumps({"data": "x" * 3072, "labels": [1]})],
)
def test_damaged_pickles(
    damage: bytes, known: Callable[[str], Published | Arrays], root: Path
) -> None:
    source = known("cifar10")
    source.fetch(root, lambda *_: None)
    (root / source.archive.folder / "data_batch_2").write_bytes(damage)
    with pytest.raises(UserError, match="data_batch_2 can't be read"):
        source.look(root)


@pytest.mark.parametrize(
    "name", ["../outside.txt", "2750/../../outside.txt", "/outside.txt", "..\\x"]
)
def test_a_zip_that_leads_outside_is_refused(name: str, server: Server, root: Path) -> None:
    content = published.zipped({"2750/Forest/a.jpg": b"x", name: b"evil"})
    server.contents["EuroSAT.zip"] = content
    source = sources.by_name()["eurosat"]
    assert isinstance(source, Published)
    url = server.url.rpartition("/")[0]
    archive = published.served_at(source.archive, server.contents, url)
    with pytest.raises(UserError, match=r"refused and deleted: .*leads outside"):
        download(archive, root)
    assert left(root) == []
    assert not any(root.parent.glob("outside*"))


def test_a_link_in_a_zip_is_refused(server: Server, root: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("2750")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    server.contents["x.zip"] = packed.getvalue()
    file = File(
        f"{server.url.rpartition('/')[0]}/x.zip", hashlib.md5(packed.getvalue()).hexdigest()
    )
    with pytest.raises(UserError, match="refused and deleted: 2750 is neither a file nor a folder"):
        download(Archive("x", (file,), "1 kB", ("2750/a",)), root)
    assert left(root) == []


def test_a_set_of_several_files_goes_on_where_it_was_cut(
    known: Callable[[str], Published | Arrays], server: Server, root: Path
) -> None:
    source = known("mnist")
    server.cut_at = 5_000
    with pytest.raises(UserError, match=r"cut after 5,000 of .*same command resumes"):
        prepare(DataSpec(name="mnist"), root)
    assert left(root) == ["mnist-train-images-idx3-ubyte.gz.part"]
    served = dict(server.contents)
    other = known("fashionmnist")  # whose files have the same names
    prepare(DataSpec(name="fashionmnist"), root)
    assert left(root) == ["FashionMNIST", "mnist-train-images-idx3-ubyte.gz.part"]
    before = len(server.asked)
    server.contents = served
    prepare(DataSpec(name="mnist"), root)
    assert server.asked[before:] == ["bytes=5000-", None, None, None]
    assert left(root) == ["FashionMNIST", "MNIST"]
    assert ours(source, root, "train") != ours(other, root, "train")


def test_what_is_not_whole_is_told(known: Callable[[str], Published | Arrays], root: Path) -> None:
    source = known("food101")
    assert isinstance(source, Published)
    source.fetch(root, lambda *_: None)
    more = replace(source, known=Counts(2, {"train": 11, "test": 4}))
    with pytest.raises(UserError, match=r"food-101 has 10 train images where food101 has 11"):
        more.look(root)
    with pytest.raises(UserError, match=r"food-101 has 2 classes where food101 has 3"):
        replace(source, known=Counts(3, {"train": 10, "test": 4})).look(root)
    (root / "food-101" / "meta" / "train.json").write_text('["x"]')
    with pytest.raises(UserError, match=r"train.json can't be read"):
        source.look(root)
    (root / "food-101" / "meta" / "train.json").unlink()
    with pytest.raises(UserError, match=r"train.json can't be read"):
        source.look(root)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("mnist", "raw/train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x09"),
        ("mnist", "raw/train-images-idx3-ubyte", b"\0\0\x0d\x03"),
        ("svhn", "train_32x32.mat", b"no mat"),
        ("svhn", "train_32x32.mat", published.mat(X=np.zeros((2, 2)), y=np.zeros(2))),
        ("stl10", "train_X.bin", b"123"),
        ("flowers102", "imagelabels.mat", published.mat(labels=np.array([[1, 2]], np.uint8))),
        ("flowers102", "setid.mat", published.mat(trnid=np.array([[1, 2]]))),
    ],
)
def test_damaged_files(
    name: str,
    file: str,
    content: bytes,
    known: Callable[[str], Published | Arrays],
    root: Path,
) -> None:
    source = known(name)
    source.fetch(root, lambda *_: None)
    (root / source.archive.folder / file).write_bytes(content)
    with pytest.raises(UserError, match=rf"{re.escape(file)} can't be read"):
        source.look(root)


def test_labels_that_are_none(known: Callable[[str], Published | Arrays], root: Path) -> None:
    source = known("mnist")
    source.fetch(root, lambda *_: None)
    labels = root / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(UserError, match="labels in train that are none of its classes"):
        source.look(root)
    labels.write_bytes(published.idx(np.zeros(49, np.uint8)))
    with pytest.raises(UserError, match="has 50 images and 49 labels in train"):
        source.look(root)


def test_an_image_that_changes_changes_the_fingerprint(
    known: Callable[[str], Published | Arrays], root: Path
) -> None:
    for name, file in (("mnist", "raw/t10k-images-idx3-ubyte"), ("dtd", "dtd/labels/val1.txt")):
        source = known(name)
        source.fetch(root, lambda *_: None)
        before = source.fingerprint(root)
        there = root / source.archive.folder / file
        content = there.read_bytes()
        there.write_bytes(
            content[:-1] + bytes([content[-1] ^ 1])
            if name == "mnist"
            else content.replace(b"banded/banded_val1.jpg", b"banded/banded_test1.jpg")
        )
        assert source.fingerprint(root) != before


def test_images_in_train_and_in_test_are_found_in_arrays(
    known: Callable[[str], Published | Arrays], root: Path
) -> None:
    source = known("mnist")
    source.fetch(root, lambda *_: None)
    raw = root / "MNIST" / "raw"
    test = raw / "t10k-images-idx3-ubyte"
    image = (raw / "train-images-idx3-ubyte").read_bytes()[16 + 784 * 7 : 16 + 784 * 8]
    test.write_bytes(test.read_bytes()[:16] + image + test.read_bytes()[16 + 784 :])
    data = DataSpec(name="mnist")
    assert datasets.shared(data, root, datasets.listing(data, root)) == [
        ("test/000000", "train/000007")
    ]


def test_a_track_of_frames_is_not_torn(
    known: Callable[[str], Published | Arrays], root: Path
) -> None:
    known("gtsrb")
    for seed in range(5):
        listed = prepare(DataSpec(name="gtsrb", split_seed=seed), root)
        assert listed.counts() == {"train": 16, "val": 4, "test": 4}
        assert listed.groups == 10
        of: dict[str, set[str]] = {}
        for path, part in zip(listed.paths, listed.parts, strict=True):
            of.setdefault(path.rpartition("_")[0], set()).add(part)
        assert {len(parts) for track, parts in of.items() if "Training" in track} == {1}


def test_another_split_seed_cuts_another_val(
    known: Callable[[str], Published | Arrays], root: Path
) -> None:
    known("cifar10")
    one, other = (prepare(DataSpec(name="cifar10", split_seed=seed), root) for seed in (0, 1))
    assert one.counts() == other.counts() == {"train": 80, "val": 20, "test": 20}
    tests = [
        [p for p, of in zip(x.paths, x.parts, strict=True) if of == "test"] for x in (one, other)
    ]
    assert tests[0] == tests[1] == [f"test/{i:06d}" for i in range(20)]
    vals = [{x.paths[i] for i in x.indices("val")} for x in (one, other)]
    assert vals[0] != vals[1]
    labels = [one.labels[i] for i in one.indices("val")]
    assert {labels.count(label) for label in range(10)} == {2}, "of each class alike"


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(2, 40), min_size=1),
    st.integers(0, 9),
)
def test_val_is_a_fifth_of_train_and_of_each_class(sizes: dict[str, int], seed: int) -> None:
    classes = {name: [f"{name}/{i}" for i in range(size)] for name, size in sizes.items()}
    val = cut_val(classes, {}, seed)
    assert len(val) == val_size(sum(sizes.values())) == sum(sizes.values()) // 5
    for name, paths in classes.items():
        held = len(val & set(paths))
        assert abs(held - Fraction(sizes[name], 5)) < 1, "its quota, rounded up or down"
        assert held < sizes[name]
    assert val == cut_val({name: paths[::-1] for name, paths in classes.items()}, {}, seed)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=10, max_size=80))
def test_groups_are_cut_whole(images: list[tuple[int, int]]) -> None:
    classes: dict[str, list[str]] = {}
    groups: dict[str, str] = {}
    for number, (label, group) in enumerate(images):
        path = f"{number}"
        classes.setdefault(str(label), []).append(path)
        groups[path] = str(group)
    val = cut_val(classes, groups, 0)
    held = {groups[path] for path in val}
    assert {path for path, group in groups.items() if group in held} == val
    assert len(held) <= val_size(len(set(groups.values())))


def test_as_other_data_the_test_part_is_looked_at(
    known: Callable[[str], Published | Arrays], root: Path
) -> None:
    known("mnist")
    known("svhn")
    classes = prepare(DataSpec(name="svhn"), root).classes
    other = DataSpec(name="mnist")
    assert datasets.count_other(other, root) == 20, "known before it was there"
    other.source.fetch(root, lambda *_: None)
    listed = datasets.other(other, root, classes)
    assert listed.paths == tuple(f"test/{i:06d}" for i in range(20))
    assert datasets.count_other(other, root) == 20
    assert other.as_test == "test of mnist"


def test_the_command_line_keeps_its_test_part_too(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--model_name", "mobilenetv2", "--save_path", "run", "--data", "cifar10"]
    assert main([*command, "--split", "strict"]) == 2
    said = "error: --split: cifar10 has a test part of its own, which is kept: leave out 'split'\n"
    assert capsys.readouterr().err == said


def test_rows_are_looked_up_by_torchvisions_folder(root: Path) -> None:
    """What lies in a folder of torchvision's is not fetched again."""
    for name, source in sources.by_name().items():
        if isinstance(source, Rows) and isinstance(source, Published):
            for needed in source.archive.needs:
                (root / needed).mkdir(parents=True, exist_ok=True)
            assert source.is_there(root), name
            source.fetch(root, lambda *_: pytest.fail("fetched"))
