"""What must be known of a table to read it: what ran where, what was asked for and not done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence, Set

from classifier.basics.machine import Platform, without_instructions
from classifier.basics.names import counted
from classifier.config.family import LOOKS
from classifier.data.batches import left_over
from classifier.records.record import BenchmarkRecord, Environment, Record, TrainRecord
from experiments.matrix.model import Matrix
from reports.figures.disagreements import Folders
from reports.figures.guessing import guess
from reports.figures.select import Cell, Missing, SelectedTable, Selection
from reports.figures.tables import figures
from reports.words.phrases import as_sentence

MOST_NAMED = 10
"""Rows."""


def notes(selection: Selection, table: SelectedTable) -> list[str]:
    """Sentences for under a table of its matrix."""
    matrix = selection.matrix
    said = (
        *on_form(table),
        *_own(table),
        *_spread(matrix, table),
        *_learnt_nothing(table, selection.folders),
        *_not_recorded(table),
        *_emulation(table),
        *_amp(table),
        *_compiled(table),
        *_left_over(table),
        *_warmups(table),
        " ".join(_mixed(table)),
        *_shared(table),
        *_means(matrix, table),
        *_folds(table),
        *_sequential(matrix, table),
    )
    return [note for note in said if note]


def on_form(table: SelectedTable) -> list[str]:
    """How its figures are written, where it is not as the changelog writes them."""
    cells = [cell for row in table.cells for cell in row if not cell.form.is_hidden]
    notes = []
    if percent := _quoted(cell.column.header for cell in cells if cell.form.percent):
        notes.append(
            f"In percent, differences in points: {percent}. Other tables of a report, verdicts and "
            "CSVs have shares of 1."
        )
    if differences := [cell for cell in cells if cell.shows_difference]:
        pairs = dict.fromkeys(_pair(cell) for cell in differences)
        notes.append(f"A figure with a sign is a difference: {', '.join(pairs)}.")
    rows = _quoted(row[0].row for row in table.cells if all(c.form.is_hidden for c in row))
    columns = zip(*table.cells, strict=True)
    hidden = _quoted(of[0].column.header for of in columns if all(c.form.is_hidden for c in of))
    if rows or hidden:
        notes.append(
            f"Not shown, as the matrix says: {' and '.join(filter(None, (rows, hidden)))}."
        )
    return notes


def _own(table: SelectedTable) -> Iterator[str]:
    """What a column shows of the user's: its settings, its code, and which way is better."""
    for column in (cell.column for cell in table.cells[0]):
        if column.own is not None:
            better = "more" if column.more_is_better else "less"
            written = json.dumps(column.own.written, ensure_ascii=False)
            yield f"“{column.header}” is the metric {written}; {better} is better."


def _pair(cell: Cell) -> str:
    """What is subtracted from what, by column or by row."""
    base = cell.baseline
    assert base is not None
    by_row = base.column.header == cell.column.header
    names = (cell.row, base.row) if by_row else (cell.column.header, base.column.header)
    return " minus ".join(f"“{name}”" for name in names)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in dict.fromkeys(names))


def _spread(matrix: Matrix, table: SelectedTable) -> Iterator[str]:
    shown = (cell for row in table.cells for cell in row if not cell.form.is_hidden)
    cells = [cell for cell in shown if cell.missing is None]
    spreads, seeds = {cell.form.spread for cell in cells}, len(matrix.seeds)
    if "deviation" in spreads:
        if seeds > 1:
            differ = any(c.shows_difference and c.form.spread == "deviation" for c in cells)
            of = "; of a difference that of the seeds' differences" if differ else ""
            yield f"±: the standard deviation (n - 1) over {seeds} seeds{of}."
        else:
            yield "± is not there: a deviation takes two seeds at least."
    if "interval" in spreads:
        speaks = f"over {seeds} seeds" if seeds > 1 else "from one seed: another is not in it"
        yield f"[ ]: the 95 % interval of the figure before it, {speaks}."


