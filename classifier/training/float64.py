"""Whether a device computes a training's gradients right: held against float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from classifier.basics.randomness import generator, keyed
from classifier.models import onednn
from classifier.models.network import build, prepare_for_gradients

Operation = Callable[..., tuple[Tensor | None, ...]]


class HeldAgainstFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes each new kind of convolution's gradients a second time, contiguous and in float64,
    from the same input, weights and gradient of the output."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()
        self.wrong: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution_backward.default:
            shapes = [tuple(tensor.shape) for tensor in args[:3]]
            threads = torch.get_num_threads()
            kind = f"{shapes[1]} * {shapes[2]} -> {shapes[0]}, {args[4:10]}, {threads} thread(s)"
            if kind not in self.seen:
                self.seen.add(kind)
                self.wrong += self.differences(kind, func, args, result)
        return result

    def differences(
        self, kind: str, func: Operation, args: Any, result: Sequence[Tensor | None]
    ) -> list[str]:
        wide = [tensor.double().contiguous() for tensor in args[:3]]
        exact = func(*wide, *args[3:])
        off = [
            0.0 if found is None or right is None else float((found - right).norm() / right.norm())
            for found, right in zip(result, exact, strict=True)
        ]
        if all(share <= 1e-4 for share in off):  # not so for what is not a number
            return []
        # A sum may be small beside what is added up, and its rounding then large beside the sum.
        added = func(*(tensor.abs() for tensor in wide), *args[3:])
        parts = zip(("input", "weight", "bias"), result, exact, added, off, strict=True)
        return [
            f"{name} of {kind}: off by {share:.1e}"
            for name, found, right, most, share in parts
            if found is not None and right is not None and most is not None
            if not (found - right).norm() <= 1e-4 * right.norm() + 1e-6 * most.norm()
        ]


def step_error(device: torch.device) -> float:
    """How far one step of SGD in float32 on the device moves the weights of a small network from
    where float64 on the CPU moves them, relative to the way: about 1e-6 where all is right.

    Small on purpose: a deep network with batch norms makes more of a rounding, layer by layer.
    TF32, which a GPU may use for a training's convolutions, is left out: it rounds by design.
    """
    with keyed(0, "initial weights"):
        exact = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )
    start = [weight.detach().double() for weight in exact.parameters()]
    on_device = copy.deepcopy(exact).to(device).to(memory_format=torch.channels_last)
    images = torch.randn(16, 3, 64, 64, generator=generator(0, "images"))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        _step(on_device, images.to(device, memory_format=torch.channels_last))
    _step(exact.double(), images.double())
    found = _moved(on_device.parameters(), start)
    right = _moved(exact.parameters(), start)
    return float((found - right).norm() / right.norm())


def _step(network: nn.Module, images: Tensor) -> None:
    labels = torch.arange(len(images), device=images.device) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _moved(weights: Iterable[Tensor], start: Sequence[Tensor]) -> Tensor:
    """All weights' ways, as one row."""
    each = zip(weights, start, strict=True)
    return torch.cat([(now.detach().cpu().double() - then).flatten() for now, then in each])


def wrong_convolutions(model: str = "mobilenetv2", size: int = 128, images: int = 2) -> list[str]:
    """What is wrong with the gradients of a network's convolutions on this CPU, a line each."""
    network = prepare_for_gradients(build(model, 10, seed=0), torch.device("cpu")).train()
    held = HeldAgainstFloat64()
    batch = torch.randn(images, 3, size, size, generator=generator(0, "images"))
    with held:
        logits = network(batch.contiguous(memory_format=torch.channels_last))
        nn.functional.cross_entropy(logits, torch.arange(images)).backward()  # type: ignore[no-untyped-call]
    return held.wrong


def wrong_subsampling(as_built: bool) -> list[str]:
    """The same of a layer as RepVGG begins with, which uxlfoundation/oneDNN#6035 concerns. As
    torch builds it (`as_built`) a process that asks for its gradients may crash or hang."""
    layer = nn.Sequential(nn.Conv2d(3, 48, 1, stride=2, bias=False))
    if not as_built:
        onednn.mend(layer)
    layer = layer.to(memory_format=torch.channels_last)
    held = HeldAgainstFloat64()
    for size in (112, 224):
        images = torch.randn(2, 3, size, size, generator=generator(0, "images"))
        with held:
            layer(images.contiguous(memory_format=torch.channels_last)).square().mean().backward()
    return held.wrong
