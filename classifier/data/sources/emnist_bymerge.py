"""EMNIST's cut 'bymerge': 814,255 characters, capitals and small letters that look alike as one."""

from __future__ import annotations

from classifier.data.sources.emnist import MERGED, emnist

SOURCE = emnist("bymerge", 697_932, 116_323, MERGED)
