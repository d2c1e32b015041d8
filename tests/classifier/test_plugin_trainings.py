"""Trainings with code of the user's: as the built-in ones, bit for bit; resumed; and what it owes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.place import Place
from classifier.config.spec import EvaluateSpec, TrainSpec
from classifier.config.tracks import RAW
from classifier.job import Start, evaluate, train
from classifier.plugins import load
from classifier.plugins.brought import Brought, bring
from classifier.plugins.load import use
from classifier.plugins.spec import UserLoss
from classifier.records.record import TrainRecord
from classifier.tricks.ema import Ema
from experiments.execution.engines import child
from tests.classifier.test_plugin_files import READS
from tests.own import HELPERS, TRICKS, setting, written

MARKS = "import torch\nfrom classifier.plugins import *\n".replace(
    "*", "Act, BatchLoss, augmentation, loss, model, optimizer, trick"
)


def with_own(spec: TrainSpec, brought: Brought, **own: dict[str, Any]) -> TrainSpec:
    """A training with objects of the user's, by name, with their settings."""
    settings: dict[str, Any] = {n: getattr(spec, n) for n in TrainSpec.model_fields}
    tricks = []
    for name, given in own.items():
        plugin = setting(brought, name, **given)
        if plugin.kind == "trick":
            tricks.append(plugin)
        else:
            settings[plugin.under] = name if plugin.kind == "model" else plugin
            settings |= {"own_model": plugin} if plugin.kind == "model" else {}
    return TrainSpec.model_validate(settings | {"own_tricks": tuple(tricks)})


def changed(spec: TrainSpec, **settings: Any) -> TrainSpec:
    plain = {name: getattr(spec, name) for name in TrainSpec.model_fields}
    return TrainSpec.model_validate(plain | settings)


def result(spec: TrainSpec, folder: Path, brought: Brought, **place: Any) -> tuple[Any, ...]:
    """All that a training gives: history, weights, and predictions of val."""
    at = Place(folder, plugins=(brought,), **place)
    (trained,) = train(spec, folder, at)
    weights = folder / "train-raw" / "best.safetensors"
    wanted, data = EvaluateSpec.of(spec, RAW, split="val"), trained.record.data.fingerprint
    looked = evaluate(wanted, folder, at, weights, data).record
    predictions = np.load(folder / looked.unit / "predictions.npz")
    record = trained.record
    return (record.history, weights.read_bytes(), predictions["logits"].tobytes(), looked.loss)


@pytest.mark.parametrize(
    ("built_in", "own"),
    [
        ({"sam": {"rho": 0.1}}, {"my_sam": {"rho": 0.1}}),
        ({"mixing": {"alpha": 0.5}}, {"my_mixup": {"alpha": 0.5}}),
        ({"loss": {"name": "focal", "gamma": 1.5}}, {"my_focal": {"gamma": 1.5}}),
        (
            {"loss": "focal", "class_balance": True, "sam": True, "mixing": "mixup"},
            {"my_focal": {}, "my_mixup": {}, "my_sam": {}},
        ),
        ({"optimizer": {"name": "sgd", "momentum": 0.8}}, {"plain": {"momentum": 0.8}}),
        ({"rdrop": True, "sam": True, "micro_batch": 8}, {"my_sam": {}}),
    ],
    ids=lambda settings: "+".join(settings),
)
def test_the_built_in_ones_as_a_user_writes_them_are_the_same_bit_for_bit(
    built_in: dict[str, Any], own: dict[str, Any], tiny: TrainSpec, tmp_path: Path
) -> None:
    brought = written(tmp_path)
    shared = {"epochs": 2, "batch_size": 13}
    expected = changed(tiny, **shared, **built_in)
    beside = {
        name: built_in[name]
        for name in ("class_balance", "micro_batch", "rdrop")
        if name in built_in
    }
    spec = with_own(changed(tiny, **shared, **beside), brought, **own)
    assert spec.signature != expected.signature
    (tmp_path / "own").mkdir()
    assert result(spec, tmp_path / "own", brought) == result(expected, tmp_path, brought)


