"""CIFAR-10: 60,000 photos of 32 x 32 pixels, 10 kinds of things."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.cifar import Batch, Cifar

FOLDER = "cifar-10-batches-py"
BATCHES: tuple[Batch, ...] = (
    ("train", "data_batch_1", "c99cafc152244af753f735de768cd75f"),
    ("train", "data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
    ("train", "data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
    ("train", "data_batch_4", "634d18415352ddfa80567beed471001a"),
    ("train", "data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ("test", "test_batch", "40351d587109b95175f43aff81a1287e"),
)

SOURCE = Cifar(
    archive=Archive(
        data="cifar10",
        files=(
            File(
                url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
                sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
        size="170 MB",
        needs=tuple(f"{FOLDER}/{name}" for _, name, _ in BATCHES),
    ),
    known=Counts(10, {"train": 50_000, "test": 10_000}),
    names=(
        *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"),
        "truck",
    ),
    batches=BATCHES,
    key="labels",
)
