"""Batches of a part. The same batches whatever the number of workers."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from classifier.basics.errors import UserError
from classifier.basics.progress import OnCount
from classifier.basics.randomness import generator, keyed
from classifier.data import batches
from classifier.data.cache import pixels
from classifier.data.datasets import Listing
from classifier.data.pixels import Pixels, short_side
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.data.transforms import Policy, centre_crop, train_image

Batch = tuple[Tensor, Tensor]
"""uint8 images (N, H, W, 3) and int64 labels (N,), on the CPU."""


def part_pixels(
    data: DataSpec,
    root: Path,
    listed: Listing,
    part: Part,
    image_size: int,
    fingerprint: str,
    progress: OnCount,
) -> Pixels:
    """The cached images of a part at the size that its crop needs."""
    return pixels(data, root, listed, part, short_side(image_size, part), fingerprint, progress)


class _TrainImages(Dataset[tuple[Tensor, int]]):
    """Images by (epoch, position in the part); each item's randomness is its own key."""

    def __init__(
        self, images: Pixels, listed: Listing, size: int, augment: Policy | None, seed: int
    ) -> None:
        self._images, self._size, self._policy, self._seed = images, size, augment, seed
        self._indices = listed.indices("train")
        self.labels = [listed.labels[index] for index in self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, position = item
        with keyed(self._seed, "augment", epoch, self._indices[position]):
            image = train_image(self._images[position], self._size, self._policy)
        return image, self.labels[position]


class _Order(Sampler[list[tuple[int, int]]]):
    """An epoch's batches of (epoch, position), shuffled by (seed, epoch)."""

    def __init__(self, seed: int, images: int, batch_size: int) -> None:
        self._seed, self._images, self._batch_size = seed, images, batch_size
        self.epoch = 0
        self.first = 0
        """The step to begin with: those before it were done earlier."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        shuffled = torch.randperm(
            self._images, generator=generator(self._seed, "order", self.epoch)
        ).tolist()
        seen = shuffled[: batches.seen(self._images, self._batch_size)]
        for start in range(self.first * self._batch_size, len(seen), self._batch_size):
            batch = seen[start : start + self._batch_size]
            yield [(self.epoch, position) for position in batch]

    def __len__(self) -> int:
        return math.ceil(batches.seen(self._images, self._batch_size) / self._batch_size)


class TrainLoader:
    """The training part, by epochs. The last, smaller batch is kept unless it has one image, see
    `batches`."""

    def __init__(
        self,
        images: Pixels,
        listed: Listing,
        *,
        size: int,
        batch_size: int,
        augment: Policy | None = None,
        seed: int,
        workers: int = 0,
    ) -> None:
        """`size`: of the crops, in pixels."""
        if len(images) < 2:
            raise UserError("the training part has a single image; batch norm needs two at least")
        self._order = _Order(seed, len(images), batch_size)
        dataset = _TrainImages(images, listed, size, augment, seed)
        self.labels = torch.tensor(dataset.labels)
        self._loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            dataset,
            batch_sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Not the job's own fork server, which would import torch again for each training.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            pin_memory=torch.cuda.is_available(),
            # Its own, so that the workers' base seed is not drawn from the global generator.
            generator=generator(seed, "loader"),
        )

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from step `first` on."""
        self._order.epoch, self._order.first = epoch, first
        yield from self._loader


class EvalLoader:
    """A part for evaluation, in the listing's order, centre-cropped from the cache."""

    def __init__(
        self, images: Pixels, listed: Listing, part: Part, image_size: int, batch_size: int
    ) -> None:
        self._images, self._size, self._batch_size = images, image_size, batch_size
        indices = listed.indices(part)
        self.paths = [listed.paths[index] for index in indices]
        self.labels = torch.tensor([listed.labels[index] for index in indices])

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self), self._batch_size):
            positions = range(start, min(start + self._batch_size, len(self)))
            stacked = np.stack([centre_crop(self._images[p], self._size) for p in positions])
            yield torch.from_numpy(stacked), self.labels[start : start + len(positions)]
