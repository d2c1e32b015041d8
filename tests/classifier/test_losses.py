from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm.data.mixup
import timm.loss
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor, nn

from classifier.basics.randomness import keyed
from classifier.models.catalogue import MODELS
from classifier.models.network import Network, build
from classifier.tricks.base import Batch, BatchLoss
from classifier.tricks.losses.bce import BinaryCrossEntropy
from classifier.tricks.losses.class_balance import balance
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.losses.focal import Focal
from classifier.tricks.losses.poly import Poly
from classifier.tricks.mixing import Mixer, Mixing
from classifier.tricks.rdrop import RDrop, rdrop_loss, trunk_passes, two_passes

ONE_TRUNK = sorted(name for name, entry in MODELS.items() if entry.rdrop_passes == 1)
TASK = CrossEntropy().make()


def whole_of(loss: BatchLoss) -> Tensor:
    assert loss.total is not None
    return loss.mean + loss.total


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
        loss = whole_of(rdrop_loss(first, second, Batch(network, batch, labels, TASK), RDrop()))
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
    batch = Batch(build("mobilenetv2", 7, seed=0), a, labels, TASK)
    found = whole_of(rdrop_loss(a, b, batch, RDrop()))
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_poly_and_focal_are_the_papers(weighted: bool) -> None:
    """Against the definitions, written out image by image."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    weight = torch.tensor([0.5, 1.0, 2.0, 0.25], dtype=torch.float64) if weighted else None
    poly, focal, cross = [], [], []
    for row, label in zip(logits, labels, strict=True):
        p = row.softmax(0)
        w = 1.0 if weight is None else float(weight[label])
        soft = torch.full((4,), 0.1 / 4, dtype=torch.float64)
        soft[label] += 0.9
        each = soft if weight is None else soft * weight
        cross.append((float(-(each * p.log()).sum()), w))
        poly.append(w * float((soft * (1 - p)).sum()))
        focal.append(w * float(-((1 - p[label]) ** 2) * p[label].log()))
    mean_cross = sum(c for c, _ in cross) / sum(w for _, w in cross)
    found = Poly().make(weight)(logits, labels)
    assert float(found) == pytest.approx(mean_cross + 2 * sum(poly) / 6, rel=1e-12)
    found = Focal().make(weight)(logits, labels)
    assert float(found) == pytest.approx(sum(focal) / 6, rel=1e-12)


@pytest.mark.parametrize("spec", [CrossEntropy(), Poly(), Focal()])
def test_probabilities_that_are_certain_are_labels(spec: CrossEntropy | Poly | Focal) -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 1])
    soft = torch.nn.functional.one_hot(labels, 3).double()
    loss = spec.make()
    assert float(loss(logits, labels)) == pytest.approx(float(loss(logits, soft)), rel=1e-12)


def test_focal_at_gamma_0_is_cross_entropy() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    plain = nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(Focal(gamma=0.0).make()(logits, labels), plain)


def test_balance_is_the_square_root_of_scikit_learns() -> None:
    labels = torch.tensor([0] * 10 + [1] * 30 + [2] * 5)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy()) ** 0.5
    assert np.allclose(balance(labels, 3).numpy(), expected)


def test_mixup_mixes_images_and_labels_alike() -> None:
    """Recovered from the result: the share of each image is the share of its label."""
    mix = Mixer(Mixing(name="mixup", probability=1.0), 4)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    torch.manual_seed(0)
    mixed, soft = mix.batch(images, torch.arange(4))
    assert torch.allclose(soft.sum(1), torch.ones(4))
    assert torch.allclose(mixed[:, 0, 0, 0], soft @ torch.arange(4.0), atol=1e-6)
    assert (soft.max(1).values < 1).any()


def test_cutmix_pastes_the_share_that_its_labels_say() -> None:
    mix = Mixer(Mixing(name="cutmix", probability=1.0), 4)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 16, 16)
    torch.manual_seed(1)
    mixed, soft = mix.batch(images, torch.arange(4))
    for image, shares in zip(mixed[:, 0], soft, strict=True):
        found = torch.stack([(image == label).float().mean() for label in range(4)])
        assert torch.allclose(found, shares, atol=1e-6)


def test_mixing_is_applied_with_its_probability() -> None:
    mix = Mixer(Mixing(probability=0.5), 4)
    images, labels = torch.rand(4, 3, 2, 2), torch.arange(4)
    torch.manual_seed(0)
    mixed = sum(mix.batch(images, labels)[1].ndim == 2 for _ in range(400))
    assert 160 < mixed < 240


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"label_smoothing": 0.1},
        {"target_threshold": 0.2},
        {"sum_classes": True, "label_smoothing": 0.2},
    ],
)
@pytest.mark.parametrize("balanced", [False, True])
def test_bce_is_timms(written: dict[str, Any], balanced: bool) -> None:
    """Of labels, and of soft ones, which timm's mixup smooths where ours leaves it to the loss."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 1, 0])
    weight = torch.tensor([0.5, 1.0, 1.5, 2.0]) if balanced else None
    settings = BinaryCrossEntropy.model_validate(written)
    reference = timm.loss.BinaryCrossEntropy(
        settings.label_smoothing,
        settings.target_threshold,
        weight,
        sum_classes=settings.sum_classes,
    )
    ours = settings.make(weight)
    assert torch.allclose(ours(logits, labels), reference(logits, labels), rtol=1e-6, atol=0)
    plain, smoothed = (
        mixup_target(labels, 4, 0.3, smoothing) for smoothing in (0.0, settings.label_smoothing)
    )
    found, expected = ours(logits, plain), reference(logits, smoothed)
    assert torch.allclose(found, expected, rtol=1e-6, atol=0)
    gradients = [torch.autograd.grad(each, logits)[0] for each in (found, expected)]
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-8)
    assert not torch.allclose(ours(logits, labels), CrossEntropy().make()(logits, labels))


