"""What a trick is, and the places of a training where it may act.

A training goes through them in this order:

    begin                  the network is built, its tracks are copied; the trick makes its `Act`
    Act.batch              a batch of images before the pass
    Act.loss               the loss of a batch, or of a part of one with `micro_batch`
    Act.step               the optimiser's step
    Act.after_step         after it
    Act.report             at an epoch's end, for its history

Loss and step are wrapped: an act is given the `inner` one, without its trick. One that does not
call it takes the place over, and its trick says so (`takes_over`): two of these are refused, and it
is the innermost of those that act there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BeforeValidator, Field

from classifier.basics.settings import NEUTRAL, Settings, neutral, switch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from classifier.models.network import Network

TaskLoss = Callable[["Tensor", "Tensor"], "Tensor"]
"""(logits (N, C), class indices (N,) or probabilities (N, C)) -> the mean over the batch."""

Reduction = Literal["mean", "sum", "whole"]
"""How a loss makes one number of a batch: a mean or a sum over its images, which parts of the batch
can add up, or in a way that needs the whole of it."""


@dataclass(frozen=True)
class Flag:
    """A flag of the original's command line for a setting."""

    name: str
    setting: str
    help: str
    choices: tuple[str, ...] = ()
    """None: a switch."""
    words: Mapping[Any, Any] = field(default_factory=dict)
    """Our words for the flag's where they differ."""


class Others(Protocol):
    """A training's settings, as a trick may look at them."""

    @property
    def model(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def micro_batch(self) -> int | None: ...
    @property
    def class_balance(self) -> bool: ...
    @property
    def freeze(self) -> str | None: ...
    @property
    def seed(self) -> int: ...
    def has(self, setting: str) -> bool:
        """Whether the trick of that name is on."""


class Trick(Settings):
    """A trick's settings, under its name in a training's. Without it a training has None."""

    setting: ClassVar[str]
    """Its name in `train:`."""
    paper: ClassVar[str]
    apart: ClassVar[tuple[str, ...]] = ()
    """The tricks that it can't be combined with; one of the two says so."""
    after: ClassVar[str] = ""
    """The setting behind which reports list it; empty: at the end."""
    signed_when_off: ClassVar[bool] = False
    """For tricks that were there before settings could be added later; see `NEUTRAL`."""
    is_track: ClassVar[bool] = False
    """It looks at a training without touching it: a track of it, and no setting."""
    takes_over: ClassVar[tuple[Literal["loss", "step"], ...]] = ()
    """The places where its act does not call `inner`."""
    told_by_slug: ClassVar[bool] = False
    """Whether the names of runs and jobs say that it is on, so that labels need not."""
    flags: ClassVar[tuple[Flag, ...]] = ()
    readings: ClassVar[tuple[Callable[[object], object], ...]] = (switch,)
    """How what is written becomes settings: `true` is all at its defaults."""

    @classmethod
    def annotation(cls) -> Any:
        validators = tuple(map(BeforeValidator, reversed(cls.readings)))
        return Annotated[(cls | None, *validators)]

    @classmethod
    def declaration(cls) -> Any:
        """The field in a training's settings. When it is off nothing of it is signed; of tricks
        that came later nothing is written either, so that older records and reports stay."""
        if cls.signed_when_off:
            return Field(None)
        if cls.after:
            return Field(None, json_schema_extra=NEUTRAL)
        return neutral(None)

    @property
    def term(self) -> str:
        """What it adds to the loss, in words, if anything."""
        return ""

    @property
    def slug(self) -> str:
        """What the name of a run says of it, if anything."""
        return f"-{self.setting}" if self.told_by_slug else ""

    def check(self, spec: Others) -> None:
        """Raises ValueError for what it can't be combined with, by name."""
        for other in filter(spec.has, self.apart):
            raise ValueError(f"'{self.setting}' and '{other}' can't be combined; leave one out")

    def passes(self, model: str) -> int:
        """Forward and backward passes of an image where a plain training has one, for estimates."""
        return 1

    def begin(self, training: Beginning) -> Act:
        """What it does in one training."""
        return Act()


@dataclass(frozen=True)
class Beginning:
    """A training before its first step. Who keeps it sees in every place how far it is."""

    spec: Others
    network: Network
    device: torch.device
    classes: int
    teacher: tuple[Network, str] | None
    """The network that a `distill` names, in FP32 on the device, and its model's name."""
    steps: int = 1
    """Of the optimiser, to the end of the last epoch; `patience` may end it before."""
    taken: Callable[[], int] = lambda: 0

    @property
    def step(self) -> int:
        """Which of them is being taken, from 1: the same in all places of a step, however often
        they are called, and after a resume. 0 before the first."""
        return self.taken()


@dataclass(frozen=True)
class Batch:
    """What a loss is computed of."""

    network: Network
    images: Tensor
    """(N, 3, H, W)"""
    targets: Tensor
    """Class indices (N,) or probabilities (N, C)."""
    task: TaskLoss


@dataclass(frozen=True)
class BatchLoss:
    """A batch's loss, in what parts of the batch can add up: a mean over its images, and a sum."""

    mean: Tensor
    total: Tensor | None = None


class Update(Protocol):
    """One step of the optimiser, for those who take more than one look at the batch."""

    network: Network
    optimizer: torch.optim.Optimizer
    device: torch.device

    def gradients(self) -> Tensor:
        """Clear the gradients, then add up those of the batch, scaled by `scale`. Gives the loss of
        the batch, unscaled and detached."""

    @property
    def scale(self) -> float:
        """What the gradients are multiplied by, lest they vanish in FP16; 1 without amp."""

    @property
    def weights(self) -> list[Tensor]:
        """All that the optimiser moves and that has a gradient."""
        groups = self.optimizer.param_groups
        return [weight for group in groups for weight in group["params"] if weight.grad is not None]

    def apply(self) -> None:
        """Move the weights along the gradients, unless these overflowed."""


class Act:
    """What a trick does in one training. A place that it does not take stays as it is."""

    layers: nn.Module | None = None
    """Its own, which are trained and kept along with the network's."""
    rdrop_passes: int | None = None
    """Of the trunk in a step, as the record has it."""

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) and labels (N,), or probabilities (N, C), in their place. Draws from
        torch's global generators, which each step keys."""
        return images, targets

    def loss(self, batch: Batch, inner: Callable[[], BatchLoss]) -> BatchLoss:
        """`inner` gives the loss without this trick, with one pass of the network."""
        return inner()

    def step(self, update: Update, inner: Callable[[], Tensor]) -> Tensor:
        """`inner` does the step without this trick and gives the batch's loss; so does this."""
        return inner()

    def after_step(self, network: Network, step: int) -> None:
        """`step`: how many there were, from 1."""

    def report(self) -> Mapping[str, float | None]:
        """Numbers of the epoch that ends, by name, for the record's history; None: not finite. They
        repeat, and no time is among them."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What its next step depends on beside its layers: plain containers, numbers, tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
