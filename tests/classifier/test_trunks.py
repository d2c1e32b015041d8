"""Every kind of network of the libraries: its answer is the library's own where our head has the
library's weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from timm.layers import DropPath
from torch import Tensor, nn
from torchvision.models.vision_transformer import interpolate_embeddings
from torchvision.ops import StochasticDepth

from classifier.basics.errors import UserError
from classifier.basics.place import Place
from classifier.basics.randomness import keyed
from classifier.config.optimizers import AdamW
from classifier.config.spec import TrainSpec
from classifier.inference import cam
from classifier.job import train
from classifier.models import catalogue, checkpoint
from classifier.models.network import Network, build, fuse
from classifier.models.stages import StageMaps
from classifier.models.trunks import AS_PRETRAINED, Wish
from classifier.models.weights import load_weights
from classifier.training import trainer
from classifier.training.optimizer import make_optimizer
from classifier.training.trainer import start_network
from classifier.tricks.losses.cross_entropy import CrossEntropy
from classifier.tricks.rdrop import trunk_passes, two_passes

CPU = torch.device("cpu")
CLASSES = 5

KINDS = {
    "a convolution as classifier": ("squeezenet1_1", 32),
    "auxiliary heads": ("googlenet", 32),
    "auxiliary heads, larger images": ("inception_v3", 75),
    "a convolution as head": ("dla46x_c", 32),
    "an MLP as head": ("caformer_s18", 32),
    "two heads of two tokens": ("deit_tiny_distilled_patch16_224", 32),
    "two heads with norms": ("levit_128s", 32),
    "two heads of a fused kind": ("repvit_m0_9", 32),
    "two heads after pooling": ("swiftformer_xs", 32),
    "heads of several stages": ("efficientvim_m1", 64),
    "heads of two branches": ("crossvit_tiny_240", 32),
    "no head, a token": ("vit_small_patch14_dinov2", 28),
    "no head, a pooling of attention": ("test_vit2", 64),
    "a transformer at a size of its own": ("vit_tiny_patch16_224", 32),
    "windows at a size of their own": ("swin_tiny_patch4_window7_224", 32),
}


def images(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def sized(model: str, side: int, **wish: Any) -> Network:
    return build(model, CLASSES, seed=0, wish=Wish(image_size=side, **wish))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_evaluates_in_fp16_and_is_fused(kind: str) -> None:
    model, side = KINDS[kind]
    catalogue.check_side(model, side)
    network = sized(model, side).train()
    batch, labels = images(side, 4), torch.tensor([0, 1, 2, 3])
    optimizer = make_optimizer(network, AdamW(), 1e-3)
    losses = []
    for _ in range(6):
        torch.manual_seed(0)
        optimizer.zero_grad()
        loss = CrossEntropy().make()(network(batch), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in network.head.parameters())
    network.eval()
    with torch.inference_mode():
        plain, fused = network(batch), fuse(network)
        assert plain.shape == (4, CLASSES)
        assert (fused(batch) - plain).norm() < 1e-4 * plain.norm()
        half = fused.half()(batch.half())
    assert (half.float() - plain).norm() < 0.03 * plain.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_rdrop_and_maps_of_every_kind(kind: str) -> None:
    model, side = KINDS[kind]
    network = sized(model, side).train()
    batch = images(side)
    passes = trunk_passes(network, batch)
    torch.manual_seed(0)
    first, second = two_passes(network, batch, passes)
    assert first.shape == second.shape == (2, CLASSES)
    assert not torch.equal(first, second)
    if passes == 1:  # what the trunk gives twice is then the same
        with torch.no_grad():
            assert torch.equal(copy.deepcopy(network.trunk)(batch), network.trunk(batch))
    layer, _ = cam._last_grid(network.eval(), side, CPU)
    assert isinstance(layer, nn.Module)


@pytest.mark.parametrize(
    ("model", "side"),
    [("dla46x_c", 32), ("caformer_s18", 32), ("googlenet", 32), ("resnet18d", 32)],
)
def test_with_the_librarys_head_it_is_the_librarys_network(
    model: str, side: int, tmp_path: Path
) -> None:
    """One last layer: a file of the library's goes in whole, head too."""
    if model == "googlenet":
        library = torchvision.models.get_model(
            model, num_classes=CLASSES, aux_logits=False, init_weights=True
        )
    else:
        library = timm.create_model(model, num_classes=CLASSES)
    torch.save(library.state_dict(), tmp_path / "w.pth")
    network = sized(model, side)
    told = load_weights(network, tmp_path / "w.pth", model)
    assert "left: nothing; missing: nothing" in told, told
    with torch.no_grad():
        expected = library.eval()(images(side))
        assert torch.allclose(network.eval()(images(side)), expected, atol=1e-5)


