"""Stanford Cars: 16,185 photos of 196 models of cars. Its server is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, mat, unreadable
from classifier.data.sources.rows import Row
from classifier.data.split import Part

FOLDER = "stanford_cars"
LABELS: dict[Part, tuple[str, str]] = {
    "train": ("devkit/cars_train_annos.mat", "cars_train"),
    "test": ("cars_test_annos_withlabels.mat", "cars_test"),
}


class StanfordCars(Published):
    """Krause et al. 2013, "3D object representations for fine-grained categorization"."""

    def read(self, folder: Path) -> Iterator[Row]:
        (names,) = mat(folder / "devkit" / "cars_meta.mat", "class_names")
        for part, (file, images) in LABELS.items():
            (annotations,) = mat(folder / file, "annotations")
            try:
                said = [(str(one["fname"]), int(one["class"])) for one in annotations.ravel()]
                labelled = [(image, str(names[label - 1])) for image, label in said]
            except (IndexError, ValueError, TypeError) as error:
                raise unreadable(folder / file, error) from error
            for image, label in labelled:
                yield Row(f"{images}/{image}", label, part, None)


SOURCE = StanfordCars(
    path=FOLDER,
    archive=Archive(
        data="stanfordcars",
        files=(),
        size="1.9 GB",
        needs=(
            f"{FOLDER}/cars_train",
            f"{FOLDER}/cars_test",
            f"{FOLDER}/cars_test_annos_withlabels.mat",
            f"{FOLDER}/devkit",
        ),
        by_hand="Its server is gone, so it can't be fetched: put a copy with cars_train/, "
        f"cars_test/, devkit/ and cars_test_annos_withlabels.mat, as {FOLDER}, into",
    ),
    known=Counts(196, {"train": 8_144, "test": 8_041}),
)
