"""Names where they are read by people or written to files.

A file's or a class's name may hold anything: spaces, `&`, quotes, line breaks, and on Linux even
bytes that are no text (Python has them as lone surrogates).
"""

from __future__ import annotations

import csv
import difflib
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from classifier.basics.files import write_atomically


def printable(name: str) -> str:
    """The name on one line: characters that can't be printed as their escapes."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC): a Mac writes an umlaut as two characters, others
    as one, and both look the same."""
    return unicodedata.normalize("NFC", name)


def write_csv(file: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    """A CSV that gives every name back, byte for byte; None is an empty cell."""
    text = io.StringIO()
    # Not "\n" alone as the line's end: a "\r" in a name would then stay without quotes.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(file, text.getvalue().encode(errors="surrogateescape"))
    return file


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """The same for a report: its lines end in "\n", on every system and in every Python."""
    lines: list[str] = []
    writer = csv.DictWriter(_Lines(lines), columns, lineterminator="\r\n")  # quotes a "\r" too
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines)


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, line: str) -> None:
        self._lines.append(line.removesuffix("\r\n") + "\n")


def counted(count: int, noun: str) -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def below(names: Sequence[str], most: int) -> str:
    """Each on a line of its own, for under a sentence; of more than `most` how many more."""
    lines = [f"\n  {name}" for name in names[:most]]
    return "".join(lines) + (f"\n  and {len(names) - most:,} more" if len(names) > most else "")


def listed(counts: Mapping[str, int]) -> str:
    """`12 files .txt, 1 file .pdf`."""
    each = (f"{counted(n, 'file')} {name}" for name, n in counts.items())
    return ", ".join(each)


def nearest(name: str, choices: Iterable[str]) -> str:
    """`; did you mean 'epochs'?`, or the whole choice where nothing is near and it is short."""
    names = list(choices)
    by_lower = {candidate.lower(): candidate for candidate in names}
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if match:
        return f"; did you mean '{by_lower[match[0]]}'?"
    return f"; it can be {', '.join(names)}" if 0 < len(names) <= 25 else ""
