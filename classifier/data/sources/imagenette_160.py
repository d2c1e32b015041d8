"""Imagenette with the short side at 160 pixels."""

from __future__ import annotations

from classifier.data.sources.imagenette import imagenette

SOURCE = imagenette(
    "imagenette_160",
    "imagenette2-160",
    "e793b78cc4c9e9a4ccc0c1155377a412",
    "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    "99 MB",
)
