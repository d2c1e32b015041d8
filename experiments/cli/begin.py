"""`--init`: look at a folder, write a matrix that fits it, say what comes next."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from classifier.basics.console import Counted
from classifier.basics.errors import UserError
from classifier.basics.machine import Platform, cpu_device
from classifier.basics.names import printable
from classifier.basics.progress import duration
from classifier.cli.entry import ALL_DONE
from experiments.begin import choosing, looking, writing
from experiments.begin.choosing import Choice
from experiments.begin.looking import Looked
from experiments.cli.options import parser
from experiments.execution.engines.local import jobs_at_a_time, platform_of
from experiments.matrix.load import load
from experiments.plan import plan as planning
from experiments.plan.plan import Plan
from experiments.session import show_plan
from experiments.session.runner import check_apart
from experiments.session.show_plan import Places
from experiments.store.store import Store

NOT_TAKEN = ("matrices", "smoke", "set", "seeds", "data_root", "json")


def write(options: argparse.Namespace) -> int:
    """Raises UserError, with nothing written, where the folder can't be trained on."""
    file = _new(options)
    folder: Path | None = options.data
    looked = looking.digits() if folder is None else looking.look(folder, _counting)
    here = platform_of(options.devices)
    devices = ("cpu",) if here.device == cpu_device() else ("0",)
    places = Places(devices, jobs_at_a_time(devices, options.jobs_per_device))
    choice = choosing.choose(looked, devices != ("cpu",), places.jobs)
    root = looked.root
    if root is not None:
        check_apart([looked.data, *looked.others], root, options.runs, options.reports)
    outside = root if root is not None and writing.root_from(root, file) is None else None
    command = f"{parser().prog} {_shown(file)}"
    command += f" --data-root {_shown(outside)}" if outside is not None else ""
    matrix = load(file, data_root=outside, text=writing.matrix(_counted(looked), choice, file, ""))
    plan = planning.make([matrix], Store(options.runs).read(), here, matrix.data_root)
    cost = list(_cost(plan, choice, here, places))
    _create(file, writing.matrix(looked, choice, file, command, cost))
    print(f"{printable(looked.title)}: {writing.about(looked)}")
    for odd in looked.odd:
        print(f"  odd: {printable(odd)}")
    print(
        f"{printable(str(file))}: {choice.model} at {choice.image_size} x {choice.image_size}, "
        f"{choice.epochs} epochs, with and without an average of its weights (ema), three seeds"
    )
    for line in cost:
        print(f"  {line}")
    print(f"next:\n  {command} --plan    what would run, and what it could tell at best")
    print(
        f"  {command}           run it; then open {_shown(options.reports / file.stem)}/index.html"
    )
    return ALL_DONE


def _counting() -> Counted:
    return Counted("looking at images")


def _new(options: argparse.Namespace) -> Path:
    """The file to write. Raises UserError where it can't be, or for options that go with a run."""
    if options.init is None:
        raise UserError(
            "--data names a folder for --init; where a matrix's data lie is --data-root"
        )
    for name in NOT_TAKEN:
        if getattr(options, name):
            said = "a matrix" if name == "matrices" else f"--{name.replace('_', '-')}"
            raise UserError(f"--init writes a matrix, and takes no {said.removeprefix('a ')}")
    file: Path = options.init
    if file.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"--init {file}: name a file that ends in .yaml")
    if os.path.lexists(file):
        raise UserError(f"{file} is there already, and --init never overwrites: name another file")
    if not file.parent.is_dir():
        raise UserError(f"{file}: the folder {file.parent} is not there")
    return file


def _counted(looked: Looked) -> Looked:
    """As a plan is to count it: many images all as readable, for to know more it would have to
    decode them."""
    if looked.is_whole:
        return looked
    return replace(looked, data=looked.data.model_copy(update={"on_bad_image": "error"}))


def _cost(plan: Plan, choice: Choice, here: Platform, places: Places) -> Iterator[str]:
    """What a plan of the matrix says now, here."""
    ends = list(show_plan.until_the_end(plan, places))
    told = "; ".join([*show_plan.totals(plan), *ends])
    yield f"Cost, as estimated on {date.today()} for {here.device}: {told}."
    if choice.minutes is not None and not ends:
        yield (
            f"A rough guess by the network's size alone, where a core is like that of "
            f"docs/numbers.md: {duration(60 * choice.minutes)} for the trainings on {places.named}."
        )


def _create(file: Path, text: str) -> None:
    """Raises UserError where it is there by now, or can't be written; no part of it is left."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            try:
                opened.write(text)
            except BaseException:
                file.unlink()
                raise
    except FileExistsError as error:
        raise UserError(f"{file} is there already, and --init never overwrites") from error
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror}") from error


def _shown(path: Path) -> str:
    """As a shell takes it."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
