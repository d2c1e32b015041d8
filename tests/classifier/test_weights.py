"""What a training starts from: files of weights of any source, and pretrained ones."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file

from classifier.basics.errors import UserError
from classifier.basics.files import content_hash, sha256
from classifier.basics.place import Place
from classifier.basics.settings import Weights
from classifier.config.schedules import Cosine
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.job import Start, train
from classifier.models import checkpoint
from classifier.models.network import build
from classifier.models.trunks import Wish
from classifier.models.weights import load_weights
from classifier.records.record import TrainRecord
from classifier.training.trainer import start_network
from tests.benchmarks.transfer import write_digits

State = dict[str, torch.Tensor]


def library(name: str) -> State:
    """A library's own model, as it names its tensors, with random values that FP16 has too."""
    is_timm = name in ("ghostnet_100", "repvgg_a0")
    made = timm.create_model(name) if is_timm else torchvision.models.get_model(name)
    torch.manual_seed(1)
    return {
        name: torch.rand(tensor.shape).half().float() if tensor.is_floating_point() else tensor + 7
        for name, tensor in made.state_dict().items()
    }


def ours(state: State) -> State:
    """As a checkpoint of this program names mobilenetv2's."""
    heads = {"classifier.1.weight": "head.1.weight", "classifier.1.bias": "head.1.bias"}
    return {heads.get(name, f"trunk.{name}"): tensor for name, tensor in state.items()}


def old_densenet(state: State) -> State:
    """As torchvision's own file has it: `norm.1`."""
    return {re.sub(r"(layer\d+\.(?:norm|conv))(\d)", r"\1.\2", n): t for n, t in state.items()}


def to_half(state: State) -> State:
    return {name: t.half() if t.is_floating_point() else t for name, t in state.items()}


def write(file: Path, state: object) -> Path:
    if file.suffix == ".safetensors":
        assert isinstance(state, dict)
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return file


def same(state: State) -> State:
    return state


def parallel(state: State) -> State:
    return {f"module.{name}": tensor for name, tensor in state.items()}


