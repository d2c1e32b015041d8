"""EuroSAT: 27,000 satellite images of 64 x 64 pixels, 10 kinds of land; it is split here."""

from __future__ import annotations

from collections.abc import Mapping

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import ClassFolders

SIZES = {
    "AnnualCrop": 3_000,
    "Forest": 3_000,
    "HerbaceousVegetation": 3_000,
    "Highway": 2_500,
    "Industrial": 2_500,
    "Pasture": 2_000,
    "PermanentCrop": 2_500,
    "Residential": 3_000,
    "River": 2_500,
    "SeaLake": 3_000,
}


class EuroSat(ClassFolders):
    """Helber et al. 2019, "EuroSAT: a novel dataset and deep learning benchmark for land use and
    land cover classification"."""

    def sizes(self) -> Mapping[str, int]:
        return SIZES


SOURCE = EuroSat(
    path="eurosat",
    archive=Archive(
        data="eurosat",
        files=(
            File(
                url="https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                md5="c8fa014336c82ac7804f0398fcb19387",
                into="eurosat",
            ),
        ),
        size="94 MB",
        needs=("eurosat/2750",),
    ),
    known=Counts(10, 27_000),
    inside=((None, "2750"),),
)
