"""What an evaluation keeps is read as it was kept, or is damaged: never a traceback of NumPy's."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.records.arrays import DamagedArraysError, Predictions, read_predictions

IMAGES = 6
KEPT = Predictions(
    np.linspace(-1, 1, 3 * IMAGES, dtype=np.float32).reshape(IMAGES, 3),
    np.arange(IMAGES) % 3,
    np.array([f"{index % 3}/{index}.png" for index in range(IMAGES)])[::-1],
)

WHOLE: dict[str, Any] = KEPT._asdict()


def stored(**changed: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **(WHOLE | changed))
    return content.getvalue()


def is_kept(found: Predictions) -> bool:
    return all(np.array_equal(getattr(found, name), kept) for name, kept in WHOLE.items())


def test_what_is_kept_is_read() -> None:
    found = read_predictions(io.BytesIO(stored()))
    assert is_kept(found)
    assert list(found.by_path().paths) == sorted(KEPT.paths)


def test_logits_need_not_be_finite() -> None:
    logits = np.full((IMAGES, 3), np.nan, np.float16)
    assert np.isnan(read_predictions(io.BytesIO(stored(logits=logits))).logits).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"logits": KEPT.logits[0]},
        {"logits": KEPT.logits.astype(str)},
        {"logits": KEPT.logits[:-1]},
        {"labels": np.array(0)},
        {"labels": KEPT.labels.astype(str)},
        {"labels": KEPT.labels + 1},
        {"labels": KEPT.labels - 1},
        {"paths": KEPT.paths[:1]},
        {"paths": KEPT.paths[:, None]},
        {"paths": np.repeat(KEPT.paths[:1], IMAGES)},
        {"paths": KEPT.labels},
        {"logits": KEPT.logits[:0], "labels": KEPT.labels[:0], "paths": KEPT.paths[:0]},
    ],
)
def test_what_no_evaluation_keeps(changed: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(DamagedArraysError):
        read_predictions(io.BytesIO(stored(**changed)))


@pytest.mark.parametrize("mask", [1, 0x40, 0xFF])
def test_any_byte_that_is_wrong(mask: int) -> None:
    """A few hold nothing that is read, as the time of a member."""
    content = stored()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= mask
        try:
            found = read_predictions(io.BytesIO(bytes(changed)))
        except DamagedArraysError:
            continue
        assert is_kept(found), at


def test_what_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", KEPT.logits)
    (tmp_path / "text").write_text("no arrays")
    for name in ("bare.npy", "text"):
        with pytest.raises(DamagedArraysError):
            read_predictions(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_predictions(tmp_path / "none")
