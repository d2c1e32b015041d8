"""Each promise that the user's code must keep is broken here, and the trial says so in one error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from classifier.basics.errors import UserError
from classifier.config.spec import TrainSpec
from classifier.plugins import load
from classifier.plugins.load import use
from classifier.training import trial
from classifier.training.trial import try_out
from tests.classifier.test_plugin_trainings import MARKS, changed, with_own
from tests.own import setting, written

NET = """\
@model
def net(classes):
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 4
"""


def tried(text: str, tiny: TrainSpec, folder: Path, *names: str) -> None:
    """Try a file's objects of these names, on its own small network."""
    brought = written(folder, MARKS + (NET if "def net" not in text else "") + text)
    use([brought])
    spec = with_own(changed(tiny, batch_size=8), brought, **{name: {} for name in ("net", *names)})
    try_out(spec, 10)


def test_what_keeps_its_promises_passes(tiny: TrainSpec, tmp_path: Path) -> None:
    brought = written(tmp_path)
    use([brought])
    own = ("tiny_net", "my_sam", "my_mixup", "noisy", "my_focal", "flip", "Sign")
    plain = changed(tiny, batch_size=8, class_balance=False)
    spec = with_own(plain, brought, **{name: {} for name in own})
    before = set(threading.enumerate())
    try_out(spec, 10)
    for thread in set(threading.enumerate()) - before:  # a loader's queues end on their own
        thread.join(timeout=30)
        assert not thread.is_alive(), thread.name


LAW = "@trick\nclass t(Act):\n    def __init__(self):\n        self.n = 0\n"
STEPS = LAW + "    def step(self, update, inner):\n        self.n += 1\n"
MOVE = "        with torch.no_grad():\n            for w in update.network.parameters():\n                w.add_({})\n"
AUGMENT = "import os\nimport numpy as np\n{}@augmentation\ndef a(image):\n    return np.roll(image, {}, 0)\n"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            STEPS + MOVE.format("self.n * 1e-3") + "        return inner()\n",
            "t",
            "tricks.py:9: trick 't' goes on from a kept state to other weights than without a stop: state_dict must give all",
        ),
        (
            "import numpy as np\n"
            + STEPS
            + MOVE.format("float(np.random.default_rng().random())")
            + "        return inner()\n",
            "t",
            "tricks.py:10: trick 't' does not repeat under one key: draw from torch's",
        ),
        (
            "SUM = []\n@trick\nclass t(Act):\n    def after_step(self, network, step):\n        if step == 1:\n            SUM.clear()\n"
            + "        SUM.append(step)\n"
            + MOVE.format("sum(SUM) * 1e-3").replace("update.", ""),
            "t",
            "trick 't' goes on from a kept state to other weights than without a stop",
        ),
        (
            STEPS + "        return inner()\n",
            "t",
            "tricks.py:9: trick 't' goes on from a kept state with another 'n' than without a stop: state_dict must give all",
        ),
        (
            "@optimizer\nclass o(torch.optim.SGD):\n    def __init__(self, groups, lr):\n        super().__init__(groups, lr)\n        self.n = 0\n    def step(self, closure=None):\n        self.n += 1\n        super().step()\n",
            "o",
            "optimizer 'o' goes on from a kept state with another 'n'",
        ),
        (
            "@trick\nclass t(Act):\n    def __init__(self, training):\n        training.network.head.register_forward_hook(lambda m, i, out: 2 * out)\n",
            "t",
            "trick 't' makes a network whose answers its checkpoint does not hold",
        ),
        (
            "@trick\nclass t(Act):\n    def __init__(self, training):\n        torch.nn.utils.parametrizations.weight_norm(training.network.head[1])\n",
            "t",
            "trick 't' makes other layers of the network, which its checkpoint can't be read into: Missing key(s) in state_dict: \"head.1.weight\"",
        ),
        (
            NET.replace("nn.Conv2d(3, 4, 3, 2),", "Growing(), nn.Conv2d(3, 4, 3, 2),")
            + "class Growing(torch.nn.Module):\n    n = 0\n    def forward(self, x):\n        self.n += self.training\n        return x * (1 + self.n)\n",
            "net",
            "model 'net' goes on from a kept state to other weights",
        ),
        (
            "@loss\ndef f(logits, targets):\n    import numpy as np\n    return logits.mean() * np.random.default_rng().random()\n",
            "f",
            "tricks.py:9: loss 'f' does not repeat under one key",
        ),
        (
            "@loss\ndef f(logits, targets):\n    return logits.detach().mean()\n",
            "f",
            "loss 'f' gives no gradient: it is not computed from the logits by torch",
        ),
        (
            "@loss\ndef f(logits, targets):\n    return (logits - logits).sqrt().sum()\n",
            "f",
            "loss 'f' has a gradient that is not finite",
        ),
        (
            LAW
            + "    def loss(self, batch, inner):\n        made = inner()\n        return BatchLoss(made.mean + (batch.images.sum() * 0 + batch.network.head[1].bias.sum() * 0).sqrt())\n",
            "t",
            "tricks.py:9: trick 't' in a trial: the loss is nan at step 1 of epoch 0",
        ),
        (
            AUGMENT.format("", "np.random.default_rng().integers(9)"),
            "a",
            "tricks.py:11: augmentation 'a' does not repeat under one key",
        ),
        (
            AUGMENT.format("", "3 * (os.getpid() != PID)").replace(
                "import os\n", "import os\nPID = os.getpid()\n"
            ),
            "a",
            "augmentation 'a' depends on the loader's workers",
        ),
        (AUGMENT.format("", "0)[1:], (0"), "a", "augmentation 'a' made"),
        (
            "@optimizer\ndef o(groups, lr):\n    return torch.optim.SGD(groups, lr=lr, momentum=torch.seed() % 9973 / 1e4)\n",
            "o",
            "optimizer 'o' does not repeat under one key",
        ),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(2,), name='mine', daemon=True).start()\n"
            + LAW,
            "t",
            "leaves a thread running (mine)",
        ),
        (
            LAW
            + "        import threading, time\n        threading.Thread(target=time.sleep, args=(9,), name='mine', daemon=True).start()\n",
            "t",
            "trick 't' leaves a thread running (mine)",
        ),
        (
            "while True:\n    pass\n" + LAW,
            "t",
            "tricks.py:8: it can't be imported: TimeoutError: nothing came of it within 1 s of its trial",
        ),
        (
            LAW + "        while True:\n            pass\n",
            "t",
            "trick 't': TimeoutError: nothing came of it within 1 s of its trial: mend what hangs, or",
        ),
        (
            "raise ValueError('no')\n" + LAW,
            "t",
            "tricks.py:8: it can't be imported: ValueError: no",
        ),
        (
            LAW + "    def state_dict(self):\n        return {'a': set()}\n",
            "t",
            "state_dict holds a set",
        ),
        (
            NET.replace(", 4\n", ", 5\n"),
            "net",
            "model 'net' makes (2, 4) of 2 images; its features must be (2, 5)",
        ),
        (
            NET.replace("    return", "    torch.seed()\n    return"),
            "net",
            "model 'net' does not repeat under one key",
        ),
        (
            NET.replace("nn.Flatten())", "nn.Flatten(), nn.Identity())")
            .replace("    return nn.Sequential", "    made = nn.Sequential")
            .replace(
                ", 4\n",
                "\n    made.register_parameter('idle', nn.Parameter(torch.zeros(1)))\n    return made, 4\n",
            ),
            "net",
            "model 'net' has 1 parameter(s) that no gradient reaches: trunk.idle",
        ),
        (
            NET.replace("nn.Flatten())", "nn.Flatten()).half()"),
            "net",
            "model 'net' in a trial: RuntimeError: ",
        ),
    ],
)
def test_a_broken_promise_is_one_error_with_its_line(
    text: str,
    name: str,
    message: str,
    tiny: TrainSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 1 if "while True" in text else 300)
    with pytest.raises(UserError) as error:
        tried(text, tiny, tmp_path, *([] if name == "net" else [name]))
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "tricks.py") + ":")