def test_squeezenets_head_is_the_mean_of_its_convolution() -> None:
    library = torchvision.models.squeezenet1_1(num_classes=CLASSES).eval()
    network = sized("squeezenet1_1", 64).eval()
    theirs = {k: v for k, v in library.state_dict().items() if k.startswith("features")}
    network.trunk.load_state_dict(theirs)
    convolution, linear = library.classifier[1], network.head[1]
    assert isinstance(convolution, nn.Conv2d) and isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(convolution.weight.flatten(1))
        linear.bias.copy_(
            convolution.bias if convolution.bias is not None else torch.zeros(CLASSES)
        )
        by_place = convolution(library.features(images(64)))
        assert torch.allclose(network(images(64)), by_place.mean((2, 3)), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "side"),
    [
        ("deit_tiny_distilled_patch16_224", 224),
        ("pit_ti_distilled_224", 224),
        ("swiftformer_xs", 32),
    ],
)
def test_two_heads_that_are_alike_are_one(model: str, side: int) -> None:
    library = timm.create_model(model, num_classes=CLASSES).eval()
    library.head_dist.load_state_dict(library.head.state_dict())
    network = sized(model, side).eval()
    theirs = {k: v for k, v in library.state_dict().items() if not k.startswith("head")}
    network.trunk.load_state_dict(theirs)
    network.head[1].load_state_dict(library.head.state_dict())
    with torch.no_grad():
        assert torch.allclose(network(images(side)), library(images(side)), atol=1e-5)


def test_heads_of_two_branches_are_one_of_both() -> None:
    """The mean of two linear heads is one linear head of all features."""
    library = timm.create_model("crossvit_tiny_240", num_classes=CLASSES).eval()
    network = sized("crossvit_tiny_240", 240).eval()
    theirs = {k: v for k, v in library.state_dict().items() if not k.startswith("head")}
    network.trunk.load_state_dict(theirs)
    linear = network.head[1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.cat([head.weight for head in library.head], dim=1) / 2)
        linear.bias.copy_(torch.stack([head.bias for head in library.head]).mean(0))
        assert torch.allclose(network(images(240)), library(images(240)), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "side"),
    [("resnet18d", 64), ("vit_tiny_patch16_224", 224), ("test_vit", 64), ("efficientvit_m0", 64)],
)
def test_what_was_taken_before_has_the_weights_that_it_had(model: str, side: int) -> None:
    """Also where the library would build it otherwise for that size, but need not."""
    with keyed(3, "initial weights"):
        library = timm.create_model(model, pretrained=False, drop_rate=0.0)
        features = library.get_classifier().in_features
        library.reset_classifier(0)
        head = nn.Linear(features, CLASSES)
    network = build(model, CLASSES, seed=3, wish=Wish(image_size=side))
    ours = network.trunk.state_dict()
    assert ours.keys() == library.state_dict().keys()
    assert all(torch.equal(ours[name], value) for name, value in library.state_dict().items())
    assert torch.equal(network.head[1].weight, head.weight)  # type: ignore[arg-type]


def test_pretrained_positions_are_torchvisions_at_another_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = torchvision.models.vit_b_32().state_dict()
    weights = torchvision.models.ViT_B_32_Weights.IMAGENET1K_V1
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: copy.copy(state))
    network = build("vit_b_32", CLASSES, seed=0, wish=Wish("default", 64))
    expected = interpolate_embeddings(64, 32, copy.copy(state))
    ours = network.trunk.state_dict()
    assert ours["encoder.pos_embedding"].shape == (1, 5, 768)
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
    assert network.eval()(images(64)).shape == (2, CLASSES)


@pytest.fixture
def initial_weights_as_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' pretrained weights, without a network: those that they begin with."""

    def of_torchvision(weights: Any, **_: Any) -> dict[str, Tensor]:
        name = type(weights).__name__.removesuffix("_Weights").lower()
        whole: Any = {"aux_logits": True, "init_weights": True}
        state: dict[str, Tensor] = torchvision.models.get_model(name, **whole).state_dict()
        return state

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", of_torchvision)
    monkeypatch.setattr(timm.models._builder, "load_pretrained", lambda *_, **__: None)


@pytest.mark.usefixtures("initial_weights_as_pretrained")
@pytest.mark.parametrize("model", AS_PRETRAINED)
def test_what_comes_with_pretrained_weights_is_there_without_them(model: str) -> None:
    """torchvision's Inception and GoogLeNet shift their input, timm's FBNet has another epsilon."""
    began = sized(model, 96, pretrained="default")
    again, other = (sized(model, 96, as_pretrained=so) for so in (True, False))
    assert "aux" not in "".join(began.trunk.state_dict()).lower()
    answers = []
    for network in (began, again, other):
        network.load_state_dict(began.state_dict())
        with torch.no_grad():
            answers.append(network.eval().trunk(images(96)))
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2]), "else it need not stand in the table"


