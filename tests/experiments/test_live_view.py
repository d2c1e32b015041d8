"""What the live view shows in terminals of any width."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from classifier.basics.progress import Progress
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.data.spec import DataSpec
from classifier.tricks.ema import Ema
from experiments.execution.engines import Slot
from experiments.execution.view import draw, live
from experiments.execution.view.live import View
from experiments.execution.view.picture import Picture, Table, together
from experiments.execution.view.remaining import Remaining
from experiments.execution.view.screen import Screen
from experiments.execution.view.short_names import least_room, told_apart
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.store.store import Store
from tests.experiments import fakes


def spec(**settings: object) -> TrainSpec:
    plain = {"data": DataSpec(name="digits"), "model": "efficientnet_v2_s"}
    return TrainSpec.model_validate(plain | settings)


LABEL = "augment AutoAugment, optimizer.weight_decay 0.0005"
RUNNING: dict[str, list[Job]] = {
    "seeds": [Job(spec(seed=seed), label=LABEL) for seed in range(4)],
    "evaluations": [
        Job(EvaluateSpec.of(spec(seed=seed), track, split=split), label=LABEL)
        for seed in (0, 1)
        for track in (RAW, Ema())
        for split in ("val", "test")
    ],
    "labels": [
        Job(spec(lr=lr, batch_size=size), label=f"lr {lr}, batch_size {size}, augment AugMix")
        for lr in (1e-3, 1e-4)
        for size in (32, 64)
    ],
    "swapped": [Job(spec(lr=1e-3), label="a 1, b 2"), Job(spec(lr=1e-2), label="a 2, b 1")],
    "kinds": [
        Job(spec(model="mobilenetv2", rdrop=True)),
        Job(spec(model="ghostnet", sam=True), label="small"),
        Job(EvaluateSpec.of(spec(model="RepVGG-A0", seed=10), RAW, split="val")),
    ],
    "wide letters": [Job(spec(lr=i / 10), label=f"{'自然な名前の実験' * 3}{i}") for i in (1, 2, 3)],
    "brackets": [Job(spec(lr=0.1), label="[/b] odd"), Job(spec(lr=0.2), label="[/c] odd")],
    "one name": [Job(spec()), Job(spec(data=DataSpec(folder="birds")))],
    "one": [Job(spec(), label=LABEL)],
    "nothing": [],
}


def shown(jobs: Sequence[Job], width: int, terminal: bool = True) -> tuple[View, io.StringIO]:
    out = io.StringIO()
    console = Console(width=width, file=out, force_terminal=terminal, color_system=None)
    view = View(Plan(tuple(jobs)), 2, Store(Path("none")), console)
    for index, job in enumerate(jobs):
        view.started(job, [Slot(str(index), 0)])
        view.progressed(job, Progress("epoch 12/150", 120 + index, 1500, 311.2, 0.91234))
    return view, out


def rows(jobs: Sequence[Job], width: int) -> list[str]:
    """The table's lines, its header first."""
    view, out = shown(jobs, width)
    view._console.print(draw._running(view.picture().rows, width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("case", RUNNING)
@pytest.mark.parametrize("width", [200, 120, 80, 40, 30, 20, 12])
def test_what_runs_can_be_told_apart(case: str, width: int) -> None:
    header, *lines = rows(RUNNING[case], width)
    assert header.startswith("job")
    assert len(lines) == len(RUNNING[case])
    assert all(cell_len(line) <= width for line in lines)
    other = ("epoch 12/150", *(f"gpu {index}" for index in range(9)))
    names = [line.split(next((o for o in other if o in line), "\n"))[0].strip() for line in lines]
    assert len(set(names)) == len(names), "by their names alone"


@pytest.mark.parametrize("case", RUNNING)
@pytest.mark.parametrize("width", [8, 4, 2, 1])
def test_a_terminal_may_be_absurdly_narrow(case: str, width: int) -> None:
    view, out = shown(RUNNING[case], width)
    view._console.print(view._drawn(view._console))
    assert all(cell_len(line) <= width for line in out.getvalue().splitlines())


def test_what_is_stopped_goes_on_or_begins_anew() -> None:
    """A training keeps its state; an evaluation has none."""
    jobs = [Job(spec()), Job(EvaluateSpec.of(spec(), RAW, split="val"))]
    view, out = shown(jobs, 200, terminal=False)
    for job in jobs:
        view.stopped(job)
    said = [line for line in out.getvalue().splitlines() if "stopped " in line]
    assert said[0].endswith(": it goes on from here") and said[1].endswith(": it begins anew")


def test_a_wide_terminal_shows_all_as_it_is() -> None:
    header, *lines = rows(RUNNING["labels"], 200)
    assert header.split("  ")[-1] == "time left" and "images/s" in header
    for index, (line, job) in enumerate(zip(lines, RUNNING["labels"], strict=True)):
        cells = [job.name, f"gpu {index}", "epoch 12/150", "━╸", "311", "0.91234", "?"]
        assert re.split(r" {2,}", line.strip()) == cells, "2 of 24 cells are a bar of 8 %"


def test_columns_give_way_before_names() -> None:
    jobs = RUNNING["kinds"]
    headers = [rows(jobs, width)[0].split()[1:] for width in (120, 80, 70, 50, 45, 30)]
    assert headers == [
        ["device", "at", "progress", "images/s", "best", "val", "time", "left"],
        ["device", "at", "progress", "best", "val", "time", "left"],
        ["at", "progress", "time", "left"],
        ["progress", "time", "left"],
        ["time", "left"],
        [],
    ], "the bar before the time left"
    for width in (120, 40):
        assert all(job.name in line for job, line in zip(jobs, rows(jobs, width)[1:], strict=True))


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (60, "efficientnet_v2_s-s{} (au…"),
        (40, "efficientnet_v2…s{}…"),
        (12, "efficien…s{}…"),
        (6, "ef…s{}…"),
        (4, "…s{}…"),
    ],
)
def test_what_all_share_gives_way(width: int, expected: str) -> None:
    names = [line.split("  ")[0].strip() for line in rows(RUNNING["seeds"], width)[1:]]
    assert names == [expected.format(seed) for seed in range(4)]


