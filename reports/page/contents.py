"""What the HTML page holds, in its order: richer than report.md, and as free of markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from classifier.basics.names import counted, printable
from classifier.basics.told import plain
from classifier.config.spec import MetricSpec
from classifier.records.record import EvaluateRecord, Record
from experiments.matrix.model import Request, Table
from reports.blocks import (
    Alarm,
    Block,
    Bullets,
    Details,
    Facts,
    Grid,
    Key,
    Log,
    Mark,
    Picture,
    Pictures,
    Plot,
    Section,
)
from reports.figures.disagreements import (
    Disagreement,
    Seen,
    disagreement,
    most_confused,
    names_of,
)
from reports.figures.folds import Folded
from reports.figures.select import Cell, Missing, OpenJob, OpenState, Selection
from reports.figures.tables import text
from reports.page.facts import facts
from reports.page.pictures import Album
from reports.page.plots.every import Plots
from reports.page.sections import behind, cost, environment, measured, settings
from reports.statistics.answers import Answer
from reports.words.notes import notes
from reports.words.phrases import compared_columns, preferred
from reports.words.short import findings
from reports.words.verdict_grid import marks
from reports.words.verdict_notes import METHOD

MOST_IMAGES = 24
"""Of a table's disagreements."""
MOST_PICTURE_BYTES = 750_000
"""Of all pictures of the page; what is over it is named."""
MOST_PAIRS = 10
"""Of classes that are confused."""
FEW_JOBS, MOST_JOBS = 12, 200
"""Up to how many are listed by name at once, and on a click."""
LOG_LINES, LOG_BYTES = 30, 20_000
"""The end of a failed job's log that is shown."""


def contents(
    selection: Selection, answers: Sequence[Answer], plots: Plots, images: bool = True
) -> list[Section]:
    """`images`: whether pictures of the data may be shown."""
    drawn = zip(answers, plots.tables, strict=True)
    return [
        Section(
            1,
            selection.matrix.title,
            (Facts(facts(selection)), *_alarm(selection), findings(answers)),
        ),
        *chain.from_iterable(_table(selection, each, of) for each, of in drawn),
        *(Section(2, plot.title, (plot,)) for plot in plots.of_all),
        *_disagreements(selection, answers, images),
        *_confused(selection, answers),
        *_settings(selection),
        *_environment(selection),
        *_cost(selection),
        *_failures(selection.open_jobs),
        *_not_done(selection.open_jobs),
        Section(2, "Method", (METHOD,)),
    ]


def _table(selection: Selection, answer: Answer, plots: Sequence[Plot]) -> Iterator[Section]:
    table, others = answer.table, behind(selection, answer)
    verdicts = [
        _verdict_first(block) if isinstance(block, Grid) else block
        for block in others.pop("verdicts", ())
    ]
    grid = measured(answer, _with_sources(selection, answer))
    blocks: list[Block] = [grid, *_key(grid), Bullets(notes(selection, table))]
    blocks += [Details("All figures and verdicts", verdicts)] if verdicts else []
    blocks += [*plots, *(Details(_BEHIND[about], of) for about, of in others.items())]
    yield Section(2, table.name, blocks, key=f"table-{table.name}")


def _key(grid: Grid) -> Iterator[Key]:
    """Where there is something to explain."""
    bars = [mark.bar for mark in grid.marks.values() if mark.bar]
    if bars:
        has_margin = any(bar.margin for bar in bars)
        yield Key(has_margin, any(mark.is_strong for mark in grid.marks.values()))


_BEHIND = {
    "what would tell": "What would tell where these data can't",
    "published": "Beside the published figures",
    "speeds": "How the speeds were measured",
}


def _verdict_first(grid: Grid) -> Grid:
    """Before p and Holm's p, which a narrow screen may cut."""
    order = list(range(len(grid.header)))
    if "verdict" in grid.header:
        order.insert(grid.header.index("p"), order.pop(grid.header.index("verdict")))
    return grid.in_order(order)


def _with_sources(selection: Selection, answer: Answer) -> list[list[Mark]]:
    """The marks of its cells, by row, then column, with the runs that they rest on."""
    return [
        [
            replace(mark, sources=_sources(selection, each.cell))
            for mark, each in zip(*of, strict=True)
        ]
        for of in zip(marks(answer), answer.cells, strict=True)
    ]


