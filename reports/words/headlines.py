"""Each table's answer in two sentences: no more than the intervals say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from experiments.matrix.schema import Column
from reports.figures.select import Missing
from reports.statistics.answers import Answer, Judged, JudgedLine
from reports.statistics.intervals import Comparison
from reports.statistics.verdicts import Verdict, Word
from reports.words.before import NOTHING, ONLY_COSTS
from reports.words.notes import emulated_on
from reports.words.phrases import (
    compared_columns,
    difference,
    directions,
    interval_at,
    level_of,
    names_of,
    over_rows,
    preferred,
    seeds_and_images,
    where_and_names,
)


def headline(answer: Answer) -> str:
    """The answer of a table in two sentences."""
    return f"{answer.table.name}: {_answered(answer)}"


def _answered(answer: Answer) -> str:
    groups = compared_columns(answer)
    if not groups:
        return f"{why_nothing(answer)}."
    chosen = preferred(groups)
    line = line_over(answer, chosen[0])
    if line is not None:
        return f"{_of_line(answer, line)} Row by row: {row_by_row(answer)}."
    first = chosen[0][0]
    if len(chosen[0]) == 1 and first.comparison and first.verdict:
        more = f" Column by column: {row_by_row(answer)}." if len(groups) > 1 else ""
        return f"{_of_cell(first)}{more}"
    cells = [each for group in chosen for each in group]
    count = "1 compared cell" if len(cells) == 1 else f"{len(cells)} compared cells"
    return f"of {count} {_counts(chosen)}.{_most(chosen)}"


def why_nothing(answer: Answer) -> str:
    """Why nothing is compared."""
    has_costs = any(cell.baseline for row in answer.table.cells for cell in row)
    return ONLY_COSTS if has_costs else NOTHING


def line_over(answer: Answer, column: Sequence[Judged]) -> JudgedLine | None:
    """That of these rows."""
    lines = (line for line in answer.lines if line.rows[0].cell.column == column[0].cell.column)
    return next(lines, None)


def row_by_row(answer: Answer) -> str:
    """How often each verdict is said, with those of speeds."""
    groups = compared_columns(answer)
    chosen = preferred(groups)
    speeds = [group for group in groups if group[0].cell.column.is_speed and group not in chosen]
    told = _counts(chosen) + "".join(f"; {_by_column([group])}" for group in speeds)
    return told + (" (FP16 emulated by this CPU)" if speeds and emulated_on(answer.table) else "")


def _counts(groups: Sequence[Sequence[Judged]]) -> str:
    return counted_verdicts(groups) if len(groups) == 1 else _by_column(groups)


def _by_column(groups: Sequence[Sequence[Judged]]) -> str:
    return "; ".join(
        f"{group[0].cell.column.header}: {counted_verdicts([group])}" for group in groups
    )


def counted_verdicts(groups: Sequence[Sequence[Judged]]) -> str:
    """How often each verdict is said."""
    cells = [each for group in groups for each in group]
    counted = Counter(each.verdict.word for each in cells if each.verdict)
    told = [f"{counted[word]} {word.value}" for word in Word if counted[word]]
    others = Counter(_without(each) for each in cells if not each.verdict)
    return ", ".join([*told, *(f"{count} {why}" for why, count in others.items())])


def _without(judged: Judged) -> str:
    """Why a cell has no verdict, in the words of its table where a record is missing."""
    base = judged.cell.baseline
    missing = judged.cell.missing or (base and base.missing)
    is_open = missing in (Missing.FAILED, Missing.TODO)
    return missing.value if missing and is_open else "without an interval"


def _of_line(answer: Answer, line: JudgedLine) -> str:
    over, names = over_rows(answer, line), names_of(line)
    told = [*seeds_and_images(line.comparison), directions(line)]
    said = _sentence(over, names, line.column, line.comparison, line.verdict, line.rows[0])
    return f"{said} ({'; '.join(told)}){''.join(f'; {each}' for each in line.verdict.remarks)}."


def _of_cell(judged: Judged) -> str:
    assert judged.comparison is not None and judged.verdict is not None
    column, comparison, verdict = judged.cell.column, judged.comparison, judged.verdict
    said = _sentence(*where_and_names(judged), column, comparison, verdict, judged)
    told = "; ".join(seeds_and_images(comparison))
    remarks = "".join(f"; {each}" for each in (*verdict.remarks, *judged.remarks))
    return f"{said}{f' ({told})' if told else ''}{remarks}."


def _sentence(
    where: str,
    names: tuple[str, str],
    column: Column,
    comparison: Comparison,
    verdict: Verdict,
    judged: Judged,
) -> str:
    """`names`: the variant's and the baseline's; `judged` has the margin."""
    variant, base = names
    match verdict.word:
        case Word.BETTER | Word.WORSE:
            start = f"{where} {variant} is {verdict.word.value} than {base}"
        case Word.SAME:
            start = f"{where} {variant} differs from {base} by less than {_margin(judged)}"
        case _:
            start = f"it can't be told whether {where} {variant} differs from {base}"
    limits = interval_at(column, comparison, level_of(verdict))
    return f"{start}: {difference(column, comparison)}, {limits}"


def _margin(judged: Judged) -> str:
    return f"{judged.cell.margin:g}, the margin" if judged.cell.margin else ""


def _most(groups: Sequence[Sequence[Judged]]) -> str:
    """The rows that are told apart."""
    parts = []
    for word in (Word.BETTER, Word.WORSE):
        named = [
            f"{each.cell.row} ({each.cell.column.header}: "
            f"{difference(each.cell.column, each.comparison)})"
            for group in groups
            for each in group
            if each.comparison and each.verdict and each.verdict.word is word
        ]
        if named:
            more = f" and {len(named) - 3} more" if len(named) > 3 else ""
            parts.append(f" {word.value.capitalize()}: {', '.join(named[:3])}{more}.")
    return "".join(parts)
