"""This program: what it is called, and which version of it runs."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "classifier-ablations"
COMMAND = "ablate"
"""The command that an installation brings; the same as runner.py in a checkout."""


def called() -> str:
    """How a shell is given this program again: as it was."""
    return COMMAND if Path(sys.argv[0]).stem == COMMAND else "python runner.py"


def version() -> str:
    """Of what is installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
