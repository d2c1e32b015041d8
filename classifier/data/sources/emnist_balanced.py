"""EMNIST's cut 'balanced': 131,600 characters, 47 classes of one size."""

from __future__ import annotations

from classifier.data.sources.emnist import MERGED, emnist

SOURCE = emnist("balanced", 112_800, 18_800, MERGED)
