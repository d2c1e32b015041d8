"""A table for LaTeX, with the rules of booktabs and no other package."""

from __future__ import annotations

import re
from collections.abc import Iterator

from classifier.basics.names import printable
from reports.formats.printed import MARKS, Printed
from reports.statistics.verdicts import Word
from reports.words.verdict_notes import BOLD

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "“": "``",
    "”": "''",
    **{own: f"\\{own}" for own in "&%$#_{}"},
}
_MARKS = {word: rf"\textsuperscript{{{_ESCAPES.get(MARKS[word], MARKS[word])}}}" for word in Word}


def text(printed: Printed) -> str:
    """A float with a caption, the table, and under it what its marks say."""
    grid = printed.grid
    lines = [r"% Needs \usepackage{booktabs}, and no other package."]
    lines += [f"% {BOLD}"] if grid.strong and not printed.legend else []
    lines += [r"\begin{table}", r"\centering", rf"\caption{{{escaped(printed.caption)}}}"]
    lines += [rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', printed.name)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}", r"\toprule"]
    lines += [_row(map(escaped, grid.header)), r"\midrule"]
    lines += [_row(_cells(printed, row)) for row in range(len(grid.rows))]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if printed.legend:
        lines += ["", rf"\smallskip{{\footnotesize {escaped(' '.join(printed.legend))}\par}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def escaped(name: str) -> str:
    """Text that LaTeX sets as it is: no command, no ligature of hyphens."""
    said = "".join(_ESCAPES.get(each, each) for each in printable(name))
    return re.sub("-(?=-)", "-{}", said)


def _cells(printed: Printed, row: int) -> Iterator[str]:
    for column, said in enumerate(printed.grid.rows[row]):
        place = row, column
        if column == 0:
            yield escaped(said)
            continue
        figure = re.sub(r"-(?=\d)", "$-$", escaped(said))
        figure = rf"\textbf{{{figure}}}" if place in printed.grid.strong else figure
        yield figure + (_MARKS[printed.verdicts[place]] if place in printed.verdicts else "")


def _row(cells: Iterator[str]) -> str:
    # A row that began with [ or * would be taken for an option of the line break before it.
    line = re.sub(r"^([\[*])", r"{\1}", " & ".join(cells))
    return rf"{line} \\"
