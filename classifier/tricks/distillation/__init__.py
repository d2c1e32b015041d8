"""Knowledge distillation: a student that also learns from a teacher's logits or feature maps.

A method is a file here. The teacher is a training of the matrix, or a checkpoint file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from classifier.basics.errors import UserError
from classifier.basics.plugins import found
from classifier.basics.settings import Positive, Weights
from classifier.tricks.base import Act, Batch, BatchLoss, Beginning, Others, Trick
from classifier.tricks.distillation.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from classifier.models.stages import Output

METHODS = {
    method.name: method for method in found(__name__, Method, name=lambda method: method.name)
}

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(METHODS)]


class Distill(Trick):
    """A student that also learns from a teacher: a run of the matrix, or `{file: PATH}` of a
    checkpoint. `ratio` r weighs the term: `at` by r, the others by r / (1 - r) below 1, else by r.

    Here a run is known by its signature, a file by its contents.
    """

    setting: ClassVar = "distill"
    paper: ClassVar = "; ".join(f"{method.paper} ({name})" for name, method in METHODS.items())
    after: ClassVar = "amp"

    method: MethodName
    ratio: Positive = 0.7
    teacher: Annotated[str, Field(pattern="^[0-9a-f]{12}$")] | Weights

    @property
    def slug(self) -> str:
        return f"-{self.method}"

    @property
    def term(self) -> str:
        return f"distillation {self.method}"

    def check(self, spec: Others) -> None:
        super().check(spec)
        if spec.micro_batch is not None and METHODS[self.method].reduction == "whole":
            raise ValueError(
                f"'micro_batch' can't be combined with distill method '{self.method}', which "
                "compares the images of a whole batch"
            )
        if spec.freeze and METHODS[self.method].by_maps:
            raise ValueError(
                f"'distill' by '{self.method}' teaches the trunk, which 'freeze: trunk' leaves as "
                "it is; leave one out, or take 'soft_target'"
            )

    def begin(self, training: Beginning) -> Distiller:
        return Distiller(self, training)


class Distiller(Act):
    """The distillation term of a student's loss."""

    def __init__(self, settings: Distill, training: Beginning) -> None:
        import torch

        from classifier.models.stages import StageMaps

        assert training.teacher is not None
        network, name = training.teacher
        self._settings = settings
        method = METHODS[settings.method]
        frozen = network.eval().requires_grad_(False)
        self.student = StageMaps(training.network, training.spec.model, method.by_maps)
        self.teacher = StageMaps(frozen, name, method.by_maps)
        ends = [maps.channels[-1] if method.by_maps else 0 for maps in (self.student, self.teacher)]
        self.method = method(ends[0], ends[1], training.spec.seed)
        self.weight = self.method.weight(settings.ratio)
        if self.method.layers is not None:
            layers = self.method.layers.to(training.device)
            self.layers = layers.to(memory_format=torch.channels_last)

    def loss(self, batch: Batch, inner: Callable[[], BatchLoss]) -> BatchLoss:
        plain = inner()
        return BatchLoss(plain.mean + self.term(self.student.latest(), batch.images), plain.total)

    def term(self, student: Output, images: Tensor) -> Tensor:
        """The weighted term for a batch whose images (N, 3, H, W) the student has seen."""
        import torch

        with torch.no_grad():
            teacher = self.teacher(images)
        if self.method.place_by_place:
            for ours, theirs in zip(student.stages, teacher.stages, strict=True):
                if ours.shape[2:] != theirs.shape[2:]:
                    raise UserError(
                        f"{self.method.name} compares feature maps place by place, but the "
                        f"student's are {tuple(ours.shape[2:])} and the teacher's "
                        f"{tuple(theirs.shape[2:])}"
                    )
        return self.weight * self.method.term(student, teacher)
