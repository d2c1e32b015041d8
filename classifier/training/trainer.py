"""Training: one loop that carries every track (the raw weights, averages of them) side by side.

An average does not touch the training that it follows. So each track has its own history, its own
best epoch and its own early stopping, exactly as if it were trained alone, and the loop ends when
all tracks have stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.progress import Progress, Report
from classifier.basics.randomness import generator, seed_step
from classifier.config.optimizers import SGD, AdamW, RMSProp
from classifier.config.schedules import Cosine, TorchSchedule
from classifier.config.spec import RDrop, TrainSpec
from classifier.config.tracks import Raw, Track
from classifier.data.cache import Pixels
from classifier.data.datasets import Listing
from classifier.data.loader import EvalLoader, TrainLoader
from classifier.data.transforms import Normalize, policy
from classifier.inference.evaluate import Inference, outputs_of, scores
from classifier.models import checkpoint
from classifier.models.network import Network, ready_for_gradients
from classifier.models.weights import initial_network
from classifier.records.record import Epoch
from classifier.records.runs import CHECKPOINT
from classifier.training.distillation import Distiller
from classifier.training.losses import (
    Mixer,
    TaskLoss,
    balance,
    rdrop_loss,
    task_loss,
    trunk_passes,
    two_passes,
)
from classifier.tricks.ema import Average

Keep = Callable[[Callable[[], dict[str, Any]], tuple[int, int], bool], None]
"""Gets what makes the full state, the epoch and step that come next, and whether an epoch has just
ended, after every step and epoch; keeps the state if it is time (`states.Keeper`)."""


def start_network(spec: TrainSpec, classes: int, file: Path | None) -> Network:
    """The network that a training starts from. `file`: the one that `spec.weights` names.

    Raises UserError.
    """
    return initial_network(
        spec.model, classes, seed=spec.seed, pretrained=spec.pretrained, file=file
    )


def train_loader(spec: TrainSpec, images: Pixels, listed: Listing, workers: int) -> TrainLoader:
    return TrainLoader(
        images,
        listed,
        size=spec.image_size,
        batch_size=spec.batch_size,
        augment=policy(spec.augment, spec.albumentations, spec.image_size),
        seed=spec.seed,
        workers=workers,
    )


@dataclass
class Carried:
    """A track as a training carries it: weights with their own history, best epoch and early
    stopping."""

    track: Track
    network: Network
    average: Average | None = None
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf
    best_state: checkpoint.State = field(default_factory=dict)
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
            self.best_state = checkpoint.halved(self.network.state_dict())
        elif spec.patience and row.epoch - self.best_epoch >= spec.patience:
            self.stopped = True


def learning_rates(spec: TrainSpec) -> list[float]:
    """The rate of each epoch: linear warm-up, then the schedule from its own start."""
    warmup = spec.warmup
    epochs = int(warmup.ratio * spec.epochs) if warmup is not None else 0
    start = warmup.start_lr if warmup is not None else 0.0
    rising = [start + (spec.lr - start) * epoch / epochs for epoch in range(epochs)]
    after = spec.epochs - epochs
    if isinstance(spec.schedule, Cosine):
        return rising + [_cosine(spec.schedule, spec.lr, epoch) for epoch in range(after)]
    return rising + _torch_rates(spec.schedule, spec.lr, after)


def _cosine(schedule: Cosine, lr: float, epoch: int) -> float:
    """Down to `min_lr` in `t_max` epochs, then up again in as many."""
    wave = math.cos(math.pi * epoch / schedule.t_max)
    return schedule.min_lr + (lr - schedule.min_lr) * (1 + wave) / 2


def _torch_rates(schedule: TorchSchedule, lr: float, epochs: int) -> list[float]:
    """What a scheduler of torch's does to a rate, a step an epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    try:
        scheduler = getattr(torch.optim.lr_scheduler, schedule.name)(
            optimizer, **schedule.arguments
        )
        rates = []
        for _ in range(epochs):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    except (TypeError, ValueError) as error:
        raise UserError(f"schedule {schedule.name} does not take its arguments: {error}") from error
    return rates


def make_optimizer(
    network: nn.Module, spec: AdamW | SGD | RMSProp, lr: float
) -> torch.optim.Optimizer:
    """Weight decay on weights, none on biases and norm layers."""
    groups = param_groups_weight_decay(network, weight_decay=spec.weight_decay)
    if isinstance(spec, AdamW):
        betas = (spec.beta1, spec.beta2)
        return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=0.0, fused=True)
    if isinstance(spec, SGD):
        return torch.optim.SGD(groups, lr=lr, momentum=spec.momentum, nesterov=spec.nesterov)
    return torch.optim.RMSprop(groups, lr=lr, alpha=spec.alpha, momentum=spec.momentum)


