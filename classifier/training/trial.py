"""Code of the user's, tried before anything trains: four tiny steps on made-up images, on the CPU.

What a training promises is what is tried. It repeats under one key; it goes on from a kept state
bit for bit, in another process; loader workers change nothing; its checkpoint holds all that
predicts; shapes and types fit; gradients arrive and are finite; it ends, and leaves no thread
behind. What fails is one error with the file's line, for each object that is at fault.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifier.basics.errors import StoppedError, TogetherError, UserError
from classifier.basics.progress import silent
from classifier.basics.randomness import keyed, keyed_everywhere
from classifier.basics.users import Plugin
from classifier.config.family import Member
from classifier.config.spec import TrainSpec
from classifier.config.tracks import RAW
from classifier.data.datasets import Listing
from classifier.data.loader import EvalLoader
from classifier.data.pixels import Pixels
from classifier.data.split import Part
from classifier.data.transforms import Normalize
from classifier.inference.scoring import score
from classifier.models.network import prepare_for_gradients
from classifier.plugins import load
from classifier.plugins.spec import UserAugmentation, UserLoss, UserMetric, UserModel
from classifier.records.arrays import Predictions
from classifier.training import states
from classifier.training.trainer import Trainer, TrainingData, start_network, train_loader

_log = logging.getLogger(__name__)

IMAGES, STEPS, EPOCHS = 4, 4, 2
"""Of a batch, and of a trial."""
TRAIN: Part = "train"
VAL: Part = "val"
TIMES = 20
"""An augmentation is asked: one that flips a coin of its own may well give the same twice."""
SECONDS = 300
"""A trial that takes longer hangs."""


_STATE = (
    "than without a stop: state_dict must give all that its next step depends on, and "
    "load_state_dict take it back"
)


def try_out(spec: TrainSpec, classes: int) -> None:
    """Try what of a training is the user's. Raises UserError; where several of the objects fail by
    themselves, with each of them."""
    try:
        _try(spec, classes, spec.plugins)
    except UserError as error:
        alone = _errors_alone(spec, classes) if len(spec.plugins) > 1 else []
        raise TogetherError(alone or [error]) from error


def _errors_alone(spec: TrainSpec, classes: int) -> list[UserError]:
    """What is wrong with the model, else with the others, each tried with the model alone."""
    places = [name for name in ("optimizer", "loss", "augment") if _is_own(getattr(spec, name))]
    built_in = {name: TrainSpec.model_fields[name].default for name in places}
    bare = spec.model_copy(update={**built_in, "own_tricks": ()})
    others = [(getattr(spec, name), {name: getattr(spec, name)}) for name in places]
    others += [(trick, {"own_tricks": (trick,)}) for trick in spec.own_tricks]
    alone = [(plugin, bare.model_copy(update=update)) for plugin, update in others]
    errors: list[UserError] = []
    for plugin, each in [*([(spec.own_model, bare)] if spec.own_model else []), *alone]:
        try:
            _try(each, classes, [plugin])
        except UserError as error:
            errors.append(error)
            if plugin is spec.own_model:
                break
    return errors


def _is_own(value: object) -> bool:
    return isinstance(value, Plugin)


def _try(spec: TrainSpec, classes: int, suspects: Sequence[Plugin]) -> None:
    """`suspects`: whose fault it can be."""
    threads = set(threading.enumerate())
    short = _short(spec)
    with _telling(suspects), _limited(suspects):
        for plugin in spec.plugins:
            load.object_of(plugin)
            load.check_threads(plugin, threads)
        _try_alone(spec, classes)
        whole = _run(short, classes)
        _check_gradients(spec, whole, suspects)
        seen = _all_of(whole)
        stateful = [plugin for plugin in suspects if plugin.kind == "trick"] or suspects
        again = _run(short, classes)
        if _all_of(again) != seen:
            raise _error(stateful, f"does not repeat under one key: {load.DRAWS}")
        resumed = _resumed(short, classes, stateful)
        if _all_of(resumed) != seen:
            raise _error(stateful, f"goes on from a kept state to other weights {_STATE}")
        _check_attributes(spec, whole, again, resumed)
        load.check_threads(suspects[0], threads)
        if _all_of(_run(short, classes, workers=2)) != seen:
            augmenting = [plugin for plugin in suspects if plugin.kind == "augmentation"]
            raise _error(augmenting or suspects, f"depends on the loader's workers: {load.DRAWS}")
        _check_checkpoint(short, classes, whole, suspects)


def try_metric(metric: UserMetric, classes: int) -> None:
    """Try a metric on made-up predictions. Raises UserError."""
    threads = set(threading.enumerate())
    draw = np.random.default_rng(0)
    images = max(200, 2 * classes)
    labels = np.arange(images) % classes
    logits = draw.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 2 * (draw.random(images) < 0.5)  # some are right
    made_up = Predictions(logits, labels, np.array([f"{index:06d}.png" for index in range(images)]))
    with _telling([metric]), _limited([metric]):
        found = np.asarray(score(metric, made_up))
        load.check_threads(metric, threads)
        if not np.array_equal(found, np.asarray(score(metric, made_up)), equal_nan=True):
            raise _error([metric], f"does not repeat under one key: {load.DRAWS}")
        for order in (np.arange(images)[::-1], draw.permutation(images)):
            moved = np.asarray(score(metric, made_up.at(order)))
            if not _are_close(moved, found[order] if found.ndim else found):
                what = "depends on the order of the images, which is no property of a network"
                raise _error([metric], what)
        if not found.ndim:
            return
        if not np.isfinite(found.astype(np.float64)).all():
            raise _error([metric], "gives scores that are not finite, of logits that are")
        half = np.arange(images // 2)
        few = np.flatnonzero((labels == 0) | (np.arange(images) < classes))  # other shares of each
        for some in (half, few[:-1], np.flatnonzero(labels < max(2, classes - 1))):
            if not _are_close(np.asarray(score(metric, made_up.at(some))), found[some]):
                raise _error(
                    [metric],
                    "gives an image another score where others are missing; a score for each image "
                    "is of that image alone, what is of all together is one number",
                )


def _are_close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """A sum in another order may differ in its last digits."""
    close = partial(np.allclose, rtol=1e-4, atol=1e-6, equal_nan=True)
    return one.shape == other.shape and bool(close(one.astype(float), other.astype(float)))


def _short(spec: TrainSpec) -> TrainSpec:
    """The training in small; what it starts from, and a teacher, are not the user's code."""
    parts = IMAGES // 2 if spec.micro_batch else None
    small = {"epochs": EPOCHS, "batch_size": IMAGES, "micro_batch": parts, "patience": 0}
    without = {"pretrained": None, "weights": None, "distill": None, "amp": False, "warmup": None}
    without |= {"compile": False}
    return spec.model_copy(update={**small, **without, "class_balance": False})


