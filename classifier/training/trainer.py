"""Training: one loop that does all trainings of a family at once, each exactly as if alone.

They differ in how they look at it only: at which track (the raw weights, an average of them), which
epoch is the best, when nobody looks any more, when the end is. No look touches the training. So a
track has one history, of which each looker has its own best epoch and its own end, and the loop
goes on while one still looks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.progress import Progress, Report
from classifier.basics.randomness import keyed_everywhere, seed_step
from classifier.config.family import LOOKS, Member, longest
from classifier.config.optimizers import LibraryOptimizer
from classifier.config.spec import TrainSpec
from classifier.config.tracks import Raw, Track
from classifier.data.datasets import Listing
from classifier.data.loader import Drawn, EvalLoader, TrainLoader
from classifier.data.pixels import Pixels
from classifier.data.transforms import Normalize, TrainImage, cropping, policy
from classifier.data.workers import Finder
from classifier.inference.evaluate import Inference, scores
from classifier.models import checkpoint
from classifier.models.network import Network, build, prepare_for_gradients
from classifier.models.trunks import Wish
from classifier.models.weights import load_weights
from classifier.plugins.spec import UserAugmentation
from classifier.records.chosen import Chosen, choose
from classifier.records.kept import seen_of
from classifier.records.record import Epoch
from classifier.training.optimizer import make_optimizer, try_optimizer
from classifier.training.schedule import learning_rates
from classifier.training.states import Moment
from classifier.training.step import Step
from classifier.tricks.base import Act, Beginning
from classifier.tricks.losses.class_balance import balance

_log = logging.getLogger(__name__)

COMPILED: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
"""Dropout draws as it does uncompiled, by the step's key. And not `dynamic`: a batch's size has
code of its own, so that the sizes that came before it, or before a resume, change nothing."""

Keep = Callable[[Callable[[], dict[str, Any]], tuple[int, int], Moment], None]
"""Gets what makes the full state, the epoch and step that come next, and what has just ended, after
every step and epoch; keeps the state if it is time (`states.Keeper`)."""


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


def train_loader(
    spec: TrainSpec, images: Pixels, listed: Listing, workers: int | Finder
) -> TrainLoader:
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


@dataclass(eq=False)
class Carried:
    """A track as a training carries it, with the history that all who look at it share."""

    network: Network
    act: Act | None = None
    """What follows the network; None: the network itself."""
    history: list[Epoch] = field(default_factory=list)
    best_states: dict[int, checkpoint.StateDict] = field(default_factory=dict)
    """Of each epoch that is somebody's best, once."""


@dataclass(eq=False)
class Looker:
    """A track of a member: what becomes a record."""

    spec: TrainSpec
    track: Track
    carried: Carried
    chosen: Chosen = field(init=False)
    """What it makes of the history so far."""

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        self.chosen = choose(self.spec, self.carried.history)


