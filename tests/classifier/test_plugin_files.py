"""What a user's file declares, and what each object's digest depends on. Nothing of it runs."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.plugins.brought import bring
from classifier.plugins.declared import Declared, declared_in
from classifier.plugins.syntax import canonical, parse
from tests.own import HELPERS, TRICKS, digests, written

ROOT = Path(__file__).parents[2]
STORED = json.loads((Path(__file__).parent / "plugin_digests.json").read_text())

SYNTAX = r'''
"""Docs."""
from __future__ import annotations
import os.path as p, sys
from a import b as c
X: int = 1_000; (Y): "str" = u'ü\U0001fadf' "b" if 0 else b"\x00"
Z = 1e400, -0.0, 2j, ..., None, True, 0x10, 10**5, 1.0, f"a{X!r:>{Y}}b" "c" f"{X=}{X:}" f'{{}}'
def f(a, /, b: int = 1, *c, d, e=2, **g) -> None:
    """Docs."""
    global X; del a; assert b, "m"; raise E from e
async def h():
    async with a as b, c: yield [x async for x in y if z if w]
    return await {**a, 'k': (yield)}
@d1
@d2(1)
class C(B, metaclass=M):
    "Docs."
    x[1:2, ::3, ...] = y[*a] = not -x if a and b or c else lambda *, q=1: {i for i in {}}
try: pass
except* (A, B) as e: x: int
else: x @= 1
finally: x = a < b <= c is not d not in e
while (n := 1): break
else: continue
for i, *j in k: print(*a, **b, c=d)
match x:
    case [1, "a", *r] | {"k": v, **w} if v: pass
    case P(1, q=None) as z: nonlocal_ = 0
    case _: ...
with (open(1) as f, g): x = a if b else c
'''


def test_the_text_is_the_same_on_every_python() -> None:
    """If this fails, everyone's trainings run again: the canonical text has changed."""
    text = canonical(parse(SYNTAX, "s.py"))
    assert text == STORED["text"] and text.isascii()


def test_stored_digests_still_hold(tmp_path: Path) -> None:
    assert digests(written(tmp_path)) == STORED["digests"]


def test_layout_comments_and_docstrings_are_free(tmp_path: Path) -> None:
    plain = digests(written(tmp_path))
    laid_out = ast.unparse(ast.parse(TRICKS)).replace("\n\n", "\n\n# a comment\n")
    laid_out = laid_out.replace('"""What a user writes."""', "").replace("Keeps a state", "Holds")
    assert laid_out != TRICKS and digests(written(tmp_path, laid_out)) == plain
    (tmp_path / "tricks.py").rename(tmp_path / "moved.py")
    moved = bring(tmp_path, ["moved.py"])
    assert digests(moved) == plain


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("rho: float = 0.05", "rho: float = 0.1", {"my_sam"}),
        ("** gamma", "** (gamma + 1)", {"my_focal"}),
        ("import random\n", "import random\nimport os\n", set()),
        ("import random\n", "import random\nimport os\nos.nice(0)\n", "all"),
        ("import random\n", "import random\nUNUSED = [1, 2]\ndef unused(): ...\n", set()),
        ("import random\n", "import random\nfrom math import *\n", "all"),
        ("import random\n", "import secrets as random\n", {"noisy", "flip"}),
        ("0.5 else image", "len(globals()) else image", "all"),
        ("0.5 else image", "eval('1') else image", "all"),
        ("0.5 else image", "__import__('math').pi else image", "all"),
        ("    return image[:", "    image.eval()\n    return image[:", {"flip"}),
    ],
)
def test_what_is_edited_changes_what_reaches_it(
    before: str, after: str, changed: set[str] | str, tmp_path: Path
) -> None:
    plain = digests(written(tmp_path))
    assert TRICKS.count(before) == 1
    edited = digests(written(tmp_path, TRICKS.replace(before, after)))
    names = {name for name in plain if plain[name] != edited[name]}
    assert names == (set(plain) if changed == "all" else changed)


