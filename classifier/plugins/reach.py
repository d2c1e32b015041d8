"""What an object of a user's file depends on, and the digest of it.

An object counts with all that its names lead to: definitions, literals and imports of its file,
and in the same way of the modules beside it that these import. Other statements of a module run
whenever it is imported, so they count for every object; so does a definition that may do more than
define, by a decorator or by what its class's body calls. Code that may look at anything
(`globals()`, `exec`, a star import) makes its whole file count, as does a class that is told of its
subclasses with all that is imported; code that may import anything, its whole folder. What stands
under `if __name__ == "__main__":` never runs, and is free.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from classifier.basics.errors import UserError
from classifier.plugins.syntax import canonical, parse

_LOOKS_ANYWHERE = {
    "globals",
    "locals",
    "vars",
    "exec",
    "eval",
    "compile",
    "inspect",
    "builtins",
} | {
    *("__builtins__", "__loader__", "__spec__", "__globals__", "_getframe"),
}
_IMPORTS_ANYTHING = {"importlib", "runpy", "pkgutil", "imp", "__import__", "__loader__", "__spec__"}
_DOCS = {"__doc__", "getdoc", "getsource"}
_TOLD_OF_CLASSES = {"__init_subclass__", "__subclasses__", "metaclass"}
_ONLY_DEFINE = (
    *("abc.", "contextlib.", "dataclasses.", "enum.", "functools.", "typing.", "numba.", "triton."),
    *("torch.no_grad", "torch.enable_grad", "torch.inference_mode", "torch.compile", "torch.jit."),
    *("torch.autograd.", "torch.amp.", "torch.cuda.amp.", "classifier.plugins."),
)
"""Beginnings of others' decorators that do no more; one of timm's lets a model be found by name."""
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class OwnImport:
    """Of a module beside the file; `name`: what is taken from it, None for all of it."""

    module: str
    name: str | None


@dataclass(frozen=True)
class Piece:
    """A statement at the top of a module, or one name of an import."""

    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    imports: tuple[OwnImport, ...]
    always: bool
    """It counts for every object: it does more than to give names to things."""


@dataclass(frozen=True)
class Module:
    pieces: tuple[Piece, ...]
    anything: bool
    """It may import whatever lies in its folder."""
    told_of_classes: bool = False
    """It may find classes that nobody names, of all modules that are imported."""

    @cached_property
    def by_name(self) -> Mapping[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for index, piece in enumerate(self.pieces):
            for name in piece.binds:
                found[name] = (*found.get(name, ()), index)
        return found

    @property
    def imports(self) -> set[str]:
        """The modules beside it that it may import."""
        return {each.module for piece in self.pieces for each in piece.imports}


def module_of(text: str, file: str, beside: Callable[[str], bool]) -> Module:
    """Read a module without running it. `beside`: whether a module of that name lies in its folder.

    Raises UserError, with file and line, for what Python or a plugin can't have.
    """
    try:
        tree = parse(text, file)
        tree.body = [node for node in tree.body if not _never_runs(node)]
        words = set(_words(tree))
        whole = bool(words & _LOOKS_ANYWHERE) or _has_star(tree)
        with_docs = bool(words & _DOCS)
        own = {name for node in tree.body for name in _bound(node, beside, only_own=True)}
        others = _others(tree, beside)
        acting = {id(node) for node in tree.body if _does_more(node, own, others)}
        pieces = [
            piece
            for node in tree.body
            for piece in _pieces(node, file, beside, whole or id(node) in acting, with_docs)
        ]
    except SyntaxError as error:
        raise UserError(f"{file}:{error.lineno or 1}: not Python: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise UserError(f"{file}:1: too deeply nested") from error
    except ValueError as error:  # a NUL
        raise UserError(f"{file}:1: not Python: {error}") from error
    return Module(tuple(pieces), bool(words & _IMPORTS_ANYTHING), bool(words & _TOLD_OF_CLASSES))


def digest_of(name: str, main: str, modules: Mapping[str, Module]) -> str:
    """16 hex digits of SHA-256 over all that `name` in the module `main` reaches.

    `modules`: by name, all of the folder that any of them imports. What `main` is called is free.
    """
    found = reached(name, main, modules)
    texts = [("" if at == main else at, text) for at, text in found]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def reached(name: str, main: str, modules: Mapping[str, Module]) -> list[tuple[str, str]]:
    """All that counts for `name` in the module `main`: the module of each piece, and its text."""
    found = sorted(_reached(name, main, modules))
    found.sort(key=lambda at: at[0] != main)
    return [(at, modules[at].pieces[index].text) for at, index in found]


def _reached(name: str, main: str, modules: Mapping[str, Module]) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    run: set[str] = set()
    waiting: list[tuple[str, int]] = []

    def importing(module: str) -> None:
        """It runs: what counts always, and the imports at its top."""
        if module in run:
            return
        run.add(module)
        waiting.extend((module, i) for i, p in enumerate(modules[module].pieces) if p.always)
        if modules[module].anything:
            for other in modules:
                importing(other)
                waiting.extend((other, i) for i in range(len(modules[other].pieces)))
        for other in modules[module].imports & set(modules):
            importing(other)

    importing(main)
    if any(modules[module].told_of_classes for module in run):
        waiting.extend((module, i) for module in run for i in range(len(modules[module].pieces)))
    waiting.extend((main, index) for index in modules[main].by_name[name])
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        found.add(at)
        module, piece = modules[at[0]], modules[at[0]].pieces[at[1]]
        waiting.extend((at[0], i) for used in piece.uses for i in module.by_name.get(used, ()))
        for each in piece.imports:
            other = modules[each.module]
            importing(each.module)
            # What it does not bind itself may come from anywhere in it.
            named = other.by_name.get(each.name or "", range(len(other.pieces)))
            waiting.extend((each.module, index) for index in named)
    return found


def _pieces(
    node: ast.stmt,
    file: str,
    beside: Callable[[str], bool],
    whole: bool,
    with_docs: bool,
) -> Iterator[Piece]:
    """A statement's; one for each name of an import. `whole`: it counts for every object."""
    if _is_docstring(node) and not with_docs:
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            single = _single(node, alias)
            binds = frozenset(_bound(single, beside))
            imports = tuple(_own_imports(single, file, beside))
            always = whole or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
            yield Piece(canonical(single), binds, frozenset(), imports, always)
        return
    uses = frozenset(_names(node))
    imports = tuple(each for inner in ast.walk(node) for each in _own_imports(inner, file, beside))
    yield Piece(canonical(node, with_docs), frozenset(_bound(node, beside)), uses, imports, whole)