def everything(tiny: TrainSpec, brought: Brought) -> TrainSpec:
    """All kinds in one training, with a state, and draws from torch, NumPy and `random`."""
    own: dict[str, dict[str, Any]] = {
        "tiny_net": {},
        "noisy": {},
        "my_mixup": {},
        "my_focal": {},
        "Sign": {},
    }
    return with_own(changed(tiny, epochs=3, batch_size=13), brought, **own, flip={"how": "random"})


@pytest.mark.parametrize("how", ["numpy", "random", "torch"])
def test_draws_are_keyed_and_workers_change_nothing(
    how: str, tiny: TrainSpec, tmp_path: Path
) -> None:
    brought = written(tmp_path)
    spec = with_own(changed(tiny, epochs=1), brought, tiny_net={}, flip={"how": how}, noisy={})
    results: list[tuple[Any, ...]] = []
    for name, workers in {"a": 0, "b": 0, "c": 2}.items():
        np.random.seed(len(results))
        (tmp_path / name).mkdir()
        results.append(result(spec, tmp_path / name, brought, workers=workers))
    assert results[0] == results[1] == results[2]
    other = changed(spec, seed=7)
    (tmp_path / "d").mkdir()
    assert result(other, tmp_path / "d", brought) != results[0]


def test_what_is_kept_beside_a_record_says_what_ran(tiny: TrainSpec, tmp_path: Path) -> None:
    brought = written(tmp_path)
    spec = with_own(changed(tiny, epochs=1), brought, my_sam={}, tiny_net={"width": 4})
    (trained,) = train(spec, tmp_path / "out", Place(tmp_path, plugins=(brought,)))
    assert isinstance(trained.record, TrainRecord)
    again = TrainRecord.model_validate_json(trained.record.model_dump_json())
    assert again == trained.record and again.spec.signature == spec.signature
    kept = tmp_path / "out" / "train-raw" / "plugins"
    assert (kept / "tricks.py").read_text() == TRICKS
    assert (kept / "helpers.py").read_text() == HELPERS
    assert {"numpy", "torch", "torchvision"} <= set(trained.record.environment.versions)
    assert trained.record.parameters == 3 * 4 * 9 + 4 + 4 * 2 + 4 * 10 + 10


def _child(folder: Path, spec: TrainSpec, brought: Brought) -> None:
    torch.set_num_threads(1)
    result(spec, folder, brought, checkpoint_minutes=0.0)
    (folder / "finished").touch()


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_with_a_stateful_trick_and_optimizer_it_goes_on_bit_for_bit(
    kills: int, tiny: TrainSpec, tmp_path: Path
) -> None:
    brought = written(tmp_path)
    spec = everything(tiny, brought)
    (tmp_path / "whole").mkdir()
    expected = result(spec, tmp_path / "whole", brought)
    folder, killed, survivors = tmp_path / "run", 0, 0
    draw = np.random.default_rng(3)
    while killed < kills or not survivors:
        folder.mkdir(exist_ok=True)
        before = {file.name for file in folder.glob("state-*.pt")}
        wanted = int(draw.integers(1, 3))
        process = child.context().Process(target=_child, args=(folder, spec, brought))
        process.start()
        while process.exitcode is None and (
            killed >= kills or len({f.name for f in folder.glob("state-*.pt")} - before) < wanted
        ):
            time.sleep(0.001)
        process.kill()
        process.join()
        if (folder / "finished").exists():
            assert result(spec, folder, brought) == expected
            survivors += 1
            folder = tmp_path / f"run{survivors}"
        else:
            killed += 1