@pytest.mark.parametrize(
    ("helpers", "changed"),
    [
        (HELPERS.replace("1e-12", "1e-9"), {"my_sam"}),
        (HELPERS + "\ndef other():\n    return 1\n", set()),
        (HELPERS + "\ntorch.set_num_threads(1)\n", "all"),
        (HELPERS + "\n# a comment\n", set()),
        (
            HELPERS.replace("rho / (norm", "further(rho) / (norm") + "from far import further",
            {"my_sam"},
        ),
    ],
)
def test_a_module_beside_it_counts_where_it_is_reached(
    helpers: str, changed: set[str] | str, tmp_path: Path
) -> None:
    (tmp_path / "far.py").write_text("import helpers\n\ndef further(x):\n    return x\n")
    plain = digests(written(tmp_path))
    edited = digests(written(tmp_path, helpers=helpers))
    names = {name for name in plain if plain[name] != edited[name]}
    assert names == (set(plain) if changed == "all" else changed)


def test_a_definition_that_is_found_through_others_counts(tmp_path: Path) -> None:
    """Through a constant, a decorator of its own, a base class, and an import inside a function."""
    body = (
        "from classifier.plugins import loss\n"
        "A = 1\n"
        "def deep(): return A\n"
        "def mine(f): return f\n"
        "@mine\n"
        "def always(): return 1\n"
        "@loss\n"
        "def one(a, b, *, c: int = 1):\n    from helpers import B\n    return deep()\n"
        "@loss\n"
        "def two(a, b): return a\n"
    )
    plain = digests(written(tmp_path, body, "B = 1\nC = 2\n"))
    cases = {"A = 1": {"one"}, "always(): return 1": {"one", "two"}, "def two(a": {"two"}}
    for text, changed in cases.items():
        edited = digests(
            written(
                tmp_path,
                body.replace(text, text.replace("1", "2").replace("(a", "(x")),
                "B = 1\nC = 2\n",
            )
        )
        assert {name for name in plain if plain[name] != edited[name]} == changed, text
    inside = digests(written(tmp_path, body, "B = 2\nC = 2\n"))
    assert inside["one"] != plain["one"] and inside["two"] == plain["two"]
    assert digests(written(tmp_path, body, "B = 1\nC = 3\n")) == plain


def declared(text: str) -> list[Declared]:
    marks = "from classifier.plugins import augmentation, loss, model, optimizer, trick\n"
    return declared_in(ast.parse(marks + text), "t.py")


def test_settings_are_the_keyword_only_parameters() -> None:
    (one,) = declared(
        "from typing import Literal, Optional\n"
        "@loss\n"
        "def one(logits, targets, *, a: int, b: float = 2, c: bool = True, d: str = 'x',\n"
        "        e: Literal['p', 'q', 3] = 'p', f: list[int] = [1], g: Optional[int] = None,\n"
        "        h: list[float] | None = None): ...\n"
    )
    made = one.settings.model_validate({"a": 5, "e": 3, "h": [1]})
    expected = {"a": 5, "b": 2.0, "c": True, "d": "x", "e": 3, "f": [1], "g": None, "h": [1.0]}
    assert made.model_dump() == expected
    assert isinstance(made.model_dump()["b"], float)
    for wrong in ({}, {"a": 1.5}, {"a": True}, {"a": 1, "e": "r"}, {"a": 1, "x": 1}, {"a": None}):
        with pytest.raises(ValidationError):
            one.settings.model_validate(wrong)


