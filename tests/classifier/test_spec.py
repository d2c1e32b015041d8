from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from classifier.basics.settings import Weights
from classifier.config.spec import BenchmarkSpec, EvaluateSpec, Spec, TrainSpec
from classifier.config.tracks import RAW, track_of
from classifier.data.spec import DataSpec
from classifier.tricks.distillation import Distill
from classifier.tricks.ema import Ema

KINDS: dict[str, type[Spec]] = {
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "benchmark": BenchmarkSpec,
}
STORED = json.loads((Path(__file__).parent / "signatures.json").read_text())


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored["signature"])
def test_stored_signatures_still_hold(stored: dict[str, Any]) -> None:
    """A record lies under its signature. If this fails, raise SCHEMA or mark the field NEUTRAL."""
    settings = dict(stored["spec"])
    if isinstance(settings.get("training"), str):  # of a training that never was: another's name
        training = TrainSpec.model_validate_json(json.dumps(STORED[0]["spec"]))
        training.__dict__["signature"] = settings["training"]
        assert EvaluateSpec(**{**settings, "training": training}).signature == stored["signature"]
        return
    text = json.dumps(settings)
    assert KINDS[str(stored["kind"])].model_validate_json(text).signature == stored["signature"]


def test_a_spec_survives_its_own_json() -> None:
    spec = TrainSpec.model_validate(
        {"data": DataSpec(name="digits"), "model": "ghostnet", "pretrained": True, "rdrop": True}
    )
    again = TrainSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.signature == spec.signature


def test_a_changed_copy_has_a_signature_of_its_own(tiny: TrainSpec) -> None:
    kept = tiny.signature
    changed = tiny.model_copy(update={"seed": 7})
    assert changed.signature == TrainSpec.model_validate(changed.model_dump()).signature != kept
    assert tiny.signature == kept


def test_pretrained_true_means_the_weights_by_name() -> None:
    data = DataSpec(name="digits")
    asked = TrainSpec.model_validate({"data": data, "model": "resnext50", "pretrained": True})
    named = TrainSpec(data=data, model="resnext50", pretrained="IMAGENET1K_V1")
    assert asked == named


def test_neutral_fields_are_unsigned_at_their_default() -> None:
    plain, limited = DataSpec(name="digits"), DataSpec(name="digits", limit=3)
    assert "limit" not in plain.signed()
    assert limited.signed()["limit"] == 3
    assert "on_bad_image" not in plain.signed()


def test_weights_are_signed_by_their_content_alone(tiny: TrainSpec) -> None:
    plain = {name: getattr(tiny, name) for name in TrainSpec.model_fields}
    made = [
        TrainSpec.model_validate({**plain, "weights": {"file": file, "sha256": digit * 64}})
        for file, digit in (("a.pth", "0"), ("b/c.pt", "0"), ("a.pth", "1"))
    ]
    assert made[0].signature == made[1].signature
    assert len({tiny.signature, made[0].signature, made[2].signature}) == 3
    assert TrainSpec.model_validate_json(made[1].model_dump_json()) == made[1]
    with pytest.raises(ValidationError, match="'weights' stand in place of 'pretrained'"):
        TrainSpec.model_validate({**plain, "weights": made[0].weights, "pretrained": "default"})


def test_a_teachers_file_is_signed_by_its_content_alone(tiny: TrainSpec) -> None:
    def taught(teacher: str | Weights) -> str:
        distill = Distill(method="at", teacher=teacher)
        return tiny.model_copy(update={"distill": distill}).signature

    file = Weights(file="a.safetensors", sha256="0" * 64)
    moved = file.model_copy(update={"file": "b.safetensors"})
    other = file.model_copy(update={"sha256": "1" * 64})
    assert taught(file) == taught(moved)
    assert len({taught(file), taught(other), taught("0" * 12)}) == 3


def test_every_setting_changes_the_signature(tiny: TrainSpec) -> None:
    changed = {
        "seed": 1,
        "lr": 2e-3,
        "amp": True,
        "rdrop": {"weight": 0.3},
        "warmup": {"ratio": 0.1},
        "optimizer": {"name": "adamw", "weight_decay": 0.0},
        "data": DataSpec(name="digits", limit=11),
    }
    plain = tiny.model_dump()
    plain["data"] = tiny.data
    signatures = {tiny.signature} | {
        TrainSpec.model_validate({**plain, name: value}).signature
        for name, value in changed.items()
    }
    assert len(signatures) == len(changed) + 1


def test_types_are_strict() -> None:
    for bad in ({"epochs": "3"}, {"epochs": True}, {"lr": "1e-4"}, {"amp": 1}, {"epoch": 3}):
        with pytest.raises(ValidationError):
            TrainSpec.model_validate({"data": DataSpec(name="digits"), "model": "x", **bad})


@pytest.mark.parametrize("folder", ["../x", "a/b", "..", ".", "/etc", "a\nb", "a\0b", ""])
def test_a_data_folder_stays_under_the_root(folder: str) -> None:
    with pytest.raises(ValidationError):
        DataSpec(folder=folder)


def test_tracks_have_names_for_folders() -> None:
    assert RAW.key == "raw"
    assert Ema().key == "ema-0.9999-2000"
    assert Ema(decay=0.99, tau=50.5).key == "ema-0.99-50.5"
    assert Ema(every=32).key == "ema-0.9999-2000-32"
    for track in (RAW, Ema(), Ema(decay=0.99, tau=50.5), Ema(decay=0.5, tau=1e-7), Ema(every=7)):
        assert track_of(track.key) == track
    for name in ("", "ema", "ema-2-1", "ema-0.99-50.50", "ema-0.5-1-1", "ema-0.5-1-0", "raw-1"):
        with pytest.raises(ValueError, match="is no track"):
            track_of(name)
