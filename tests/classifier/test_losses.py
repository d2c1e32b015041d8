from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from classifier.catalogue import MODELS
from classifier.losses import rdrop_loss, task_loss, trunk_passes, two_passes
from classifier.models import Network, build
from classifier.spec import CrossEntropy, RDrop

ONE_TRUNK = sorted(name for name, entry in MODELS.items() if entry.rdrop_passes == 1)
TASK = task_loss(CrossEntropy())


def images(count: int = 4, size: int = 64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("model", ONE_TRUNK)
def test_one_trunk_equals_two_passes(model: str) -> None:
    """Loss, gradients and running statistics, in float64, under the same dropout masks."""
    batch, labels = images().double(), torch.tensor([0, 1, 2, 3])
    whole = build(model, 10, seed=0).double().train()
    shared = copy.deepcopy(whole)
    found = []
    for network, passes in ((whole, 2), (shared, 1)):
        torch.manual_seed(1)
        first, second = two_passes(network, batch, passes)
        assert not torch.equal(first, second), "the masks differ between the passes"
        loss = rdrop_loss(first, second, labels, TASK, RDrop())
        loss.backward()  # type: ignore[no-untyped-call]
        found.append(float(loss.detach()))
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    for (name, a), b in zip(whole.named_parameters(), shared.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        # A bias in front of a batch norm has the gradient zero, so rounding is all there is.
        assert torch.allclose(a.grad, b.grad, rtol=1e-8, atol=1e-12), name
    for (name, c), d in zip(whole.named_buffers(), shared.buffers(), strict=True):
        assert torch.allclose(c.double(), d.double(), rtol=1e-12, atol=1e-14), name
        if name.endswith("num_batches_tracked"):
            assert int(d) == 2


def test_the_norms_are_left_as_they_were() -> None:
    network = build("mobilenetv2", 10, seed=0).train()
    two_passes(network, images(), 1)
    momenta = {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == {0.1}


@pytest.mark.parametrize("model", sorted(MODELS))
def test_what_may_share_its_trunk_is_found_by_trying(model: str) -> None:
    network = build(model, 10, seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert trunk_passes(network, images(2)) == MODELS[model].rdrop_passes
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), "trying is done on a copy"


def _with_dropout(network: Network) -> None:
    network.trunk = nn.Sequential(network.trunk, nn.Dropout(0.1))


def _with_numpy(network: Network) -> None:
    import numpy as np

    class Noise(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features + float(np.random.rand())

    network.trunk = nn.Sequential(network.trunk, Noise())


def _with_a_counter(network: Network) -> None:
    class Counter(nn.Module):
        calls: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, features: Tensor) -> Tensor:
            self.calls += 1
            return features

    network.trunk = nn.Sequential(network.trunk, Counter())


def _with_cumulative_norm(network: Network) -> None:
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).momentum = None


@pytest.mark.parametrize(
    "change", [_with_dropout, _with_numpy, _with_a_counter, _with_cumulative_norm]
)
def test_whatever_differs_between_passes_needs_two(change: Callable[[Network], None]) -> None:
    network = build("mobilenetv2", 10, seed=0)
    change(network)
    assert trunk_passes(network, images(2)) == 2


def test_rdrop_loss_is_the_papers() -> None:
    """Against the definition, written out: KL summed over batch and classes."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.tensor([0, 1, 2, 3, 4])
    p, q = a.softmax(1), b.softmax(1)
    kl_pq, kl_qp = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()
    smooth = torch.full((5, 7), 0.1 / 7, dtype=torch.float64)
    smooth[torch.arange(5), labels] += 0.9
    task = sum(-(smooth * x.log()).sum(1).mean() for x in (p, q)) / 2
    expected = task + 0.3 * (kl_pq + kl_qp) / 2
    found = rdrop_loss(a, b, labels, TASK, RDrop())
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
