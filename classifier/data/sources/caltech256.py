"""Caltech 256: 30,607 photos of 256 kinds of things and of clutter; it is split here."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders

# Griffin et al. 2007, "Caltech-256 object category dataset".
SOURCE = ClassFolders(
    path="caltech256",
    archive=Archive(
        data="caltech256",
        files=(
            File(
                "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
                "67b4f42ca05d46448c6bb8ecd2220f6d",
                into="caltech256",
            ),
        ),
        size="1.2 GB",
        needs=("caltech256/256_ObjectCategories",),
    ),
    known=Counts(257, 30_607),
    inside=((None, "256_ObjectCategories"),),
)
