"""EMNIST's cut 'digits': 280,000 digits."""

from __future__ import annotations

import string

from classifier.data.sources.emnist import emnist

SOURCE = emnist("digits", 240_000, 40_000, string.digits)
