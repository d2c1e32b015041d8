"""MNIST: 70,000 handwritten digits, grey, 28 x 28."""

from __future__ import annotations

from classifier.data.sources import Counts
from classifier.data.sources.idx import Idx, four_files

SOURCE = Idx(
    archive=four_files(
        data="mnist",
        folder="MNIST",
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        size="12 MB",
        hashes=(
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (
                "d53e105ee54ea40749a09fcbcd1e9432",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            (
                "9fb629c4189551a2d022fa330f9573f3",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (
                "ec29112dd5afa0611ce80d1b7f02629c",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    known=Counts(10, {"train": 60_000, "test": 10_000}),
    names=tuple("0123456789"),
)
