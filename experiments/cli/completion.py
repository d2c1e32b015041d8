"""What a shell completes of `ablate`'s command line."""

from __future__ import annotations

import argparse
from typing import Literal

from classifier.cli.entry import path

Shell = Literal["bash", "zsh", "tcsh"]


def script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """For the shell to read at its start. Options, choices, files; a DIR completes to folders."""
    import shtab

    for action in parser._actions:
        if action.type is path:
            kind = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    made: str = shtab.complete(parser, shell)
    return made
