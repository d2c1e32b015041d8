"""The one exception that means: the user can mend this, and needs no traceback to do so."""


class UserError(Exception):
    """Says what is wrong, where, and what to do. The command line prints it and exits with 2."""
