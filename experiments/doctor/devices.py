"""Whether devices compute, and right, and how fast. torch is imported in children only: a device
that crashes or hangs costs one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from classifier.basics.machine import gpu_names
from experiments.doctor.finding import Finding, size
from experiments.execution.engines.child import NoAnswer, Probe, answer_of, probe

SECONDS = 60.0
"""A child that takes longer hangs."""
MOST_OFF = 1e-4
"""Of a step in float32, relative: what rounding does is near 1e-6, what a fault does near 1."""
CPU = "CPU"
CPU_BATCH, GPU_BATCH = 8, 64
"""Images of a step that is timed: a slow CPU shall be done in seconds, a GPU have enough to do."""
T = TypeVar("T")


@dataclass(frozen=True)
class Build:
    """What torch was built for; None where it was not."""

    cuda: str | None
    cudnn: int | None


@dataclass(frozen=True)
class Step:
    """What a step on a device was like."""

    off: float
    """From float64, relative."""
    memory: tuple[int, int] | None = None
    """Of a GPU: free and all, in bytes."""


def look(asked: Sequence[str]) -> Iterable[Finding]:
    """`asked`: --devices."""
    listed, probed = gpu_names(), probe()
    yield forked(probed)
    build = _tried(_build)
    yield built(build)
    if isinstance(build, NoAnswer):
        return
    yield from gpus(asked, listed, probed.gpus, build)
    used = devices(asked, probed.gpus)
    with ThreadPoolExecutor(len(used)) as beside:
        steps = list(beside.map(lambda device: _tried(_step, device=device), used))
    for device, step in zip(used, steps, strict=True):
        yield computed(_name(device, probed.gpus), step)
    if "cpu" in used:
        yield convolutions(_tried(_convolutions))
        yield subsampling(_tried(_subsampling, False), _tried(_subsampling, True))
    yield decoded(_tried(_decoding))
    batch = CPU_BATCH if used[0] == "cpu" else GPU_BATCH
    pace = _tried(_training, batch, device=used[0])
    yield trained(_name(used[0], probed.gpus), pace, batch)


def devices(asked: Sequence[str], seen: Sequence[str]) -> list[str]:
    """Those that a run would use; the CPU where there is none of them."""
    if list(asked) == ["auto"]:
        return [str(index) for index in range(len(seen))] or ["cpu"]
    there = [device for device in asked if device == "cpu" or int(device) < len(seen)]
    return there or ["cpu"]


def forked(probed: Probe) -> Finding:
    if not probed.unsafe:
        return Finding("ok", "jobs", "are forked from a process that has torch")
    found = f"are spawned, not forked: {probed.unsafe}"
    return Finding("note", "jobs", found, "each takes seconds to start; results are equal")


def built(build: Build | NoAnswer) -> Finding:
    if isinstance(build, NoAnswer):
        advice = "install torch anew; `python -c 'import torch'` says more"
        return Finding("bad", "torch", f"can't be used: {build}", advice)
    target = f"CUDA {build.cuda}" if build.cuda else "the CPU"
    with_cudnn = f", cuDNN {build.cudnn}" if build.cudnn else ""
    return Finding("ok", "torch", f"built for {target}{with_cudnn}")


def gpus(
    asked: Sequence[str], listed: Sequence[str], seen: Sequence[str], build: Build
) -> Iterable[Finding]:
    """`listed`: by nvidia-smi, `seen`: by torch."""
    if not listed and not seen:
        yield Finding("ok", "GPUs", "none")
    elif len(seen) < len(listed):
        found = f"nvidia-smi lists {len(listed)}, torch sees {len(seen)}"
        yield Finding("bad", "GPUs", found, _remedy(build))
    else:
        yield Finding("ok", "GPUs", ", ".join(f"{i}: {name}" for i, name in enumerate(seen)))
    missing = [each for each in asked if each.isdecimal() and int(each) >= len(seen)]
    if missing:
        there = ",".join(map(str, range(len(seen)))) or "cpu"
        found = f"--devices {','.join(asked)}: {', '.join(missing)} is not there"
        yield Finding("bad", "GPUs", found, f"--devices {there}")
    if list(asked) == ["cpu"] and seen:
        yield Finding("note", "GPUs", "not used and not looked at", "leave out --devices cpu")


def _remedy(build: Build) -> str:
    if build.cuda is None:
        return "this torch is built for the CPU: install a build for CUDA"
    return (
        f"update NVIDIA's driver to one for CUDA {build.cuda}, or install a torch for an older one"
    )


def computed(name: str, step: Step | NoAnswer) -> Finding:
    """A training step, against float64."""
    about = f"step on {name}"
    if isinstance(step, NoAnswer):
        advice = "leave it out with --devices, and restart the machine or its driver"
        if name == CPU:
            advice = "older instructions may help: ONEDNN_MAX_CPU_ISA=AVX2"
        return Finding("bad", about, f"it does not compute: {step}", advice)
    free = f"{size(step.memory[0])} of {size(step.memory[1])} are free, " if step.memory else ""
    found = f"{free}{step.off:.1e} from float64, relative"
    if not step.off <= MOST_OFF:  # not a number too
        advice = f"rounding is at most {MOST_OFF:g}, so its figures are wrong: don't use it"
        return Finding("bad", about, found, advice)
    return Finding("ok", about, found)


def convolutions(wrong: list[str] | NoAnswer) -> Finding:
    """Of a whole network, on the CPU."""
    about, advice = "gradients", "try ONEDNN_MAX_CPU_ISA=AVX2, and report it as a bug"
    if isinstance(wrong, NoAnswer):
        return Finding("bad", about, f"of mobilenetv2 can't be computed: {wrong}", advice)
    if wrong:
        return Finding("bad", about, f"of mobilenetv2 are wrong: {wrong[0]}", advice)
    return Finding("ok", about, "of all convolutions of mobilenetv2 are float64's")


def subsampling(mended: list[str] | NoAnswer, as_built: list[str] | NoAnswer) -> Finding:
    """The layer that uxlfoundation/oneDNN#6035 concerns, as it is trained here and as torch has
    it."""
    about, fault = "oneDNN#6035", "of 1 x 1 convolutions with a stride"
    if isinstance(mended, NoAnswer) or mended:
        said = mended if isinstance(mended, NoAnswer) else mended[0]
        advice = "don't train RepVGG, MobileOne, FastViT and GERNet here, and report it as a bug"
        return Finding("bad", about, f"gradients {fault} are wrong: {said}", advice)
    if isinstance(as_built, NoAnswer) or as_built:
        return Finding("ok", about, f"this torch gets gradients {fault} wrong; avoided here")
    return Finding("ok", about, f"gradients {fault} are right with this torch too")


def decoded(images: float | NoAnswer) -> Finding:
    """Images a second and core."""
    about = "decoding"
    if isinstance(images, NoAnswer):
        advice = "install pillow and torchvision anew"
        return Finding("bad", about, f"a JPEG can't be decoded: {images}", advice)
    return Finding("ok", about, f"{images:,.0f} images/s a core (JPEG, 500 x 375, resized to 224)")


def trained(name: str, images: float | NoAnswer, batch: int) -> Finding:
    """Images a second of a training."""
    if isinstance(images, NoAnswer):
        advice = "a training will not work either: end what else uses the device"
        return Finding("bad", "training", f"no step of mobilenetv2 on {name}: {images}", advice)
    found = f"{images:,.1f} images/s on {name} (mobilenetv2, 224 pixels, {batch} a batch)"
    return Finding("ok", "training", found)


def _name(device: str, seen: Sequence[str]) -> str:
    return CPU if device == "cpu" else f"GPU {device}, {seen[int(device)]}"


def _tried(function: Callable[..., T], *arguments: object, device: str = "cpu") -> T | NoAnswer:
    try:
        return answer_of(function, *arguments, seconds=SECONDS, device=device)
    except NoAnswer as why:
        return why


# In a child --------------------------------------------------------------------------------------


def _build(device: str) -> Build:
    import torch

    return Build(torch.version.cuda, torch.backends.cudnn.version())  # type: ignore[no-untyped-call]


def _step(device: str) -> Step:
    import torch

    from classifier.training.float64 import step_error

    off = step_error(torch.device(device))
    return Step(off, None if device == "cpu" else torch.cuda.mem_get_info())


def _convolutions(device: str) -> list[str]:
    from classifier.training.float64 import wrong_convolutions

    return wrong_convolutions()


def _subsampling(as_built: bool, device: str) -> list[str]:
    from classifier.training.float64 import wrong_subsampling

    return wrong_subsampling(as_built)


def _decoding(device: str) -> float:
    from classifier.training.pace import decoding

    return decoding()


def _training(batch: int, device: str) -> float:
    import torch

    from classifier.training.pace import training

    return training(torch.device(device), batch)
