"""All randomness is a hash of (seed, purpose, ...), so that none of it needs to be stored.

The order of images is keyed by (seed, epoch), augmentation by (seed, epoch, image), the model's
own randomness by (seed, epoch, step). Two variants with one seed see the same images, a resumed
run needs no generator's state, and the number of loader workers changes nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
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


@contextmanager
def keyed_beside_torch() -> Iterator[None]:
    """NumPy's and Python's global generators are keyed inside by what torch's was keyed by, and
    afterwards as they were before: for code of the user's, which may draw from any."""
    numpys, pythons = np.random.get_state(), random.getstate()
    _key_beside_torch(torch.initial_seed())
    try:
        yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)


@contextmanager
def keyed_everywhere(seed: int, purpose: str, *index: int) -> Iterator[None]:
    """`keyed`, and NumPy's and Python's global generators too."""
    with keyed(seed, purpose, *index), keyed_beside_torch():
        yield


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Key every device's generator for one training step (dropout, stochastic depth), and those
    that code of the user's may draw from."""
    torch.manual_seed(key(seed, "step", epoch, step))
    _key_beside_torch(torch.initial_seed())


def _key_beside_torch(seed: int) -> None:
    np.random.seed(seed % 2**32)
    random.seed(seed)