@pytest.mark.usefixtures("initial_weights_as_pretrained")
def test_a_checkpoint_is_built_as_what_it_began_from(tiny: TrainSpec, tmp_path: Path) -> None:
    for pretrained in ("default", None):
        changes = {"model": "googlenet", "epochs": 1, "pretrained": pretrained}
        spec = TrainSpec.model_validate({**tiny.model_dump(), **changes})
        out = tmp_path / str(pretrained)
        (outcome,) = train(spec, out, Place(tmp_path))
        network, _ = checkpoint.load(out / outcome.record.unit / "best.safetensors")
        assert bool(network.trunk.transform_input) == (pretrained is not None)


def test_encoders_are_refused_by_rule() -> None:
    message = "gives features of each place, and no row"
    with torch.device("meta"), pytest.raises(UserError, match=message):
        build("qwen3_vit_88m_enc", CLASSES, seed=0)


# settings


def test_dropped_paths_are_timms() -> None:
    library = timm.create_model("vit_tiny_patch16_224", drop_path_rate=0.3)
    network = sized("vit_tiny_patch16_224", 32, drop_path_rate=0.3)

    def rates(module: nn.Module) -> list[float]:
        paths = [m for m in module.modules() if isinstance(m, DropPath)]
        return [path.drop_prob for path in paths]

    assert rates(network.trunk) == rates(library)
    assert max(rates(network.trunk)) == pytest.approx(0.3)
    assert not rates(sized("vit_tiny_patch16_224", 32).trunk), "unset is the library's own"


@pytest.mark.parametrize("model", ["convnext_tiny", "swin_t", "efficientnet_b0"])
def test_dropped_paths_of_torchvision(model: str) -> None:
    """ConvNeXt and Swin give their builder's rate to every path in proportion to its depth."""

    def rates(rate: float | None) -> list[float]:
        with torch.device("meta"):
            network = build(model, CLASSES, seed=0, wish=Wish(drop_path_rate=rate))
        return [m.p for m in network.trunk.modules() if isinstance(m, StochasticDepth)]

    own, ours = rates(None), rates(0.05)
    if model == "efficientnet_b0":
        paths = torchvision.models.efficientnet_b0(stochastic_depth_prob=0.05).modules()
        assert ours == [m.p for m in paths if isinstance(m, StochasticDepth)]
    else:
        assert max(ours) == pytest.approx(0.05)
        assert ours == pytest.approx([p * 0.05 / max(own) for p in own])


def test_the_trunks_and_the_heads_dropout_are_two() -> None:
    network = build("vgg11", CLASSES, seed=0, wish=Wish(drop_rate=0.4), dropout=0.1)
    rates = [m.p for m in network.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.4, 0.1], "of VGG's two the last is the head's"
    with pytest.raises(UserError, match="model 'resnet18' takes no 'drop_rate'"):
        build("resnet18", CLASSES, seed=0, wish=Wish(drop_rate=0.4))