def test_a_state_is_kept_and_restored(tiny: TrainSpec, tmp_path: Path) -> None:
    """Without its `state_dict` the same training resumes to something else: it counts."""
    brought = written(tmp_path)
    forgetting = "    def state_dict(self):\n        return {}\n\n    def load_state_dict(self, state):\n        pass\n"
    kept = TRICKS[TRICKS.index("    def state_dict") : TRICKS.index("@loss\ndef my_focal")]
    for text, same in ((TRICKS, True), (TRICKS.replace(kept, forgetting + "\n\n"), False)):
        folder = tmp_path / str(same)
        folder.mkdir()
        brought = written(folder, text)
        spec = everything(tiny, brought)
        asked = iter([False] * 7 + [True])
        with pytest.raises(StoppedError):
            train(spec, folder, Place(folder, plugins=(brought,), stop=partial(next, asked)))
        resumed = result(spec, folder, brought)
        (folder / "whole").mkdir()
        assert (resumed == result(spec, folder / "whole", brought)) is same


CURRICULUM = """\
SEEN = []


@trick
class t(Act):
    def __init__(self, training, *, weight: float = 0.5):
        self.training, self.weight = training, weight
        self._saw("begin")

    def _saw(self, place):
        SEEN.append((self.training.step, place))

    def batch(self, images, targets):
        self._saw("batch")
        return images * (1 + self.training.step / self.training.steps), targets

    def loss(self, batch, inner):
        self._saw("loss")
        found = inner()
        share = self.training.step / self.training.steps
        return BatchLoss(found.mean * (1 + self.weight * share), found.total)

    def step(self, update, inner):
        self._saw("step")
        return inner()

    def after_step(self, network, step):
        self._saw("after_step")
        assert step == self.training.step and self.training.steps == 15
"""


@pytest.mark.parametrize(
    ("settings", "losses"),
    [({}, 1), ({"micro_batch": 4}, 4), ({"rdrop": True}, 1), ({"sam": True}, 2)],
    ids=str,
)
def test_a_curriculum_knows_its_step_everywhere_and_goes_on_from_it(
    settings: dict[str, Any], losses: int, tiny: TrainSpec, tmp_path: Path
) -> None:
    """60 images in batches of 13, of which the last has 8, for three epochs."""
    brought = written(tmp_path, MARKS + CURRICULUM)
    spec = with_own(changed(tiny, batch_size=13, **settings), brought, t={})
    use([brought])
    seen = load.object_of(spec.own_tricks[0]).__init__.__globals__["SEEN"]
    asked = iter([False] * 7 + [True])
    with pytest.raises(StoppedError):
        train(spec, tmp_path, Place(tmp_path, plugins=(brought,), stop=partial(next, asked)))
    stopped = max(step for step, _ in seen)
    assert 6 < stopped < 15 and seen[0] == (0, "begin")
    resumed = result(spec, tmp_path, brought)
    each = {
        step: [place for at, place in seen if at == step and place != "begin"]
        for step in range(1, 16)
    }
    for step, places in each.items():
        parts = 2 if losses == 4 and step % 5 == 0 else 3 if losses == 4 else losses
        assert places == ["batch", "step", *["loss"] * parts, "after_step"], step
    (tmp_path / "whole").mkdir()
    assert result(spec, tmp_path / "whole", brought) == resumed
    other = with_own(changed(tiny, batch_size=13, **settings), brought, t={"weight": 0.25})
    (tmp_path / "other").mkdir()
    assert result(other, tmp_path / "other", brought) != resumed


REPORT = """\
@trick
class t(Act):
    def __init__(self):
        self.sum, self.n = torch.zeros(()), 0

    def step(self, update, inner):
        loss = inner()
        self.sum, self.n = self.sum + loss * (8 if self.n == 52 else 13), self.n + (8 if self.n == 52 else 13)
        return loss

    def report(self):
        told = {"loss": self.sum / self.n, "images": self.n, "odd": float("nan"), "draw": torch.rand(())}
        self.sum, self.n = torch.zeros(()), 0
        return told

    def state_dict(self):
        return {"sum": self.sum, "n": self.n}

    def load_state_dict(self, state):
        self.sum, self.n = state["sum"], state["n"]
"""


