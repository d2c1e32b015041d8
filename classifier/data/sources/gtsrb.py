"""GTSRB: 39,270 photos of 43 German traffic signs; train has 30 frames of each track."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import (
    Published,
    class_names,
    image_names,
    unreadable,
)
from classifier.data.sources.rows import Row

FRAMES = 30
"""Of a track, which is one sign that a car drove by. A track stays in one part."""


class Gtsrb(Published):
    """Stallkamp et al. 2012, "Man vs. computer: benchmarking machine learning algorithms for
    traffic sign recognition". Its training images are those of the first challenge, as in
    torchvision."""

    def read(self, folder: Path) -> Iterator[Row]:
        training = folder / "GTSRB" / "Training"
        for label in class_names(training):
            for name in image_names(training / label):
                track = f"{label}/{name.partition('_')[0]}"
                yield Row(f"GTSRB/Training/{label}/{name}", label, "train", track)
        file = folder / "GT-final_test.csv"
        try:
            with file.open(newline="") as opened:
                for row in csv.DictReader(opened, delimiter=";", skipinitialspace=True):
                    path = f"GTSRB/Final_Test/Images/{row['Filename']}"
                    yield Row(path, f"{int(row['ClassId']):05d}", "test", None)
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise unreadable(file, error) from error


_URL = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
SOURCE = Gtsrb(
    path="gtsrb",
    archive=Archive(
        data="gtsrb",
        files=(
            File(
                f"{_URL}GTSRB-Training_fixed.zip",
                "513f3c79a4c5141765e10e952eaa2478",
                into="gtsrb",
            ),
            File(
                f"{_URL}GTSRB_Final_Test_Images.zip",
                "c7e4e6327067d32654124b0fe9e82185",
                into="gtsrb",
            ),
            File(
                f"{_URL}GTSRB_Final_Test_GT.zip",
                "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
                into="gtsrb",
            ),
        ),
        size="276 MB",
        needs=("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv"),
    ),
    known=Counts(43, {"train": 26_640, "test": 12_630}, group=FRAMES),
)
