"""Gradients of convolutions are right on every x86 CPU, and no network crashes a training."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from classifier.basics.errors import UserError
from classifier.basics.machine import instruction_set
from classifier.data.transforms import Normalize
from classifier.inference.cam import Mapper
from classifier.models import onednn
from classifier.models.network import build, fuse, prepare_for_gradients
from classifier.models.onednn import SubsampledConv2d
from classifier.training.float64 import HeldAgainstFloat64
from classifier.tricks.rdrop import trunk_passes
from tests.classifier.one_step import NETWORKS

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
CHECKED_HEAP = {
    "LD_PRELOAD": "libc_malloc_debug.so.0",
    "MALLOC_CHECK_": "3",
    # All on the heap, and kept: a page more or less is not looked at, and costs half the time.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
}
"""glibc looks at it, and aborts where something was written outside."""
MENDED = ["RepVGG-A0", "fastvit_t8", "gernet_s", "mobileone_s0"]
OTHERS = [name for name in NETWORKS if name not in MENDED]


@pytest.mark.parametrize("padding", [0, 1, (2, 1)])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("stride", [2, 3, (1, 2), (4, 1)])
def test_it_is_the_same_function(stride: Any, mode: Any, padding: Any) -> None:
    """Outputs and all gradients, in float64, of even and odd sizes."""
    for size, bias in itertools.product((8, 9), (True, False)):
        plain = nn.Conv2d(3, 5, 1, stride, padding, bias=bias, padding_mode=mode).double()
        mended = copy.deepcopy(plain)
        onednn.mend(mended)
        assert type(mended) is SubsampledConv2d
        images = torch.randn(2, 3, size, size, dtype=torch.float64)
        found = []
        for layer in (plain, mended):
            seen = images.clone().requires_grad_()
            output = layer(seen)
            output.square().sum().backward()
            found.append([output, seen.grad, *(weight.grad for weight in layer.parameters())])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "layers"),
    [("RepVGG-A0", 1), ("mobileone_s0", 1), ("fastvit_t8", 1), ("gernet_s", 1), ("resnet50", 0)],
)
def test_nothing_else_of_a_network_changes(model: str, layers: int) -> None:
    plain = build(model, 7, seed=0)
    mended = prepare_for_gradients(build(model, 7, seed=0), CPU)
    onednn.mend(mended)  # once more, as of a teacher that is a student later
    changed = [
        (name, ours)
        for (name, ours), theirs in zip(mended.named_modules(), plain.modules(), strict=True)
        if type(ours) is not type(theirs)
    ]
    assert [type(layer) for _, layer in changed] == [SubsampledConv2d] * layers
    assert all(vars(layer).keys() == vars(nn.Conv2d(1, 1, 1)).keys() for _, layer in changed)
    assert {n: tuple(t.shape) for n, t in mended.state_dict().items()} == {
        n: tuple(t.shape) for n, t in plain.state_dict().items()
    }
    for name, layer in changed:
        theirs = plain.get_submodule(name)
        assert isinstance(layer, nn.Conv2d) and isinstance(theirs, nn.Conv2d)
        assert layer.stride == theirs.stride != (1, 1)
    follower = copy.deepcopy(mended)  # as an average is made
    assert [type(module) for module in follower.modules()] == [type(m) for m in mended.modules()]


def test_a_network_is_fused_for_inference_as_before() -> None:
    plain = build("RepVGG-A0", 7, seed=0).eval()
    mended = prepare_for_gradients(copy.deepcopy(plain), CPU).eval()
    ours, theirs = fuse(mended), fuse(plain)
    assert not any(isinstance(module, SubsampledConv2d) for module in ours.modules())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(mended(images), plain(images), rtol=1e-4, atol=1e-5)


def test_rdrop_runs_the_trunk_as_often_as_before() -> None:
    mended = prepare_for_gradients(build("RepVGG-A0", 7, seed=0), CPU)
    assert trunk_passes(mended, torch.randn(2, 3, 32, 32)) == 1


def test_a_network_for_maps_is_mended_too() -> None:
    network = build("RepVGG-A0", 7, seed=0).eval()
    Mapper(network, "GradCAM", 32, Normalize([0.5] * 3, [0.5] * 3, CPU))
    assert any(isinstance(module, SubsampledConv2d) for module in network.modules())


def test_a_layer_with_a_forward_pass_of_its_own_is_refused_by_name() -> None:
    class Standardized(nn.Conv2d):
        pass

    with pytest.raises(UserError, match=r"the layer 0\.1 \(Standardized\) is a 1 x 1 convolution"):
        onednn.mend(nn.Sequential(nn.Sequential(nn.ReLU(), Standardized(3, 8, 1, stride=2))))
    onednn.mend(nn.Sequential(Standardized(16, 8, 1, stride=2), Standardized(3, 8, 3, stride=2)))


# Steps of whole networks -------------------------------------------------------------------------


def steps(names: list[str], most: str | None, *flags: str) -> dict[str, str | list[str]]:
    """By network what was wrong with its steps: how they ended, or which gradients are off."""
    environment = {**os.environ, **CHECKED_HEAP}
    if most is not None:
        environment["ONEDNN_MAX_CPU_ISA"] = most
    command = [sys.executable, "-m", "tests.classifier.one_step", *flags]
    wrong: dict[str, str | list[str]] = {}
    left = names
    while left:
        ran = subprocess.run([*command, *left], cwd=ROOT, env=environment, capture_output=True)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        begun = [line["begun"] for line in lines if "begun" in line]
        assert begun, ran.stderr.decode()
        if ran.returncode != 0:
            told = ran.stderr.decode(errors="replace")
            wrong[begun[-1]] = f"ended with {ran.returncode}: {told}"
        else:
            assert sum(line.get("held", 0) for line in lines), "no gradient was looked at"
        wrong |= {line["ended"]: line["wrong"] for line in lines if line.get("wrong")}
        left = left[len(begun) :]
    return wrong


def test_what_is_wrong_is_noticed() -> None:
    """A gradient a little off, one that is not a number; not what rounding may do."""
    backward = torch.ops.aten.convolution_backward.default
    images, weight = torch.randn(4, 3, 8, 8), torch.randn(5, 3, 1, 1)
    rest = ([5], [2, 2], [0, 0], [1, 1], False, [0, 0], 1, [False, True, True])
    given = (torch.randn(4, 5, 4, 4), images, weight, *rest)
    _, right, bias = backward(*given)
    held = HeldAgainstFloat64()
    assert held.differences("as it is", backward, given, (None, right, bias)) == []
    rounded = right * (1 + 1e-6)
    assert held.differences("rounded", backward, given, (None, rounded, bias)) == []
    wrong = right.clone()
    for value in (float("nan"), 1e30, float(right[0, 0]) + 0.02 * float(right.norm())):
        wrong[0, 0] = value
        assert len(held.differences("wrong", backward, given, (None, wrong, bias))) == 1


@pytest.fixture(params=["AVX2", "AVX512_CORE", None])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The newest instruction set that oneDNN may use; None leaves it all that the CPU has."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if request.param == "AVX512_CORE" and not instruction_set().startswith("AVX512"):
        pytest.skip("this CPU has no AVX-512")
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "names",
    [pytest.param(MENDED, id="mended"), pytest.param(OTHERS, id="others", marks=pytest.mark.slow)],
)
def test_a_step_of_every_kind_of_network_is_right(names: list[str], most: str | None) -> None:
    assert steps(names, most) == {}


@pytest.mark.skipif(not instruction_set(), reason="no x86 CPU")
def test_the_remedy_is_still_needed(most: str | None) -> None:
    """And its absence is noticed, by the first that goes wrong. Where this fails, torch's oneDNN is
    mended: see onednn.py."""
    names = ("RepVGG-A0", "fastvit_t8")
    wrong = any(steps([name], most, "--as-built", "--seconds=15") for name in names)
    assert wrong, "classifier/models/onednn.py can be deleted"
