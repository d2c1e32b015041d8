"""EMNIST's cut 'byclass': 814,255 characters, digits, capitals and small letters."""

from __future__ import annotations

from classifier.data.sources.emnist import ALL, emnist

SOURCE = emnist("byclass", 697_932, 116_323, ALL)
