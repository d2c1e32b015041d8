"""Ctrl-C, SIGTERM and a terminal that is closed (SIGHUP) as something to look at, so that they
break nothing in its middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def raised() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if _heeds_hangup():
        signal.signal(signal.SIGHUP, _hung_up)


@contextmanager
def counted(most: int) -> Iterator[Callable[[], int]]:
    """While inside: how often it was pressed; more than `most` times is a KeyboardInterrupt. A
    terminal that is closed counts once, for both it and its shell may send SIGHUP.

    In another thread than the main one it is never pressed."""
    count, hung_up = 0, False

    def add(number: int, frame: object) -> None:
        nonlocal count, hung_up
        if number == signal.SIGHUP and hung_up:
            return
        hung_up = hung_up or number == signal.SIGHUP
        count += 1
        if count > most:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    heeded = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if _heeds_hangup() else ()))
    before = {number: signal.signal(number, add) for number in heeded}
    try:
        yield lambda: count
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeds_hangup() -> bool:
    """Not under nohup, which has it ignored."""
    return signal.getsignal(signal.SIGHUP) != signal.SIG_IGN


def _hung_up(number: int, frame: object) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell's comes after the terminal's
    raise KeyboardInterrupt
