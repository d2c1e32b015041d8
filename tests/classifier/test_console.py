"""What a terminal is told of downloads."""

from __future__ import annotations

import pytest

from classifier.basics.console import Transfer


def test_a_transfer_says_how_much_and_when_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    transfer = Transfer()
    transfer("fetching", 0, 170_000_000)
    transfer("fetching", 85_000_000, 170_000_000)
    transfer("fetching", 170_000_000, 170_000_000)
    transfer("extracting", 0, None)
    transfer("extracting", 40_000, None)
    transfer("extracting", 60_000, 60_000)
    begun, *others = capsys.readouterr().err.splitlines()
    assert begun.startswith("fetching 85 of 170 MB, about ") and begun.endswith(" left")
    assert others == ["fetching 170 MB: done", "extracting 0.0 MB", "extracting 0.1 MB: done"]