def test_a_class_is_made_with_its_settings() -> None:
    text = "@trick(takes_over=['step'], apart=('sam',))\nclass t(Act):\n{}"
    (with_training,) = declared(text.format("    def __init__(self, training, *, a: int = 1): ..."))
    assert (with_training.takes, list(with_training.parameters)) == (1, ["a"])
    assert (with_training.takes_over, with_training.apart) == (("step",), ("sam",))
    (without,) = declared(text.format("    def step(self): ..."))
    assert (without.takes, without.parameters) == (0, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@loss\ndef f(a, b, *, c=1): ...", "t.py:3: setting 'c' of 'f' needs a type: int, float"),
        ("@loss\ndef f(a, b, *, c: dict = {}): ...", "t.py:3: setting 'c' of 'f' needs a type"),
        ("@loss\ndef f(a, b, *, c: int = int()): ...", "t.py:3: the default of setting 'c' of 'f' must be written out"),
        ("@loss\ndef f(a, b, *, c: int = 1.5): ...", "t.py:3: the default of setting 'c' of 'f' must be a valid integer"),
        ("@loss\ndef f(a, b, *, c: int = None): ...", "t.py:3: the default of setting 'c' of 'f' must be"),
        ("@loss\ndef f(a, b, c=1): ...", "t.py:3: 'f' gives a default to what it is called with; write (logits, targets, *, ...): "),
        ("@loss\ndef f(a, b, c, d): ...", "t.py:3: 'f' takes (logits, targets, *, ...) or (logits, targets, weight, *, ...)"),
        ("@trick\nclass T(Act):\n    def after_steps(self, network, step): ...", "t.py:4: trick 'T' has no place 'after_steps'; did you mean 'after_step'?"),
        ("@loss\ndef f(a): ...", "t.py:3: 'f' takes (logits, targets, *, ...)"),
        ("@loss\ndef f(a, b, **c): ...", "t.py:3: 'f' can't take * or **"),
        ("@loss\ndef f(a, b, *, name: str): ...", "t.py:3: setting 'name' of 'f': it can't have this name"),
        ("@loss(takes_over=['step'])\ndef f(a, b): ...", "t.py:2: @loss takes no 'takes_over'; it can be reads"),
        ("@trick(apat=['sam'])\nclass t: ...", "t.py:2: @trick takes no 'apat'; did you mean 'apart'?"),
        ("@trick(apart=SOME)\nclass t: ...", "t.py:2: 'apart' of 't' must be a list of names, written out"),
        ("@trick(takes_over=['batch'])\nclass t: ...", "t.py:2: a trick can take over 'loss' or 'step', not 'batch'"),
        ("@trick\ndef t(): ...", "t.py:3: trick 't' must be a class, of classifier.plugins.Act"),
        ("@trick\nclass t:\n    def __init__(self, a, b): ...", "t.py:3: 't' takes (*, ...) or (training, *, ...)"),
        ("@model\ndef f(): ...", "t.py:3: 'f' takes (classes, *, ...)"),
        ("def g():\n    @loss\n    def f(a, b): ...", "t.py:4: 'f': a mark is for a function or class at the file's top"),
        ("@loss\nasync def f(a, b): ...", "t.py:3: 'f': a mark is for a function or class at the file's top"),
        (f"@loss\ndef {'f' * 41}(a, b): ...", "can't be a setting's name: letters, digits and _, at most 40"),
        ("from classifier import plugins", "t.py:2: write 'from classifier.plugins import trick'"),
        ("import classifier.plugins", "t.py:2: write 'from classifier.plugins import trick'"),
    ],
)  # fmt: skip
def test_what_is_no_plugin_is_one_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        declared(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "tricks.py:1: not Python: "),
        ("x = '\0'\n", "tricks.py:1: not Python: "),
        ("from . import helpers\n", "tricks.py:1: a plugin is no package"),
        ("import package\n", "tricks.py:1: 'package' beside it is a package"),
        ("x = " + "-" * 20_000 + "1\n", "tricks.py:1: "),
    ],
)
def test_what_python_can_not_read_is_one_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    with pytest.raises(UserError) as error:
        written(tmp_path, text)
    assert message in str(error.value)


