"""Looking after a store: what it holds, what of it is damaged, what no matrix needs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tabulate import tabulate

from classifier.basics.console import Counted
from classifier.basics.errors import UserError
from classifier.basics.files import short_name
from classifier.basics.names import counted
from classifier.basics.progress import OnCount, duration
from classifier.records import runs
from classifier.records.record import Record
from experiments.store import leases
from experiments.store.about import about
from experiments.store.damage import problem_of
from experiments.store.layout import (
    ALSO,
    BENCHMARK,
    DELETED,
    STATES,
    Needed,
    copies,
    folders,
    has_failed,
    is_signed,
    is_unit,
    is_work,
    signature_of,
    units,
)
from experiments.store.store import Store


@dataclass(frozen=True)
class Run:
    """A run's folder, at a glance."""

    name: str
    done: int
    """Published units."""
    state: str
    """Of its work: `running`, `failed`, `interrupted`, or nothing."""
    size: int
    """Bytes."""
    changed: float
    """Seconds since the epoch."""
    about: str = ""
    """Of a training whose record is there: its data, and what else its name does not tell."""


def show(store: Store) -> int:
    """Print what the store holds. Gives the exit code, as the next two do."""
    runs = status(store)
    now = time.time()
    rows = [
        (run.name, run.about, run.done, run.state, _megabytes(run.size), _age(now - run.changed))
        for run in runs
    ]
    if rows:
        aligned = ("left", "left", "right", "left", "right", "right")
        headers = ("run", "about", "done", "state", "size", "changed")
        print(tabulate(rows, headers, disable_numparse=True, colalign=aligned), end="\n\n")
    print(f"{len(runs)} runs in {store.root}, {_megabytes(sum(run.size for run in runs))}")
    states = folders(store.root / STATES)
    if states:
        size = sum(map(_size, states))
        print(f"kept states of {counted(len(states), 'training')}, {_megabytes(size)}")
    if copied := copies(store.root):
        size = sum(map(_size, copied))
        print(f"copies of {counted(len(copied), 'run')} from servers, {_megabytes(size)}")
    return 0


def check(store: Store) -> int:
    """Read all that the store holds, and name what is damaged."""
    damaged = 0
    for line in verify(store, Counted("verifying")):
        damaged += 1
        print(line)
    print(f"{damaged} damaged" if damaged else f"all that {store.root} holds is whole")
    return 1 if damaged else 0


def prune(store: Store, needed: Collection[Needed], sure: bool) -> int:
    """Say what is not needed, ask unless `sure`, delete it."""
    unneeded = waste(store, needed)
    for folder, size in unneeded.folders:
        print(f"{_megabytes(size):>12}  {folder}")
    for reason in unneeded.left:
        print(f"left alone: {reason}")
    if not unneeded.folders:
        print("nothing to delete: the given matrices need all of it")
        return 0
    total = _megabytes(sum(size for _, size in unneeded.folders))
    print(f"{len(unneeded.folders)} folders that the given matrices do not need, {total}")
    if not sure and not sys.stdin.isatty():
        print("nothing was deleted; --yes deletes without asking")
    elif sure or input("delete them? [y/N] ").strip().lower() in ("y", "yes"):
        still = dict(waste(store, needed).folders)  # a runner may have begun in the meantime
        delete([folder for folder, _ in unneeded.folders if folder in still])
        kept = len(unneeded.folders) - sum(folder in still for folder, _ in unneeded.folders)
        print("deleted" if not kept else f"deleted, but for {kept}: they are in use now")
    else:
        print("nothing was deleted")
    return 0


def _age(seconds: float) -> str:
    """A file may be dated by another machine's clock."""
    return f"{duration(seconds)} ago" if seconds >= 0 else "in the future"


def _size(folder: Path) -> int:
    return sum(stat.st_size for stat in _files(folder))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def status(store: Store) -> list[Run]:
    """Every run of the store, in the order of its name."""
    held = leases.held(store.root)
    there = folders(store.root)
    found = [_run(folder, held) for folder in there]
    records = {folder.name: record for folder in there if (record := _any_record(folder))}
    trained = {name: record.spec.trained for name, record in records.items()}
    said = about({name: spec for name, spec in trained.items() if spec})
    return [replace(run, about=said.get(run.name, "")) for run in found]