def test_what_a_trick_reports_stands_in_the_history(tiny: TrainSpec, tmp_path: Path) -> None:
    """And is the same after a stop; a training without one has none, as ever."""
    brought = written(tmp_path, MARKS + REPORT)
    plain = changed(tiny, batch_size=13)
    spec = with_own(plain, brought, t={})
    at = Place(tmp_path, plugins=(brought,))
    trained = train(spec, tmp_path / "whole", at, tracks=(RAW, Ema(decay=0.9, tau=3.0)))
    record = trained[0].record
    for row in record.history:
        told = row.reports["t"]
        assert told["loss"] == pytest.approx(row.train_loss, rel=1e-5)
        assert told["images"] == 60 and told["odd"] is None
    assert len({row.reports["t"]["draw"] for row in record.history}) == 3
    assert [row.reports for row in trained[1].record.history] == [
        row.reports for row in record.history
    ]
    assert TrainRecord.model_validate_json(record.model_dump_json()) == record
    asked = iter([False] * 6 + [True])
    with pytest.raises(StoppedError):
        train(spec, tmp_path, replace(at, stop=partial(next, asked)))
    assert train(spec, tmp_path, at)[0].record.history == record.history
    (without,) = train(plain, tmp_path / "plain", at)
    assert "reports" not in without.record.model_dump_json()
    assert [row.val_loss for row in without.record.history] == [
        row.val_loss for row in record.history
    ]


STEP = "@trick\nclass t(Act):\n    def step(self, update, inner):\n        {}\n"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (STEP.format("return update.gradients()"), "t", "tricks.py:4: trick 't': its step did not call inner, so it takes the step over: say @trick(takes_over=['step'])"),
        (STEP.format("inner()"), "t", "tricks.py:4: trick 't': step must give the batch's loss, not NoneType"),
        (STEP.format("return inner() + torch.ones(2, 3) @ torch.ones(2)"), "t", "tricks.py:6: trick 't': RuntimeError: "),
        ("@trick\nclass t(Act):\n    def loss(self, batch, inner):\n        return 1.0\n", "t", "trick 't': loss must give a BatchLoss, not float"),
        ("@trick\nclass t(Act):\n    def batch(self, images, targets):\n        return images[1:], targets\n", "t", "trick 't': batch must give images and their targets, as many of each"),
        ("@trick\nclass t(Act):\n    def state_dict(self):\n        return {'a': [torch]}\n", "t", "trick 't': state_dict holds a module; it can hold containers, numbers, text and tensors"),
        ("@trick\nclass t(Act):\n    def __init__(self):\n        self.layers = [torch.nn.Linear(1, 1)]\n", "t", "tricks.py:4: trick 't': layers must be one torch.nn.Module (several are a torch.nn.ModuleList), not list"),
        ("@trick\nclass t(Act):\n    layers = torch.ones(2)\n", "t", "tricks.py:4: trick 't': layers must be one torch.nn.Module (several are a torch.nn.ModuleList), not Tensor"),
        ("@trick\nclass t(Act):\n    def after_step(self, network, step):\n        self.layers = torch.nn.Linear(1, 1)\n", "t", "tricks.py:4: trick 't': layers must be made in __init__, and be the same ever after"),
        ("@trick\nclass t(Act):\n    def report(self):\n        return {'a': 'much'}\n", "t", "tricks.py:4: trick 't': report must give numbers by name, not {'a': 'much'}"),
        ("@trick\nclass t(Act):\n    def report(self):\n        return torch.ones(2)\n", "t", "tricks.py:4: trick 't': report must give numbers by name, not tensor([1., 1.])"),
        ("@trick\nclass t(Act):\n    def report(self):\n        return {1: 2}\n", "t", "tricks.py:4: trick 't': report must give numbers by name, not {1: 2}"),
        ("@trick\nclass t:\n    pass\n", "t", "tricks.py:4: trick 't' must be a class of classifier.plugins.Act"),
        ("@loss\ndef f(logits, targets):\n    return logits.sum(1)\n", "f", "tricks.py:4: loss 'f' gave a tensor of shape (13,): a loss is one number, the mean over the batch"),
        ("@loss\ndef f(logits, targets):\n    return 1.0\n", "f", "tricks.py:4: loss 'f' gave float"),
        ("@loss\ndef f(logits, targets):\n    return logits.sum() * float('nan')\n", "f", "the loss is nan at step 0 of epoch 0 (f)"),
        ("@loss\ndef f(logits, targets):\n    raise SystemExit('no')\n", "f", "tricks.py:5: loss 'f': SystemExit: no"),
        ("@augmentation\ndef f(image):\n    return image[1:]\n", "f", "tricks.py:4: augmentation 'f' made uint8 (31, 32, 3) of uint8 (32, 32, 3)"),
        ("@augmentation\ndef f(image):\n    return image / 2\n", "f", "tricks.py:4: augmentation 'f' made float64 (32, 32, 3)"),
        ("@model\ndef f(classes):\n    return torch.nn.Identity()\n", "f", "tricks.py:4: model 'f' must give (trunk, features)"),
        ("@optimizer\ndef f(groups, lr):\n    return 3\n", "f", "tricks.py:4: optimizer 'f' must give a torch.optim.Optimizer, not int"),
        ("@loss\ndef f(logits, targets): ...\n1 / 0\n", "f", "tricks.py:5: it can't be imported: ZeroDivisionError: division by zero"),
        ("@loss\ndef f(logits, targets): ...\nimport helpers.more\n", "f", "tricks.py:5: it can't be imported: ModuleNotFoundError: No module named 'helpers.more'; 'helpers' beside it is no package"),
        ("@loss\ndef f(logits, targets): ...\nimport nothing_like_it\n", "f", "tricks.py:5: it can't be imported: ModuleNotFoundError: No module named 'nothing_like_it'"),
    ],
)  # fmt: skip
def test_what_code_of_the_users_owes_is_one_error_with_its_line(
    text: str, name: str, message: str, tiny: TrainSpec, tmp_path: Path
) -> None:
    brought = written(tmp_path, MARKS + text)
    spec = with_own(changed(tiny, batch_size=13, epochs=1), brought, **{name: {}})
    asked = iter([False] + [True] * 99)
    with pytest.raises(UserError) as error:
        train(
            spec,
            tmp_path,
            Place(tmp_path, plugins=(brought,), stop=lambda: next(asked) and "state" in text),
        )
    assert message in str(error.value)


