"""Code of the user's, tried before anything trains: four tiny steps on made-up images, on the CPU.

What a training promises is what is tried. It repeats under one key; it goes on from a kept state
bit for bit; loader workers change nothing; shapes and types fit; gradients arrive and are finite;
it ends, and leaves no thread behind. What fails is one error with the file's line.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.progress import silent
from classifier.basics.randomness import keyed, keyed_everywhere
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.cache import Pixels
from classifier.data.datasets import Listing
from classifier.data.loader import EvalLoader
from classifier.data.split import Part
from classifier.data.transforms import Normalize, short_side
from classifier.plugins import load
from classifier.plugins.spec import Plugin, UserAugmentation, UserLoss, UserModel
from classifier.training import states
from classifier.training.trainer import Trainer, TrainingData, start_network, train_loader

_log = logging.getLogger(__name__)

IMAGES, STEPS = 4, 4
"""Of a batch, and of a trial."""
TRAIN: Part = "train"
VAL: Part = "val"
TIMES = 20
"""An augmentation is asked: one that flips a coin of its own may well give the same twice."""
SECONDS = 300
"""A trial that takes longer hangs."""
_DRAWS = (
    "draw from torch's, NumPy's or Python's global generators (torch.rand, np.random.rand, "
    "random.random), which are keyed; a generator of one's own is not, nor is a counter or a list "
    "at the file's top"
)


def try_out(spec: TrainSpec, classes: int) -> None:
    """Try what of a training is the user's. Raises UserError."""
    threads = set(threading.enumerate())
    short = _short(spec)
    with _telling(spec.plugins), _limited(spec.plugins):
        for plugin in spec.plugins:
            load.object_of(plugin)
            _check_threads(plugin, threads)
        _try_alone(short, classes)
        whole = _run(short, classes)
        _check_gradients(spec, whole)
        seen = _fingerprint(whole.state())
        suspects = spec.own_tricks or spec.plugins
        if _fingerprint(_run(short, classes).state()) != seen:
            raise _error(suspects, f"does not repeat under one key: {_DRAWS}")
        if _fingerprint(_resumed(short, classes, suspects).state()) != seen:
            raise _error(
                suspects,
                "goes on from a kept state to other weights than without a stop: state_dict must "
                "give all that its next step depends on, and load_state_dict take it back",
            )
        _check_threads(suspects[0], threads)
        if _fingerprint(_run(short, classes, workers=2).state()) != seen:
            augmenting = [plugin for plugin in spec.plugins if plugin.kind == "augmentation"]
            raise _error(augmenting or suspects, f"depends on the loader's workers: {_DRAWS}")


def _short(spec: TrainSpec) -> TrainSpec:
    """The training in small; what it starts from, and a teacher, are not the user's code."""
    small = {"epochs": 1, "batch_size": IMAGES, "micro_batch": None, "patience": 0}
    without = {"pretrained": None, "weights": None, "distill": None, "amp": False, "warmup": None}
    return spec.model_copy(update={**small, **without, "class_balance": False})


def _run(
    spec: TrainSpec, classes: int, workers: int = 0, keep: states.Keeper | None = None
) -> Trainer:
    """A trial from its beginning, or from what `keep` has kept."""
    trainer = _trainer(spec, classes, workers)
    state = states.load(keep.folder) if keep is not None else None
    if state is not None:
        trainer.restore(state["trainer"])
    trainer.run(silent, keep or (lambda state, position, ended: None))
    return trainer