@dataclass(frozen=True)
class Step:
    """One optimisation step. It knows no device: autocast and scaler come from the job's entry."""

    task: TaskLoss
    rdrop: RDrop | None
    passes: int
    autocast: torch.autocast
    scaler: torch.amp.GradScaler
    optimizer: torch.optim.Optimizer
    distiller: Distiller | None = None

    micro_batch: int | None = None

    def __call__(self, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """The loss of this batch, detached. images: (N, 3, H, W), targets: (N,) or (N, C)."""
        self.optimizer.zero_grad(set_to_none=True)
        sizes = micro_sizes(len(images), self.micro_batch)
        losses = []
        parts = zip(torch.split(images, sizes), torch.split(targets, sizes), strict=True)
        for part, of_part in parts:
            with self.autocast:
                mean, total = self._loss(network, part, of_part)
                loss = mean * (len(part) / len(images))
                loss = loss if total is None else loss + total
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _loss(
        self, network: Network, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What is a mean over the images, and what is a sum over them, if anything is."""
        if self.rdrop is not None:
            first, second = two_passes(network, images, self.passes)
            return rdrop_loss(first, second, targets, self.task, self.rdrop)
        if self.distiller is not None:
            output = self.distiller.student(images)
            term: Tensor = self.distiller(output, images)
            return self.task(output.logits, targets) + term, None
        return self.task(network(images), targets), None


def micro_sizes(images: int, micro_batch: int | None) -> list[int]:
    """The sizes of a batch's parts. A last one of a single image, of which batch norm has no
    variance, goes with the one before."""
    if micro_batch is None or images <= micro_batch + 1:
        return [images]
    sizes = [micro_batch] * (images // micro_batch)
    rest = images % micro_batch
    if rest == 1:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


class Trainer:
    """A training at some step of some epoch; `run` takes it to its end."""

    def __init__(
        self,
        spec: TrainSpec,
        tracks: Iterable[Track],
        loader: TrainLoader,
        val: EvalLoader,
        normalize: Normalize,
        classes: int,
        device: torch.device,
        teacher: tuple[Network, str] | None = None,
        weights_file: Path | None = None,
    ) -> None:
        """`teacher`: the network that a `distill` names, in FP32, and its model's name.
        `weights_file`: the one that `weights` names."""
        self.spec, self.loader, self.val = spec, loader, val
        self.normalize, self.device = normalize, device
        self.network = ready_for_gradients(start_network(spec, classes, weights_file), device)
        self.tracks = [
            self._carried(track) for track in tracks
        ]  # before a distiller hooks the network
        self.amp = spec.amp and device.type == "cuda"
        self.autocast = torch.autocast(device.type, torch.float16, enabled=self.amp)
        weight = balance(loader.labels, classes).to(device) if spec.class_balance else None
        self.rates = learning_rates(spec)
        self.mixer = Mixer(spec.mixing, classes) if spec.mixing else None
        self.distiller = self._distiller(teacher)
        self.step = Step(
            task_loss(spec.loss, weight),
            spec.rdrop,
            self._passes() if spec.rdrop else 1,
            self.autocast,
            torch.amp.GradScaler(device.type, enabled=self.amp),
            make_optimizer(self._trained(), spec.optimizer, spec.lr),
            self.distiller,
            spec.micro_batch,
        )
        self.epoch = 0
        self.step_in_epoch = 0
        """The step that comes next."""
        self.steps = 0
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        """Of this epoch's steps so far: the loss, and the number of images."""
        self._rate: float | None = None
        self._start, self._before = time.monotonic(), 0.0

    def _carried(self, track: Track) -> Carried:
        if isinstance(track, Raw):
            return Carried(track, self.network)
        average = Average(self.network, track)
        return Carried(track, average.network, average)

    def _distiller(self, teacher: tuple[Network, str] | None) -> Distiller | None:
        if self.spec.distill is None:
            return None
        assert teacher is not None
        network = ready_for_gradients(teacher[0], self.device)
        names = (self.spec.model, teacher[1])
        made = Distiller(self.spec.distill, self.network, network, names, self.spec.seed)
        return made.to(self.device).to(memory_format=torch.channels_last)

    def _trained(self) -> nn.Module:
        """All that the optimiser moves: the network, and a distillation's own layers."""
        return nn.ModuleList([self.network, *([self.distiller] if self.distiller else [])])

    def _passes(self) -> int:
        shape = (2, 3, self.spec.image_size, self.spec.image_size)
        images = torch.randn(shape, generator=generator(self.spec.seed, "rdrop probe"))
        return trunk_passes(self.network, images.to(self.device))

    @property
    def seconds(self) -> float:
        """Spent so far, earlier attempts included."""
        return self._before + time.monotonic() - self._start

    def run(self, report: Report, keep: Keep) -> None:
        """Train to the end, from wherever it is."""
        self._start = time.monotonic()
        while self.epoch < self.spec.epochs and not all(track.stopped for track in self.tracks):
            lr = self.rates[self.epoch]
            self._train_epoch(lr, report, keep)
            train_loss = self._mean_loss()
            for track in self.tracks:
                if not track.stopped:
                    track.add(self._validated(track, lr, train_loss, report), self.spec)
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
            self._losses, self._sizes = [], []
            keep(self.state, (self.epoch, 0), True)

    def _train_epoch(self, lr: float, report: Report, keep: Keep) -> None:
        """The steps of this epoch that are left."""
        for group in self.step.optimizer.param_groups:
            group["lr"] = lr
        self.network.train()
        images_seen, start = 0, time.monotonic()
        for images, labels in self.loader.epoch(self.epoch, self.step_in_epoch):
            batch = self.normalize(images.to(self.device, non_blocking=True))
            targets = labels.to(self.device, non_blocking=True)
            seed_step(self.spec.seed, self.epoch, self.step_in_epoch)
            if self.mixer is not None:
                batch, targets = self.mixer(batch, targets)
            self._losses.append(self.step(self.network, batch, targets))
            self._sizes.append(len(images))
            self.steps += 1
            for track in self.tracks:
                if track.average is not None and not track.stopped:
                    track.average.update(self.network, self.steps)
            self.step_in_epoch += 1
            images_seen += len(images)
            self._rate = images_seen / (time.monotonic() - start)
            report(self._progress())
            if self.step_in_epoch < len(self.loader):
                keep(self.state, (self.epoch, self.step_in_epoch), False)

    def _mean_loss(self) -> float:
        """Over this epoch's images. Looked at once an epoch: a look at a device's number waits."""
        losses = torch.stack(self._losses).double().cpu()
        sizes = torch.tensor(self._sizes)
        wrong = (~losses.isfinite()).nonzero()
        if len(wrong):
            step = int(wrong[0])
            amp = "; run without amp, in which SP overflows" if self.amp else ""
            raise UserError(
                f"the loss is {float(losses[step])} at step {step} of epoch {self.epoch} "
                f"({self._parts()}): try a smaller lr, or warmup{amp}"
            )
        return float((losses * sizes).sum() / sizes.sum())

    def _parts(self) -> str:
        """What the loss is made of."""
        parts: list[str] = [self.spec.loss.name]
        parts += ["R-Drop"] if self.spec.rdrop else []
        parts += [f"distillation {self.spec.distill.method}"] if self.spec.distill else []
        return " + ".join(parts)

    def _progress(self) -> Progress:
        best = max((track.best_score for track in self.tracks), default=-math.inf)
        shown = best if self.spec.best != "loss" and best > -math.inf else None
        done = self.epoch * len(self.loader) + self.step_in_epoch
        total = self.spec.epochs * len(self.loader)
        phase = f"epoch {self.epoch + 1}/{self.spec.epochs}"
        return Progress(phase, done, total, self._rate, shown)

    def _validated(self, track: Carried, lr: float, train_loss: float, report: Report) -> Epoch:
        inference = Inference(track.network, self.normalize, self.device, autocast=self.autocast)
        logits = outputs_of(inference, self.val, lambda done, total: report(self._progress()))
        found = scores(logits, self.val.labels, task_loss(self.spec.loss))
        return Epoch(
            epoch=self.epoch,
            lr=lr,
            train_loss=train_loss,
            val_loss=found.loss,
            val_accuracy=found.accuracy,
            val_mpa=found.mpa,
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
        for track in self.tracks:
            _restore_track(track, state["tracks"][track.key])
        return True


def _track_state(track: Carried) -> dict[str, Any]:
    return {
        "network": None if track.average is None else track.network.state_dict(),
        "history": [row.model_dump() for row in track.history],
        "best_epoch": track.best_epoch,
        "best_score": track.best_score,
        "best_state": track.best_state,
        "stopped": track.stopped,
    }


def _restore_track(track: Carried, state: dict[str, Any]) -> None:
    if track.average is not None:
        track.network.load_state_dict(state["network"])
    track.history = [Epoch(**row) for row in state["history"]]
    track.best_epoch, track.best_score = state["best_epoch"], state["best_score"]
    track.best_state, track.stopped = state["best_state"], state["stopped"]


def write_checkpoint(track: Carried, folder: Path, meta: checkpoint.Meta) -> Path:
    """The track's best weights, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / CHECKPOINT
    checkpoint.save(file, track.best_state, meta)
    return file
