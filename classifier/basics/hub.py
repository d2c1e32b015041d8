"""The Hugging Face Hub's libraries, without their own words: what fails is told once, by us."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("huggingface_hub", "datasets")


@contextmanager
def told_by_us() -> Iterator[None]:
    """Neither each try without a network, nor how long they wait for the next, is said inside."""
    logs = [logging.getLogger(library) for library in _LIBRARIES]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