def test_only_what_was_planned_runs(tiny: TrainSpec, tmp_path: Path) -> None:
    """The file may change, or go, after that; another text is not taken for it."""
    brought = written(tmp_path)
    spec = with_own(changed(tiny, epochs=1), brought, my_focal={})
    (tmp_path / "tricks.py").write_text("raise SystemExit")
    train(spec, tmp_path / "one", Place(tmp_path, plugins=(brought,)))
    edited = written(tmp_path, TRICKS.replace("** gamma", "** (gamma + 1)"))
    digest = edited.declared["my_focal"].digest
    assert digest != spec.loss.model_dump()["digest"]
    unknown = with_own(spec, edited, my_focal={"gamma": 3.0})
    with pytest.raises(UserError, match=r"loss 'my_focal' is of tricks.py, which is not at hand"):
        train(unknown, tmp_path / "two", Place(tmp_path, plugins=(brought,)))


def test_it_goes_with_what_it_can_be_combined_with_only(tiny: TrainSpec, tmp_path: Path) -> None:
    brought = written(tmp_path)
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other", MARKS + "@loss\ndef plain_loss(a, b): ...\n")
    cases: list[tuple[Callable[[], TrainSpec], str]] = [
        (lambda: with_own(changed(tiny, sam=True), brought, my_sam={}), "'sam' and 'my_sam' each take over the step"),
        (lambda: with_own(changed(tiny, mixing="cutmix"), brought, my_mixup={}), "'my_mixup' and 'mixing' can't be combined"),
        (lambda: changed(with_own(tiny, brought, my_focal={}), class_balance=True, micro_batch=4), "'micro_batch' can't be combined with 'class_balance' of loss 'my_focal'"),
        (lambda: changed(with_own(tiny, other, plain_loss={}), class_balance=True), "loss 'plain_loss' takes no class weights"),
        (lambda: with_own(changed(tiny, pretrained=True), brought, tiny_net={}), "model 'tiny_net' is your own, and has no 'pretrained' weights"),
    ]  # fmt: skip
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()