def _sources(selection: Selection, cell: Cell) -> list[str]:
    """A line for each seed, or the one of a speed: its figure, and where in the folder of runs its
    record lies. The run's signature ends its folder's name. None where no seed has a record."""
    lines: list[str] = []
    if not cell.there:
        return lines
    of_seeds = [""] if cell.column.is_speed else [f"seed {s}: " for s in selection.matrix.seeds]
    for seed, record, figure in zip(of_seeds, cell.seeds, cell.figures, strict=False):
        if isinstance(record, Missing):
            lines.append(f"{seed}{record.value}")
        elif isinstance(record, Folded):
            lines.append(f"{seed}{text(cell.column, figure)} of {len(record.folds)} folds")
            lines += [_lies(selection, each) for each in record.folds]
        else:
            lines.append(f"{seed}{text(cell.column, figure)} {_lies(selection, record)}")
    return lines


def _lies(selection: Selection, record: Record) -> str:
    folder = selection.folders.get((record.signature, record.unit))
    return printable(f"{folder.parent.name}/{folder.name}" if folder else record.signature)


# Where two arms disagree


def _disagreements(
    selection: Selection, answers: Sequence[Answer], images: bool
) -> Iterator[Section]:
    album = Album(selection)
    left = MOST_PICTURE_BYTES if images else 0
    parts: list[Section] = []
    for names, key, looked_at in _by_evaluations(answers):
        cells = [cell for cell in looked_at if cell.baseline]
        found = disagreement(cells, selection.folders, MOST_IMAGES)
        if not found.compared:
            continue
        blocks = [each for each in _sides(selection, cells, found, album, left) if each.items]
        left -= sum(len(each.content or b"") for of in blocks for each in of.items)
        all_blocks: list[Block] = [_of_images(found) if blocks else _agree(found), *blocks]
        parts.append(Section(3, ", ".join(names), all_blocks, f"disagree-{key}"))
    if parts:
        yield Section(2, "Where two arms disagree")
        yield from parts


def _agree(found: Disagreement) -> str:
    return f"In none of {counted(found.compared, 'answer')} is one right and the other wrong."


def _of_images(found: Disagreement) -> str:
    return (
        f"Of {found.compared:,} pairs of answers, over images, seeds and rows, "
        f"{sum(found.counts):,} are right in one arm only. Shown: each image once, those that the "
        "wrong arm was most sure of first."
    )


def _sides(
    selection: Selection, cells: Sequence[Cell], found: Disagreement, album: Album, left: int
) -> Iterator[Pictures]:
    """The images that only the variant gets right, then those that only the baseline does; where
    one has fewer than its half, the other has more."""
    half = MOST_IMAGES // 2
    gained = found.gained[: max(half, MOST_IMAGES - len(found.lost))]
    lost = found.lost[: MOST_IMAGES - len(gained)]
    variant, base = cells[0].column.header, _named([c.baseline for c in cells if c.baseline])
    bases: dict[str, str] = {}
    if variant == base:  # compared row by row
        variant, base = _rows(cells), _rows([c.baseline for c in cells if c.baseline])
        bases = {c.row: c.baseline.row for c in cells if c.baseline}
    for images, right, wrong, count in (
        (gained, variant, bases, found.counts[0]),
        (lost, base, {}, found.counts[1]),
    ):
        title = f"Right in “{right}” only: {count:,}"
        items = list(_pictures(selection, images, wrong, album, left))
        left -= sum(len(each.content or b"") for each in items)
        yield Pictures(title, items)


def _pictures(
    selection: Selection,
    images: Sequence[Seen],
    wrong: Mapping[str, str],
    album: Album,
    left: int,
) -> Iterator[Picture]:
    """`wrong`: by row the one whose arm was wrong, where that is another."""
    opened = album.pictures(images) if left > 0 else iter([None] * len(images))
    for seen, content in zip(images, opened, strict=True):
        left -= len(content or b"")
        names = names_of(seen.record, selection.folders)
        taken_for = seen.before if seen.before != seen.label else seen.after
        yield Picture(
            name=printable(seen.path),
            title=_class(names, seen.label),
            lines=(
                f"taken for {_class(names, taken_for)} ({seen.confidence:.2f})",
                f"{wrong.get(seen.row, seen.row)}, seed {seen.record.training.seed}",
            ),
            content=content if left >= 0 else None,
        )