def _single(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.Import | ast.ImportFrom:
    if isinstance(node, ast.Import):
        return ast.copy_location(ast.Import([alias]), node)
    return ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node)


def _own_imports(node: ast.AST, file: str, beside: Callable[[str], bool]) -> Iterator[OwnImport]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if beside(top := alias.name.partition(".")[0]):
                yield OwnImport(top, None)
    if isinstance(node, ast.ImportFrom):
        if node.level:
            raise UserError(
                f"{file}:{node.lineno}: a plugin is no package: import what lies beside it by its "
                "name, without a dot before it"
            )
        module = node.module or ""
        if beside(top := module.partition(".")[0]):
            for alias in node.names:
                yield OwnImport(top, alias.name if alias.name != "*" else None)


def _bound(node: ast.AST, beside: Callable[[str], bool], only_own: bool = False) -> Iterator[str]:
    """The names that a statement of a module gives to something. `only_own`: without those of
    modules that lie elsewhere."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if not only_own or beside((module or alias.name).partition(".")[0]):
                yield alias.asname or (alias.name if module else alias.name.partition(".")[0])
        return
    if isinstance(node, _DEFINITIONS):
        yield node.name
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            yield inner.id
        elif inner is not node and isinstance(inner, _IMPORTS + _DEFINITIONS):
            yield from _bound(inner, beside, only_own)
        elif isinstance(inner, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and inner.name:
            yield inner.name


def _names(node: ast.AST) -> Iterator[str]:
    """All names in it, whatever they mean there: rather too many than too few."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Global | ast.Nonlocal):
            yield from inner.names


