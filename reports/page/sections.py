"""A matrix's page as plain data, for any markup to be made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from classifier.basics.names import counted, listed, printable
from classifier.basics.progress import duration
from classifier.basics.told import plain, usual
from classifier.data.split import PARTS
from classifier.records.record import (
    BenchmarkRecord,
    Cost,
    Data,
    EvaluateRecord,
    MetricRecord,
    Some,
    TrainRecord,
    trained_in,
)
from reports.blocks import Block, Bullets, Columns, Grid, Mark, Plot, Section
from reports.figures.select import Selection
from reports.figures.tables import bare, shown
from reports.page.plots.every import Plots
from reports.statistics.answers import Answer, Judged
from reports.words.headlines import headline
from reports.words.notes import notes
from reports.words.published import published_grid
from reports.words.recipes import recipes
from reports.words.verdict_grid import marks, verdict_grid
from reports.words.verdict_notes import METHOD, verdict_notes
from reports.words.would_tell import rough, would_tell

MOST_NAMES = 10
OWNER = "matrix: "
"""What the item that names the page's matrix begins with."""


def sections(selection: Selection, answers: Sequence[Answer], plots: Plots) -> list[Section]:
    """The answers, environment, each table with what must be known of it, settings, cost."""
    drawn = zip(answers, plots.tables, strict=True)
    return [
        Section(1, selection.matrix.title, (Bullets([headline(each) for each in answers]),)),
        environment(selection),
        *(part for each, of_it in drawn for part in _table(selection, each, of_it)),
        *(Section(2, plot.title, (plot,)) for plot in plots.of_all),
        Section(2, "Method", (METHOD,)),
        settings(selection),
        cost(selection),
    ]


def measured(answer: Answer, marked: Sequence[Sequence[Mark]] | None = None) -> Grid:
    """An answer's table alone. `marked`: other marks than its own, by row, then column."""
    texts = [[shown(each.cell, _limits(each)) for each in row] for row in answer.cells]
    return bare(answer.table, texts, marks(answer) if marked is None else marked)


def _limits(judged: Judged) -> tuple[float, float] | None:
    """Of what its cell shows."""
    of = judged.comparison if judged.cell.shows_difference else judged.estimate
    return None if of is None else (of.low, of.high)


def environment(selection: Selection) -> Section:
    """A row for each machine, as in the changelog, an item for each device and versions, and one
    for each folder of somebody else's that records are from."""
    records = [used.record for used in selection.used]
    machines = dict.fromkeys(record.environment.machine for record in records)
    rows = [(m.system, m.cpu, m.gpu or "none", f"{m.ram_gib}G") for m in machines]
    setups: dict[tuple[str, str], set[str]] = {}
    for record in records:
        ran = record.environment
        versions = [f"{package} {version}" for package, version in ran.versions.items()]
        versions += [f"commit {ran.commit}"] if ran.commit else []
        work = "benchmark" if record.kind == "benchmark" else "training or evaluation"
        threads = setups.setdefault((ran.device, ", ".join(versions)), set())
        threads.add(f"{counted(ran.threads, 'thread')} a {work}")
    items = [f"{device}: {', '.join(sorted(t))}; {v}" for (device, v), t in setups.items()]
    others = selection.from_others().items()
    items += [f"from {printable(name)}: {counted(count, 'record')}" for name, count in others]
    return Section(2, "Environment", (Grid(("System", "CPU", "GPU", "RAM"), rows), Bullets(items)))


def _table(selection: Selection, answer: Answer, plots: Sequence[Plot]) -> Iterator[Section]:
    table = answer.table
    yield Section(2, table.name, (measured(answer), Bullets(notes(selection, table))))
    others = behind(selection, answer)
    parts = {"verdicts": others.pop("verdicts", ()), "plots": plots, **others}
    for about, blocks in parts.items():
        if blocks:
            yield Section(3, f"{table.name}: {about}", blocks)


def behind(selection: Selection, answer: Answer) -> dict[str, Sequence[Block]]:
    """By name what stands behind an answer's table."""
    table = answer.table
    found: dict[str, Sequence[Block]] = {}
    if verdicts := verdict_grid(answer):
        found["verdicts"] = verdicts, Bullets(list(verdict_notes(answer)))
    costs = {used.record.signature: used.cost for used in selection.used if used.cost}
    if open_ := would_tell(answer, costs):
        found["what would tell"] = open_, Bullets([rough(answer)])
    if table.is_published:
        found["published"] = (published_grid(answer),)
    if table.speeds:
        found["speeds"] = (Grid.of(table.speeds, _SPEED),)
    return found


_SPEED: Columns[BenchmarkRecord] = {
    "model": lambda record: record.spec.model,
    "precision": lambda record: record.spec.precision,
    "batch size": lambda record: str(record.spec.batch_size),
    "batches/s": lambda record: f"{record.fps:.2f}",
    "images/s": lambda record: f"{record.images_per_second:.1f}",
    "median ms": lambda record: f"{record.median_seconds * 1000:.1f}",
    "quartiles ms": lambda record: " to ".join(f"{s * 1000:.1f}" for s in record.quartiles),
    "batches timed": lambda record: str(record.iterations),
    "measured on": lambda r: f"{r.environment.device}, {counted(r.environment.threads, 'thread')}",
}


