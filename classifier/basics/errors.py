"""The exceptions that are no bugs: the command line shows them without a traceback."""


class UserError(Exception):
    """Says what is wrong, where, and what to do. The command line prints it and exits with 2."""


class StoppedError(Exception):
    """A training was asked to stop; its state is kept, and it goes on from there when run again."""