def test_what_may_import_anything_brings_its_folder(tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text("A = 1\n")
    text = "import importlib\nfrom classifier.plugins import loss\n@loss\ndef f(a, b): ...\n"
    before = written(tmp_path, text)
    assert set(before.texts) == {"tricks.py", "helpers.py", "far.py"}
    (tmp_path / "far.py").write_text("A = 2\n")
    assert digests(written(tmp_path, text)) != digests(before)
    (tmp_path / "outside").mkdir()
    (tmp_path / "far.py").unlink()
    (tmp_path / "far.py").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match=r"far\.py leads out of the matrix's folder"):
        written(tmp_path, text)


def test_statements_of_any_kind_are_read(tmp_path: Path) -> None:
    """At the top of a file they count for every object, with what they reach."""
    head = "from classifier.plugins import loss\nA = 1\n"
    tail = "\n@loss\ndef f(a, b): ...\n"
    for statement in (
        "while not A:\n    import os\n    def g(): ...",
        "if A:\n    from helpers import *\nelse:\n    class B: ...",
        "try:\n    import torch, A\n    A()\nexcept ImportError as error:\n    torch = None",
        "with open(A) as x:\n    pass",
        "match A:\n    case [1, *rest] | {'k': rest}:\n        pass",
        "A += 1",
        "A.b = 1",
        "del A",
        "print(A)",
    ):
        text = head + statement + tail
        plain = digests(written(tmp_path, text))
        assert digests(written(tmp_path, head + tail)) != plain, statement
        assert digests(written(tmp_path, text.replace("A = 1", "A = 2"))) != plain, statement


READS = """\
from pathlib import Path
from classifier.plugins import loss
@loss(reads=["table.csv", "more/table.csv"])
def f(logits, targets):
    return logits.mean() * float(Path(__file__).with_name("table.csv").read_text())
@loss
def g(logits, targets): ...
"""


def test_files_of_data_that_it_reads_are_signed_with_it(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "table.csv").write_text("2")
    with pytest.raises(
        UserError, match=r"tricks\.py:4: 'reads': .*more/table.csv must be a file in"
    ):
        written(tmp_path, READS)
    (tmp_path / "more" / "table.csv").write_text("3")
    before = written(tmp_path, READS)
    assert digests(written(tmp_path, READS)) == digests(before)
    (tmp_path / "more" / "table.csv").write_text("4")
    after = written(tmp_path, READS)
    assert {n for n, d in digests(after).items() if d != digests(before)[n]} == {"f"}
    (tmp_path / "more" / "table.csv").unlink()
    (tmp_path / "more" / "table.csv").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match=r"'reads': .*more/table.csv must be a file in"):
        written(tmp_path, READS)
    with pytest.raises(UserError, match=r"'reads': .*must be a file in the matrix's folder"):
        written(tmp_path, READS.replace("more/", "../"))


def test_of_all_this_projects_code_the_layout_is_free_and_the_text_is_not() -> None:
    """What `ast.unparse` writes is laid out anew and says the same; two functions differ."""
    files = sorted(
        path for room in ("classifier", "reports") for path in (ROOT / room).rglob("*.py")
    )
    assert len(files) > 100
    seen: dict[str, str] = {}
    for path in files:
        tree = parse(path.read_text(), str(path))
        again = parse(ast.unparse(tree), str(path))
        assert canonical(tree) == canonical(again), path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                bare = ast.parse(ast.unparse(node)).body[0]
                assert isinstance(bare, ast.FunctionDef)
                if ast.get_docstring(bare) is not None:
                    bare.body = bare.body[1:]
                if bare.body:
                    other = seen.setdefault(canonical(node), ast.unparse(bare))
                    assert other == ast.unparse(bare), path


HEAD = "from classifier.plugins import loss\n"
TAIL = "\n@loss\ndef f(a, b): return {}\n"


