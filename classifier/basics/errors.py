"""The exceptions that are no bugs: the command line shows them without a traceback."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Says what is wrong, where, and what to do. The command line prints it and exits with 2."""


class TogetherError(UserError):
    """Several of them, each told once, on a line of its own."""

    def __init__(self, errors: Iterable[UserError]) -> None:
        told = (e.each if isinstance(e, TogetherError) else (str(e),) for e in errors)
        self.each: tuple[str, ...] = tuple(dict.fromkeys(text for texts in told for text in texts))
        lines = "".join(f"\n  {text}" for text in self.each)
        super().__init__(f"{len(self.each)} errors:{lines}" if self.each[1:] else self.each[0])


class StoppedError(Exception):
    """A training was asked to stop; its state is kept, and it goes on from there when run again."""


@contextmanager
def told_of(place: object) -> Iterator[None]:
    """The TogetherError raised inside begin with `place`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