def _run(
    spec: TrainSpec, classes: int, workers: int = 0, keep: states.Keeper | None = None
) -> Trainer:
    """A trial from its beginning, or from what `keep` has kept."""
    trainer = _trainer(spec, classes, workers)
    state = states.load(keep.folder) if keep is not None else None
    if state is not None:
        trainer.restore(state["trainer"])
    list(trainer.run(silent, keep or (lambda state, position, ended: None)))
    return trainer


def _resumed(spec: TrainSpec, classes: int, suspects: Sequence[Plugin]) -> Trainer:
    """Stopped in the middle of the last epoch, and gone on as in another process."""
    with tempfile.TemporaryDirectory() as folder:
        asked = iter([False] * (STEPS - 2) + [True])
        keep = states.Keeper(
            Path(folder), spec, {"data": "", "keep": False}, 1e9, lambda: next(asked, False)
        )
        with suppress(StoppedError):
            _run(spec, classes, keep=keep)
        if states.load(Path(folder)) is None:
            raise _error(
                suspects,
                "has a state that can't be kept: it may hold containers, numbers, text and tensors",
            )
        load.run_anew()
        return _run(spec, classes, keep=keep)


def _trainer(spec: TrainSpec, classes: int, workers: int) -> Trainer:
    listed = _listing(classes)
    sides = {TRAIN: spec.train_short_side, VAL: spec.eval_short_side()}
    images = {part: _Images(len(listed.indices(part)), side) for part, side in sides.items()}
    device = torch.device("cpu")
    data = TrainingData(
        train_loader(spec, images[TRAIN], listed, workers),
        EvalLoader(images[VAL], listed, VAL, spec.eval_side, IMAGES),
        Normalize([0.5] * 3, [0.25] * 3, device),
    )
    return Trainer([Member(spec, (RAW,))], data, start_network(spec, classes, None), device)


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
    parts = (TRAIN,) * (IMAGES * STEPS // EPOCHS) + (VAL,) * IMAGES
    labels = tuple(index % classes for index in range(len(parts)))
    names = tuple(map(str, range(len(parts))))
    return Listing(tuple(map(str, range(classes))), names, labels, parts)


def _try_alone(spec: TrainSpec, classes: int) -> None:
    """What can be called by itself, so that an error names it."""
    if isinstance(spec.augment, UserAugmentation):
        _try_augmentation(spec.augment, spec.image_size)
    if isinstance(spec.loss, UserLoss):
        _try_loss(spec.loss, classes, spec.class_balance)
    if spec.own_model is not None:
        _try_model(spec.own_model, classes, spec.image_size)


def _try_augmentation(plugin: UserAugmentation, size: int) -> None:
    image = _Images(1, size)[0]
    made = set()
    for _ in range(TIMES):
        with keyed(0, "trial"):
            made.add(np.array(plugin.make()(image.copy())).tobytes())
    if len(made) > 1:
        raise _error([plugin], f"does not repeat under one key: {load.DRAWS}")


def _try_loss(plugin: UserLoss, classes: int, balanced: bool) -> None:
    """`balanced`: with the weights of classes."""
    start = torch.linspace(-2, 2, IMAGES * classes).view(IMAGES, classes)
    targets = torch.arange(IMAGES) % classes
    weight = torch.linspace(0.5, 1.5, classes) if balanced else None
    seen = []
    for _ in range(2):
        logits = start.clone().requires_grad_()
        with keyed_everywhere(0, "trial"):
            value = plugin.make(weight)(logits, targets)
        if not value.requires_grad:
            raise _error([plugin], "gives no gradient: it is not computed from the logits by torch")
        value.backward()  # type: ignore[no-untyped-call]
        if logits.grad is None or not logits.grad.isfinite().all():
            raise _error([plugin], "has a gradient that is not finite, of logits from -2 to 2")
        seen.append(torch.cat([value.detach().view(1), logits.grad.flatten()]))
    if not torch.equal(*seen):
        raise _error([plugin], f"does not repeat under one key: {load.DRAWS}")


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
        raise _error([plugin], f"does not repeat under one key: {load.DRAWS}")


def _check_gradients(spec: TrainSpec, trainer: Trainer, suspects: Sequence[Plugin]) -> None:
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
        raise _error(suspects, f"makes gradients or weights that are not finite, as {wrong[0]}")


def _check_attributes(spec: TrainSpec, whole: Trainer, again: Trainer, resumed: Trainer) -> None:
    """What may count only later than a trial's steps: an object that has gone on has the same in it
    as one that never stopped."""
    owners: list[tuple[Plugin, list[dict[str, Any]]]] = []
    for number, trick in enumerate(spec.tricks):
        acts = [trainer.acts[number] for trainer in (whole, again, resumed)]
        if isinstance(trick, Plugin):
            owners.append((trick, [a.attributes for a in acts if isinstance(a, load.UserAct)]))
    if isinstance(spec.optimizer, Plugin):
        optimizers = [trainer.step.optimizer for trainer in (whole, again, resumed)]
        owners.append((spec.optimizer, [load.plain_attributes(each) for each in optimizers]))
    for plugin, (one, other, gone_on) in owners:
        # torch's own, which it completes when it reads a state; the first two are in it.
        for name in (one.keys() & other.keys()) - {"state", "param_groups", "defaults"}:
            repeats = _fingerprint(one[name]) == _fingerprint(other[name])
            if repeats and _fingerprint(one[name]) != _fingerprint(gone_on.get(name)):
                raise _error([plugin], f"goes on from a kept state with another '{name}' {_STATE}")


def _check_checkpoint(
    spec: TrainSpec, classes: int, trained: Trainer, suspects: Sequence[Plugin]
) -> None:
    """Evaluation reads the weights into the network as the model makes it, without any trick."""
    network = prepare_for_gradients(start_network(spec, classes, None), torch.device("cpu"))
    try:
        network.load_state_dict(trained.network.state_dict())
    except RuntimeError as error:
        said = str(error).split("\n")[1].strip() if "\n" in str(error) else str(error)
        message = "makes other layers of the network, which its checkpoint can't be read into"
        raise _error(suspects, f"{message}: {said}") from error
    images = torch.linspace(-2, 2, 3 * spec.image_size**2).view(1, 3, *(spec.image_size,) * 2)
    answers = []
    for each in (trained.network, network):
        with keyed_everywhere(0, "trial"), torch.no_grad():
            answers.append(each.eval()(images))
    if not torch.allclose(answers[0], answers[1], rtol=1e-3, atol=1e-5):
        raise _error(
            suspects,
            "makes a network whose answers its checkpoint does not hold: evaluation reads that "
            "into the network as the model makes it, without hooks, attributes and tricks",
        )


def _all_of(trainer: Trainer) -> str:
    """A fingerprint of all that the next step may depend on, and of buffers that no state has."""
    return _fingerprint([trainer.state(), dict(trainer.network.named_buffers())])


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
