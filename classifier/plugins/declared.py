"""What a user's file declares, read without running it: its marked objects and their settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import GenericAlias
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, create_model

from classifier.basics.errors import UserError
from classifier.basics.names import nearest
from classifier.basics.settings import Settings
from classifier.basics.users import Kind
from classifier.plugins.reach import is_literal

MARKS_MODULE = "classifier.plugins"
KINDS: tuple[Kind, ...] = get_args(Kind)
_PLAIN: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,39}$")
_TAKES: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "trick": ((), ("training",)),
    "loss": (("logits", "targets"), ("logits", "targets", "weight")),
    "optimizer": (("groups", "lr"),),
    "augmentation": (("image",),),
    "model": (("classes",),),
    "dataset": ((),),
    "metric": (("logits", "labels"), ("logits", "labels", "paths")),
}
"""What a function is given before its settings; of a trick what its class is made of."""
_Definition = ast.FunctionDef | ast.ClassDef
_IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Declared:
    """A marked object. `takes`: how many things it is given before its settings."""

    kind: Kind
    name: str
    file: str
    line: int
    takes: int
    parameters: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Type and default of each setting, as pydantic takes them."""
    takes_over: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    classes: int | None = None
    """Of a data set: how many it has, where that is known before it is made."""
    better: Literal["more", "less"] = "more"
    """Of a metric."""
    reads: tuple[str, ...] = ()
    """Files of data, by their paths from its file's folder."""
    digest: str = ""

    @cached_property
    def settings(self) -> type[Settings]:
        """What its settings may be, checked as the built-in ones are."""
        made: type[Settings] = create_model(
            self.name, __base__=Settings, **dict[str, Any](self.parameters)
        )
        return made


PLACES = ("batch", "loss", "step", "after_step", "report", "state_dict", "load_state_dict")
"""What a trick may define; see `Act`."""


def declared_in(tree: ast.Module, file: str) -> list[Declared]:
    """The marked objects of a file. Raises UserError, with file and line, for what can't be one."""
    marks = _marks(tree, file)
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            kind = _kind(decorator, marks)
            if kind is None:
                _check_imported(decorator, tree, file)
                continue
            if id(node) not in top or isinstance(node, ast.AsyncFunctionDef):
                raise _error(
                    file,
                    node,
                    f"'{node.name}': a mark is for a function or class at the file's top",
                )
            found.append(_declared(kind, node, decorator, file))
    return found


def _marks(tree: ast.Module, file: str) -> dict[str, Kind]:
    """The names that the marks have in the file."""
    found: dict[str, Kind] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            inside = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if any(f"{inside}{alias.name}" == MARKS_MODULE for alias in node.names):
                message = f"write 'from {MARKS_MODULE} import trick' (or another mark)"
                raise _error(file, node, message)
        if isinstance(node, ast.ImportFrom) and node.module == MARKS_MODULE:
            named = {alias.asname or alias.name: alias.name for alias in node.names}
            found |= {here: kind for here, name in named.items() for kind in KINDS if kind == name}
    return found


def _kind(decorator: ast.expr, marks: dict[str, Kind]) -> Kind | None:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return marks.get(called.id) if isinstance(called, ast.Name) else None


def _check_imported(decorator: ast.expr, tree: ast.Module, file: str) -> None:
    """Raises UserError for what is written like a mark, and is nothing in the file."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not isinstance(called, ast.Name) or called.id not in KINDS:
        return
    bound = {n.asname or n.name for i in ast.walk(tree) if isinstance(i, _IMPORTS) for n in i.names}
    bound |= {n.name for n in tree.body if isinstance(n, _Definition)}
    bound |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _is_stored(n)}
    if called.id not in bound and "*" not in bound:
        message = f"@{called.id} is not imported: from {MARKS_MODULE} import {called.id}"
        raise _error(file, decorator, message)


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _declared(kind: Kind, node: _Definition, decorator: ast.expr, file: str) -> Declared:
    if not _NAME.match(node.name):
        message = f"'{node.name}' can't be a setting's name: letters, digits and _, at most 40"
        raise _error(file, node, message)
    if kind == "trick" and not isinstance(node, ast.ClassDef):
        raise _error(file, node, f"trick '{node.name}' must be a class, of {MARKS_MODULE}.Act")
    if isinstance(node, ast.ClassDef) and kind == "trick":
        _check_places(node, file)
    arguments, bound = _arguments(node)
    given = [*arguments.posonlyargs, *arguments.args][bound:] if arguments else []
    allowed = (
        ((),)
        if isinstance(node, ast.ClassDef) and kind in ("loss", "augmentation", "metric")
        else ()
    )
    _check_given(node, given, arguments, allowed or _TAKES[kind], file)
    return Declared(
        kind=kind,
        name=node.name,
        file=file,
        line=node.lineno,
        takes=len(given),
        parameters=dict(_parameters(node, arguments, file)) if arguments else {},
        **_said(kind, node, decorator, file),
    )


def _check_places(node: ast.ClassDef, file: str) -> None:
    """A place that is written wrong would be a trick that does nothing."""
    for method in (each for each in node.body if isinstance(each, ast.FunctionDef)):
        near = get_close_matches(method.name, PLACES, n=1, cutoff=0.75)
        if near and method.name not in PLACES:
            message = f"trick '{node.name}' has no place '{method.name}'; did you mean '{near[0]}'?"
            raise _error(file, method, f"{message} (a method of your own begins with _)")


def _arguments(node: _Definition) -> tuple[ast.arguments | None, int]:
    """A function's, or those that a class is made with, and how many of them (`self`) are not the
    caller's."""
    if not isinstance(node, ast.ClassDef):
        return node.args, 0
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return inner.args, 1
    return None, 0


