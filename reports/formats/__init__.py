"""A table to be pasted elsewhere: a module for each format.

`text` of each takes a `Printed`, but for JSON's, which has all that is known of all tables.
"""

from typing import Literal

FormatName = Literal["latex", "csv", "html", "markdown", "json"]
