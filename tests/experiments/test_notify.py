"""`--notify`: what the command hears, and that nothing it does changes the run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from experiments.session import notify
from experiments.session.notify import Notifier


def test_the_text_is_on_its_stdin(tmp_path: Path) -> None:
    assert notify.run(f"cat > {tmp_path}/heard; echo done", "größer\nas *\n", 30) == ""
    assert (tmp_path / "heard").read_text() == "größer\nas *\n"


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("exit 3", "the command ended with exit code 3"),
        ("echo first; echo 'no such host' >&2; exit 1", "exit code 1: no such host"),
        ("no-such-command-as-this", "exit code 127"),
        ("kill -9 $$", "exit code -9"),
        ("if", "exit code 2"),
        ("true \0", "the command can't be run: embedded null byte"),
        ("exit 0", ""),
    ],
)
def test_what_goes_wrong_is_a_line(command: str, problem: str) -> None:
    said = notify.run(command, "text\n" * 100_000, 30)  # more than a pipe holds, and not read
    assert problem in said and "\n" not in said
    assert bool(said) == bool(problem)


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    command = f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"
    said = notify.run(command, "", 0.5)
    assert said == "the command did not end within 0.5 s, and was ended"
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 30
    while (
        Path(f"/proc/{child}/stat").exists()
        and " Z " not in Path(f"/proc/{child}/stat").read_text()
    ):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_first_failure_and_the_end_are_told_and_problems_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    notifier = Notifier(f"cat >> {tmp_path}/heard; exit 1", said.append)
    for name in ("first", "second"):
        notifier.failed(lambda name=name: f"{name}\n")  # type: ignore[misc]
    notifier.ended(lambda: "end\n")
    assert (tmp_path / "heard").read_text() == "first\nend\n"
    assert said == ["--notify: the command ended with exit code 1"]


def test_without_a_command_nothing_is_made_up() -> None:
    def text() -> str:
        raise AssertionError("it costs something")

    notifier = Notifier(None, print)
    notifier.failed(text)
    notifier.ended(text)


def test_what_it_leaves_running_holds_nobody() -> None:
    start = os.times().elapsed
    assert notify.run("sleep 25 &", "", 20) == "", "its streams are files, not pipes"
    assert os.times().elapsed - start < 20