def test_files_below_the_matrix_find_what_lies_beside_them(tiny: TrainSpec, tmp_path: Path) -> None:
    """Two folders, each with a module of one name; a circle of imports; a dataclass."""
    for folder, factor in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "factors.py").write_text(f"import {folder}loss\nFACTOR = {factor}\n")
        (tmp_path / folder / f"{folder}loss.py").write_text(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "import factors as here\n"
            "from classifier.plugins import loss\n"
            "@dataclass\nclass By:\n    factor: float\n"
            f"@loss\ndef {folder}_loss(logits, targets):\n"
            "    by = By(here.FACTOR)\n"
            "    return by.factor * logits.pow(2).mean()\n"
        )
    brought = bring(tmp_path, ["a/aloss.py", "b/bloss.py"])
    assert len(brought.texts) == 4
    use([brought])
    logits = torch.ones(2, 10)
    for name, expected in (("a_loss", 1.0), ("b_loss", 2.0)):
        made = UserLoss.model_validate(setting(brought, name)).make()
        assert float(made(logits, torch.tensor([0, 1]))) == expected


def test_an_average_rides_along_and_changes_nothing(tiny: TrainSpec, tmp_path: Path) -> None:
    brought = written(tmp_path)
    spec = changed(everything(tiny, brought), epochs=1)
    at = Place(tmp_path, plugins=(brought,))
    alone = train(spec, tmp_path / "alone", at)
    both = train(spec, tmp_path / "both", at, tracks=(RAW, Ema(decay=0.9, tau=3.0)))
    assert alone[0].record == both[0].record
    assert both[1].record.checkpoint != both[0].record.checkpoint


def test_a_model_of_the_users_may_teach(tiny: TrainSpec, tmp_path: Path) -> None:
    """Its checkpoint says what makes it; without its code that is one error."""
    net = "@model\ndef net(classes):\n    from torch import nn\n    layers = []\n"
    net += "    for i in (3, 4, 4):\n        layers += [nn.Conv2d(i, 4, 3, 2, 1), nn.ReLU()]\n"
    net += "    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4\n"
    brought = written(tmp_path, MARKS + net)
    at = Place(tmp_path, plugins=(brought,))
    small = changed(tiny, epochs=1, batch_size=13)
    spec = with_own(small, brought, net={})
    train(spec, tmp_path / "teacher", at)
    start = Start(teacher=tmp_path / "teacher" / "train-raw" / "best.safetensors")
    settings = {"distill": {"method": "soft_target", "teacher": spec.signature}}
    (taught,) = train(changed(small, **settings), tmp_path / "taught", at, start=start)
    assert taught.record.history[0].train_loss > 0
    monkeyed = dict(load._known)
    load._known.clear()
    try:
        with pytest.raises(UserError, match=r"model 'net' is of tricks\.py, which is not at hand"):
            train(changed(small, **settings), tmp_path / "no", Place(tmp_path), start=start)
    finally:
        load._known.update(monkeyed)


def test_data_that_changed_after_planning_are_refused(tiny: TrainSpec, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "table.csv").write_text("2")
    (tmp_path / "more" / "table.csv").write_text("3")
    use([brought := written(tmp_path, READS)])
    loss = UserLoss.model_validate(setting(brought, "f"))
    assert float(loss.make()(torch.ones(2, 3), torch.tensor([0, 1]))) == 2.0
    (tmp_path / "table.csv").write_text("4")
    use([brought := written(tmp_path, READS)])
    loss = UserLoss.model_validate(setting(brought, "f"))
    (tmp_path / "table.csv").write_text("5")
    with pytest.raises(UserError, match=r"table\.csv has changed since this job was planned"):
        loss.make()
