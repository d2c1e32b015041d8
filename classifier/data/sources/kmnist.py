"""Kuzushiji-MNIST: 70,000 cursive Japanese characters, grey, 28 x 28 (Clanuwat et al. 2018)."""

from __future__ import annotations

from classifier.data.sources import Counts
from classifier.data.sources.idx import Idx, four_files

SOURCE = Idx(
    archive=four_files(
        data="kmnist",
        folder="KMNIST",
        url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        size="21 MB",
        hashes=(
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            ),
            (
                "e144d726b3acfaa3e44228e80efcd344",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            ),
            (
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            ),
            (
                "7320c461ea6c1c855c0b718fb2a4b134",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
        ),
    ),
    known=Counts(10, {"train": 60_000, "test": 10_000}),
    names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)
