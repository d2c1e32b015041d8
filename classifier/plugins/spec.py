"""A user's objects, each in its place among the settings of a training, a data set or a column.

What they do is in the user's file, which `load` runs in a job's process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from classifier.basics.settings import UNSIGNED, as_tuple
from classifier.basics.users import Kind, Plugin
from classifier.data.sources.made import UserDataset
from classifier.plugins.declared import Declared
from classifier.tricks.base import Act, Beginning, Others, TaskLoss, Trick
from classifier.tricks.losses.base import Loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class UserLoss(Plugin, Loss):
    kind: ClassVar[Kind] = "loss"
    under: ClassVar[str] = "loss"
    paper: ClassVar = ""

    def check(self, spec: Others) -> None:
        if spec.class_balance and self.takes < 3:
            raise ValueError(
                f"loss '{self.name}' takes no class weights: give it a third parameter, 'weight', "
                "or leave out 'class_balance'"
            )
        super().check(spec)

    def make(self, weight: Tensor | None = None) -> TaskLoss:
        from classifier.plugins.load import computed, function_of

        weighted = {"weight": weight} if self.takes > 2 else {}
        return computed(self, partial(function_of(self), **weighted))


class UserOptimizer(Plugin):
    kind: ClassVar[Kind] = "optimizer"
    under: ClassVar[str] = "optimizer"

    @property
    def weight_decay(self) -> float:
        """For weights only, if it has such a setting."""
        return float(self.settings.get("weight_decay") or 0.0)

    def make(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        from classifier.plugins.load import optimizer_of

        return optimizer_of(self, groups, lr)


class UserAugmentation(Plugin):
    kind: ClassVar[Kind] = "augmentation"
    under: ClassVar[str] = "augment"

    def make(self) -> Callable[[Any], Any]:
        from classifier.plugins.load import augmenting

        return augmenting(self)


class UserModel(Plugin):
    kind: ClassVar[Kind] = "model"
    under: ClassVar[str] = "model"

    def make(self, classes: int) -> tuple[nn.Module, int]:
        """Its trunk, and how many features that makes."""
        from classifier.plugins.load import trunk_of

        return trunk_of(self, classes)


class UserTrick(Plugin, Trick):
    kind: ClassVar[Kind] = "trick"
    paper: ClassVar = ""

    over: Names = Field((), json_schema_extra=UNSIGNED)
    not_with: Names = Field((), json_schema_extra=UNSIGNED)

    @property
    def setting(self) -> str:  # type: ignore[override]  # a built-in one's is its class's
        return self.name

    @property
    def slug(self) -> str:
        return f"-{self.name}"

    @property
    def takes_over(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.over

    @property
    def apart(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.not_with

    def begin(self, training: Beginning) -> Act:
        from classifier.plugins.load import act_of

        return act_of(self, training)


class UserMetric(Plugin):
    kind: ClassVar[Kind] = "metric"
    under: ClassVar[str] = "metric"

    better: Literal["more", "less"] = Field(json_schema_extra=UNSIGNED)


def trunk_maker(written: dict[str, Any]) -> Callable[[int], tuple[nn.Module, int]]:
    """What makes a model's trunk, from what a checkpoint says of it."""
    return UserModel.model_validate(written).make


_TRAINED = (UserTrick, UserLoss, UserOptimizer, UserAugmentation, UserModel)
OF_KIND: dict[Kind, type[Plugin]] = {
    each.kind: each for each in (*_TRAINED, UserDataset, UserMetric)
}
OF_A_TRAINING: dict[str, Kind] = {each.under: each.kind for each in _TRAINED if each.under}
"""The settings of a training that may name an object of the user's; a trick's own name is one."""


def as_setting(declared: Declared, settings: dict[str, Any]) -> Plugin:
    """A declared object with these settings, which are checked."""
    more: dict[str, Any] = {}
    match declared.kind:
        case "trick":
            more = {"over": declared.takes_over, "not_with": declared.apart}
        case "dataset":
            more = {"classes": declared.classes}
        case "metric":
            more = {"better": declared.better}
    return OF_KIND[declared.kind](
        name=declared.name,
        settings=declared.settings.model_validate(settings).model_dump(),
        digest=declared.digest,
        file=declared.file,
        line=declared.line,
        takes=declared.takes,
        **more,
    )