def _any_record(run: Path) -> Record | None:
    for unit in filter(is_unit, folders(run)):
        try:
            return runs.read_record(unit)
        except UserError:  # damaged: --verify names it
            continue
    return None


def _run(folder: Path, held: set[str]) -> Run:
    work = [unit for unit in folders(folder) if is_work(unit)]
    states = {_work_state(unit, held) for unit in work}
    state = next((s for s in ("running", "failed", "interrupted") if s in states), "")
    files = list(_files(folder))
    size = sum(stat.st_size for stat in files)
    changed = max((stat.st_mtime for stat in files), default=folder.stat().st_mtime)
    return Run(folder.name, sum(map(is_unit, folders(folder))), state, size, changed)


def _work_state(work: Path, held: set[str]) -> str:
    if signature_of(work) in held:
        return "running"
    return "failed" if has_failed(work) else "interrupted"


def _files(folder: Path) -> Iterator[os.stat_result]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield (Path(parent) / name).lstat()


def verify(store: Store, progress: OnCount) -> Iterator[str]:
    """Read every record, checkpoint and prediction; a line for each unit that is damaged."""
    there = units(store.root)
    for done, unit in enumerate(there, start=1):
        if problem := problem_of(unit):
            yield f"{problem}; delete {unit} to have it done again"
        progress(done, len(there))


@dataclass(frozen=True)
class Waste:
    """Folders that no matrix needs, and what is left alone all the same."""

    folders: tuple[tuple[Path, int], ...]
    """With their bytes; a run of which nothing is needed is one folder."""
    left: tuple[str, ...]


def waste(store: Store, needed: Collection[Needed]) -> Waste:
    """What of the store is not needed. Runs named by hand and what is running are left alone."""
    busy = _busy(store)
    places = ("", "*/", f"{ALSO}/*/")
    unneeded = [each for place in places for each in store.root.glob(f"{place}{DELETED}*")]
    left: list[str] = []
    for run in folders(store.root):
        if run.is_symlink() or not is_signed(run) or _is_of_another_name(run):
            left.append(f"{run} is a link" if run.is_symlink() else f"{run} was named by hand")
            continue
        if signature_of(run) in busy:
            left.append(f"{run} is being worked on")
            continue
        ours = [unit for unit in folders(run) if is_unit(unit) or is_work(unit)]
        gone = [unit for unit in ours if not _is_needed(run, unit, needed)]
        if gone and len(gone) == len(list(run.iterdir())):
            unneeded.append(run)
        else:
            unneeded += gone
    wanted = {of for of, _ in needed}
    for folder in (*folders(store.root / STATES), *copies(store.root)):
        if signature_of(folder) in busy:
            left.append(f"{folder} is being worked on")
        elif signature_of(folder) not in wanted:
            unneeded.append(folder)
    return Waste(tuple((folder, _size(folder)) for folder in unneeded), tuple(left))


def _busy(store: Store) -> set[str]:
    """The signatures of runs in which a runner works, or is to work next: a lease on what looks at
    a training ends with the training's."""
    held = leases.held(store.root)
    of = {name.rpartition("-")[2] for name in leases.living(store.root)}
    work = [unit for run in folders(store.root) for unit in folders(run) if is_work(unit)]
    return {signature_of(unit.parent) for unit in work if signature_of(unit) in held} | held | of


def _is_of_another_name(run: Path) -> bool:
    """Whether a person named it, though in the way of a runner: as with a date at its end."""
    record = _any_record(run)
    return record is not None and record.spec.run.signature != signature_of(run)


def _is_needed(run: Path, unit: Path, needed: Collection[Needed]) -> bool:
    name = BENCHMARK if unit.name.startswith(BENCHMARK) else unit.name
    return (signature_of(run), name) in needed


def delete(folders: Iterable[Path]) -> None:
    """Each folder at once: it is renamed first, so that nobody reads a half of it."""
    for folder in folders:
        doomed = folder
        if not folder.name.startswith(DELETED):
            doomed = folder.rename(folder.with_name(short_name(DELETED + folder.name)))
        shutil.rmtree(doomed)
