"""Training: one loop that carries every track (the raw weights, averages of them) side by side.

An average does not touch the training that it follows. So each track has its own history, its own
best epoch and its own early stopping, exactly as if it were trained alone, and the loop ends when
all tracks have stopped.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.progress import Progress, Report
from classifier.basics.randomness import keyed_everywhere, seed_step
from classifier.config.optimizers import LibraryOptimizer
from classifier.config.spec import TrainSpec
from classifier.config.tracks import Raw, Track
from classifier.data.datasets import Listing
from classifier.data.loader import Drawn, EvalLoader, TrainLoader
from classifier.data.pixels import Pixels
from classifier.data.transforms import Normalize, TrainImage, cropping, policy
from classifier.inference.evaluate import Inference, outputs_of, scores
from classifier.models import checkpoint
from classifier.models.network import Network, build, prepare_for_gradients
from classifier.models.trunks import Wish
from classifier.models.weights import load_weights
from classifier.plugins.spec import UserAugmentation
from classifier.records.record import Epoch
from classifier.training.optimizer import make_optimizer, try_optimizer
from classifier.training.schedule import learning_rates
from classifier.training.step import Step
from classifier.tricks.base import Act, Beginning
from classifier.tricks.losses.class_balance import balance

_log = logging.getLogger(__name__)

COMPILED: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
"""Dropout draws as it does uncompiled, by the step's key. And not `dynamic`: a batch's size has
code of its own, so that the sizes that came before it, or before a resume, change nothing."""

Keep = Callable[[Callable[[], dict[str, Any]], tuple[int, int], bool], None]
"""Gets what makes the full state, the epoch and step that come next, and whether an epoch has just
ended, after every step and epoch; keeps the state if it is time (`states.Keeper`)."""


def start_network(spec: TrainSpec, classes: int, file: Path | None) -> Network:
    """The network that a training starts from. `file`: the one that `spec.weights` names.

    Logs what it took from the file. Raises UserError.
    """
    own = spec.own_model
    trunk = None if own is None else own.make
    wish = Wish(spec.pretrained, spec.image_size, spec.drop_rate, spec.drop_path_rate)
    network = build(
        spec.model, classes, seed=spec.seed, wish=wish, dropout=spec.dropout, trunk=trunk
    )
    if file is not None:
        _log.info(load_weights(network, file, spec.model))
    return network.freeze_trunk() if spec.freeze else network


def amp_of(spec: TrainSpec, device: torch.device) -> Literal["fp16", "bf16"] | None:
    """What a training computes in where that is not FP32: bfloat16 on every device, FP16 on CUDA
    only, for a CPU would only emulate it."""
    if spec.amp == "bfloat16":
        return "bf16"
    return "fp16" if spec.amp and device.type == "cuda" else None


def check_settings(spec: TrainSpec, device: torch.device) -> None:
    """Try what only a library, or the device's compiler, can check, on a tiny layer. Raises
    UserError."""
    if spec.compile:
        _check_compiler(device)
    if isinstance(spec.optimizer, LibraryOptimizer):
        try_optimizer(spec.optimizer, spec.lr)
    learning_rates(spec)


def _check_compiler(device: torch.device) -> None:
    try:
        layer = nn.Linear(2, 2).to(device)
        layer.compile(dynamic=False, options=COMPILED)
        layer(torch.zeros(1, 2, device=device)).sum().backward()
    except Exception as error:  # of whatever kind: torch, its backends and the compiler have many
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = lines[0].strip() if lines else type(error).__name__
        raise UserError(
            f"'compile: true' can't be done here: torch.compile finds no compiler that works "
            f"({why}); leave it out, or install one"
        ) from error


def train_loader(spec: TrainSpec, images: Pixels, listed: Listing, workers: int) -> TrainLoader:
    named = spec.augment
    size = spec.image_size
    augment = named.make() if isinstance(named, UserAugmentation) else policy(named, size)
    if spec.albumentations:
        from classifier.data.custom import Custom  # a second's import, for those who use it

        augment = Custom(spec.albumentations, size)
    return TrainLoader(
        images,
        listed,
        made=TrainImage(cropping(size, spec.crop), spec.hflip, augment),
        batch_size=spec.batch_size,
        seed=spec.seed,
        drawn=Drawn(spec.sampler == "balanced", spec.repeats),
        workers=workers,
    )


@dataclass(frozen=True)
class TrainingData:
    train: TrainLoader
    val: EvalLoader
    normalize: Normalize


@dataclass
class Carried:
    """A track as a training carries it: weights with their own history, best epoch and early
    stopping."""

    track: Track
    network: Network
    act: Act | None = None
    """What follows the network; None: the network itself."""
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    best_state: checkpoint.StateDict = field(default_factory=dict)
    stopped: bool = False

    @property
    def key(self) -> str:
        return self.track.key

    def add(self, row: Epoch, spec: TrainSpec) -> None:
        """Better is strictly greater, the first best wins; `patience` epochs without one stop."""
        score = {"accuracy": row.val_accuracy, "mpa": row.val_mpa, "loss": -row.val_loss}[spec.best]
        self.history.append(row)
        score = -math.inf if math.isnan(score) else score
        if score > self.best_score or self.best_epoch < 0:
            self.best_epoch, self.best_score = row.epoch, score
            self.best_state = checkpoint.to_half(self.network.state_dict())
        elif spec.patience and row.epoch - self.best_epoch >= spec.patience:
            self.stopped = True

    def least_epochs(self, spec: TrainSpec) -> int:
        """After how many it ends if nothing gets better from here on."""
        if self.stopped:
            return len(self.history)
        best = max(self.best_epoch, 0)  # the first is the best where no other is
        return min(best + 1 + spec.patience, spec.epochs) if spec.patience else spec.epochs


class Trainer:
    """A training at some step of some epoch; `run` takes it to its end."""

    def __init__(
        self,
        spec: TrainSpec,
        tracks: Iterable[Track],
        data: TrainingData,
        network: Network,
        device: torch.device,
        teacher: tuple[Network, str] | None = None,
    ) -> None:
        """`network`: with the weights to start from. `teacher`: the network that a `distill` names,
        in FP32, and its model's name."""
        self.spec, self.data, self.device = spec, data, device
        self.network = prepare_for_gradients(network, device)
        classes = network.classes
        if teacher is not None:
            teacher = prepare_for_gradients(teacher[0], device), teacher[1]
        self.steps = 0
        """Taken so far; while one is being taken, it too."""
        whole = spec.epochs * len(data.train)
        beginning = Beginning(
            spec, self.network, device, classes, teacher, whole, lambda: self.steps
        )
        # Before the tricks, which may hook the network.
        self.tracks = [self._carried(track, beginning) for track in tracks]
        self.acts = [trick.begin(beginning) for trick in spec.tricks]
        self._by_setting = {
            trick.setting: act for trick, act in zip(spec.tricks, self.acts, strict=True)
        }
        self.amp = amp_of(spec, device)
        half = torch.bfloat16 if self.amp == "bf16" else torch.float16
        self.autocast = torch.autocast(device.type, half, enabled=self.amp is not None)
        if spec.compile:  # in place: its state keeps its names
            for part in (self.network.trunk, self.network.head):
                part.compile(dynamic=False, options=COMPILED)
        weight = balance(data.train.labels, classes).to(device) if spec.class_balance else None
        self.rates = learning_rates(spec, len(data.train))
        """Of each step of the training."""
        self.step = Step(
            self.network,
            make_optimizer(self._trained(), spec.optimizer, spec.lr, spec.layer_decay),
            spec.loss.make(weight),
            self.autocast,
            torch.amp.GradScaler(device.type, enabled=self.amp == "fp16"),
            self.acts,
            spec.micro_batch,
            spec.clip_grad,
        )
        self.epoch = 0
        self.step_in_epoch = 0
        """The step that comes next."""
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        """Of this epoch's steps so far: the loss, and the number of images."""
        self._rate: float | None = None
        self._start, self._before = time.monotonic(), 0.0

    def _carried(self, track: Track, beginning: Beginning) -> Carried:
        if isinstance(track, Raw):
            return Carried(track, self.network)
        average = track.begin(beginning)
        return Carried(track, average.network, average)

    def _trained(self) -> nn.Module:
        """All that the optimiser moves: the network, and the tricks' own layers."""
        own = [act.layers for act in self.acts if act.layers is not None]
        return nn.ModuleList([self.network, *own])

    @property
    def rdrop_passes(self) -> int | None:
        """Of the trunk in a step, where R-Drop is on."""
        return next((act.rdrop_passes for act in self.acts if act.rdrop_passes), None)

    @property
    def seconds(self) -> float:
        """Spent so far, earlier attempts included."""
        return self._before + time.monotonic() - self._start

    def run(self, report: Report, keep: Keep) -> None:
        """Train to the end, from wherever it is."""
        self._start = time.monotonic()
        while self.epoch < self.spec.epochs and not all(track.stopped for track in self.tracks):
            lr = self.rates[self.epoch * len(self.data.train)]
            self._train_epoch(report, keep)
            train_loss, told = self._mean_loss(), self._told()
            for track in self.tracks:
                if not track.stopped:
                    row = self._validated(track, lr, train_loss, report)
                    track.add(row.model_copy(update={"reports": told}), self.spec)
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
            self._losses, self._sizes = [], []
            keep(self.state, (self.epoch, 0), True)

    def _set_rate(self, is_first: bool) -> None:
        """That of the next step. Where the schedule leaves it as it was, so is what a user's
        optimiser has made of it since the epoch began."""
        done = self.epoch * len(self.data.train) + self.step_in_epoch
        if is_first or self.rates[done] != self.rates[done - 1]:
            for group in self.step.optimizer.param_groups:
                group["lr"] = self.rates[done] * group.get("lr_scale", 1.0)

    def _train_epoch(self, report: Report, keep: Keep) -> None:
        """The steps of this epoch that are left."""
        self._set_rate(is_first=True)
        self.network.train()
        images_seen, start = 0, time.monotonic()
        for images, labels in self.data.train.epoch(self.epoch, self.step_in_epoch):
            batch = self.data.normalize(images.to(self.device, non_blocking=True))
            targets = labels.to(self.device, non_blocking=True)
            self._set_rate(is_first=False)
            seed_step(self.spec.seed, self.epoch, self.step_in_epoch)
            self.steps += 1
            self._losses.append(self.step(batch, targets))
            self._sizes.append(len(images))
            followers = [track.act for track in self.tracks if not track.stopped]
            for act in [*self.acts, *followers]:
                if act is not None:
                    act.after_step(self.network, self.steps)
            self.step_in_epoch += 1
            images_seen += len(images)
            self._rate = images_seen / (time.monotonic() - start)
            report(self._progress())
            if self.step_in_epoch < len(self.data.train):
                keep(self.state, (self.epoch, self.step_in_epoch), False)

    def _mean_loss(self) -> float:
        """Over this epoch's images. Looked at once an epoch: a look at a device's number waits."""
        losses = torch.stack(self._losses).double().cpu()
        sizes = torch.tensor(self._sizes)
        wrong = (~losses.isfinite()).nonzero()
        if len(wrong):
            step = int(wrong[0])
            terms = [self.spec.loss.name, *filter(None, (trick.term for trick in self.spec.tricks))]
            amp = "; run without amp, in which SP overflows" if self.amp == "fp16" else ""
            raise UserError(
                f"the loss is {float(losses[step])} at step {step} of epoch {self.epoch} "
                f"({' + '.join(terms)}): try a smaller lr, or warmup{amp}"
            )
        return float((losses * sizes).sum() / sizes.sum())

    def _told(self) -> dict[str, dict[str, float | None]]:
        """What the tricks report of this epoch, those that do."""
        with keyed_everywhere(self.spec.seed, "report", self.epoch):
            told = {name: dict(act.report()) for name, act in self._by_setting.items()}
        return {name: numbers for name, numbers in told.items() if numbers}

    def _progress(self) -> Progress:
        best = max((track.best_score for track in self.tracks), default=-math.inf)
        shown = best if self.spec.best != "loss" and best > -math.inf else None
        done = self.epoch * len(self.data.train) + self.step_in_epoch
        total = self.spec.epochs * len(self.data.train)
        phase = f"epoch {self.epoch + 1}/{self.spec.epochs}"
        least = max(track.least_epochs(self.spec) for track in self.tracks) * len(self.data.train)
        return Progress(
            phase,
            done,
            total,
            self._rate,
            shown,
            classes=self.network.classes,
            least=least if least < total else None,
        )

    def _validated(self, track: Carried, lr: float, train_loss: float, report: Report) -> Epoch:
        val, normalize = self.data.val, self.data.normalize
        inference = Inference(track.network, normalize, self.device, autocast=self.autocast)
        with keyed_everywhere(self.spec.seed, "validation", self.epoch):
            logits = outputs_of(inference, val, lambda done, total: report(self._progress()))
            scored = scores(logits, val.labels, self.spec.loss.make())
        return Epoch(
            epoch=self.epoch,
            lr=lr,
            train_loss=train_loss,
            val_loss=scored.loss,
            val_accuracy=scored.accuracy,
            val_mpa=scored.mpa,
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on; randomness needs no state, as it is keyed."""
        return {
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "steps": self.steps,
            "losses": [loss.cpu() for loss in self._losses],
            "sizes": self._sizes,
            "seconds": self.seconds,
            "network": self._trained().state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "scaler": self.step.scaler.state_dict(),
            "acts": {name: act.state_dict() for name, act in self._by_setting.items()},
            "tracks": {track.key: _track_state(track) for track in self.tracks},
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Go on from a `state`; False, and nothing done, if it carries other tracks than these."""
        if set(state["tracks"]) != {track.key for track in self.tracks}:
            return False
        self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
        self.steps = state["steps"]
        self._losses = [loss.to(self.device) for loss in state["losses"]]
        self._sizes = state["sizes"]
        self._before = state["seconds"]
        self._trained().load_state_dict(state["network"])
        self.step.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where it was saved without amp, as on a CPU
            self.step.scaler.load_state_dict(state["scaler"])
        for name, kept in state.get("acts", {}).items():  # not in states of older versions
            self._by_setting[name].load_state_dict(kept)
        for track in self.tracks:
            _restore_track(track, state["tracks"][track.key])
        return True


def _track_state(track: Carried) -> dict[str, Any]:
    return {
        "network": None if track.act is None else track.network.state_dict(),
        "history": [row.model_dump() for row in track.history],
        "best_epoch": track.best_epoch,
        "best_score": track.best_score,
        "best_state": track.best_state,
        "stopped": track.stopped,
    }


def _restore_track(track: Carried, state: dict[str, Any]) -> None:
    if track.act is not None:
        track.network.load_state_dict(state["network"])
    track.history = [Epoch(**row) for row in state["history"]]
    track.best_epoch, track.best_score = state["best_epoch"], state["best_score"]
    track.best_state, track.stopped = state["best_state"], state["stopped"]
