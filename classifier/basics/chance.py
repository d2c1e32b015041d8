"""What an accuracy, or mpa, says where nothing has been learnt."""

from __future__ import annotations

GUESSING = 1.2
"""One of at most so many times chance's has learnt nothing."""


def is_guessing(accuracy: float, classes: int) -> bool:
    """Whether an accuracy or mpa, a share of 1, is no better than guessing among the classes."""
    return accuracy <= GUESSING / classes