@pytest.mark.parametrize(
    ("before", "used", "edit"),
    [
        ("import timm\n@timm.models.register_model\ndef net(): return 1", "timm.create_model('net')", ("return 1", "return 2")),
        ("from timm.models import register_model as known\n@known\ndef net(): return 1", "0", ("return 1", "return 2")),
        ("import torch\n@torch.library.custom_op('my::op', mutates_args=())\ndef op(x: int) -> int: return 1", "torch.ops.my.op(1)", ("return 1", "return 2")),
        ("TABLE = {}\nclass Fill:\n    TABLE['q'] = 1", "TABLE['q']", ("= 1", "= 2")),
        ("TABLE = {}\nclass Fill:\n    class Inner:\n        TABLE.update(q=1)", "TABLE['q']", ("q=1", "q=2")),
        ("TABLE = {}\ndef fill(x=TABLE.setdefault('q', 1)): ...", "TABLE['q']", ("1)", "2)")),
        ("TABLE = {}\nclass Fill:\n    @TABLE.setdefault\n    def one(): return 1", "TABLE", ("return 1", "return 2")),
        ("class Base:\n    def __init_subclass__(cls): KNOWN.append(cls)\nKNOWN = []\nclass One(Base):\n    x = 1", "KNOWN[0].x", ("x = 1", "x = 2")),
        ("class Base: ...\nclass One(Base):\n    x = 1", "Base.__subclasses__()[0].x", ("x = 1", "x = 2")),
        ("class Meta(type): ...\nclass Base(metaclass=Meta): ...\nclass One(Base):\n    x = 1", "0", ("x = 1", "x = 2")),
        ("from base import Base\nclass One(Base):\n    x = 1", "Base.known[0].x", ("x = 1", "x = 2")),
        ("import sys as system\nX = 1", "system.modules[__name__].X", ("X = 1", "X = 2")),
        ("import sys\nX = 1", "getattr(sys, 'modules')[__name__].X", ("X = 1", "X = 2")),
    ],
)  # fmt: skip
def test_what_nobody_names_counts_where_it_may_be_found(
    before: str, used: str, edit: tuple[str, str], tmp_path: Path
) -> None:
    """By a registry, by the classes that there are, or among the modules."""
    (tmp_path / "base.py").write_text(
        "class Base:\n    known = []\n    def __init_subclass__(cls): Base.known.append(cls)\n"
    )
    text = HEAD + before + TAIL.format(used)
    assert text.count(edit[0]) == 1
    assert digests(written(tmp_path, text)) != digests(written(tmp_path, text.replace(*edit)))


@pytest.mark.parametrize(
    ("before", "edit"),
    [
        ("if __name__ == '__main__':\n    import helpers\n    print(eval('1'))", ("'1'", "'2'")),
        ("import torch\n@torch.no_grad()\ndef other(x=1): return x", ("x=1", "x=2")),
        ("from functools import cache\n@cache\ndef other(x=1): return x", ("x=1", "x=2")),
        ("import dataclasses as d\n@d.dataclass\nclass Other:\n    x: int = 1\n    @property\n    def y(self): ...\n    @y.setter\n    def y(self, v): ...", ("int = 1", "int = 2")),
        ("import torch\nclass Other(torch.nn.Module):\n    def __init__(self): self.modules = {1: 2}", ("1: 2", "2: 1")),
        ("import abc\nclass Other(metaclass=abc.ABCMeta):\n    size = len('1')", ("'1'", "'2'")),
    ],
)  # fmt: skip
def test_what_only_defines_or_never_runs_is_free(
    before: str, edit: tuple[str, str], tmp_path: Path
) -> None:
    text = HEAD + before + TAIL.format(0)
    assert text.count(edit[0]) == 1
    brought = written(tmp_path, text)
    assert digests(brought) == digests(written(tmp_path, text.replace(*edit)))
    assert set(brought.texts) == {"tricks.py"}