def test_lines_without_a_terminal_show_brackets_as_they_are() -> None:
    job = RUNNING["brackets"][0]
    view, out = shown([job], 80, terminal=False)
    view.failed(job, "no [/x]")
    started, failed, _ = out.getvalue().splitlines()
    assert started.endswith("train efficientnet_v2_s-s0 ([/b] odd) on gpu 0")
    assert failed.endswith("train efficientnet_v2_s-s0 ([/b] odd): no [/x]")


def test_a_training_that_was_begun_says_so() -> None:
    job = replace(RUNNING["brackets"][0], begun=0.5, course="goes on after epoch 4")
    _, out = shown([job], 80, terminal=False)
    assert out.getvalue().splitlines()[0].endswith(" on gpu 0, goes on after epoch 4")


def table(name: str, rows: int, columns: int, figure: str = "0.87654") -> Table:
    header = ("model", *(f"val accuracy(arm {column})" for column in range(columns)))
    cells = tuple((f"{name}-model-{row}", *(figure for _ in range(columns))) for row in range(rows))
    return Table(name, header, cells)


def changed(of: Table, row: int) -> Table:
    """With the first figure of that row there."""
    rows = list(of.rows)
    rows[row] = (rows[row][0], "0.12345", *rows[row][2:])
    return Table(of.name, of.header, tuple(rows))


def screen(width: int, height: int, tables: Sequence[Sequence[Table]], case: str) -> list[str]:
    """What a terminal of that size shows after it was told the tables, one after the other."""
    jobs, out = RUNNING[case], io.StringIO()
    console = Console(width=width, height=height, file=out, force_terminal=True, color_system=None)
    view = View(Plan(tuple(jobs)), 2, Store(Path("none")), console)
    for index, job in enumerate(jobs):
        view.started(job, [Slot(str(index), 0)])
    for each in tables:
        view.show(each)
    out.truncate(0)
    console.print(view._drawn(view._console))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("case", ["kinds", "evaluations", "wide letters", "nothing"])
@pytest.mark.parametrize("height", [40, 24, 15, 8])
@pytest.mark.parametrize("width", [120, 80, 40, 20])
def test_what_is_shown_fits_any_terminal(case: str, width: int, height: int) -> None:
    tables = [table("first", 4, 3), table("long", 30, 2), table("wide", 3, 12)]
    lines = screen(width, height, [tables, [tables[0], changed(tables[1], 20), tables[2]]], case)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    figures = re.findall(r"0\.[18][0-9]*", "\n".join(lines))
    assert set(figures) <= {"0.87654", "0.12345"}, "whole, or not there"


def test_the_tables_fill_below_what_runs() -> None:
    before = [table("first", 2, 2, "to do"), table("second", 3, 2, "to do")]
    lines = screen(100, 40, [before, [changed(before[0], 1), before[1]]], "kinds")
    begins = [lines.index(name) for name in ("first", "second")]
    assert lines[begins[0] + 1].split("  ")[0] == "model"
    assert lines[begins[0] + 3].split() == ["first-model-1", "0.12345", "to", "do"]
    assert max(lines.index(line) for line in lines if "RepVGG" in line) < begins[0] < begins[1]


