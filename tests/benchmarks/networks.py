"""Every name of torchvision's and timm's networks: which are taken, at which sizes, with which
settings.

    python -m tests.benchmarks networks [NAME ...]

Each is built with our head for two classes on torch's meta device, which has shapes and no numbers,
and must give (2, 2) of two images of its own size. The rest is found by trying. Writes
classifier/models/networks.csv and the end of docs/networks.md; with names it prints what it finds
of these. Goes on where it was interrupted. Less than an hour on one core.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import timm
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from classifier.basics.errors import UserError
from classifier.basics.files import cache_folder
from classifier.models import catalogue
from classifier.models.known import SETTINGS, TABLE, Known
from classifier.models.network import Network, build
from classifier.models.trunks import Wish
from reports.blocks import Grid
from reports.page.markdown import grid

CLASSES = 2
STEPS = (1, 2, 4, 7, 8, 14, 16, 28, 32, 56, 64, 112, 128, 224)
LEAST = 8
"""The smallest that a training takes."""
USUAL = (14, 16, 28, 29, 32, 63, 64)
"""Least sizes of many networks."""
IN_PLACE = ("normal_", "uniform_", "clamp_", "erfinv_", "mul_", "add_", "div_", "fill_", "zero_")
"""What initial weights are made by."""
TRIED = 0.3
"""A rate that no network has by itself."""
MEMORY = 16e9
"""Bytes of weights in FP32, above which a network can't be trained on this machine."""
COUNTED = "## What was counted"
"""The heading in the docs below which all is written by this."""
DOCS = Path(__file__).parents[2] / "docs/networks.md"


class WithoutInitialWeights(TorchFunctionMode):
    """Leaves out what changes a tensor of the meta device in its place: nothing would come of it,
    and it takes most of the time."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        changed = args[0] if args else kwargs.get("tensor")
        is_in_place = getattr(func, "__name__", "") in IN_PLACE
        if is_in_place and isinstance(changed, torch.Tensor) and changed.is_meta:
            return changed
        return func(*args, **kwargs)


def shapes_of(model: str, asked: Wish = Wish()) -> Network:  # noqa: B008
    """The network on the meta device."""
    try:
        with torch.device("meta"), WithoutInitialWeights():
            return build(model, CLASSES, seed=0, wish=asked).eval()
    except NotImplementedError:  # it computes with numbers while it is built
        return build(model, CLASSES, seed=0, wish=asked).to("meta").eval()


def gives(network: Network, side: int) -> bool:
    """Whether two images of that size give an answer each."""
    with torch.no_grad():
        answer = network(torch.empty(2, 3, side, side, device="meta"))
    return tuple(answer.shape) == (2, CLASSES)


class Sides:
    """Which image sizes a network takes, found by trying; `own` it does."""

    _of_kind: ClassVar[dict[type[nn.Module], tuple[int, int]]] = {}
    """Least size and step of the last network of a class that was searched."""

    def __init__(self, model: str, own: int, network: Network) -> None:
        self._model, self.own, self._network = model, own, network
        self._tried = {own: True}

    def takes(self, side: int) -> bool:
        if side not in self._tried:
            try:
                built = self._network.side is not None
                network = shapes_of(self._model, Wish(image_size=side)) if built else self._network
                self._tried[side] = gives(network, side)
            except Exception:  # whatever a library raises of a size that it does not take
                self._tried[side] = False
        return self._tried[side]

    def steps(self) -> list[int]:
        """The steps from its own size that it takes, the least first."""
        steps = [each for each in STEPS if self.own % each == 0]
        return [step for step in [*steps, self.own] if self.takes(self.own + step)]

    def least(self, step: int) -> int:
        """The smallest multiple of the step that it takes: one of the usual ones, or by halving."""
        low, high = max(1, -(-LEAST // step)), self.own // step
        for usual in dict.fromkeys((low, *(-(-side // step) for side in USUAL))):
            if low <= usual <= high and self.takes(usual * step):
                if usual == low or not self.takes((usual - 1) * step):
                    return usual * step
                high = usual
                break
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.takes(middle * step) else (middle + 1, high)
        return low * step

    def found(self) -> tuple[int, int]:
        """The least size and the step, held against a few more sizes; step 0 where they fail."""
        kind = type(self._network.trunk)
        least, step = self._of_kind.get(kind, (0, 0))
        if not step or not self._is_so(least, step):
            least, step = self._of_kind[kind] = self._searched()
        return least, step

    def _is_so(self, least: int, step: int) -> bool:
        """Whether what holds for another network of its kind holds for it."""
        grows = self.takes(self.own + step) and (step == 1 or not self.takes(self.own + 1))
        below = least - step
        return grows and self.takes(least) and (below < LEAST or not self.takes(below))

    def _searched(self) -> tuple[int, int]:
        for step in self.steps():
            least = self.least(step)
            span = (self.own - least) // step
            if all(self.takes(least + step * k) for k in (1, span // 3, 2 * span // 3)):
                return least, step
        return self.own, 0


def takes_others(network: Network, own: int) -> bool:
    """Whether it takes other sizes than its own as it is: it interpolates its positions, or the
    images."""
    for side in (own + 32, 64):
        with contextlib.suppress(Exception):  # whatever a library raises of a size
            if gives(network, side):
                return True
    return False


def settings_of(model: str, network: Network) -> Iterator[str]:
    """Those of `SETTINGS` that the network has, and in which something changes by them."""
    changed = {name: list(_modules_with(model, name)) for name in SETTINGS[:2]}
    if any(TRIED in _rates(each) and not _is_path(each) for each in changed["drop_rate"]):
        yield "drop_rate"
    if any(_is_path(each) and _most(each) > 0 for each in changed["drop_path_rate"]):
        yield "drop_path_rate"
    if hasattr(network.trunk, "group_matcher"):
        yield "layer_decay"


def _modules_with(model: str, setting: str) -> Iterator[nn.Module]:
    try:
        asked = Wish(**{setting: TRIED})  # type: ignore[arg-type]
        yield from shapes_of(model, asked).trunk.modules()
    except Exception:  # whatever a library raises of an argument that it does not know
        return


def _is_path(module: nn.Module) -> bool:
    return "Path" in type(module).__name__ or type(module).__name__ == "StochasticDepth"


def _most(module: nn.Module) -> float:
    """Of a path's rates, which may be a list of them."""
    rate = getattr(module, "drop_prob", getattr(module, "p", 0))
    return max(rate) if isinstance(rate, list | tuple) else float(rate or 0)


