"""EMNIST's cut 'letters': 145,600 letters, capitals and small ones as one."""

from __future__ import annotations

import string

from classifier.data.sources.emnist import emnist

SOURCE = emnist("letters", 124_800, 20_800, string.ascii_lowercase, first=1)