SOURCES: dict[str, tuple[str, str, Callable[[State], State], str]] = {
    "torchvision": ("mobilenetv2", "mobilenet_v2", same, ".safetensors"),
    "timm": ("ghostnet", "ghostnet_100", same, ".pth"),
    "another name of the last layer": ("RepVGG-A0", "repvgg_a0", same, ".pt"),
    "FP16": ("mobilenetv2", "mobilenet_v2", to_half, ".safetensors"),
    "DataParallel": ("mobilenetv2", "mobilenet_v2", parallel, ".pth"),
    "ours": ("mobilenetv2", "mobilenet_v2", ours, ".safetensors"),
    "ours in DataParallel": ("mobilenetv2", "mobilenet_v2", lambda s: parallel(ours(s)), ".pth"),
    "old names": ("densenet121", "densenet121", old_densenet, ".pth"),
    "a model that asks for its version": ("mnasnet0_5", "mnasnet0_5", same, ".safetensors"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_names_of_any_source_match(source: str, tmp_path: Path) -> None:
    model, name, disguised, suffix = SOURCES[source]
    plain = library(name)
    network = build(model, 5, seed=0)
    before = network.state_dict()["head.1.weight"].clone()
    file = write(tmp_path / f"w{suffix}", disguised(plain))
    said = load_weights(network, file, model)
    for name, tensor in network.trunk.state_dict().items():
        assert torch.equal(tensor, plain[name]) and tensor.dtype == plain[name].dtype, name
    assert torch.equal(network.state_dict()["head.1.weight"], before), "of another size"
    count = len(plain)
    assert f"{count - 2} of {count} tensors loaded into {model}; its head left out, (1000" in said
    assert said.endswith("left: nothing; missing: nothing")


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_state_dict_inside_a_training_state(key: str, tmp_path: Path) -> None:
    given = library("mobilenet_v2")
    network = build("mobilenetv2", 1000, seed=0)
    file = write(tmp_path / "w.pth", {"epoch": 3, key: given})
    assert "314 of 314 tensors loaded" in load_weights(network, file, "mobilenetv2")
    assert torch.equal(network.state_dict()["head.1.weight"], given["classifier.1.weight"]), (
        "the head fits"
    )


def test_what_is_left_and_what_is_missing_is_said(tmp_path: Path) -> None:
    given = {"features.0.0.weight": library("mobilenet_v2")["features.0.0.weight"]}
    given["extra"] = torch.ones(3)
    network = build("mobilenetv2", 5, seed=0)
    said = load_weights(network, write(tmp_path / "w.pth", given), "mobilenetv2")
    assert "1 of 2 tensors loaded" in said
    assert "left: extra; missing: features.0.1.weight, features.0.1.bias" in said
    assert said.endswith("and 258 more")


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.file}",)


def bad_files(folder: Path) -> dict[str, tuple[object, str]]:
    """By name what is in a file, and the error."""
    plain = library("mobilenet_v2")
    infinite = {**plain, "features.0.1.weight": torch.full((32,), torch.inf)}
    resnet = {"layer1.0.conv1.weight": torch.ones(64, 64, 3, 3)}
    code = r"holds more than tensors \(posix.system\), and to read that is to run code"
    return {
        "shape.pth": (
            {**plain, "features.0.0.weight": torch.ones(2, 3, 3, 3)},
            r"does not fit mobilenetv2: size mismatch for trunk.features.0.0.weight: .*\[2, 3, 3, 3\]",
        ),
        "nothing.pth": (
            resnet,
            r"fits mobilenetv2: its names are as 'layer1.0.conv1.weight', the model's as 'features",
        ),
        "head.pth": (
            {n: plain[n] for n in plain if "classifier" in n},
            "nothing in .*head.pth fits",
        ),
        "inf.pth": (infinite, r"inf.pth: features.0.1.weight holds what is not finite"),
        "evil.pth": ({"state_dict": Evil(folder / "ran")}, code),
        "evil.pt": (Evil(folder / "ran"), code),
        "module.pth": (torch.nn.Linear(2, 2), r"holds more than tensors \(torch.nn.modules.linear"),
        "list.pth": ([1, 2], "holds no tensors by name"),
        "numbers.pth": ({"epoch": 3}, "holds no tensors by name"),
    }


def test_a_bad_file_is_one_clear_error(tmp_path: Path) -> None:
    for name, (given, message) in bad_files(tmp_path).items():
        file = write(tmp_path / name, given)
        with pytest.raises(UserError, match=message) as error:
            load_weights(build("mobilenetv2", 5, seed=0), file, "mobilenetv2")
        assert str(file) in str(error.value) and "\n" not in str(error.value)
    for name in ("junk.pth", "junk.safetensors"):
        (tmp_path / name).write_bytes(b"junk" * 9)
        with pytest.raises(
            UserError, match=rf"{name} (is no state dict, or damaged|can't be read)"
        ):
            load_weights(build("mobilenetv2", 5, seed=0), tmp_path / name, "mobilenetv2")
    assert not (tmp_path / "ran").exists(), "no code of a file runs"


def test_a_file_is_known_by_its_content_and_kind(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    file.write_bytes(b"one")
    first = content_hash(file, (".pth",))
    file.write_bytes(b"three")
    assert first != content_hash(file, (".pth",)) == sha256(file)
    (tmp_path / "d.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    for name, message in {
        "none.pth": "is not there",
        "a.bin": "is of no kind that is known here: .pth",
        "d.pth": "is no file",
        "pipe.pth": "is no file",
        f"{'x' * 300}.pth": "can't be read: File name too long",
    }.items():
        with pytest.raises(UserError, match=message):
            content_hash(tmp_path / name, (".pth",))


def known(file: Path) -> Weights:
    return Weights(file=file.name, sha256=sha256(file))


def test_a_file_that_changed_is_refused(tiny: TrainSpec, tmp_path: Path) -> None:
    file = write(tmp_path / "w.pth", library("mobilenet_v2"))
    spec = tiny.model_copy(update={"weights": known(file)})
    write(file, {"other": torch.ones(1)})
    with pytest.raises(UserError, match=r"w\.pth has changed since this job was planned"):
        train(spec, tmp_path / "work", Place(tmp_path), start=Start(weights=file))
    file.unlink()
    with pytest.raises(UserError, match=r"w\.pth has changed since this job was planned"):
        train(spec, tmp_path / "work", Place(tmp_path), start=Start(weights=file))
    assert not (tmp_path / "work").exists()


def test_a_backbone_of_other_classes_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on the digits 0-4, then an epoch on 5-9. tests.benchmarks.transfer does it whole."""
    write_digits(tmp_path / "0-4", range(5), 70)
    write_digits(tmp_path / "5-9", range(5, 10), 70)
    first = TrainSpec(
        data=DataSpec(folder="0-4"),
        model="ghostnet",
        image_size=32,
        batch_size=16,
        epochs=4,
        lr=2e-3,
        schedule=Cosine(t_max=4),
    )
    train(first, tmp_path / "first", Place(tmp_path))
    file = tmp_path / "first" / "train-raw" / "best.safetensors"
    changes = {"data": DataSpec(folder="5-9"), "epochs": 1}
    scratch = first.model_copy(update=changes)
    loaded = scratch.model_copy(update={"weights": known(file)})
    start = start_network(loaded, 5, file).state_dict()
    stored = checkpoint.load(file)[0].state_dict()
    assert all(torch.equal(start[name], stored[name]) for name in stored)
    accuracies = []
    for spec in (scratch, loaded):
        weights = file if spec.weights else None
        (outcome,) = train(
            spec, tmp_path / spec.signature, Place(tmp_path), start=Start(weights=weights)
        )
        assert isinstance(outcome.record, TrainRecord)
        accuracies.append(outcome.record.accuracy)
    assert accuracies[1] > accuracies[0] + 0.2, accuracies
    assert "512 of 512 tensors loaded into ghostnet" in capsys.readouterr().err


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder of downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def pretrained() -> State:
    return dict(build("mobilenetv2", 1000, seed=0, wish=Wish("IMAGENET1K_V1")).trunk.state_dict())


def test_pretrained_weights_are_taken_from_where_they_lie(hub: Path) -> None:
    given = library("mobilenet_v2")
    hub.mkdir(parents=True)
    write(hub / "mobilenet_v2-b0353104.pth", given)
    assert all(torch.equal(tensor, given[name]) for name, tensor in pretrained().items())
    (hub / "mobilenet_v2-b0353104.pth").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"can't be read from .*-b0353104.pth .*: delete it"):
        pretrained()


def test_pretrained_weights_that_cant_be_had(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError) as error:
        pretrained()
    said = str(error.value)
    assert said.startswith(
        f"the pretrained weights of mobilenetv2 can't be had: mobilenet_v2-b0353104.pth is not in {hub}"
    )
    assert "or put the file under the data root and set 'weights: FILE'" in said


def test_timms_weights_that_cant_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # else the library tries for a minute
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        build("ghostnet", 5, seed=0, wish=Wish("in1k"))
    said = str(error.value)
    assert said.startswith(
        "the pretrained weights of ghostnet can't be had: timm/ghostnet_100.in1k/model.safetensors "
        f"is not in {tmp_path} and can't be fetched"
    )
    assert f"copy the folder {tmp_path}/models--timm--ghostnet_100.in1k from a machine" in said


@pytest.mark.parametrize("answer", ["whole", "cut", "other"])
def test_pretrained_weights_from_a_server(
    answer: str, hub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = write(tmp_path / "made.pth", library("mobilenet_v2")).read_bytes()
    name = f"mobilenet_v2-{sha256(tmp_path / 'made.pth')[:8]}.pth"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = {"whole": body, "cut": body[:1000], "other": bytes(len(body))}[answer]
            self.wfile.write(sent)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    source = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(source, "url", f"http://127.0.0.1:{server.server_port}/{name}")
    try:
        if answer == "whole":
            assert pretrained() and (hub / name).exists()
        else:
            with pytest.raises(UserError, match=rf"{name} is not in .* can't be fetched \(invalid"):
                pretrained()
            assert not list(hub.iterdir()), "no half file is kept"
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(hub)