def _words(tree: ast.AST) -> Iterator[str]:
    """What may be a way to look at anything: names, attributes, imported modules, and text that
    `getattr` may be given."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            # Not `model.eval()`, nor `re.compile`.
            yield node.attr if node.attr.startswith("_") or node.attr in _DOCS else ""
            # `sys.modules`, whatever `sys` is called there; not `network.modules()`.
            if node.attr == "modules" and isinstance(node.value, ast.Name):
                yield "globals" if id(node) not in called and node.value.id != "self" else ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value if node.value.startswith("__") else ""
            yield "globals" if node.value == "modules" else ""
        elif isinstance(node, ast.FunctionDef):
            yield node.name if node.name in _TOLD_OF_CLASSES else ""
        elif isinstance(node, ast.ClassDef):
            plain = ("ABCMeta", "abc.ABCMeta")
            yield from (k.arg or "" for k in node.keywords if ast.unparse(k.value) not in plain)
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
            yield from (alias.name for alias in node.names if alias.name in _DOCS)
            if node.module == "sys" and any(alias.name == "modules" for alias in node.names):
                yield "globals"


def _has_star(tree: ast.AST) -> bool:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return any(alias.name == "*" for node in imports for alias in node.names)


def _is_docstring(node: ast.stmt) -> bool:
    """Text that stands alone does nothing, wherever it stands."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text and isinstance(node.value.value, str)  # type: ignore[attr-defined]


def _never_runs(node: ast.stmt) -> bool:
    """`if __name__ == "__main__":`, for a plugin is imported only."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")
    )


def _does_more(node: ast.stmt, own: set[str], others: Mapping[str, str]) -> bool:
    """Whether a statement may do more than to give names to definitions, literals or imports.

    `own`: the names that this file and those beside it define. `others`: what is imported from
    elsewhere, by its name here.
    """
    if not isinstance(node, _DEFINITIONS):
        return not (isinstance(node, _IMPORTS) or _is_literal_assignment(node))
    if any(_may_register(each, own, others) for each in node.decorator_list):
        return True
    if not isinstance(node, ast.ClassDef):
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return any(_acts(each, own) for each in defaults)
    inner = [each for each in node.body if isinstance(each, _DEFINITIONS)]
    evaluated = [*node.bases, *node.keywords, *(e for e in node.body if e not in inner)]
    return any(_acts(e, own) for e in evaluated) or any(_does_more(e, own, others) for e in inner)


def _may_register(decorator: ast.expr, own: set[str], others: Mapping[str, str]) -> bool:
    """Of the user's own it may do anything; so may one of others', unless it is known."""
    if any(name in own for name in _names(decorator)):
        return True
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    root, _, rest = ast.unparse(called).partition(".")
    return root in others and not f"{others[root]}.{rest}".startswith(_ONLY_DEFINE)


def _acts(node: ast.AST, own: set[str]) -> bool:
    """Whether it calls something, or sets a part of something, and names the user's own."""
    acts = any(
        isinstance(inner, ast.Call)
        or (
            isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load)
        )
        for inner in ast.walk(node)
    )
    return acts and any(name in own for name in _names(node))


def _others(tree: ast.Module, beside: Callable[[str], bool]) -> dict[str, str]:
    """What a file imports from elsewhere: by its name there the whole one."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, _IMPORTS):
            inside = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                whole = f"{inside}{alias.name}"
                if not beside(whole.partition(".")[0]):
                    here = alias.asname or alias.name.partition(".")[0]
                    found[here] = whole if inside or alias.asname else here
    return found


def _is_literal_assignment(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and (node.value is None or is_literal(node.value))
    is_plain = isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets)
    return is_plain and is_literal(node.value)  # type: ignore[attr-defined]


def is_literal(node: ast.expr) -> bool:
    """What `ast.literal_eval` can read."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
