"""Oxford 102 Flower: 8,189 photos of 102 kinds of flowers, with a split of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.published import Published, mat, unreadable
from classifier.data.sources.rows import Row
from classifier.data.split import Part

NAMES = (
    *("pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea"),
    *("english marigold", "tiger lily", "moon orchid", "bird of paradise", "monkshood"),
    *("globe thistle", "snapdragon", "colt's foot", "king protea", "spear thistle", "yellow iris"),
    *("globe-flower", "purple coneflower", "peruvian lily", "balloon flower"),
    *("giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger"),
    *("grape hyacinth", "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke"),
    *("sweet william", "carnation", "garden phlox", "love in the mist", "mexican aster"),
    *("alpine sea holly", "ruby-lipped cattleya", "cape flower", "great masterwort", "siam tulip"),
    *("lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia", "bolero deep blue"),
    *("wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia"),
    *("wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura"),
    *("geranium", "orange dahlia", "pink-yellow dahlia?", "cautleya spicata", "japanese anemone"),
    *("black-eyed susan", "silverbush", "californian poppy", "osteospermum", "spring crocus"),
    *("bearded iris", "windflower", "tree poppy", "gazania", "azalea", "water lily", "rose"),
    *("thorn apple", "morning glory", "passion flower", "lotus", "toad lily", "anthurium"),
    *("frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia"),
    *("cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove"),
    *("bougainvillea", "camellia", "mallow", "mexican petunia", "bromelia", "blanket flower"),
    *("trumpet creeper", "blackberry lily"),
)
"""By label, from 1 on."""
IDS: dict[str, Part] = {"trnid": "train", "valid": "val", "tstid": "test"}


class Flowers102(Published):
    """Nilsback and Zisserman 2008, "Automated flower classification over a large number of
    classes"."""

    def read(self, folder: Path) -> Iterator[Row]:
        (labels,) = mat(folder / "imagelabels.mat", "labels")
        for part, ids in zip(IDS.values(), mat(folder / "setid.mat", *IDS), strict=True):
            for number in ids.tolist():
                try:
                    label = NAMES[int(labels[number - 1]) - 1]
                except IndexError as error:
                    raise unreadable(folder / "imagelabels.mat", error) from error
                yield Row(f"jpg/image_{number:05d}.jpg", label, part, None)


_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
SOURCE = Flowers102(
    path="flowers-102",
    archive=Archive(
        data="flowers102",
        files=(
            File(
                url=f"{_URL}102flowers.tgz",
                md5="52808999861908f626f3c1f4e79d11fa",
                sha256="2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                into="flowers-102",
            ),
            File(
                url=f"{_URL}imagelabels.mat",
                md5="e0620be6f572b9609742df49c70aed4d",
                sha256="4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                into="flowers-102",
            ),
            File(
                url=f"{_URL}setid.mat",
                md5="a5357ecc9cb78c4bef273ce3793fc85c",
                sha256="46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
                into="flowers-102",
            ),
        ),
        size="345 MB",
        needs=("flowers-102/jpg", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
    ),
    known=Counts(102, {"train": 1_020, "val": 1_020, "test": 6_149}),
)
