"""This program: what it is called, and which version of it runs."""

from __future__ import annotations

import shlex
import sys
from importlib import metadata
from pathlib import Path

from classifier.basics.files import NAME

DISTRIBUTION = NAME
COMMAND = "ablate"
"""The command that an installation brings; the same as runner.py in a checkout."""
SCRIPT = "runner.py"
USUAL = f"python {SCRIPT}"
"""In the folder of a checkout."""


def called() -> str:
    """How a shell is given this program again, in this folder: as it was."""
    given = Path(sys.argv[0])
    if given.stem == COMMAND:
        return COMMAND
    if given.name == SCRIPT and given.parent != Path() and given.parent.resolve() != Path.cwd():
        return f"python {shlex.quote(sys.argv[0])}"
    return USUAL


def version() -> str:
    """Of what is installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