def _resumed(spec: TrainSpec, classes: int, suspects: Sequence[Plugin]) -> Trainer:
    """Stopped in the middle, and gone on by another trainer."""
    with tempfile.TemporaryDirectory() as folder:
        asked = iter([False] * (STEPS // 2 - 1) + [True])
        keep = states.Keeper(Path(folder), {}, 1e9, lambda: next(asked, False))
        with suppress(StoppedError):
            _run(spec, classes, keep=keep)
        if states.load(Path(folder)) is None:
            raise _error(
                suspects,
                "has a state that can't be kept: it may hold containers, numbers, text and tensors",
            )
        return _run(spec, classes, keep=keep)


def _trainer(spec: TrainSpec, classes: int, workers: int) -> Trainer:
    listed = _listing(classes)
    size = spec.image_size
    images = {
        part: _Images(len(listed.indices(part)), short_side(size, part)) for part in (TRAIN, VAL)
    }
    device = torch.device("cpu")
    data = TrainingData(
        train_loader(spec, images[TRAIN], listed, workers),
        EvalLoader(images[VAL], listed, VAL, size, IMAGES),
        Normalize([0.5] * 3, [0.25] * 3, device),
    )
    return Trainer(spec, (RAW,), data, start_network(spec, classes, None), device)


class _Images(Pixels):
    """Made up, the same every time."""

    def __init__(self, count: int, side: int) -> None:
        draw = np.random.default_rng(0)
        self._made = draw.integers(0, 256, (count, side, side, 3), np.uint8)

    def __reduce__(self) -> Any:
        return _Images, (len(self._made), self._made.shape[1])

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, position: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self._made[position]
        return image


def _listing(classes: int) -> Listing:
    parts = (TRAIN,) * (IMAGES * STEPS) + (VAL,) * IMAGES
    labels = tuple(index % classes for index in range(len(parts)))
    names = tuple(map(str, range(len(parts))))
    return Listing(tuple(map(str, range(classes))), names, labels, parts)


def _try_alone(spec: TrainSpec, classes: int) -> None:
    """What can be called by itself, so that an error names it."""
    if isinstance(spec.augment, UserAugmentation):
        _try_augmentation(spec.augment, spec.image_size)
    if isinstance(spec.loss, UserLoss):
        _try_loss(spec.loss, classes)
    if spec.own_model is not None:
        _try_model(spec.own_model, classes, spec.image_size)


def _try_augmentation(plugin: UserAugmentation, size: int) -> None:
    image = _Images(1, size)[0]
    made = set()
    for _ in range(TIMES):
        with keyed(0, "trial"):
            made.add(np.array(plugin.make()(image.copy())).tobytes())
    if len(made) > 1:
        raise _error([plugin], f"does not repeat under one key: {_DRAWS}")


def _try_loss(plugin: UserLoss, classes: int) -> None:
    start = torch.linspace(-2, 2, IMAGES * classes).view(IMAGES, classes)
    targets = torch.arange(IMAGES) % classes
    seen = []
    for _ in range(2):
        logits = start.clone().requires_grad_()
        with keyed_everywhere(0, "trial"):
            value = plugin.make()(logits, targets)
        if not value.requires_grad:
            raise _error([plugin], "gives no gradient: it is not computed from the logits by torch")
        value.backward()  # type: ignore[no-untyped-call]
        if logits.grad is None or not logits.grad.isfinite().all():
            raise _error([plugin], "has a gradient that is not finite, of logits from -2 to 2")
        seen.append(torch.cat([value.detach().view(1), logits.grad.flatten()]))
    if not torch.equal(*seen):
        raise _error([plugin], f"does not repeat under one key: {_DRAWS}")


def _try_model(plugin: UserModel, classes: int, size: int) -> None:
    weights = []
    for _ in range(2):
        with keyed(0, "trial"):
            trunk, features = plugin.make(classes)
        weights.append(_fingerprint(trunk.state_dict()))
        with torch.no_grad(), _telling([plugin]):
            made = trunk.eval()(torch.zeros(2, 3, size, size))
        if not isinstance(made, torch.Tensor) or made.shape != (2, features):
            shape = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
            raise _error(
                [plugin], f"makes {shape} of 2 images; its features must be (2, {features})"
            )
        if made.dtype != torch.float32:
            raise _error([plugin], f"makes features of {made.dtype}; they must be torch.float32")
    if weights[0] != weights[1]:
        raise _error([plugin], f"does not repeat under one key: {_DRAWS}")


def _check_gradients(spec: TrainSpec, trainer: Trainer) -> None:
    """Those of the last step, which are there still."""
    learning = [(n, p) for n, p in trainer.network.named_parameters() if p.requires_grad]
    without = [name for name, parameter in learning if parameter.grad is None]
    if without and spec.own_model is not None:
        some = ", ".join(without[:3]) + (", ..." if without[3:] else "")
        raise _error(
            [spec.own_model],
            f"has {len(without)} parameter(s) that no gradient reaches: {some}; leave them out, or "
            "set requires_grad=False",
        )
    wrong = [n for n, p in learning if p.grad is not None and not p.grad.isfinite().all()]
    wrong += [name for name, parameter in learning if not parameter.isfinite().all()]
    if wrong:
        raise _error(spec.plugins, f"makes gradients or weights that are not finite, as {wrong[0]}")


def _check_threads(plugin: Plugin, before: set[threading.Thread]) -> None:
    more = [thread.name for thread in threading.enumerate() if thread not in before]
    if more:
        raise _error([plugin], f"leaves a thread running ({more[0]}); a job is one thread of yours")


def _fingerprint(value: Any) -> str:
    """Of all that a state holds, but for the time that it took."""
    found = hashlib.sha256()

    def add(inner: Any) -> None:
        if isinstance(inner, torch.Tensor):
            found.update(f"{inner.dtype} {tuple(inner.shape)}".encode())
            found.update(inner.detach().contiguous().numpy().tobytes())
        elif isinstance(inner, dict):
            for key, part in inner.items():
                if key != "seconds":
                    found.update(repr(key).encode())
                    add(part)
        elif isinstance(inner, list | tuple):
            for part in inner:
                add(part)
        else:
            found.update(repr(inner).encode())

    add(value)
    return found.hexdigest()


def _error(plugins: Sequence[Plugin], message: str) -> UserError:
    """It names each that it may be."""
    names = " or ".join(f"{plugin.kind} '{plugin.name}'" for plugin in plugins)
    return UserError(f"{load.place_of(plugins[0])}: {names} {message}")


@contextmanager
def _telling(plugins: Sequence[Plugin]) -> Iterator[None]:
    """Whatever goes wrong is told with a file's line."""
    try:
        yield
    except UserError as error:
        if str(error).startswith(load.folder_of(plugins[0])):
            raise
        raise _error(plugins, f"in a trial: {error}") from error
    except Exception as error:
        _log.error("%s", traceback.format_exc())
        said = str(error).strip().partition("\n")[0]
        raise _error(plugins, f"in a trial: {type(error).__name__}: {said}") from error


@contextmanager
def _limited(plugins: Sequence[Plugin]) -> Iterator[None]:
    """What hangs is ended: by an error in the line where it is."""

    def end(*_: object) -> None:
        raise TimeoutError(
            f"nothing came of it within {SECONDS} s of its trial: mend what hangs, or compute "
            "beforehand what takes so long, into a file that it 'reads'"
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    except TimeoutError as error:
        raise _error(plugins, str(error)) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