def _rates(module: nn.Module) -> list[object]:
    places = ("p", "drop_rate", "drop_prob", "head_drop")
    return [getattr(module, place, None) for place in places]


def own_side(model: str) -> int:
    """The size that it was made for: torchvision's weights say so."""
    entry = catalogue.MODELS.get(model)
    library, name = (entry.library, entry.name) if entry else ("", model)
    if library == "timm" or (not library and name not in torchvisions()):
        config = timm.get_pretrained_cfg(name)
        return int(config.input_size[-1]) if config is not None else 224
    crop = torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size
    plain = [w for w in torchvision.models.get_model_weights(name) if w.name == "IMAGENET1K_V1"]
    return int(plain[0].transforms().crop_size[0] if plain else crop[0])


def torchvisions() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def look(model: str) -> dict[str, Any]:
    """All that is found of a name, as a row."""
    start = time.monotonic()
    library = "torchvision" if model in torchvisions() else "timm"
    own = own_side(model)
    known, megabytes = Known(model, library, own, False, own, 0, ()), 0.0
    try:
        network = shapes_of(model)
        megabytes = sum(p.numel() for p in network.parameters()) * 4 / 1e6
        if not gives(network, network.side or own):
            raise UserError("it gives no answer for each image")
        own = network.side or own
        built = network.side is not None and not takes_others(network, own)
        network.side = own if built else None
        sides = Sides(model, own, network)
        least, step = sides.found()
        settings = tuple(settings_of(model, network))
        known = Known(model, library, sides.own, built, least, step, settings)
    except UserError as error:
        known = Known(model, library, own, False, own, 0, (), str(error).rpartition(": ")[2])
    except Exception as error:  # whatever a library raises
        known = Known(model, library, own, False, own, 0, (), repr(error)[:200])
    seconds = round(time.monotonic() - start, 2)
    return {**asdict(known), "megabytes": round(megabytes, 1), "seconds": seconds}


