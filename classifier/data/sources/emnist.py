"""EMNIST: handwritten characters as MNIST's, in one archive for all of its ways to be cut."""

from __future__ import annotations

import string

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.idx import Idx
from classifier.data.split import Part

ALL = string.digits + string.ascii_uppercase + string.ascii_lowercase
MERGED = "".join(character for character in ALL if character not in "cijklmopsuvwxyz")
"""Without the small letters that look like their capitals."""


def emnist(cut: str, train: int, test: int, names: str, first: int = 0) -> Idx:
    """One of its cuts, by its name in the files' names. Cohen et al. 2017."""
    prefixes: tuple[tuple[Part, str], ...] = (
        ("train", f"emnist-{cut}-train"),
        ("test", f"emnist-{cut}-test"),
    )
    kinds = ("images-idx3", "labels-idx1")
    return Idx(
        archive=Archive(
            data=f"emnist_{cut}",
            files=(
                File(
                    url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
                    md5="58c8d27c78d21e728a6bc7b3cc06412e",
                    sha256="fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
                    into="EMNIST/raw",
                    inner="gzip/*.gz",
                ),
            ),
            size="562 MB",
            needs=tuple(f"EMNIST/raw/{of}-{kind}-ubyte" for _, of in prefixes for kind in kinds),
        ),
        known=Counts(len(names), {"train": train, "test": test}),
        names=tuple(names),
        prefixes=prefixes,
        first=first,
    )
