"""The exceptions that are no bugs: the command line shows them without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Says what is wrong, where, and what to do. The command line prints it and exits with 2."""


class StoppedError(Exception):
    """A training was asked to stop; its state is kept, and it goes on from there when run again."""


@contextmanager
def told_of(place: object) -> Iterator[None]:
    """The UserErrors raised inside begin with `place`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