def _by_evaluations(answers: Sequence[Answer]) -> list[tuple[list[str], str, list[Cell]]]:
    """The cells that answers speak of, those of each data set together: with the names of their
    tables, and what is a part's name in a link; of several metrics of the same evaluations once."""
    found: dict[tuple[object, ...], tuple[list[str], str, list[Cell]]] = {}
    for answer in answers:
        groups: dict[str, list[Cell]] = {}
        titles = answer.table.titles
        for cell in _looked_at(answer):
            groups.setdefault(titles.get(cell.data, "") if cell.data else "", []).append(cell)
        for number, (title, cells) in enumerate(groups.items()):
            name, link = answer.table.name, answer.table.name
            both = [each for cell in cells for each in (cell, cell.baseline) if each]
            key = tuple((record.signature, record.unit) for cell in both for record in cell.records)
            name, link = (f"{name}: {title}", f"{link}-{number}") if title else (name, link)
            found.setdefault(key, ([], link, cells))[0].append(name)
    return list(found.values())


def _looked_at(answer: Answer) -> list[Cell]:
    """The column that the answer speaks of; where nothing is compared the first of test, else of
    all, that is a share of images."""
    groups = compared_columns(answer)
    chosen = [group for group in preferred(groups) if not group[0].cell.column.is_speed]
    if chosen:
        return [each.cell for each in chosen[0]]
    columns = [
        column
        for column in zip(*answer.table.cells, strict=True)
        if any(isinstance(record, EvaluateRecord) for record in column[0].records)
    ]
    test = [column for column in columns if column[0].column.part == "test"]
    return list(next(iter(test or columns), ()))


def _named(cells: Sequence[Cell]) -> str:
    return ", ".join(dict.fromkeys(cell.column.header for cell in cells))


def _rows(cells: Sequence[Cell]) -> str:
    return ", ".join(dict.fromkeys(cell.row for cell in cells))


def _class(names: Sequence[str], label: int) -> str:
    return printable(names[label]) if label < len(names) else f"class {label}"


# Classes that are confused


def _confused(selection: Selection, answers: Sequence[Answer]) -> Iterator[Section]:
    parts: list[Section] = []
    for names, key, cells in _by_evaluations(answers):
        grid = _confused_grid(selection, cells)
        if grid.rows:
            blocks = _alike(grid)
            parts.append(Section(3, ", ".join(names), blocks, f"confused-{key}"))
    if parts:
        said = (
            "How many of the answers to a class's images, over all rows and seeds, are another "
            "class: those pairs that are confused most, the most frequent of the first column "
            "first."
        )
        yield Section(2, "The most confused classes", (said,))
        yield from parts


def _confused_grid(selection: Selection, cells: Sequence[Cell]) -> Grid:
    """A column for the baselines, if there are any, and one for what is compared with them."""
    bases = [cell.baseline for cell in cells if cell.baseline]
    groups = {_named(bases): bases, _named(cells): cells}
    if len(groups) == 1 and bases:
        groups = {_rows(bases): bases, _rows(cells): cells}
    groups = {name: group for name, group in groups.items() if group}
    found = most_confused(list(groups.values()), selection.folders, MOST_PAIRS)
    records = [r for cell in cells for r in cell.records if isinstance(r, EvaluateRecord)]
    names = names_of(records[0], selection.folders) if records else ()
    rows = [
        (
            _class(names, each.label),
            _class(names, each.taken_for),
            *(f"{n:,} of {m:,} ({100 * n / m:.1f} %)" if m else "" for n, m in each.counts),
        )
        for each in found
    ]
    return Grid(("class", "taken for", *groups), rows)


def _alike(grid: Grid) -> list[Block]:
    """The grid; where both of its arms say the same, once."""
    if len(grid.header) < 4 or any(row[2] != row[3] for row in grid.rows):
        return [grid]
    base, variant = grid.header[2:]
    said = f"“{base}” and “{variant}” confuse these equally often: one column is for both."
    return [said, Grid((*grid.header[:2], f"{base}, {variant}"), [row[:3] for row in grid.rows])]


# Settings


def _settings(selection: Selection) -> Iterator[Section]:
    rows = [row for table in selection.matrix.tables for row in _differences(selection, table)]
    header = ("table", "setting", "baseline", "here", "columns", "rows")
    whole = Details("All settings", settings(selection).blocks)
    differ = (Grid(header, rows),) if rows else ("No cell has a baseline.",)
    yield Section(2, "Settings", (*differ, whole))