def test_mixup_and_cutmix_by_turns_are_timms(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm pairs an image with the one at the batch's other end, torchvision with the one before
    it: the same of two images. Its shares and boxes are set to those that were drawn here."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([2, 0])
    settings = Mixing(
        name="mixup_or_cutmix", alpha=0.2, cutmix_alpha=0.7, probability=0.9, switch=0.3
    )
    mix = Mixer(settings, 3)
    reference = Mixup(0.2, 0.7, switch_prob=0.3, label_smoothing=0.0, num_classes=3)
    kinds = Counter[str]()
    for key in range(300):
        images = torch.randn(2, 3, 12, 12, generator=draw)
        with keyed(0, "step", key):
            mixed, soft = mix.batch(images.clone(), labels)
        if soft.ndim == 1:
            kinds["none"] += 1
            assert torch.equal(mixed, images)
            continue
        share = float(soft[0, 2])
        pasted = (mixed == images.flip(0)).all(dim=1)[0]
        is_cutmix = bool(((mixed == images).all(dim=1)[0] | pasted).all())
        kinds["cutmix" if is_cutmix else "mixup"] += 1
        rows, columns = pasted.any(dim=1).nonzero(), pasted.any(dim=0).nonzero()
        box = (0, 0, 0, 0)
        if is_cutmix and len(rows):
            box = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        with monkeypatch.context() as patch:
            patch.setattr(reference, "_params_per_batch", partial(tuple, (share, is_cutmix)))
            patch.setattr(timm.data.mixup, "rand_bbox", lambda *_, box=box, **__: box)
            expected, targets = reference(images.clone(), labels)
        assert torch.allclose(mixed, expected, atol=1e-6)
        assert torch.allclose(soft, targets, atol=1e-6)
    assert kinds["none"] == pytest.approx(30, abs=20)
    assert kinds["cutmix"] / (300 - kinds["none"]) == pytest.approx(0.3, abs=0.1)


def test_the_share_of_either_is_from_its_own_alpha() -> None:
    made = {}
    for alpha, cutmix_alpha in ((50.0, 0.02), (0.02, 50.0)):
        written = {"alpha": alpha, "cutmix_alpha": cutmix_alpha, "switch": 0.5, "probability": 1.0}
        mix = Mixer(Mixing.model_validate({"name": "mixup_or_cutmix", **written}), 2)
        even = 0
        for key in range(60):
            with keyed(0, "step", key):
                images, _ = mix.batch(
                    torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 8, 8), torch.arange(2)
                )
            is_mixup = 0.3 < float(images[0, 0].max()) < 0.7
            even += is_mixup
        made[alpha] = even
    assert made[50.0] == pytest.approx(30, abs=12) and made[0.02] <= 3


def test_a_turns_settings_are_for_turns() -> None:
    with pytest.raises(ValidationError, match="'switch' is for mixing 'mixup_or_cutmix'"):
        Mixing(name="cutmix", switch=0.2)
    assert "switch" not in Mixing().signed() and "switch" not in Mixing().model_dump()
