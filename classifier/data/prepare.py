"""Data made ready before anything runs, with what there is to say about it. No torch."""

from __future__ import annotations

import logging
from pathlib import Path

from classifier.basics.console import Counted, Transfer
from classifier.basics.names import printable
from classifier.data.datasets import Listing, bad_images, listing
from classifier.data.spec import DataSpec

_log = logging.getLogger(__name__)

MOST_NAMED = 5


def prepare(data: DataSpec, root: Path) -> Listing:
    """Fetch what is not there and can be fetched, check the rest, name the images left out.

    Raises UserError where the data set can't be used.
    """
    data.source.fetch(root, Transfer())
    listed = listing(data, root, Counted("looking at images"))
    bad = sorted(bad_images(data, root)) if data.on_bad_image == "skip" else []
    if bad:
        named = ", ".join(map(printable, bad[:MOST_NAMED])) + (", ..." if bad[MOST_NAMED:] else "")
        _log.warning("%d images can't be read and are left out: %s", len(bad), named)
    return listed
