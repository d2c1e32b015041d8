"""Each table's answer in short: a difference, its verdict, a plain sentence. It stands first on the
HTML page; report.md has the same in two sentences (headlines.py).

Differences of shares are in percentage points here, of two decimals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from classifier.basics.names import counted
from experiments.matrix.schema import Column
from reports.blocks import Finding, Findings, Outcome
from reports.figures.select import Missing
from reports.figures.tables import mean, rounded, text
from reports.statistics.answers import Answer, Judged, JudgedLine
from reports.statistics.intervals import Comparison, Scope
from reports.statistics.verdicts import Verdict, Word
from reports.words.headlines import counted_verdicts, line_over, row_by_row, why_nothing
from reports.words.phrases import (
    as_sentence,
    compared_columns,
    directions,
    level_of,
    names_of,
    over_rows,
    p_value,
    preferred,
    seeds_and_images,
    where_and_names,
)
from reports.words.verdict_grid import mark_of

MOST_LINES = 4
"""Of a table's columns whose means over the rows are shown."""
BEYOND_MARGIN = 1.15
"""How far an axis reaches beyond a margin, whose end is to be seen."""


def findings(answers: Sequence[Answer]) -> Findings:
    """Of all tables. Their bars share an axis for each unit, which `scale` tells."""
    found = [finding(answer) for answer in answers]
    reach = _reach([outcome for each in found for outcome in each.outcomes])
    items = [replace(each, outcomes=[_on(reach, of) for of in each.outcomes]) for each in found]
    ends = ", ".join(f"±{_reached(most, unit)}" for unit, most in reach.items())
    scale = f"Bars: 95 % intervals (thick: 90 %) on an axis that ends at {ends}"
    bars = [outcome.mark.bar for each in items for outcome in each.outcomes]
    scale += "; shaded: within the margin." if any(bar and bar.margin for bar in bars) else "."
    return Findings(items, scale if reach else "")


def _reached(most: float, unit: str) -> str:
    said = _figure(most, unit).lstrip("+")
    return said if said.endswith(unit) else f"{said} of {unit}"


