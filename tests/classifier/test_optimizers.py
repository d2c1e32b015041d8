"""Optimisers by their names: a step is the library's own, bit for bit, and goes on from a state."""

from __future__ import annotations

import inspect
import io
import json
from typing import Any

import pytest
import timm.optim
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from classifier.basics.errors import UserError
from classifier.config.optimizers import (
    LibraryOptimizer,
    Optimizer,
    library_optimizers,
    optimizer_names,
)
from classifier.config.spec import TrainSpec
from classifier.training.optimizer import make_optimizer, try_optimizer
from classifier.training.step import Step

BUILT_IN = ("adamw", "rmsprop", "sgd")
NOT_TAKEN = {
    "LBFGS": "evaluates the loss several times a step",
    "SparseAdam": "is for sparse gradients",
    "Muon": "moves matrices only; timm's `muon` moves the rest by AdamW",
    "adahessian": "takes second derivatives",
    **dict.fromkeys(("kron", "kronc", "kronw"), "compiles itself"),
}
"""Beside those of timm that need another package on CUDA, whose names begin with bnb or fused."""
NO_ARGUMENTS = {
    *("self", "params", "lr", "kwargs"),  # the training's
    *("differentiable", "capturable", "verbose"),  # for those who write the loop
    "momentum_dtype",  # nothing that YAML has
}


def in_the_libraries() -> dict[str, list[str]]:
    kinds = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
    }
    del kinds["Optimizer"]
    for name in timm.optim.list_optimizers():
        if not name.startswith(("bnb", "fused")) and name not in BUILT_IN:
            kinds[name] = timm.optim.get_optimizer_info(name).opt_class
    return {
        name: [p for p in inspect.signature(kind.__init__).parameters if p not in NO_ARGUMENTS]
        for name, kind in sorted(kinds.items())
        if name not in NOT_TAKEN
    }


def test_the_stored_list_is_the_libraries() -> None:
    """If this fails for newer versions, write what it finds into the list."""
    found = in_the_libraries()
    assert library_optimizers() == found, json.dumps(found)
    assert len(optimizer_names()) == len(found) + len(BUILT_IN) > 80


def read(written: dict[str, Any]) -> Any:
    return TypeAdapter(Optimizer).validate_python(written)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4)
    )


def step(model: nn.Module, optimizer: torch.optim.Optimizer, index: int, clip: Any = None) -> None:
    draw = torch.Generator().manual_seed(index)
    images, targets = torch.randn(8, 3, 6, 6, generator=draw), torch.arange(8) % 4
    off = torch.autocast("cpu", enabled=False)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    torch.manual_seed(index)
    loss = nn.CrossEntropyLoss()
    Step(model, optimizer, loss, off, scaler, clip_grad=clip)(images, targets)  # type: ignore[arg-type]


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten().double() for value in model.state_dict().values()])


def librarys(name: str, model: nn.Module, weight_decay: float) -> torch.optim.Optimizer:
    """As its users make it: timm's factory with decay on weights only."""
    if name in vars(torch.optim):
        groups = timm.optim.param_groups_weight_decay(model, weight_decay=weight_decay)
        made: torch.optim.Optimizer = getattr(torch.optim, name)(groups, lr=0.01)
    else:
        made = timm.optim.create_optimizer_v2(model, name, lr=0.01, weight_decay=weight_decay)
    return made


@pytest.mark.parametrize("name", library_optimizers())
def test_a_step_is_the_librarys_and_goes_on_from_a_state(name: str) -> None:
    decay = 0.05 if "weight_decay" in library_optimizers()[name] else 0.0
    ours, theirs = network(), network()
    spec = read({"name": name, "weight_decay": decay})
    mine, reference = make_optimizer(ours, spec, 0.01), librarys(name, theirs, decay)
    assert type(mine) is type(reference)
    for index in range(2):
        step(ours, mine, index)
        draw = torch.Generator().manual_seed(index)
        images = torch.randn(8, 3, 6, 6, generator=draw)
        torch.manual_seed(index)
        reference.zero_grad()
        loss = nn.functional.cross_entropy(theirs(images), torch.arange(8) % 4)
        loss.backward()  # type: ignore[no-untyped-call]
        reference.step()
    assert torch.equal(weights(ours), weights(theirs))
    assert not torch.equal(weights(ours), weights(network()))
    kept = io.BytesIO()
    torch.save([ours.state_dict(), mine.state_dict()], kept)
    kept.seek(0)
    state, optimizer_state = torch.load(kept, weights_only=True)
    resumed = network()
    again = make_optimizer(resumed, spec, 0.01)
    resumed.load_state_dict(state)
    again.load_state_dict(optimizer_state)
    for index in range(2, 4):
        step(ours, mine, index)
        step(resumed, again, index)
    assert torch.equal(weights(ours), weights(resumed))