class Trainer:
    """A training at some step of some epoch; `run` takes it to its end."""

    def __init__(
        self,
        members: Sequence[Member],
        data: TrainingData,
        network: Network,
        device: torch.device,
        teacher: tuple[Network, str] | None = None,
    ) -> None:
        """`members`: of one family. `network`: with the weights to start from. `teacher`: the
        network that a `distill` names, in FP32, and its model's name."""
        assert len({member.spec.family for member in members}) == 1
        spec = longest(members)
        self.spec, self.data, self.device = spec, data, device
        self.network = prepare_for_gradients(network, device)
        classes = network.classes
        if teacher is not None:
            teacher = prepare_for_gradients(teacher[0], device), teacher[1]
        self.steps = 0
        """Taken so far; while one is being taken, it too."""
        whole = spec.epochs * len(data.train)
        beginning = Beginning(
            _unlooked(spec), self.network, device, classes, teacher, whole, lambda: self.steps
        )
        # Before the tricks, which may hook the network.
        tracks = {track.key: track for member in members for track in member.tracks}
        self.tracks = {key: self._carried(track, beginning) for key, track in tracks.items()}
        self.lookers = [
            Looker(member.spec, track, self.tracks[track.key])
            for member in members
            for track in member.tracks
        ]
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
        self._seconds: list[float] = []
        """When each epoch ended."""

    def _carried(self, track: Track, beginning: Beginning) -> Carried:
        if isinstance(track, Raw):
            return Carried(self.network)
        average = track.begin(beginning)
        return Carried(average.network, average)

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

    def seconds_to(self, looker: Looker) -> float:
        """Spent until a looker saw its end."""
        return self._seconds[looker.chosen.epochs - 1]

    def run(self, report: Report, keep: Keep) -> Iterator[Looker]:
        """Train to the end, from wherever it is. Each looker is given when it has seen its end."""
        self._start = time.monotonic()
        waiting = self.lookers
        while True:
            yield from (looker for looker in waiting if looker.chosen.ended)
            waiting = self._looking()
            if not waiting:
                return
            lr = self.rates[self.epoch * len(self.data.train)]
            self._train_epoch(report, keep)
            train_loss, told = self._mean_loss(), self._told()
            for row, track in self._validated(lr, train_loss, report):
                self._seen(track, row.model_copy(update={"reports": told}))
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
            self._losses, self._sizes = [], []
            self._seconds.append(self.seconds)
            keep(self.state, (self.epoch, 0), "an epoch" if self._looking() else "the end")

    def _looking(self) -> list[Looker]:
        """Those who have not seen their end."""
        return [looker for looker in self.lookers if not looker.chosen.ended]

    def _looked_at(self) -> list[Carried]:
        looked_at = [looker.carried for looker in self._looking()]
        return [track for track in self.tracks.values() if track in looked_at]

    def _seen(self, track: Carried, row: Epoch) -> None:
        """A track's epoch has been looked at: its weights are kept while they are somebody's
        best."""
        track.history.append(row)
        best = set()
        for looker in self.lookers:
            if looker.carried is track:
                looker.look()
                best.add(looker.chosen.best_epoch)
        if row.epoch in best:
            track.best_states[row.epoch] = checkpoint.to_half(track.network.state_dict())
        for epoch in track.best_states.keys() - best:
            del track.best_states[epoch]

    def _set_rate(self, is_first: bool) -> None:
        """That of the next step. Where the schedule leaves it as it was, so is what a user's
        optimiser has made of it since the epoch began."""
        done = self.epoch * len(self.data.train) + self.step_in_epoch
        if is_first or self.rates[done] != self.rates[done - 1]:
            for group in self.step.optimizer.param_groups:
                group["lr"] = self.rates[done] * group.get("lr_scale", 1.0)

    def _train_epoch(self, report: Report, keep: Keep) -> None:
        """The steps of this epoch that are left."""
        self._set_rate(is_first=self.step_in_epoch == 0)
        self.network.train()
        followers = [track.act for track in self._looked_at()]
        images_seen, start = 0, time.monotonic()
        for images, labels in self.data.train.epoch(self.epoch, self.step_in_epoch):
            batch = self.data.normalize(images.to(self.device, non_blocking=True))
            targets = labels.to(self.device, non_blocking=True)
            self._set_rate(is_first=False)
            seed_step(self.spec.seed, self.epoch, self.step_in_epoch)
            self.steps += 1
            self._losses.append(self.step(batch, targets))
            self._sizes.append(len(images))
            for act in [*self.acts, *followers]:
                if act is not None:
                    act.after_step(self.network, self.steps)
            self.step_in_epoch += 1
            images_seen += len(images)
            self._rate = images_seen / (time.monotonic() - start)
            report(self._progress())
            if self.step_in_epoch < len(self.data.train):
                keep(self.state, (self.epoch, self.step_in_epoch), "a step")

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
        shown = [
            (chosen.best_score, looker.carried.history[chosen.best_epoch].val_mpa)
            for looker in self.lookers
            if looker.spec.best != "loss" and (chosen := looker.chosen).best_epoch >= 0
        ]
        best, mpa = max(shown, default=(None, None))
        steps = len(self.data.train)
        done, total = self.epoch * steps + self.step_in_epoch, self.spec.epochs * steps
        phase = f"epoch {self.epoch + 1}/{self.spec.epochs}"
        least = max(looker.chosen.least for looker in self.lookers) * steps
        return Progress(
            phase,
            done,
            total,
            self._rate,
            best,
            classes=self.network.classes,
            mpa=mpa,
            least=least if least < total else None,
        )

    def _validated(
        self, lr: float, train_loss: float, report: Report
    ) -> list[tuple[Epoch, Carried]]:
        """This epoch's row of each track that somebody looks at, in one pass over val."""
        val, seed, tracks = self.data.val, self.spec.seed, self._looked_at()
        inferences = [
            Inference(track.network, self.data.normalize, self.device, autocast=self.autocast)
            for track in tracks
        ]
        found: list[list[Tensor]] = [[] for _ in tracks]
        for number, (images, _) in enumerate(val):
            for inference, outputs in zip(inferences, found, strict=True):
                # Each alone: what one draws is not to depend on who else is there.
                with keyed_everywhere(seed, "validation", self.epoch, number):
                    outputs.append(inference(images))
            report(self._progress())
        rows = []
        for track, outputs in zip(tracks, found, strict=True):
            with keyed_everywhere(seed, "validation", self.epoch):
                scored = scores(torch.cat(outputs).cpu(), val.labels, self.spec.loss.make())
            row = Epoch(
                epoch=self.epoch,
                lr=lr,
                train_loss=train_loss,
                val_loss=scored.loss,
                val_accuracy=scored.accuracy,
                val_mpa=scored.mpa,
            )
            rows.append((row, track))
        return rows

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on; randomness needs no state, as it is keyed."""
        return {
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "steps": self.steps,
            "losses": [loss.cpu() for loss in self._losses],
            "sizes": self._sizes,
            "seconds": [*self._seconds, self.seconds],
            "network": self._trained().state_dict(),
            "optimizer": self.step.optimizer.state_dict(),
            "scaler": self.step.scaler.state_dict(),
            "acts": {name: act.state_dict() for name, act in self._by_setting.items()},
            "tracks": {
                key: _track_state(track) | {"follows": self._follows(track)}
                for key, track in self.tracks.items()
            },
        }

    def _follows(self, track: Carried) -> bool:
        """Whether a track is as far as the training: seen at each epoch's end, and an average taken
        at each step since."""
        since = track.act is None or self.step_in_epoch == 0 or track in self._looked_at()
        return len(track.history) == self.epoch and since

    def restore(self, state: dict[str, Any]) -> bool:
        """Go on from a `state`; False, and nothing done, if somebody of these was not looking."""
        seen = seen_of(state, self.spec, data="", keep=False)
        if not all(seen.has(looker.spec, looker.track) for looker in self.lookers):
            return False
        self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
        self.steps = state["steps"]
        self._losses = [loss.to(self.device) for loss in state["losses"]]
        self._sizes = state["sizes"]
        *self._seconds, self._before = state["seconds"]
        self._trained().load_state_dict(state["network"])
        self.step.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where it was saved without amp, as on a CPU
            self.step.scaler.load_state_dict(state["scaler"])
        for name, kept in state["acts"].items():
            self._by_setting[name].load_state_dict(kept)
        for key, track in self.tracks.items():
            _restore_track(track, state["tracks"][key])
        for looker in self.lookers:
            looker.look()
        return True


def _unlooked(spec: TrainSpec) -> TrainSpec:
    """As all of a family are, for those who act on the training."""
    fields = TrainSpec.model_fields
    return spec.model_copy(update={name: fields[name].default for name in LOOKS})


def _track_state(track: Carried) -> dict[str, Any]:
    return {
        "network": None if track.act is None else track.network.state_dict(),
        "history": [row.model_dump() for row in track.history],
        "best_states": track.best_states,
    }


def _restore_track(track: Carried, state: dict[str, Any]) -> None:
    if track.act is not None:
        track.network.load_state_dict(state["network"])
    track.history = [Epoch(**row) for row in state["history"]]
    track.best_states = dict(state["best_states"])