def test_a_frozen_trunk_gives_the_same_features_whatever_is_trained() -> None:
    network = build("resnet18d", CLASSES, seed=0).freeze_trunk()
    before = copy.deepcopy(network.trunk.state_dict())
    optimizer = make_optimizer(network, AdamW(), 0.1)
    moved = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert moved == set(map(id, network.head.parameters()))
    head = copy.deepcopy(network.head.state_dict())
    network.train()
    assert network.head.training and not any(m.training for m in network.trunk.modules())
    loss = CrossEntropy().make()(network(images(32, 4)), torch.tensor([0, 1, 2, 3]))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    after = network.trunk.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items()), "norms too"
    assert not torch.equal(head["1.weight"], network.head.state_dict()["1.weight"])
    assert trunk_passes(network, images(32)) == 1


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "convnext_atto", "caformer_s18"])
def test_layer_decay_is_timms(model: str) -> None:
    from timm.optim import param_groups_layer_decay

    if model == "caformer_s18":  # it says no order
        with pytest.raises(UserError, match="'layer_decay' needs a network that names its layers'"):
            make_optimizer(build(model, CLASSES, seed=0), AdamW(), 1.0, 0.5)
        return
    library = timm.create_model(model, num_classes=CLASSES)
    names = {id(p): name for name, p in library.named_parameters()}
    expected = {
        names[id(p)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(library, weight_decay=0.1, layer_decay=0.75)
        for p in group["params"]
    }
    network = build(model, CLASSES, seed=0)
    own = nn.Linear(2, 2)
    optimizer = make_optimizer(nn.ModuleList([network, own]), AdamW(weight_decay=0.1), 1.0, 0.75)
    found = {
        id(p): (group["lr_scale"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    ours = {name: found.pop(id(p)) for name, p in network.trunk.named_parameters()}
    ours |= {
        f"{network.final}.{name}": found.pop(id(p))
        for name, p in network.head[1].named_parameters()
    }
    assert ours == expected
    assert len({scale for scale, _ in expected.values()}) > 5
    assert {scale for scale, _ in found.values()} == {1.0}, "a trick's layers"


def with_settings(spec: TrainSpec, **settings: object) -> TrainSpec:
    written = spec.model_dump(mode="json") | settings
    return TrainSpec.model_validate(written)


def test_a_training_of_the_head_alone(tiny: TrainSpec, tmp_path: Path) -> None:
    spec = with_settings(tiny, freeze="trunk", model="resnet18d", dropout=0.0)
    (outcome,) = train(spec, tmp_path, Place(tmp_path))
    network, _ = checkpoint.load(tmp_path / outcome.record.unit / "best.safetensors")
    start = start_network(spec, network.classes, None)
    before = checkpoint.to_half(start.trunk.state_dict())
    after = network.trunk.state_dict()
    assert all(torch.equal(before[name].to(value.dtype), value) for name, value in after.items())
    assert not torch.equal(
        start.head.state_dict()["1.weight"], network.head.state_dict()["1.weight"]
    )
    assert outcome.record.parameters == sum(p.numel() for p in network.head.parameters())


def test_a_training_whose_layers_learn_at_rates_of_their_own(
    tiny: TrainSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def kept(*given: Any) -> torch.optim.Optimizer:
        made.append(make_optimizer(*given))
        return made[-1]

    monkeypatch.setattr(trainer, "make_optimizer", kept)
    spec = with_settings(tiny, model="vit_tiny_patch16_224", layer_decay=0.5, drop_path_rate=0.1)
    (outcome,) = train(spec, tmp_path, Place(tmp_path))
    rates = {(group["lr"], group["lr_scale"]) for group in made[0].param_groups}
    last = outcome.record.history[-1].lr
    assert {lr for lr, _ in rates} == {last * scale for _, scale in rates}
    assert min(lr for lr, _ in rates) == last * 0.5**13, "a stem, twelve blocks and a head"


def test_settings_that_are_off_are_not_signed(tiny: TrainSpec) -> None:
    names = {"drop_rate", "drop_path_rate", "dropout", "freeze", "layer_decay"}
    off = with_settings(tiny, drop_rate=False, drop_path_rate=False, dropout=0.2, freeze=False)
    assert off.signature == tiny.signature and not names & off.model_dump(mode="json").keys()
    for settings in (
        {"drop_rate": 0.0},
        {"dropout": 0.1},
        {"freeze": "trunk"},
        {"layer_decay": 1.0},
    ):
        assert with_settings(tiny, **settings).signature != tiny.signature


# distillation


def test_transformers_have_logits_to_teach_and_no_stages() -> None:
    teacher = sized("vit_tiny_patch16_224", 32)
    with pytest.raises(UserError, match="no two stages of feature maps"):
        StageMaps(teacher, "vit_tiny_patch16_224")
    output = StageMaps(teacher, "vit_tiny_patch16_224", wanted=False)(images(32))
    assert output.logits.shape == (2, CLASSES) and output.stages == ()
    pyramid = StageMaps(sized("caformer_s18", 64), "caformer_s18")
    assert [tuple(stage.shape[2:]) for stage in pyramid(images(64)).stages] == [(4, 4), (2, 2)]


# the hub


def cached(hub: Path, name: str, config: dict[str, Any]) -> Path:
    """A repository of the hub as its cache has it."""
    folder = hub / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text(json.dumps(config))
    return snapshot


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_name_on_the_hub_is_that_network(hub: Path) -> None:
    library = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32)
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "pretrained_cfg": {"input_size": [3, 32, 32], "fixed_input_size": True, "num_classes": 3,
                           "classifier": "head", "first_conv": "patch_embed.proj"},
    }  # fmt: skip
    snapshot = cached(hub, "someone/small", config)
    torch.save(library.state_dict(), snapshot / "pytorch_model.bin")
    network = build("hf-hub:someone/small", CLASSES, seed=0, wish=Wish("default", 32))
    ours, theirs = network.trunk.state_dict(), library.state_dict()
    assert network.side == 32
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    larger = build("hf-hub:someone/small", CLASSES, seed=0, wish=Wish(None, 64))
    assert larger.eval()(images(64)).shape == (2, CLASSES)


def test_a_name_on_the_hub_that_cant_be_had(hub: Path) -> None:
    with pytest.raises(UserError) as error:
        build("hf-hub:someone/absent@v1", CLASSES, seed=0)
    said = str(error.value)
    assert said.startswith(
        "model 'hf-hub:someone/absent@v1' can't be had: it is not in "
        f"{hub}/models--someone--absent and can't be fetched ("
    )
    assert "\n" not in said
