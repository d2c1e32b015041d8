"""What a user's own file imports: the marks, and what a trick is made of.

    from classifier.plugins import Act, trick

    @trick
    class my_trick(Act): ...

A marked function or class becomes a name in a matrix that has the file among its `plugins`. Its
settings are its keyword-only parameters. A mark changes nothing when the file runs: what there is
is read from the file's text (declared.py), before anything of it runs. `reads=["table.csv"]` on any
of them names files of data beside it, which are signed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, overload

from classifier.data.sources.made import Sample
from classifier.tricks.base import Act, Batch, BatchLoss, Beginning, Update

__all__ = [
    "Act",
    "Batch",
    "BatchLoss",
    "Beginning",
    "Sample",
    "Update",
    "augmentation",
    "dataset",
    "loss",
    "metric",
    "model",
    "optimizer",
    "trick",
]

T = TypeVar("T", bound=Callable[..., Any])


@overload
def trick(marked: T) -> T: ...
@overload
def trick(
    *,
    takes_over: Sequence[Literal["loss", "step"]] = (),
    apart: Sequence[str] = (),
    reads: Sequence[str] = (),
) -> Callable[[T], T]: ...
def trick(marked: Any = None, *, takes_over: Any = (), apart: Any = (), reads: Any = ()) -> Any:
    """A subclass of `Act`, made with `(self, training, *, settings)`, or without `training` (a
    `Beginning`). `takes_over`: the places where it does not call `inner`. `apart`: the names of the
    tricks that it can't be combined with."""
    return _marked(marked)


@overload
def loss(marked: T) -> T: ...
@overload
def loss(*, reads: Sequence[str]) -> Callable[[T], T]: ...
def loss(marked: Any = None, *, reads: Any = ()) -> Any:
    """`(logits (N, C), targets, *, settings)` -> the mean over the batch; `targets` are class
    indices (N,) or probabilities (N, C). With a third parameter, `weight`, it can weigh classes:
    one for each (C,), or None."""
    return _marked(marked)


@overload
def optimizer(marked: T) -> T: ...
@overload
def optimizer(*, reads: Sequence[str]) -> Callable[[T], T]: ...
def optimizer(marked: Any = None, *, reads: Any = ()) -> Any:
    """`(groups, lr, *, settings)` -> a torch.optim.Optimizer of these groups of parameters. A
    setting `weight_decay` is for weights only: biases and norm layers have none."""
    return _marked(marked)


@overload
def augmentation(marked: T) -> T: ...
@overload
def augmentation(*, reads: Sequence[str]) -> Callable[[T], T]: ...
def augmentation(marked: Any = None, *, reads: Any = ()) -> Any:
    """`(image, *, settings)` -> an image of the same size: uint8 (H, W, 3)."""
    return _marked(marked)


@overload
def model(marked: T) -> T: ...
@overload
def model(*, reads: Sequence[str]) -> Callable[[T], T]: ...
def model(marked: Any = None, *, reads: Any = ()) -> Any:
    """`(classes, *, settings)` -> (trunk, features): an nn.Module that makes features (N, F) of
    images (N, 3, H, W), and F. The head, Dropout and Linear, is put on it as on all models."""
    return _marked(marked)


@overload
def dataset(marked: T) -> T: ...
@overload
def dataset(*, classes: int | None = None, reads: Sequence[str] = ()) -> Callable[[T], T]: ...
def dataset(marked: Any = None, *, classes: Any = None, reads: Any = ()) -> Any:
    """`(*, settings)` -> its images, a `Sample` each: they are made into files once, in a job of
    its own. `classes`: how many it has, which a table with speeds must know before that."""
    return _marked(marked)


@overload
def metric(marked: T) -> T: ...
@overload
def metric(
    *, better: Literal["more", "less"] = "more", reads: Sequence[str] = ()
) -> Callable[[T], T]: ...
def metric(marked: Any = None, *, better: Any = "more", reads: Any = ()) -> Any:
    """`(logits, labels, *, settings)` -> a score for each image (N,), whose mean is the figure, or
    one number; of NumPy arrays: logits (N, C), FP32, labels (N,). With a third parameter, `paths`
    (N,), it is told which images they are. `better`: whether more is, or less."""
    return _marked(marked)


def _marked(marked: Any) -> Any:
    """The thing itself, also where the mark is called with what it says."""
    return (lambda given: given) if marked is None else marked
