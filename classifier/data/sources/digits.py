"""The digits of scikit-learn: 1,797 grey images of 8 x 8 in its package, so without a download."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.basics.errors import UserError
from classifier.basics.files import digest
from classifier.data.sources import Source

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
"""Images of each digit, from 0 to 9."""


class Digits(Source):
    """`<digit>/<position in scikit-learn's arrays>` is an image's path."""

    def sizes(self) -> dict[str, int]:
        return {str(digit): images for digit, images in enumerate(SIZES)}

    def not_there(self, root: Path) -> UserError:
        return UserError(
            "digits are in scikit-learn's package, which is not installed: pip install scikit-learn"
        )

    def classes(self, root: Path) -> dict[str, list[str]]:
        classes: dict[str, list[str]] = {digit: [] for digit in self.sizes()}
        for position, label in enumerate(_load()[1]):
            classes[str(label)].append(f"{label}/{position:04d}")
        return classes

    def open(self, root: Path, path: str) -> Image:
        import numpy as np
        from PIL import Image

        levels = np.asarray(_load()[0][int(path.partition("/")[2])])  # 0 to 16
        return Image.fromarray(np.rint(levels * (255 / 16)).astype(np.uint8)).convert("RGB")

    def fingerprint(self, root: Path) -> str:
        # scikit-learn's file, without the second that importing scikit-learn takes.
        package = importlib.util.find_spec("sklearn")
        if package is None or package.origin is None:
            raise self.not_there(root)
        return digest(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz")


@cache
def _load() -> tuple[list[list[list[float]]], list[int]]:
    """Images (N, 8, 8) and labels (N,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, [int(label) for label in digits.target]


SOURCE = Digits()
