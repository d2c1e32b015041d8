from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from classifier.basics.errors import UserError
from classifier.models import checkpoint
from classifier.models.network import build

META = checkpoint.Meta("mobilenetv2", ("a", "b & c", "ä"), 64, [0.1, 0.2, 0.3], [0.5, 0.5, 0.5])


def test_fp16_is_half_the_size_and_comes_back(tmp_path: Path) -> None:
    network = build("mobilenetv2", 3, seed=0)
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, full)
    checkpoint.save(half, checkpoint.to_half(network.state_dict()), META)
    assert half.stat().st_size <= 0.51 * full.stat().st_size
    loaded, meta = checkpoint.load(half)
    assert meta == META
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        original = network.state_dict()[name]
        assert tensor.dtype == original.dtype
        if tensor.is_floating_point():
            assert torch.equal(tensor, original.half().float()), name
        else:
            assert torch.equal(tensor, original)


def test_what_fp16_would_spoil_stays_in_fp32() -> None:
    state = {
        "fine": torch.tensor([1.0, 1e-7, -3.0]),
        "overflows": torch.tensor([1.0, 1e6]),
        "vanishes": torch.tensor([1e-8, 2e-8]),
        "zero": torch.zeros(3),
        "count": torch.tensor(7),
    }
    kinds = {name: tensor.dtype for name, tensor in checkpoint.to_half(state).items()}
    assert kinds == {
        "fine": torch.float16,
        "overflows": torch.float32,
        "vanishes": torch.float32,
        "zero": torch.float16,
        "count": torch.int64,
    }


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    for content in (b"", b"junk" * 100, pickle.dumps({"a": 1})):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.safetensors can't be read as a checkpoint"):
            checkpoint.load(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        checkpoint.load(file)


def test_a_network_that_asks_for_its_version_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    state = checkpoint.to_half(build("mnasnet0_5", 3, seed=0).state_dict())
    checkpoint.save(file, state, replace(META, model="mnasnet0_5"))
    loaded = checkpoint.load(file)[0].state_dict()
    assert all(torch.equal(tensor, state[name].to(tensor.dtype)) for name, tensor in loaded.items())
