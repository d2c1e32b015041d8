"""`--notify COMMAND`: a shell command of the user's that hears how a run goes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress

SECONDS = 30.0
"""A command that takes longer is ended."""


class Notifier:
    """Runs the command, with a text on its stdin, at the first failure and at the end. Nothing that
    it does or fails to do changes the run: of its own failures the first is a warning."""

    def __init__(
        self, command: str | None, warn: Callable[[str], None], seconds: float = SECONDS
    ) -> None:
        """Without a command it does nothing."""
        self._command, self._warn, self._seconds = command, warn, seconds
        self._has_warned = False
        self._first: threading.Thread | None = None

    def failed(self, text: Callable[[], str]) -> None:
        """A job failed: of the first one the command hears, while the run goes on."""
        if self._command is not None and self._first is None:
            self._first = threading.Thread(target=self._tell, args=(text(),), name="notify")
            self._first.start()

    def ended(self, text: Callable[[], str]) -> None:
        """The run is over. Comes back when the command has ended, or was ended."""
        if self._command is None:
            return
        if self._first is not None:
            self._first.join()
        self._tell(text())

    def _tell(self, text: str) -> None:
        problem = run(self._command or "", text, self._seconds)
        if problem and not self._has_warned:
            self._has_warned = True
            self._warn(f"--notify: {problem}")


def run(command: str, text: str, seconds: float) -> str:
    """Run a shell command with `text` on its stdin; what went wrong, in a line, if anything did.

    Files stand for its streams: whether it reads or not, and what it leaves running, holds nobody.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(text.encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=given,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"the command can't be run: {error}"
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"the command did not end within {seconds:g} s, and was ended"
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
        return (
            f"the command ended with exit code {code}" + (f": {lines[-1]}" if lines else "")
            if code
            else ""
        )
