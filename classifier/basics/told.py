"""Settings as people read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def plain(setting: Any) -> str:
    """Text as it is, all else as JSON."""
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)


def dotted(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Settings of settings by their names with a dot, with their values."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{before}{name}.")
        else:
            yield before + name, value


def flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """The same as people read them; what is None is not there."""
    return {name: plain(value) for name, value in dotted(settings) if value is not None}


def usual(values: Sequence[str]) -> str | None:
    """The one that more than half have; None if there is none."""
    ((value, count),) = Counter(values).most_common(1)
    return value if 2 * count > len(values) else None
