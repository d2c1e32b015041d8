"""The JSON Schema of a matrix: what it says of a file is what the loader says, as far as it can."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from pydantic import ConfigDict, Field

import runner
from classifier.basics.docstrings import of_fields
from classifier.basics.errors import UserError
from classifier.basics.settings import Settings
from classifier.config.document import Document
from experiments.matrix import json_schema, settings_table
from experiments.matrix.load import load
from tests.experiments.matrices import Matrix, matrices, mutated
from tests.experiments.test_bad_input import CASES, GOOD

ROOT = Path(__file__).parents[2]
FILE = ROOT / "experiments" / "matrix.schema.json"
WRITTEN = sorted([*ROOT.glob("experiments/*.yaml"), *ROOT.glob("examples/*.yaml")])

ONLY_THE_LOADER = {
    "what does not go together": (
        r"leave .+ out|leave out|can't be combined|stands? in place|is given twice|takes? no "
        r"|gets no verdict|has no interval|does nothing where|is for (a |mixing|metric|split|'|data)"
        r"|are for (data|a )|is of the training|is a share of the image|must be smaller|must be below"
        r"|looked at as a whole|cut test parts|draws a split|chooses (images|parts)|compare files|part of '.*set one"
        r"|split 'given' with 'labels'|either 'name' |keeps no predictions|: for data that are split"
        r"|is a part of|nesterov needs|while training: no|a range from|teaches the trunk"
    ),
    "what another place should have given": (
        r"is missing|needs a 'name'|no 'model'|a column needs 'split'|needs every axis"
    ),
    "a number that is not finite": r"finite number|must be a number, not 'NaN'",
    "what a recipe would have to set, to be taken back or kept": r", not '(null|true|None)'|fields from",
    "names of the libraries and of the Hub": (
        r"unknown model|names weights behind its dot|no name on the hub|can't be used: |takes no images"
        r"|built for its training's|model '[^']*' has no '|albumentations|OWNER/NAME|no RandAugment of"
        r"|can't be a revision"
    ),
    "what is in other files": (
        r"is not there|: data/|is of no kind|lies under the data root|a file under the data root|file's name"
        r"|the published figures|image\(s\)|Hugging Face Hub|no regular expression|trainings"
    ),
    "what cells select": (
        r"selects (nothing|\d)|is not an axis|has no value|has a value twice|excludes nothing|no cell "
        r"|no other (row|column)|no baseline|is hidden|would be compared|no column of this table"
        r"|'.*' is \w+, and this is|the teacher is trained on other data|table's name"
    ),
}  # fmt: skip
"""Kinds of errors, with what their messages say."""


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(json_schema.document())


def marked(file: Path) -> list[str]:
    """The places that the schema marks, as `train.lr`."""
    errors = validator().iter_errors(Document(file).data)
    return sorted(".".join(map(str, error.absolute_path)) for error in errors)


def told(file: Path) -> str | None:
    """What the loader says is wrong."""
    try:
        load(file, data_root=file.parent / "data")
    except UserError as error:
        return str(error)
    return None


def only_the_loader_finds(message: str) -> bool:
    return any(re.search(kind, message) for kind in ONLY_THE_LOADER.values())


def test_the_file_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: python runner.py --schema > experiments/matrix.schema.json"""
    assert runner.main(["--schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == FILE.read_text()
    assert json.loads(printed) == json_schema.document()
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


def test_the_page_of_settings_is_what_the_models_say() -> None:
    """If this fails: python -m experiments.matrix.settings_table docs/matrix.md"""
    page = (ROOT / "docs" / "matrix.md").read_text()
    assert settings_table.put_into(page) == page
    assert "| `layer_decay` | a number above 0 to 1 or `false` | `false` | A layer's " in page
    assert "| `repeats` | an integer from 1 to 100 | `1` | Repeated augmentation: each " in page


class Documented(Settings):
    """For pydantic's own reading of docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    first: int = 1
    """One line."""
    bare: int = 2
    longer: tuple[int, ...] = Field((), max_length=3)
    """Two lines, of which
    the second is indented."""


class Derived(Documented):
    bare: int = 3
    """Told here."""


def test_docstrings_are_those_that_pydantic_reads() -> None:
    for kind in (Documented, Derived):
        fields = kind.model_fields.items()
        by_pydantic = {name: field.description for name, field in fields if field.description}
        assert of_fields(kind) == {n: " ".join(of.split()) for n, of in by_pydantic.items()}


@pytest.mark.parametrize("matrix", WRITTEN, ids=lambda path: path.name)
def test_each_matrix_names_it_and_holds(matrix: Path) -> None:
    first = matrix.read_text().partition("\n")[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None and (matrix.parent / named[1]).resolve() == FILE
    assert marked(matrix) == []


SHORT = [
    *("ema: true", "ema: false", "ema: null", "ema: {decay: 0.9}", "ema.decay: 0.9"),
    *("loss: bce", "loss: {label_smoothing: 0.0}", "loss: {name: focal, gamma: 1}"),
    *("loss.label_smoothing: 0.2", "loss.name: poly", "rdrop.weight: 1", "sam: true"),
    *("mixing: mixup", "mixing: true", "mixing: false", "mixing: {alpha: 0.2}"),
    *("optimizer: lamb", "optimizer: sgd", "optimizer: {weight_decay: 0.0}"),
    *("optimizer: {name: NAdam, betas: [0.9, 0.99]}", "optimizer.weight_decay: 0"),
    *("schedule: linear", "schedule: {t_max: 3}", "schedule: {name: step, epochs: 1.5}"),
    "schedule: {name: StepLR, arguments: {step_size: 3}}",
    *("warmup: true", "warmup: false", "warmup: {epochs: 2}", "warmup.ratio: 0.1"),
    *("augment: RandAugment", "augment: false", "augment: {name: AugMix, severity: 1}"),
    "augment: {name: timm, policy: rand-m9-inc1}",
    "albumentations: [HorizontalFlip, Rotate: {limit: 10}, OneOf: {transforms: [HorizontalFlip]}]",
    "albumentations: [{name: Rotate, arguments: {limit: 3}}, HorizontalFlip: null]",
    *("crop: random_resized", "crop: {scale: [0.5, 1]}", "crop: false", "crop.short_side: 64"),
    *("freeze: trunk", "freeze: false", "sampler: balanced", "sampler: false", "clip_grad: false"),
    *("pretrained: true", "pretrained: IMAGENET1K_V1", "pretrained: null", "amp: bfloat16"),
    *("weights: w.safetensors", "weights: false", "eval_size: false", "micro_batch: false"),
    *("recipe: a3", "recipe: torchvision", "recipe: false", "recipe: null"),
    "recipe: a3, loss: true, lr: null, schedule: true, optimizer: {betas: [0.9, 0.99]}",
    "recipe: a3, mixing: {alpha: null}, warmup: null, augment: {policy: rand-m5}, crop: true",
    "augment.name: timm, augment.policy: rand-m5",
    "schedule.name: StepLR, schedule.arguments.step_size: 4",
]


@pytest.mark.parametrize("short", SHORT)
def test_short_forms_hold_wherever_they_stand(short: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.safetensors").write_bytes(b"weights")
    table = "tables: {t: {rows: ROWS, columns: [{header: H, split: val}]}}"
    axes = ", ".join(f"{name}: [{value}]" for name, value in _as_flow(short).items())
    places = {
        "train": f"train: {{model: mobilenetv2, {short}}}\nruns: {{a: {{}}}}",
        "run": f"runs: {{a: {{model: mobilenetv2, {short}}}}}",
        "axes": f"train: {{model: mobilenetv2}}\nmatrix: {{{axes}}}",
    }
    for name, text in places.items():
        rows = "runs" if name != "axes" else f"[{{name: a, where: {{{short}}}}}]"
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"title: T\ndata: digits\n{text}\n{table.replace('ROWS', rows)}\n")
        assert told(file) is None
        assert marked(file) == [], file.read_text()


def _as_flow(settings: str) -> dict[str, str]:
    found = Document(Path("form"), f"{{{settings}}}").data
    return {name: json.dumps(value) for name, value in found.items()}


DATA = [
    *("digits", "{name: digits}", "{name: digits, limit: 20, folds: 5}", "cifar10"),
    *("{folder: birds, split: given}", "{folder: birds, labels: l.csv, group: '^(.)'}"),
    "{folder: b, split: given, labels: {file: l.csv, path: id, part: p}}",
    *("{hf: a/b}", "{hf: {name: a/b, revision: main}}"),
]


@pytest.mark.parametrize("data", DATA)
def test_data_hold_wherever_they_stand(data: str, tmp_path: Path) -> None:
    others = "split: val" if "folds" in data else "data: {folder: other}"
    text = (
        "title: T\ntrain: {model: mobilenetv2}\nTOP\n"
        f"tables: {{t: {{rows: ROWS, columns: [{{header: H, metric: {{name: nll}}, {others}}}]}}}}\n"
    )
    tops = {
        f"data: {data}\nruns: {{a: {{}}}}": "runs",
        f"runs: {{a: {{data: {data}}}}}": "run",
        f"matrix: {{data: [{data}], ema: [false]}}": f"[{{name: a, where: {{data: {data}}}}}]",
        f"data: null\nmatrix: {{data: [{data}]}}\nruns: null": "data",
    }
    for top, rows in tops.items():
        (tmp_path / "m.yaml").write_text(text.replace("TOP", top).replace("ROWS", rows))
        assert told(tmp_path / "m.yaml") is None
        assert marked(tmp_path / "m.yaml") == []


def test_a_teacher_is_a_run_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.safetensors").write_bytes(b"weights")
    (tmp_path / "m.yaml").write_text(
        "title: T\ndata: digits\ntrain: {model: mobilenetv2, distill: {method: at}}\n"
        "runs: {big: {model: resnet50, distill: false}, a: {distill.teacher: big}, "
        "b: {distill: {method: sp, ratio: 3, teacher: {file: w.safetensors}}}}\n"
        "tables: {t: {rows: runs, columns: [{header: H, split: val}]}}\n"
    )
    assert told(tmp_path / "m.yaml") is None
    assert marked(tmp_path / "m.yaml") == []


def test_names_of_plugins_hold_wherever_they_stand(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "own_tricks.py", tmp_path)
    (tmp_path / "m.yaml").write_text(
        "title: T\nplugins: [own_tricks.py]\n"
        "train: {image_size: 32, optimizer: {name: Lion, weight_decay: 0.1}, loss.name: gce}\n"
        "matrix: {data: [{name: noisy_digits, split: given}], data.share: [0.2, 0.4], "
        "model: [small_net, mobilenetv2], Lookahead: [false, true], loss.q: [0.5, 0.7], "
        "augment: [cutout, {name: cutout, side: 4}, AugMix]}\n"
        "tables: {t: {rows: model, columns: [{header: H, split: val, metric: {name: brier}, "
        "where: {Lookahead: true, augment: cutout, loss.q: 0.5, data.share: 0.2}}]}}\n"
    )
    assert told(tmp_path / "m.yaml") is None
    assert marked(tmp_path / "m.yaml") == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


def put(matrix: Matrix, folder: Path) -> Path:
    file = folder / "m.yaml"
    file.write_text(json.dumps(matrix))
    return file


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(matrix=matrices())
def test_what_loads_is_not_marked(matrix: Matrix, folder: Path) -> None:
    file = put(matrix, folder)
    assume(told(file) is None)
    assert marked(file) == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(matrix=mutated() | matrices())
def test_loader_and_schema_say_the_same(matrix: Matrix, folder: Path) -> None:
    file = put(matrix, folder)
    message, places = told(file), marked(file)
    assert message is not None or places == []
    assert message is None or places or only_the_loader_finds(message), message


# what is replaced in a good matrix, by what, and the place that is marked
WRONG: dict[str, tuple[str, str, str]] = {
    "an unknown key": ("epochs:", "epoch:", "train"),
    "an unknown key at the top": ("title:", "titel:", ""),
    "text for a number": ("epochs: 3", "epochs: many", "train.epochs"),
    "a number in quotes": ("epochs: 3", "epochs: '3'", "train.epochs"),
    "a number too small": ("epochs: 3", "epochs: 0", "train.epochs"),
    "a rate of 0": ("lr: 1e-4", "lr: 0", "train.lr"),
    "an unknown name": ("AutoAugment", "AutoAugmnt", "train.augment"),
    "an unknown optimizer": ("epochs: 3", "optimizer: adm", "train.optimizer"),
    "an unknown part": ("epochs: 3", "loss: {name: focal, gama: 1}", "train.loss"),
    "a part of another": ("epochs: 3", "loss: {name: focal, epsilon: 1}", "train.loss"),
    "true where there is no group": ("epochs: 3", "drop_rate: true", "train.drop_rate"),
    "an unknown recipe": ("epochs: 3", "recipe: a4", "train.recipe"),
    "a seed in train": ("epochs: 3", "seed: 1", "train"),
    "data in train": ("epochs: 3", "data: digits", "train"),
    "a name of our own": ("epochs: 3", "loss: gce", "train.loss"),
    "an unknown axis": ("  ema: [false", "  emma: [false", "matrix"),
    "an unknown path": ("  ema: [false, true]", "  ema.decy: [0.9]", "matrix"),
    "a wrong value on an axis": ("ema: [false, true]", "ema: [false, 1]", "matrix.ema.1"),
    "an axis of one value": ("ema: [false, true]", "ema: true", "matrix.ema"),
    "an empty axis": ("ema: [false, true]", "ema: []", "matrix.ema"),
    "an unknown data set": ("name: digits", "name: digit", "data"),
    "an unknown key of data": ("{name: digits}", "{nam: digits}", "data"),
    "an unknown metric": ("header: val,", "header: val, metric: acuracy,", "tables.ema.columns.0.metric"),
    "an unknown condition": ("where: {ema: true}", "where: {emma: true}", "tables.ema.columns.1.where"),
    "a header of two cells": ("header: val,", "header: a|b,", "tables.ema.columns.0.header"),

    "rows of nothing": ("rows: model", "rows: modle", "tables.ema.rows"),
    "seeds twice": ("title: Test", "title: Test\nseeds: [1, 1]", "seeds"),
    "a table that is a report": ("  ema:\n", "  report:\n", "tables"),
    "axes and runs": ("tables:", "runs: {a: {}}\ntables:", ""),
    "no runs": (GOOD[GOOD.index("matrix:") : GOOD.index("tables:")], "runs: {}\n", "runs"),
    "a wrong scalar beside plugins": ("epochs: 3", "epoch: 3}\nplugins: [a.py]\nbenchmark: {seconds: 1", "train.epoch"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_marked_in_its_place(case: str, tmp_path: Path) -> None:
    old, new, place = WRONG[case]
    assert old in GOOD
    file = tmp_path / "m.yaml"
    file.write_text(GOOD.replace(old, new, 1))
    assert told(file) is not None
    assert place in marked(file)


def test_all_bad_input_is_marked_or_of_a_kind_that_only_the_loader_finds(tmp_path: Path) -> None:
    found = 0
    for case, (old, new, message) in CASES.items():
        file = tmp_path / "m.yaml"
        file.write_text(GOOD.replace(old, new))
        try:
            places = marked(file)
        except UserError:  # not YAML
            continue
        assert places or only_the_loader_finds(message), case
        found += bool(places)
    assert found > 100
