"""Country211: 63,300 photos of 211 countries, with a split of its own."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders

# Radford et al. 2021, "Learning transferable visual models from natural language supervision".
SOURCE = ClassFolders(
    path="country211",
    archive=Archive(
        data="country211",
        files=(
            File(
                "https://openaipublic.azureedge.net/clip/data/country211.tgz",
                "84988d7644798601126c29e9877aab6a",
            ),
        ),
        size="11 GB",
        needs=("country211/train", "country211/valid", "country211/test"),
    ),
    known=Counts(211, {"train": 31_650, "val": 10_550, "test": 21_100}),
    inside=(("train", "train"), ("val", "valid"), ("test", "test")),
)
