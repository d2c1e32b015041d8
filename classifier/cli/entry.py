"""What all commands end with: exit codes, and errors as one line. runner.py uses it too."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from classifier.basics.console import open_streams, show_any_name, show_log
from classifier.basics.errors import StoppedError, UserError
from classifier.basics.names import nearest
from classifier.basics.place import Workers

ALL_DONE, SOME_FAILED, BAD_INPUT, SOME_MISSING, INTERRUPTED = 0, 1, 2, 3, 130


def exit_code_of(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run a command; the user's mistakes and the system's errors are a line on stderr each.

    `interrupted`: what Ctrl-C is answered with.
    """
    open_streams()
    show_any_name()
    show_log()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except StoppedError:
        print("interrupted; the same command with --resume goes on from here", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `runner.py --plan | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ALL_DONE
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"error: {error.filename}: too long for a file's name", file=sys.stderr)
            return BAD_INPUT
        print(f"error: {error}", file=sys.stderr)
        return SOME_FAILED


class Parser(argparse.ArgumentParser):
    """One that says a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"error: {message}\n")


def one_of(names: Iterable[str]) -> Any:
    """Arguments of `add_argument` for a choice: an unknown name gets the nearest."""
    choices = tuple(names)

    def checked(name: str) -> str:
        if name not in choices:
            raise argparse.ArgumentTypeError(f"unknown '{name}'{nearest(name, choices)}")
        return name

    return {"type": checked, "choices": choices, "metavar": f"{{{','.join(choices)}}}"}


def not_empty(given: str) -> str:
    """An argument's type: text. An empty path would be the current folder, which nobody named."""
    if not given.strip():
        raise argparse.ArgumentTypeError("nothing is named; the current folder is '.'")
    return given


def path(given: str) -> Path:
    """An argument's type."""
    return Path(not_empty(given))


def at_least(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number from `least` up."""

    def checked(given: str) -> int:
        if not given.strip().isdecimal() or int(given) < least:
            raise argparse.ArgumentTypeError(f"'{given}' is not a number from {least} up")
        return int(given)

    return checked


def _workers(given: str) -> Workers:
    if given == "auto":
        return "auto"
    if not given.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"'{given}' is neither auto nor a number from 0 up")
    return int(given)


WORKERS: Any = {
    "type": _workers,
    "default": "auto",
    "metavar": "auto|N",
    "help": "loader processes of a training (default: auto, none on a CPU, on a GPU as many as it "
    "needs and its cores allow); changes no result",
}
"""Arguments of `add_argument` for `--workers`."""
