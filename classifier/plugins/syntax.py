"""A canonical text of Python's syntax, to be signed: what a file says, not how it is laid out.

Comments, layout, quotes and docstrings are free. Written here over the nodes' fields by name, for
`ast.dump` differs between Pythons: the text is the same on 3.11, 3.12 and 3.13, for the syntax that
3.11 knows. Fields that a newer one adds are empty there, and what is empty is left out.
"""

from __future__ import annotations

import ast
import warnings

_FREE = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields that say nothing of their own: `ctx` follows from the place, `kind` is u''."""
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def parse(text: str, file: str) -> ast.Module:
    """Raises SyntaxError, or ValueError for what is no text of Python's at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of "\d", which Pythons warn of in different ways
        return ast.parse(text, file)


def canonical(node: object, with_docs: bool = False) -> str:
    """The text of a node. `with_docs`: docstrings count, for the code may look at them."""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({_parts(node, with_docs)})"
    if isinstance(node, ast.AST):
        found = ((name, _field(node, name, with_docs)) for name in sorted(node._fields))
        fields = [f"{name}={canonical(v, with_docs)}" for name, v in found if v not in (None, [])]
        if isinstance(node, ast.Constant):
            fields = [_constant(node.value)]
        return f"{type(node).__name__}({' '.join(fields)})"
    if isinstance(node, list):
        return f"[{' '.join(canonical(inner, with_docs) for inner in node)}]"
    return _constant(node)


def _field(node: ast.AST, name: str, with_docs: bool) -> object:
    value = None if name in _FREE else getattr(node, name, None)
    if name == "body" and isinstance(node, _DOCUMENTED) and not with_docs:
        return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if isinstance(value, ast.JoinedStr) and not _parts(value, with_docs):
        return None  # f"{x:}": an empty format, which some Pythons leave out
    return value


def _parts(node: ast.JoinedStr, with_docs: bool) -> str:
    """An f-string's parts; neighbouring text is one, for Pythons cut it in different places."""
    parts: list[str | ast.expr] = []
    for part in node.values:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            before = parts.pop() if parts and isinstance(parts[-1], str) else ""
            parts.append(f"{before}{part.value}")
        else:
            parts.append(part)
    return " ".join(canonical(part, with_docs) for part in parts if part != "")


def _constant(value: object) -> str:
    """`ascii`, since newer Pythons print more characters; hexadecimal, since decimal has a limit;
    with the type, since 1 is no 1.0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return ascii(value)