def settings(selection: Selection) -> Section:
    """All that it takes to do it again: every setting, and what differs between the arms."""
    matrix, arms = selection.matrix, selection.settings
    items = [f"{OWNER}{matrix.label}", f"seeds: {plain(list(matrix.seeds))}"]
    shared = {name: _of_most([arm[name] for arm in arms]) for name in arms[0]}
    for name, value in ((n, v) for n, v in shared.items() if v is not None):
        but = "" if all(arm[name] == value for arm in arms) else ", but where an arm says otherwise"
        items.append(f"{name}: {plain(value)}{but}")
    for arm, its in zip(matrix.arms, arms, strict=True):
        own = [f"{name} {plain(v)}" for name, v in its.items() if v != shared[name]]
        run = f"{arm.where['run']}: " if "run" in arm.where else ""
        items.append(f"arm {run}{', '.join(own) or 'as above'}")
    items += recipes(matrix.arms)
    items += [f"{name}: {plain(v)} (override)" for name, v in matrix.overrides.items()]
    return Section(2, "Settings", (Bullets([*items, *_data(selection)]),))


def _of_most(values: Sequence[Any]) -> Any:
    """The value that more than half of the arms have; None if there is none."""
    most = usual([plain(value) for value in values])
    return next((value for value in values if plain(value) == most), None)


def _data(selection: Selection) -> Iterator[str]:
    """What the records saw: of what was trained on, by name where it is several, then of what
    networks were only tried on."""
    titles = selection.titles
    sets: dict[tuple[str, str, int, str, int, int, int, int], Data] = {}
    for record in (used.record for used in selection.used):
        if isinstance(record, BenchmarkRecord):
            continue
        evaluated = record.evaluation if isinstance(record, MetricRecord) else record
        other = evaluated.spec.data if isinstance(evaluated, EvaluateRecord) else None
        trained_on = selection.is_on(record)
        own = titles[trained_on.whole] if len(titles) > 1 and other is None else ""
        fold = -1 if trained_on.fold is None or other else trained_on.fold
        sets[other.as_test if other else "", own, fold, *record.data.contents] = record.data
    for (other_name, own, fold, *_), data in sorted(sets.items()):
        before = ", ".join([*([own] if own else ()), *([f"fold {fold}"] if fold >= 0 else ())])
        for item in _of_data(data, other_name, is_first=fold <= 0):
            yield f"{before}: {item}" if before else item


def _of_data(data: Data, other: str, *, is_first: bool) -> Iterator[str]:
    """`other`: the name of data that networks were only tried on. `is_first`: whether it is not a
    further fold, of which only its parts are to be said."""
    parts = " / ".join(f"{getattr(data, part):,} {part}" for part in PARTS)
    images = f"{other}: {data.test:,} images" if other else f"images: {parts}"
    yield f"{images}, {data.classes} classes; contents {data.fingerprint}"
    if data.groups and is_first:
        yield f"groups: {data.groups:,}, each in one part"
    if data.left_out and is_first:
        yield f"left out: {listed(data.left_out)}"
    if data.skipped and is_first:
        yield f"left out, for they can't be read: {_some(data.skipped)}"
    if data.shared:
        where = "in train or val too" if other else "in more than one part"
        yield f"{where}, and a copy of what was learnt flatters: {_some(data.shared)}"
    for part, names in data.lacking.items():
        of = "1 class" if len(names) == 1 else f"{len(names)} classes"
        some = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
        yield f"{other or part} has no image of {of}: {some}"


def _some(images: Some) -> str:
    more = ", ..." if images.count > len(images.first) else ""
    return f"{images.count:,}: {', '.join(map(printable, images.first))}{more}"


def cost(selection: Selection) -> Section:
    """What the numbers cost, where that is known: what several arms come of once, to its end."""
    jobs = {"train": "training", "evaluate": "evaluation", "metric": "metric"}
    jobs |= {"benchmark": "benchmark"}
    costs: dict[str, dict[str, Cost]] = {kind: {} for kind in jobs}
    trainings: dict[str, tuple[TrainRecord, set[str]]] = {}
    for record, cost in ((used.record, used.cost) for used in selection.used):
        if cost is not None:
            spent = record.signature
            if isinstance(record, TrainRecord):
                spent = trained_in(record, cost)
                longest, tracks = trainings.get(spent, (record, set()))
                longest = max(longest, record, key=lambda each: len(each.history))
                trainings[spent] = longest, {*tracks, record.track}
            before = costs[record.kind].get(spent)
            if before is None or cost.seconds > before.seconds:
                costs[record.kind][spent] = cost
    header = ("training", "tracks", "epochs", "R-Drop passes", "time", "images/s", "peak MiB")
    rows = [
        (
            selection.names[record.signature],
            ", ".join(sorted(tracks, reverse=True)),
            str(len(record.history)),
            str(record.rdrop_passes or ""),
            duration(cost.seconds),
            f"{cost.images_per_second:.0f}" if cost.images_per_second else "",
            f"{cost.peak_memory_mib:,}" if cost.peak_memory_mib else "",
        )
        for (record, tracks), cost in zip(trainings.values(), costs["train"].values(), strict=True)
    ]
    totals = [
        f"{counted(len(of), jobs[kind])} {duration(sum(cost.seconds for cost in of.values()))}"
        for kind, of in costs.items()
        if of
    ]
    said = [f"Job time: {', '.join(totals)}."] if totals else []
    return Section(2, "Cost", (Grid(header, rows), *said))
