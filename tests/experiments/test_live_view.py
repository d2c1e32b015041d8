"""What the live view shows in terminals of any width."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
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
from experiments.plan.jobs import Job
from experiments.plan.plan import Plan
from experiments.run.engines import Slot
from experiments.run.live_view import View
from experiments.run.short_names import least_room, told_apart
from experiments.store.store import Store


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
    view._console.print(view._table(width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("case", RUNNING)
@pytest.mark.parametrize("width", [200, 120, 80, 40, 30, 20, 12])
def test_what_runs_can_be_told_apart(case: str, width: int) -> None:
    header, *lines = rows(RUNNING[case], width)
    assert header.startswith("running")
    assert len(lines) == len(RUNNING[case])
    assert all(cell_len(line) <= width for line in lines)
    other = ("epoch 12/150", *(f"gpu {index}" for index in range(9)))
    names = [line.split(next((o for o in other if o in line), "\n"))[0].strip() for line in lines]
    assert len(set(names)) == len(names), "by their names alone"


@pytest.mark.parametrize("case", RUNNING)
@pytest.mark.parametrize("width", [8, 4, 2, 1])
def test_a_terminal_may_be_absurdly_narrow(case: str, width: int) -> None:
    view, out = shown(RUNNING[case], width)
    view._console.print(view._rendered())
    assert all(cell_len(line) <= width for line in out.getvalue().splitlines())


def test_a_wide_terminal_shows_all_as_it_is() -> None:
    header, *lines = rows(RUNNING["labels"], 200)
    assert header.split("  ")[-1] == "time left" and "images/s" in header
    for index, (line, job) in enumerate(zip(lines, RUNNING["labels"], strict=True)):
        cells = [job.name, f"gpu {index}", "epoch 12/150", "311", "0.91234", "?"]
        assert re.split(r" {2,}", line.strip()) == cells


def test_columns_give_way_before_names() -> None:
    jobs = RUNNING["kinds"]
    headers = [rows(jobs, width)[0].split()[1:] for width in (120, 70, 60, 50, 45, 30)]
    assert headers == [
        ["device", "at", "images/s", "best", "val", "time", "left"],
        ["device", "at", "best", "val", "time", "left"],
        ["at", "time", "left"],
        ["at"],
        ["at"],
        [],
    ]
    for width in (120, 40):
        assert all(job.name in line for job, line in zip(jobs, rows(jobs, width)[1:], strict=True))


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (40, "efficientnet_v2_s-s{} (aug…"),
        (30, "efficientnet…s{}…"),
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
