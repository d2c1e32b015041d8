from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from classifier.data import batches

IMAGES, BATCH_SIZE = st.integers(2, 300), st.integers(2, 400)


def torchs(images: int, batch_size: int) -> list[int]:
    """The sizes of torch's batches without those of a single image."""
    sampled = BatchSampler(range(images), batch_size, drop_last=False)
    return [len(batch) for batch in sampled if len(batch) > 1]


@given(IMAGES, BATCH_SIZE)
def test_what_is_said_is_what_torchs_batches_leave_out(images: int, batch_size: int) -> None:
    seen = sum(torchs(images, batch_size))
    assert batches.seen(images, batch_size) == seen
    said = batches.left_over(images, batch_size)
    assert bool(said) == (seen < images)
    if said:
        mended = int(re.search(r"with batch_size (\d+) all are seen", said)[1])  # type: ignore[index]
        assert sum(torchs(images, mended)) == images
        assert all(
            sum(torchs(images, nearer)) < images
            for nearer in range(2, images)
            if abs(nearer - batch_size) < abs(mended - batch_size)
        ), "none is nearer"


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (17, 16, "one of the 17 training images"),
        (17, 17, ""),
        (17, 18, "batch_size 18 is more than the 17 training images"),
        (2, 2, ""),
        (3, 2, "with batch_size 3 all are seen"),
        (60, 16, ""),
    ],
)
def test_what_is_said_before_a_training(images: int, batch_size: int, message: str) -> None:
    said = batches.remark(images, batch_size)
    assert message in said
    assert bool(said) == bool(message)
