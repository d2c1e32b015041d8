"""Whether code of the user's may run: asked once in a terminal, and kept by content."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder, write_atomically
from classifier.plugins.brought import Brought


def check_trusted(brought: Iterable[Brought], trust: bool) -> None:
    """Ask, if it was not asked before of files that say the same. `trust`: do not ask.

    Raises UserError where the answer is no, or nobody can be asked.
    """
    hashes = {str(each.folder / path): h for each in brought for path, h in each.hashes().items()}
    new = {file: sha256 for file, sha256 in hashes.items() if not _kept(sha256).exists()}
    if trust or not new:
        return
    listed = "".join(f"\n  {file}  sha256 {sha256}" for file, sha256 in new.items())
    if not sys.stdin.isatty():
        raise UserError(
            f"code that is not this program's would run:{listed}\nRead it, and say --trust; in a "
            "terminal it is asked once"
        )
    print(f"Code that is not this program's would run:{listed}", file=sys.stderr)
    answer = input("run it, now and whenever it says the same? [y/N] ")
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("the plugins may not run; nothing was done")
    for sha256 in new.values():
        write_atomically(_kept(sha256), b"")


def _kept(sha256: str) -> Path:
    return cache_folder("trusted") / sha256
