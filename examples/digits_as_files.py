"""The digits as people have images: files, labels in a CSV, and a shifted test set.

    python examples/digits_as_files.py [DATA_ROOT]

writes two folders, by default under data/:

digits-files    1,797 PNG files without classes, and labels.csv with the digit and the writer of
                each. 13 people wrote them, one after the other; who wrote which is not said, so a
                writer here is one of 13 blocks of neighbours.
digits-rotated  the test part of the digits (split strict, seed 0), turned by 20 degrees, on which
                a network that was trained on the others can be tried.

examples/labels.yaml and robustness.yaml are matrices that use them.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from classifier.data import datasets
from classifier.data.spec import DataSpec

WRITERS = 13
DEGREES = 20
DIGITS = DataSpec(name="digits")


def main(root: Path) -> None:
    listed = datasets.listing(DIGITS, root)
    files, rotated = root / "digits-files", root / "digits-rotated"
    (files / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for path, label, part in zip(listed.paths, listed.labels, listed.parts, strict=True):
        digit, position = listed.classes[label], path.rpartition("/")[2]
        image = DIGITS.source.open(root, path)
        image.save(files / "images" / f"{position}.png")
        rows.append((position, digit, f"writer {int(position) * WRITERS // len(listed.paths)}"))
        if part == "test":
            (rotated / digit).mkdir(parents=True, exist_ok=True)
            larger = image.resize((32, 32))
            larger.rotate(DEGREES).save(rotated / digit / f"{position}.png")
    with (files / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "digit", "writer"), *sorted(rows)])
    print(f"{files}: {len(rows):,} images; {rotated}: {listed.counts()['test']:,} images")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
