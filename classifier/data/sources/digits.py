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
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

SIZES = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
"""Images of each digit, from 0 to 9."""

_NEEDED = "digits are in scikit-learn's package, which is not installed: pip install scikit-learn"


class Digits(Source):
    """`<digit>/<position in scikit-learn's arrays>` is an image's path."""

    def sizes(self) -> dict[str, int]:
        return {str(digit): images for digit, images in enumerate(SIZES)}

    def not_there(self, root: Path) -> UserError:
        return UserError(_NEEDED)

    def classes(self, root: Path) -> dict[str, list[str]]:
        classes: dict[str, list[str]] = {digit: [] for digit in self.sizes()}
        for position, label in enumerate(_load()[1]):
            classes[str(label)].append(f"{label}/{position:04d}")
        return classes

    def open(self, root: Path, path: str) -> Image:
        import numpy as np
        from PIL import Image

        levels = _load()[0][int(path.partition("/")[2])]  # 0 to 16
        return Image.fromarray(np.rint(levels * (255 / 16)).astype(np.uint8)).convert("RGB")

    def fingerprint(self, root: Path) -> str:
        return digest(_file())


@cache
def _file() -> Path:
    """scikit-learn's own, found without the second that importing scikit-learn takes. Raises
    UserError where it is not installed."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise UserError(_NEEDED)
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


@cache
def _load() -> tuple[NDArray[np.float64], list[int]]:
    """Images (N, 8, 8) and labels (N,), as scikit-learn's `load_digits` has them."""
    import numpy as np

    rows = np.loadtxt(_file(), delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int).tolist()


SOURCE = Digits()
