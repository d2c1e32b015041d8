"""The tricks, losses and methods of distillation that there are, as Markdown: docs/tricks.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence

from pydantic_core import PydanticUndefined
from tabulate import tabulate

from classifier.basics.settings import Settings
from classifier.config.spec import EVERY_TRICK, LOSSES
from classifier.tricks.base import Trick
from classifier.tricks.distillation import METHODS
from classifier.tricks.losses.base import Loss

_HEAD = """\
# Which tricks are there?

Written by `python -m classifier tricks > docs/tricks.md` from the files in `classifier/tricks/`.

Each stands in a matrix as a setting or an axis: `rdrop: [false, true]`, `sam: {rho: 0.1}`.
`true` is all of its options at their defaults, if each has one. `mixing: cutmix` is short for
`mixing: {name: cutmix}`.
"""


def page() -> str:
    tricks = [
        (
            f"`{trick.setting}`",
            _about(trick),
            _options(trick),
            _apart(trick),
            trick.paper,
        )
        for trick in sorted(EVERY_TRICK, key=lambda trick: trick.setting)
    ]
    losses = [
        (f"`{loss.model_fields['name'].default}`", _about(loss), _options(loss), loss.paper)
        for loss in LOSSES
    ]
    methods = [
        (f"`{name}`", _about(inspect.getmodule(method)), method.paper)
        for name, method in METHODS.items()
    ]
    parts = [
        _HEAD,
        "## Tricks\n",
        _table(("setting", "what it does", "options", "not with", "source"), tricks),
        "## Losses\n\n`loss: {name: focal, gamma: 1.5}`\n",
        _table(("name", "what it is", "options", "source"), losses),
        "## Methods of distillation\n\n`distill: {method: at, teacher: NAME}`\n",
        _table(("method", "what it does", "source"), methods),
    ]
    return "\n".join(parts)


def _about(documented: object) -> str:
    """The first paragraph of its docstring."""
    return " ".join((documented.__doc__ or "").partition("\n\n")[0].split())


def _apart(trick: type[Trick]) -> str:
    """Whichever of two says that they can't be combined."""
    others = {*trick.apart, *(o.setting for o in EVERY_TRICK if trick.setting in o.apart)}
    return ", ".join(f"`{other}`" for other in sorted(others))


def _options(kind: type[Settings]) -> str:
    fields = {
        n: f for n, f in kind.model_fields.items() if n != "name" or not issubclass(kind, Loss)
    }
    return ", ".join(
        f"`{name}`"
        if field.default is PydanticUndefined
        else f"`{name}: {json.dumps(field.default)}`"
        for name, field in fields.items()
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True) + "\n"