def test_a_small_terminal_shows_the_table_that_changed_last() -> None:
    before = [table(name, 6, 2, "to do") for name in ("first", "second", "third")]
    told = [before, [changed(before[0], 0), *before[1:]]]
    told += [[told[1][0], changed(before[1], 3), before[2]]]
    lines = screen(80, 17, told, "one")
    assert "second" in lines and "first" not in lines and "third" not in lines
    assert any(line.startswith("second-model-3") and "0.12345" in line for line in lines)


def test_a_table_that_is_too_long_shows_the_rows_around_the_change() -> None:
    before = [table("long", 40, 2, "to do")]
    lines = screen(80, 20, [before, [changed(before[0], 30)]], "one")
    assert any("0.12345" in line for line in lines)
    shown = sum(line.startswith("long-model") for line in lines)
    assert f"… {40 - shown} more" in [line.strip() for line in lines]


@pytest.mark.parametrize("width", range(20, 100, 3))
def test_no_part_of_a_figure_is_cut_off(width: int) -> None:
    headers = ("model", "val accuracy", "val accuracy(r-drop)", "test accuracy", "FPS(size=64)")
    one = Table("rdrop", headers, (("mobilenetv2", "0.87654", "0.81234 ≈", "0.12345  ", "81.25"),))
    lines = screen(width, 40, [[one]], "one")
    assert all(cell_len(line) <= width for line in lines)
    (row,) = (line for line in lines if line.startswith("mobilenetv2"))
    figures = re.findall(r"[0-9]+\.[0-9]+(?: ≈)?", row)
    assert figures == [cell.strip() for cell in one.rows[0][1:]][: len(figures)]


def test_figures_stand_below_each_other_with_a_sign_or_without() -> None:
    rows = (("a", "0.1 †"), ("b", "12.3  "), ("c", "(2/3)  "), ("d", "to do  "))
    one = Table("t", ("model", "a header that is long"), rows, legend=("† better", "(n/m) seeds"))
    lines = screen(80, 40, [[one]], "nothing")
    assert lines[-1] == "† better  (n/m) seeds"
    ends = [re.search(r"[0-9)o](?=( †)?$)", line).end() for line in lines[-5:-1]]  # type: ignore[union-attr]
    assert len(set(ends)) == 1
    assert screen(80, 8, [[one]], "nothing")[-1] != lines[-1], "it goes first"


# The whole -------------------------------------------------------------------------------------


def top(picture: Picture, width: int = 120) -> list[str]:
    out = io.StringIO()
    console = Console(width=width, height=40, file=out, force_terminal=True, color_system=None)
    console.print(draw.drawn(picture, console))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def picture(seconds: float | None, **more: object) -> Picture:
    now = datetime(2026, 11, 26, 14, 20)
    plain = {"rows": [], "done": 1, "waiting": 4, "failed": 0, "now": now}
    return Picture(**plain | more, left=Remaining(seconds, 0.1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (720.0, "about 12 min 00 left (≈ 14:32)"),
        (40.0, "about 40 s left (≈ 14:20)"),
        (10 * 3600, "about 10 h 00 left (≈ Fri 27 Nov 00:20)"),
        (None, "time left unknown"),
    ],
)
def test_the_end_is_told_as_time_of_day(seconds: float | None, said: str) -> None:
    assert top(picture(seconds))[1] == f"1 done  0 running  4 waiting  {said}"
    assert said in top(picture(seconds), 40)
    assert top(picture(720.0), 25)[-1] == "about 12 min 00 left"
    assert not any("left" in line for line in top(picture(seconds, waiting=0)))


def test_what_failed_is_told_apart_from_what_waits_for_it_with_the_first_cause() -> None:
    jobs = fakes.jobs(5)
    out = io.StringIO()
    console = Console(width=70, file=out, force_terminal=True, color_system=None)
    view = View(Plan(tuple(jobs)), 2, Store(Path("none")), console)
    view.started(jobs[0], [Slot("cpu", 0)])
    view.failed(jobs[0], "CUDA ran out of memory at batch_size 64: what helps\nTraceback ...")
    view.failed(jobs[1], "another")
    for job in jobs[2:4]:
        view.blocked(job, "it needs ghostnet-s0, which failed")
    shown = top(view.picture(), 70)
    assert shown[1] == "0 done  0 running  1 waiting  2 failed  2 blocked  0 s so far"
    assert shown[3].startswith("failed: train ghostnet-s0: CUDA ran out of memory at batch_si")
    assert shown[3].endswith("…") and cell_len(shown[3]) == 70
    assert "blocked  train ghostnet-s2: it needs ghostnet-s0, which failed" in out.getvalue()
    assert "failed: " not in "".join(top(replace(view.picture(), failure="")))


