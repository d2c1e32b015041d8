"""Imagenette with the short side at 320 pixels."""

from __future__ import annotations

from classifier.data.sources.imagenette import imagenette

SOURCE = imagenette(
    "imagenette_320",
    "imagenette2-320",
    "3df6f0d01a2c9592104656642f5e78a3",
    "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    "342 MB",
)
