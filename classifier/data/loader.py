"""Batches of a part. The same batches whatever the number of workers."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, WeightedRandomSampler

from classifier.basics.errors import UserError
from classifier.basics.randomness import generator, keyed
from classifier.data import batches
from classifier.data.datasets import Listing
from classifier.data.pixels import Pixels
from classifier.data.split import Part
from classifier.data.transforms import TrainImage, centre_crop
from classifier.data.workers import Batch, Finder

Item = tuple[int, int, int]
"""Epoch, position in the part, and how often the epoch has had that image before."""


@dataclass(frozen=True)
class Drawn:
    """How an epoch's images are drawn."""

    balanced: bool = False
    """Each class equally likely, with replacement, in place of each image once."""
    repeats: int = 1
    """Each so often, one behind the other and augmented anew, as many in all as without (Hoffer et
    al., 2020)."""


SHUFFLED = Drawn()


class _TrainImages(Dataset[tuple[Tensor, int]]):
    """Images by `Item`; each one's randomness is its own key."""

    def __init__(self, images: Pixels, listed: Listing, made: TrainImage, seed: int) -> None:
        self._images, self._made, self._seed = images, made, seed
        self._indices = listed.indices("train")
        self.labels = [listed.labels[index] for index in self._indices]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, item: Item) -> tuple[Tensor, int]:
        epoch, position, before = item
        again = (before,) if before else ()
        with keyed(self._seed, "augment", epoch, self._indices[position], *again):
            image = self._made(self._images[position])
        return image, self.labels[position]


class _Order(Sampler[list[Item]]):
    """An epoch's batches, drawn by (seed, epoch)."""

    def __init__(
        self, seed: int, labels: Sequence[int], batch_size: int, drawn: Drawn = SHUFFLED
    ) -> None:
        self._seed, self._images, self._batch_size = seed, len(labels), batch_size
        self._labels, self._drawn = labels, drawn
        self.epoch = 0
        self.first = 0
        """The step to begin with: those before it were done earlier."""

    def __iter__(self) -> Iterator[list[Item]]:
        repeats = self._drawn.repeats
        order = [position for position in self._positions() for _ in range(repeats)]
        had: Counter[int] = Counter()
        seen: list[Item] = []
        for position in order[: batches.seen(self._images, self._batch_size)]:
            seen.append((self.epoch, position, had[position]))
            had[position] += 1
        for start in range(self.first * self._batch_size, len(seen), self._batch_size):
            batch = seen[start : start + self._batch_size]
            yield self._mixed_up(batch, start) if repeats > 1 else batch

    def _positions(self) -> list[int]:
        draws = generator(self._seed, "order", self.epoch)
        if not self._drawn.balanced:
            shuffled: list[int] = torch.randperm(self._images, generator=draws).tolist()
            return shuffled
        counts = Counter(self._labels)
        weights = [1 / counts[label] for label in self._labels]
        return list(WeightedRandomSampler(weights, self._images, generator=draws))

    def _mixed_up(self, batch: list[Item], start: int) -> list[Item]:
        """Else mixup, which mixes neighbours, would mix most images with themselves."""
        draws = generator(self._seed, "order in a batch", self.epoch, start)
        return [batch[index] for index in torch.randperm(len(batch), generator=draws).tolist()]

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
        made: TrainImage,
        batch_size: int,
        seed: int,
        drawn: Drawn = SHUFFLED,
        workers: int | Finder = 0,
    ) -> None:
        """`workers`: processes that make the batches, 0 for none but this; or what finds how
        many."""
        if len(images) < 2:
            raise UserError("the training part has a single image; batch norm needs two at least")
        dataset = _TrainImages(images, listed, made, seed)
        self._order = _Order(seed, dataset.labels, batch_size, drawn)
        self.labels = torch.tensor(dataset.labels)
        self._dataset, self._seed = dataset, seed
        self._finder = workers if isinstance(workers, Finder) else None
        self._loader = self._made(0 if isinstance(workers, Finder) else workers)

    def _made(self, workers: int) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(
            self._dataset,
            batch_sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            # Not the job's own fork server, which would import torch again for each training.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            pin_memory=torch.cuda.is_available(),
            # Its own, so that the workers' base seed is not drawn from the global generator.
            generator=generator(self._seed, "loader"),
        )

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from step `first` on."""
        self._order.epoch, self._order.first = epoch, first
        if self._finder is not None:
            for batch in self._finder.watch(iter(self._loader)):
                self._order.first += 1
                yield batch
            if self._finder.workers is None:
                return
            self._loader, self._finder = self._made(self._finder.workers), None
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
