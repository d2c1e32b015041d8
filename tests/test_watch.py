"""`--watch` and what a run tells while it lives, with real runners."""

from __future__ import annotations

import fcntl
import io
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

import runner
from experiments.cli import watch
from experiments.execution import boards
from experiments.store import leases
from experiments.store.store import Store
from tests.test_runner import ROOT, SMALL, records
from tests.test_runner import _wait as wait

pytestmark = pytest.mark.usefixtures("no_process_remains")

COMMAND = [sys.executable, str(ROOT / "runner.py"), "small.yaml"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    return tmp_path


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(small: Path) -> Iterator[Start]:
    """Starts runners, which end with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> subprocess.Popen[str]:
        command = [*COMMAND, "--jobs-per-device", "1", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said() -> list[boards.Running]:
    """What all runners say of their jobs."""
    return [job for board in boards.read(Path("runs")) for job in board.jobs]


def test_beside_two_runners_of_which_one_is_killed(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    runners = [start(), start("--reports", "others")]
    wait(lambda: sum(job.course.whole is not None for job in said()) == 2)

    def watched() -> str:
        assert runner.main(["small.yaml", "--watch"]) == 0
        return capsys.readouterr().out

    def rows(shown: str) -> dict[int, str]:
        """What is said of each runner's job, by its process."""
        found = (re.search(r":(\d+) +(.*)", line) for line in shown.splitlines())
        return {int(each[1]): each[2] for each in found if each}

    both = watched()
    assert "0 done  2 running  6 waiting" in both and "2 runners" in both
    assert rows(both).keys() == {process.pid for process in runners}
    assert all("epoch" in said for said in rows(both).values())
    assert re.search(r"about [0-9].* left", both), "known of all, by what runs"
    assert both.count("to do") == 4, "the table is there"

    killed, survivor = runners
    killed.kill()
    killed.communicate()
    beside = watched()
    assert "0 done  1 running  6 waiting  1 lost" in beside and "1 runner\n" in beside.replace(
        " \n", "\n"
    )
    assert "lost; a run takes it up" in rows(beside)[killed.pid]
    assert "epoch" in rows(beside)[survivor.pid]

    survivor.send_signal(signal.SIGINT)
    survivor.communicate(timeout=60)
    alone = watched()
    assert "0 done  0 running  7 waiting  1 lost" in alone and "nobody runs" in alone
    assert [board.runner.name.rpartition(":")[2] for board in boards.read(Path("runs"))] == [
        str(killed.pid)
    ]


def test_it_ends_when_all_is_done_and_by_ctrl_c(small: Path) -> None:
    """In a terminal of its own, 80 x 24."""
    assert runner.main(["small.yaml", "--seeds", "0"]) == 0
    code, shown = in_a_terminal("--watch", "--seeds", "0")
    assert code == 0 and "4 done" in shown and "100 %" in shown and "AutoAugment" in shown
    code, shown = in_a_terminal("--watch", press=b"\x03", at="nobody runs")
    assert code == 0 and "4 done" in shown and "4 waiting" in shown
    assert not list(Path("runs/.leases").iterdir())


def in_a_terminal(*options: str, press: bytes = b"", at: str = "") -> tuple[int, str]:
    """The exit code, and all that was drawn. `press`: once that is shown."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *options],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # the terminal's end
        while said := os.read(master, 4096):
            shown += said
            if press and at.encode() in shown:
                os.write(master, press)
                press = b""
    os.close(master)
    return process.wait(timeout=60), shown.decode(errors="replace")


def test_it_waits_for_a_run_to_begin(tmp_path: Path) -> None:
    """In a terminal; where it is looked at once there must be something to look at."""
    store = Store(tmp_path / "runs")

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            store.root.mkdir(exist_ok=True)  # now that it says that it waits
            return super().write(text)

    out = Heard()
    watch._wait_for(store, Console(file=out, width=200))
    assert store.root.is_dir()
    assert out.getvalue() == f"waiting for a run: {store.root} is not there yet\n"
    watch._wait_for(store, Console(file=out))
    assert out.getvalue().count("waiting") == 1


def test_the_report_is_there_while_the_run_lives(start: Start) -> None:
    """With what is done, and `to do` for the rest; at the end the whole one."""
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 15"))
    process = start()
    table, page = Path("reports/small/small.md"), Path("reports/small/report.md")
    wait(lambda: table.exists() and page.exists())
    seen = table.read_text()
    assert process.poll() is None and len(records()) < 8
    assert "to do" in seen and len(seen.splitlines()) == 4
    assert page.read_text().startswith("# Small")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_who_is_notified_hears_of_the_first_failure_and_the_end(small: Path, start: Start) -> None:
    failing = SMALL.replace("augment: [false, AutoAugment]", "lr: [1e30, 1e-4]")
    Path("small.yaml").write_text(failing.replace("rows: augment", "rows: lr"))
    heard = ["--notify", "cat >> heard; echo ---- >> heard; exit 9"]
    process = start(*heard)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 1, "the run's own"
    first, end, rest = Path("heard").read_text().split("----\n")
    assert rest == "" and first.startswith("small: a job failed\ntrain ")
    assert "the loss is nan at step " in first and "log.txt" in first
    assert end.startswith(
        "small: done in part\n4 of 8 jobs done\n2 failed\n2 blocked: what they need failed\n"
    )
    assert f"report: {small}/reports/small/report.md\n" in end
    assert "small: nothing is compared" in end
    assert out.count("warning: --notify: the command ended with exit code 9") == 1
    Path("heard").unlink()
    Path("small.yaml").write_text(SMALL.replace("epochs: 2", "epochs: 500"))
    process = start(*heard)
    wait(lambda: bool(leases.held(Path("runs"))))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert Path("heard").read_text().startswith("small: interrupted; the same command goes on")


def test_a_lease_of_another_machine_is_lost_when_it_is_not_touched(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's clock, or, where that and ours differ, by what is seen while one looks."""
    from experiments.cli.watch import _Alive

    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: 50_000.0)
    about: dict[str, object] = {"host": "elsewhere", "machine": "other", "pid": 1, "started": 0.0}

    def holder(touched: float) -> leases.Holder:
        return leases.Holder(about, touched)

    alive = _Alive()
    assert alive("fresh", holder(49_990.0)) and not alive("stale", holder(49_900.0))
    slow = 50_000.0 - 3600  # its clock is an hour behind
    assert not alive("slow", holder(slow)), "so it seems"
    now[0] += 10
    assert alive("slow", holder(slow + 10)), "it was touched"
    fast = 50_000.0 + 3600
    assert alive("fast", holder(fast))
    now[0] += 61
    assert not alive("fast", holder(fast)) and not alive("slow", holder(slow + 10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch"], "name a matrix, as experiments/digits.yaml"),
        (
            ["small.yaml", "--watch"],
            "runs is not there: no run has begun, or --runs names its folder; in a terminal "
            "--watch waits for it",
        ),
        (["small.yaml", "--watch", "--plan"], "--plan: not allowed with argument --watch"),
        (["small.yaml", "--notify"], "--notify: expected one argument"),
        (["small.yaml", "--notify", ""], "--notify: a command is expected"),
    ],
)
def test_what_can_not_be_asked_for(
    arguments: list[str], message: str, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = runner.main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2 and message in capsys.readouterr().err
    assert [path.name for path in small.iterdir()] == ["small.yaml"], "nothing is written"