def _reach(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """By unit how far from 0 the bars and the margins reach."""
    reach: dict[str, float] = {}
    for each in outcomes:
        if bar := each.mark.bar:
            ends = abs(bar.low), abs(bar.high), BEYOND_MARGIN * (bar.margin or 0.0)
            reach[each.unit] = max(*ends, reach.get(each.unit, 0.0))
    return reach


def _on(reach: Mapping[str, float], of: Outcome) -> Outcome:
    bar = of.mark.bar and replace(of.mark.bar, extent=reach[of.unit] or 1.0)
    return replace(of, mark=replace(of.mark, bar=bar))


def finding(answer: Answer) -> Finding:
    """The means over the rows where there are any, else the best of what is compared, else the best
    figure. A table's bars have an axis of their own until `findings` gives them one."""
    groups = compared_columns(answer)
    if not groups:
        return _uncompared(answer)
    chosen = preferred(groups)
    lines = [line for line in (line_over(answer, group) for group in chosen) if line]
    if len(lines) == 1:
        return _of_line(answer, lines[0])
    if lines:
        return _of_lines(answer, lines)
    cells = [each for group in chosen for each in group]
    measured = [each.cell.column.metric for each in cells if each.comparison]
    if not measured:
        return Finding(answer.table.name, _not_yet(cells))
    of_first = [each for each in cells if each.cell.column.metric == measured[0]]
    others = [of for of in chosen if of[0].cell.column.metric != measured[0]]
    said = [f"{of[0].cell.column.header}: {counted_verdicts([of])}" for of in others]
    found = _of_one(answer, of_first[0]) if len(of_first) == 1 else _of_best(answer, of_first)
    return replace(found, details=(*found.details, *(["; ".join(said)] if said else ())))


def _of_line(answer: Answer, line: JudgedLine) -> Finding:
    said = _sentence(
        over_rows(answer, line), names_of(line), line.column, line.rows[0], line.verdict
    )
    details = (*_details(line), directions(line), f"row by row: {row_by_row(answer)}")
    return Finding(answer.table.name, said, [_outcome(answer, line)], details=details)


def _of_lines(answer: Answer, lines: Sequence[JudgedLine]) -> Finding:
    shown = [replace(_outcome(answer, e), of=e.column.header) for e in lines[:MOST_LINES]]
    left = len(lines) - MOST_LINES
    more = f"; {left} more {'is' if left == 1 else 'are'} in the table" if left > 0 else ""
    bases = list(dict.fromkeys(f"“{line.baseline.header}”" for line in lines))
    said = (
        f"Differences to {', '.join(bases)}, {over_rows(answer, lines[0])}{more}{_remarks(lines)}."
    )
    return Finding(answer.table.name, said, shown, details=[f"row by row: {row_by_row(answer)}"])


def _of_one(answer: Answer, cell: Judged) -> Finding:
    assert cell.verdict is not None
    said = _sentence(*where_and_names(cell), cell.cell.column, cell, cell.verdict)
    return Finding(answer.table.name, said, [_outcome(answer, cell)], details=_details(cell))


def _remarks(lines: Sequence[JudgedLine]) -> str:
    """Of their verdicts, each once; what only some have is said of these."""
    of: dict[str, list[str]] = {}
    for line in lines:
        for remark in line.verdict.remarks:
            of.setdefault(remark, []).append(f"“{line.column.header}”")
    said = (
        remark if len(columns) == len(lines) else f"{', '.join(columns)}: {remark}"
        for remark, columns in of.items()
    )
    return "".join(f"; {each}" for each in said)


def _of_best(answer: Answer, cells: Sequence[Judged]) -> Finding:
    """Where rows are different tricks, of one metric, for only its differences can be ordered. What
    failed or only guesses, or is compared with what does, is no best."""
    found = [each for each in cells if each.comparison and not each.doubts]
    compared = counted(len(cells), "compared cell")
    words = Counter(each.verdict.word for each in cells if each.verdict)
    counts = {word.value: words[word] for word in Word if words[word]}
    left = [each for each in cells if not each.verdict]
    none = [f"no verdict: {counted_verdicts([left])}"] if left else []
    if not found:
        said = (
            f"Of {compared} none is shown to be better: in all of them seeds failed or only guess."
        )
        return Finding(answer.table.name, said, counts=counts, details=none)
    best = max(found, key=_gain)
    ties = [each for each in found if _gain(each) == _gain(best)]
    names = [_named(each, found) for each in ties[:MOST_LINES]]
    more = f" and {len(ties) - MOST_LINES} more" if len(ties) > MOST_LINES else ""
    are, name = "are" if len(ties) > 1 else "is", ", ".join(names) + more
    is_better = best.verdict is not None and best.verdict.word is Word.BETTER
    said = f"The best of {compared} {are} {name}"
    if not is_better:
        which = "" if len(found) == len(cells) else _which(cells)
        said = f"Of {compared} none is shown to be better; the best{which} {are} {name}"
    return Finding(
        answer.table.name,
        f"{said}{'; being chosen flatters it' if len(found) > 1 else ''}.",
        outcomes=[
            replace(_outcome(answer, each), of=n) for each, n in zip(ties, names, strict=False)
        ],
        counts=counts,
        details=[*_details(best), *none],
    )


def _named(judged: Judged, among: Sequence[Judged]) -> str:
    name, header = judged.cell.row, judged.cell.column.header
    headers = {each.cell.column.header for each in among}
    return f"{name}, “{header}”" if len(headers) > 1 else name


def _which(cells: Sequence[Judged]) -> str:
    """What some of the cells lack, that the best has."""
    lacks = [
        "an interval" if any(each.comparison is None for each in cells) else "",
        "all its seeds above guessing" if any(each.doubts for each in cells) else "",
    ]
    return f" with {' and '.join(filter(None, lacks))}"


def _gain(judged: Judged) -> tuple[bool, float]:
    """How much better than its baseline; those that are shown to be so go first."""
    assert judged.comparison is not None
    is_better = judged.verdict is not None and judged.verdict.word is Word.BETTER
    sign = 1 if judged.cell.column.more_is_better else -1
    return is_better, sign * judged.comparison.difference


def _not_yet(cells: Sequence[Judged]) -> str:
    of = [each.cell.missing or (b.missing if (b := each.cell.baseline) else None) for each in cells]
    start = "Nothing can be said yet" if Missing.TODO in of else "There are no verdicts"
    return f"{start}. Of {counted(len(cells), 'compared cell')}: {counted_verdicts([cells])}."


def _uncompared(answer: Answer) -> Finding:
    """The best figure of the first column of test that has several, else of any."""
    why = why_nothing(answer)
    said = as_sentence(why)
    columns = [
        [each for each in column if each.cell.missing is None]
        for column in zip(*answer.cells, strict=True)
    ]
    ranked = [of for of in columns if len(of) > 1 and of[0].cell.column.more_is_better is not None]
    ranked = [of for of in ranked if not of[0].cell.column.is_cost]
    if not ranked:
        return Finding(answer.table.name, said)
    cells = preferred(ranked)[0]
    column = cells[0].cell.column
    by_figure = sorted(cells, key=lambda each: float(str(mean(each.cell))))
    best = by_figure[-1 if column.more_is_better else 0]
    end = "highest" if column.more_is_better else "lowest"
    said += f" The {end} “{column.header}” is that of {best.cell.row}, which is no verdict."
    return Finding(answer.table.name, said, [Outcome(text(column, mean(best.cell)))])


# Parts


def _sentence(
    where: str, names: tuple[str, str], column: Column, judged: Judged, verdict: Verdict
) -> str:
    """`names`: the variant's and the baseline's; `judged` has the margin."""
    variant, base = names
    match verdict.word:
        case Word.BETTER | Word.WORSE:
            said = f"{where}, {variant} is {verdict.word.value} than {base}"
        case Word.SAME:
            margin = _figure(judged.cell.margin or 0.0, _unit(column)).lstrip("+")
            said = f"{where}, {variant} differs from {base} by less than {margin}, the margin"
        case Word.CANT_TELL:
            said = f"these data can't tell whether {variant} differs from {base} {where}"
    return as_sentence("; ".join((said, *verdict.remarks)))


def _outcome(answer: Answer, of: Judged | JudgedLine) -> Outcome:
    column, comparison = _compared(of)
    unit = _unit(column)
    return Outcome(_figure(comparison.difference, unit), mark_of(answer, of), unit)


def _details(of: Judged | JudgedLine) -> list[str]:
    column, comparison = _compared(of)
    level = level_of(of.verdict)
    low, high = (_figure(limit, _unit(column)) for limit in comparison.at(level))
    unit = f" {_unit(column)}" if high.endswith(f" {_unit(column)}") else ""
    told = [f"{100 * level:.0f} % interval {low.removesuffix(unit)} to {high}"]
    if of.adjusted is not None:
        told.append(f"p {p_value(comparison.p)}, Holm's {p_value(of.adjusted)}")
    if comparison.scope is not Scope.PROCESS:
        told.append("; ".join(seeds_and_images(comparison)))
    return [*told, *(of.remarks if isinstance(of, Judged) else ())]


def _compared(of: Judged | JudgedLine) -> tuple[Column, Comparison]:
    column = of.cell.column if isinstance(of, Judged) else of.column
    assert of.comparison is not None
    return column, of.comparison


def _unit(column: Column) -> str:
    if column.is_speed:
        return "%"
    return "points" if column.is_share else column.metric


def _figure(difference: float, unit: str) -> str:
    """With its sign, which is a minus here and no hyphen, and its unit where it has one."""
    match unit:
        case "%":
            said = f"{rounded(100 * difference, 1, '+')} %"
        case "points":
            said = f"{rounded(100 * difference, 2, '+')} points"
        case _:
            said = rounded(difference, 5, "+")
    return said.replace("-", "−")