def main(*names: str) -> int:
    logging.disable()
    warnings.simplefilter("ignore")
    with patch.object(catalogue, "table", dict):  # what is to be found is not asked for
        return shown(names) if names else counted()


def shown(names: Sequence[str]) -> int:
    for name in names:
        print(json.dumps(look(name)))
    return 0


def counted() -> int:
    """Look at every name, and write what is found."""
    every = sorted({*torchvisions(), *timm.list_models()})
    key = f"{torchvision.__version__}-{timm.__version__}"
    kept = cache_folder("networks") / f"{key}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    rows = {row["name"]: row for row in map(json.loads, kept.read_text().splitlines())}
    with kept.open("a") as file:
        for name in every:
            if name not in rows:
                rows[name] = look(name)
                file.write(json.dumps(rows[name]) + "\n")
                file.flush()
    found = [rows[name] for name in every]
    TABLE.write_text(table_text(found))
    prose = DOCS.read_text().partition(COUNTED)[0]
    DOCS.write_text(f"{prose}{COUNTED}\n\n{docs_text(found)}")
    print(docs_text(found))
    return 0


def table_text(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("name", "library", "own", "built", "least", "step", "settings", "refused")
    writer.writerow(columns)
    for row in rows:
        shown = {
            **row,
            "built": "yes" if row["built"] else "",
            "settings": " ".join(row["settings"]),
        }
        writer.writerow(shown[column] for column in columns)
    return text.getvalue()


def docs_text(rows: list[dict[str, Any]]) -> str:
    """What was counted, as Markdown."""
    taken = [row for row in rows if not row["refused"]]
    refused = [row for row in rows if row["refused"]]
    large = [row for row in taken if row["megabytes"] * 1e6 > MEMORY]
    minutes = sum(row["seconds"] for row in rows) / 60
    return "\n".join(
        (
            f"torchvision {torchvision.__version__.partition('+')[0]}, timm {timm.__version__}: "
            f"**{len(taken):,} of {len(rows):,} names are taken "
            f"({100 * len(taken) / len(rows):.1f} %)**, in {minutes:.0f} minutes.\n",
            grid(Grid.of(("torchvision", "timm"), _counts(rows))),
            "What is refused:\n",
            grid(Grid.of(refused, {"name": _name, "why": lambda row: row["refused"]})),
            "Image sizes that the others take, from each one's least on:\n",
            grid(Grid.of(_by_sides(taken), {"sizes": lambda e: e[0], "networks": lambda e: e[1]})),
            f"With more than {MEMORY / 1e9:.0f} GB of weights, so that they were built as shapes "
            f"and could not be trained here: {_some(large)}.\n",
        )
    )


def _some(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{_name(row)} ({row['megabytes'] / 1e3:.0f} GB)" for row in rows) or "none"


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def count(**wanted: Any) -> int:
        return sum(all(row[key] == value for key, value in wanted.items()) for row in rows)

    def having(setting: str) -> Any:
        return lambda library: str(
            sum(setting in row["settings"] for row in rows if row["library"] == library)
        )

    return {
        "library": lambda library: library,
        "names": lambda library: str(count(library=library)),
        "taken": lambda library: str(count(library=library, refused="")),
        "any size from a least one on": lambda library: str(
            count(library=library, refused="", step=1)
        ),
        "its own size only": lambda library: str(count(library=library, refused="", step=0)),
    } | {f"`{setting}`": having(setting) for setting in SETTINGS}


def _name(row: dict[str, Any]) -> str:
    return f"`{row['name']}`"


def _by_sides(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Steps of the sizes that are taken, with how many networks have them and some of these."""
    counted = Counter(row["step"] for row in rows)
    found = []
    for step, several in groupby(
        sorted(rows, key=lambda row: row["step"]), lambda row: row["step"]
    ):
        names = [_name(row) for row in several]
        shown = "one only" if step == 0 else "any" if step == 1 else f"multiples of {step}"
        few = ", ".join(names[:: max(1, len(names) // 4)][:4])
        found.append((shown, f"{counted[step]}: {few}" + (", ..." if len(names) > 4 else "")))
    return found


if __name__ == "__main__":
    main()