BAD = """\
@loss
def f(logits, targets):
    return logits.sum(1)
@trick
class t(Act):
    def loss(self, batch, inner):
        return 1.0
@trick
class good(Act):
    pass
"""


def test_all_that_fail_by_themselves_are_told(tiny: TrainSpec, tmp_path: Path) -> None:
    """A model that fails is told alone: without it nothing else can be tried."""
    with pytest.raises(UserError) as error:
        tried(BAD, tiny, tmp_path, "f", "t", "good")
    first, loss, trick = str(error.value).splitlines()
    assert first == "2 errors:" and "tricks.py:9: loss 'f' gave a tensor of shape" in loss
    assert "tricks.py:12: trick 't': loss must give a BatchLoss, not float" in trick
    with pytest.raises(UserError) as error:
        tried(NET.replace(", 4\n", ", 5\n") + BAD, tiny, tmp_path, "f", "t")
    assert "model 'net' makes (2, 4)" in str(error.value) and "\n" not in str(error.value)


def test_what_fails_only_together_names_all(tiny: TrainSpec, tmp_path: Path) -> None:
    text = """\
def had(training):
        training.network.seen = getattr(training.network, "seen", 0) + 1
        assert training.network.seen < 2, "there are two of us"
@trick
class t(Act):
    def __init__(self, training): had(training)
@trick
class u(Act):
    def __init__(self, training): had(training)
"""
    with pytest.raises(
        UserError, match=r"tricks\.py:\d+: trick 'u': AssertionError: there are two"
    ):
        tried(text, tiny, tmp_path, "t", "u")


NOISE = """\
NOISE = torch.rand(3)
@loss
def f(logits, targets):
    return (logits[:, :3] - NOISE).pow(2).mean()
"""


def test_draws_at_the_top_of_a_file_are_keyed(tiny: TrainSpec, tmp_path: Path) -> None:
    """They are the same in each process, and the file runs in none of them twice."""
    tried(NOISE, tiny, tmp_path, "f")
    brought = written(tmp_path, MARKS + NOISE)
    use([brought])
    seen = []
    for _ in range(2):
        torch.seed()
        load.run_anew()
        module = load.object_of(setting(brought, "f")).__globals__
        assert load.object_of(setting(brought, "f")).__globals__ is module
        seen.append(module["NOISE"])
    assert seen[0] is not seen[1] and torch.equal(*seen)


def test_it_is_tried_as_it_will_run(tiny: TrainSpec, tmp_path: Path) -> None:
    """With the weights of classes, and in parts of a batch."""
    text = (
        "@loss\ndef f(logits, targets, weight):\n"
        "    assert weight is None or len(weight) < 10\n    return logits.pow(2).mean()\n"
        "@trick\nclass t(Act):\n"
        "    def batch(self, images, targets):\n        self.n = len(images)\n        return images, targets\n"
        "    def loss(self, batch, inner):\n        assert len(batch.images) == self.n\n        return inner()\n"
    )
    tried(text, tiny, tmp_path, "f", "t")
    with pytest.raises(UserError, match=r"loss 'f': AssertionError"):
        tried(text, changed(tiny, class_balance=True), tmp_path, "f")
    with pytest.raises(UserError, match=r"trick 't': AssertionError"):
        tried(text, changed(tiny, micro_batch=4), tmp_path, "t")
