"""Reports that grow while a run lives: how often, and what they never disturb."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from classifier.basics.errors import UserError
from classifier.basics.machine import Platform
from experiments.execution.view.picture import Table
from experiments.session.reporting import Found, Growing, Reporter
from experiments.store.store import Results

HERE = Platform("a CPU", 2, "2.14.1")


class Pages:
    """A reporter that writes down when it wrote, by a clock of its own."""

    def __init__(self, takes: float = 0.1, look: float = 0.0) -> None:
        self.now, self.takes, self.look = 100.0, takes, look
        self.written: list[float] = []
        self.lives: list[bool] = []
        self.error: Exception | None = None
        self.writes: Callable[[], object] = lambda: None

    def find(self, here: Platform) -> Found:
        self.now += self.look
        return Found([], {}, frozenset(), Results())

    def tables(self, answers: Sequence[object]) -> list[Table]:
        return []

    def write(self, found: Found, answers: Sequence[object], is_live: bool) -> None:
        self.writes()
        if self.error is not None:
            raise self.error
        self.now += self.takes
        self.written.append(self.now)
        self.lives.append(is_live)


class Run:
    """A run with these pages, its turns taken one by one."""

    def __init__(self, pages: Pages) -> None:
        self.pages, self.shown, self.said, self.is_quiet = pages, 0, list[str](), True
        self.growing = Growing(
            cast(Reporter, pages),
            HERE,
            self._show,
            self.said.append,
            lambda: self.is_quiet,
            self._now,
        )

    def _show(self, tables: Sequence[Table], done: frozenset[str]) -> None:
        self.shown += 1

    def _now(self) -> float:
        return self.pages.now

    def turn(self, after: float = 0.0) -> float:
        self.pages.now += after
        return self.growing._turn()


def test_what_comes_is_shown_at_once_and_written_every_ten_seconds() -> None:
    run = Run(Pages())
    run.turn()
    assert (run.shown, run.pages.written) == (1, []), "nothing new is not written"
    for after in (20.0, 1.0, 8.0, 1.0, 1.0):
        run.growing.one_ended()
        run.turn(after)
    assert run.shown == 6
    first, *others = run.pages.written
    assert others == [pytest.approx(first + 10.0, abs=1.1)]


@pytest.mark.parametrize(("look", "pause"), [(0.001, 1.0), (0.3, 15.0), (4.0, 200.0)])
def test_looks_take_two_percent_of_the_time(look: float, pause: float) -> None:
    run = Run(Pages(look=look))
    run.growing.one_ended()
    assert run.turn(20.0) == pytest.approx(pause)


@pytest.mark.parametrize(("takes", "pause"), [(0.001, 10.0), (0.3, 15.0), (4.0, 200.0)])
def test_reports_do_so_too_and_do_not_keep_the_tables_back(takes: float, pause: float) -> None:
    run = Run(Pages(takes, look=0.1))
    for after in (20.0, pause - 1.0, 2.0):
        run.growing.one_ended()
        assert run.turn(after) == pytest.approx(5.0)
    assert run.shown == 3
    first, second = run.pages.written
    assert second - first == pytest.approx(pause + takes, abs=1.5)


def test_while_a_speed_is_measured_nothing_is_read_or_written() -> None:
    run = Run(Pages())
    run.is_quiet = False
    run.growing.one_ended()
    assert run.turn(20.0) == 1.0
    assert (run.shown, run.pages.written) == (0, [])
    run.is_quiet = True
    run.turn(1.0)
    assert run.shown == len(run.pages.written) == 1


def test_a_benchmark_waits_for_what_is_being_written() -> None:
    run = Run(Pages())
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slowly() -> None:
        begun.set()
        go_on.wait(60)
        order.append("written")

    run.pages.writes = slowly
    run.growing.one_ended()
    writing = threading.Thread(target=run.turn, args=(20.0,))
    writing.start()
    assert begun.wait(60)

    def measure() -> None:
        run.growing.quiet()
        order.append("measured")

    measuring = threading.Thread(target=measure)
    measuring.start()
    go_on.set()
    writing.join(60)
    measuring.join(60)
    assert order == ["written", "measured"]


@pytest.mark.parametrize("error", [UserError("no space"), OSError("no network")])
def test_one_that_can_not_be_written_is_said_once(error: Exception) -> None:
    run = Run(Pages())
    run.pages.error = error
    for _ in range(3):
        run.growing.one_ended()
        run.turn(20.0)
    assert run.said == [f"while this runs the report can't be written: {error}"]
    run.pages.error = None
    run.growing.one_ended()
    run.turn(20.0)
    assert len(run.pages.written) == 1


def test_the_last_state_is_written_where_a_run_is_cut_off() -> None:
    run = Run(Pages())
    run.growing.one_ended()
    run.turn(20.0)
    run.growing.one_ended()
    run.turn(1.0)
    assert len(run.pages.written) == 1
    run.growing.write_last()
    assert len(run.pages.written) == 2


def test_a_run_that_is_cut_off_leaves_no_page_that_reloads_itself() -> None:
    run = Run(Pages())
    run.growing.one_ended()
    run.turn(20.0)
    run.growing.write_last()
    assert run.pages.lives == [True, False]
    run.growing.write_last()
    assert run.pages.lives == [True, False]


def test_the_thread_looks_and_ends() -> None:
    pages = Pages()
    written, run = threading.Event(), Run(pages)
    pages.writes = written.set
    with run.growing:
        run.growing.one_ended()
        assert written.wait(60)
    assert not run.growing._thread.is_alive()
