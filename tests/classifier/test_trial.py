"""Each promise that the user's code must keep is broken here, and the trial says so in one error."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from classifier.basics.errors import UserError
from classifier.config.spec import TrainSpec
from classifier.plugins.load import use
from classifier.training import trial
from classifier.training.trial import try_out
from tests.classifier.test_plugin_trainings import MARKS, changed, with_own
from tests.own import written

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
            "model 'net' or trick 't' in a trial: the loss is nan at step 1 of epoch 0",
        ),
        (
            AUGMENT.format("", "np.random.default_rng().integers(9)"),
            "a",
            "tricks.py:11: augmentation 'a' does not repeat under one key",
        ),
        (
            AUGMENT.format("", "os.getppid() % 7 + (os.getpid() != PID)").replace(
                "import os\n", "import os\nPID = os.getpid()\n"
            ),
            "a",
            "augmentation 'a' depends on the loader's workers",
        ),
        (AUGMENT.format("", "0)[1:], (0"), "a", "augmentation 'a' made"),
        (
            "@optimizer\ndef o(groups, lr):\n    return torch.optim.SGD(groups, lr=lr, momentum=torch.seed() % 9 / 10)\n",
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
