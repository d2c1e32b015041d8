"""Rendered SST2: 9,613 pictures of sentences, positive or negative, with a split of its own."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders

# Radford et al. 2021, "Learning transferable visual models from natural language supervision".
SOURCE = ClassFolders(
    path="rendered-sst2",
    archive=Archive(
        data="renderedsst2",
        files=(
            File(
                "https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz",
                "2384d08e9dcfa4bd55b324e610496ee5",
            ),
        ),
        size="131 MB",
        needs=("rendered-sst2/train", "rendered-sst2/valid", "rendered-sst2/test"),
    ),
    known=Counts(2, {"train": 6_920, "val": 872, "test": 1_821}),
    inside=(("train", "train"), ("val", "valid"), ("test", "test")),
)
