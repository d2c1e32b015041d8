"""What an accuracy says where nothing has been learnt."""

from __future__ import annotations

GUESSING = 1.2
"""An accuracy of at most so many times chance's has learnt nothing."""


def is_guessing(accuracy: float, classes: int) -> bool:
    """Whether an accuracy, a share of 1, is no better than guessing among so many classes."""
    return accuracy <= GUESSING / classes