@pytest.mark.parametrize(
    ("best", "classes", "mpa", "said"),
    [
        (0.1, 10, None, "at chance"),
        (0.12, 10, None, "at chance"),
        (0.13, 10, None, "0.13000"),
        (0.1, None, None, "0.10000"),
        (0.48, 4, 0.25, "at chance"),
        (0.48, 4, 0.4, "0.48000"),
    ],
)
def test_a_best_that_is_chance_is_said_to_be(
    best: float, classes: int | None, mpa: float | None, said: str
) -> None:
    view, out = shown(RUNNING["one"], 160)
    said_last = Progress("epoch 1/9", 9, 90, 300.0, best, classes, mpa)
    view.progressed(RUNNING["one"][0], said_last)
    view._console.print(draw._running(view.picture().rows, 160))
    assert re.split(r" {2,}", out.getvalue().splitlines()[1].strip())[-2] == said


def test_who_tells_and_who_draws_wait_for_each_other_never_both() -> None:
    """rich asks for the picture under its lock; what a job says is printed under the same."""
    out = io.StringIO()
    console = Console(width=80, height=24, file=out, force_terminal=True)
    jobs = [replace(job, label=str(index)) for index, job in enumerate(fakes.jobs(200))]
    with View(Plan(tuple(jobs)), 2, Store(Path("none")), console) as view:
        assert view._live is not None
        over = threading.Event()

        def draw_on() -> None:
            while not over.is_set():
                assert isinstance(view._live, Screen)
                view._live.refresh()

        def tell() -> None:
            for job in jobs:
                view.started(job, [Slot("cpu", 0)])
                view.finished(job, [])

        drawing = threading.Thread(target=draw_on, daemon=True)
        telling = threading.Thread(target=tell, daemon=True)
        drawing.start()
        telling.start()
        telling.join(60)
        over.set()
        drawing.join(10)
        assert not telling.is_alive() and not drawing.is_alive()
    assert out.getvalue().count("by another runner as well") == len(jobs)


WORD = st.sampled_from(["a", "bc", "def", "0.001", "1e-3", "val", "test", "自然", "x" * 20])
BETWEEN = st.sampled_from(["-", " ", ", ", " (", ") "])
NAME = st.lists(st.tuples(WORD, BETWEEN), min_size=1, max_size=9).map(
    lambda parts: "".join(word + between for word, between in parts)
)
NAMES = st.lists(NAME, min_size=1, max_size=6, unique=True).map(tuple)


@given(NAMES, st.integers(12, 120))
def test_any_names_fit_and_differ(names: tuple[str, ...], room: int) -> None:
    own = tuple(f"{index:012x}" for index in range(len(names)))
    short = told_apart(names, own, room)
    assert len(set(short)) == len(names)
    assert all(cell_len(text) <= room for text in short)
    if max(map(cell_len, names)) <= room:
        assert short == names
    elif len(names) > 1 and least_room(names) <= room and not set(short) & set(own):
        assert all("…" in text for text, name in zip(short, names, strict=True) if text != name)


@given(NAME, WORD, WORD, NAME, st.integers(24, 60))
def test_the_word_that_differs_is_always_there(
    before: str, ours: str, theirs: str, after: str, room: int
) -> None:
    if ours == theirs:
        return
    names = (f"{before}<{ours}> {after}", f"{before}<{theirs}> {after}")
    short = told_apart(names, ("0", "1"), room)
    assert f"<{ours}>" in short[0] and f"<{theirs}>" in short[1]


def test_what_one_training_does_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the longest; each is counted, and each is done at its own end."""
    of_one = [Job(spec(epochs=epochs), label=f"epochs {epochs}") for epochs in (30, 90, 60)]
    other = Job(spec(seed=1), label="epochs 100")
    view, out = shown([*of_one, other], 120)
    drawn = draw.drawn(view.picture(), view._console)
    view._console.print(drawn)
    said = out.getvalue()
    assert "4 running" in said
    assert "(epochs 90) +2  " in said and "(epochs 30)" not in said and "(epochs 60)" not in said
    assert f"{other.name}  " in said and f"{other.name} +" not in said
    view.finished(of_one[1], [])
    assert [(row.job, row.more) for row in together(view.picture().rows)] == [
        (of_one[2], 1),
        (other, 0),
    ]
    monkeypatch.setattr(live, "PLAIN_SECONDS", 0.0)
    _, plain = shown(of_one, 120, terminal=False)
    lines = [line for line in plain.getvalue().splitlines() if " running " in line]
    assert lines and "(epochs 30)" in lines[0]
    assert not any("epochs 60" in line for line in lines), "the longest stands for it"
