"""Caltech 101: 8,677 photos of 101 kinds of things, without its background; it is split here."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders

# Fei-Fei et al. 2004, "Learning generative visual models from few training examples".
SOURCE = ClassFolders(
    path="caltech101",
    archive=Archive(
        data="caltech101",
        files=(
            File(
                url="https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                md5="3138e1922a9193bfa496528edbbc45d0",
                sha256="331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
                into="caltech101",
                inner="caltech-101/101_ObjectCategories.tar.gz",
            ),
        ),
        size="137 MB",
        needs=("caltech101/101_ObjectCategories",),
    ),
    known=Counts(101, 8_677),
    inside=((None, "101_ObjectCategories"),),
    without=("BACKGROUND_Google",),
)