def test_arguments_reach_the_optimiser_and_are_signed() -> None:
    spec = read({"name": "lamb", "weight_decay": 0.02, "betas": [0.8, 0.99], "max_grad_norm": None})
    assert isinstance(spec, LibraryOptimizer)
    group = make_optimizer(network(), spec, 0.01).param_groups[-1]
    assert (group["betas"], group["max_grad_norm"], group["weight_decay"]) == (
        [0.8, 0.99],
        None,
        0.02,
    )
    assert spec.signed() == {
        "name": "lamb",
        "weight_decay": 0.02,
        "betas": [0.8, 0.99],
        "max_grad_norm": None,
    }
    assert read(spec.model_dump()) == spec != read({"name": "lamb", "weight_decay": 0.02})
    assert make_optimizer(network(), read({"name": "momentum"}), 0.1).defaults["momentum"] == 0.9


def test_what_no_library_takes_is_refused() -> None:
    for written, message in (
        ({"name": "lamb", "beta1": 0.9}, "'lamb' takes no 'beta1'; did you mean 'betas'"),
        ({"name": "Rprop", "weight_decay": 0.1}, "'Rprop' takes no 'weight_decay'"),
        ({"name": "lamb", "eps": float("nan")}, "must be a finite number"),
    ):
        with pytest.raises(ValidationError, match=message):
            read(written)
    with pytest.raises(UserError, match="optimizer Adam does not take its arguments: Invalid beta"):
        try_optimizer(read({"name": "Adam", "betas": [1.5, 0.9]}), 0.1)
    for name in library_optimizers():
        try_optimizer(read({"name": name}), 0.1)


@pytest.mark.parametrize("name", [*BUILT_IN, "lamb", "Adam"])
def test_what_decays(name: str) -> None:
    """Parameters in the order of the network: convolution, norm, linear, each weight and bias."""
    expected = {
        "weights": [0.1, 0, 0, 0, 0.1, 0],
        "all_but_norms": [0.1, 0.1, 0, 0, 0.1, 0.1],
        "all": [0.1] * 6,
    }
    for on, decays in expected.items():
        model = network()
        spec = read({"name": name, "weight_decay": 0.1, "decay_on": on})
        groups = make_optimizer(model, spec, 0.01).param_groups
        of = {id(each): group["weight_decay"] for group in groups for each in group["params"]}
        assert [of[id(each)] for each in model.parameters()] == decays


def test_gradients_are_clipped_as_torch_does() -> None:
    found = {}
    for clip in (None, 0.05):
        ours, theirs = network(), network()
        mine, reference = (torch.optim.SGD(each.parameters(), lr=1.0) for each in (ours, theirs))
        step(ours, mine, 0, clip)
        images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        loss = nn.functional.cross_entropy(theirs(images), torch.arange(8) % 4)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        reference.step()
        assert torch.equal(weights(ours), weights(theirs))
        found[clip] = weights(ours)
    assert not torch.equal(found[None], found[0.05])


def test_gradients_are_unscaled_before_they_are_clipped() -> None:
    """By powers of two, so that scaling rounds nothing."""
    ended = []
    for scaled in (False, True):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scaled)
        off = torch.autocast("cpu", enabled=False)
        images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        task = nn.CrossEntropyLoss()
        Step(model, optimizer, task, off, scaler, clip_grad=0.05)(images, torch.arange(8) % 4)  # type: ignore[arg-type]
        ended.append(weights(model))
    assert torch.equal(*ended)


def test_a_clip_is_signed_when_it_is_set(tiny: TrainSpec) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    assert "clip_grad" not in tiny.signed() and "clip_grad" not in tiny.model_dump()
    clipped = TrainSpec.model_validate(plain | {"clip_grad": 1.0})
    assert clipped.signature != tiny.signature
    assert TrainSpec.model_validate(plain | {"clip_grad": False}).signature == tiny.signature