def _learnt_nothing(table: SelectedTable, folders: Folders) -> Iterator[str]:
    found = {(of.signature, of.unit): guess(of, folders) for of in table.accuracies}
    guessing = {key: of.why for key, of in found.items() if of is not None}
    if guessing:
        where = list(_where_it_guesses(table, guessing.keys()))
        more = f" and {len(where) - MOST_NAMED} more" if len(where) > MOST_NAMED else ""
        whys = list(dict.fromkeys(filter(None, guessing.values())))[:MOST_NAMED]
        why = f" ({'; '.join(whys)})" if whys else ""
        named = f": {'; '.join(where[:MOST_NAMED])}{more}"
        yield (
            f"{len(guessing)} of {len(table.accuracies)} accuracies are those of guessing: what "
            "they belong to has learnt nothing yet"
            f"{named if len(guessing) < len(table.accuracies) else ''}{why}."
        )


def _where_it_guesses(table: SelectedTable, guessing: Set[tuple[str, str]]) -> Iterator[str]:
    """A row, with the columns where it is not all of them."""
    for row in table.cells:
        cells = [cell for cell in row if not cell.column.is_cost and not cell.column.is_speed]
        columns = {
            cell.column.header: None
            for cell in cells
            if any((of.signature, of.unit) in guessing for of in cell.records)
        }
        if columns:
            is_whole = len(columns) == len(cells)
            yield row[0].row if is_whole else f"{row[0].row} ({', '.join(columns)})"


def emulated_on(table: SelectedTable) -> Environment | None:
    """Where FP16 was emulated, if it was."""
    for ran in (record.environment for record in table.records):
        if ran.precision == "fp16" and ran.device_kind == "cpu" and not ran.machine.native_fp16:
            return ran
    return None


def _emulation(table: SelectedTable) -> Iterator[str]:
    if ran := emulated_on(table):
        yield (
            f"FP16 was emulated: this CPU ({without_instructions(ran.device)}) has no FP16 "
            "arithmetic of its own, so FP16 is slower there than FP32. The FP16 speeds say "
            "nothing of a GPU, and its accuracies may differ in single images."
        )


def _amp(table: SelectedTable) -> Iterator[str]:
    ran = (*table.accuracies, *table.trainings)
    if any(r.training.amp is True and r.environment.device_kind == "cpu" for r in ran):
        yield "amp was asked for, but trainings on a CPU ran in FP32."


def _compiled(table: SelectedTable) -> Iterator[str]:
    ran = {r.training.signature: r.training.compile for r in (*table.accuracies, *table.trainings)}
    if any(ran.values()):
        yield (
            f"{sum(ran.values())} of {len(ran)} trainings ran compiled: torch.compile fuses "
            "operations, so last digits may differ from those of one that did not."
        )


def _left_over(table: SelectedTable) -> Iterator[str]:
    """On the trainings that saw not all of their images in each epoch."""
    titles = table.titles
    names = {
        record.training.signature: titles.get(cell.data, "")
        for row in table.cells
        for cell in row
        for record in cell.records
        if cell.data and not isinstance(record, BenchmarkRecord)
    }
    sizes = {
        (names[of.training.signature], of.data.train, of.training.batch_size)
        for of in table.accuracies
        if of.training.draws_each_once and of.training.signature in names  # not one fold of some
    }
    for name, images, batch_size in sorted(sizes):
        if said := left_over(images, batch_size):
            yield f"{name}: {said}." if name else as_sentence(said)


def _warmups(table: SelectedTable) -> Iterator[str]:
    """On those that left nothing of the training."""
    trained = [record.training for record in (*table.accuracies, *table.trainings)]
    said = (each.warmup.remark(each.epochs) for each in trained if each.warmup)
    for remark in dict.fromkeys(filter(None, said)):
        yield as_sentence(remark)


def _mixed(table: SelectedTable) -> Iterator[str]:
    """On what did not all run alike: sentences of one item."""
    ran = {r.environment.platform for r in (*table.accuracies, *table.trainings)}
    trained = {record.environment.platform for record in table.trainings}
    measured = {record.environment.platform for record in table.speeds}
    moved = {record.spec.slug for record in table.trainings if record.moved}
    if len(ran) > 1:
        yield (
            "This table mixes devices, threads or versions, so last digits may differ: "
            f"{_listed(ran)}."
        )
    if len({platform.instructions for platform in ran}) > 1:
        yield (
            "Between instruction sets rounding differs in every step, so accuracies may differ as "
            "those of two seeds do."
        )
    if len(trained) > 1 and table.timed:
        yield "What trainings took in different places can't be compared."
    if len(measured) > 1:
        yield f"Its speeds were measured in different places: {_listed(measured)}."
    if moved:
        yield (
            "Interrupted, and gone on with another device, number of threads or version: "
            f"{', '.join(sorted(moved))}."
        )


