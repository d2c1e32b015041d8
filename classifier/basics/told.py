"""Settings as people read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def plain(setting: Any) -> str:
    """Text as it is, all else as JSON."""
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings of settings by their names with a dot; what is None is not there."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}.")
        elif value is not None:
            found[before + name] = plain(value)
    return found


def usual(values: Sequence[str]) -> str | None:
    """The one that more than half have; None if there is none."""
    ((value, count),) = Counter(values).most_common(1)
    return value if 2 * count > len(values) else None