def _check_given(
    node: _Definition,
    given: Sequence[ast.arg],
    arguments: ast.arguments | None,
    allowed: Sequence[Sequence[str]],
    file: str,
) -> None:
    if arguments is None:
        return
    if arguments.vararg or arguments.kwarg:
        raise _error(file, node, f"'{node.name}' can't take * or **: its settings have names")
    forms = [f"({', '.join((*each, '*'))}, ...)" for each in allowed]
    if arguments.defaults and len(given) in map(len, allowed):
        message = (
            f"'{node.name}' gives a default to what it is called with; write {forms[0]}: what "
            "stands after the * is a setting, and only settings have defaults"
        )
        raise _error(file, node, message)
    if len(given) not in map(len, allowed):
        takes = " or ".join(forms)
        message = f"'{node.name}' takes {takes}: its settings stand after the *, each with a type"
        raise _error(file, node, message)


def _parameters(
    node: _Definition, arguments: ast.arguments, file: str
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        name = argument.arg
        about = f"setting '{name}' of '{node.name}'"
        if name == "name" or name.startswith(("_", "model_")):
            raise _error(file, argument, f"{about}: it can't have this name; choose another")
        kind = None if argument.annotation is None else _type(argument.annotation)
        if kind is None:
            raise _error(
                file,
                argument,
                f"{about} needs a type: int, float, bool, str, Literal[...], a list of one of "
                "these, or one of these or None",
            )
        if default is None:
            yield name, (kind, ...)
        elif not is_literal(default):
            raise _error(file, default, f"the default of {about} must be written out: a literal")
        else:
            yield name, (kind, _checked(name, kind, default, about, file))


def _checked(name: str, kind: Any, default: ast.expr, about: str, file: str) -> Any:
    """A default in its type: 2 is 2.0 where that is float."""
    one: type[Settings] = create_model(
        "_One", __base__=Settings, **dict[str, Any]({name: (kind, Field(...))})
    )
    try:
        return getattr(one.model_validate({name: ast.literal_eval(default)}), name)
    except ValidationError as error:
        wrong = error.errors()[0]["msg"].replace("Input should be", "must be").partition(",")[0]
        raise _error(file, default, f"the default of {about} {wrong}") from error


def _type(node: ast.expr) -> Any:
    """What an annotation means, or None where it is not one that a setting can have."""
    match node:
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Subscript(value=ast.Name(id=of) | ast.Attribute(attr=of), slice=inside):
            return _generic(of, inside)
        case ast.BinOp(left=kind, op=ast.BitOr(), right=ast.Constant(value=None)):
            inner = _type(kind)
            return None if inner is None else inner | None
    return None


def _generic(of: str, inside: ast.expr) -> Any:
    if of == "Literal":
        values = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        plain = [v.value for v in values if isinstance(v, ast.Constant) and _is_choice(v.value)]
        return Literal[tuple(plain)] if len(plain) == len(values) else None
    inner = _type(inside)
    if inner is None:
        return None
    if of == "Optional":
        return inner | None
    return GenericAlias(list, (inner,)) if of in ("list", "List") else None


def _is_choice(value: object) -> bool:
    return isinstance(value, str | int)


def _said(kind: Kind, node: _Definition, decorator: ast.expr, file: str) -> dict[str, Any]:
    """What the mark itself says: `@trick(takes_over=["step"], reads=["table.csv"])`."""
    if not isinstance(decorator, ast.Call):
        return {}
    words = (*_SAYS.get(kind, ()), "reads")
    said: dict[str, Any] = {}
    for keyword in decorator.keywords:
        word = keyword.arg or ""
        if word not in words:
            raise _error(file, decorator, f"@{kind} takes no '{word}'{nearest(word, words)}")
        value = ast.literal_eval(keyword.value) if is_literal(keyword.value) else None
        said[word] = tuple(value) if isinstance(value, list) else value
        wanted, is_such = _WORDS.get(word, _NAMES)
        if not is_such(said[word]):
            raise _error(file, keyword.value, f"'{word}' of '{node.name}' must be {wanted}")
    if decorator.args:
        raise _error(file, decorator, f"@{kind} takes keywords only")
    for place in said.get("takes_over", ()):
        if place not in ("loss", "step"):
            raise _error(file, decorator, f"a trick can take over 'loss' or 'step', not '{place}'")
    return said


def _are_names(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 2


_SAYS: dict[Kind, tuple[str, ...]] = {
    "trick": ("takes_over", "apart"),
    "dataset": ("classes",),
    "metric": ("better",),
}
"""What a mark may say, beside `reads`."""
_Rule = tuple[str, Callable[[object], bool]]
_NAMES: _Rule = ("a list of names, written out", _are_names)
_WORDS: dict[str, _Rule] = {
    "classes": ("a number of classes, 2 or more", _is_count),
    "better": ("'more' or 'less'", ("more", "less").__contains__),
}


def _error(file: str, node: ast.AST, message: str) -> UserError:
    return UserError(f"{file}:{getattr(node, 'lineno', 1)}: {message}")
