"""Ctrl-C (and SIGTERM) as something to look at, so that it breaks nothing in its middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counted(most: int) -> Iterator[Callable[[], int]]:
    """While inside: how often it was pressed; more than `most` times is a KeyboardInterrupt.

    In another thread than the main one it is never pressed."""
    count = 0

    def add(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, add) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
