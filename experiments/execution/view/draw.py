"""A picture, drawn for a terminal of any size: what there is no room for gives way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from rich.align import Align
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from classifier.basics.progress import Progress as Said
from classifier.basics.progress import duration
from experiments.execution.view.picture import Picture, Row, Table, together
from experiments.execution.view.short_names import GONE, least_room, told_apart

HEADERS = ("device", "runner", "at", "progress", "images/s", "best val", "time left")
GIVE_WAY = ("images/s", "device", "best val", "runner", "at", "progress", "time left")
"""In which order these columns leave a terminal that is too narrow for all."""
ROOM = 16
"""Cells of a name for which columns give way, though fewer would tell the names apart."""
GAP = 2
"""Cells between columns."""
MOST_AT = 24
"""Cells of what a job is at."""
BAR, LONGEST_BAR = 8, 24
"""Cells of a job's bar, at least and at most."""

LONGEST_WORD = 12
"""Cells of a header's word that are not broken."""

_ORDINALS = {2: "second try", 3: "third try"}


def which_try(tries: int) -> str:
    """Said of all but the first."""
    return f" ({_ORDINALS.get(tries, f'try {tries}')})" if tries > 1 else ""


def drawn(picture: Picture, console: Console) -> RenderableType:
    """The whole, what runs, and as many of the tables as there is room for."""
    width, height = console.width, max(console.height - 1, 1)
    top = [*_whole(picture, width), _summary(picture, width), *_failure(picture, width)]
    room = height - _height(Group(*top), console)
    rows, hidden = together(picture.rows), 0
    most = max(room - 1 if not picture.tables else (room - 1) // 2, 1)
    if len(rows) > most:
        rows, hidden = rows[: max(most - 1, 1)], len(rows) - max(most - 1, 1)
    running: list[RenderableType] = [_running(rows, width)] if rows else []
    running += [Text(f"{GONE} and {hidden} more", style="dim")] if hidden else []
    room -= _height(Group(*running), console) if running else 0
    return Group(*top, *running, *_fitting(picture, console, room))


def _height(what: RenderableType, console: Console) -> int:
    return len(console.render_lines(what, pad=False))


def _whole(picture: Picture, width: int) -> list[RenderableType]:
    """A bar for all jobs together, by rich's own."""
    if width < BAR + 6:
        return []
    columns = (
        BarColumn(bar_width=min(width - 6, 60)),
        TextColumn("{task.percentage:>3.0f} %", table_column=Column(no_wrap=True)),
    )
    bar = Progress(*columns, auto_refresh=False)
    bar.add_task("", total=1000, completed=min(int(1000 * picture.left.share), 1000))
    return [bar.get_renderable()]


def _summary(picture: Picture, width: int) -> Text:
    lost = sum(row.is_lost for row in picture.rows)
    runners = picture.runners
    parts = [
        f"{picture.done} done",
        f"{len(picture.rows) - lost} running",
        f"{picture.waiting} waiting",
        *([f"{lost} lost"] if lost else []),
        *([f"{picture.failed} failed"] if picture.failed else []),
        *([f"{picture.blocked} blocked"] if picture.blocked else []),
        *([f"{duration(picture.so_far)} so far"] if picture.so_far is not None else []),
        *([_left(picture, width)] if picture.is_unfinished else []),
    ]
    if runners is not None:
        parts.append({0: "nobody runs", 1: "1 runner"}.get(runners, f"{runners} runners"))
    lines = [parts[0]]
    for part in parts[1:]:  # rich would break inside a part
        fits = cell_len(lines[-1]) + GAP + cell_len(part) <= width
        lines[-1:] = [f"{lines[-1]}{' ' * GAP}{part}"] if fits else [lines[-1], part]
    return Text("\n".join(lines), style="bold")


def _left(picture: Picture, width: int) -> str:
    """With the time of day when it ends, and the day where that is another, if there is room."""
    seconds = picture.left.seconds
    if seconds is None:
        return "time left unknown"
    end = picture.now + timedelta(seconds=seconds)
    day = "" if end.date() == picture.now.date() else f"{end:%a %d %b} "
    left, clock = f"about {duration(seconds)} left", f" (≈ {day}{end:%H:%M})"
    return left + clock if cell_len(left + clock) <= width else left


def _failure(picture: Picture, width: int) -> list[RenderableType]:
    """Why the first failed, in a line; what of it there is no room for stands in the log."""
    if not picture.failure:
        return []
    said = Text(f"failed: {picture.failure}", style="red", no_wrap=True)
    said.truncate(width, overflow="ellipsis")
    return [said]


# What runs -------------------------------------------------------------------------------------


def _running(rows: Sequence[Row], width: int) -> RichTable:
    """A row for each running job, in `width` cells: columns give way, the least needed first, until
    the names can be told apart in what is left."""
    names = _names(rows)
    columns = _columns(rows)
    wanted = max(least_room(names), min(max(map(cell_len, ("job", *names))), ROOM))
    leaving = iter(GIVE_WAY)
    while _room(columns, width) < wanted and (gone := next(leaving, None)):
        columns.pop(gone, None)
    shown = told_apart(names, tuple(row.job.id for row in rows), max(_room(columns, width), 1))
    spare = _room(columns, width) - max(map(cell_len, ("job", *shown)))
    table = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for header in ("job", *columns):
        table.add_column(header, no_wrap=True)
    for index, (name, row) in enumerate(zip(shown, rows, strict=True)):
        bar = _bar(row, min(BAR + max(spare, 0), LONGEST_BAR))
        cells = (bar if header == "progress" else Text(of[index]) for header, of in columns.items())
        table.add_row(Text(name), *cells, style="red" if row.is_lost else "")
    return table


def _names(rows: Sequence[Row]) -> tuple[str, ...]:
    """Of what runs, each another: those of two data sets may be the same, which `--plan` tells
    apart by their ids."""
    names = [
        f"{row.job.name}{f' +{row.more}' if row.more else ''}{which_try(row.running.tries)}"
        for row in rows
    ]
    often = Counter(names)
    named = zip(names, rows, strict=True)
    return tuple(f"{name} {row.job.id}" if often[name] > 1 else name for name, row in named)


def _columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What is said of each running job beside its name, by the column's header; without a column
    that is empty, and a bar as blanks."""
    columns: dict[str, list[str]] = {header: [] for header in HEADERS}
    for row in rows:
        latest = row.running.progress
        cells = (
            row.running.device,
            row.runner,
            set_cell_size(at, MOST_AT - 1) + GONE if cell_len(at := _at(row)) > MOST_AT else at,
            " " * BAR,
            f"{latest.images_per_second:.0f}" if latest and latest.images_per_second else "",
            best(latest) if latest else "",
            "lost" if row.is_lost else duration(row.left),
        )
        for header, cell in zip(HEADERS, cells, strict=True):
            columns[header].append(cell)
    return {header: cells for header, cells in columns.items() if header != "runner" or any(cells)}


def best(latest: Said) -> str:
    """Its best val figure so far, once that says anything."""
    if latest.best is None:
        return ""
    return "at chance" if latest.only_guesses else f"{latest.best:.5f}"


def _at(row: Row) -> str:
    latest = row.running.progress
    if row.is_lost:
        return "lost; a run takes it up"
    if latest is None:
        return "starting"
    count = "" if latest.phase.startswith("epoch") else f" {latest.done}/{latest.total}"
    return latest.phase + count


def _bar(row: Row, width: int) -> ProgressBar:
    return ProgressBar(total=1.0, completed=row.running.course.share, width=width)


def _room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """Cells that the other columns leave for the names."""
    return width - sum(
        GAP + max(map(cell_len, (header, *cells))) for header, cells in columns.items()
    )


# The tables ------------------------------------------------------------------------------------


def _fitting(picture: Picture, console: Console, room: int) -> list[RenderableType]:
    """In the page's order the tables that fit, the one that changed last before others; where none
    does, so many rows of it as do, around the one that changed."""
    latest = dict(picture.changed)
    order = [name for name, _ in reversed(picture.changed)]
    wanted = sorted(
        picture.tables,
        key=lambda table: order.index(table.name) if table.name in order else len(order),
    )
    chosen: dict[str, RenderableType] = {}
    for table in wanted:
        shown = _table(table, console.width)
        height = _height(shown, console)
        if height > room and not chosen:
            most = len(table.rows) - (height - room) - 1
            row = latest.get(table.name, 0)
            shown = _table(_around(table, row, most), console.width) if most > 0 else Text("")
            height = _height(shown, console)
            if most <= 0 or height > room:
                break
        if height <= room:
            chosen[table.name] = shown
            room -= height
    there = [table for table in picture.tables if table.name in chosen]
    signs = dict.fromkeys(sign for table in there for sign in table.legend)
    legend = [Text((" " * GAP).join(signs), style="dim")] if signs else []
    fits = _height(Group(*legend), console) <= room
    return [*(chosen[table.name] for table in there), *(legend if fits else [])]


def _around(table: Table, row: int, most: int) -> Table:
    """So many of its rows, with that one."""
    first = min(max(row - most // 2, 0), len(table.rows) - most)
    left = len(table.rows) - most
    return replace(table, rows=table.rows[first : first + most], more=left)


def _table(table: Table, width: int) -> RenderableType:
    """Its name, then as many of its columns as fit, figures whole; headers are folded."""
    names = tuple(row[0] for row in table.rows)
    most = max(map(cell_len, (table.header[0], *names)))
    room = min(most, max(width // 3, ROOM))
    least = [_least(table, column) for column in range(1, len(table.header))]
    kept = len(least)
    while kept and room + sum(GAP + each for each in least[:kept]) + _sign(kept, least) > width:
        kept -= 1
    made = RichTable(
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        header_style="dim",
        title=Text(f"\n{table.name}"),
        title_justify="left",
        title_style="bold",
    )
    made.add_column(Text(table.header[0]), no_wrap=True, min_width=room, max_width=room)
    shown = table.header[1 : kept + 1]
    widths = _widths(shown, least[:kept], width - room - _sign(kept, least))
    for header, cells in zip(shown, widths, strict=True):
        made.add_column(Text(header), width=cells, justify="right", overflow="fold")
    if kept < len(least):
        made.add_column(GONE, no_wrap=True, min_width=cell_len(GONE))
    if len(set(names)) == len(names):
        names = told_apart(names, tuple(map(str, range(len(names)))), room)
    for name, row in zip(names, table.rows, strict=True):
        made.add_row(Text(name), *map(_figure, row[1 : kept + 1]))
    if table.more:
        made.add_row(Text(f"{GONE} {table.more} more", style="dim"))
    return made


def _figure(cell: str) -> RenderableType:
    """With the blanks at its end, that stand for a sign: rich drops those of what is justified."""
    return Align.right(Text(cell, justify="left"))


def _least(table: Table, column: int) -> int:
    """Cells that a column takes: its figures whole, its header in words, if these are not long."""
    figures = (row[column] for row in table.rows)
    word = max(map(cell_len, table.header[column].split()), default=1)
    return max(*map(cell_len, figures), min(word, LONGEST_WORD), 1)


def _widths(headers: Sequence[str], least: Sequence[int], width: int) -> list[int]:
    """Of columns that stand in `width` cells: what each takes, and of what is left a cell to each
    in turn, until no header is folded. rich itself would cut figures of the last one."""
    widths, left = list(least), width - sum(GAP + each for each in least)
    while left > 0:
        folded = [c for c, header in enumerate(headers) if widths[c] < cell_len(header)]
        for column in folded[:left]:
            widths[column] += 1
        left = left - len(folded) if folded else 0
    return widths


def _sign(kept: int, columns: Sequence[int]) -> int:
    """Cells of the sign that columns were left out."""
    return GAP + cell_len(GONE) if kept < len(columns) else 0
