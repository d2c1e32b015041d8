"""All randomness is a hash of (seed, purpose, ...), so that none of it needs to be stored.

The order of images is keyed by (seed, epoch), augmentation by (seed, epoch, image), the model's
own randomness by (seed, epoch, step). Two variants with one seed see the same images, a resumed
run needs no generator's state, and the number of loader workers changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def key(seed: int, purpose: str, *index: int) -> int:
    """63 bits of SHA-256 over the arguments."""
    text = "/".join((str(seed), purpose, *map(str, index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A CPU generator of its own for one purpose."""
    made = torch.Generator()
    made.manual_seed(key(seed, purpose, *index))
    return made


@contextmanager
def keyed(seed: int, purpose: str, *index: int) -> Iterator[None]:
    """Torch's global CPU generator is keyed inside, and afterwards as it was before."""
    default = torch.default_generator
    before = default.get_state()
    default.manual_seed(key(seed, purpose, *index))
    try:
        yield
    finally:
        default.set_state(before)


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Key every device's generator for one training step (dropout, stochastic depth)."""
    torch.manual_seed(key(seed, "step", epoch, step))
