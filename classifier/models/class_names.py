"""The classes that a checkpoint knows, from its metadata alone. No torch: reports name classes."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

METADATA = "classifier"
"""The entry of the safetensors metadata that holds ours, as JSON."""


def class_names(file: Path) -> tuple[str, ...]:
    """By label; none where the file is missing, or none of ours."""
    try:
        with safe_open(file, framework="numpy") as opened:
            about = json.loads((opened.metadata() or {}).get(METADATA, "{}"))
    except (OSError, SafetensorError, ValueError):
        return ()
    names = about.get("classes") if isinstance(about, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()
