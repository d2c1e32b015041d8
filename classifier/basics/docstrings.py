"""What the text under a setting says of it, read where it is asked for: classes keep none."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

from classifier.basics.settings import Settings


@cache
def of_fields(kind: type[Settings]) -> dict[str, str]:
    """By setting, its docstring without line breaks; those of its bases too. Of a class that was
    made without a source the bases' only."""
    told: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Settings) and base is not Settings:
            told |= _written_in(base)
    return told


def _written_in(kind: type[Settings]) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError):  # made by pydantic's create_model
        return {}
    assert isinstance(tree, ast.ClassDef)
    told = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(ast.Constant(str(written))):
                    told[field.target.id] = " ".join(written.split())
    return told
