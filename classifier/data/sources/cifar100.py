"""CIFAR-100: 60,000 photos of 32 x 32 pixels, 100 kinds of things (the fine labels)."""

from __future__ import annotations

from classifier.data.download import Archive, File
from classifier.data.sources import Counts
from classifier.data.sources.cifar import Batch, Cifar

FOLDER = "cifar-100-python"
BATCHES: tuple[Batch, ...] = (
    ("train", "train", "16019d7e3df5f24257cddd939b257f8d"),
    ("test", "test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
)
NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum
rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train
trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

SOURCE = Cifar(
    archive=Archive(
        data="cifar100",
        files=(
            File(
                url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                md5="eb9058c3a382ffc7106e4002c42a8d85",
                sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            ),
        ),
        size="169 MB",
        needs=tuple(f"{FOLDER}/{name}" for _, name, _ in BATCHES),
    ),
    known=Counts(100, {"train": 50_000, "test": 10_000}),
    names=tuple(NAMES.split()),
    batches=BATCHES,
    key="fine_labels",
)
