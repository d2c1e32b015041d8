"""Knowledge distillation: a student that also learns from a teacher's logits or feature maps.

Feature maps are taken by hooks, at places found by a dry run, so that any pair of convolutional
networks works without editing either. A network's stages are the resolutions of its maps; a
stage's map is the last one that a module of the least depth makes at that resolution (a deeper
one may be the start of the next stage's first block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.basics.randomness import keyed
from classifier.config.spec import Distill
from classifier.models.network import Network

TEMPERATURE = 4.0
MGD_WEIGHT = 7e-5
MGD_DROP = 0.15
_DRY_SIZE = 224
"""Large enough to tell a last map of 7 x 7 from a pooled one of 1 x 1."""


@dataclass(frozen=True)
class Output:
    logits: Tensor
    stages: tuple[Tensor, ...]
    """Feature maps (N, C, H, W) of the last two stages, the last one last."""


class StageMaps:
    """Runs a network and keeps the feature maps of its last two stages."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._kept: dict[int, Tensor] = {}
        self.channels: list[int] = []
        modules = dict(network.trunk.named_modules())
        for position, (path, channels) in enumerate(_last_stages(network, name)):
            self.channels.append(channels)
            modules[path].register_forward_hook(self._keeper(position))

    def __call__(self, images: Tensor) -> Output:
        self._kept.clear()
        logits = self._network(images)
        return Output(logits, tuple(self._kept[position] for position in sorted(self._kept)))

    def _keeper(self, position: int) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._kept[position] = output

        return keep


def _last_stages(network: Network, name: str) -> list[tuple[str, int]]:
    """Path and width of the modules whose outputs end the last two stages."""
    found: dict[int, tuple[int, str, int]] = {}
    hooks = []

    def watch(path: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1:
                side, depth = output.shape[-1], path.count(".")
                if side not in found or depth <= found[side][0]:
                    found[side] = (depth, path, output.shape[1])

        return note

    for path, module in network.trunk.named_modules():
        if path:
            hooks.append(module.register_forward_hook(watch(path)))
    was_training = network.training
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, _DRY_SIZE, _DRY_SIZE, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    if len(found) < 2:
        raise UserError(f"{name} has no two stages of feature maps to distil from or into")
    smaller, larger = sorted(found)[:2]
    return [found[larger][1:], found[smaller][1:]]


class Distiller(nn.Module):
    """The distillation term of a student's loss. MGD's convolutions are trained along with it."""

    def __init__(
        self, spec: Distill, student: Network, teacher: Network, names: tuple[str, str], seed: int
    ) -> None:
        super().__init__()
        self.spec = spec
        # In tuples, so that neither network becomes a part of this module.
        self._student = (StageMaps(student, names[0]),)
        self._teacher = (StageMaps(teacher.eval().requires_grad_(False), names[1]),)
        self.generation: nn.Module = nn.Identity()
        self.align: nn.Module = nn.Identity()
        if spec.method == "mgd":
            ours, theirs = self._student[0].channels[-1], self._teacher[0].channels[-1]
            with keyed(seed, "mgd"):
                if ours != theirs:
                    self.align = nn.Conv2d(ours, theirs, 1)
                self.generation = nn.Sequential(
                    nn.Conv2d(theirs, theirs, 3, padding=1),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(theirs, theirs, 3, padding=1),
                )

    def student(self, images: Tensor) -> Output:
        return self._student[0](images)

    def forward(self, student: Output, images: Tensor) -> Tensor:
        """The weighted term for a batch whose images (N, 3, H, W) the student has seen."""
        with torch.no_grad():
            teacher = self._teacher[0](images)
        return loss_weight(self.spec) * self._term(student, teacher)

    def _term(self, student: Output, teacher: Output) -> Tensor:
        if self.spec.method == "soft_target":
            return soft_target(student.logits, teacher.logits)
        pairs = list(zip(student.stages, teacher.stages, strict=True))
        if self.spec.method == "sp":
            return torch.stack([similarity(ours, theirs) for ours, theirs in pairs]).sum()
        for ours, theirs in pairs:
            if ours.shape[2:] != theirs.shape[2:]:
                raise UserError(
                    f"{self.spec.method} compares feature maps place by place, but the student's "
                    f"are {tuple(ours.shape[2:])} and the teacher's {tuple(theirs.shape[2:])}"
                )
        if self.spec.method == "at":
            return torch.stack([attention(ours, theirs) for ours, theirs in pairs]).sum()
        return self._mgd(*pairs[-1])

    def _mgd(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Masked generative distillation (Yang et al., 2022) of the last map: channels dropped at
        random, and the teacher's map generated from what is left; the squared error summed, over
        the batch's size. The masks are drawn from the CPU's generator, which each step keys."""
        aligned = self.align(student)
        kept = torch.rand(aligned.shape[0], aligned.shape[1], 1, 1) >= MGD_DROP
        generated = self.generation(aligned * kept.to(aligned.device))
        error: Tensor = (generated.float() - teacher.float()).square().sum()
        return error * (MGD_WEIGHT / len(student))


def loss_weight(spec: Distill) -> float:
    """AT: the ratio r itself. Others: r / (1 - r), for which r is the share of the whole loss, and
    r itself from 1 up."""
    if spec.method == "at" or spec.ratio >= 1:
        return spec.ratio
    return spec.ratio / (1 - spec.ratio)


def soft_target(student: Tensor, teacher: Tensor) -> Tensor:
    """Divergence of the student's softened logits (N, C) from the teacher's, averaged over the
    batch, times T squared (Hinton et al., 2015); T = 4."""
    ours = F.log_softmax(student / TEMPERATURE, dim=1)
    theirs = F.softmax(teacher / TEMPERATURE, dim=1)
    return F.kl_div(ours, theirs, reduction="batchmean") * TEMPERATURE**2


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Similarity-preserving (Tung and Mori, 2019): batch similarity matrices of maps
    (N, C, H, W), rows L2-normalised; squared Frobenius distance over N squared."""
    ours, theirs = (_similarities(features.flatten(1)) for features in (student, teacher))
    return (ours - theirs).square().sum() / len(student) ** 2


def _similarities(features: Tensor) -> Tensor:
    return F.normalize(features @ features.T, dim=1)


def attention(student: Tensor, teacher: Tensor) -> Tensor:
    """Attention transfer (Zagoruyko and Komodakis, 2017): mean squared error of the maps
    (N, C, H, W) averaged over squared channels, flattened, L2-normalised."""
    ours, theirs = (
        F.normalize(features.square().mean(dim=1).flatten(1), dim=1)
        for features in (student, teacher)
    )
    return F.mse_loss(ours, theirs)
