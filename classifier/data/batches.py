"""How the images of an epoch come out in batches. No torch: plans and reports speak of it."""

from __future__ import annotations

from itertools import count


def leaves_one(images: int, batch_size: int) -> bool:
    """Whether the last batch would be a single image. It is left out, for batch norm has no
    variance of it."""
    return images % batch_size == 1


def seen(images: int, batch_size: int) -> int:
    """How many of the training images an epoch goes through."""
    return images - leaves_one(images, batch_size)


def left_over(images: int, batch_size: int) -> str:
    """What must be known of a result that saw not all images in each epoch; else nothing."""
    if not leaves_one(images, batch_size):
        return ""
    return (
        f"each epoch leaves out one of the {images:,} training images, drawn anew: in batches of "
        f"{batch_size:,} it would be alone in the last one, and batch norm has no variance of a "
        f"single image; with batch_size {_nearest_whole(images, batch_size):,} all are seen"
    )


def remark(images: int, batch_size: int) -> str:
    """What to say before a training of so many images, if anything."""
    if batch_size > images:
        return (
            f"batch_size {batch_size:,} is more than the {images:,} training images: each epoch is "
            "one batch of them all, and with any larger batch_size it is the same"
        )
    return left_over(images, batch_size)


def _nearest_whole(images: int, batch_size: int) -> int:
    """The batch size nearest to this one that leaves no image alone; of two the smaller."""
    near = (size for by in count(1) for size in (batch_size - by, batch_size + by))
    return next(size for size in near if size > 1 and not leaves_one(images, size))
