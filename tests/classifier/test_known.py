"""The table of networks says what the libraries do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from unittest.mock import patch

import pytest

from classifier.basics.errors import UserError
from classifier.models import catalogue
from classifier.models.known import Known, table
from tests.benchmarks.networks import look

SAMPLE = (
    "convnext_atto", "dla46x_c", "efficientformer_l1", "hgnetv2_b0", "inception_v3", "levit_128s",
    "qwen3_vit_88m_enc", "resnet18", "squeezenet1_1", "test_vit", "vit_b_32",
)  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_a_row_is_what_is_found_of_the_network(name: str) -> None:
    with patch.object(catalogue, "table", dict):
        found = look(name)
    row = table()[name]
    told = {field: found[field] for field in ("own", "built", "least", "step", "settings")}
    assert told == {field: getattr(row, field) for field in told}
    assert found["refused"] == row.refused


def test_nearly_all_names_of_both_libraries_are_taken() -> None:
    rows = table()
    refused = [row for row in rows.values() if row.refused]
    assert len(rows) > 1350 and len(refused) < 0.03 * len(rows)
    assert all("gives features of each place" in row.refused for row in refused), "by one rule"
    libraries = Counter(row.library for row in rows.values())
    assert libraries["torchvision"] == 80
    if version("timm") == "1.0.31":
        assert set(catalogue.library_models()) == set(rows)


def test_the_catalogues_models_are_in_the_table() -> None:
    for model in catalogue.MODELS:
        known = catalogue.known_of(model)
        assert known is not None and known.library == catalogue.MODELS[model].library
        assert known.takes(32) and known.takes(224), "as ever"


def test_a_name_that_the_table_lacks_is_let_through() -> None:
    with patch.object(catalogue, "table", dict):
        catalogue.check_model("resnet18")
        catalogue.check_side("resnet18", 8)
        catalogue.check_setting("resnet18", "drop_rate")
        catalogue.check_teacher("vit_b_16", 224, 32)


def test_sizes_in_words_and_in_fact() -> None:
    row = Known("x", "timm", 224, True, 32, 16, ())
    assert [side for side in (16, 32, 40, 48, 224) if row.takes(side)] == [32, 48, 224]
    assert row.sides == "multiples of 16 from 32 on"
    assert replace(row, step=1).sides == "any from 32 on"
    fixed = replace(row, step=0)
    assert [side for side in (32, 48, 224) if fixed.takes(side)] == [224]
    assert fixed.sides == "224 only"
    with pytest.raises(UserError, match="takes no images of 40 x 40: multiples of 16 from 16 on"):
        catalogue.check_side("vit_b_16", 40)