def _differences(selection: Selection, table: Table) -> Iterator[tuple[str, ...]]:
    """What differs between cells and those that they are compared with; cells that differ from
    theirs in the same have one row."""
    arms = {
        (training.signature, arm.track.key): written
        for arm, written in zip(selection.matrix.arms, selection.settings, strict=True)
        for training in arm.trainings
    }
    cells: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for (r, c), (base_r, base_c) in table.baseline.items():
        before = _asked(table.cells[base_r][base_c], arms)
        after = _asked(table.cells[r][c], arms)
        for name in [name for name in {**before, **after} if before.get(name) != after.get(name)]:
            told = name, before.get(name, ""), after.get(name, "")
            columns, rows = cells.setdefault(told, ({}, {}))
            columns[table.columns[c].header] = None
            rows[table.rows[r]] = None
    for told, (columns, rows) in cells.items():
        yield (table.name, *told, ", ".join(columns), ", ".join(rows))


def _asked(
    requests: Sequence[Request], arms: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, str]:
    """By name what a cell asks for: its arm's settings, and how it is evaluated or timed."""
    request = requests[0]
    own = request.spec if isinstance(request.spec, MetricSpec) else None
    of = own.evaluation if own else request.spec
    spec = of.model_dump(mode="json", exclude={"training", "ema", "own_model"})
    spec |= {"metric": own.metric.written} if own else {}
    asked = {} if request.spec is request.training else spec
    training = request.training
    written = arms.get((training.signature, request.track.key), {}) if training else {}
    return {name: plain(value) for name, value in {**asked, **written}.items()}


# What it ran on, what it cost, what is missing


def _environment(selection: Selection) -> Iterator[Section]:
    if selection.used:
        yield environment(selection)


def _cost(selection: Selection) -> Iterator[Section]:
    if any(used.cost for used in selection.used):
        whole = cost(selection)
        there = [block for block in whole.blocks if not isinstance(block, Grid) or block.rows]
        yield replace(whole, blocks=there)


def _alarm(selection: Selection) -> Iterator[Alarm]:
    """Where a job failed: how many, what they hold up, and the first one's cause."""
    failed = [job for job in selection.open_jobs if job.state == "failed"]
    blocked = sum(job.state == "blocked" for job in selection.open_jobs)
    if failed:
        said = f"{len(failed):,} of {counted(selection.jobs, 'job')} failed"
        said += f", {blocked:,} blocked by that" if blocked else ""
        first = f"{failed[0].name}: {printable(failed[0].reason)}"
        yield Alarm(said, f"First: {first}" if len(failed) > 1 else first, "failures")


def _failures(jobs: Sequence[OpenJob]) -> Iterator[Section]:
    failed = [job for job in jobs if job.state == "failed"]
    blocks: list[Block] = []
    for job in failed[:MOST_JOBS]:
        blocks.append(Bullets([f"{job.name}: {printable(job.reason)}"]))
        if job.log and (end := _end(job.log)):
            blocks.append(Details(f"The end of the log of {job.name}", (Log(end),)))
    if len(failed) > MOST_JOBS:
        blocks.append(f"And {len(failed) - MOST_JOBS:,} more.")
    if blocks:
        yield Section(2, "Failures", blocks, "failures")


def _end(log: Path) -> str:
    """The last lines of a log, with what can't be printed as its escapes; nothing where it is
    gone."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(printable(line.expandtabs()) for line in text.splitlines()[-LOG_LINES:])


def state(jobs: int, left: Sequence[OpenJob], is_live: bool) -> str:
    """How far the run is, in a sentence."""
    counts = Counter(job.state for job in left)
    done = f"{jobs - len(left):,} of {counted(jobs, 'job')} done"
    others = [f"{counts[name]:,} {name}" for name in get_args(OpenState) if counts[name]]
    said = ", ".join([done if left else f"All {counted(jobs, 'job')} done", *others])
    return f"{said}. " + ("It runs: this page reloads itself." if is_live and others else "")


def _not_done(jobs: Sequence[OpenJob]) -> Iterator[Section]:
    left = [job for job in jobs if job.state != "failed"]
    if not left:
        return
    rows = [(job.name, job.state, ", ".join(job.waits_for)) for job in left[:MOST_JOBS]]
    blocks: list[Block] = [Grid(("job", "state", "waits for"), rows)]
    blocks += [f"And {len(left) - MOST_JOBS:,} more."] if len(left) > MOST_JOBS else []
    if len(left) > FEW_JOBS:
        blocks = [Details(f"{len(left):,} jobs", blocks)]
    yield Section(2, "To do", blocks)
