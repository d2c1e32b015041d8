"""What looking at a file's contents gave, kept by the contents: nothing is decoded twice for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from classifier.basics.console import Counted
from classifier.basics.files import cache_folder, path_key, write_atomically
from classifier.basics.progress import OnCount, uncounted

Said = str | None


def once(
    what: str,
    folder: Path,
    hashes: Mapping[str, str],
    look: Callable[[str], Said],
    progress: OnCount = uncounted,
) -> dict[str, Said]:
    """By path what `look` says of it. `what` names the question, with the versions of all that the
    answer depends on; `hashes` are those of the contents, by path, of files in `folder`. In a
    terminal there is a progress where none is given: it may take minutes."""
    from joblib import Parallel, delayed

    if progress is uncounted and sys.stderr.isatty():
        progress = Counted("looking at images")
    kept = cache_folder("looked-at") / f"{path_key(folder)}-{what}.json"
    with FileLock(f"{kept}.lock"):
        known = _read(kept)
        new = sorted({of: path for path, of in hashes.items() if of not in known}.values())
        if new:
            said = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
                map(delayed(look), new)
            )
            for done, (path, answer) in enumerate(zip(new, said, strict=True), start=1):
                known[hashes[path]] = answer
                progress(done, len(new))
            write_atomically(kept, json.dumps(known).encode())
    return {path: known[of] for path, of in hashes.items()}


def _read(file: Path) -> dict[str, Said]:
    """One that can't be read is made anew."""
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