def _listed(platforms: Iterable[Platform]) -> str:
    shown = (
        f"{p.device}, {counted(p.threads, 'thread')}, torch {p.torch}" for p in sorted(platforms)
    )
    return "; ".join(shown)


def _not_recorded(table: SelectedTable) -> Iterator[str]:
    missing = [c for row in table.cells for c in row if c.missing is Missing.NOT_RECORDED]
    uncounted = [cell for cell in missing if all(map(_is_new, cell.records))]
    if uncounted:
        names = ", ".join(dict.fromkeys(cell.row for cell in uncounted))
        yield f"{Missing.NOT_RECORDED.value} of {names}: a network that can't be counted."
    if len(uncounted) < len(missing):
        yield (
            f"{Missing.NOT_RECORDED.value}: a training from before this was kept; it stays so "
            "unless its folder in the runs is deleted and it is trained again."
        )


def _is_new(record: Record) -> bool:
    """Whether it was made when these figures were kept."""
    return isinstance(record, TrainRecord) and record.parameters is not None


def _shared(table: SelectedTable) -> Iterator[str]:
    several = [records for records in table.timed if len(records) > 1]
    if several:
        listed = " | ".join(dict.fromkeys(map(_differing, several)))
        yield (
            f"{len(several)} of {len(table.timed)} trainings were of several arms ({listed}): the "
            "seconds of each are to its own end, the memory is the whole training's, and both "
            "were spent once."
        )


def _differing(records: Sequence[TrainRecord]) -> str:
    """In what arms differ that one training has done."""
    tracks = sorted({record.track for record in records}, reverse=True)
    said = [", ".join(tracks)] if len(tracks) > 1 else []
    for name in ("epochs", *LOOKS):
        values = sorted({getattr(record.spec, name) for record in records})
        said += [f"{name} {', '.join(map(str, values))}"] if len(values) > 1 else []
    return "; ".join(said)


def _means(matrix: Matrix, table: SelectedTable) -> Iterator[str]:
    if len(matrix.seeds) > 1:
        columns = [cell.column for cell in table.cells[0]]
        plain = all(c.is_speed or c.metric in ("accuracy", "mpa", "top5") for c in columns)
        others = "figure but a speed" if any(c.is_speed for c in columns) else "figure"
        of = "accuracy" if plain else others
        shown = (cell for row in table.cells for cell in row if not cell.form.is_hidden)
        is_part = any(cell.missing and figures(cell) for cell in shown)
        but = "; with a count, over so many of them only" if is_part else ""
        yield f"Each {of} is the mean over seeds {', '.join(map(str, matrix.seeds))}{but}."


def _folds(table: SelectedTable) -> Iterator[str]:
    """What a figure is where the data are cut into folds."""
    cells = [cell for row in table.cells for cell in row if cell.data and cell.data.folds]
    counts = sorted({cell.data.folds for cell in cells if cell.data and cell.data.folds})
    if not counts:
        return
    columns = [cell.column for cell in cells]
    said = f"Cross-validation of {' and '.join(map(str, counts))} folds"
    if any(c.part == "test" and not c.is_cost for c in columns):
        said += ": a figure of test is of all folds' test parts together, every image once"
    if any(c.part != "test" and not c.is_cost for c in columns):
        said += "; one of val or train is the mean over the folds"
    if any(c.is_cost for c in columns):
        said += "; a cost is that of one training, the mean over the folds"
    yield f"{said}."


def _sequential(matrix: Matrix, table: SelectedTable) -> Iterator[str]:
    if table.is_published and any(data.split == "sequential" for data in matrix.data):
        yield (
            "The split has the published split's sizes, not its membership, which was never "
            "published: a part of each difference is that of the images."
        )
