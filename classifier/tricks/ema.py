"""Exponential moving average of a network's weights and buffers."""

from __future__ import annotations

import copy
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from classifier.basics.errors import UserError
from classifier.basics.settings import Count, Positive, neutral
from classifier.tricks.base import Act, Beginning, Flag, Trick

if TYPE_CHECKING:
    from classifier.models.network import Network

_NUMBER = r"([0-9.]+(?:e[-+]?[0-9]+)?)"


class Ema(Trick):
    """Average of weights and buffers: decay(t) = decay * (1 - exp(-t / tau)) at step t from 1, and
    at each `every`th step only.

    A track: it looks at a training without touching it.
    """

    setting: ClassVar = "ema"
    paper: ClassVar = "Polyak and Juditsky, 1992"
    is_track: ClassVar = True
    told_by_slug: ClassVar = True
    flags: ClassVar = (Flag("ema", "ema", "train the average alone, as the original does"),)

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.9999
    tau: Positive = 2000.0
    every: Count = neutral(1)

    @property
    def key(self) -> str:
        """The name of its track, also as a folder: `ema-0.9999-2000`, `ema-0.9999-2000-32`."""
        every = "" if self.every == 1 else f"-{self.every}"
        return f"ema-{self.decay!r}-{self.tau:.17g}{every}"

    @classmethod
    def of_key(cls, key: str) -> Ema | None:
        """The average of that name; None for a name that is none of an average."""
        numbers = re.fullmatch(f"ema-{_NUMBER}-{_NUMBER}(?:-([0-9]{{1,10}}))?", key)
        if numbers is None:
            return None
        try:
            ema = cls(decay=float(numbers[1]), tau=float(numbers[2]), every=int(numbers[3] or 1))
        except ValidationError:
            return None
        return ema if ema.key == key else None

    def begin(self, training: Beginning) -> Average:
        return Average(training.network, self)

    def decay_at(self, step: int) -> float:
        """decay * (1 - exp(-step / tau)), `step` from 1: the first ones nearly copy the network."""
        return self.decay * (1 - math.exp(-step / self.tau))


class Average(Act):
    """A network that follows another. Floating tensors are averaged, integer buffers and what
    modules of the user's keep beside (`get_extra_state`) copied."""

    def __init__(self, network: Network, ema: Ema) -> None:
        from torch.nn import Module

        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._places = _places(self.network)
        self._keeping = [
            (mine, theirs)
            for mine, theirs in zip(self.network.modules(), network.modules(), strict=True)
            if type(theirs).get_extra_state is not Module.get_extra_state
        ]
        self._ema = ema

    def after_step(self, network: Network, step: int) -> None:
        """Follow the network; steps that amp skipped are counted too."""
        if step % self._ema.every:
            return
        import torch
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        places = _places(network)
        if len(places) != len(self._places):
            raise UserError(
                "the model has other parameters or buffers than when its training began, which an "
                "average ('ema') can't follow: make them all in __init__"
            )
        # A tensor that stands in several places, as tied weights do, once.
        pairs = {
            id(mine[name]): (mine[name], theirs[of])
            for (mine, name), (theirs, of) in zip(self._places, places, strict=True)
        }
        averaged, followed, copied, counts = [], [], [], []
        for own, other in pairs.values():
            if own.is_floating_point():
                averaged.append(own)
                followed.append(other)
            else:
                copied.append(own)
                counts.append(other)
        with torch.no_grad():
            average = get_ema_multi_avg_fn(self._ema.decay_at(step))  # type: ignore[no-untyped-call]
            average(averaged, followed, step)
            if copied:
                torch._foreach_copy_(copied, counts)
        for keeper, kept in self._keeping:
            keeper.set_extra_state(copy.deepcopy(kept.get_extra_state()))


def _places(network: Network) -> list[tuple[dict[str, Any], str]]:
    """Where each tensor of its state_dict lies, in a fraction of the time that making one takes: on
    a GPU, two of them at each step would take as long as the average."""
    return [
        (tensors, name)
        for module in network.modules()
        for tensors in (module._parameters, module._buffers)
        for name in tensors
        if tensors[name] is not None and name not in module._non_persistent_buffers_set
    ]
